// A request's grammar at work: which tokens may be drawn. It holds for all of the answer, or from
// the end of its reasoning on, and an answer that is complete ends; or, with an opener, from behind
// that token to the grammar's end, as often as the token comes, and what is around is free.
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
  // after_reasoning: it holds, or is opened, from behind </think> on. opener: -1: none. vocab_size:
  // of the logits. trie outlives it.
  Constraint(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie, int64_t vocab_size,
             bool after_reasoning, int32_t opener = -1);

  // Bit t of word t / 64: token t may be drawn; stop_ids where the answer may end. No words: all
  // may. Words without a bit: none may, the answer is over.
  // Valid until the next call.
  std::span<const uint64_t> allowed(std::span<const int32_t> stop_ids);
  // Of a token that was drawn, and that ends nothing.
  void accept(int32_t token, std::string_view bytes);
  // The grammar says when the answer may end, as soon as it holds, and before that it may not.
  bool decides_end() const { return opener_ < 0; }
  // The grammar says what may come.
  bool holds() const { return at_ == At::kHolds; }
  // Nothing more may come.
  bool is_complete() { return decides_end() && holds() && matcher_.is_complete(); }

 private:
  enum class At : uint8_t { kReasoning, kFree, kHolds };
  void read_reasoning(std::string_view bytes);

  GrammarMatcher matcher_;
  int32_t opener_;
  At at_;
  std::string tail_;  // of the reasoning
  std::vector<uint64_t> words_;
};

}  // namespace fathom
