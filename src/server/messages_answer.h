// The answer to a /v1/messages request: blocks of thinking, text and calls, as a stream of named
// events or one object.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/answer_parser.h"
#include "server/answer_head.h"
#include "server/api_error.h"
#include "server/engine_thread.h"
#include "server/served_model.h"

namespace fathom {

// {"type": "error", "error": {"type", "message"}}
HttpResponse messages_error_response(const ApiError& error);

struct MessagesAnswerOptions {
  AnswerHead head;
  AnswerParserOptions parser;
  int64_t n_prompt = 0;
  bool stream = false;
};

class MessagesAnswer final : public TokenListener {
 public:
  MessagesAnswer(MessagesAnswerOptions options, std::shared_ptr<HttpReply> reply);
  void on_token(int64_t choice, const TokenEvent& event) override;

 private:
  struct Block {
    AnswerPart::Kind kind;  // kReasoning, kContent or kCall
    std::string id, text;   // of a call: its id, and the text of its input
    std::string name;
  };

  void add(const AnswerPart& part);
  void open(const AnswerPart& part);
  void close();
  void event(const Json& data);
  Json block_json(const Block& block) const;
  Json usage() const;
  Json message(Json content, Json stop_reason, Json stop_sequence) const;
  void fail(const TokenEvent& event);
  void finish(const TokenEvent& event);

  const MessagesAnswerOptions options_;
  std::shared_ptr<HttpReply> reply_;
  AnswerParser parser_;
  std::vector<Block> blocks_;
  bool is_open_ = false;  // the last block
  bool begun_ = false;    // a stream
  bool over_ = false;
  ChoiceUsage usage_;
};

}  // namespace fathom
