// The answer to a /v1/responses request: items of reasoning, text and calls, as a stream of named
// events or one object, kept in the store where the request says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/answer_parser.h"
#include "server/answer_head.h"
#include "server/engine_thread.h"
#include "server/response_store.h"
#include "server/served_model.h"

namespace fathom {

struct ResponsesAnswerOptions {
  AnswerHead head;
  AnswerParserOptions parser;
  int64_t n_prompt = 0;
  bool stream = false;
  bool background = false;  // nobody waits: the reply was sent
  bool logprobs = false;
  Json shown;                            // the request's fields that the answer repeats
  std::shared_ptr<ResponseStore> store;  // null: it is not kept
  std::string owner;
  Json input_items, messages;
};

class ResponsesAnswer final : public TokenListener {
 public:
  ResponsesAnswer(const Tokenizer& tokenizer, ResponsesAnswerOptions options,
                  std::shared_ptr<HttpReply> reply);
  void on_token(int64_t choice, const TokenEvent& event) override;

  // As it stands before the first token; kept in the store.
  Json begin();

 private:
  struct Item {
    AnswerPart::Kind kind;  // kReasoning, kContent or kCall
    std::string id, call_id, name, text;
    Json logprobs = Json::array();
    bool done = false;
  };

  void add(const AnswerPart& part);
  void open(const AnswerPart& part);
  void close();
  void event(std::string_view type, Json::Object fields);
  // Of the last item: its id and place before the others.
  void item_event(std::string_view type, Json::Object fields);
  Json item_json(const Item& item) const;
  Json part_json(const Item& item) const;
  Json usage() const;
  Json response(std::string_view status) const;
  Json answer_message() const;
  void keep(const Json& response);
  StoredResponse stored(const Json& response) const;
  void send(const Json& response);
  void fail(const TokenEvent& event);
  void finish(const TokenEvent& event);

  const Tokenizer& tokenizer_;
  ResponsesAnswerOptions options_;
  std::shared_ptr<HttpReply> reply_;
  AnswerParser parser_;
  std::vector<Item> items_;
  Json new_logprobs_ = Json::array();  // not shown yet
  Json error_, incomplete_;
  bool begun_ = false;  // a stream
  bool over_ = false;
  int64_t n_events_ = 0;
  ChoiceUsage usage_;
};

}  // namespace fathom
