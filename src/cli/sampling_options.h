// The sampling options that generate and chat share. What is not given comes from the model's
// generation_config.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/generation_config.h"
#include "engine/request.h"

namespace fathom::cli {

struct SamplingOptions {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty,
      frequency_penalty;
  std::optional<int64_t> top_k, max_tokens;
  int64_t min_tokens = 0;
  std::vector<std::string> logit_bias;  // "ID:BIAS"
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
};

void add_sampling_options(CLI::App& app, SamplingOptions& options);

// A request without a prompt: the model's defaults, then the options, then the seed.
Result<GenerateRequest> base_request(const GenerationConfig& defaults,
                                     const SamplingOptions& options, uint64_t seed);

}  // namespace fathom::cli
