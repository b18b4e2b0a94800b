// The fields that chat and completions share: sampling, lengths, stops, streams, the line.
#pragma once

#include <cstdint>
#include <string>

#include "engine/generation_config.h"
#include "engine/request.h"
#include "server/api_fields.h"

namespace fathom {

inline constexpr int64_t kChoicesMax = 128;
inline constexpr size_t kStopsMax = 16;
inline constexpr size_t kStopBytesMax = 1024;
inline constexpr int64_t kTopLogprobsMax = 20;

struct GenerationFields {
  GenerateRequest request;  // without a prompt
  int64_t n = 1;
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool continuous_usage = false;  // the usage with every chunk
  bool has_seed = false;          // else each request gets a seed of its own
};

// defaults: what the model's generation_config.json says. vocab_size: for logit_bias.
void read_generation(ApiFields& fields, const SamplingParams& defaults, int64_t vocab_size,
                     GenerationFields& out);

}  // namespace fathom
