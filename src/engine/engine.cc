#include "engine/engine.h"

#include <algorithm>

namespace fathom {

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

struct Engine::Running {
  Running(GenerateRequest r, EventSink& s, RequestId i)
      : request(std::move(r)), sink(s), id(i), stops(request.stop) {}

  GenerateRequest request;
  EventSink& sink;
  RequestId id;
  StopMatcher stops;
  std::unique_ptr<StreamDecoder> decoder;
  std::unique_ptr<KvSequence> kv;
  TokenCounts counts;
  int64_t max_tokens = 0;  // resolved against the context
  int64_t n_cached = 0;    // positions in the cache
  int64_t n_generated = 0;
  int32_t last_token = -1;      // generated, not in the cache yet
  std::vector<int32_t> answer;  // generated, last_token included
  std::vector<int32_t> stop_ids;
  bool done = false;
  int64_t n_prompt() const { return static_cast<int64_t>(request.prompt.size()); }
};

Engine::Engine(Transformer& model, KvPool& pool, const Tokenizer* tokenizer,
               const EngineOptions& options)
    : model_(model),
      pool_(pool),
      tokenizer_(tokenizer),
      options_(options),
      sampler_(model.config().vocab_size),
      logits_(options.max_running * model.config().vocab_size) {
  const WorkspaceLimits& limits = model.limits();
  FATHOM_CHECK(limits.max_rows >= options.max_running + options.prefill_rows, "max_rows ",
               limits.max_rows);
  FATHOM_CHECK(limits.max_sequences >= options.max_running, "max_sequences ", limits.max_sequences);
  FATHOM_CHECK(limits.max_logit_rows >= options.max_running, "max_logit_rows ",
               limits.max_logit_rows);
  FATHOM_CHECK(options.context <= limits.max_context, "context ", options.context);
  sequences_.reserve(static_cast<size_t>(options.max_running));
  sequence_owner_.reserve(static_cast<size_t>(options.max_running));
  logit_rows_.reserve(static_cast<size_t>(options.max_running));
  logit_owner_.reserve(static_cast<size_t>(options.max_running));
}

Engine::~Engine() = default;

Result<RequestId> Engine::submit(GenerateRequest request, EventSink& sink) {
  const int64_t vocab_size = model_.config().vocab_size;
  const int64_t n_prompt = static_cast<int64_t>(request.prompt.size());
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
  if (request.logprobs < -1 || request.logprobs > vocab_size) {
    return invalid_error("logprobs is ", request.logprobs, ", expected 0 to ", vocab_size);
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
  FATHOM_RETURN_IF_ERROR(check_sampling(request.sampling, vocab_size));

  const int64_t room = options_.context - n_prompt;
  auto running = std::make_unique<Running>(std::move(request), sink, next_id_++);
  running->max_tokens =
      running->request.max_tokens < 0 ? room : std::min(room, running->request.max_tokens);
  const int64_t blocks = ceil_div(n_prompt + running->max_tokens, kKvBlockRows);
  if (blocks > pool_.n_blocks()) {
    return exhausted_error("the request needs room for ", n_prompt + running->max_tokens,
                           " tokens in the KV cache, which holds ", pool_.n_blocks() * kKvBlockRows,
                           "; ask for fewer tokens or give more memory");
  }
  if (tokenizer_ != nullptr) {
    running->decoder =
        std::make_unique<StreamDecoder>(*tokenizer_, running->request.skip_special_tokens);
  }
  running->stop_ids = running->request.stop_token_ids;
  if (!running->request.ignore_eos) {
    running->stop_ids.insert(running->stop_ids.end(), options_.eos_token_ids.begin(),
                             options_.eos_token_ids.end());
  }
  running->counts.add_prompt(running->request.prompt);
  queue_.push_back(std::move(running));
  return queue_.back()->id;
}

void Engine::cancel(RequestId id) {
  const auto end = [&](std::unique_ptr<Running>& running) {
    TokenEvent event;
    event.request = id;
    finish(*running, event, FinishReason::kCancelled);
    running->sink.on_token(event);
  };
  for (auto it = queue_.begin(); it != queue_.end(); ++it) {
    if ((*it)->id != id) continue;
    end(*it);
    queue_.erase(it);
    return;
  }
  for (auto it = running_.begin(); it != running_.end(); ++it) {
    if ((*it)->id != id) continue;
    end(*it);
    running_.erase(it);
    return;
  }
}

// The kept cache, cut to what the request begins with too, or an empty one. Rows are the same bytes
// whoever computed them, so this saves work and changes nothing.
std::unique_ptr<KvSequence> Engine::begin_cache(Running& running) {
  const std::vector<int32_t>& prompt = running.request.prompt;
  if (kept_.kv != nullptr) {
    // At least the last token is computed: its logits are wanted.
    const size_t end = std::min(kept_.tokens.size(), prompt.size() - 1);
    const auto [kept, given] = std::mismatch(
        kept_.tokens.begin(), kept_.tokens.begin() + static_cast<ptrdiff_t>(end), prompt.begin());
    const int64_t n = given - prompt.begin();
    if (n > 0 && (kept == kept_.tokens.end() || n >= kKvBlockRows)) {
      running.n_cached = n;
      kept_.kv->release(n);
      return std::move(kept_.kv);
    }
  }
  running.n_cached = 0;
  return std::make_unique<KvSequence>(pool_, options_.context);
}

// A request starts only when the cache has room for all of it: it can always finish.
void Engine::admit() {
  while (!queue_.empty() && static_cast<int64_t>(running_.size()) < options_.max_running) {
    Running& next = *queue_.front();
    const int64_t positions = next.n_prompt() + next.max_tokens;
    next.kv = begin_cache(next);
    bool room = next.kv->reserve(positions);
    if (!room && kept_.kv != nullptr) {
      kept_.kv.reset();
      room = next.kv->reserve(positions);
    }
    if (!room) {
      next.kv.reset();
      return;
    }
    running_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
}

// Keeps what the cache holds of a request that ends, as far as a prompt would compute it the same
// way: the form of attention belongs to the position, so of kAuto the prompt only.
void Engine::keep_cache(Running& running) {
  if (running.kv == nullptr || running.n_cached == 0) return;
  kept_.tokens = std::move(running.request.prompt);
  if (is_absorbed(options_.attention, true) == is_absorbed(options_.attention, false)) {
    kept_.tokens.insert(kept_.tokens.end(), running.answer.begin(), running.answer.end());
  }
  kept_.tokens.resize(std::min(kept_.tokens.size(), static_cast<size_t>(running.n_cached)));
  kept_.kv = std::move(running.kv);
  kept_.kv->release(static_cast<int64_t>(kept_.tokens.size()));
}

// Rows of the step: every answer's last token, then prompts in the order of arrival as far as they
// fit.
void Engine::plan() {
  sequences_.clear();
  sequence_owner_.clear();
  logit_rows_.clear();
  logit_owner_.clear();
  int32_t row = 0;
  int64_t prefill_left = options_.prefill_rows;
  const auto add = [&](Running& running, std::span<const int32_t> tokens, bool generated,
                       bool wants_logits) {
    sequences_.push_back({.tokens = tokens,
                          .first_position = running.n_cached,
                          .absorbed = is_absorbed(options_.attention, generated),
                          .kv = running.kv.get()});
    sequence_owner_.push_back(&running);
    row += static_cast<int32_t>(tokens.size());
    if (wants_logits) {
      logit_rows_.push_back(row - 1);
      logit_owner_.push_back(&running);
    }
  };
  for (auto& running : running_) {
    if (running->last_token >= 0) add(*running, {&running->last_token, 1}, true, true);
  }
  for (auto& running : running_) {
    const int64_t left = running->n_prompt() - running->n_cached;
    if (running->last_token >= 0 || left <= 0 || prefill_left <= 0) continue;
    const int64_t n = std::min(left, prefill_left);
    prefill_left -= n;
    add(*running,
        std::span<const int32_t>(running->request.prompt)
            .subspan(static_cast<size_t>(running->n_cached), static_cast<size_t>(n)),
        false, n == left);
  }
}

void Engine::step() {
  admit();
  if (running_.empty()) return;
  plan();
  const float* hidden = model_.forward({.sequences = sequences_});
  ++counters_.steps;
  if (hidden == nullptr) {
    fail_all(model_.expert_source()->status().error().message);
  } else {
    finish_step(hidden);
  }
}

// Weights could not be read: what was running has no next token, and its caches hold rows that are
// worth nothing.
void Engine::fail_all(const std::string& error) {
  for (auto& running : running_) {
    running->n_cached = 0;  // keeps nothing
    TokenEvent event;
    event.request = running->id;
    event.error = error;
    finish(*running, event, FinishReason::kFailed);
    running->sink.on_token(event);
  }
  running_.clear();
}

void Engine::finish_step(const float* hidden) {
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const int64_t n = static_cast<int64_t>(sequences_[i].tokens.size());
    sequence_owner_[i]->n_cached += n;
    if (sequence_owner_[i]->last_token < 0) counters_.prompt_tokens += n;
  }
  if (logit_rows_.empty()) return;
  const int64_t vocab_size = model_.config().vocab_size;
  model_.logits(hidden, logit_rows_, logits_.data());
  for (size_t i = 0; i < logit_rows_.size(); ++i) {
    accept_token(*logit_owner_[i], {logits_.data() + static_cast<int64_t>(i) * vocab_size,
                                    static_cast<size_t>(vocab_size)});
  }
  std::erase_if(running_, [](const auto& running) { return running->done; });
}

void Engine::accept_token(Running& running, std::span<const float> logits) {
  const GenerateRequest& request = running.request;
  const bool may_stop = running.n_generated >= request.min_tokens;
  const int64_t position = running.n_cached;
  TokenEvent event;
  event.request = running.id;
  event.token = sampler_.sample(
      logits, request.sampling, running.counts, position,
      may_stop ? std::span<const int32_t>() : std::span<const int32_t>(running.stop_ids));
  if (request.logprobs >= 0) {
    event.logprob = token_logprob(model_.compute().isa, logits, event.token);
    top_logprobs(model_.compute().isa, logits, request.logprobs, event.top_logprobs);
  }
  running.last_token = event.token;
  running.answer.push_back(event.token);
  running.counts.add_answer(event.token);
  ++running.n_generated;
  ++counters_.generated_tokens;

  const bool stop_token = may_stop && std::find(running.stop_ids.begin(), running.stop_ids.end(),
                                                event.token) != running.stop_ids.end();
  FinishReason reason = FinishReason::kNone;
  if (stop_token) {
    reason = FinishReason::kStop;
  } else if (running.decoder) {
    event.text = running.stops.push(running.decoder->push(event.token));
    if (running.stops.stopped()) reason = FinishReason::kStop;
  }
  if (reason == FinishReason::kNone && running.n_generated >= running.max_tokens)
    reason = FinishReason::kLength;
  if (reason != FinishReason::kNone) finish(running, event, reason);
  running.sink.on_token(event);
}

void Engine::finish(Running& running, TokenEvent& event, FinishReason reason) {
  event.finish = reason;
  if (running.decoder) {
    event.text += running.stops.push(running.decoder->finish());
    event.text += running.stops.finish();
  }
  keep_cache(running);
  running.kv.reset();
  running.done = true;
}

}  // namespace fathom
