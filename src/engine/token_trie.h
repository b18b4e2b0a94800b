// The tokens of a vocabulary by their bytes, as one walk in order: what engine/grammar_matcher.h
// goes along to find which tokens may come next. Added tokens have kControlTokenByte before their
// text: they come where a grammar names them and nowhere else.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace fathom {

class TokenTrie {
 public:
  explicit TokenTrie(const Tokenizer& tokenizer);
  // For tests: token i has the bytes texts[i]; an empty one is none.
  explicit TokenTrie(const std::vector<std::string>& texts);

  // Nodes in depth-first order; the root is left out.
  struct Node {
    uint8_t byte;
    uint16_t depth;  // bytes before this one
    int32_t token;   // that ends here; -1: none
    int32_t after;   // the first node that is not below this one
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  // Other tokens of the same bytes as a token; -1: none.
  int32_t next_same(int32_t token) const { return same_[static_cast<size_t>(token)]; }
  int64_t vocab_size() const { return static_cast<int64_t>(same_.size()); }
  std::string_view bytes(int32_t token) const { return texts_[static_cast<size_t>(token)]; }
  int64_t depth_max() const { return depth_max_; }

 private:
  void build();

  std::vector<std::string> texts_;
  std::vector<Node> nodes_;
  std::vector<int32_t> same_;
  int64_t depth_max_ = 0;
};

}  // namespace fathom
