#include "engine/streamed_weights.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/math.h"
#include "engine/machine.h"
#include "io/mapped_file.h"

namespace fathom {

namespace {

std::vector<const LinearWeight*> read_only(const std::vector<LinearWeight*>& matrices) {
  return {matrices.begin(), matrices.end()};
}

constexpr int64_t kMarginBytes = int64_t{8} << 20;
constexpr int64_t kMarginShare = 100;

// What may differ from run to run: a thread that finds malloc's arena taken opens another of one or
// two megabytes.
constexpr int64_t kRunToRunBytes = int64_t{4} << 20;

std::string tenth(double value) { return str_cat(std::round(value * 10) / 10); }

// Matrices that lie in a file; the others are in memory already.
std::vector<LinearWeight*> dense_in_files(ModelWeights& weights, const WeightPlaces& places) {
  std::vector<LinearWeight*> matrices = dense_matrices(weights);
  std::erase_if(matrices, [&](const LinearWeight* m) { return !places.in_file(*m); });
  return matrices;
}

}  // namespace

std::string readable_bytes(int64_t bytes) {
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  constexpr const char* kUnits[] = {"bytes", "KB", "MB", "GB", "TB", "PB"};
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return str_cat(tenth(value), " ", kUnits[unit]);
}

int64_t memory_margin(int64_t limit) { return kMarginBytes + limit / kMarginShare; }

int64_t least_limit(int64_t bytes) {
  // Rounded up to the tenths in which it is shown, with enough for what differs from run to run.
  const int64_t sure = bytes + std::max(bytes / 20, kRunToRunBytes);
  const int64_t least = (sure + kMarginBytes) / (kMarginShare - 1) * kMarginShare;
  int64_t unit = 1;
  while (unit * 1000 <= least) unit *= 1000;
  return round_up(least, std::max<int64_t>(1, unit / 10));
}

StreamNeeds stream_needs(const ModelConfig& config, ModelWeights& weights) {
  const WeightPlaces places(*weights.checkpoint);
  const ExpertLayout layout = ExpertLayout::of(weights, places);
  StreamNeeds needs;
  if (layout.n_all() == 0) return needs;
  needs.possible = true;
  needs.dense_bytes = places.place(read_only(dense_in_files(weights, places)))->bytes;
  needs.slot_bytes = layout.slot_bytes;
  needs.n_experts = layout.n_all();
  needs.min_slots = config.num_experts_per_tok;
  const int64_t n_layers =
      std::count_if(layout.layers.begin(), layout.layers.begin() + config.num_hidden_layers,
                    [](const MoeWeights* layer) { return layer != nullptr; });
  needs.bytes_per_token = n_layers * config.num_experts_per_tok * layout.slot_bytes;
  return needs;
}

int64_t weights_beyond_used(const Checkpoint& checkpoint) {
  constexpr size_t kPage = 4096;  // of any system, or a part of it
  bool in_files = false;
  for (const Shard& shard : checkpoint.shards()) {
    in_files = in_files || shard.bytes.mapped() != nullptr;
    if (shard.bytes.mapped() != nullptr) continue;
    const std::span<const std::byte> bytes = shard.bytes.bytes();
    for (size_t i = 0; i < bytes.size(); i += kPage)
      (void)*static_cast<const volatile std::byte*>(&bytes[i]);
  }
  checkpoint.release_pages();
  return in_files ? checkpoint.total_bytes() : 0;
}

namespace {

// Where the memory goes.
struct Room {
  int64_t fixed = 0;      // program, scratch, caches
  int64_t needed = 0;     // that, the dense part, and the experts of one token
  int64_t slots = 0;      // bytes that are left for slots
  bool by_shell = false;  // a limit on data says so, not budget.limit
};

Room room_for(const StreamNeeds& needs, const StreamBudget& budget) {
  const int64_t used = used_memory_bytes() + budget.untouched;
  // A limit on data has counted what is mapped, touched or not.
  const int64_t more = budget.later + needs.dense_bytes + memory_margin(budget.limit);
  const int64_t by_limit = budget.limit - used - more;
  const int64_t by_shell = left_of_data_limit() - more;
  return {.fixed = used + budget.later,
          .needed = used + budget.later + needs.dense_bytes + needs.min_slots * needs.slot_bytes,
          .slots = std::min(by_limit, by_shell),
          .by_shell = by_shell < by_limit};
}

Error no_room(const Room& room, const StreamNeeds& needs, const StreamBudget& budget) {
  const int64_t experts = needs.min_slots * needs.slot_bytes;
  const std::string parts = str_cat(
      "(weights that every token uses ", readable_bytes(needs.dense_bytes), ", ", needs.min_slots,
      " experts ", readable_bytes(experts), ", the rest program, scratch and caches)");
  if (room.by_shell) {
    return exhausted_error("the limit on data that this process was started with (ulimit -d) is ",
                           readable_bytes(experts - room.slots),
                           " too low even with experts read from disk ", parts,
                           "; raise it, or give ", budget.less);
  }
  return exhausted_error("--max-memory ", readable_bytes(budget.limit),
                         " is too little even with experts read from disk: at least ",
                         readable_bytes(least_limit(room.needed)), " are needed ", parts,
                         "; give more, or ", budget.less);
}

}  // namespace

Result<std::unique_ptr<StreamedWeights>> StreamedWeights::create(const ModelConfig& config,
                                                                 ModelWeights& weights,
                                                                 const StreamBudget& budget) {
  const StreamNeeds needs = stream_needs(config, weights);
  FATHOM_CHECK(needs.possible, "weights that lie in no file");
  const WeightPlaces places(*weights.checkpoint);
  // Before memory is measured, since its threads take some.
  FATHOM_TRY(std::unique_ptr<BlockReader> reader, BlockReader::create());
  for (const MappedFile* file : places.files()) {
    FATHOM_RETURN_IF_ERROR(
        reader->add_file(file->path(), static_cast<int64_t>(file->bytes().size())));
  }
  weights.checkpoint->release_pages();
  const Room room = room_for(needs, budget);
  const int64_t n_slots =
      std::min(needs.n_experts, budget.n_slots.value_or(room.slots / needs.slot_bytes));
  if (!budget.n_slots && n_slots < needs.min_slots) return no_room(room, needs, budget);
  std::unique_ptr<StreamedWeights> out(new StreamedWeights());
  ExpertLayout layout = ExpertLayout::of(weights, places);
  FATHOM_RETURN_IF_ERROR(out->read_dense(weights, places, *reader));
  FATHOM_TRY(out->experts_, ExpertCache::create(std::move(layout), n_slots, std::move(reader)));
  FATHOM_RETURN_IF_ERROR(out->experts_->set_embedding(weights.embed_tokens, places));
  const int64_t experts_bytes = n_slots * needs.slot_bytes;
  out->plan_ = str_cat(
      "memory ", readable_bytes(room.fixed + needs.dense_bytes + experts_bytes), " of ",
      readable_bytes(budget.limit), ": ", readable_bytes(needs.dense_bytes), " of weights stay, ",
      n_slots, " of ", needs.n_experts, " experts fit (", readable_bytes(experts_bytes),
      "), program, scratch and caches ", readable_bytes(room.fixed), "; a token reads at most ",
      readable_bytes(needs.bytes_per_token), " from disk");
  return out;
}

Status StreamedWeights::read_dense(ModelWeights& weights, const WeightPlaces& places,
                                   BlockReader& reader) {
  const std::vector<LinearWeight*> matrices = dense_in_files(weights, places);
  const std::optional<MatrixGroup> group = places.place(read_only(matrices));
  FATHOM_TRY(dense_, PageMemory::create(group->bytes));
  for (const FileRun& run : group->runs) {
    reader.submit({.file = run.file,
                   .offset = run.offset,
                   .bytes = run.bytes,
                   .data = dense_.data() + run.at});
  }
  std::vector<BlockReader::Done> done;
  std::string error;
  while (reader.n_pending() > 0) {
    reader.take(done, true);
    for (BlockReader::Done& one : done) {
      if (!one.error.empty()) error = std::move(one.error);
    }
    done.clear();
  }
  if (!error.empty()) return Error{ErrorCode::kIo, error};
  const bool tied = weights.lm_head.data == weights.embed_tokens.data;
  for (size_t i = 0; i < matrices.size(); ++i) matrices[i]->data = dense_.data() + group->at[i];
  if (tied) weights.embed_tokens.data = weights.lm_head.data;
  return {};
}

std::string StreamedWeights::report() const {
  const ExpertCacheStats stats = experts_->stats();
  const double found = stats.n_used == 0 ? 0
                                         : 100 * static_cast<double>(stats.n_found) /
                                               static_cast<double>(stats.n_used);
  const double rate =
      stats.read_seconds == 0 ? 0 : static_cast<double>(stats.bytes_read) / stats.read_seconds;
  return str_cat("experts: ", tenth(found), " % of ", stats.n_used, " were in memory; ",
                 readable_bytes(stats.bytes_read), " read from disk at ",
                 readable_bytes(static_cast<int64_t>(rate)), "/s, waited for ",
                 tenth(stats.wait_seconds), " s");
}

}  // namespace fathom
