// The endpoints that say something of the server and its model.
#include "server/chat_page.h"
#include "server/chat_request.h"
#include "server/routes.h"

namespace fathom {

namespace {

Json model_json(const ServedModel& model, const std::string& name) {
  Json out = Json::Object{{"id", name},
                          {"object", "model"},
                          {"created", model.created},
                          {"owned_by", "fathom"},
                          {"max_model_len", model.model.context}};
  const ModelConfig& config = model.model.config;
  if (config.n_moe_layers() > 0)
    out.set("routed_experts", Json::Object{{"n_layers", config.n_moe_layers()},
                                           {"n_routed_experts", config.n_routed_experts},
                                           {"num_experts_per_tok", config.num_experts_per_tok}});
  return out;
}

}  // namespace

void Routes::page(Call& call) {
  if (chat_page().empty())
    return refuse(call, {.status = 404,
                         .message = "this program was built without the chat page",
                         .param = "",
                         .code = "no_page"});
  send(call, chat_page_response(chat_page()));
}

void Routes::models(Call& call) {
  Json data = Json::array();
  for (const std::string& name : model_.names) data.push_back(model_json(model_, name));
  send(call, Json::Object{{"object", "list"}, {"data", std::move(data)}});
}

void Routes::one_model(Call& call) {
  if (check_model(call, call.argument)) send(call, model_json(model_, call.argument));
}

// The shapes of vLLM, which clients of remote tokenizers know.
void Routes::tokenize(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  ApiFields fields(body);
  std::string name, prompt;
  bool add_special = true, strings = false;
  fields.text("model", name, 1024);
  fields.text("prompt", prompt);
  fields.boolean("add_special_tokens", add_special);
  fields.boolean("return_token_strs", strings);
  if (fields.ok() && fields.has("prompt") == fields.has("messages"))
    fields.fail("prompt", "give one of prompt and messages", "missing_field");
  if (!fields.ok()) return refuse(call, *fields.error());
  if (!check_model(call, name)) return;
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  std::vector<int32_t> ids;
  if (fields.has("messages")) {
    ChatRequest asked;
    if (const auto error = parse_chat_request(body, {}, model_.model.config.vocab_size, asked))
      return refuse(call, *error);
    Result<std::vector<int32_t>> made = model_.prompts.from_chat(asked.context);
    if (!made.ok()) return refuse(call, invalid_request("messages", made.error().message));
    ids = std::move(made).value();
  } else {
    ids = tokenizer.encode(prompt, {.add_special = add_special, .recognize_added = true});
  }
  Json tokens = Json::array(), texts = Json::array();
  for (const int32_t id : ids) {
    tokens.push_back(int64_t{id});
    if (strings) texts.push_back(token_text(tokenizer, id));
  }
  send(call, Json::Object{{"count", std::ssize(ids)},
                          {"max_model_len", model_.model.context},
                          {"tokens", std::move(tokens)},
                          {"token_strs", strings ? std::move(texts) : Json()}});
}

void Routes::detokenize(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  ApiFields fields(body);
  std::string name;
  std::vector<int32_t> ids;
  fields.text("model", name, 1024);
  fields.ids("tokens", ids, 10'000'000);
  if (fields.ok() && !fields.has("tokens"))
    fields.fail("tokens", "tokens is missing", "missing_field");
  if (!fields.ok()) return refuse(call, *fields.error());
  if (!check_model(call, name)) return;
  send(call, Json::Object{
                 {"prompt", model_.model.tokenizer->decode(ids, /*skip_special_tokens=*/false)}});
}

void Routes::tokenizer_info(Call& call) {
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  send(call, Json::Object{{"tokenizer_class", "PreTrainedTokenizerFast"},
                          {"vocab_size", tokenizer.vocab_size()},
                          {"bos_token", or_null(tokenizer.bos_token())},
                          {"eos_token", or_null(tokenizer.eos_token())},
                          {"add_bos_token", tokenizer.add_bos_token()},
                          {"add_eos_token", tokenizer.add_eos_token()},
                          {"model_max_length", model_.model.context},
                          {"chat_template", or_null(tokenizer.chat_template())}});
}

// The exact prompt that a chat request makes.
void Routes::render(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  ChatRequest asked;
  if (const auto error = parse_chat_request(body, {}, model_.model.config.vocab_size, asked))
    return refuse(call, *error);
  const Result<Rendered> rendered = model_.prompts.render(asked.context);
  if (!rendered.ok()) return refuse(call, invalid_request("messages", rendered.error().message));
  const Result<std::vector<int32_t>> ids = model_.prompts.from_chat(asked.context);
  if (!ids.ok()) return refuse(call, invalid_request("messages", ids.error().message));
  Json tokens = Json::array();
  for (const int32_t id : *ids) tokens.push_back(int64_t{id});
  send(call, Json::Object{{"prompt", rendered->text()}, {"tokens", std::move(tokens)}});
}

void Routes::health(Call& call) { send(call, Json::Object{{"status", "ok"}}); }

void Routes::ready(Call& call) {
  if (draining_) {
    return refuse(call, {.status = 503,
                         .message = "the server is shutting down",
                         .param = "",
                         .code = "shutting_down",
                         .retry_after_seconds = 5});
  }
  send(call, Json::Object{{"status", "ready"}});
}

void Routes::version(Call& call) { send(call, Json::Object{{"version", options_.version}}); }

void Routes::metrics(Call& call) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4";
  response.body = metrics_.page(engine_.statistics(), n_connections_());
  send(call, std::move(response));
}

}  // namespace fathom
