// What a tokenizer consists of once its files are read, and what the readers of the two file
// formats share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

struct TokenizerData {
  Vocabulary vocabulary;
  AddedTokens added;
  Bpe bpe;
  PreTokenizer pre_tokenizer;
  // A pre-token that is a piece of the vocabulary is that token, whatever the merges say (tiktoken;
  // "ignore_merges").
  bool whole_pieces_first = false;
  // tiktoken's callers cut runs of this many characters (all blank, or all not) before anything
  // else; 0: no limit.
  int64_t run_chars_max = 0;

  std::vector<int32_t> prefix;  // what add_special puts before the text
  std::vector<int32_t> suffix;  // and behind it
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> eos_token_id;
  std::string bos_token;
  std::string eos_token;
  bool add_bos_token = false;
  bool add_eos_token = false;
  std::string chat_template;
};

// Entries by id and added tokens while files are being read.
struct TokenList {
  std::vector<Vocabulary::Entry> entries;
  std::vector<AddedToken> added;

  // Makes room for id. Errors: id negative or absurdly large.
  Status reserve(int64_t id, std::string_view content);
  Status add_added_token(const AddedToken& token);
  bool has_added(int32_t id, std::string_view content) const;
};

// An element of "added_tokens" (its id from the file); flags that ask for what is not supported are
// refused.
Result<AddedToken> read_added_token(const Json& json, int64_t id);

// tokenizer_config.json's "added_tokens_decoder": tokens that the list does not have yet are added,
// those that contradict it refused.
Status read_added_tokens_decoder(const Json& config, TokenList& list);

// Errors: two tokens of one text, of which one is an added token (which of the two ids would it
// be?).
Status check_unambiguous(const TokenizerData& data);

// The merges of a tiktoken vocabulary, which its files do not list: every way to make a piece of
// two others, the lowest id first.
Result<std::vector<Bpe::Merge>> tiktoken_merges(const Vocabulary& vocabulary);
inline constexpr int64_t kTiktokenRunCharsMax = 25'000;

// An object, or an empty one if the text is empty.
Result<Json> parse_tokenizer_config(std::string_view text);

// bos_token, eos_token, add_bos_token, add_eos_token and chat_template, once the vocabulary stands.
Status apply_tokenizer_config(const Json& config, TokenizerData& data);

}  // namespace fathom
