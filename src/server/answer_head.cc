#include "server/answer_head.h"

#include <algorithm>

namespace fathom {

Json AnswerHead::json(std::string_view object) const {
  return Json::Object{{"id", id},
                      {"object", object},
                      {"created", created},
                      {"model", model},
                      {"system_fingerprint", fingerprint}};
}

void AnswerUsage::add(const ChoiceUsage& choice) {
  n_cached = std::max(n_cached, choice.engine.cached_prompt_tokens);
  n_completion += choice.n_tokens;
  n_reasoning += choice.n_reasoning;
  n_accepted += choice.engine.accepted_tokens;
  n_rejected += choice.engine.drafted_tokens - choice.engine.accepted_tokens;
}

Json AnswerUsage::json() const {
  return Json::Object{
      {"prompt_tokens", n_prompt},
      {"completion_tokens", n_completion},
      {"total_tokens", n_prompt + n_completion},
      {"prompt_tokens_details", Json::Object{{"cached_tokens", n_cached}}},
      {"completion_tokens_details", Json::Object{{"reasoning_tokens", n_reasoning},
                                                 {"accepted_prediction_tokens", n_accepted},
                                                 {"rejected_prediction_tokens", n_rejected}}},
      {"prompt_cache_hit_tokens", n_cached},
      {"prompt_cache_miss_tokens", n_prompt - n_cached}};
}

HttpResponse events_head(HttpHeaders headers) {
  HttpResponse head;
  head.content_type = "text/event-stream";
  head.headers = std::move(headers);
  head.headers.emplace_back("Cache-Control", "no-store");
  head.headers.emplace_back("X-Accel-Buffering", "no");
  return head;
}

std::string named_event(std::string_view name, const Json& data) {
  return str_cat("event: ", name, "\ndata: ", data.dump(), "\n\n");
}

EventStream::EventStream(std::shared_ptr<HttpReply> reply, HttpHeaders headers)
    : reply_(std::move(reply)) {
  reply_->begin(events_head(std::move(headers)));
}

void EventStream::event(const Json& data) { reply_->write("data: " + data.dump() + "\n\n"); }

void EventStream::done() {
  reply_->write("data: [DONE]\n\n");
  reply_->end();
}

}  // namespace fathom
