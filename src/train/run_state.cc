#include "train/run_state.h"

#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace fathom {
namespace {

constexpr std::string_view kMetadataName = "run_state";

// A tensor of the file and the memory that it is a picture of.
struct Piece {
  TensorSpec spec;
  std::span<std::byte> bytes;
};

std::vector<Piece> pieces_of(Trainee& model, Optimizer& optimizer) {
  std::vector<Piece> pieces;
  const Dtype moment_dtype = optimizer.bf16_moments() ? Dtype::kBF16 : Dtype::kF32;
  for (const TrainedTensor& tensor : model.tensors()) {
    const auto values = model.values().subspan(static_cast<size_t>(tensor.offset),
                                               static_cast<size_t>(tensor.size));
    pieces.push_back(
        {{"master." + tensor.name, Dtype::kF32, tensor.shape}, std::as_writable_bytes(values)});
    for (int which : {0, 1}) {
      pieces.push_back(
          {{str_cat("moment", which + 1, ".", tensor.name), moment_dtype, tensor.shape},
           optimizer.moment(which, tensor.offset, tensor.size)});
    }
  }
  int64_t layer = 0;
  for (const std::span<float> bias : model.router_biases()) {
    pieces.push_back(
        {{str_cat("router_bias.", layer++), Dtype::kF32, {static_cast<int64_t>(bias.size())}},
         std::as_writable_bytes(bias)});
  }
  return pieces;
}

// Doubles as their bits: what is read is what was written, also infinities.
std::string to_json(const RunState& state) {
  const auto bits = [](double x) { return static_cast<int64_t>(std::bit_cast<uint64_t>(x)); };
  return Json(Json::Object{{"step", state.step},
                           {"tokens", state.tokens},
                           {"stage", state.stage},
                           {"stage_sequences", state.stage_sequences},
                           {"digest", static_cast<int64_t>(state.digest)},
                           {"spikes_seen", state.spikes.n_seen},
                           {"spikes_mean_bits", bits(state.spikes.mean)},
                           {"spikes_variance_bits", bits(state.spikes.variance)},
                           {"rollbacks", state.spikes.n_rollbacks}})
      .dump();
}

Result<RunState> from_json(std::string_view text, const std::string& name) {
  FATHOM_TRY(const Json json, parse_json(text));
  RunState state;
  int64_t digest = 0, mean = 0, variance = 0;
  const std::pair<const char*, int64_t*> fields[] = {{"step", &state.step},
                                                     {"tokens", &state.tokens},
                                                     {"stage", &state.stage},
                                                     {"stage_sequences", &state.stage_sequences},
                                                     {"digest", &digest},
                                                     {"spikes_seen", &state.spikes.n_seen},
                                                     {"spikes_mean_bits", &mean},
                                                     {"spikes_variance_bits", &variance},
                                                     {"rollbacks", &state.spikes.n_rollbacks}};
  for (const auto& [field, value] : fields) {
    const Json* member = json.find(field);
    if (member == nullptr || !member->is_int())
      return invalid_error(name, ": its metadata lack ", field, "; it is no state of a run");
    *value = member->as_int();
  }
  if (state.step < 0 || state.tokens < 0 || state.stage < 0 || state.stage_sequences < 0)
    return invalid_error(name, ": a position in its metadata is negative");
  state.digest = static_cast<uint64_t>(digest);
  state.spikes.mean = std::bit_cast<double>(mean);
  state.spikes.variance = std::bit_cast<double>(variance);
  return state;
}

using TensorsByName = std::unordered_map<std::string_view, const Tensor*>;

Status take_tensor(const TensorsByName& tensors, const Piece& piece, const std::string& name) {
  const auto found = tensors.find(piece.spec.name);
  if (found == tensors.end())
    return invalid_error(name, ": tensor ", piece.spec.name, " is missing");
  const Tensor& tensor = *found->second;
  if (tensor.dtype != piece.spec.dtype || tensor.shape != piece.spec.shape) {
    return invalid_error(name, ": tensor ", piece.spec.name,
                         " has another shape or type than the run's");
  }
  std::memcpy(piece.bytes.data(), tensor.data, piece.bytes.size());
  return {};
}

}  // namespace

Status save_run_state(const std::string& folder, const RunState& state, Trainee& model,
                      Optimizer& optimizer) {
  const std::vector<Piece> pieces = pieces_of(model, optimizer);
  std::vector<TensorSpec> specs;
  specs.reserve(pieces.size());
  for (const Piece& piece : pieces) specs.push_back(piece.spec);
  FATHOM_TRY(
      SafetensorsWriter writer,
      SafetensorsWriter::create(join_path(folder, kStateName), std::move(specs),
                                /*force=*/false, {{std::string(kMetadataName), to_json(state)}}));
  for (size_t i = 0; i < pieces.size(); ++i)
    FATHOM_RETURN_IF_ERROR(writer.write(i, pieces[i].bytes));
  return writer.finish();
}

Result<RunState> load_run_state(const std::string& folder, uint64_t digest, Trainee& model,
                                Optimizer& optimizer) {
  const std::string name = join_path(folder, kStateName);
  FATHOM_TRY(const MappedFile mapped, MappedFile::open(name));
  FATHOM_TRY(const SafetensorsFile file, parse_safetensors(mapped.bytes(), name));
  std::string text;
  for (const auto& [key, value] : file.metadata) {
    if (key == kMetadataName) text = value;
  }
  FATHOM_TRY(const RunState state, from_json(text, name));
  if (state.digest != digest) {
    return invalid_error(name,
                         " was written under another configuration: only the run's end, output, "
                         "evaluate, sample and checkpoints may change; for anything else start a "
                         "new run with model.init");
  }
  const std::vector<Piece> pieces = pieces_of(model, optimizer);
  if (pieces.size() != file.tensors.size()) {
    return invalid_error(name, " has ", file.tensors.size(), " tensors, expected ", pieces.size(),
                         "; is it of this model?");
  }
  TensorsByName tensors;
  for (const NamedTensor& entry : file.tensors) tensors.emplace(entry.name, &entry.tensor);
  for (const Piece& piece : pieces) FATHOM_RETURN_IF_ERROR(take_tensor(tensors, piece, name));
  return state;
}

}  // namespace fathom
