// What a caller asks of the engine, and what it hears back, token by token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kFailed };
std::string_view finish_reason_name(
    FinishReason reason);  // "stop", "length", "cancelled", "failed"

// One event for each token, and the last one carries the reason.
struct TokenEvent {
  RequestId request = 0;
  int32_t token = -1;  // -1: no new token (cancelled, failed)
  float logprob = 0;   // with logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;
  std::string text;  // whole characters that are certain now; may be empty
  FinishReason finish = FinishReason::kNone;
  std::string error;  // with kFailed: one sentence
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_token(const TokenEvent& event) = 0;
};

}  // namespace fathom
