// The answer to a completion request, as a stream of chunks or one object (docs/http_api.md).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/answer_head.h"
#include "server/completion_request.h"
#include "server/engine_thread.h"
#include "server/served_model.h"

namespace fathom {

class CompletionAnswer final : public TokenListener {
 public:
  // Choice i of the engine belongs to prompt i / n.
  CompletionAnswer(const Tokenizer& tokenizer, AnswerHead head, CompletionRequest request,
                   std::shared_ptr<HttpReply> reply);
  void on_token(int64_t choice, const TokenEvent& event) override;

 private:
  // The legacy shape: lists beside each other.
  struct Logprobs {
    Json tokens = Json::array(), token_logprobs = Json::array(), top_logprobs = Json::array(),
         text_offset = Json::array();
    Json json() const;
  };
  struct Choice {
    std::string text;
    Logprobs logprobs;
    int64_t offset = 0;  // of the next token's text, in characters
    ChoiceUsage usage;
    FinishReason finish = FinishReason::kNone;
    bool begun = false;
  };

  const std::vector<int32_t>& prompt_of(int64_t choice) const;
  void echo(int64_t index, Choice& choice, const TokenEvent& event);
  void add_logprob(Choice& choice, int32_t token, std::optional<float> logprob,
                   const std::vector<TokenLogprob>& top);
  Json choice_json(int64_t index, const Choice& choice) const;
  void send_chunk(int64_t index, Choice& choice);
  AnswerUsage usage() const;
  void fail(const TokenEvent& event);
  void finish();

  const Tokenizer& tokenizer_;
  const AnswerHead head_;
  const CompletionRequest request_;
  std::shared_ptr<HttpReply> reply_;
  std::optional<EventStream> stream_;
  std::vector<Choice> choices_;
  bool over_ = false;
};

}  // namespace fathom
