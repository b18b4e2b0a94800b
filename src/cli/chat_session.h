// A conversation with a model: turns, the answer as it comes, and what is dropped when the context
// is full. Not here: the terminal (cli/chat.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/sampling_options.h"
#include "engine/loaded_model.h"
#include "engine/prompt.h"
#include "io/json.h"

namespace fathom::cli {

struct ChatOptions {
  std::string system;
  bool thinking = false;
  uint64_t seed = 0;
  SamplingOptions sampling;
};

struct TurnReport {
  FinishReason finish = FinishReason::kNone;
  int64_t n_dropped = 0;  // messages that were dropped to make room
  int64_t n_prompt = 0;
  int64_t n_generated = 0;
  double prefill_seconds = 0;  // to the first token
  double decode_seconds = 0;   // from the first token on
};

// Pieces of the answer as they come; reasoning tells thinking from the answer proper.
using TextSink = std::function<Status(std::string_view text, bool reasoning)>;

class ChatSession {
 public:
  // The context must have room for an answer after the system prompt.
  ChatSession(LoadedModel& model, ChatOptions options);

  // Adds a user's turn and answers it. If nothing could be answered the turn is taken back. stop is
  // asked after each token: true ends the answer, and what came so far stays.
  Result<TurnReport> say(const std::string& text, const TextSink& sink,
                         const std::function<bool()>& stop);
  // Answers the last user's turn again, with another draw.
  Result<TurnReport> retry(const TextSink& sink, const std::function<bool()>& stop);

  void clear();
  void set_system(std::string system);
  const std::string& system() const { return options_.system; }
  int64_t n_messages() const { return static_cast<int64_t>(messages_.size()); }
  int64_t context() const { return model_.context; }

  // {"messages": [...]} with the system prompt first.
  Json to_json() const;
  Status from_json(const Json& json);

 private:
  Result<std::vector<int32_t>> prompt_that_fits(int64_t* n_dropped);
  Result<TurnReport> answer(const TextSink& sink, const std::function<bool()>& stop);
  Json all_messages() const;

  LoadedModel& model_;
  ChatOptions options_;
  PromptBuilder prompts_;
  std::unique_ptr<Engine> engine_;
  Json::Array messages_;  // without the system prompt
  uint64_t draws_ = 0;
};

}  // namespace fathom::cli
