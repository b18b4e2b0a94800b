#include "model/config_slice.h"

#include <algorithm>
#include <charconv>

#include "io/json.h"
#include "model/packed_formats.h"

namespace fathom {

namespace {

constexpr int64_t kLayersMax =
    100'000;  // beyond any config's; parse_model_config() has its own limit

void remove(Json& object, std::string_view key) {
  std::erase_if(object.as_object(),
                [&](const Json::Member& member) { return member.first == key; });
}

Json published_quantization() {
  return Json::Object{{"activation_scheme", "dynamic"},
                      {"fmt", "e4m3"},
                      {"quant_method", "fp8"},
                      {"weight_block_size", Json::Array{128, 128}}};
}

void clamp_ids(Json& ids, int64_t vocab_size) {
  if (ids.is_int()) ids = std::min(ids.as_int(), vocab_size - 1);
  if (!ids.is_array()) return;
  for (Json& id : ids.as_array()) clamp_ids(id, vocab_size);
}

void set_vocab_size(Json& config, int64_t vocab_size) {
  config.set("vocab_size", vocab_size);
  for (Json::Member& member : config.as_object()) {
    if (member.first.ends_with("_token_id")) clamp_ids(member.second, vocab_size);
  }
}

bool packed(const Json& quantization) {
  const Json* method = quantization.find("quant_method");
  return method != nullptr && method->is_string() && method->as_string() == "fathom";
}

void set_weights(Json& config, ConfigSlice::Weights weights) {
  using enum ConfigSlice::Weights;
  switch (weights) {
    case kBf16:
      remove(config, "quantization_config");
      return;
    case kFp8: {
      const Json* now = config.find("quantization_config");
      if (now == nullptr || now->is_null() || packed(*now))
        config.set("quantization_config", published_quantization());
      return;
    }
    case kInt8:
    case kInt4:
      config.set("quantization_config",
                 packed_formats_json(packed_formats(weights == kInt8 ? Dtype::kInt8 : Dtype::kInt4,
                                                    /*mix=*/false)));
      return;
  }
}

}  // namespace

Result<std::string> slice_config(std::string_view json_text, const std::string& display_name,
                                 const ConfigSlice& slice) {
  auto config = parse_json(json_text);
  if (!config.ok()) return invalid_error(display_name, " is ", config.error().message);
  if (!config->is_object())
    return invalid_error(display_name, " is ", config->type_name(), ", expected an object");
  if (slice.layers) {
    config->set("num_hidden_layers", slice.layers->n_dense + slice.layers->n_moe);
    config->set("first_k_dense_replace", slice.layers->n_dense);
    // Lists with an entry a layer, which say the same.
    for (const char* list : {"layer_types", "mlp_layer_types"}) remove(*config, list);
  }
  if (slice.vocab_size) set_vocab_size(*config, *slice.vocab_size);
  const Json* n_mtp = config->find("num_nextn_predict_layers");
  if (!slice.mtp) {
    config->set("num_nextn_predict_layers", 0);
  } else if (n_mtp == nullptr || (n_mtp->is_int() && n_mtp->as_int() == 0)) {
    config->set("num_nextn_predict_layers", 1);
  }
  set_weights(*config, slice.weights);
  // What is not FP8 is BF16 (transformers 5 calls the field dtype).
  if (config->find("dtype") != nullptr) config->set("dtype", "bfloat16");
  if (config->find("dtype") == nullptr || config->find("torch_dtype") != nullptr)
    config->set("torch_dtype", "bfloat16");
  return config->dump_pretty() + "\n";
}

Result<ConfigSlice::Layers> parse_layers(std::string_view text) {
  const auto fail = [&] {
    return usage_error("--layers is '", text,
                       "', expected DENSE+MOE, as in 1+2 for one dense and two MoE layers");
  };
  const char* const end = text.data() + text.size();
  ConfigSlice::Layers layers;
  const auto dense = std::from_chars(text.data(), end, layers.n_dense);
  if (dense.ec != std::errc() || dense.ptr == end || *dense.ptr != '+') return fail();
  const auto moe = std::from_chars(dense.ptr + 1, end, layers.n_moe);
  if (moe.ec != std::errc() || moe.ptr != end) return fail();
  if (layers.n_dense < 0 || layers.n_moe < 0 || layers.n_dense > kLayersMax ||
      layers.n_moe > kLayersMax)
    return fail();
  if (layers.n_dense + layers.n_moe == 0) return fail();
  return layers;
}

}  // namespace fathom
