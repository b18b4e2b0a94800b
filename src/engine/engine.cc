#include "engine/engine.h"

#include <algorithm>
#include <chrono>

#include "base/math.h"
#include "engine/running.h"

namespace fathom {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kFailed:
      return "failed";
    case FinishReason::kExpired:
      return "expired";
  }
  return "";
}

bool is_absorbed(AttentionForm form, bool generated) {
  switch (form) {
    case AttentionForm::kAuto:
      return generated;
    case AttentionForm::kNaive:
      return false;
    case AttentionForm::kAbsorbed:
      return true;
  }
  return false;
}

Engine::Engine(Transformer& model, KvPool& pool, const Tokenizer* tokenizer,
               const EngineOptions& options)
    : model_(model),
      pool_(pool),
      tokenizer_(tokenizer),
      options_(options),
      sampler_(model.config().vocab_size),
      cache_(pool),
      routing_(model.config().num_experts_per_tok),
      logits_(kAnswerRows * options.max_running * model.config().vocab_size) {
  const WorkspaceLimits& limits = model.limits();
  const int64_t answer_rows = kAnswerRows * options.max_running;
  FATHOM_CHECK(limits.max_rows >= answer_rows + options.prefill_rows, "max_rows ", limits.max_rows);
  FATHOM_CHECK(limits.max_sequences >= options.max_running, "max_sequences ", limits.max_sequences);
  FATHOM_CHECK(limits.max_logit_rows >= answer_rows, "max_logit_rows ", limits.max_logit_rows);
  FATHOM_CHECK(options.context <= limits.max_context, "context ", options.context);
  if (model.n_mtp_modules() == 0) options_.drafting = Drafting::kOff;
  const auto n = static_cast<size_t>(options.max_running);
  running_.reserve(n);
  needs_.reserve(n);
  shares_.reserve(n);
  sequences_.reserve(n);
  owners_.reserve(n);
  logit_rows_.reserve(static_cast<size_t>(answer_rows));
  logit_owners_.reserve(n);
}

Engine::~Engine() = default;

Status Engine::check(const GenerateRequest& request) const {
  const int64_t vocab_size = model_.config().vocab_size;
  const int64_t n_prompt = std::ssize(request.prompt);
  if (n_prompt == 0) return invalid_error("the prompt is empty; give at least one token");
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const int32_t id = request.prompt[i];
    if (id < 0 || id >= vocab_size) {
      return invalid_error("prompt id ", id, " at position ", i, " is not in the vocabulary of ",
                           vocab_size);
    }
  }
  if (n_prompt >= options_.context) {
    return exhausted_error(
        "the prompt has ", n_prompt, " tokens, the context holds ", options_.context,
        ": at least one must be left for the answer; shorten it or give a larger --context");
  }
  if (request.max_tokens < -1 || request.max_tokens == 0) {
    return invalid_error("max_tokens is ", request.max_tokens, ", expected 1 or more");
  }
  if (request.min_tokens < 0)
    return invalid_error("min_tokens is ", request.min_tokens, ", expected 0 or more");
  for (const int64_t n : {request.logprobs, request.prompt_logprobs}) {
    if (n < -1 || n > vocab_size)
      return invalid_error("logprobs is ", n, ", expected 0 to ", vocab_size);
  }
  for (const int32_t id : request.stop_token_ids) {
    if (id < 0 || id >= vocab_size) {
      return invalid_error("stop_token_ids names ", id, ", which is not in the vocabulary of ",
                           vocab_size);
    }
  }
  if (tokenizer_ == nullptr && !request.stop.empty()) {
    return invalid_error("stop strings need a tokenizer, and this model folder has none");
  }
  if (tokenizer_ == nullptr && request.grammar != nullptr) {
    return invalid_error("a grammar needs a tokenizer, and this model folder has none");
  }
  FATHOM_RETURN_IF_ERROR(check_sampling(request.sampling, vocab_size));
  const int64_t most = n_prompt + answer_tokens(request);
  if (ceil_div(most, kKvBlockRows) > pool_.n_blocks()) {
    return exhausted_error("the request needs room for ", most,
                           " tokens in the KV cache, which holds ", pool_.n_blocks() * kKvBlockRows,
                           "; ask for fewer tokens or give more memory");
  }
  return {};
}

