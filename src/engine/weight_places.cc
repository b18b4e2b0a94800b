#include "engine/weight_places.h"

#include <algorithm>

#include "base/math.h"

namespace fathom {

namespace {

// A gap that is cheaper to read than to skip.
constexpr int64_t kGapMax = 64 * 1024;

void add_mlp(std::vector<LinearWeight*>& out, MlpWeights& w) {
  for (LinearWeight* matrix : {&w.gate_proj, &w.up_proj, &w.down_proj}) out.push_back(matrix);
}

void add_layer(std::vector<LinearWeight*>& out, LayerWeights& w) {
  AttentionWeights& a = w.self_attn;
  for (LinearWeight* matrix : {&a.q_proj, &a.q_a_proj, &a.q_b_proj, &a.kv_a_proj_with_mqa,
                               &a.kv_b_proj, &a.o_proj, &w.moe.gate}) {
    out.push_back(matrix);
  }
  add_mlp(out, w.mlp);
  add_mlp(out, w.moe.shared_experts);
}

}  // namespace

std::array<const LinearWeight*, 3> matrices_of(const MlpWeights& expert) {
  return {&expert.gate_proj, &expert.up_proj, &expert.down_proj};
}

std::vector<LinearWeight*> dense_matrices(ModelWeights& weights) {
  std::vector<LinearWeight*> out;
  for (LayerWeights& layer : weights.layers) add_layer(out, layer);
  for (MtpWeights& mtp : weights.mtp) {
    out.push_back(&mtp.eh_proj);
    add_layer(out, mtp.layer);
  }
  out.push_back(&weights.lm_head);
  std::erase_if(out, [](const LinearWeight* matrix) { return matrix->empty(); });
  return out;
}

std::vector<const MoeWeights*> moe_layers(const ModelWeights& weights) {
  std::vector<const MoeWeights*> out;
  for (const LayerWeights& layer : weights.layers)
    out.push_back(layer.is_moe ? &layer.moe : nullptr);
  for (const MtpWeights& mtp : weights.mtp)
    out.push_back(mtp.layer.is_moe ? &mtp.layer.moe : nullptr);
  return out;
}

WeightPlaces::WeightPlaces(const Checkpoint& checkpoint) {
  for (const Shard& shard : checkpoint.shards()) {
    const MappedFile* file = shard.bytes.mapped();
    if (file == nullptr) continue;
    ranges_.push_back({.begin = file->bytes().data(),
                       .bytes = static_cast<int64_t>(file->bytes().size()),
                       .file = static_cast<int>(files_.size())});
    files_.push_back(file);
  }
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

std::optional<WeightPlaces::Place> WeightPlaces::find(const LinearWeight& matrix) const {
  const std::byte* const data = static_cast<const std::byte*>(matrix.data);
  const auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), data,
      [](const std::byte* address, const Range& range) { return address < range.begin; });
  if (after == ranges_.begin()) return std::nullopt;
  const Range& range = *(after - 1);
  const int64_t begin = data - range.begin;
  const int64_t end = begin + matrix_bytes(matrix.dtype, matrix.n, matrix.k);
  if (end > range.bytes) return std::nullopt;
  return Place{range.file, begin, end};
}

std::optional<MatrixGroup> WeightPlaces::place(
    const std::vector<const LinearWeight*>& matrices) const {
  std::vector<Place> places;
  for (const LinearWeight* matrix : matrices) {
    const std::optional<Place> place = find(*matrix);
    if (!place) return std::nullopt;
    places.push_back(*place);
  }
  std::vector<size_t> order(places.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return places[a].file != places[b].file ? places[a].file < places[b].file
                                            : places[a].begin < places[b].begin;
  });
  MatrixGroup group;
  group.at.resize(places.size());
  for (const size_t i : order) {
    const Place& place = places[i];
    FileRun* run = group.runs.empty() ? nullptr : &group.runs.back();
    if (run == nullptr || run->file != place.file ||
        place.begin > run->offset + run->bytes + kGapMax) {
      if (run != nullptr) group.bytes = run->at + round_up(run->bytes, kReadAlignment);
      group.runs.push_back({.file = place.file,
                            .offset = place.begin / kReadAlignment * kReadAlignment,
                            .bytes = 0,
                            .at = group.bytes});
      run = &group.runs.back();
    }
    run->bytes = std::max(run->bytes, place.end - run->offset);
    group.at[i] = run->at + place.begin - run->offset;
  }
  if (!group.runs.empty())
    group.bytes = group.runs.back().at + round_up(group.runs.back().bytes, kReadAlignment);
  return group;
}

}  // namespace fathom
