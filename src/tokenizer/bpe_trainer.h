// Training byte-level BPE (Sennrich et al. 2016; GPT-2's byte alphabet) with V3's pre-tokenizer
// (spec §4.1): counts pre-tokens, then merges the most frequent pair until the vocabulary is full.
// The result has the form of the published tokenizers: three control tokens, the 256 bytes, the
// merges, and the family's added tokens at the end.
//
// The same text gives the same tokenizer: of equally frequent pairs the one of the lower ids is
// merged, left before right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace fathom {

struct BpeTrainerOptions {
  int64_t vocab_size = 0;  // everything: bytes, merges, special tokens
  int64_t min_count = 2;   // of a pair that is merged
  // Distinct pre-tokens held, and their bytes; beyond either the rarest are forgotten.
  int64_t words_max = 4 << 20;
  int64_t word_bytes_max = 256 << 20;
};

struct TrainedTokenizer {
  std::string tokenizer_json;
  std::string tokenizer_config_json;  // with the chat template of V3
  int64_t n_merges = 0;
  int64_t vocab_size = 0;  // less than asked for if the text has no more pairs
};

class BpeTrainer {
 public:
  // Longer pre-tokens (a line of dashes, text without blanks) are counted in pieces of at most this
  // many bytes, cut between characters. No token becomes longer than Vocabulary takes.
  static constexpr size_t kWordBytesMax = 1024;

  // Error: vocab_size holds no merge beside bytes and special tokens.
  static Result<BpeTrainer> create(const BpeTrainerOptions& options);
  static int64_t vocab_size_min();

  // Counts the pre-tokens of a document.
  void add(std::string_view text);
  int64_t n_bytes() const { return n_bytes_; }          // of all documents
  int64_t n_words() const;                              // distinct pre-tokens held
  int64_t n_forgotten() const { return n_forgotten_; }  // occurrences of those that were not held

  // Merges what has been counted. tokens_max is what the config's model_max_length says.
  TrainedTokenizer train(int64_t model_max_length) const;

 private:
  explicit BpeTrainer(const BpeTrainerOptions& options) : options_(options) {}
  void count(std::string_view word);
  bool holds_more_than(int64_t words_max, int64_t word_bytes_max) const;
  void forget_the_rarest();

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  BpeTrainerOptions options_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> words_;
  int64_t n_bytes_ = 0, n_forgotten_ = 0;
  int64_t word_bytes_ = 0;  // of words_
  std::vector<std::string_view> pieces_;
};

}  // namespace fathom
