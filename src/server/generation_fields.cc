#include "server/generation_fields.h"

#include <charconv>
#include <cmath>

namespace fathom {

namespace {

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();

void read_logit_bias(ApiFields& fields, int64_t vocab_size, SamplingParams& sampling) {
  const Json* const bias = fields.object("logit_bias");
  if (bias == nullptr) return;
  sampling.logit_bias.clear();
  for (const auto& [key, value] : bias->as_object()) {
    int32_t id = -1;
    const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
    if (end.ec != std::errc() || end.ptr != key.data() + key.size() || id < 0 || id >= vocab_size) {
      fields.fail("logit_bias", str_cat("logit_bias has the key \"", key.substr(0, 40),
                                        "\", expected a token id below ", vocab_size));
      return;
    }
    if (!value.is_number() || !(std::fabs(value.as_double()) <= 100)) {
      fields.fail("logit_bias", str_cat("logit_bias of token ", id, " is ",
                                        value.dump().substr(0, 40), ", expected -100 to 100"));
      return;
    }
    sampling.logit_bias.emplace_back(id, static_cast<float>(value.as_double()));
  }
}

void read_lengths(ApiFields& fields, GenerateRequest& request) {
  // The newer name wins where both are given.
  fields.integer("max_tokens", request.max_tokens, 0, kInt64Max);
  fields.integer("max_completion_tokens", request.max_tokens, 0, kInt64Max);
  fields.integer("min_tokens", request.min_tokens, 0, kInt64Max);
  fields.texts("stop", request.stop, kStopsMax, kStopBytesMax);
  for (const std::string& stop : request.stop)
    if (stop.empty()) fields.fail("stop", "stop holds an empty string, which ends every answer");
  fields.ids("stop_token_ids", request.stop_token_ids, 1024);
  fields.boolean("ignore_eos", request.ignore_eos);
  fields.boolean("skip_special_tokens", request.skip_special_tokens);
}

void read_stream(ApiFields& fields, GenerationFields& out) {
  fields.boolean("stream", out.stream);
  const Json* const options = fields.object("stream_options");
  if (options == nullptr) return;
  if (!out.stream) fields.fail("stream_options", "stream_options goes with \"stream\": true");
  ApiFields inner(*options, "stream_options.");
  inner.boolean("include_usage", out.include_usage);
  inner.boolean("continuous_usage_stats", out.continuous_usage);
  fields.take(inner.error());
}

}  // namespace

void read_generation(ApiFields& fields, const SamplingParams& defaults, int64_t vocab_size,
                     GenerationFields& out) {
  SamplingParams& sampling = out.request.sampling;
  sampling = defaults;
  fields.number("temperature", sampling.temperature, 0, 2);
  fields.number("top_p", sampling.top_p, 1e-9, 1);
  int64_t top_k = sampling.top_k == 0 ? -1 : sampling.top_k;  // -1: off, as other servers have it
  fields.integer("top_k", top_k, -1, kInt64Max);
  sampling.top_k = std::max<int64_t>(0, top_k);
  fields.number("min_p", sampling.min_p, 0, 1);
  fields.number("repetition_penalty", sampling.repetition_penalty, 1e-9, 1e9);
  fields.number("presence_penalty", sampling.presence_penalty, -2, 2);
  fields.number("frequency_penalty", sampling.frequency_penalty, -2, 2);
  read_logit_bias(fields, vocab_size, sampling);
  int64_t seed = 0;
  out.has_seed = fields.has("seed");
  fields.integer("seed", seed, kInt64Min, kInt64Max);
  sampling.seed = static_cast<uint64_t>(seed);
  fields.integer("n", out.n, 1, kChoicesMax);
  read_lengths(fields, out.request);
  read_stream(fields, out);
  fields.integer("priority", out.request.priority, -1'000'000, 1'000'000);
  // Both divide the cache of prefixes; the key of the client does too (server/routes.h).
  std::string salt;
  fields.text("prompt_cache_key", salt, 1024);
  fields.text("cache_salt", salt, 1024);
  if (fields.has("cache_salt") && salt.empty())
    fields.fail("cache_salt", "cache_salt is empty; leave it out or give a text");
  out.request.cache_partition = salt;
}

}  // namespace fathom
