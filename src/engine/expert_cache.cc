#include "engine/expert_cache.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "io/mapped_file.h"
#include "io/printable.h"

namespace fathom {

namespace {
// A use counts half after this many requests of its layer.
constexpr float kHalfLife = 16;
// Experts that are read ahead of computing: enough to keep a disk busy, and no more, since each
// takes the slot of one that may be needed soon, and those that have computed leave theirs.
constexpr int64_t kAheadBytes = int64_t{128} << 20;
int64_t ahead_of(int64_t slot_bytes, int64_t n_slots) {
  return std::min(std::clamp<int64_t>(kAheadBytes / slot_bytes, 4, 16),
                  std::max<int64_t>(2, n_slots / 8));
}
float faded(int64_t n_requests) { return std::exp2(-static_cast<float>(n_requests) / kHalfLife); }
}  // namespace

ExpertLayout ExpertLayout::of(const ModelWeights& weights, const WeightPlaces& places) {
  ExpertLayout out;
  out.layers = moe_layers(weights);
  for (const MoeWeights* layer : out.layers) {
    if (layer == nullptr) continue;
    out.n_experts = static_cast<int64_t>(layer->experts.size());
    for (const MlpWeights& expert : layer->experts) {
      const auto matrices = matrices_of(expert);
      std::optional<MatrixGroup> group = places.place({matrices.begin(), matrices.end()});
      if (!group) return {};
      out.slot_bytes = std::max(out.slot_bytes, group->bytes);
      out.places.push_back(std::move(*group));
    }
  }
  return out;
}

Result<std::unique_ptr<ExpertCache>> ExpertCache::create(ExpertLayout layout, int64_t n_slots,
                                                         std::unique_ptr<BlockReader> reader) {
  FATHOM_CHECK(n_slots >= 1 && layout.n_all() > 0, "slots ", n_slots);
  FATHOM_TRY(PageMemory memory, PageMemory::create(n_slots * layout.slot_bytes));
  return std::unique_ptr<ExpertCache>(
      new ExpertCache(std::move(layout), std::move(memory), std::move(reader), n_slots));
}

ExpertCache::ExpertCache(ExpertLayout layout, PageMemory memory,
                         std::unique_ptr<BlockReader> reader, int64_t n_slots)
    : layout_(std::move(layout)),
      clocks_(layout_.layers.size()),
      part_(n_slots / std::max<int64_t>(1, layout_.n_all() / layout_.n_experts)),
      n_ahead_(ahead_of(layout_.slot_bytes, n_slots)),
      experts_(layout_.places.size()),
      slots_(static_cast<size_t>(n_slots)),
      memory_(std::move(memory)),
      reader_(std::move(reader)) {
  int64_t row = 0;
  for (const MoeWeights* layer : layout_.layers) {
    row_of_layer_.push_back(layer == nullptr ? -1 : row);
    if (layer != nullptr) row += layout_.n_experts;
  }
  const size_t n = static_cast<size_t>(layout_.n_experts);
  missing_.reserve(n);
  present_.reserve(n);
  given_.reserve(n);
  group_.reserve(n);
}

ExpertCache::~ExpertCache() = default;

ExpertCacheStats ExpertCache::stats() const {
  ExpertCacheStats stats = stats_;
  const BlockReader::Counters counters = reader_->counters();
  stats.bytes_read = counters.bytes;
  stats.read_seconds = counters.seconds;
  return stats;
}

Status ExpertCache::set_embedding(const LinearWeight& embedding, const WeightPlaces& places) {
  embedding_ = embedding;
  const std::optional<MatrixGroup> place = places.place({&embedding});
  if (!place) return {};
  const FileRun& run = place->runs.front();
  embedding_path_ = places.files()[static_cast<size_t>(run.file)]->path();
  embedding_offset_ = run.offset + place->at.front() - run.at;
  FATHOM_TRY(embedding_file_, open_for_reading(embedding_path_));
  (void)::posix_fadvise(embedding_file_.get(), 0, 0, POSIX_FADV_RANDOM);
  row_.resize(static_cast<size_t>(matrix_bytes(embedding.dtype, 1, embedding.k)));
  return {};
}

LinearWeight ExpertCache::embedding_row(int32_t token) {
  LinearWeight row = embedding_;
  row.n = 1;
  const int64_t bytes = matrix_bytes(row.dtype, 1, row.k);
  if (row_.empty()) {
    row.data = static_cast<const std::byte*>(row.data) + token * bytes;
    return row;
  }
  row.data = row_.data();
  const int64_t got = read_at(embedding_file_.get(), embedding_offset_ + token * bytes, row_);
  if (got < 0) {
    status_ = io_error(str_cat("cannot read the embedding from ", printable(embedding_path_)));
  } else if (got < bytes) {
    status_ = Error{ErrorCode::kIo,
                    str_cat("cannot read the embedding from ", printable(embedding_path_),
                            ": it became shorter while it was in use; restore the file and start "
                            "again")};
  }
  return row;
}

void ExpertCache::begin_pass() {
  release_group();
  for (const int64_t slot : present_) slots_[static_cast<size_t>(slot)].wanted = false;
  present_.clear();
  missing_.clear();
  take_done(false);
  status_ = {};
}

void ExpertCache::request(int64_t layer, std::span<const int32_t> experts) {
  release_group();
  FATHOM_CHECK(present_.empty() && missing_.empty(), "layer ", layer_, " is not done");
  take_done(false);
  layer_ = layer;
  Clock& clock = clocks_[static_cast<size_t>(layer)];
  ++clock.n_requests;
  clock.uses = clock.uses * faded(1) + 1;
  const int64_t row = row_of_layer_[static_cast<size_t>(layer)];
  for (const int32_t id : experts) {
    const int64_t expert = row + id;
    use(expert);
    const int64_t slot = experts_[static_cast<size_t>(expert)].slot;
    if (slot < 0) {
      missing_.push_back(expert);
      continue;
    }
    slots_[static_cast<size_t>(slot)].wanted = true;
    slots_[static_cast<size_t>(slot)].fresh = false;
    present_.push_back(slot);
    ++stats_.n_found;
  }
  stats_.n_used += static_cast<int64_t>(experts.size());
  std::reverse(missing_.begin(), missing_.end());  // taken from the back
  start_reads();
  // Where room is short, those that are least worth keeping compute first and make it.
  if (!missing_.empty()) {
    std::sort(present_.begin(), present_.end(), [&](int64_t a, int64_t b) {
      return worth(slots_[static_cast<size_t>(a)]) < worth(slots_[static_cast<size_t>(b)]);
    });
  }
}

std::span<const ReadyExpert> ExpertCache::next_group() {
  release_group();
  take_done(false);
  start_reads();
  while (status_.ok() && !(present_.empty() && missing_.empty())) {
    // A part of the slots while experts wait for room, so that reading goes on beside computing.
    const size_t n_max =
        missing_.empty() ? present_.size() : std::max<size_t>(1, slots_.size() / 8);
    std::erase_if(present_, [&](int64_t slot) {
      const Slot& s = slots_[static_cast<size_t>(slot)];
      if (s.n_reading > 0 || given_.size() == n_max) return false;
      given_.push_back(slot);
      group_.push_back({static_cast<int32_t>(s.expert % layout_.n_experts), &s.weights});
      return true;
    });
    if (!group_.empty()) return group_;
    const auto begin = std::chrono::steady_clock::now();
    take_done(true);
    start_reads();  // slots that an interrupted pass still read into
    stats_.wait_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return {};
}

void ExpertCache::release_group() {
  for (const int64_t slot : given_) slots_[static_cast<size_t>(slot)].wanted = false;
  given_.clear();
  group_.clear();
}

void ExpertCache::start_reads() {
  const auto read_ahead = [&] {
    return std::count_if(present_.begin(), present_.end(),
                         [&](int64_t slot) { return slots_[static_cast<size_t>(slot)].fresh; });
  };
  while (!missing_.empty() && status_.ok() && read_ahead() < n_ahead_) {
    const int64_t slot = find_slot();
    if (slot < 0) return;
    read(missing_.back(), slot);
    missing_.pop_back();
  }
}

// A free slot, or that of the expert which is worth the least; -1 if all are in use.
int64_t ExpertCache::find_slot() const {
  int64_t best = -1;
  Worth least{};
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.wanted || slot.n_reading > 0) continue;
    if (slot.expert < 0) return static_cast<int64_t>(i);
    const Worth w = worth(slot);
    if (best >= 0 && !(w < least)) continue;
    best = static_cast<int64_t>(i);
    least = w;
  }
  return best;
}

