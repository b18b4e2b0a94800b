#include "cli/sampling_options.h"

#include <charconv>

namespace fathom::cli {

namespace {

constexpr const char* kFromModel = "from generation_config.json";

// CLI11 keeps the last of a repeated option; these are lists on purpose.
Result<std::pair<int32_t, float>> parse_bias(const std::string& text) {
  const size_t colon = text.find(':');
  int32_t id = 0;
  float bias = 0;
  const char* const end = text.data() + text.size();
  if (colon != std::string::npos) {
    const auto id_end = std::from_chars(text.data(), text.data() + colon, id);
    const auto bias_end = std::from_chars(text.data() + colon + 1, end, bias);
    if (id_end.ec == std::errc() && id_end.ptr == text.data() + colon &&
        bias_end.ec == std::errc() && bias_end.ptr == end) {
      return std::pair{id, bias};
    }
  }
  return usage_error("--logit-bias is '", text, "', expected ID:BIAS, as in 4080:-5");
}

}  // namespace

void add_sampling_options(CLI::App& app, SamplingOptions& o) {
  const auto number = [&](const char* name, std::optional<double>& value, const char* text,
                          double low, double high, const char* shown) {
    app.add_option(name, value, text)
        ->check(number_range(low, high))
        ->default_str(shown)
        ->group("Sampling");
  };
  number("--temperature", o.temperature, "0 is greedy", 0, 100, kFromModel);
  number("--top-p", o.top_p, "keep the likeliest tokens that hold this mass", 1e-9, 1, kFromModel);
  app.add_option("--top-k", o.top_k, "keep this many tokens; 0: all")
      ->transform(whole_number(0, INT32_MAX))
      ->default_str(kFromModel)
      ->group("Sampling");
  number("--min-p", o.min_p, "keep tokens of at least this share of the likeliest's probability", 0,
         1, kFromModel);
  number("--repetition-penalty", o.repetition_penalty,
         "divides the logits of tokens already there; 1: off", 1e-3, 1e3, kFromModel);
  number("--presence-penalty", o.presence_penalty, "subtracted once from tokens of the answer",
         -100, 100, "0");
  number("--frequency-penalty", o.frequency_penalty,
         "subtracted for each time a token stands in the answer", -100, 100, "0");
  app.add_option("--logit-bias", o.logit_bias, "ID:BIAS, added to a token's logit (several)")
      ->allow_extra_args(false)
      ->take_all()
      ->default_str("none")
      ->group("Sampling");
  app.add_option("--max-tokens", o.max_tokens, "tokens of an answer at most")
      ->transform(whole_number(1, INT32_MAX))
      ->default_str("what the context holds")
      ->group("Stopping");
  app.add_option("--min-tokens", o.min_tokens, "no end before this many")
      ->transform(whole_number(0, INT32_MAX))
      ->capture_default_str()
      ->group("Stopping");
  app.add_option("--stop", o.stop, "a text that ends the answer and is not part of it (several)")
      ->allow_extra_args(false)
      ->take_all()
      ->default_str("none")
      ->group("Stopping");
  app.add_option("--stop-token-ids", o.stop_token_ids, "a token that ends the answer (several)")
      ->allow_extra_args(false)
      ->take_all()
      ->default_str("those of the model")
      ->group("Stopping");
  app.add_flag("--ignore-eos", o.ignore_eos, "the model's end tokens do not end the answer")
      ->group("Stopping");
}

Result<GenerateRequest> base_request(const GenerationConfig& defaults, const SamplingOptions& o,
                                     uint64_t seed) {
  GenerateRequest request;
  SamplingParams& sampling = request.sampling;
  sampling = defaults.sampling;
  sampling.seed = seed;
  sampling.temperature = o.temperature.value_or(sampling.temperature);
  sampling.top_p = o.top_p.value_or(sampling.top_p);
  sampling.top_k = o.top_k.value_or(sampling.top_k);
  sampling.min_p = o.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = o.repetition_penalty.value_or(sampling.repetition_penalty);
  sampling.presence_penalty = o.presence_penalty.value_or(sampling.presence_penalty);
  sampling.frequency_penalty = o.frequency_penalty.value_or(sampling.frequency_penalty);
  for (const std::string& text : o.logit_bias) {
    FATHOM_TRY(const auto bias, parse_bias(text));
    sampling.logit_bias.push_back(bias);
  }
  request.max_tokens = o.max_tokens.value_or(-1);
  request.min_tokens = o.min_tokens;
  request.stop = o.stop;
  request.stop_token_ids = o.stop_token_ids;
  request.ignore_eos = o.ignore_eos;
  return request;
}

}  // namespace fathom::cli
