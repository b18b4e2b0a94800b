// A request on its way through the engine: what engine.cc, engine_plan.cc and engine_tokens.cc
// share.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/stop_matcher.h"
#include "tokenizer/stream_decoder.h"

namespace fathom {

struct Engine::Running {
  Running(GenerateRequest r, EventSink& s, RequestId i)
      : request(std::move(r)), sink(s), id(i), stops(request.stop) {}

  bool before(const Running& other) const {
    return request.priority != other.request.priority ? request.priority > other.request.priority
                                                      : id < other.id;
  }
  int64_t n_prompt() const { return std::ssize(request.prompt); }
  int64_t n_tokens() const { return std::ssize(ids); }
  int64_t n_generated() const { return n_tokens() - n_prompt(); }
  int64_t n_pending() const { return n_tokens() - n_cached; }  // rows before the next draw
  // Only the last token of the answer is missing in the cache.
  bool is_writing() const { return n_generated() > 0 && n_pending() == 1; }

  GenerateRequest request;
  EventSink& sink;
  RequestId id;
  StopMatcher stops;
  std::unique_ptr<StreamDecoder> decoder;
  std::vector<int32_t> stop_ids;
  std::optional<Constraint> constraint;
  TokenCounts counts;
  std::vector<int32_t> ids;  // the prompt, then the answer
  int64_t max_tokens = 0;    // resolved against the context
  RequestUsage usage;
  std::vector<PromptLogprob> prompt_logprobs;

  std::unique_ptr<KvSequence> kv;  // null: in the queue
  PrefixCache::Place place;
  int64_t n_cached = 0;    // positions in the cache
  int64_t n_computed = 0;  // the most that n_cached has been: what comes before is computed again
  bool has_module_rows = true;  // the MTP module has seen every position in the cache
  int32_t draft = -1;           // of the token after the last; -1: none

  // Of the step at hand: rows in the batch, the last token and its draft, the first of its logits.
  int64_t n_rows = 0;
  std::array<int32_t, kAnswerRows> written = {};
  int64_t logit_row = -1;
  bool done = false;
};

}  // namespace fathom
