// `fathom convert --quantize`: which plan a wish is, and what is said of the result.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/convert_common.h"
#include "cli/perplexity.h"

namespace fathom::cli {

struct QuantizeOptions {
  std::string format;      // int8|int4|fp8|bf16[,mix]; empty: not asked for
  std::string perplexity;  // the path of a text; empty: not asked for
  std::optional<int64_t> perplexity_tokens;
};
void add_quantize_options(CLI::App& app, QuantizeOptions& options);

// The format alone is usage; whether it suits the model the plan says.
Status check_quantize(const QuantizeOptions& options);
// Whether the result is a packed folder.
bool quantizes_to_packed(const QuantizeOptions& options);
Result<ConversionPlan> plan_quantize(const QuantizeOptions& options, const ConversionInput& input,
                                     int64_t shard_bytes);

// Before the conversion: the text of --perplexity, if it is asked for.
Result<std::optional<PerplexityText>> read_perplexity(const QuantizeOptions& options,
                                                      const ModelFiles& files);
// After it: measures the perplexities if there is a text, adds them to the report in OUT, and
// prints the report's sums.
Status finish_quantize(const std::optional<PerplexityText>& text, const ConversionCommand& command);

}  // namespace fathom::cli
