// The endpoints that generate.
#include <algorithm>

#include "engine/call_form.h"
#include "server/chat_answer.h"
#include "server/chat_request.h"
#include "server/completion_answer.h"
#include "server/completion_request.h"
#include "server/legacy_functions.h"
#include "server/messages_answer.h"
#include "server/messages_request.h"
#include "server/routes.h"

namespace fathom {

namespace {
constexpr std::string_view kOrStream = "choices or logprobs, or for a stream";
}  // namespace

bool Routes::make_prompt(Call& call, const ChatRequest& asked, std::vector<int32_t>& prompt,
                         AnswerParserOptions& parser) {
  Result<std::vector<int32_t>> made = model_.prompts.from_chat(asked.context);
  if (!made.ok()) {
    refuse(call, invalid_request("messages", made.error().message));
    return false;
  }
  prompt = std::move(made).value();
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  const size_t n_last = std::min<size_t>(prompt.size(), 16);
  parser = {.in_reasoning = opens_reasoning(
                tokenizer.decode(std::span<const int32_t>(prompt).last(n_last), false)),
            .parses_calls = asked.parses_calls};
  if (asked.conversation.continues) {
    const auto beginning =
        tokenizer.encode(asked.conversation.beginning, {.recognize_added = false});
    prompt.insert(prompt.end(), beginning.begin(), beginning.end());
  }
  return true;
}

bool Routes::prepare(Call& call, const ChatRequest& asked, GenerateRequest& request,
                     AnswerParserOptions& parser) {
  if (!make_prompt(call, asked, request.prompt, parser) || !constrain_calls(call, asked, request))
    return false;
  request.grammar_after_reasoning = parser.in_reasoning;
  return check(call, request);
}

bool Routes::check(Call& call, const GenerateRequest& request) {
  const Status status = engine_.check(request);
  if (!status.ok()) refuse(call, invalid_request("", status.error().message));
  return status.ok();
}

bool Routes::check_details(Call& call, std::string_view param, int64_t n_tokens,
                           int64_t token_bytes, std::string_view remedy) {
  if (n_tokens * token_bytes <= kDetailBytesMax) return true;
  refuse(call, invalid_request(
                   param, str_cat("what is asked for beside the text of up to ", n_tokens,
                                  " tokens takes about ", n_tokens * token_bytes >> 20,
                                  " MiB until the answer is whole, at most ", kDetailBytesMax >> 20,
                                  " are taken; ask for fewer tokens or ", remedy)));
  return false;
}

bool Routes::check_streamed_echo(Call& call, const CompletionRequest& asked) {
  if (!asked.generation.stream || !asked.echo || asked.logprobs < 0) return true;
  const int64_t most = streamed_echo_max(asked.logprobs);
  for (const std::vector<int32_t>& prompt : asked.prompts) {
    if (std::ssize(prompt) <= most) continue;
    refuse(call,
           invalid_request("logprobs", str_cat("a stream echoes the logprobs of up to ", most,
                                               " tokens, a prompt has ", prompt.size(),
                                               "; ask for fewer logprobs, or for no stream")));
    return false;
  }
  return true;
}

bool Routes::constrain_calls(Call& call, const ChatRequest& asked, GenerateRequest& request) {
  const auto& forced = asked.forced_calls;
  if (!forced && !asked.strict_calls_max) return true;
  std::vector<CallableTool> tools;
  for (const Json& tool : asked.conversation.tools.as_array()) {
    const Json& function = *tool.find("function");
    const std::string& name = function.find("name")->as_string();
    if (forced &&
        std::find(forced->names.begin(), forced->names.end(), name) == forced->names.end())
      continue;
    const Json* const parameters = function.find("parameters");
    tools.push_back(
        {.name = name,
         .parameters = parameters != nullptr && parameters->is_object() ? parameters : nullptr,
         .is_free = !forced && !is_strict(tool)});
  }
  const auto refuse_as = [&](std::string_view param, const std::string& message) {
    const ApiError error = invalid_request(param, message);
    refuse(call, asked.legacy_functions ? with_legacy_names(error) : error);
    return false;
  };
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  const Result<CallForm> form = read_call_form(model_.prompts);
  if (!form.ok()) return refuse_as(forced ? "tool_choice" : "tools", form.error().message);
  if (!forced) {
    const Result<int32_t> opener = calls_opener(*form, tokenizer);
    if (!opener.ok()) return refuse_as("tools", opener.error().message);
    request.grammar_opener = *opener;
  }
  Result<Grammar> grammar = calls_grammar(
      *form, tools,
      {.calls_max = forced ? forced->calls_max : *asked.strict_calls_max, .opened = !forced},
      tokenizer);
  if (!grammar.ok()) return refuse_as("tools", grammar.error().message);
  request.grammar = std::make_shared<const Grammar>(std::move(grammar).value());
  return true;
}

void Routes::chat_completions(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  ChatRequest asked;
  const ModelConfig& config = model_.model.config;
  if (const auto error =
          parse_chat_request(body, model_.model.generation.sampling, config.vocab_size, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.model)) return;
  GenerateRequest request =
      with_own_seed(call, asked.generation.request, asked.generation.has_seed);
  ChatAnswerOptions options;
  if (!prepare(call, asked, request, options.parser)) return;
  options.head = head(call, "chatcmpl-", asked.model);
  options.n_choices = asked.generation.n;
  options.n_prompt = std::ssize(request.prompt);
  options.stream = asked.generation.stream;
  options.include_usage = asked.generation.include_usage;
  options.continuous_usage = asked.generation.continuous_usage;
  options.logprobs = asked.logprobs;
  options.legacy_functions = asked.legacy_functions;
  if (request.routed_experts) options.n_expert_layers = config.n_moe_layers();
  const int64_t detail_bytes =
      chat_detail_bytes(request.logprobs, options.n_expert_layers * config.num_experts_per_tok);
  if (!options.stream) {
    cut_to_details(request, options.n_choices, detail_bytes);
    if (!check_details(call, asked.logprobs ? "top_logprobs" : "return_routed_experts",
                       options.n_choices * engine_.answer_tokens(request), detail_bytes, kOrStream))
      return;
  }
  std::vector<GenerateRequest> choices;
  for (int64_t i = 0; i < asked.generation.n; ++i) {
    choices.push_back(request);
    choices.back().sampling.choice = i;
  }
  submit(call, asked.generation.stream, std::move(choices),
         std::make_shared<ChatAnswer>(*model_.model.tokenizer, std::move(options), call.reply));
}

void Routes::messages(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  ChatRequest asked;
  if (const auto error = parse_messages_request(body, model_.model.generation.sampling,
                                                model_.model.config.vocab_size, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.model)) return;
  GenerateRequest request = with_own_seed(call, asked.generation.request, /*has_seed=*/false);
  MessagesAnswerOptions options;
  if (!prepare(call, asked, request, options.parser)) return;
  options.head = head(call, "msg_", asked.model);
  options.n_prompt = std::ssize(request.prompt);
  options.stream = asked.generation.stream;
  std::vector<GenerateRequest> choices;
  choices.push_back(std::move(request));
  submit(call, asked.generation.stream, std::move(choices),
         std::make_shared<MessagesAnswer>(std::move(options), call.reply));
}

void Routes::count_tokens(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  if (body.is_object() && body.find("max_tokens") == nullptr) body.set("max_tokens", 1);
  ChatRequest asked;
  if (const auto error = parse_messages_request(body, model_.model.generation.sampling,
                                                model_.model.config.vocab_size, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.model)) return;
  std::vector<int32_t> prompt;
  AnswerParserOptions parser;
  if (make_prompt(call, asked, prompt, parser))
    send(call, Json::Object{{"input_tokens", std::ssize(prompt)}});
}

void Routes::completions(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  CompletionRequest asked;
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  if (const auto error = parse_completion_request(body, model_.model.generation.sampling,
                                                  model_.model.config.vocab_size, tokenizer, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.model) || !check_streamed_echo(call, asked)) return;
  const int64_t n = asked.generation.n;
  if (std::ssize(asked.prompts) * n > static_cast<int64_t>(kPromptsMax))
    return refuse(call, invalid_request("n", str_cat(asked.prompts.size(), " prompts of ", n,
                                                     " choices are more than ", kPromptsMax)));
  GenerateRequest request =
      with_own_seed(call, asked.generation.request, asked.generation.has_seed);
  std::vector<GenerateRequest> choices;
  int64_t n_tokens = 0;
  for (const std::vector<int32_t>& prompt : asked.prompts) {
    request.prompt = prompt;
    if (!check(call, request)) return;
    n_tokens += n * (engine_.answer_tokens(request) + (asked.echo ? std::ssize(prompt) : 0));
    for (int64_t i = 0; i < n; ++i) {
      choices.push_back(request);
      choices.back().sampling.choice = i;
    }
  }
  if (!asked.generation.stream &&
      !check_details(call, "logprobs", n_tokens, completion_detail_bytes(asked.logprobs),
                     kOrStream))
    return;
  AnswerHead head = this->head(call, "cmpl-", asked.model);
  const bool stream = asked.generation.stream;
  submit(
      call, stream, std::move(choices),
      std::make_shared<CompletionAnswer>(tokenizer, std::move(head), std::move(asked), call.reply));
}

}  // namespace fathom
