// The perplexity of a model on the beginning of a text, for comparing models.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace fathom::cli {

struct Perplexity {
  double value = 0;
  int64_t n_tokens = 0;  // that were predicted
};

struct PerplexityText {
  std::string path;  // plain text; .jsonl: lines with "text" or "ids"
  int64_t tokens_max = 0;
};
// label is what the progress bar says. Everything else as --activations auto and --kv-dtype auto
// have it.
Result<Perplexity> measure_perplexity(const std::string& model, const PerplexityText& text,
                                      int n_threads, const std::string& label);

}  // namespace fathom::cli
