#include "server/token_details.h"

#include <algorithm>

#include "server/served_model.h"

namespace fathom {

namespace {

Json experts_json(const std::vector<int32_t>& experts, int64_t n_layers) {
  Json out = Json::array();
  const int64_t top_k = std::ssize(experts) / n_layers;
  for (size_t i = 0; i < experts.size(); ++i) {
    if (static_cast<int64_t>(i) % top_k == 0) out.push_back(Json::array());
    out.as_array().back().push_back(int64_t{experts[i]});
  }
  return out;
}

}  // namespace

void TokenDetails::add(const TokenEvent& event) {
  if (!has_logprobs_ && n_expert_layers_ == 0) return;
  Token token = {.id = event.token, .logprob = event.logprob, .top = {}, .experts = {}};
  if (has_logprobs_) token.top = event.top_logprobs;
  if (n_expert_layers_ > 0) token.experts = event.routed_experts;
  tokens_.push_back(std::move(token));
}

Json TokenDetails::logprobs(const Tokenizer& tokenizer) const {
  if (!has_logprobs_ || empty()) return {};
  Json list = Json::array();
  for (const Token& t : tokens_) list.push_back(logprob_json(tokenizer, t.id, t.logprob, t.top));
  return Json::Object{{"content", std::move(list)}};
}

Json TokenDetails::experts() const {
  if (n_expert_layers_ == 0 || empty()) return {};
  Json list = Json::array();
  for (const Token& t : tokens_) list.push_back(experts_json(t.experts, n_expert_layers_));
  return list;
}

void TokenDetails::append_members(const Tokenizer& tokenizer, std::string& json) const {
  const auto list = [&](const auto& of_token) {
    json += '[';
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (i > 0) json += ',';
      json += of_token(tokens_[i]).dump();
    }
    json += ']';
  };
  json += ",\"logprobs\":";
  if (has_logprobs_) {
    json += "{\"content\":";
    list([&](const Token& t) { return logprob_json(tokenizer, t.id, t.logprob, t.top); });
    json += '}';
  } else {
    json += "null";
  }
  if (n_expert_layers_ == 0) return;
  json += ",\"routed_experts\":";
  list([&](const Token& t) { return experts_json(t.experts, n_expert_layers_); });
}

int64_t chat_detail_bytes(int64_t top_logprobs, int64_t n_experts) {
  return 100 * (top_logprobs + 1) + 8 * n_experts;
}
int64_t completion_detail_bytes(int64_t top_logprobs) {
  return top_logprobs < 0 ? 0 : 2048 + 640 * (top_logprobs + 1);
}
int64_t response_detail_bytes(int64_t top_logprobs) { return 1536 * (top_logprobs + 1); }

void cut_to_details(GenerateRequest& request, int64_t n_choices, int64_t token_bytes) {
  if (request.max_tokens >= 0 || token_bytes == 0) return;
  request.max_tokens = std::max<int64_t>(1, kDetailBytesMax / (n_choices * token_bytes));
}

int64_t streamed_echo_max(int64_t top_logprobs) {
  return (int64_t{3} << 20) / (64 + 48 * (top_logprobs + 1));
}

}  // namespace fathom
