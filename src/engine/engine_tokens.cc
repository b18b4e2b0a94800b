// From a pass to tokens: draws, drafts, ends.
#include <algorithm>

#include "engine/running.h"

namespace fathom {

// Rows are in the cache now; whoever has all of its tokens there draws the next.
void Engine::accept_rows(const float* hidden) {
  // Before the others: it uses the same memory for logits.
  int64_t row = 0;
  for (Running* running : owners_) {
    if (running->request.prompt_logprobs >= 0) score_prompt(*running, hidden, row);
    row += running->n_rows;
  }
  if (!logit_rows_.empty()) model_.logits(hidden, logit_rows_, logits_.data());
  for (Running* running : owners_) {
    if (mode_ == SpeculationMeter::Step::kPlain) running->has_module_rows = false;
    if (!running->is_writing()) {
      const int64_t again =
          std::clamp<int64_t>(running->n_computed - running->n_cached, 0, running->n_rows);
      counters_.repeated_tokens += again;
      counters_.prompt_tokens += running->n_rows - again;
      running->n_cached += running->n_rows;
      keep_rows(*running);
    }
    if (running->logit_row >= 0) accept_answer(*running, running->logit_row);
    running->n_computed = std::max(running->n_computed, running->n_cached);
  }
}

// Log-probabilities of the prompt's tokens that follow the rows of this step, which begin at
// first_row of hidden.
void Engine::score_prompt(Running& running, const float* hidden, int64_t first_row) {
  const int64_t vocab_size = model_.config().vocab_size;
  const int64_t n_blocked = kAnswerRows * options_.max_running;
  const int64_t end = std::min(running.n_cached + running.n_rows, running.n_prompt() - 1);
  // Of a request that was put back some are known.
  int64_t position = std::max(running.n_cached, std::ssize(running.prompt_logprobs));
  std::vector<int32_t> rows;
  while (position < end) {
    rows.clear();
    for (int64_t p = position; p < std::min(end, position + n_blocked); ++p)
      rows.push_back(static_cast<int32_t>(first_row + p - running.n_cached));
    model_.logits(hidden, rows, logits_.data());
    for (size_t i = 0; i < rows.size(); ++i, ++position) {
      const std::span<const float> logits(logits_.data() + static_cast<int64_t>(i) * vocab_size,
                                          static_cast<size_t>(vocab_size));
      const int32_t token = running.ids[static_cast<size_t>(position + 1)];
      PromptLogprob& out = running.prompt_logprobs.emplace_back();
      out.logprob = token_logprob(model_.compute().isa, logits, token);
      top_logprobs(model_.compute().isa, logits, running.request.prompt_logprobs, out.top);
    }
  }
}

// For others who begin with the same tokens, and for itself if it is put back.
void Engine::keep_rows(Running& running) {
  const int64_t complete =
      is_reusable(running, running.n_cached) ? running.n_cached : running.n_prompt();
  cache_.keep(running.request.cache_partition, running.ids, complete, running.has_module_rows,
              *running.kv, running.place);
}

// Draws the token after the last, and where it is the draft, the one after that too.
void Engine::accept_answer(Running& running, int64_t row) {
  const bool was_writing = running.is_writing();
  const bool drafted = was_writing && running.n_rows == 2;
  if (was_writing) {
    ++running.n_cached;
    keep_rows(running);
  }
  const bool goes_on = accept_token(running, row);
  if (!drafted) return;
  ++running.usage.drafted_tokens;
  ++counters_.drafted_tokens;
  const bool accepted = goes_on && running.ids.back() == running.draft;
  meter_.record_drafts(1, accepted ? 1 : 0);
  if (!accepted) return;
  ++running.usage.accepted_tokens;
  ++counters_.accepted_tokens;
  ++running.n_cached;
  accept_token(running, row + 1);
}

// False where the answer ends.
bool Engine::accept_token(Running& running, int64_t logit_row) {
  const GenerateRequest& request = running.request;
  const int64_t vocab_size = model_.config().vocab_size;
  const std::span<const float> logits(logits_.data() + logit_row * vocab_size,
                                      static_cast<size_t>(vocab_size));
  // Where a grammar says when the answer may end, nothing ends before it holds.
  const bool may_stop = running.constraint && running.constraint->decides_end()
                            ? running.constraint->holds()
                            : running.n_generated() >= request.min_tokens;
  TokenEvent event;
  event.request = running.id;
  const std::span<const int32_t> stop_ids = running.stop_ids, none;
  const std::span<const uint64_t> allowed =
      running.constraint ? running.constraint->allowed(may_stop ? stop_ids : none)
                         : std::span<const uint64_t>();
  // Within a grammar a stop token that may not stop yet is one like others: there may be no other.
  const bool is_bound = running.constraint && running.constraint->holds();
  if (!allowed.empty() &&
      std::all_of(allowed.begin(), allowed.end(), [](uint64_t word) { return word == 0; })) {
    end(running, event, FinishReason::kStop);
    running.sink.on_token(event);
    return false;
  }
  event.token = sampler_.sample(logits, request.sampling, running.counts, running.n_tokens(),
                                may_stop || is_bound ? none : stop_ids, allowed);
  if (request.logprobs >= 0) {
    event.logprob = token_logprob(model_.compute().isa, logits, event.token);
    top_logprobs(model_.compute().isa, logits, request.logprobs, event.top_logprobs);
  }
  if (request.routed_experts)
    event.routed_experts = routing_.of_row(logit_rows_[static_cast<size_t>(logit_row)]);
  event.prompt_logprobs = std::move(running.prompt_logprobs);
  running.prompt_logprobs.clear();
  running.ids.push_back(event.token);
  running.counts.add_answer(event.token);
  ++counters_.generated_tokens;

  const bool stop_token =
      may_stop && std::find(stop_ids.begin(), stop_ids.end(), event.token) != stop_ids.end();
  FinishReason reason = FinishReason::kNone;
  if (stop_token) {
    reason = FinishReason::kStop;
  } else if (running.decoder) {
    event.text = running.stops.push(running.decoder->push(event.token));
    if (running.stops.stopped()) {
      reason = FinishReason::kStop;
      event.stop = running.stops.found();
    }
  }
  if (running.constraint && !stop_token) {
    running.constraint->accept(event.token, tokenizer_->token_bytes(event.token));
    if (reason == FinishReason::kNone && running.constraint->is_complete())
      reason = FinishReason::kStop;
  }
  if (reason == FinishReason::kNone && running.n_generated() >= running.max_tokens)
    reason = FinishReason::kLength;
  if (reason != FinishReason::kNone) end(running, event, reason);
  event.usage = running.usage;
  running.sink.on_token(event);
  return reason == FinishReason::kNone;
}

void Engine::end(Running& running, TokenEvent& event, FinishReason reason) {
  event.finish = reason;
  event.usage = running.usage;
  if (running.decoder) {
    event.text += running.stops.push(running.decoder->finish());
    event.text += running.stops.finish();
  }
  running.done = true;
}

// The MTP module over the rows of the step, each with the token after it; from the last row of each
// answer comes the draft of the token after the next. False where weights could not be read.
bool Engine::make_drafts(const float* hidden) {
  logit_rows_.clear();
  logit_owners_.clear();
  int64_t row = 0;
  for (size_t i = 0; i < owners_.size(); ++i) {
    Running& running = *owners_[i];
    BatchSequence& sequence = sequences_[i];
    const int64_t first = sequence.first_position, n = running.n_rows;
    if (first + n < running.n_tokens()) {
      sequence.tokens = std::span<const int32_t>(running.ids)
                            .subspan(static_cast<size_t>(first + 1), static_cast<size_t>(n));
    } else {
      // Behind a draft that was not accepted stands nothing yet; its row is written again.
      running.written.fill(running.ids.back());
      sequence.tokens = std::span<const int32_t>(running.written).first(static_cast<size_t>(n));
    }
    running.draft = -1;
    if (!running.done && running.logit_row >= 0 && running.has_module_rows) {
      logit_rows_.push_back(static_cast<int32_t>(row + running.n_cached - first - 1));
      logit_owners_.push_back(&running);
    }
    row += n;
  }
  const float* drafts = model_.mtp_forward(0, {.sequences = sequences_}, hidden);
  if (drafts == nullptr) return false;
  if (logit_rows_.empty()) return true;
  const int64_t vocab_size = model_.config().vocab_size;
  model_.logits(drafts, logit_rows_, logits_.data());
  for (size_t i = 0; i < logit_owners_.size(); ++i) {
    float* const logits = logits_.data() + static_cast<int64_t>(i) * vocab_size;
    Running& owner = *logit_owners_[i];
    if (owner.constraint)
      keep_allowed({logits, static_cast<size_t>(vocab_size)},
                   owner.constraint->allowed(owner.stop_ids));
    owner.draft = static_cast<int32_t>(std::max_element(logits, logits + vocab_size) - logits);
    if (options_.replace_draft) owner.draft = options_.replace_draft(owner.n_tokens(), owner.draft);
  }
  return true;
}

}  // namespace fathom
