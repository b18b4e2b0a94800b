// The endpoints that generate.
#include "server/chat_answer.h"
#include "server/chat_request.h"
#include "server/completion_answer.h"
#include "server/completion_request.h"
#include "server/routes.h"

namespace fathom {

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
  Result<std::vector<int32_t>> prompt = model_.prompts.from_chat(asked.context);
  if (!prompt.ok()) return refuse(call, invalid_request("messages", prompt.error().message));
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  request.prompt = std::move(prompt).value();
  const size_t n_last = std::min<size_t>(request.prompt.size(), 16);
  const std::string prompt_end =
      tokenizer.decode(std::span<const int32_t>(request.prompt).last(n_last), false);
  if (asked.conversation.continues) {
    const auto beginning =
        tokenizer.encode(asked.conversation.beginning, {.recognize_added = false});
    request.prompt.insert(request.prompt.end(), beginning.begin(), beginning.end());
  }

  ChatAnswerOptions options;
  options.head = head(call, "chatcmpl-", asked.model);
  options.parser = {.in_reasoning = opens_reasoning(prompt_end),
                    .parses_calls = asked.parses_calls};
  options.n_choices = asked.generation.n;
  options.n_prompt = std::ssize(request.prompt);
  options.stream = asked.generation.stream;
  options.include_usage = asked.generation.include_usage;
  options.continuous_usage = asked.generation.continuous_usage;
  options.logprobs = asked.logprobs;
  std::vector<GenerateRequest> choices;
  for (int64_t i = 0; i < asked.generation.n; ++i) {
    choices.push_back(request);
    choices.back().sampling.choice = i;
  }
  submit(call, std::move(choices),
         std::make_shared<ChatAnswer>(tokenizer, std::move(options), call.reply));
}

void Routes::completions(Call& call) {
  Json body;
  if (!read_body(call, body)) return;
  CompletionRequest asked;
  const Tokenizer& tokenizer = *model_.model.tokenizer;
  if (const auto error = parse_completion_request(body, model_.model.generation.sampling,
                                                  model_.model.config.vocab_size, tokenizer, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.model)) return;
  const int64_t n = asked.generation.n;
  if (std::ssize(asked.prompts) * n > static_cast<int64_t>(kPromptsMax))
    return refuse(call, invalid_request("n", str_cat(asked.prompts.size(), " prompts of ", n,
                                                     " choices are more than ", kPromptsMax)));
  const GenerateRequest request =
      with_own_seed(call, asked.generation.request, asked.generation.has_seed);
  std::vector<GenerateRequest> choices;
  for (const std::vector<int32_t>& prompt : asked.prompts) {
    for (int64_t i = 0; i < n; ++i) {
      choices.push_back(request);
      choices.back().prompt = prompt;
      choices.back().sampling.choice = i;
    }
  }
  AnswerHead head = this->head(call, "cmpl-", asked.model);
  submit(
      call, std::move(choices),
      std::make_shared<CompletionAnswer>(tokenizer, std::move(head), std::move(asked), call.reply));
}

}  // namespace fathom
