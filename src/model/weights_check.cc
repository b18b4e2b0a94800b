#include "model/weights_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "base/math.h"
#include "io/printable.h"
#include "model/tensor_values.h"
#include "tensor/gguf_blocks.h"
#include "tensor/packed.h"

namespace fathom {

namespace {

class Checker {
 public:
  Checker(const ModelConfig& config, const Checkpoint& checkpoint, bool verify, bool release)
      : config_(config), checkpoint_(checkpoint), verify_(verify), release_(release) {}

  Result<CheckedTensors> run() {
    CheckedTensors out;
    out.n_mtp = count_mtp(out.notes);
    for (const ExpectedTensor& expected : expected_tensors_present(out.n_mtp)) {
      FATHOM_RETURN_IF_ERROR(check(expected));
    }
    FATHOM_RETURN_IF_ERROR(check_nothing_besides());
    FATHOM_RETURN_IF_ERROR(check_same_inputs(out.n_mtp));
    FATHOM_RETURN_IF_ERROR(check_copies(out.n_mtp));
    return out;
  }

 private:
  // The config may name modules that the checkpoint was published without.
  int64_t count_mtp(std::vector<std::string>& notes) const {
    int64_t n = 0;
    for (int64_t k = 0; k < config_.num_nextn_predict_layers; ++k) {
      if (has_layer(config_.num_hidden_layers + k)) n = k + 1;
    }
    if (n < config_.num_nextn_predict_layers) {
      notes.push_back(str_cat("config.json names ", config_.num_nextn_predict_layers, " MTP module",
                              config_.num_nextn_predict_layers == 1 ? "" : "s",
                              " (num_nextn_predict_layers), but the checkpoint holds ",
                              n == 0 ? "none" : str_cat(n), "; what is missing is done without"));
    }
    return n;
  }
  bool has_layer(int64_t layer_idx) const {
    const std::string prefix = layer_prefix(layer_idx);
    const auto& tensors = checkpoint_.tensors();
    const auto it = std::lower_bound(
        tensors.begin(), tensors.end(), prefix,
        [](const CheckpointTensor& t, const std::string& key) { return t.name < key; });
    return it != tensors.end() && it->name.starts_with(prefix);
  }
  std::vector<ExpectedTensor> expected_tensors_present(int64_t n_mtp) const {
    ModelConfig config = config_;
    config.num_nextn_predict_layers = n_mtp;
    return expected_tensors(config);
  }

  std::string where(const std::string& name) const {
    return str_cat("tensor ", name, " (", checkpoint_.file_of(name), ")");
  }

  Result<const Tensor*> find(const std::string& name, const std::vector<int64_t>& shape) {
    const Tensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) {
      return invalid_error("tensor ", name, " of shape ", str_list(shape), " is missing from ",
                           checkpoint_.files().describe(),
                           "; is the download complete, and config.json its own?");
    }
    if (tensor->shape != shape) {
      return invalid_error(where(name), ": expected ", str_list(shape),
                           " from config.json, file has ", str_list(tensor->shape),
                           "; is this config.json from the same checkpoint?");
    }
    used_.insert(tensor);
    return tensor;
  }

  Status check(const ExpectedTensor& expected) {
    const std::string& name = expected.name;
    if (expected.optional && checkpoint_.find(name) == nullptr) return {};
    FATHOM_TRY(const Tensor* tensor, find(name, expected.shape));
    if (config_.packed_formats && config_.packed_formats->of_tensor(name))
      return check_packed(name, *tensor);
    // What a packed model does not pack may be FP8, as it was published.
    const bool kept_fp8 = config_.packed_formats && tensor->dtype == Dtype::kF8E4M3;
    if (expected.quantised && (config_.quantization_config || kept_fp8))
      return check_fp8(name, *tensor);
    if (is_gguf_block_type(tensor->dtype) && takes_blocks(expected))
      return check_blocks(name, *tensor);
    if (!is_float_dtype(tensor->dtype)) {
      if (tensor->dtype == Dtype::kF8E4M3) {
        return invalid_error(
            where(name), " is F8_E4M3, ",
            expected.quantised
                ? "but config.json has no quantization_config"
                : "but tensors of its kind are never quantised; expected BF16, F16 or F32");
      }
      return invalid_error(where(name), " is ", dtype_name(tensor->dtype),
                           ", expected BF16, F16 or F32");
    }
    return expected.shape.size() == 1 ? check_finite(name, *tensor) : Status();
  }

  // Matrices of a GGUF file, but for the router's, which decides on small differences.
  static bool takes_blocks(const ExpectedTensor& expected) {
    return expected.shape.size() == 2 && !expected.name.ends_with("mlp.gate.weight");
  }
  Status check_blocks(const std::string& name, const Tensor& tensor) const {
    if (!verify_) return {};
    const int64_t bytes = dtype_block(tensor.dtype).bytes;
    const int64_t n_blocks = tensor.bytes() / bytes;
    for (int64_t i = 0; i < n_blocks; ++i) {
      if (is_finite_gguf_block(tensor.dtype, tensor.as<std::byte>() + i * bytes)) continue;
      return invalid_error(where(name), ": a scale of block ", i, " of ", n_blocks,
                           " is not a finite number; the file is damaged");
    }
    if (release_) checkpoint_.release_pages(name);
    return {};
  }

