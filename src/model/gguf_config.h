// What a GGUF file's metadata say of a model, as the config.json that the checkpoint was published
// with would say it. Architecture deepseek2 only: DeepSeek-V2, V2-Lite, V2.5, V3, R1, V3.1,
// Moonlight, Kimi-K2.
//
// The format has no field for: topk_method (sigmoid scores are noaux_tc; softmax scores are greedy,
// or group_limited_greedy with groups), mscale beside mscale_all_dim (of YaRN; they are equal, or 1
// and 0), model_type. Older files have no groups: those of the published V3 and V2 are known by
// their sizes, others have one. What was assumed so stands in notes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/gguf_parts.h"
#include "io/json.h"
#include "model/config.h"

namespace fathom {

inline constexpr std::string_view kGgufArchitecture = "deepseek2";

struct GgufConfig {
  ModelConfig config;
  Json json;                       // config.json
  std::vector<std::string> notes;  // what was assumed, one sentence each
};

// display_name: of the file. Errors name the key.
Result<GgufConfig> gguf_config(const GgufParts& parts, const std::string& display_name);

// tokenizer_config.json as far as the metadata say it: bos_token, eos_token, chat_template.
std::string gguf_tokenizer_config(const GgufMetadata& metadata);

// The other way: keys and values of a config. Errors: what GGUF has no field for.
Status add_gguf_config(const ModelConfig& config, GgufMetadataBuilder& metadata);

}  // namespace fathom
