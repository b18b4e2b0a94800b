// JSON's own values as grammar expressions, written as json.dumps writes them: what schemas are
// made of.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar.h"
#include "io/json.h"

namespace fathom {

// Digits of an integer or a fraction where nothing bounds them: a number has an end.
inline constexpr int64_t kJsonDigitsMax = 18;

class JsonValues {
 public:
  using Expr = GrammarBuilder::Expr;
  explicit JsonValues(GrammarBuilder& builder) : b_(builder) {}

  Expr string();
  Expr integer();
  Expr number();
  Expr value();  // any
  Expr any_object();
  // A string without escapes that is none of these. keys: UTF-8.
  Expr other_key(const std::vector<std::string>& keys);
  // A regular expression of ours, which is right.
  Expr pattern(std::string_view text);

 private:
  Expr object(Expr any);
  Expr array(Expr any);
  Expr listed(Expr part);
  Expr rule(const std::string& name, Expr body);

  GrammarBuilder& b_;
  std::map<std::string, int32_t> rules_;
  int32_t value_ = -1;
};

// A regular expression for the integers low..high, low <= high, of at most kJsonDigitsMax digits.
std::string integers_between(int64_t low, int64_t high);

// As json.dumps writes it: the text that a constant must be.
std::string json_dumps(const Json& value);

}  // namespace fathom