  // Matrices that one call multiplies must take the same input: gate_proj and up_proj, and those of
  // all experts of a layer.
  Status check_same_inputs(int64_t n_mtp) const {
    for (int64_t layer_idx = 0; layer_idx < config_.num_hidden_layers + n_mtp; ++layer_idx) {
      const std::string prefix = layer_prefix(layer_idx) + "mlp.";
      if (!config_.is_moe_layer(layer_idx)) {
        FATHOM_RETURN_IF_ERROR(check_same_input(prefix + "gate_proj", prefix + "up_proj"));
        continue;
      }
      const std::string first = prefix + "experts.0.";
      for (int64_t expert = 0; expert < config_.n_routed_experts; ++expert) {
        const std::string one = str_cat(prefix, "experts.", expert, ".");
        FATHOM_RETURN_IF_ERROR(check_same_input(first + "gate_proj", one + "gate_proj"));
        FATHOM_RETURN_IF_ERROR(check_same_input(first + "gate_proj", one + "up_proj"));
        FATHOM_RETURN_IF_ERROR(check_same_input(first + "down_proj", one + "down_proj"));
      }
      if (config_.n_shared_experts == 0) continue;
      const std::string shared = prefix + "shared_experts.";
      FATHOM_RETURN_IF_ERROR(check_same_input(shared + "gate_proj", shared + "up_proj"));
    }
    return {};
  }
  Status check_same_input(const std::string& a, const std::string& b) const {
    const Dtype x = checkpoint_.find(a + ".weight")->dtype;
    const Dtype y = checkpoint_.find(b + ".weight")->dtype;
    bool same = true;
    for (const Activations mode : {Activations::kBf16, Activations::kFp8, Activations::kInt8})
      same = same && input_format(mode, x) == input_format(mode, y);
    if (same) return {};
    return unsupported_error(where(b + ".weight"), " is ", dtype_name(y), ", ", a, ".weight ",
                             dtype_name(x),
                             "; types of one layer that take different inputs are "
                             "not supported");
  }

  // Norms and router biases: few, and every token meets them.
  Status check_finite(const std::string& name, const Tensor& tensor) const {
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const float value = value_at(tensor, i);
      if (!std::isfinite(value))
        return invalid_error(where(name), ": element ", i, " is ", value,
                             ", expected a finite number");
    }
    return {};
  }

  Status check_packed(const std::string& name, const Tensor& tensor) const {
    const Dtype dtype = *config_.packed_formats->of_tensor(name);
    if (tensor.dtype != dtype) {
      return invalid_error(where(name), " is ", dtype_name(tensor.dtype), ", expected ",
                           dtype_name(dtype),
                           ", since config.json's quantization_config says so of its kind");
    }
    if (!verify_) return {};
    const DtypeBlock block = dtype_block(dtype);
    const int64_t n_blocks = tensor.bytes() / block.bytes;
    for (int64_t i = 0; i < n_blocks; ++i) {
      if (is_finite_block(dtype, tensor.as<std::byte>() + i * block.bytes)) continue;
      return invalid_error(where(name), ": a scale of block ", i, " of ", n_blocks,
                           " is not a finite number; the file is damaged");
    }
    if (release_) checkpoint_.release_pages(name);
    return {};
  }

  Status check_fp8(const std::string& name, const Tensor& tensor) {
    if (tensor.dtype != Dtype::kF8E4M3) {
      return invalid_error(where(name), " is ", dtype_name(tensor.dtype),
                           ", expected F8_E4M3, since config.json has a quantization_config");
    }
    const std::string scale = scale_name(name);
    const std::vector<int64_t> grid = {ceil_div(tensor.shape[0], 128),
                                       ceil_div(tensor.shape[1], 128)};
    FATHOM_TRY(const Tensor* scales, find(scale, grid));
    if (scales->dtype != Dtype::kF32 && scales->dtype != Dtype::kBF16 &&
        scales->dtype != Dtype::kF8E8M0) {
      return invalid_error(where(scale), " is ", dtype_name(scales->dtype),
                           ", expected F32, BF16 or F8_E8M0");
    }
    for (int64_t i = 0; i < scales->elements(); ++i) {
      const float value = value_at(*scales, i);
      // Written so that NaN fails; subnormals would make products of the block inexact.
      if (value >= std::numeric_limits<float>::min() && value <= std::numeric_limits<float>::max())
        continue;
      return invalid_error(where(scale), ": the scale of block [", i / grid[1], ", ", i % grid[1],
                           "] is ", value, ", expected a positive normal number");
    }
    if (!verify_) return {};
    const int64_t nan = find_e4m3_nan(tensor.as<uint8_t>(), tensor.elements());
    if (release_) checkpoint_.release_pages(name);
    if (nan < 0) return {};
    return invalid_error(where(name), ": element [", nan / tensor.shape[1], ", ",
                         nan % tensor.shape[1], "] is NaN; the file is damaged");
  }

