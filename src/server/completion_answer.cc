#include "server/completion_answer.h"

#include <algorithm>

#include "base/utf8.h"
#include "server/api_error.h"

namespace fathom {

namespace {

int64_t n_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !continues_utf8(c); });
}

}  // namespace

Json CompletionAnswer::Logprobs::json() const {
  return Json::Object{{"tokens", tokens},
                      {"token_logprobs", token_logprobs},
                      {"top_logprobs", top_logprobs},
                      {"text_offset", text_offset}};
}

CompletionAnswer::CompletionAnswer(const Tokenizer& tokenizer, AnswerHead head,
                                   CompletionRequest request, std::shared_ptr<HttpReply> reply)
    : tokenizer_(tokenizer),
      head_(std::move(head)),
      request_(std::move(request)),
      reply_(std::move(reply)),
      choices_(request_.prompts.size() * static_cast<size_t>(request_.generation.n)) {}

const std::vector<int32_t>& CompletionAnswer::prompt_of(int64_t choice) const {
  return request_.prompts[static_cast<size_t>(choice / request_.generation.n)];
}

void CompletionAnswer::add_logprob(Choice& choice, int32_t token, std::optional<float> logprob,
                                   const std::vector<TokenLogprob>& top) {
  const std::string text = token_text(tokenizer_, token);
  choice.logprobs.tokens.push_back(text);
  choice.logprobs.token_logprobs.push_back(logprob ? Json(*logprob) : Json());
  choice.logprobs.text_offset.push_back(choice.offset);
  const bool is_shown =
      !request_.generation.request.skip_special_tokens || !tokenizer_.is_special(token);
  if (is_shown) choice.offset += n_characters(text);
  Json best;
  if (logprob) {
    best = Json::object();
    for (const TokenLogprob& one : top) best.set(token_text(tokenizer_, one.token), one.logprob);
    // The token itself is always among them.
    best.set(text, *logprob);
  }
  choice.logprobs.top_logprobs.push_back(std::move(best));
}

void CompletionAnswer::echo(int64_t index, Choice& choice, const TokenEvent& event) {
  const std::vector<int32_t>& prompt = prompt_of(index);
  choice.text += tokenizer_.decode(prompt, request_.generation.request.skip_special_tokens);
  if (request_.logprobs < 0) return;
  add_logprob(choice, prompt.front(), std::nullopt, {});
  for (size_t i = 1; i < prompt.size() && i <= event.prompt_logprobs.size(); ++i) {
    const PromptLogprob& scored = event.prompt_logprobs[i - 1];
    add_logprob(choice, prompt[i], scored.logprob, scored.top);
  }
}

void CompletionAnswer::on_token(int64_t index, const TokenEvent& event) {
  if (over_) return;
  Choice& choice = choices_[static_cast<size_t>(index)];
  choice.usage.engine = event.usage;
  choice.finish = event.finish;
  if (event.finish == FinishReason::kCancelled) {
    over_ = true;
    return;
  }
  if (event.finish == FinishReason::kFailed || event.finish == FinishReason::kExpired) {
    fail(event);
    return;
  }
  if (request_.echo && !choice.begun) echo(index, choice, event);
  choice.begun = true;
  // Where nothing is to be generated the engine draws one token all the same.
  if (request_.max_tokens > 0) {
    if (event.token >= 0) {
      ++choice.usage.n_tokens;
      if (request_.logprobs >= 0)
        add_logprob(choice, event.token, event.logprob, event.top_logprobs);
    }
    choice.text += event.text;
  } else {
    choice.finish = FinishReason::kLength;
  }
  if (request_.generation.stream) send_chunk(index, choice);
  const bool all_done = std::all_of(choices_.begin(), choices_.end(), [](const Choice& c) {
    return c.finish != FinishReason::kNone;
  });
  if (all_done) finish();
}

Json CompletionAnswer::choice_json(int64_t index, const Choice& choice) const {
  const bool ended = choice.finish != FinishReason::kNone;
  return Json::Object{{"index", index},
                      {"text", choice.text},
                      {"logprobs", request_.logprobs >= 0 ? choice.logprobs.json() : Json()},
                      {"finish_reason", ended ? Json(finish_reason_name(choice.finish)) : Json()}};
}

void CompletionAnswer::send_chunk(int64_t index, Choice& choice) {
  const bool says_nothing = choice.text.empty() && choice.logprobs.tokens.as_array().empty();
  if (says_nothing && choice.finish == FinishReason::kNone) return;
  if (!stream_) stream_.emplace(reply_, head_.headers);
  Json chunk = head_.json("text_completion");
  chunk.set("choices", Json::Array{choice_json(index, choice)});
  const GenerationFields& asked = request_.generation;
  if (asked.include_usage || asked.continuous_usage)
    chunk.set("usage", asked.continuous_usage ? usage().json() : Json());
  stream_->event(chunk);
  choice.text.clear();
  choice.logprobs = {};
}

AnswerUsage CompletionAnswer::usage() const {
  AnswerUsage out;
  for (const auto& prompt : request_.prompts) out.n_prompt += std::ssize(prompt);
  for (const Choice& choice : choices_) out.add(choice.usage);
  // Each prompt's choices share it.
  out.n_cached = 0;
  for (size_t i = 0; i < choices_.size(); i += static_cast<size_t>(request_.generation.n))
    out.n_cached += choices_[i].usage.engine.cached_prompt_tokens;
  return out;
}

void CompletionAnswer::fail(const TokenEvent& event) {
  over_ = true;
  const ApiError error = engine_error(event);
  if (!stream_) {
    reply_->send(error_response(error));
    return;
  }
  stream_->event(*parse_json(error_body(error)));
  stream_->done();
}

void CompletionAnswer::finish() {
  over_ = true;
  if (stream_) {
    if (request_.generation.include_usage) {
      Json chunk = head_.json("text_completion");
      chunk.set("choices", Json::array());
      chunk.set("usage", usage().json());
      stream_->event(chunk);
    }
    stream_->done();
    return;
  }
  Json choices = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i)
    choices.push_back(choice_json(static_cast<int64_t>(i), choices_[i]));
  Json body = head_.json("text_completion");
  body.set("choices", std::move(choices));
  body.set("usage", usage().json());
  HttpResponse response;
  response.headers = head_.headers;
  response.body = body.dump();
  reply_->send(std::move(response));
}

}  // namespace fathom
