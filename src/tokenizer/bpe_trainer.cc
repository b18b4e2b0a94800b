#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <span>
#include <tuple>

#include "base/utf8.h"
#include "io/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/v3_chat_template.h"
#include "tokenizer/v3_scanner.h"
#include "tokenizer/vocabulary.h"

namespace fathom {
namespace {

struct AddedToken {
  std::string_view text;
  bool special;
};
// Ids 0, 1, 2.
constexpr AddedToken kFirst[] = {
    {"<｜begin▁of▁sentence｜>", true}, {"<｜end▁of▁sentence｜>", true}, {"<｜▁pad▁｜>", true}};
// The last ids.
constexpr AddedToken kLast[] = {{"<｜fim▁hole｜>", false},
                                {"<｜fim▁begin｜>", false},
                                {"<｜fim▁end｜>", false},
                                {"<｜User｜>", false},
                                {"<｜Assistant｜>", false},
                                {"<|EOT|>", true},
                                {"<｜tool▁calls▁begin｜>", false},
                                {"<｜tool▁calls▁end｜>", false},
                                {"<｜tool▁call▁begin｜>", false},
                                {"<｜tool▁call▁end｜>", false},
                                {"<｜tool▁outputs▁begin｜>", false},
                                {"<｜tool▁outputs▁end｜>", false},
                                {"<｜tool▁output▁begin｜>", false},
                                {"<｜tool▁output▁end｜>", false},
                                {"<｜tool▁sep｜>", false},
                                {"<think>", false},
                                {"</think>", false}};
constexpr int64_t kBytes = 256;
static_assert(BpeTrainer::kWordBytesMax <= Vocabulary::kTokenBytesMax);

using Pair = std::pair<int32_t, int32_t>;
struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t both = static_cast<uint64_t>(static_cast<uint32_t>(pair.first)) << 32 |
                          static_cast<uint32_t>(pair.second);
    return static_cast<size_t>((both * 0x9e3779b97f4a7c15u) >> 16);
  }
};

struct Word {
  std::vector<int32_t> symbols;
  int64_t count = 0;
};

// Where a pair stands, and how often.
struct PairUse {
  int64_t count = 0;
  std::vector<int32_t> words;  // each at least once; a word may have lost the pair since
};

// Merges over the counted words.
class Merger {
 public:
  Merger(std::vector<Word> words, std::vector<std::string> tokens)
      : words_(std::move(words)), tokens_(std::move(tokens)) {
    for (size_t id = 0; id < tokens_.size(); ++id)
      ids_.emplace(tokens_[id], static_cast<int32_t>(id));
    for (size_t w = 0; w < words_.size(); ++w) {
      const auto& symbols = words_[w].symbols;
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        count({symbols[i], symbols[i + 1]}, static_cast<int32_t>(w), words_[w].count);
    }
    for (const auto& [pair, use] : uses_) queue_.push({use.count, pair});
  }

