// From what a person gives to the ids of a prompt. Raw text gets the BOS that the tokenizer's config asks for.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/model_files.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

class PromptBuilder {
 public:
  PromptBuilder(const ModelFiles& files, const Tokenizer& tokenizer) : files_(files), tokenizer_(tokenizer) {}

  std::vector<int32_t> from_text(std::string_view text) const;

 private:
  [[maybe_unused]] const ModelFiles& files_;
  const Tokenizer& tokenizer_;
};

}  // namespace fathom
