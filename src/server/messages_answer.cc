#include "server/messages_answer.h"

#include "server/api_error.h"

namespace fathom {

namespace {

using Kind = AnswerPart::Kind;

Json error_json(const ApiError& error) {
  return Json::Object{
      {"type", "error"},
      {"error", Json::Object{{"type", error_type(error.status)}, {"message", error.message}}}};
}

}  // namespace

HttpResponse messages_error_response(const ApiError& error) {
  HttpResponse out = error_response(error);
  out.body = error_json(error).dump();
  return out;
}

MessagesAnswer::MessagesAnswer(MessagesAnswerOptions options, std::shared_ptr<HttpReply> reply)
    : options_(std::move(options)), reply_(std::move(reply)), parser_(options_.parser) {}

Json MessagesAnswer::usage() const {
  const int64_t cached = usage_.engine.cached_prompt_tokens;
  return Json::Object{{"input_tokens", options_.n_prompt - cached},
                      {"cache_read_input_tokens", cached},
                      {"cache_creation_input_tokens", 0},
                      {"output_tokens", usage_.n_tokens}};
}

Json MessagesAnswer::message(Json content, Json stop_reason, Json stop_sequence) const {
  return Json::Object{{"id", options_.head.id},
                      {"type", "message"},
                      {"role", "assistant"},
                      {"model", options_.head.model},
                      {"content", std::move(content)},
                      {"stop_reason", std::move(stop_reason)},
                      {"stop_sequence", std::move(stop_sequence)},
                      {"usage", usage()}};
}

void MessagesAnswer::event(const Json& data) {
  reply_->write(named_event(data.find("type")->as_string(), data));
}

void MessagesAnswer::on_token(int64_t, const TokenEvent& token) {
  if (over_) return;
  usage_.engine = token.usage;
  if (token.token >= 0) ++usage_.n_tokens;
  if (token.finish == FinishReason::kCancelled) {
    over_ = true;
    return;
  }
  if (token.finish == FinishReason::kFailed || token.finish == FinishReason::kExpired) {
    fail(token);
    return;
  }
  if (options_.stream && !begun_) {
    begun_ = true;
    reply_->begin(events_head(options_.head.headers));
    event(Json::Object{{"type", "message_start"}, {"message", message(Json::array(), {}, {})}});
  }
  std::vector<AnswerPart> parts;
  parser_.push(token.text, parts);
  if (token.finish != FinishReason::kNone) parser_.finish(parts);
  for (const AnswerPart& part : parts) add(part);
  if (token.finish != FinishReason::kNone) finish(token);
}

void MessagesAnswer::add(const AnswerPart& part) {
  const bool is_call = part.kind == Kind::kCall;
  const Kind kind = part.kind == Kind::kArguments ? Kind::kCall : part.kind;
  if (is_call || blocks_.empty() || blocks_.back().kind != kind) open(part);
  if (is_call) return;
  blocks_.back().text += part.text;
  if (!options_.stream) return;
  Json delta;
  switch (part.kind) {
    case Kind::kReasoning:
      delta = Json::Object{{"type", "thinking_delta"}, {"thinking", part.text}};
      break;
    case Kind::kContent:
      delta = Json::Object{{"type", "text_delta"}, {"text", part.text}};
      break;
    case Kind::kCall:
    case Kind::kArguments:
      delta = Json::Object{{"type", "input_json_delta"}, {"partial_json", part.text}};
      break;
  }
  event(Json::Object{{"type", "content_block_delta"},
                     {"index", std::ssize(blocks_) - 1},
                     {"delta", std::move(delta)}});
}

void MessagesAnswer::open(const AnswerPart& part) {
  close();
  Block block = {part.kind, "", "", ""};
  if (part.kind == Kind::kCall) {
    block.id = make_id("toolu_");
    block.name = part.text;
  }
  blocks_.push_back(std::move(block));
  is_open_ = true;
  if (options_.stream)
    event(Json::Object{{"type", "content_block_start"},
                       {"index", std::ssize(blocks_) - 1},
                       {"content_block", block_json(blocks_.back())}});
}

void MessagesAnswer::close() {
  if (!is_open_) return;
  is_open_ = false;
  if (options_.stream)
    event(Json::Object{{"type", "content_block_stop"}, {"index", std::ssize(blocks_) - 1}});
}

// Arguments that are no JSON stay readable: as one text.
Json MessagesAnswer::block_json(const Block& block) const {
  switch (block.kind) {
    case Kind::kReasoning:
      return Json::Object{{"type", "thinking"}, {"thinking", block.text}, {"signature", ""}};
    case Kind::kContent:
      return Json::Object{{"type", "text"}, {"text", block.text}};
    case Kind::kCall:
    case Kind::kArguments:
      break;
  }
  Json input = Json::object();
  if (!block.text.empty()) {
    Result<Json> parsed = parse_json(block.text, {.reject_duplicate_keys = false});
    if (parsed.ok() && parsed->is_object()) {
      input = std::move(parsed).value();
    } else {
      input.set("unparsed", block.text);
    }
  }
  return Json::Object{
      {"type", "tool_use"}, {"id", block.id}, {"name", block.name}, {"input", std::move(input)}};
}

void MessagesAnswer::fail(const TokenEvent& token) {
  over_ = true;
  const ApiError error = engine_error(token);
  if (!begun_) {
    reply_->send(messages_error_response(error));
    return;
  }
  event(error_json(error));
  reply_->end();
}

void MessagesAnswer::finish(const TokenEvent& token) {
  over_ = true;
  std::string reason = "end_turn";
  if (token.finish == FinishReason::kLength) reason = "max_tokens";
  if (!token.stop.empty()) reason = "stop_sequence";
  if (reason == "end_turn" && parser_.n_calls() > 0) reason = "tool_use";
  Json stop = token.stop.empty() ? Json() : Json(token.stop);
  if (options_.stream) {
    close();
    event(Json::Object{
        {"type", "message_delta"},
        {"delta", Json::Object{{"stop_reason", reason}, {"stop_sequence", std::move(stop)}}},
        {"usage", usage()}});
    event(Json::Object{{"type", "message_stop"}});
    reply_->end();
    return;
  }
  Json content = Json::array();
  for (const Block& block : blocks_) content.push_back(block_json(block));
  HttpResponse response;
  response.headers = options_.head.headers;
  response.body = message(std::move(content), reason, std::move(stop)).dump();
  reply_->send(std::move(response));
}

}  // namespace fathom