  // Until there are n_tokens, or no pair is as frequent as min_count.
  void run(int64_t n_tokens, int64_t min_count) {
    while (std::ssize(tokens_) < n_tokens && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto found = uses_.find(best.pair);
      if (found == uses_.end() || found->second.count < min_count) continue;
      if (found->second.count != best.count) {  // it has lost some since
        queue_.push({found->second.count, best.pair});
        continue;
      }
      const std::vector<int32_t> words = std::move(found->second.words);
      uses_.erase(found);
      merge(best.pair, words);
    }
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<Pair>& merges() const { return merges_; }

 private:
  struct Candidate {
    int64_t count;
    Pair pair;
    // The largest comes first: higher counts, then lower ids.
    bool operator<(const Candidate& other) const {
      return std::tie(count, other.pair) < std::tie(other.count, pair);
    }
  };

  void count(const Pair& pair, int32_t word, int64_t n) {
    PairUse& use = uses_[pair];
    use.count += n;
    if (n > 0 && (use.words.empty() || use.words.back() != word)) use.words.push_back(word);
  }

  void merge(const Pair& pair, std::span<const int32_t> words) {
    std::string text =
        tokens_[static_cast<size_t>(pair.first)] + tokens_[static_cast<size_t>(pair.second)];
    // Two ways to one token: the id is the first one's.
    const auto [found, is_new] =
        ids_.emplace(std::move(text), static_cast<int32_t>(tokens_.size()));
    if (is_new) tokens_.push_back(found->first);
    const int32_t merged = found->second;
    merges_.push_back(pair);
    changed_.clear();
    for (const int32_t w : words) merge_in(words_[static_cast<size_t>(w)], w, pair, merged);
    for (const Pair& other : changed_) {
      const auto use = uses_.find(other);
      if (use != uses_.end() && use->second.count > 0) queue_.push({use->second.count, other});
    }
  }

  void merge_in(Word& word, int32_t w, const Pair& pair, int32_t merged) {
    std::vector<int32_t>& symbols = word.symbols;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i] != pair.first || symbols[i + 1] != pair.second) continue;
      if (i > 0) {
        count({symbols[i - 1], pair.first}, w, -word.count);
        count({symbols[i - 1], merged}, w, word.count);
        changed_.push_back({symbols[i - 1], merged});
      }
      if (i + 2 < symbols.size()) {
        count({pair.second, symbols[i + 2]}, w, -word.count);
        count({merged, symbols[i + 2]}, w, word.count);
        changed_.push_back({merged, symbols[i + 2]});
      }
      symbols[i] = merged;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
  }

  std::vector<Word> words_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<Pair, PairUse, PairHash> uses_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> merges_;
  std::vector<Pair> changed_;
};

// The 256 bytes in the order of the characters that spell them.
std::vector<std::string> byte_tokens() {
  std::vector<std::pair<std::string, std::string>> spelled;
  for (int byte = 0; byte < kBytes; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    spelled.emplace_back(piece_of_bytes(text), text);
  }
  std::sort(spelled.begin(), spelled.end());
  std::vector<std::string> out;
  for (auto& [piece, text] : spelled) out.push_back(std::move(text));
  return out;
}

Json added_token(const AddedToken& token, int64_t id) {
  return Json::Object{
      {"id", id},        {"content", token.text}, {"single_word", false},    {"lstrip", false},
      {"rstrip", false}, {"normalized", false},   {"special", token.special}};
}

std::string tokenizer_json(const Merger& merger) {
  Json vocab = Json::object(), merges = Json::array(), added = Json::array();
  int64_t id = 0;
  for (const AddedToken& token : kFirst) {
    added.push_back(added_token(token, id));
    vocab.as_object().emplace_back(std::string(token.text), id++);
  }
  for (const std::string& token : merger.tokens())
    vocab.as_object().emplace_back(piece_of_bytes(token), id++);
  for (const AddedToken& token : kLast) added.push_back(added_token(token, id++));
  for (const auto& [left, right] : merger.merges())
    merges.push_back(Json::Array{piece_of_bytes(merger.tokens()[static_cast<size_t>(left)]),
                                 piece_of_bytes(merger.tokens()[static_cast<size_t>(right)])});
  const Json json = Json::Object{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", Json::Object{{"type", "Sequence"}, {"normalizers", Json::array()}}},
      {"pre_tokenizer", PreTokenizer::json_of_gguf_name("deepseek-v3")},
      {"post_processor", nullptr},
      {"decoder", Json::Object{{"type", "ByteLevel"},
                               {"add_prefix_space", true},
                               {"trim_offsets", true},
                               {"use_regex", true}}},
      {"model", Json::Object{{"type", "BPE"},
                             {"dropout", nullptr},
                             {"unk_token", nullptr},
                             {"continuing_subword_prefix", nullptr},
                             {"end_of_word_suffix", nullptr},
                             {"fuse_unk", false},
                             {"byte_fallback", false},
                             {"ignore_merges", false},
                             {"vocab", std::move(vocab)},
                             {"merges", std::move(merges)}}}};
  return json.dump() + "\n";
}

