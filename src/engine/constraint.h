// A request's grammar at work: which tokens may be drawn, from the beginning of the answer or from
// the end of its reasoning on. An answer that is complete ends.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar_matcher.h"

namespace fathom {

class Constraint {
 public:
  // after_reasoning: it holds from behind </think> on. vocab_size: of the logits. trie outlives it.
  Constraint(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie, int64_t vocab_size,
             bool after_reasoning);

  // Bit t of word t / 64: token t may be drawn; stop_ids where the answer may end. No words: all
  // may. Words without a bit: none may, the answer is over.
  // Valid until the next call.
  std::span<const uint64_t> allowed(std::span<const int32_t> stop_ids);
  // Of a token that was drawn, and that ends nothing.
  void accept(int32_t token, std::string_view bytes);
  // From now on the grammar says what may come, and when the answer may end.
  bool holds() const { return holds_; }
  // Nothing more may come.
  bool is_complete() { return holds_ && matcher_.is_complete(); }

 private:
  GrammarMatcher matcher_;
  bool holds_;
  std::string tail_;  // of the reasoning
  std::vector<uint64_t> words_;
};

}  // namespace fathom
