// A language of bytes that an answer must belong to: what JSON schemas, regular expressions and
// EBNF are made into (engine/json_schema.h, engine/regex_grammar.h, engine/ebnf.h), and what
// engine/grammar_matcher.h follows. Rules call each other, so that nesting has no bound; everything
// else is a finite automaton. Built bottom up: an expression is a number that later ones refer to.
//
// Hostile input: the size is bounded (kStatesMax), repetitions count as what they expand to, and
// rules that call themselves before they have read a byte are refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fathom {

// Unicode code points, both ends included.
struct CodeRange {
  uint32_t first, last;
};

// Stands before the text of a control token, to tell it from the same text; no byte of UTF-8.
inline constexpr char kControlTokenByte = '\xff';

class Grammar {
 public:
  static constexpr int64_t kStatesMax = 200'000;
  static constexpr int64_t kEdgesMax = 1'000'000;

  struct Edge {
    enum class Kind : uint8_t { kBytes, kEmpty, kCall } kind;
    uint8_t first = 0, last = 0;  // kBytes: a range
    int32_t to = 0;               // the next state; of a call the one after it
    int32_t rule = 0;             // kCall
  };
  struct State {
    std::vector<Edge> edges;
    bool is_end = false;  // of its rule
  };

  const std::vector<State>& states() const { return states_; }
  int32_t rule_start(int32_t rule) const { return rules_[static_cast<size_t>(rule)]; }
  int32_t n_rules() const { return static_cast<int32_t>(rules_.size()); }
  int32_t root() const { return root_; }

 private:
  friend class GrammarBuilder;
  std::vector<State> states_;
  std::vector<int32_t> rules_;  // their first states
  int32_t root_ = 0;
};

class GrammarBuilder {
 public:
  using Expr = int32_t;

  Expr empty();
  Expr text(std::string_view bytes);
  // An added token of the vocabulary, by its text.
  Expr control_token(std::string_view text) {
    return this->text(kControlTokenByte + std::string(text));
  }
  // One of them; those that begin alike share their beginning.
  Expr texts(std::vector<std::string> texts);
  // One character of the ranges, or with negated one that is in none; UTF-8.
  Expr characters(std::vector<CodeRange> ranges, bool negated = false);
  Expr sequence(std::vector<Expr> parts);
  Expr choice(std::vector<Expr> parts);  // none: what nothing matches
  // max -1: any number.
  Expr repeat(Expr part, int64_t min, int64_t max);
  Expr call(int32_t rule);

  // A rule's number, to be called before or after its body is known.
  int32_t declare_rule();
  void define_rule(int32_t rule, Expr body);

  // Too many expressions already: whoever makes more should stop, finish() will fail.
  bool is_full() const { return std::ssize(nodes_) > kNodesMax; }

  // Errors: too large, or too deep; a rule without a body; a rule that calls itself without reading
  // a byte; nothing that matches.
  Result<Grammar> finish(int32_t root);

 private:
  struct Node {
    enum class Kind : uint8_t { kText, kCharacters, kSequence, kChoice, kRepeat, kCall } kind;
    std::string text;
    std::vector<CodeRange> ranges;
    std::vector<Expr> parts;
    int64_t min = 0, max = 0;
    int32_t rule = 0;
  };
  struct Compiler;
  static constexpr int64_t kNodesMax = 1'000'000;
  Expr add(Node node);
  Expr texts(std::span<const std::string> sorted, size_t n_common);

  std::vector<Node> nodes_;
  std::vector<Expr> bodies_;  // of rules; -1: not defined
};

}  // namespace fathom
