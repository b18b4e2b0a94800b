// The answer to a chat request: takes tokens as they come, writes them as a stream of chunks or, at
// the end, as one object (docs/http_api.md).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/answer_parser.h"
#include "server/answer_head.h"
#include "server/chat_request.h"
#include "server/engine_thread.h"
#include "server/served_model.h"
#include "server/token_details.h"

namespace fathom {

struct ChatAnswerOptions {
  AnswerHead head;
  AnswerParserOptions parser;
  int64_t n_choices = 1;
  int64_t n_prompt = 0;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool logprobs = false;
  bool legacy_functions = false;  // the first call is a "function_call", others are left out
  int64_t n_expert_layers = 0;    // with routed_experts: of how many layers a token has them
};

class ChatAnswer final : public TokenListener {
 public:
  ChatAnswer(const Tokenizer& tokenizer, ChatAnswerOptions options,
             std::shared_ptr<HttpReply> reply);
  void on_token(int64_t choice, const TokenEvent& event) override;

 private:
  struct Call {
    std::string id, name, arguments;
  };
  struct Choice {
    explicit Choice(const ChatAnswerOptions& options)
        : parser(options.parser), details(options.logprobs, options.n_expert_layers) {}
    AnswerParser parser;
    std::string content, reasoning;
    std::vector<Call> calls;
    TokenDetails details;  // of a stream: those not sent yet
    ChoiceUsage usage;
    FinishReason finish = FinishReason::kNone;
    bool begun = false;
  };

  std::string finish_name(const Choice& choice) const;
  AnswerUsage usage() const;
  void collect(Choice& choice, const AnswerPart& part);
  // Null: nothing.
  Json delta(Choice& choice, const AnswerPart& part);
  Json call_delta(const Choice& choice, Json function, bool begins) const;
  // details: those of the tokens that the chunk tells; null: none.
  void send_chunk(int64_t index, const TokenDetails* details, Json delta, Json finish_reason);
  void stream_event(int64_t index, Choice& choice, const std::vector<AnswerPart>& parts);
  void fail(const TokenEvent& event);
  void finish();
  Json message(const Choice& choice) const;

  const Tokenizer& tokenizer_;
  const ChatAnswerOptions options_;
  std::shared_ptr<HttpReply> reply_;
  std::optional<EventStream> stream_;
  std::vector<Choice> choices_;
  bool over_ = false;  // failed, or its client has gone
};

}  // namespace fathom
