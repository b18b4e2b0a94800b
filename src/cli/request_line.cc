#include "cli/request_line.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cli/token_ids.h"

namespace fathom::cli {

namespace {

constexpr int64_t kChoicesMax = 128;
constexpr int64_t kStopsMax = 1024;

Status wrong_type(std::string_view field, const Json& value, std::string_view expected) {
  return invalid_error(field, " is ", value.type_name(), ", expected ", expected);
}

Status read_double(const Json& json, std::string_view field, double& out) {
  const Json* value = json.find(field);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_number()) return wrong_type(field, *value, "a number");
  out = value->as_double();
  return {};
}

Status read_int(const Json& json, std::string_view field, int64_t& out) {
  const Json* value = json.find(field);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_int()) return wrong_type(field, *value, "an integer");
  out = value->as_int();
  return {};
}

Status read_bool(const Json& json, std::string_view field, bool& out) {
  const Json* value = json.find(field);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_bool()) return wrong_type(field, *value, "true or false");
  out = value->as_bool();
  return {};
}

Status read_ids(const Json& json, std::string_view field, std::vector<int32_t>& out) {
  const Json* value = json.find(field);
  if (value == nullptr || value->is_null()) return {};
  FATHOM_TRY(out, read_token_ids(*value, field));
  return {};
}

Status read_stop(const Json& json, std::vector<std::string>& out) {
  const Json* value = json.find("stop");
  if (value == nullptr || value->is_null()) return {};
  out.clear();
  if (value->is_string()) {
    out.push_back(value->as_string());
  } else if (value->is_array()) {
    if (static_cast<int64_t>(value->as_array().size()) > kStopsMax) {
      return invalid_error("stop has ", value->as_array().size(), " strings, at most ", kStopsMax,
                           " are taken");
    }
    for (const Json& stop : value->as_array()) {
      if (!stop.is_string()) return wrong_type("an entry of stop", stop, "a string");
      out.push_back(stop.as_string());
    }
  } else {
    return wrong_type("stop", *value, "a string or an array of strings");
  }
  for (const std::string& stop : out) {
    if (stop.empty())
      return invalid_error("stop holds an empty string, which would end every answer");
  }
  return {};
}

Status read_logit_bias(const Json& json, SamplingParams& sampling) {
  const Json* value = json.find("logit_bias");
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_object())
    return wrong_type("logit_bias", *value, "an object of token ids and numbers");
  sampling.logit_bias.clear();
  for (const auto& [key, bias] : value->as_object()) {
    int32_t id = 0;
    const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
    if (end.ec != std::errc() || end.ptr != key.data() + key.size()) {
      return invalid_error("logit_bias has the key \"", key.substr(0, 40),
                           "\", expected a token id");
    }
    if (!bias.is_number()) return wrong_type("a value of logit_bias", bias, "a number");
    sampling.logit_bias.emplace_back(id, static_cast<float>(bias.as_double()));
  }
  return {};
}

// logprobs: true or a number (how many of the best to add), as the two OpenAI endpoints have it;
// top_logprobs: a number.
Status read_logprobs(const Json& json, int64_t& out) {
  if (const Json* value = json.find("logprobs"); value != nullptr && !value->is_null()) {
    if (value->is_bool()) {
      out = value->as_bool() ? 0 : -1;
    } else if (value->is_int() && value->as_int() >= 0) {
      out = value->as_int();
    } else {
      return invalid_error("logprobs is ", value->dump().substr(0, 40),
                           ", expected true, false or how many (0 or more)");
    }
  }
  int64_t top = -1;
  FATHOM_RETURN_IF_ERROR(read_int(json, "top_logprobs", top));
  if (json.find("top_logprobs") != nullptr && top < 0)
    return invalid_error("top_logprobs is ", top, ", expected 0 or more");
  if (top >= 0) out = top;
  return {};
}

Status read_sampling(const Json& json, RequestLine& line) {
  GenerateRequest& request = line.request;
  SamplingParams& sampling = request.sampling;
  FATHOM_RETURN_IF_ERROR(read_double(json, "temperature", sampling.temperature));
  FATHOM_RETURN_IF_ERROR(read_double(json, "top_p", sampling.top_p));
  FATHOM_RETURN_IF_ERROR(read_double(json, "min_p", sampling.min_p));
  FATHOM_RETURN_IF_ERROR(read_int(json, "top_k", sampling.top_k));
  FATHOM_RETURN_IF_ERROR(read_double(json, "repetition_penalty", sampling.repetition_penalty));
  FATHOM_RETURN_IF_ERROR(read_double(json, "presence_penalty", sampling.presence_penalty));
  FATHOM_RETURN_IF_ERROR(read_double(json, "frequency_penalty", sampling.frequency_penalty));
  FATHOM_RETURN_IF_ERROR(read_logit_bias(json, sampling));
  int64_t seed = static_cast<int64_t>(sampling.seed);
  FATHOM_RETURN_IF_ERROR(read_int(json, "seed", seed));
  sampling.seed = static_cast<uint64_t>(seed);
  FATHOM_RETURN_IF_ERROR(read_int(json, "n", line.n));
  if (line.n < 1 || line.n > kChoicesMax)
    return invalid_error("n is ", line.n, ", expected 1 to ", kChoicesMax);

  for (const char* const field : {"max_tokens", "max_completion_tokens"}) {
    FATHOM_RETURN_IF_ERROR(read_int(json, field, request.max_tokens));
    const Json* const given = json.find(field);
    if (given != nullptr && given->is_int() && given->as_int() < 1) {
      return invalid_error(field, " is ", given->as_int(),
                           ", expected 1 or more; leave it out for as many as the context holds");
    }
  }
  FATHOM_RETURN_IF_ERROR(read_int(json, "min_tokens", request.min_tokens));
  FATHOM_RETURN_IF_ERROR(read_stop(json, request.stop));
  FATHOM_RETURN_IF_ERROR(read_ids(json, "stop_token_ids", request.stop_token_ids));
  FATHOM_RETURN_IF_ERROR(read_bool(json, "ignore_eos", request.ignore_eos));
  FATHOM_RETURN_IF_ERROR(read_bool(json, "skip_special_tokens", request.skip_special_tokens));
  return read_logprobs(json, request.logprobs);
}

