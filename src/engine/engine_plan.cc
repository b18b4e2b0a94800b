// Who runs, and what of each enters the next step.
#include <algorithm>

#include "base/math.h"
#include "engine/running.h"

namespace fathom {

namespace {

// Tokens that a request should be able to write before it has to be put back.
constexpr int64_t kHeadroom = 64;

}  // namespace

void Engine::put_in(Line& line, std::unique_ptr<Running> running) {
  const auto at = std::upper_bound(line.begin(), line.end(), running,
                                   [](const auto& a, const auto& b) { return a->before(*b); });
  line.insert(at, std::move(running));
}

// Whether a prompt would compute rows up to n_positions as this request does: the form belongs to
// the position, so of kAuto those of its prompt.
bool Engine::is_reusable(const Running& running, int64_t n_positions) const {
  return n_positions <= running.n_prompt() ||
         is_absorbed(options_.attention, true) == is_absorbed(options_.attention, false);
}

void Engine::admit() {
  while (!queue_.empty() && n_running() < options_.max_running) {
    if (!admit_first()) return;
    put_in(running_, std::move(queue_.front()));
    queue_.erase(queue_.begin());
  }
}

// Needs room for what it brings, for some of its answer, and a block for each that runs.
bool Engine::admit_first() {
  Running& next = *queue_.front();
  auto kv = std::make_unique<KvSequence>(pool_, options_.context);
  // At least one token is computed: its logits are wanted.
  const int64_t most = is_reusable(next, next.n_tokens()) ? next.n_tokens() : next.n_prompt();
  const int64_t reusable =
      next.request.prompt_logprobs >= 0 ? 0 : std::min(most, next.n_tokens() - 1);
  const PrefixCache::Found found =
      cache_.adopt(next.request.cache_partition, next.ids, reusable, *kv);
  const int64_t positions =
      std::min(next.n_tokens() + kHeadroom, next.n_prompt() + next.max_tokens);
  const int64_t blocks = ceil_div(positions, kKvBlockRows) - kv->n_blocks();
  if (!cache_.make_room(blocks + n_running())) return false;
  next.kv = std::move(kv);
  next.n_cached = found.n_positions;
  next.has_module_rows = found.has_module_rows;
  next.place = {};
  next.draft = -1;
  if (next.n_computed == 0) {
    next.usage.cached_prompt_tokens = found.n_positions;
    counters_.cached_tokens += found.n_positions;
  }
  return true;
}

// Its rows are lost, but for what the prefix cache keeps; what it wrote is not.
void Engine::put_back_last() {
  std::unique_ptr<Running> last = std::move(running_.back());
  running_.pop_back();
  last->kv.reset();
  last->n_cached = 0;
  last->n_rows = 0;
  put_in(queue_, std::move(last));
  ++counters_.put_back;
}

// Room for n_positions of the request at this place in the line, from those behind it if need be.
// False where it was put back itself.
bool Engine::secure(size_t at, int64_t n_positions) {
  KvSequence& kv = *running_[at]->kv;
  while (!kv.reserve(n_positions)) {
    const int64_t missing = ceil_div(n_positions, kKvBlockRows) - kv.n_blocks();
    if (cache_.make_room(missing)) continue;
    const bool is_last = at + 1 == running_.size();
    FATHOM_CHECK(!is_last || at > 0, "a request that fits alone found no room alone");
    put_back_last();
    if (is_last) return false;
  }
  return true;
}

void Engine::plan() {
  int64_t n_writing = 0;
  for (const auto& running : running_) n_writing += running->is_writing() ? 1 : 0;
  switch (options_.drafting) {
    case Drafting::kOff:
      mode_ = SpeculationMeter::Step::kPlain;
      break;
    case Drafting::kOn:
      mode_ = SpeculationMeter::Step::kDraft;
      break;
    case Drafting::kAuto:
      mode_ = meter_.next(std::max<int64_t>(1, n_writing));
      break;
  }
  share_rows();
  secure_rows();
  sequences_.clear();
  owners_.clear();
  logit_rows_.clear();
  int32_t row = 0;
  for (auto& running : running_) {
    running->logit_row = -1;
    if (running->n_rows == 0) continue;
    add_piece(*running);
    row += static_cast<int32_t>(running->n_rows);
    if (running->n_cached + running->n_rows < running->n_tokens()) continue;
    const int64_t n_logits = running->is_writing() ? running->n_rows : 1;
    running->logit_row = std::ssize(logit_rows_);
    for (int64_t i = n_logits; i > 0; --i) logit_rows_.push_back(row - static_cast<int32_t>(i));
  }
}

// n_rows of each that runs.
void Engine::share_rows() {
  needs_.clear();
  for (auto& running : running_) {
    if (running->is_writing()) {
      // A draft's own token must have a place too.
      const bool has_room = running->n_generated() + 1 < running->max_tokens;
      const bool drafts =
          mode_ == SpeculationMeter::Step::kDraft && running->draft >= 0 && has_room;
      running->n_rows = drafts ? 2 : 1;
      continue;
    }
    // A piece has one form.
    const int64_t end =
        running->n_cached < running->n_prompt() ? running->n_prompt() : running->n_tokens();
    needs_.push_back({running->n_cached, end - running->n_cached});
  }
  share_prefill(needs_, options_.prefill_rows, shares_);
  size_t i = 0;
  for (auto& running : running_)
    if (!running->is_writing()) running->n_rows = shares_[i++];
}

void Engine::secure_rows() {
  for (size_t at = 0; at < running_.size(); ++at) {
    Running& running = *running_[at];
    if (running.n_rows > 0 && !secure(at, running.n_cached + running.n_rows)) return;
  }
}

void Engine::add_piece(Running& running) {
  const bool generated = running.n_cached >= running.n_prompt();
  std::span<const int32_t> tokens;
  if (running.is_writing()) {
    running.written = {running.ids.back(), running.draft};
    tokens = running.written;
  } else {
    tokens = std::span<const int32_t>(running.ids).subspan(static_cast<size_t>(running.n_cached));
  }
  sequences_.push_back({.tokens = tokens.first(static_cast<size_t>(running.n_rows)),
                        .first_position = running.n_cached,
                        .absorbed = is_absorbed(options_.attention, generated),
                        .kv = running.kv.get()});
  owners_.push_back(&running);
}

}  // namespace fathom
