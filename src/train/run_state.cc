#include "train/run_state.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/xxh64.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace fathom {
namespace {

constexpr std::string_view kMetadataName = "run_state";
constexpr std::string_view kChecksumName = "xxh64";

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

// Digests and doubles as their bits: what is read is what was written, also infinities.
int64_t bits(uint64_t x) { return static_cast<int64_t>(x); }
int64_t bits(double x) { return bits(std::bit_cast<uint64_t>(x)); }

std::string to_json(const RunState& state) {
  Json sources = Json::array();
  for (const SourceIdentity& source : state.inputs.sources) sources.push_back(bits(source.digest));
  return Json(Json::Object{{"step", state.step},
                           {"tokens", state.tokens},
                           {"stage", state.stage},
                           {"stage_sequences", state.stage_sequences},
                           {"skipped", state.n_skipped},
                           {"digest", bits(state.digest)},
                           {"model", bits(state.inputs.model)},
                           {"sources", std::move(sources)},
                           {"isa", state.isa},
                           {"spikes_seen", state.spikes.n_seen},
                           {"spikes_mean_bits", bits(state.spikes.mean)},
                           {"spikes_variance_bits", bits(state.spikes.variance)},
                           {"spikes_in_row", state.spikes.n_in_row},
                           {"rollbacks", state.spikes.n_rollbacks}})
      .dump();
}

// What states of earlier versions lack.
struct LaterFields {
  std::optional<uint64_t> model;
  std::optional<std::vector<uint64_t>> sources;
};

struct StoredState {
  RunState state;
  LaterFields later;
};

Status read_later_fields(const Json& json, const std::string& name, StoredState& out) {
  const auto bad = [&name](const char* field) {
    return invalid_error(name, ": ", field, " in its metadata is no such thing");
  };
  for (const auto& [field, value] : {std::pair{"skipped", &out.state.n_skipped},
                                     std::pair{"spikes_in_row", &out.state.spikes.n_in_row}}) {
    const Json* member = json.find(field);
    if (member != nullptr && (!member->is_int() || member->as_int() < 0)) return bad(field);
    if (member != nullptr) *value = member->as_int();
  }
  if (const Json* model = json.find("model")) {
    if (!model->is_int()) return bad("model");
    out.later.model = static_cast<uint64_t>(model->as_int());
  }
  if (const Json* isa = json.find("isa")) {
    if (!isa->is_string()) return bad("isa");
    out.state.isa = isa->as_string();
  }
  const Json* sources = json.find("sources");
  if (sources == nullptr) return {};
  if (!sources->is_array()) return bad("sources");
  out.later.sources.emplace();
  for (const Json& source : sources->as_array()) {
    if (!source.is_int()) return bad("sources");
    out.later.sources->push_back(static_cast<uint64_t>(source.as_int()));
  }
  return {};
}

Result<StoredState> from_json(std::string_view text, const std::string& name) {
  Result<Json> json = parse_json(text);
  if (!json.ok()) return invalid_error(name, ": its metadata are ", json.error().message);
  StoredState out;
  RunState& state = out.state;
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
    const Json* member = json->find(field);
    if (member == nullptr || !member->is_int())
      return invalid_error(name, ": its metadata lack ", field);
    *value = member->as_int();
  }
  if (state.step < 0 || state.tokens < 0 || state.stage < 0 || state.stage_sequences < 0)
    return invalid_error(name, ": a position in its metadata is negative");
  state.digest = static_cast<uint64_t>(digest);
  state.spikes.mean = std::bit_cast<double>(mean);
  state.spikes.variance = std::bit_cast<double>(variance);
  FATHOM_RETURN_IF_ERROR(read_later_fields(*json, name, out));
  return out;
}

// --- the checksum: of the metadata's state, then of each tensor's name and bytes, by name ---

struct NamedBytes {
  std::string_view name;
  std::span<const std::byte> bytes;
};

std::string checksum_of(std::string_view state, std::vector<NamedBytes> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedBytes& a, const NamedBytes& b) { return a.name < b.name; });
  Xxh64 sum;
  sum.update(state);
  for (const NamedBytes& tensor : tensors) {
    sum.update(tensor.name);
    sum.update(tensor.bytes);
  }
  return xxh64_hex(sum.digest());
}

std::string checksum_of(std::string_view state, const std::vector<Piece>& pieces) {
  std::vector<NamedBytes> tensors;
  for (const Piece& piece : pieces) tensors.push_back({piece.spec.name, piece.bytes});
  return checksum_of(state, std::move(tensors));
}

std::string checksum_of(std::string_view state, const SafetensorsFile& file) {
  std::vector<NamedBytes> tensors;
  for (const NamedTensor& entry : file.tensors) {
    const auto* bytes = static_cast<const std::byte*>(entry.tensor.data);
    tensors.push_back({entry.name, {bytes, static_cast<size_t>(entry.tensor.bytes())}});
  }
  return checksum_of(state, std::move(tensors));
}

