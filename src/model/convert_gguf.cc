#include "model/convert_gguf.h"

#include <algorithm>
#include <utility>

#include "base/math.h"
#include "io/gguf_parts.h"
#include "io/printable.h"
#include "model/encoded_rows.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"
#include "model/tensor_values.h"
#include "model/weights_check.h"
#include "tensor/gguf_blocks.h"

namespace fathom {

namespace {

class Planner {
 public:
  Planner(const OpenedModel& model, std::optional<Dtype> type)
      : config_(model.config), checkpoint_(*model.checkpoint), type_(type) {}

  Status run(GgufPlan& plan) {
    plan_ = &plan;
    ModelConfig config = config_;
    config.num_nextn_predict_layers = 0;
    for (const ExpectedTensor& expected : expected_tensors(config)) {
      const Tensor* tensor = checkpoint_.find(expected.name);
      if (tensor == nullptr || (config.tie_word_embeddings && expected.name == "lm_head.weight"))
        continue;
      add(expected.name, *tensor);
    }
    return {};
  }

  // "general.file_type": what most matrices are, as llama.cpp numbers it.
  uint32_t file_type() const {
    const Dtype type = type_ ? *type_ : most_common();
    switch (type) {
      case Dtype::kF32:
        return 0;
      case Dtype::kF16:
        return 1;
      case Dtype::kQ4_0:
        return 2;
      case Dtype::kQ8_0:
        return 7;
      case Dtype::kQ4_K:
        return 15;
      case Dtype::kQ5_K:
        return 17;
      case Dtype::kQ6_K:
        return 18;
      default:
        return 32;  // BF16
    }
  }

 private:
  Dtype most_common() const {
    int64_t best = 0;
    Dtype dtype = Dtype::kBF16;
    for (const OutputTensor& tensor : plan_->tensors) {
      const Tensor t = {tensor.spec.dtype, tensor.spec.shape, nullptr};
      if (t.bytes() <= best) continue;
      best = t.bytes();
      dtype = tensor.spec.dtype;
    }
    return dtype;
  }

  void add(const std::string& name, const Tensor& tensor) {
    if (name.find(".mlp.experts.") != std::string::npos) {
      // The first expert stands for all: gate, up and down of the layer.
      if (name.find(".mlp.experts.0.") != std::string::npos) add_experts(name, tensor);
    } else if (name.ends_with("self_attn.kv_b_proj.weight")) {
      add_kv_b(name);
    } else if (tensor.shape.size() == 1) {
      add_vector(name, tensor);
    } else {
      const Dtype dtype = dtype_of(name, tensor);
      put(*gguf_name(name), tensor.shape, dtype, matrix(name, dtype));
    }
  }

  void put(std::string name, std::vector<int64_t> shape, Dtype dtype, TensorSource source) {
    plan_->tensors.push_back({{std::move(name), dtype, std::move(shape)}, std::move(source)});
  }

  Dtype dtype_of(const std::string& name, const Tensor& tensor) const {
    if (name.ends_with("mlp.gate.weight")) return Dtype::kF32;
    const bool sensitive = name == "model.embed_tokens.weight" || name == "lm_head.weight" ||
                           name.ends_with("kv_a_proj_with_mqa.weight");
    return dtype_of(tensor, tensor.shape[1], sensitive);
  }
  Dtype dtype_of(const Tensor& tensor, int64_t k, bool sensitive) const {
    if (!type_) {
      const bool same = is_float_dtype(tensor.dtype) ||
                        (is_gguf_block_type(tensor.dtype) && k == tensor.shape[1]);
      return same ? tensor.dtype : Dtype::kBF16;
    }
    if (!is_gguf_block_type(*type_)) return *type_;
    if (!sensitive && k % dtype_block(*type_).cols == 0) return *type_;
    return k % dtype_block(Dtype::kQ8_0).cols == 0 ? Dtype::kQ8_0 : Dtype::kBF16;
  }

  std::string where(const std::string& name) const {
    return str_cat("tensor ", printable(name), " (", checkpoint_.file_of(name), ")");
  }
  std::shared_ptr<const MatrixRows> rows_of(const std::string& name) const {
    const Tensor& tensor = *checkpoint_.find(name);
    return std::make_shared<const MatrixRows>(
        tensor, tensor.dtype == Dtype::kF8E4M3 ? checkpoint_.find(scale_name(name)) : nullptr);
  }
  // For units that take rows from several places.
  static std::function<void(int64_t)> release_all(std::shared_ptr<const MatrixRows> rows) {
    return [rows = std::move(rows)](int64_t) { rows->release(0, rows->n_panels()); };
  }
  TensorSource encode_units(RowUnits units, Dtype dtype, const std::string& name) {
    plan_->scratch_bytes_min =
        std::max(plan_->scratch_bytes_min, units.rows_max * matrix_bytes(dtype, 1, units.k));
    return encoded(std::move(units), dtype, where(name));
  }

