#include "server/responses_answer.h"

#include <utility>

#include "server/api_error.h"

namespace fathom {

namespace {
using Kind = AnswerPart::Kind;
}  // namespace

ResponsesAnswer::ResponsesAnswer(const Tokenizer& tokenizer, ResponsesAnswerOptions options,
                                 std::shared_ptr<HttpReply> reply)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      reply_(std::move(reply)),
      parser_(options_.parser) {}

Json ResponsesAnswer::begin() {
  Json out = response(options_.background ? "queued" : "in_progress");
  if (options_.store != nullptr) options_.store->put(options_.owner, options_.head.id, stored(out));
  return out;
}

void ResponsesAnswer::event(std::string_view type, Json::Object fields) {
  if (!options_.stream) return;
  fields.insert(fields.begin(), {{"type", type}, {"sequence_number", n_events_++}});
  reply_->write(named_event(type, std::move(fields)));
}

void ResponsesAnswer::item_event(std::string_view type, Json::Object fields) {
  fields.insert(fields.begin(),
                {{"item_id", items_.back().id}, {"output_index", std::ssize(items_) - 1}});
  if (items_.back().kind != Kind::kCall) fields.emplace_back("content_index", 0);
  event(type, std::move(fields));
}

void ResponsesAnswer::on_token(int64_t, const TokenEvent& token) {
  if (over_) return;
  usage_.engine = token.usage;
  if (token.token >= 0) {
    ++usage_.n_tokens;
    if (parser_.in_reasoning()) ++usage_.n_reasoning;
    if (options_.logprobs && !parser_.in_reasoning())
      new_logprobs_.push_back(
          logprob_json(tokenizer_, token.token, token.logprob, token.top_logprobs));
  }
  if (token.finish == FinishReason::kCancelled) {
    over_ = true;
    const Json cancelled = response("cancelled");
    keep(cancelled);
    // Of one that still has its client: it was cancelled by another request.
    if (begun_) event("response.incomplete", {{"response", cancelled}});
    if (begun_) reply_->end();
    if (!begun_ && !options_.background) send(cancelled);
    return;
  }
  if (token.finish == FinishReason::kFailed || token.finish == FinishReason::kExpired) {
    fail(token);
    return;
  }
  if (options_.stream && !begun_) {
    begun_ = true;
    reply_->begin(events_head(options_.head.headers));
    event("response.created", {{"response", response("in_progress")}});
    event("response.in_progress", {{"response", response("in_progress")}});
  }
  std::vector<AnswerPart> parts;
  parser_.push(token.text, parts);
  if (token.finish != FinishReason::kNone) parser_.finish(parts);
  for (const AnswerPart& part : parts) add(part);
  if (token.finish != FinishReason::kNone) finish(token);
}

void ResponsesAnswer::add(const AnswerPart& part) {
  const bool is_call = part.kind == Kind::kCall;
  const Kind kind = part.kind == Kind::kArguments ? Kind::kCall : part.kind;
  if (is_call || items_.empty() || items_.back().kind != kind) open(part);
  if (is_call) return;
  Item& item = items_.back();
  item.text += part.text;
  switch (kind) {
    case Kind::kReasoning:
      return item_event("response.reasoning_text.delta", {{"delta", part.text}});
    case Kind::kContent: {
      Json logprobs = std::exchange(new_logprobs_, Json::array());
      for (const Json& one : logprobs.as_array()) item.logprobs.push_back(one);
      return item_event("response.output_text.delta",
                        {{"delta", part.text}, {"logprobs", std::move(logprobs)}});
    }
    case Kind::kCall:
    case Kind::kArguments:
      return item_event("response.function_call_arguments.delta", {{"delta", part.text}});
  }
}

void ResponsesAnswer::open(const AnswerPart& part) {
  close();
  Item item = {.kind = part.kind, .id = "", .call_id = "", .name = "", .text = ""};
  item.id = make_id(part.kind == Kind::kReasoning ? "rs_"
                    : part.kind == Kind::kContent ? "msg_"
                                                  : "fc_");
  if (part.kind == Kind::kCall) {
    item.call_id = make_id("call_");
    item.name = part.text;
  }
  items_.push_back(std::move(item));
  event("response.output_item.added",
        {{"output_index", std::ssize(items_) - 1}, {"item", item_json(items_.back())}});
  if (part.kind != Kind::kCall)
    item_event("response.content_part.added", {{"part", part_json(items_.back())}});
}

void ResponsesAnswer::close() {
  if (items_.empty() || items_.back().done) return;
  Item& item = items_.back();
  item.done = true;
  if (item.kind == Kind::kCall) {
    item_event("response.function_call_arguments.done",
               {{"name", item.name}, {"arguments", item.text}});
  } else {
    const bool reasons = item.kind == Kind::kReasoning;
    Json::Object fields = {{"text", item.text}};
    if (!reasons) fields.emplace_back("logprobs", item.logprobs);
    item_event(reasons ? "response.reasoning_text.done" : "response.output_text.done",
               std::move(fields));
    item_event("response.content_part.done", {{"part", part_json(item)}});
  }
  event("response.output_item.done",
        {{"output_index", std::ssize(items_) - 1}, {"item", item_json(item)}});
}

Json ResponsesAnswer::part_json(const Item& item) const {
  if (item.kind == Kind::kReasoning)
    return Json::Object{{"type", "reasoning_text"}, {"text", item.text}};
  return Json::Object{{"type", "output_text"},
                      {"text", item.text},
                      {"annotations", Json::array()},
                      {"logprobs", item.logprobs}};
}

Json ResponsesAnswer::item_json(const Item& item) const {
  const char* const status = item.done ? "completed" : "in_progress";
  Json content = Json::array();
  if (item.done || !item.text.empty()) content.push_back(part_json(item));
  switch (item.kind) {
    case Kind::kReasoning:
      return Json::Object{{"id", item.id},
                          {"type", "reasoning"},
                          {"status", status},
                          {"summary", Json::array()},
                          {"content", std::move(content)}};
    case Kind::kContent:
      return Json::Object{{"id", item.id},
                          {"type", "message"},
                          {"status", status},
                          {"role", "assistant"},
                          {"content", std::move(content)}};
    case Kind::kCall:
    case Kind::kArguments:
      break;
  }
  return Json::Object{{"id", item.id},     {"type", "function_call"},
                      {"status", status},  {"call_id", item.call_id},
                      {"name", item.name}, {"arguments", item.text}};
}

Json ResponsesAnswer::usage() const {
  return Json::Object{
      {"input_tokens", options_.n_prompt},
      {"input_tokens_details", Json::Object{{"cached_tokens", usage_.engine.cached_prompt_tokens}}},
      {"output_tokens", usage_.n_tokens},
      {"output_tokens_details", Json::Object{{"reasoning_tokens", usage_.n_reasoning}}},
      {"total_tokens", options_.n_prompt + usage_.n_tokens}};
}

Json ResponsesAnswer::response(std::string_view status) const {
  Json output = Json::array();
  for (const Item& item : items_) output.push_back(item_json(item));
  const bool runs = status == "queued" || status == "in_progress";
  Json out = Json::Object{{"id", options_.head.id},
                          {"object", "response"},
                          {"created_at", options_.head.created},
                          {"status", status},
                          {"error", error_},
                          {"incomplete_details", incomplete_},
                          {"model", options_.head.model},
                          {"output", std::move(output)},
                          {"usage", runs ? Json() : usage()}};
  for (const auto& [key, value] : options_.shown.as_object()) out.set(key, value);
  return out;
}

// In the form of chat, for requests that go on from here.
Json ResponsesAnswer::answer_message() const {
  std::string text;
  Json calls = Json::array();
  for (const Item& item : items_) {
    if (item.kind == Kind::kContent) text += item.text;
    if (item.kind == Kind::kCall) calls.push_back(chat_call(item.call_id, item.name, item.text));
  }
  const bool has_calls = !calls.as_array().empty();
  Json out = Json::Object{{"role", "assistant"},
                          {"content", text.empty() && has_calls ? Json() : Json(text)}};
  if (has_calls) out.set("tool_calls", std::move(calls));
  return out;
}

StoredResponse ResponsesAnswer::stored(const Json& response) const {
  Json messages = options_.messages;
  if (!items_.empty()) messages.push_back(answer_message());
  return {response, options_.input_items, std::move(messages)};
}

// Unless it has been deleted meanwhile.
void ResponsesAnswer::keep(const Json& response) {
  if (options_.store != nullptr)
    options_.store->update(options_.owner, options_.head.id, stored(response));
}

void ResponsesAnswer::fail(const TokenEvent& token) {
  over_ = true;
  const ApiError error = engine_error(token);
  error_ = Json::Object{{"code", error.code}, {"message", error.message}};
  const Json failed = response("failed");
  keep(failed);
  if (options_.background) return;
  if (!begun_) {
    reply_->send(error_response(error));
    return;
  }
  event("response.failed", {{"response", failed}});
  reply_->end();
}

void ResponsesAnswer::finish(const TokenEvent& token) {
  over_ = true;
  close();
  const bool is_cut = token.finish == FinishReason::kLength;
  if (is_cut) incomplete_ = Json::Object{{"reason", "max_output_tokens"}};
  const Json whole = response(is_cut ? "incomplete" : "completed");
  keep(whole);
  if (options_.background) return;
  if (options_.stream) {
    event(is_cut ? "response.incomplete" : "response.completed", {{"response", whole}});
    reply_->end();
    return;
  }
  send(whole);
}

void ResponsesAnswer::send(const Json& response) {
  HttpResponse out;
  out.headers = options_.head.headers;
  out.body = response.dump();
  reply_->send(std::move(out));
}

}  // namespace fathom