// The name of a tensor that a run cannot go on from; empty: none. Moments show in the weights after
// a step.
std::string not_finite(Trainee& model) {
  const auto finite = [](std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  };
  for (const TrainedTensor& tensor : model.tensors()) {
    if (!finite(model.values().subspan(static_cast<size_t>(tensor.offset),
                                       static_cast<size_t>(tensor.size))))
      return tensor.name;
  }
  int64_t layer = 0;
  for (const std::span<float> bias : model.router_biases()) {
    if (!finite(bias)) return str_cat("router_bias.", layer);
    ++layer;
  }
  return "";
}

// --- loading ---

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

Result<StoredState> read_stored(const SafetensorsFile& file, const std::string& name) {
  std::string text, checksum;
  for (const auto& [key, value] : file.metadata) {
    if (key == kMetadataName) text = value;
    if (key == kChecksumName) checksum = value;
  }
  if (!checksum.empty() && checksum != checksum_of(text, file))
    return invalid_error(name, " is damaged: its content has another checksum than it says");
  return from_json(text, name);
}

Status check_is_this_run(const StoredState& stored, const StateToLoad& from,
                         const std::string& name) {
  if (stored.state.digest != from.digest) {
    return invalid_error(name,
                         " was written under another configuration: only the run's end, output, "
                         "evaluate, sample and checkpoints may change; for anything else start a "
                         "new run with model.init");
  }
  if (stored.later.model && *stored.later.model != from.inputs.model) {
    return invalid_error(join_path(from.folder, "config.json"),
                         " is not what the run wrote there; a checkpoint goes on as the model that "
                         "it is",
                         from.if_damaged);
  }
  const std::vector<SourceIdentity>& sources = from.inputs.sources;
  for (size_t i = 0; stored.later.sources && i < sources.size(); ++i) {
    if (i < stored.later.sources->size() && sources[i].digest == (*stored.later.sources)[i])
      continue;
    return invalid_error(sources[i].folder,
                         " holds other shards than when the run began; put those back, or start a "
                         "new run with model.init");
  }
  return {};
}

Status take_tensors(const SafetensorsFile& file, const std::vector<Piece>& pieces,
                    const std::string& name) {
  if (pieces.size() != file.tensors.size()) {
    return invalid_error(name, " has ", file.tensors.size(), " tensors, expected ", pieces.size(),
                         "; is it of this model?");
  }
  TensorsByName tensors;
  for (const NamedTensor& entry : file.tensors) tensors.emplace(entry.name, &entry.tensor);
  for (const Piece& piece : pieces) FATHOM_RETURN_IF_ERROR(take_tensor(tensors, piece, name));
  return {};
}

}  // namespace

Status save_run_state(const std::string& folder, const RunState& state, Trainee& model,
                      Optimizer& optimizer) {
  const std::string bad = not_finite(model);
  if (!bad.empty()) {
    return invalid_error(bad, " is not finite after step ", state.step,
                         ", so no checkpoint is written; a lower optimizer.learning_rate may help");
  }
  const std::vector<Piece> pieces = pieces_of(model, optimizer);
  std::vector<TensorSpec> specs;
  specs.reserve(pieces.size());
  for (const Piece& piece : pieces) specs.push_back(piece.spec);
  const std::string text = to_json(state);
  FATHOM_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(join_path(folder, kStateName), std::move(specs),
                                       /*force=*/false,
                                       {{std::string(kMetadataName), text},
                                        {std::string(kChecksumName), checksum_of(text, pieces)}}));
  for (size_t i = 0; i < pieces.size(); ++i)
    FATHOM_RETURN_IF_ERROR(writer.write(i, pieces[i].bytes));
  return writer.finish();
}

Result<RunState> load_run_state(const StateToLoad& from, Trainee& model, Optimizer& optimizer) {
  const std::string name = join_path(from.folder, kStateName);
  const auto damaged = [&from](const Error& error) {
    return Error{error.code, error.message + from.if_damaged};
  };
  const Result<MappedFile> mapped = MappedFile::open(name);
  if (!mapped.ok()) return damaged(mapped.error());
  const Result<SafetensorsFile> file = parse_safetensors(mapped->bytes(), name);
  if (!file.ok()) return damaged(file.error());
  const Result<StoredState> stored = read_stored(*file, name);
  if (!stored.ok()) return damaged(stored.error());
  FATHOM_RETURN_IF_ERROR(check_is_this_run(*stored, from, name));
  const Status taken = take_tensors(*file, pieces_of(model, optimizer), name);
  if (!taken.ok()) return damaged(taken.error());
  const std::string bad = not_finite(model);
  if (!bad.empty()) return damaged(invalid_error(name, " is damaged: ", bad, " is not finite"));
  RunState state = stored->state;
  state.inputs = from.inputs;
  return state;
}

}  // namespace fathom