  TensorSource matrix(const std::string& name, Dtype dtype) {
    const Tensor& tensor = *checkpoint_.find(name);
    const std::optional<RotaryRows> rotary = rotary_rows(name);
    if (tensor.dtype == dtype && !rotary) return copy_of(tensor.data, tensor.bytes());
    const std::shared_ptr<const MatrixRows> rows = rows_of(name);
    RowUnits units;
    if (!rotary) {
      units = all_rows(rows);
    } else {
      // One head at a time, its rotary rows in pairs.
      const RotaryRows r = *rotary;
      units.k = rows->k();
      units.n_units = rows->n() / r.stride;
      units.rows_max = r.stride;
      units.rows_of = [r](int64_t) { return r.stride; };
      units.fill = [rows, r](int64_t unit, float* out) {
        std::vector<float> halves(static_cast<size_t>(r.n * rows->k()));
        read_rows(*rows, unit * r.stride, r.begin, out);
        read_rows(*rows, unit * r.stride + r.begin, r.n, halves.data());
        float* pairs = out + r.begin * rows->k();
        for (int64_t i = 0; i < r.n; ++i, pairs += rows->k())
          std::copy_n(halves.data() + (i / 2 + i % 2 * (r.n / 2)) * rows->k(), rows->k(), pairs);
      };
      units.done = release_all(rows);
    }
    return encode_units(std::move(units), dtype, name);
  }

  // Where halves are rotated (rope_interleave false), rows must change places: GGUF's rotation
  // takes neighbours. Of each `stride` rows those from begin on, n of them, are rotary ones.
  struct RotaryRows {
    int64_t stride, begin, n;
  };
  std::optional<RotaryRows> rotary_rows(const std::string& name) const {
    if (config_.rope_interleave) return std::nullopt;
    const int64_t n = config_.qk_rope_head_dim;
    if (name.ends_with("self_attn.q_proj.weight") || name.ends_with("self_attn.q_b_proj.weight"))
      return RotaryRows{config_.qk_head_dim(), config_.qk_nope_head_dim, n};
    if (name.ends_with("kv_a_proj_with_mqa.weight"))
      return RotaryRows{config_.kv_row_size(), config_.kv_lora_rank, n};
    return std::nullopt;
  }

  void add_vector(const std::string& name, const Tensor& tensor) {
    put(*gguf_name(name), tensor.shape, Dtype::kF32, [tensor](TensorSink& sink) {
      std::vector<float> values(static_cast<size_t>(tensor.elements()));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = value_at(tensor, static_cast<int64_t>(i));
      return sink.write(std::as_bytes(std::span(values)));
    });
  }

  void add_experts(const std::string& first, const Tensor& tensor) {
    const size_t at = first.find(".experts.0.");
    const std::string prefix = first.substr(0, at + 9), suffix = first.substr(at + 10);
    const Dtype dtype = dtype_of(tensor, tensor.shape[1], false);
    std::vector<TensorSource> sources;
    for (int64_t expert = 0; expert < config_.n_routed_experts; ++expert)
      sources.push_back(matrix(str_cat(prefix, expert, suffix), dtype));
    const std::string layer = first.substr(0, first.find("mlp."));
    // "model.layers.4.mlp.shared_experts.gate_proj.weight" has the name but for "shexp".
    std::string name = *gguf_name(layer + "mlp.shared_experts" + suffix);
    name.replace(name.find("_shexp"), 6, "_exps");
    put(std::move(name), {config_.n_routed_experts, tensor.shape[0], tensor.shape[1]}, dtype,
        one_after_another(std::move(sources)));
  }

  void add_kv_b(const std::string& name) {
    const int64_t n_heads = config_.num_attention_heads, rank = config_.kv_lora_rank,
                  nope = config_.qk_nope_head_dim, v_dim = config_.v_head_dim;
    const std::shared_ptr<const MatrixRows> rows = rows_of(name);
    RowUnits keys;
    keys.n_units = n_heads;
    keys.rows_max = rank;
    keys.k = nope;
    keys.rows_of = [rank](int64_t) { return rank; };
    keys.fill = [=](int64_t head, float* out) {
      std::vector<float> straight(static_cast<size_t>(nope * rank));
      read_rows(*rows, head * (nope + v_dim), nope, straight.data());
      for (int64_t j = 0; j < rank; ++j) {
        for (int64_t i = 0; i < nope; ++i)
          out[j * nope + i] = straight[static_cast<size_t>(i * rank + j)];
      }
    };
    keys.done = release_all(rows);
    RowUnits values;
    values.n_units = n_heads;
    values.rows_max = v_dim;
    values.k = rank;
    values.rows_of = [v_dim](int64_t) { return v_dim; };
    values.fill = [=](int64_t head, float* out) {
      read_rows(*rows, head * (nope + v_dim) + nope, v_dim, out);
    };
    values.done = release_all(rows);
    const Tensor& tensor = *checkpoint_.find(name);
    const std::string prefix = name.substr(0, name.find("self_attn."));
    std::string layer = *gguf_name(prefix + "input_layernorm.weight");
    layer.resize(layer.find("attn_norm"));
    const Dtype key_type = dtype_of(tensor, nope, true), value_type = dtype_of(tensor, rank, true);
    put(layer + "attn_k_b.weight", {n_heads, rank, nope}, key_type,
        encode_units(std::move(keys), key_type, name));
    put(layer + "attn_v_b.weight", {n_heads, v_dim, rank}, value_type,
        encode_units(std::move(values), value_type, name));
  }

