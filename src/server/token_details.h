// What an answer tells of its tokens beside their text, log-probabilities and routed experts, kept
// as numbers until it is told: as JSON values they would take a hundred times as much.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

class TokenDetails {
 public:
  // n_expert_layers: of how many layers a token has experts; 0: they are not told.
  TokenDetails(bool logprobs, int64_t n_expert_layers)
      : has_logprobs_(logprobs), n_expert_layers_(n_expert_layers) {}

  void add(const TokenEvent& event);
  bool empty() const { return tokens_.empty(); }
  void clear() { tokens_.clear(); }

  // {"content": [...]}; null without log-probabilities or tokens.
  Json logprobs(const Tokenizer& tokenizer) const;
  // For each token, for each layer, a list of ids; null without experts or tokens.
  Json experts() const;
  // Both as text, never all of it as values: members of a choice, to stand behind others:
  // "logprobs", an object or null, and with experts "routed_experts".
  void append_members(const Tokenizer& tokenizer, std::string& json) const;

 private:
  struct Token {
    int32_t id;
    float logprob;
    std::vector<TokenLogprob> top;
    std::vector<int32_t> experts;
  };
  bool has_logprobs_;
  int64_t n_expert_layers_;
  std::vector<Token> tokens_;
};

// About what a whole answer takes for a token, in bytes: of these in chat, as text; of the lists of
// completions and the items of a response, where they stand as JSON values. top_logprobs: -1: no
// log-probabilities.
int64_t chat_detail_bytes(int64_t top_logprobs, int64_t n_experts);
int64_t completion_detail_bytes(int64_t top_logprobs);
int64_t response_detail_bytes(int64_t top_logprobs);
// The most that a request may take for all of its tokens.
inline constexpr int64_t kDetailBytesMax = int64_t{256} << 20;
// A request without max_tokens gets what fits.
void cut_to_details(GenerateRequest& request, int64_t n_choices, int64_t token_bytes);
// The tokens of the longest prompt that a stream of completions echoes with log-probabilities: all
// of them are one chunk, which must be less than a client may leave unread
// (HttpServerOptions::unsent_bytes_max).
int64_t streamed_echo_max(int64_t top_logprobs);

}  // namespace fathom
