#include "load/api.h"

#include "io/printable.h"

namespace fathom {

namespace {

// Of answers of any server: what is said twice is read as it was said first.
constexpr JsonLimits kLenient{.max_depth = 128, .reject_duplicate_keys = false};

const Json* object_in(const Json& json, std::string_view key) {
  const Json* const found = json.find(key);
  return found != nullptr && found->is_object() ? found : nullptr;
}

void append_text(std::string& out, const Json& json, std::string_view key) {
  const Json* const found = json.find(key);
  if (found != nullptr && found->is_string()) out += found->as_string();
}

std::optional<int64_t> count_in(const Json* json, std::string_view key) {
  const Json* const found = json == nullptr ? nullptr : json->find(key);
  if (found == nullptr || !found->is_int() || found->as_int() < 0) return {};
  return found->as_int();
}

// Where the servers that we know say it: OpenAI and vLLM, DeepSeek, llama.cpp.
int64_t cached_tokens(const Json& piece, const Json& usage) {
  for (const auto& count : {count_in(object_in(usage, "prompt_tokens_details"), "cached_tokens"),
                            count_in(&usage, "prompt_cache_hit_tokens"),
                            count_in(object_in(piece, "timings"), "cache_n")})
    if (count) return *count;
  return 0;
}

void append_delta(std::string& out, const Json& delta) {
  append_text(out, delta, "reasoning_content");
  if (out.empty()) append_text(out, delta, "reasoning");
  append_text(out, delta, "content");
  const Json* const calls = delta.find("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (const Json& call : calls->as_array()) {
    const Json* const function = object_in(call, "function");
    if (function == nullptr) continue;
    append_text(out, *function, "name");
    append_text(out, *function, "arguments");
  }
}

std::string error_in(const Json& json) {
  if (const Json* const error = json.find("error"); error != nullptr && !error->is_null()) {
    if (error->is_string()) return error->as_string();
    const std::string inner = error->is_object() ? error_in(*error) : "";
    return inner.empty() ? error->dump() : inner;
  }
  for (const char* key : {"message", "detail"})
    if (const Json* const text = json.find(key); text != nullptr && text->is_string())
      return text->as_string();
  return "";
}

}  // namespace

std::string_view endpoint_path(LoadEndpoint endpoint) {
  return endpoint == LoadEndpoint::kChat ? "/chat/completions" : "/completions";
}

Json request_body(const AskOptions& options, Json prompt, int64_t max_tokens, uint64_t seed) {
  Json body = Json::object();
  body.set("model", options.model);
  const auto unless_given = [&](const char* key, Json value) {
    if (prompt.find(key) == nullptr) body.set(key, std::move(value));
  };
  const bool has_length = prompt.find("max_completion_tokens") != nullptr;
  if (!has_length) unless_given("max_tokens", max_tokens);
  unless_given("temperature", options.temperature);
  if (options.temperature > 0) unless_given("seed", static_cast<int64_t>(seed >> 33));
  if (options.ignore_eos) {
    unless_given("ignore_eos", true);
    if (!has_length && prompt.find("max_tokens") == nullptr) unless_given("min_tokens", max_tokens);
  }
  for (Json::Member& member : prompt.as_object())
    if (member.first != "model") body.set(member.first, std::move(member.second));
  body.set("stream", true);
  body.set("stream_options", Json::Object{{"include_usage", true}});
  return body;
}

Json prompt_of_text(LoadEndpoint endpoint, std::string_view text) {
  if (endpoint == LoadEndpoint::kCompletions) return Json::Object{{"prompt", text}};
  return Json::Object{{"messages", Json::Array{Json::Object{{"role", "user"}, {"content", text}}}}};
}

Result<Json> prompt_of_line(LoadEndpoint endpoint, Json line, std::string_view where) {
  const Json* const messages = line.find("messages");
  const Json* const prompt = line.find("prompt");
  if ((messages == nullptr) == (prompt == nullptr))
    return invalid_error(where, ": expected an object with either \"messages\" or \"prompt\"");
  if (messages != nullptr && !messages->is_array())
    return invalid_error(where, ": \"messages\" is ", messages->type_name(), ", expected an array");
  if (endpoint == LoadEndpoint::kCompletions) {
    if (messages == nullptr) return line;
    return invalid_error(where, ": \"messages\" go with --endpoint chat");
  }
  if (messages != nullptr) return line;
  if (!prompt->is_string())
    return invalid_error(where, ": \"prompt\" is ", prompt->type_name(),
                         ", expected a string, or --endpoint completions");
  Json out = prompt_of_text(endpoint, prompt->as_string());
  for (Json::Member& member : line.as_object())
    if (member.first != "prompt") out.set(member.first, std::move(member.second));
  return out;
}

Result<AnswerPiece> parse_answer_piece(std::string_view data) {
  AnswerPiece piece;
  if (data == "[DONE]") {
    piece.is_done = true;
    return piece;
  }
  FATHOM_TRY(const Json json, parse_json(data, kLenient));
  if (!json.is_object()) return invalid_error("an event is ", json.type_name());
  if (const Json* const error = json.find("error"); error != nullptr && !error->is_null()) {
    piece.error = error_in(json);
    return piece;
  }
  const Json* const choices = json.find("choices");
  if (choices != nullptr && choices->is_array()) {
    for (const Json& choice : choices->as_array()) {
      if (const Json* const delta = object_in(choice, "delta")) append_delta(piece.text, *delta);
      append_text(piece.text, choice, "text");
      const Json* const reason = choice.find("finish_reason");
      piece.is_finished = piece.is_finished || (reason != nullptr && reason->is_string());
    }
  }
  if (const Json* const usage = object_in(json, "usage")) {
    piece.usage = TokenUsage{.prompt_tokens = count_in(usage, "prompt_tokens").value_or(0),
                             .cached_tokens = cached_tokens(json, *usage),
                             .completion_tokens = count_in(usage, "completion_tokens").value_or(0)};
  }
  return piece;
}

std::string error_of_body(std::string_view body) {
  const Result<Json> json = parse_json(body, kLenient);
  const std::string message = json.ok() && json->is_object() ? error_in(*json) : "";
  return printable(message.empty() ? body : message, 300);
}

Result<std::string> first_model_of(std::string_view body) {
  const Result<Json> json = parse_json(body, kLenient);
  const Json* const data = json.ok() ? json->find("data") : nullptr;
  if (data != nullptr && data->is_array() && !data->as_array().empty()) {
    const Json* const id = data->as_array().front().find("id");
    if (id != nullptr && id->is_string()) return id->as_string();
  }
  return invalid_error("its list of models names none");
}

}  // namespace fathom
