// The engine: requests in, tokens out. Each step is one forward pass over a batch: the last token
// of every answer that is being written, with a draft of the next one behind it where drafts pay,
// and pieces of the prompts that are being read. What stands together never changes anyone's bytes,
// nor does what was cached, drafted or computed again (docs/numerics.md).
//
// Requests stand in line by priority and arrival. One starts when the cache has room for what it
// brings; where it runs full, the last in line is put back and later computes its rows again, in
// the form that each position has. The first in line is never put back, and no request is taken
// that could not finish alone, so every one finishes.
//
// One thread drives it: submit, cancel and step are called by the same thread. Events come from
// within them, and whoever hears one does not call the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/routing_recorder.h"
#include "engine/schedule.h"
#include "engine/speculation.h"
#include "engine/token_trie.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The form of attention by position (docs/numerics.md 5).
enum class AttentionForm : uint8_t { kAuto, kNaive, kAbsorbed };
// kAuto: the prompt's positions naive, generated ones absorbed.
bool is_absorbed(AttentionForm form, bool generated);

// Drafts by the MTP module: kAuto while they pay (engine/speculation.h).
enum class Drafting : uint8_t { kOff, kOn, kAuto };

// Rows of prompts in one pass: as many as make reading the weights cheap beside multiplying them
// (an expert of 256 with 8 chosen sees a thirty-second of the rows), and earlier keys expanded
// rarely.
inline constexpr int64_t kPrefillRows = 2048;
// Rows of an answer in one step: its last token and a draft.
inline constexpr int64_t kAnswerRows = 2;

struct EngineOptions {
  AttentionForm attention = AttentionForm::kAuto;
  Drafting drafting = Drafting::kAuto;  // kOff where the model has no MTP module
  int64_t context = 0;                  // positions of a sequence, prompt and answer together
  int64_t max_running = 1;              // requests in one batch
  int64_t prefill_rows = kPrefillRows;  // rows of prompts in one step
  std::vector<int32_t> eos_token_ids;   // the model's end tokens
  // For measurements: given the position that a draft is for and the module's token, what is
  // verified in its place. Answers are the same whatever it gives.
  std::function<int32_t(int64_t position, int32_t draft)> replace_draft = {};
};

class Engine {
 public:
  // The transformer's limits must hold kAnswerRows * max_running + prefill_rows rows, as many
  // sequences as run, and logits of kAnswerRows * max_running rows. tokenizer may be null: then
  // events have no text and stop strings are refused.
  Engine(Transformer& model, KvPool& pool, const Tokenizer* tokenizer,
         const EngineOptions& options);
  ~Engine();

  // An error says which field is wrong and why. Any thread may ask.
  Status check(const GenerateRequest& request) const;
  // The most that the answer of a request that passed may have. Any thread.
  int64_t answer_tokens(const GenerateRequest& request) const;
  // Checks the request and queues it. sink must live until its last event.
  Result<RequestId> submit(GenerateRequest request, EventSink& sink);
  // Ends a request with a kCancelled event; nothing if it has ended.
  void cancel(RequestId id);
  bool idle() const { return queue_.empty() && running_.empty(); }
  // One forward pass, and one of the MTP module where drafts are made. Does nothing when idle.
  // Where weights cannot be read, everything that runs ends with a kFailed event.
  void step();

  struct Counters {
    int64_t prompt_tokens = 0;     // computed, those from the cache not counted
    int64_t cached_tokens = 0;     // of prompts, taken from the cache
    int64_t repeated_tokens = 0;   // computed again by requests that had been put back
    int64_t generated_tokens = 0;  // drawn
    int64_t drafted_tokens = 0;    // verified
    int64_t accepted_tokens = 0;   // of these, equal to what was drawn
    int64_t steps = 0;
    int64_t put_back = 0;  // times that a request was
  };
  const Counters& counters() const { return counters_; }
  int64_t n_queued() const { return static_cast<int64_t>(queue_.size()); }
  int64_t n_running() const { return static_cast<int64_t>(running_.size()); }
  PrefixCache& prefix_cache() { return cache_; }
  const PrefixCache& prefix_cache() const { return cache_; }
  const SpeculationMeter& speculation() const { return meter_; }

 private:
  struct Running;
  using Line = std::vector<std::unique_ptr<Running>>;  // by priority and arrival

  // engine.cc
  void end_without_token(Line& line, size_t at, FinishReason reason, const std::string& error);
  void end_expired(Line& line);
  void fail_all();

  // engine_plan.cc
  static void put_in(Line& line, std::unique_ptr<Running> running);
  bool is_reusable(const Running& running, int64_t n_positions) const;
  void admit();
  bool admit_first();
  void put_back_last();
  bool secure(size_t at, int64_t n_positions);
  void plan();
  void share_rows();
  void secure_rows();
  void add_piece(Running& running);

  // engine_tokens.cc
  void accept_rows(const float* hidden);
  void score_prompt(Running& running, const float* hidden, int64_t first_row);
  void accept_answer(Running& running, int64_t row);
  bool accept_token(Running& running, int64_t logit_row);
  void keep_rows(Running& running);
  void end(Running& running, TokenEvent& event, FinishReason reason);
  bool make_drafts(const float* hidden);

  Transformer& model_;
  KvPool& pool_;
  const Tokenizer* tokenizer_;
  EngineOptions options_;
  Sampler sampler_;
  std::unique_ptr<TokenTrie> trie_;  // made for the first request with a grammar
  PrefixCache cache_;
  RoutingRecorder routing_;
  SpeculationMeter meter_;
  Counters counters_;
  RequestId next_id_ = 1;
  Line queue_, running_;

  // Of the step at hand; sized once.
  SpeculationMeter::Step mode_ = SpeculationMeter::Step::kPlain;
  std::vector<PrefillNeed> needs_;
  std::vector<int64_t> shares_;
  std::vector<BatchSequence> sequences_;
  std::vector<Running*> owners_;  // of sequences_
  std::vector<int32_t> logit_rows_;
  std::vector<Running*> logit_owners_;  // of the drafts
  Buffer<float> logits_;                // [kAnswerRows * max_running, vocab_size]
};

}  // namespace fathom
