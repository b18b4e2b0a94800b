// Takes an answer apart as it comes: reasoning, content, calls of tools, in the forms that the
// family's models write (spec §4.3; Kimi-K2's own markers). What is pushed in pieces comes out as
// when it is pushed at once, joined. Text that looks like a call and is none stays content, as it
// was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct CallMarkers;

struct AnswerPart {
  enum class Kind : uint8_t {
    kReasoning,
    kContent,
    kCall,       // a call begins: text is the function's name
    kArguments,  // a piece of the JSON text of the last call's arguments
  };
  Kind kind;
  std::string text;
};

// What ends reasoning, and what may stand between it and the answer.
inline constexpr std::string_view kThinkEnd = "</think>", kAnswerBlanks = " \n\r\t";

// Whether an answer to this prompt begins within reasoning: it ends with <think>.
bool opens_reasoning(std::string_view prompt_end);

struct AnswerParserOptions {
  bool in_reasoning = false;     // the prompt ends with <think>
  bool splits_reasoning = true;  // else <think> is content like all else
  bool parses_calls = false;
};

class AnswerParser {
 public:
  explicit AnswerParser(const AnswerParserOptions& options);

  // Appends to parts what is certain now. Neighbours may be of the same kind.
  void push(std::string_view text, std::vector<AnswerPart>& parts);
  // The answer has ended: what was held back.
  void finish(std::vector<AnswerPart>& parts);
  int64_t n_calls() const { return n_calls_; }
  bool in_reasoning() const { return state_ == State::kReasoning; }

 private:
  enum class State : uint8_t { kReasoning, kContent, kBetween, kHead, kName, kFence, kArguments };
  using Parts = std::vector<AnswerPart>;

  bool advance(Parts& parts);
  bool advance_text(Parts& parts);
  bool advance_between(Parts& parts);
  bool advance_head(Parts& parts);
  bool advance_name(Parts& parts);
  bool advance_fence();
  bool advance_arguments(Parts& parts);
  void begin_call(std::string name, Parts& parts);
  void give_up(Parts& parts);
  void show(AnswerPart::Kind kind, std::string text, Parts& parts);
  // Moves to `state` and drops n bytes of what is held, which `raw_` remembers within a call's
  // head.
  void take(size_t n, State state);

  AnswerParserOptions options_;
  State state_;
  const CallMarkers* form_ = nullptr;  // of the section of calls at hand
  std::string held_;
  std::string raw_;  // the markers of a call that is not sure yet
  bool fenced_ = false;
  bool shown_ = false;  // something other than blanks was content
  int64_t n_calls_ = 0;
};

}  // namespace fathom
