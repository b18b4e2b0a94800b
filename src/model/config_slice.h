// A config.json changed into that of a smaller or otherwise stored model of the same shapes: fewer
// layers, another vocabulary, other weights. For measuring: one dense and one MoE layer of a 671B
// model have the true sizes of everything that is computed, and fit into memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

struct ConfigSlice {
  struct Layers {
    int64_t n_dense = 0;
    int64_t n_moe = 0;
  };
  std::optional<Layers> layers = std::nullopt;  // none: those of the config
  std::optional<int64_t> vocab_size =
      std::nullopt;  // none: that of the config; token ids beyond it become the last one
  bool mtp = false;  // false: no MTP module; true: those of the config, at least one
  // kFp8: quantization_config as it is, or as published where there is none (or a packed one).
  // kInt8, kInt4: packed by the rule without mix.
  enum class Weights : uint8_t { kBf16, kFp8, kInt8, kInt4 };
  Weights weights = Weights::kBf16;
};

// The config.json of the slice; what it does not change stays as it is. Fails if json_text is no
// object; whether the rest makes sense parse_model_config() says. display_name is how messages call
// the file.
Result<std::string> slice_config(std::string_view json_text, const std::string& display_name,
                                 const ConfigSlice& slice);

// "1+2": one dense and two MoE layers; at least one layer in all.
Result<ConfigSlice::Layers> parse_layers(std::string_view text);

}  // namespace fathom
