// The perplexity of a model on the beginning of a text, for comparing models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/options.h"
#include "io/model_files.h"

namespace fathom::cli {

struct Perplexity {
  double value = 0;
  int64_t n_tokens = 0;  // that were predicted
};

struct PerplexityText {
  std::string path;  // of the file, for messages and reports
  struct Item {
    std::string text;
    std::vector<int32_t> ids;  // where there is no text
  };
  std::vector<Item> items;
  int64_t tokens_max = 0;
};
// path: plain text, "-" standard input; .jsonl: lines with "text" or "ids". files: of the model
// that will read it. Errors: what cannot be read or is no such line, texts for a model without
// tokenizer, nothing to score.
Result<PerplexityText> read_perplexity_text(const std::string& path, int64_t tokens_max,
                                            const ModelFiles& files);

// common: threads and memory; everything else as --activations auto and --kv-dtype auto have it.
// label is what the progress bar says.
Result<Perplexity> measure_perplexity(const std::string& model, const PerplexityText& text,
                                      const CommonOptions& common, const std::string& label);

}  // namespace fathom::cli
