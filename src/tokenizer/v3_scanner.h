// DeepSeek-V3's pre-tokenizer by hand: the same pieces as its three Split patterns (docs:
// deepseek-v3 tokenizer.json) applied one after the other, each to the pieces of the one before.
// One pass, linear, no regex library.
#pragma once

#include <array>
#include <string_view>
#include <vector>

namespace fathom {

// The patterns exactly as V3's tokenizer.json has them: the scanner stands for these and for no
// others.
extern const std::array<std::string_view, 3> kV3Patterns;

// Appends the pieces of text; joined they are the text. A byte that is not UTF-8 counts as an
// unassigned character.
void split_v3(std::string_view text, std::vector<std::string_view>& pieces);

}  // namespace fathom
