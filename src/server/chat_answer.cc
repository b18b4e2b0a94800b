#include "server/chat_answer.h"

#include <algorithm>

#include "server/api_error.h"

namespace fathom {

ChatAnswer::ChatAnswer(const Tokenizer& tokenizer, ChatAnswerOptions options,
                       std::shared_ptr<HttpReply> reply)
    : tokenizer_(tokenizer), options_(std::move(options)), reply_(std::move(reply)) {
  for (int64_t i = 0; i < options_.n_choices; ++i) choices_.emplace_back(options_);
}

std::string ChatAnswer::finish_name(const Choice& choice) const {
  if (choice.finish == FinishReason::kStop && !choice.calls.empty())
    return options_.legacy_functions ? "function_call" : "tool_calls";
  return std::string(finish_reason_name(choice.finish));
}

AnswerUsage ChatAnswer::usage() const {
  AnswerUsage out;
  out.n_prompt = options_.n_prompt;
  for (const Choice& choice : choices_) out.add(choice.usage);
  return out;
}

void ChatAnswer::on_token(int64_t index, const TokenEvent& event) {
  if (over_) return;
  Choice& choice = choices_[static_cast<size_t>(index)];
  choice.usage.engine = event.usage;
  if (event.token >= 0) {
    ++choice.usage.n_tokens;
    if (choice.parser.in_reasoning()) ++choice.usage.n_reasoning;
    choice.details.add(event);
  }
  choice.finish = event.finish;
  if (event.finish == FinishReason::kCancelled) {
    over_ = true;
    return;
  }
  if (event.finish == FinishReason::kFailed || event.finish == FinishReason::kExpired) {
    fail(event);
    return;
  }
  std::vector<AnswerPart> parts;
  choice.parser.push(event.text, parts);
  if (event.finish != FinishReason::kNone) choice.parser.finish(parts);
  if (options_.stream) {
    stream_event(index, choice, parts);
  } else {
    for (const AnswerPart& part : parts) collect(choice, part);
  }
  const bool all_done = std::all_of(choices_.begin(), choices_.end(), [](const Choice& c) {
    return c.finish != FinishReason::kNone;
  });
  if (all_done) finish();
}

void ChatAnswer::collect(Choice& choice, const AnswerPart& part) {
  switch (part.kind) {
    case AnswerPart::Kind::kReasoning:
      choice.reasoning += part.text;
      break;
    case AnswerPart::Kind::kContent:
      choice.content += part.text;
      break;
    case AnswerPart::Kind::kCall:
      choice.calls.push_back({make_id("call_"), part.text, ""});
      break;
    case AnswerPart::Kind::kArguments:
      choice.calls.back().arguments += part.text;
      break;
  }
}

// Of a stream: a piece of the last call.
Json ChatAnswer::call_delta(const Choice& choice, Json function, bool begins) const {
  if (options_.legacy_functions)
    return choice.calls.size() > 1 ? Json()
                                   : Json(Json::Object{{"function_call", std::move(function)}});
  Json call = Json::Object{{"index", std::ssize(choice.calls) - 1}};
  if (begins) {
    call.set("id", choice.calls.back().id);
    call.set("type", "function");
  }
  call.set("function", std::move(function));
  return Json::Object{{"tool_calls", Json::Array{std::move(call)}}};
}

// Of a stream: what the client adds to its message.
Json ChatAnswer::delta(Choice& choice, const AnswerPart& part) {
  switch (part.kind) {
    case AnswerPart::Kind::kReasoning:
      // Clients look for either name.
      return Json::Object{{"reasoning_content", part.text}, {"reasoning", part.text}};
    case AnswerPart::Kind::kContent:
      return Json::Object{{"content", part.text}};
    case AnswerPart::Kind::kCall:
      choice.calls.push_back({make_id("call_"), part.text, ""});
      return call_delta(choice, Json::Object{{"name", part.text}, {"arguments", ""}}, true);
    case AnswerPart::Kind::kArguments:
      return call_delta(choice, Json::Object{{"arguments", part.text}}, false);
  }
  return {};
}

void ChatAnswer::send_chunk(int64_t index, const TokenDetails* details, Json delta,
                            Json finish_reason) {
  Json chunk = options_.head.json("chat.completion.chunk");
  Json one = Json::Object{{"index", index},
                          {"delta", std::move(delta)},
                          {"logprobs", details == nullptr ? Json() : details->logprobs(tokenizer_)},
                          {"finish_reason", std::move(finish_reason)}};
  Json experts = details == nullptr ? Json() : details->experts();
  if (!experts.is_null()) one.set("routed_experts", std::move(experts));
  chunk.set("choices", Json::Array{std::move(one)});
  if (options_.include_usage || options_.continuous_usage)
    chunk.set("usage", options_.continuous_usage ? usage().json() : Json());
  stream_->event(chunk);
}

void ChatAnswer::stream_event(int64_t index, Choice& choice, const std::vector<AnswerPart>& parts) {
  if (!stream_) stream_.emplace(reply_, options_.head.headers);
  if (!choice.begun) {
    choice.begun = true;
    send_chunk(index, nullptr, Json::Object{{"role", "assistant"}, {"content", ""}}, {});
  }
  const auto send = [&](Json delta, Json finish_reason) {
    send_chunk(index, &choice.details, std::move(delta), std::move(finish_reason));
    choice.details.clear();
  };
  for (const AnswerPart& part : parts) {
    Json added = delta(choice, part);
    // Of calls that are left out the details are told all the same, as they come.
    if (!added.is_null() || !choice.details.empty())
      send(added.is_null() ? Json::object() : std::move(added), {});
  }
  if (choice.finish != FinishReason::kNone) send(Json::object(), finish_name(choice));
}

void ChatAnswer::fail(const TokenEvent& event) {
  over_ = true;
  const ApiError error = engine_error(event);
  if (!stream_) {
    reply_->send(error_response(error));
    return;
  }
  stream_->event(*parse_json(error_body(error)));
  stream_->done();
}

Json ChatAnswer::message(const Choice& choice) const {
  Json out = Json::object();
  out.set("role", "assistant");
  const bool says_nothing = choice.content.empty() && !choice.calls.empty();
  out.set("content", says_nothing ? Json() : Json(choice.content));
  if (!choice.reasoning.empty()) {
    out.set("reasoning_content", choice.reasoning);
    out.set("reasoning", choice.reasoning);
  }
  if (options_.legacy_functions && !choice.calls.empty()) {
    const Call& call = choice.calls.front();
    out.set("function_call", Json::Object{{"name", call.name}, {"arguments", call.arguments}});
  } else if (!choice.calls.empty()) {
    Json calls = Json::array();
    for (const Call& call : choice.calls)
      calls.push_back(chat_call(call.id, call.name, call.arguments));
    out.set("tool_calls", std::move(calls));
  }
  return out;
}

void ChatAnswer::finish() {
  over_ = true;
  if (stream_) {
    if (options_.include_usage) {
      Json chunk = options_.head.json("chat.completion.chunk");
      chunk.set("choices", Json::array());
      chunk.set("usage", usage().json());
      stream_->event(chunk);
    }
    stream_->done();
    return;
  }
  HttpResponse response;
  response.headers = options_.head.headers;
  std::string& body = response.body;
  const auto append_members = [&body](const Json& object) {
    body += object.dump();
    body.pop_back();  // more come
  };
  append_members(options_.head.json("chat.completion"));
  body += ",\"choices\":[";
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    if (i > 0) body += ',';
    append_members(Json::Object{{"index", static_cast<int64_t>(i)},
                                {"message", message(choice)},
                                {"finish_reason", finish_name(choice)}});
    choice.details.append_members(tokenizer_, body);
    choice.details.clear();
    body += '}';
  }
  body += "],\"usage\":" + usage().json().dump() + "}";
  reply_->send(std::move(response));
}

}  // namespace fathom
