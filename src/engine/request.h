// What a caller asks of the engine, and what it hears back, token by token.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar.h"
#include "engine/sampler.h"

namespace fathom {

using RequestId = int64_t;

struct GenerateRequest {
  std::vector<int32_t> prompt;  // at least one id, all within the vocabulary
  int64_t max_tokens = -1;      // of the answer; -1: as many as the context holds
  int64_t min_tokens = 0;       // the stop tokens are not drawn before
  SamplingParams sampling;
  std::vector<int32_t> stop_token_ids;  // end the answer, besides the model's own
  std::vector<std::string>
      stop;  // end the answer; neither they nor what follows is part of the text
  bool ignore_eos =
      false;  // the model's end tokens are ordinary tokens (stop_token_ids still stop)
  bool skip_special_tokens = true;  // in the text
  int64_t logprobs = -1;            // -1: none; 0: of the drawn token; n: also the n best
  int64_t prompt_logprobs = -1;  // likewise of the prompt's tokens; nothing is taken from the cache
  bool routed_experts = false;   // tell which experts each token of the answer used
  // The answer's text belongs to it; the answer ends where it is complete. Needs a tokenizer.
  std::shared_ptr<const Grammar> grammar = {};
  bool grammar_after_reasoning = false;  // it holds from behind </think> on
  // The grammar holds from behind this token to its end, as often as the token comes, and what is
  // around is free. -1: it holds for all of the answer.
  int32_t grammar_opener = -1;
  int64_t priority = 0;  // higher ones come first; equal ones in the order of arrival
  // Ends with kExpired at the first step after it.
  std::optional<std::chrono::steady_clock::time_point> deadline = {};
  // Requests share cached prefixes within a partition only.
  std::string cache_partition = {};
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kFailed, kExpired };
// "stop", "length", "cancelled", "failed", "expired"
std::string_view finish_reason_name(FinishReason reason);

// What a request took, so far.
struct RequestUsage {
  int64_t cached_prompt_tokens = 0;  // taken from the cache when it began
  int64_t drafted_tokens = 0;        // verified, and of these accepted
  int64_t accepted_tokens = 0;
};

// Of a token of the prompt, given those before it.
struct PromptLogprob {
  float logprob;
  std::vector<TokenLogprob> top;
};

// One event for each token, and the last one carries the reason.
struct TokenEvent {
  RequestId request = 0;
  int32_t token = -1;  // -1: no new token (cancelled, failed, expired)
  float logprob = 0;   // with logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;
  // With prompt_logprobs >= 0, in the first event: of the prompt's tokens but the first.
  std::vector<PromptLogprob> prompt_logprobs;
  // With routed_experts: those of the row that this token was drawn from, [layers with experts,
  // num_experts_per_tok], by falling affinity.
  std::vector<int32_t> routed_experts;
  std::string text;  // whole characters that are certain now; may be empty
  FinishReason finish = FinishReason::kNone;
  std::string stop;  // with kStop: the stop string that ended it; empty if a token did
  RequestUsage usage;
  std::string error;  // with kFailed: one sentence
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_token(const TokenEvent& event) = 0;
};

}  // namespace fathom
