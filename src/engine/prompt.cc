#include "engine/prompt.h"

namespace fathom {

std::vector<int32_t> PromptBuilder::from_text(std::string_view text) const {
  return tokenizer_.encode(text, {.add_special = true, .recognize_added = true});
}

}  // namespace fathom