void ExpertCache::read(int64_t expert, int64_t slot_index) {
  Slot& slot = slots_[static_cast<size_t>(slot_index)];
  if (slot.expert >= 0) empty(slot);
  slot.expert = expert;
  slot.layer = layer_;
  ++clocks_[static_cast<size_t>(layer_)].n_held;
  slot.wanted = true;
  slot.fresh = true;
  slot.failed = false;
  experts_[static_cast<size_t>(expert)].slot = static_cast<int32_t>(slot_index);
  present_.push_back(slot_index);
  std::byte* const memory = memory_.data() + slot_index * layout_.slot_bytes;
  const MatrixGroup& place = layout_.places[static_cast<size_t>(expert)];
  const MoeWeights& layer = *layout_.layers[static_cast<size_t>(layer_)];
  slot.weights = layer.experts[static_cast<size_t>(expert % layout_.n_experts)];
  slot.weights.gate_proj.data = memory + place.at[0];
  slot.weights.up_proj.data = memory + place.at[1];
  slot.weights.down_proj.data = memory + place.at[2];
  slot.n_reading = static_cast<int32_t>(place.runs.size());
  for (const FileRun& run : place.runs) {
    reader_->submit({.file = run.file,
                     .offset = run.offset,
                     .bytes = run.bytes,
                     .data = memory + run.at,
                     .tag = slot_index});
  }
}

