// From logits to a token. The order is fixed: logit bias, penalties, temperature, min-p, top-k,
// top-p. The draw comes from a counter-based generator keyed by (seed, choice, position), so that a
// request's tokens do not depend on what else runs, nor on how often other tokens were drawn
// (docs/numerics.md 8). Equal logits count by lower id.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kernels/dispatch.h"
#include "tensor/buffer.h"

namespace fathom {

struct SamplingParams {
  double temperature = 1.0;         // 0 is greedy
  double top_p = 1.0;               // in (0, 1]; 1 is off
  int64_t top_k = 0;                // 0 is off
  double min_p = 0.0;               // in [0, 1]; keeps tokens with p >= min_p * largest p
  double repetition_penalty = 1.0;  // > 0; divides positive and multiplies negative logits of
                                    // tokens seen in prompt or answer
  double presence_penalty = 0.0;    // subtracted once for tokens of the answer
  double frequency_penalty = 0.0;   // subtracted for each time a token stands in the answer
  std::vector<std::pair<int32_t, float>> logit_bias = {};  // added to the logits of these ids
  uint64_t seed = 0;
  int64_t choice = 0;  // which of the n choices of the request
};
// One sentence naming the field that is out of its range.
Status check_sampling(const SamplingParams& params, int64_t vocab_size);

// How often tokens stand in a request, for the penalties. Sparse: linear in the distinct tokens.
class TokenCounts {
 public:
  struct Count {
    int32_t token;
    int32_t in_prompt;
    int32_t in_answer;
  };
  void add_prompt(std::span<const int32_t> tokens);
  void add_answer(int32_t token);
  std::span<const Count> counts() const { return counts_; }

 private:
  Count& at(int32_t token);
  std::vector<Count> counts_;  // sorted by token
};

// No token may be drawn whose bit is not set: bit t of word t / 64 (engine/constraint.h). No words:
// all may.
void keep_allowed(std::span<float> logits, std::span<const uint64_t> allowed);

class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);
  // logits [vocab_size] are not changed. position: of the token to be drawn. banned: ids that may
  // not be drawn (an EOS before min_tokens). allowed: see keep_allowed().
  int32_t sample(std::span<const float> logits, const SamplingParams& params,
                 const TokenCounts& counts, int64_t position, std::span<const int32_t> banned = {},
                 std::span<const uint64_t> allowed = {});

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }
  void adjust(std::span<const float> logits, const SamplingParams& params,
              const TokenCounts& counts, std::span<const int32_t> banned,
              std::span<const uint64_t> allowed);
  size_t sort_nucleus(double top_p, double total, float largest);

  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
};

// Uniform in [0, 1), 53 bits, a function of its arguments alone.
double counter_uniform(uint64_t seed, uint64_t choice, uint64_t position);

struct TokenLogprob {
  int32_t token;
  float logprob;
};
// Natural log-probabilities of the raw logits: of `token`, and of the n_top best (by logit, then
// id) into top.
float token_logprob(Isa isa, std::span<const float> logits, int32_t token);
void top_logprobs(Isa isa, std::span<const float> logits, int64_t n_top,
                  std::vector<TokenLogprob>& top);

}  // namespace fathom