// What the template sees of a request with messages.
Result<Json> chat_context(const Json& json) {
  const Json& messages = *json.find("messages");
  if (!messages.is_array())
    return invalid_error("messages is ", messages.type_name(), ", expected an array");
  Json context = Json::object();
  context.set("messages", messages);
  if (const Json* tools = json.find("tools"); tools != nullptr) context.set("tools", *tools);
  bool add_generation_prompt = true;
  FATHOM_RETURN_IF_ERROR(read_bool(json, "add_generation_prompt", add_generation_prompt));
  context.set("add_generation_prompt", add_generation_prompt);
  if (const Json* thinking = json.find("thinking"); thinking != nullptr)
    context.set("thinking", *thinking);
  if (const Json* more = json.find("chat_template_kwargs"); more != nullptr && !more->is_null()) {
    if (!more->is_object())
      return invalid_error("chat_template_kwargs is ", more->type_name(), ", expected an object");
    for (const auto& [key, value] : more->as_object()) context.set(key, value);
  }
  return context;
}

Status read_prompt(const Json& json, PromptBuilder* prompts, GenerateRequest& request) {
  const Json* const prompt = json.find("prompt");
  const Json* const messages = json.find("messages");
  const Json* const ids = json.find("ids");
  if ((prompt != nullptr) + (messages != nullptr) + (ids != nullptr) != 1) {
    return invalid_error("give one of prompt, messages and ids");
  }
  if (messages == nullptr) {
    for (const char* field :
         {"tools", "add_generation_prompt", "thinking", "chat_template_kwargs"}) {
      if (json.find(field) != nullptr) return invalid_error(field, " goes with messages");
    }
  }
  if (ids != nullptr) return read_ids(json, "ids", request.prompt);
  if (prompts == nullptr) return invalid_error("this model has no tokenizer: give ids");
  if (prompt != nullptr) {
    if (!prompt->is_string()) return wrong_type("prompt", *prompt, "a string");
    request.prompt = prompts->from_text(prompt->as_string());
    return {};
  }
  FATHOM_TRY(const Json context, chat_context(json));
  FATHOM_TRY(request.prompt, prompts->from_chat(context));
  return {};
}

}  // namespace

Result<RequestLine> parse_request_line(const Json& json, const GenerateRequest& defaults,
                                       PromptBuilder* prompts) {
  static constexpr std::array<std::string_view, 29> kFields = {"id",
                                                               "prompt",
                                                               "messages",
                                                               "ids",
                                                               "tools",
                                                               "add_generation_prompt",
                                                               "thinking",
                                                               "chat_template_kwargs",
                                                               "temperature",
                                                               "top_p",
                                                               "min_p",
                                                               "top_k",
                                                               "repetition_penalty",
                                                               "presence_penalty",
                                                               "frequency_penalty",
                                                               "logit_bias",
                                                               "seed",
                                                               "n",
                                                               "max_tokens",
                                                               "max_completion_tokens",
                                                               "min_tokens",
                                                               "stop",
                                                               "stop_token_ids",
                                                               "ignore_eos",
                                                               "skip_special_tokens",
                                                               "logprobs",
                                                               "top_logprobs",
                                                               "model",
                                                               "user"};
  if (!json.is_object())
    return invalid_error("the request is ", json.type_name(), ", expected an object");
  for (const auto& [key, value] : json.as_object()) {
    if (std::find(kFields.begin(), kFields.end(), key) == kFields.end()) {
      return invalid_error("unknown field '", key.substr(0, 80), "'");
    }
  }
  RequestLine line;
  if (const Json* id = json.find("id"); id != nullptr) line.id = *id;
  line.request = defaults;
  FATHOM_RETURN_IF_ERROR(read_sampling(json, line));
  FATHOM_RETURN_IF_ERROR(read_prompt(json, prompts, line.request));
  return line;
}

}  // namespace fathom::cli
