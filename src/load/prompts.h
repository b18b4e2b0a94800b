// Prompts that a load is made of: words of everyday English that follow from a seed, as many as
// make the tokens that are wanted. How many tokens a word makes is the server's to say (prepare.h).
#pragma once

#include <cstdint>
#include <string>

#include "load/values.h"

namespace fathom {

struct PromptShape {
  TokenRange prompt{128, 128};  // tokens of a prompt, those of the shared prefix not counted
  int64_t prefix_tokens = 0;    // in front of it; the same in all prompts of a group
  int64_t prefix_groups = 1;
  TokenRange answer{64, 64};
  uint64_t seed = 1;
};

// tokens of a prompt = overhead + per_word * words.
struct TokensPerWord {
  double per_word = 1.3;  // as vocabularies of English have it, where nothing better is known
  double overhead = 0;    // what a chat template adds
};

// n words with blanks between them.
std::string words_of(uint64_t key, int64_t n);
// Each word that prompts are made of, once.
std::string every_word();
int64_t n_every_word();

class SyntheticPrompts {
 public:
  SyntheticPrompts(const PromptShape& shape, const TokensPerWord& tokens)
      : shape_(shape), tokens_(tokens) {}

  // Of the i-th prompt: two with the same i are the same, two with different ones share no more
  // than the prefix of their group.
  std::string text(int64_t i) const;
  int64_t answer_tokens(int64_t i) const;

 private:
  PromptShape shape_;
  TokensPerWord tokens_;
};

}  // namespace fathom
