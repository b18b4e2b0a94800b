// The engine: requests in, tokens out. Each step is one forward pass over a batch: one row for
// every answer that is being written, and pieces of the prompts that are being read, in the order
// of arrival. What stands together never changes anyone's bytes (docs/numerics.md).
//
// One thread drives it: submit, cancel and step are called by the same thread; events come from
// within step().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "model/transformer.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The form of attention by position (docs/numerics.md 5).
enum class AttentionForm : uint8_t { kAuto, kNaive, kAbsorbed };
// kAuto: the prompt's positions naive, generated ones absorbed.
bool is_absorbed(AttentionForm form, bool generated);

// Rows of prompts in one pass: as many as make reading the weights cheap beside multiplying them
// (an expert of 256 with 8 chosen sees a thirty-second of the rows), and earlier keys expanded
// rarely.
inline constexpr int64_t kPrefillRows = 2048;

struct EngineOptions {
  AttentionForm attention = AttentionForm::kAuto;
  int64_t context = 0;                  // positions of a sequence, prompt and answer together
  int64_t max_running = 1;              // requests in one batch
  int64_t prefill_rows = kPrefillRows;  // rows of prompts in one step
  std::vector<int32_t> eos_token_ids;   // the model's end tokens
};

class Engine {
 public:
  // The transformer's limits must hold max_running + prefill_rows rows and sequences. tokenizer may
  // be null: then events have no text and stop strings are refused.
  Engine(Transformer& model, KvPool& pool, const Tokenizer* tokenizer,
         const EngineOptions& options);
  ~Engine();

  // Checks the request (an error says which field and why) and queues it. sink must live until its
  // last event.
  Result<RequestId> submit(GenerateRequest request, EventSink& sink);
  // Ends a request with a kCancelled event; nothing if it has ended.
  void cancel(RequestId id);
  bool idle() const { return queue_.empty() && running_.empty(); }
  // One forward pass. Does nothing when idle. Where weights cannot be read, everything that runs
  // ends with a kFailed event.
  void step();

  struct Counters {
    int64_t prompt_tokens = 0;  // computed, those from a kept cache not counted
    int64_t generated_tokens = 0;
    int64_t steps = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Running;
  void admit();
  std::unique_ptr<KvSequence> begin_cache(Running& running);
  void keep_cache(Running& running);
  void plan();
  void finish_step(const float* hidden);
  void fail_all(const std::string& error);
  void accept_token(Running& running, std::span<const float> logits);
  void finish(Running& running, TokenEvent& event, FinishReason reason);

  Transformer& model_;
  KvPool& pool_;
  const Tokenizer* tokenizer_;
  EngineOptions options_;
  Sampler sampler_;
  Counters counters_;
  RequestId next_id_ = 1;
  std::deque<std::unique_ptr<Running>> queue_;
  std::vector<std::unique_ptr<Running>> running_;
  // The cache of the request that ended last: the next turn of a conversation begins with its
  // tokens.
  struct Kept {
    std::vector<int32_t> tokens;
    std::unique_ptr<KvSequence> kv;  // null: nothing is kept
  } kept_;
  // Of the step at hand; sized once.
  std::vector<BatchSequence> sequences_;
  std::vector<Running*> sequence_owner_;
  std::vector<int32_t> logit_rows_;
  std::vector<Running*> logit_owner_;
  Buffer<float> logits_;
};

}  // namespace fathom
