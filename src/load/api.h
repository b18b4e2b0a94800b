// The OpenAI API as a client speaks it: what is asked, and what the pieces of a streamed answer
// say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/json.h"

namespace fathom {

enum class LoadEndpoint : uint8_t { kChat, kCompletions };

// "/chat/completions", which comes after the base of the URL.
std::string_view endpoint_path(LoadEndpoint endpoint);

struct AskOptions {
  LoadEndpoint endpoint = LoadEndpoint::kChat;
  std::string model;
  double temperature = 0;
  bool ignore_eos = false;  // "ignore_eos" and "min_tokens", which not every server knows
};

// The body of a request for a stream with usage. prompt: an object with "messages" or "prompt"; its
// other fields are sent along, and its own max_tokens and temperature count.
Json request_body(const AskOptions& options, Json prompt, int64_t max_tokens, uint64_t seed);

// {"messages": [a user's text]} or {"prompt": text}.
Json prompt_of_text(LoadEndpoint endpoint, std::string_view text);
// A line of a file of prompts, made to fit the endpoint; where begins the message of an error.
Result<Json> prompt_of_line(LoadEndpoint endpoint, Json line, std::string_view where);

struct TokenUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of them; servers that do not say: 0
  int64_t completion_tokens = 0;
};

// An event of the stream.
struct AnswerPiece {
  bool is_done = false;      // "[DONE]"
  std::string text;          // of the answer, of reasoning, or of a call's arguments
  bool is_finished = false;  // a finish_reason came
  std::optional<TokenUsage> usage;
  std::string error;  // what the server says went wrong; empty: nothing
};
// An error where data is no JSON object.
Result<AnswerPiece> parse_answer_piece(std::string_view data);

// The sentence in an answer that is an error: {"error": {"message"}}, {"error": "..."},
// {"message"}, {"detail"}, else the beginning of the body itself.
std::string error_of_body(std::string_view body);

// The first id of GET /models.
Result<std::string> first_model_of(std::string_view body);

}  // namespace fathom
