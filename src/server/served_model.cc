#include "server/served_model.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>

#include "base/mix64.h"

namespace fathom {

bool ServedModel::has_name(const std::string& name) const {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string token_text(const Tokenizer& tokenizer, int32_t token) {
  return tokenizer.decode({&token, 1}, /*skip_special_tokens=*/false);
}

Json token_bytes_json(const Tokenizer& tokenizer, int32_t token) {
  Json out = Json::array();
  for (const char c : tokenizer.token_bytes(token))
    out.push_back(int64_t{static_cast<unsigned char>(c)});
  return out;
}

Json logprob_json(const Tokenizer& tokenizer, int32_t token, float logprob,
                  const std::vector<TokenLogprob>& top) {
  const auto entry = [&](int32_t id, float of) {
    return Json::Object{{"token", token_text(tokenizer, id)},
                        {"logprob", of},
                        {"bytes", token_bytes_json(tokenizer, id)}};
  };
  Json::Object out = entry(token, logprob);
  Json best = Json::array();
  for (const TokenLogprob& one : top) best.push_back(entry(one.token, one.logprob));
  out.emplace_back("top_logprobs", std::move(best));
  return out;
}

std::string make_id(std::string_view prefix) {
  static const uint64_t start = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) ^ device();
  }();
  static std::atomic<uint64_t> counter{0};
  const uint64_t n = counter.fetch_add(1);
  const uint64_t high = mix64(start + 2 * n), low = mix64(start + 2 * n + 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(prefix);
  for (int i = 0; i < 16; ++i) out += kDigits[(high >> (4 * i)) & 15];
  for (int i = 0; i < 8; ++i) out += kDigits[(low >> (4 * i)) & 15];
  return out;
}

}  // namespace fathom