void ExpertCache::take_done(bool wait) {
  done_.clear();
  reader_->take(done_, wait);
  for (const BlockReader::Done& done : done_) {
    Slot& slot = slots_[static_cast<size_t>(done.tag)];
    --slot.n_reading;
    if (!done.error.empty()) {
      slot.failed = true;
      if (slot.wanted) status_ = Error{ErrorCode::kIo, done.error};
    }
    if (slot.n_reading > 0 || !slot.failed) continue;
    empty(slot);
    slot.failed = false;
  }
}

void ExpertCache::empty(Slot& slot) {
  experts_[static_cast<size_t>(slot.expert)].slot = -1;
  --clocks_[static_cast<size_t>(slot.layer)].n_held;
  slot.expert = -1;
}

void ExpertCache::use(int64_t expert) {
  Expert& e = experts_[static_cast<size_t>(expert)];
  const int64_t now = clocks_[static_cast<size_t>(layer_)].n_requests;
  e.uses = e.uses * faded(now - e.last_use) + 1;
  e.last_use = now;
}

ExpertCache::Worth ExpertCache::worth(const Slot& slot) const {
  const Expert& e = experts_[static_cast<size_t>(slot.expert)];
  const Clock& clock = clocks_[static_cast<size_t>(slot.layer)];
  const Clock& own = clocks_[static_cast<size_t>(layer_)];
  // A layer that holds its part of the slots makes room from its own, another from those that hold
  // more than theirs.
  const bool spared = own.n_held >= part_ ? slot.layer != layer_ : clock.n_held <= part_;
  const int64_t n_layers = static_cast<int64_t>(row_of_layer_.size());
  return {spared, e.uses * faded(clock.n_requests - e.last_use) / clock.uses,
          (slot.layer - layer_ - 1 + n_layers) % n_layers};
}

}  // namespace fathom