std::string config_json(int64_t model_max_length) {
  const auto token = [](std::string_view text) {
    return Json(Json::Object{{"__type", "AddedToken"},
                             {"content", text},
                             {"lstrip", false},
                             {"normalized", true},
                             {"rstrip", false},
                             {"single_word", false}});
  };
  const Json json = Json::Object{{"add_bos_token", true},
                                 {"add_eos_token", false},
                                 {"bos_token", token(kFirst[0].text)},
                                 {"clean_up_tokenization_spaces", false},
                                 {"eos_token", token(kFirst[1].text)},
                                 {"legacy", true},
                                 {"model_max_length", model_max_length},
                                 {"pad_token", token(kFirst[1].text)},
                                 {"sp_model_kwargs", Json::object()},
                                 {"unk_token", nullptr},
                                 {"tokenizer_class", "LlamaTokenizerFast"},
                                 {"chat_template", kV3ChatTemplate}};
  return json.dump_pretty() + "\n";
}

}  // namespace

int64_t BpeTrainer::vocab_size_min() {
  return static_cast<int64_t>(std::size(kFirst) + std::size(kLast)) + kBytes;
}

Result<BpeTrainer> BpeTrainer::create(const BpeTrainerOptions& options) {
  if (options.vocab_size <= vocab_size_min())
    return invalid_error("a vocabulary of ", options.vocab_size,
                         " is too small: bytes and special "
                         "tokens alone are ",
                         vocab_size_min());
  return BpeTrainer(options);
}

int64_t BpeTrainer::n_words() const { return std::ssize(words_); }

void BpeTrainer::add(std::string_view text) {
  n_bytes_ += std::ssize(text);
  pieces_.clear();
  split_v3(text, pieces_);
  for (std::string_view piece : pieces_) {
    while (piece.size() > kWordBytesMax) {
      size_t end = kWordBytesMax;
      while (end > kWordBytesMax - 3 && continues_utf8(piece[end])) --end;
      count(piece.substr(0, end));
      piece.remove_prefix(end);
    }
    count(piece);
  }
  if (holds_more_than(options_.words_max, options_.word_bytes_max)) forget_the_rarest();
}

void BpeTrainer::count(std::string_view word) {
  const auto found = words_.find(word);
  if (found != words_.end()) {
    ++found->second;
  } else {
    words_.emplace(std::string(word), 1);
    word_bytes_ += std::ssize(word);
  }
}

bool BpeTrainer::holds_more_than(int64_t words_max, int64_t word_bytes_max) const {
  return std::ssize(words_) > words_max || word_bytes_ > word_bytes_max;
}

// Raises the least count until half of the words and bytes are left at most.
void BpeTrainer::forget_the_rarest() {
  for (int64_t least = 1; holds_more_than(options_.words_max / 2, options_.word_bytes_max / 2);
       ++least) {
    for (auto word = words_.begin(); word != words_.end();) {
      if (word->second > least) {
        ++word;
        continue;
      }
      n_forgotten_ += word->second;
      word_bytes_ -= std::ssize(word->first);
      word = words_.erase(word);
    }
  }
}

TrainedTokenizer BpeTrainer::train(int64_t model_max_length) const {
  std::vector<std::string> tokens = byte_tokens();
  std::array<int32_t, kBytes> byte_ids;
  for (size_t id = 0; id < tokens.size(); ++id)
    byte_ids[static_cast<uint8_t>(tokens[id][0])] = static_cast<int32_t>(id);
  // In the order of their bytes, not of the hash table.
  std::vector<std::pair<std::string_view, int64_t>> counted(words_.begin(), words_.end());
  std::sort(counted.begin(), counted.end());
  std::vector<Word> words;
  for (const auto& [text, count] : counted) {
    Word word{.symbols = {}, .count = count};
    for (const char c : text) word.symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
    words.push_back(std::move(word));
  }
  Merger merger(std::move(words), std::move(tokens));
  merger.run(options_.vocab_size - vocab_size_min() + kBytes, options_.min_count);
  return {.tokenizer_json = tokenizer_json(merger),
          .tokenizer_config_json = config_json(model_max_length),
          .n_merges = std::ssize(merger.merges()),
          .vocab_size = std::ssize(merger.tokens()) - kBytes + vocab_size_min()};
}

}  // namespace fathom