int64_t Engine::answer_tokens(const GenerateRequest& request) const {
  const int64_t room = options_.context - std::ssize(request.prompt);
  return request.max_tokens < 0 ? room : std::min(room, request.max_tokens);
}

Result<RequestId> Engine::submit(GenerateRequest request, EventSink& sink) {
  FATHOM_RETURN_IF_ERROR(check(request));
  auto running = std::make_unique<Running>(std::move(request), sink, next_id_++);
  const GenerateRequest& asked = running->request;
  running->max_tokens = answer_tokens(asked);
  if (tokenizer_ != nullptr)
    running->decoder = std::make_unique<StreamDecoder>(*tokenizer_, asked.skip_special_tokens);
  running->stop_ids = asked.stop_token_ids;
  if (!asked.ignore_eos) {
    running->stop_ids.insert(running->stop_ids.end(), options_.eos_token_ids.begin(),
                             options_.eos_token_ids.end());
  }
  if (asked.grammar != nullptr) {
    if (trie_ == nullptr) trie_ = std::make_unique<TokenTrie>(*tokenizer_);
    running->constraint.emplace(asked.grammar, *trie_, model_.config().vocab_size,
                                asked.grammar_after_reasoning, asked.grammar_opener);
  }
  running->counts.add_prompt(asked.prompt);
  running->ids.reserve(static_cast<size_t>(running->n_prompt() + running->max_tokens));
  running->ids = asked.prompt;
  const RequestId id = running->id;
  put_in(queue_, std::move(running));
  return id;
}

void Engine::end_without_token(Line& line, size_t at, FinishReason reason,
                               const std::string& error) {
  // Out of the line first: the sink may ask for anything.
  const std::unique_ptr<Running> running = std::move(line[at]);
  line.erase(line.begin() + static_cast<ptrdiff_t>(at));
  TokenEvent event;
  event.request = running->id;
  event.error = error;
  end(*running, event, reason);
  running->sink.on_token(event);
}

void Engine::cancel(RequestId id) {
  for (Line* line : {&queue_, &running_}) {
    const auto found =
        std::find_if(line->begin(), line->end(), [id](const auto& r) { return r->id == id; });
    if (found == line->end()) continue;
    end_without_token(*line, static_cast<size_t>(found - line->begin()), FinishReason::kCancelled,
                      "");
    return;
  }
}

void Engine::end_expired(Line& line) {
  const auto now = Clock::now();
  for (size_t i = line.size(); i-- > 0;) {
    const auto& deadline = line[i]->request.deadline;
    if (deadline && now >= *deadline) end_without_token(line, i, FinishReason::kExpired, "");
  }
}

// Weights could not be read: what was running has no next token, and its caches hold rows that are
// worth nothing.
void Engine::fail_all() {
  const std::string error = model_.expert_source()->status().error().message;
  while (!running_.empty())
    end_without_token(running_, running_.size() - 1, FinishReason::kFailed, error);
}

void Engine::step() {
  end_expired(queue_);
  end_expired(running_);
  admit();
  if (running_.empty()) return;
  plan();
  const auto begin = Clock::now();
  const bool records = std::any_of(owners_.begin(), owners_.end(),
                                   [](const Running* r) { return r->request.routed_experts; });
  routing_.clear();
  const float* hidden = model_.forward({.sequences = sequences_}, records ? &routing_ : nullptr);
  const auto passed = Clock::now();
  ++counters_.steps;
  if (hidden == nullptr) {
    fail_all();
    return;
  }
  // Who has the form of prompts or no draft yet says nothing about the time of a usual step.
  const auto n = std::ssize(owners_);
  const bool is_usual = std::all_of(owners_.begin(), owners_.end(), [this](const Running* r) {
    return r->is_writing() && r->n_rows == (mode_ == SpeculationMeter::Step::kDraft ? 2 : 1);
  });
  accept_rows(hidden);
  double module_seconds = 0;
  if (mode_ != SpeculationMeter::Step::kPlain) {
    const auto module_begin = Clock::now();
    if (!make_drafts(hidden)) {
      fail_all();
      return;
    }
    module_seconds = seconds_between(module_begin, Clock::now());
  }
  if (is_usual) meter_.record(mode_, n, seconds_between(begin, passed), module_seconds);
  std::erase_if(running_, [](const auto& running) { return running->done; });
}

}  // namespace fathom
