// Cuts a run of text into the pre-tokens that BPE works on: a list of steps, each applied to the
// pieces of the one before. V3's three patterns are done by hand (v3_scanner.h), any others by the
// regex library.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/regex.h"

namespace fathom {

class PreTokenizer {
 public:
  // The "pre_tokenizer" of tokenizer.json: Split (behavior Isolated), Digits, ByteLevel, and
  // Sequences of them. What else it names is refused by name.
  static Result<PreTokenizer> from_json(const Json& json);
  // Split steps with these patterns, behavior Isolated.
  static Result<PreTokenizer> from_patterns(std::span<const std::string> patterns);

  // By the name that GGUF files have for it (tokenizer.ggml.pre). The error lists what is known.
  static Result<PreTokenizer> from_gguf_name(std::string_view name);
  // The same as the "pre_tokenizer" of tokenizer.json; null if the name is not known.
  static Json json_of_gguf_name(std::string_view name);
  // The name of these steps, "" if they have none.
  const std::string& gguf_name() const { return gguf_name_; }

  // Appends the pieces, none empty; joined they are the text. A byte that is not UTF-8 belongs to
  // no class of characters, and to no match of the regex library.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;
  bool is_v3() const { return is_v3_; }

 private:
  struct Digits {  // each number a piece of its own, or each run of them
    bool individual;
    friend bool operator==(const Digits&, const Digits&) = default;
  };
  struct TrailingSpace {
  };  // the pattern \s+$, which by regex takes quadratic time in a long run of blanks
  struct Step {
    enum class Kind { kRegex, kDigits, kTrailingSpace } kind;
    bool individual = false;  // kDigits
    Regex regex;              // kRegex
  };
  // As asked for, before anything is compiled: a pattern, or digits.
  using Wish = std::variant<std::string, Digits>;

  struct Known {
    std::string_view gguf_name;
    std::vector<Wish> wishes;
  };
  static const std::vector<Known>& known();
  static Status read_json(const Json& json, int depth, std::vector<Wish>& wishes,
                          bool& has_byte_level);
  static Status read_split(const Json& json, std::vector<Wish>& wishes);
  static Status read_byte_level(const Json& json, std::vector<Wish>& wishes);
  static Result<PreTokenizer> create(const std::vector<Wish>& wishes);
  static Result<Step> compile(const Wish& wish);
  void split_by_steps(std::string_view text, Regex::Matcher& matcher,
                      std::vector<std::string_view>& pieces) const;

  std::vector<Step> steps_;  // empty if is_v3_
  bool is_v3_ = false;
  std::string gguf_name_;
};

// The pattern of Kimi-K2 and Moonlight, as a fact from their class TikTokenTokenizer.
extern const std::string_view kKimiPattern;

}  // namespace fathom
