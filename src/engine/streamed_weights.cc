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

// The limit that leaves so many bytes beside its margin; rounded up to the tenths in which it is
// shown, with enough for what differs from run to run.
int64_t least_limit(int64_t bytes) {
  const int64_t sure = bytes + std::max(bytes / 20, kRunToRunBytes);
  const int64_t least = (sure + kMarginBytes) / (kMarginShare - 1) * kMarginShare;
  int64_t unit = 1;
  while (unit * 1000 <= least) unit *= 1000;
  return round_up(least, std::max<int64_t>(1, unit / 10));
}

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

Result<std::unique_ptr<StreamedWeights>> StreamedWeights::create(const ModelConfig& config,
                                                                 ModelWeights& weights,
                                                                 const StreamBudget& budget) {
  const StreamNeeds needs = stream_needs(config, weights);
  FATHOM_CHECK(needs.possible, "weights that lie in no file");
  weights.checkpoint->release_pages();
  const int64_t used = used_memory_bytes();
  const int64_t fixed = used + budget.later + needs.dense_bytes + memory_margin(budget.limit);
  const int64_t left =
      std::min(budget.limit - fixed, left_of_data_limit() - budget.later - needs.dense_bytes -
                                         memory_margin(budget.limit));
  const int64_t n_slots =
      std::min(needs.n_experts, budget.n_slots.value_or(left / needs.slot_bytes));
  if (!budget.n_slots && n_slots < needs.min_slots) {
    const int64_t least =
        least_limit(used + budget.later + needs.dense_bytes + needs.min_slots * needs.slot_bytes);
    return exhausted_error(
        "--max-memory ", readable_bytes(budget.limit),
        " is too little even with experts read from disk: at least ", readable_bytes(least),
        " are needed (weights that every token uses ", readable_bytes(needs.dense_bytes), ", ",
        needs.min_slots, " experts ", readable_bytes(needs.min_slots * needs.slot_bytes),
        ", the rest program, scratch and caches); give more, or a smaller --context");
  }
  const WeightPlaces places(*weights.checkpoint);
  FATHOM_TRY(std::unique_ptr<BlockReader> reader, BlockReader::create());
  for (const MappedFile* file : places.files()) {
    FATHOM_RETURN_IF_ERROR(
        reader->add_file(file->path(), static_cast<int64_t>(file->bytes().size())));
  }
  std::unique_ptr<StreamedWeights> out(new StreamedWeights());
  ExpertLayout layout = ExpertLayout::of(weights, places);
  FATHOM_RETURN_IF_ERROR(out->read_dense(weights, places, *reader));
  FATHOM_TRY(out->experts_, ExpertCache::create(std::move(layout), n_slots, std::move(reader)));
  const LinearWeight& embedding = weights.embed_tokens;
  if (places.in_file(embedding)) {
    out->experts_->release_each_pass(
        {static_cast<const std::byte*>(embedding.data),
         static_cast<size_t>(matrix_bytes(embedding.dtype, embedding.n, embedding.k))});
  }
  const int64_t experts_bytes = n_slots * needs.slot_bytes;
  out->plan_ = str_cat(
      "memory ", readable_bytes(used + budget.later + needs.dense_bytes + experts_bytes), " of ",
      readable_bytes(budget.limit), ": ", readable_bytes(needs.dense_bytes), " of weights stay, ",
      n_slots, " of ", needs.n_experts, " experts fit (", readable_bytes(experts_bytes),
      "), program, scratch and caches ", readable_bytes(used + budget.later),
      "; a token reads at most ", readable_bytes(needs.bytes_per_token), " from disk");
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