  const ModelConfig& config_;
  const Checkpoint& checkpoint_;
  const std::optional<Dtype> type_;
  GgufPlan* plan_ = nullptr;
};

int64_t bytes_of(const TensorSpec& spec) { return Tensor{spec.dtype, spec.shape, nullptr}.bytes(); }

// [begin, end) of plan.tensors in each file.
std::vector<std::pair<size_t, size_t>> split(const GgufPlan& plan, std::optional<int64_t> bytes) {
  std::vector<std::pair<size_t, size_t>> parts = {{0, 0}};
  int64_t filled = 0;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const int64_t size = bytes_of(plan.tensors[i].spec);
    if (bytes && i > parts.back().first && filled + size > *bytes) {
      parts.emplace_back(i, i);
      filled = 0;
    }
    filled += size;
    parts.back().second = i + 1;
  }
  return parts;
}

}  // namespace

Result<GgufPlan> plan_gguf(const OpenedModel& model, std::optional<Dtype> type,
                           const std::string& name) {
  FATHOM_TRY(const CheckedTensors checked, check_input(model.config, *model.checkpoint));
  GgufPlan plan;
  plan.notes = model.notes;
  plan.notes.insert(plan.notes.end(), checked.notes.begin(), checked.notes.end());
  if (checked.n_mtp > 0)
    plan.notes.push_back(
        "the MTP module is left out: most readers of GGUF's deepseek2 have no place for it");
  plan.what = str_cat(model.files.describe(), " as GGUF, ",
                      type ? str_cat("matrices in ", dtype_name(*type)) : "matrices as they are");
  for (const Shard& shard : model.checkpoint->shards()) {
    plan.inputs.push_back(input_identity(model.files, shard.name));
    if (model.files.gguf_metadata() != nullptr) plan.input_paths.push_back(shard.name);
  }
  plan.owner = model.checkpoint;
  Planner planner(model, type);
  FATHOM_RETURN_IF_ERROR(planner.run(plan));
  plan.metadata.add_string("general.architecture", kGgufArchitecture);
  plan.metadata.add_string("general.type", "model");
  plan.metadata.add_string("general.name", name);
  plan.metadata.add_u32("general.file_type", planner.file_type());
  plan.metadata.add_u32("general.quantization_version", 2);
  FATHOM_RETURN_IF_ERROR(add_gguf_config(model.config, plan.metadata));
  return plan;
}

Result<ConversionPlan> plan_gguf_files(GgufPlan gguf, const std::string& path,
                                       std::optional<int64_t> part_bytes) {
  const auto parts = split(gguf, part_bytes);
  const auto n_parts = static_cast<int64_t>(parts.size());
  if (n_parts > kGgufPartsMax)
    return invalid_error("cannot write ", printable(path), ": ", n_parts, " parts, at most ",
                         kGgufPartsMax, " have names; make them larger");
  ConversionPlan plan;
  plan.what = std::move(gguf.what);
  plan.beside = true;
  plan.notes = std::move(gguf.notes);
  plan.scratch_bytes_min = gguf.scratch_bytes_min;
  plan.inputs = std::move(gguf.inputs);
  plan.input_paths = std::move(gguf.input_paths);
  plan.owner = std::move(gguf.owner);
  const std::string name = path.substr(path.rfind('/') + 1);
  for (int64_t part = 0; part < n_parts; ++part) {
    OutputFile file;
    file.name = gguf_part_path(name, part, n_parts);
    file.gguf = part == 0 ? gguf.metadata : GgufMetadataBuilder();
    if (n_parts > 1) {
      file.gguf->add_u16("split.no", static_cast<uint16_t>(part));
      file.gguf->add_u16("split.count", static_cast<uint16_t>(n_parts));
      file.gguf->add_i32("split.tensors.count", static_cast<int32_t>(gguf.tensors.size()));
    }
    const auto [begin, end] = parts[static_cast<size_t>(part)];
    for (size_t i = begin; i < end; ++i) file.tensors.push_back(std::move(gguf.tensors[i]));
    plan.files.push_back(std::move(file));
  }
  return plan;
}

}  // namespace fathom