  Status check_nothing_besides() const {
    const CheckpointTensor* first = nullptr;
    int64_t n = 0;
    for (const CheckpointTensor& entry : checkpoint_.tensors()) {
      // Older transformers wrote this table out; it follows from the config.
      if (used_.count(&entry.tensor) != 0 || entry.name.ends_with(".rotary_emb.inv_freq")) continue;
      if (first == nullptr) first = &entry;
      ++n;
    }
    if (first == nullptr) return {};
    std::string hint;
    if (config_.num_nextn_predict_layers == 0 &&
        first->name.starts_with(layer_prefix(config_.num_hidden_layers))) {
      hint = ", and its num_nextn_predict_layers is 0";
    } else if (first->name.ends_with("_scale_inv") && !config_.quantization_config) {
      hint = ", and it has no quantization_config";
    }
    return invalid_error(
        "tensor ", printable(first->name), " (", checkpoint_.file_of(first->name),
        n > 1 ? str_cat(") and ", n - 1, n == 2 ? " other belong" : " others belong") : ") belongs",
        " to no part of the model that config.json describes", hint);
  }

  // Copies of embedding and head are never used; one that differs would mean something else than we
  // compute.
  Status check_copies(int64_t n_mtp) const {
    const std::string embedding = "model.embed_tokens.weight";
    const std::string head = config_.tie_word_embeddings ? embedding : "lm_head.weight";
    if (config_.tie_word_embeddings)
      FATHOM_RETURN_IF_ERROR(check_copy("lm_head.weight", embedding));
    for (int64_t k = 0; k < n_mtp; ++k) {
      const std::string prefix = layer_prefix(config_.num_hidden_layers + k);
      FATHOM_RETURN_IF_ERROR(check_copy(prefix + "embed_tokens.weight", embedding));
      FATHOM_RETURN_IF_ERROR(check_copy(prefix + "shared_head.head.weight", head));
    }
    return {};
  }
  Status check_copy(const std::string& copy_name, const std::string& name) const {
    const Tensor* copy = checkpoint_.find(copy_name);
    if (copy == nullptr || !verify_) return {};
    const Tensor* tensor = checkpoint_.find(name);
    if (tensor->dtype == copy->dtype &&
        std::memcmp(tensor->data, copy->data, static_cast<size_t>(tensor->bytes())) == 0) {
      return {};
    }
    return unsupported_error(where(copy_name), " differs from ", name,
                             ", of which it should be a copy");
  }

  const ModelConfig& config_;
  const Checkpoint& checkpoint_;
  const bool verify_;
  const bool release_;
  std::unordered_set<const Tensor*> used_;
};

}  // namespace

std::string scale_name(const std::string& weight_name) { return weight_name + "_scale_inv"; }

Status name_packed_types(const ModelConfig& config, Checkpoint& checkpoint) {
  if (!config.packed_formats) return {};
  std::unordered_map<std::string, std::vector<int64_t>> shapes;
  for (ExpectedTensor& expected : expected_tensors(config)) {
    if (config.packed_formats->of_tensor(expected.name))
      shapes.emplace(std::move(expected.name), std::move(expected.shape));
  }
  for (size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    const CheckpointTensor& entry = checkpoint.tensors()[i];
    const auto found = shapes.find(entry.name);
    if (found == shapes.end() || entry.tensor.dtype != Dtype::kU8) continue;
    const Dtype dtype = *config.packed_formats->of_tensor(entry.name);
    const std::string where =
        str_cat("tensor ", entry.name, " (", checkpoint.file_of(entry.name), ")");
    const std::vector<int64_t>& shape = found->second;
    const std::vector<int64_t> packed = packed_shape(dtype, shape[0], shape[1]);
    if (entry.tensor.shape != packed) {
      return invalid_error(where, ": expected ", str_list(packed), " bytes for an ",
                           dtype_name(dtype), " matrix ", str_list(shape),
                           " as config.json describes it, file has ", str_list(entry.tensor.shape));
    }
    if (reinterpret_cast<uintptr_t>(entry.tensor.data) % kPackedAlignment != 0) {
      return invalid_error(where, ": packed weights must begin at a multiple of ", kPackedAlignment,
                           " bytes in the file; `fathom convert` writes the folder anew so");
    }
    checkpoint.set_type(i, dtype, shape);
  }
  return {};
}

Result<CheckedTensors> check_tensors(const ModelConfig& config, const Checkpoint& checkpoint,
                                     const LoadOptions& options) {
  const bool verify =
      options.verify_weights || checkpoint.total_bytes() <= options.verify_bytes_max;
  return Checker(config, checkpoint, verify, options.release_pages).run();
}

}  // namespace fathom
