// Text to token ids and back: byte-level BPE as published with the V3 family, from tokenizer.json
// or tiktoken.model. Encoding: added tokens are cut out of the text; each run between them is cut
// into pre-tokens, and BPE makes the ids of each. Decoding joins bytes and shows what is not UTF-8
// as U+FFFD. Not here: chat templates.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/gguf.h"

namespace fathom {

struct EncodeOptions {
  bool add_special = false;     // BOS and EOS, as the tokenizer's files say
  bool recognize_added = true;  // false: what spells an added token is ordinary text
};

// A piece of a rendered template: text of the template itself, or of a user.
struct TextPart {
  std::string_view text;
  bool recognize_added;
};

struct TokenizerData;

// Immutable after loading: copies share their data, and all const use is thread-safe.
class Tokenizer {
 public:
  // Larger files are refused before they are parsed.
  static constexpr size_t kFileBytesMax = size_t{64} << 20;

  // From the bytes of the files; tokenizer_config_json may be empty (then nothing is known of BOS,
  // EOS and chat template but what tokenizer.json says). What the files ask for and is not
  // supported is refused by name.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json,
                                     std::string_view tokenizer_config_json);
  // tiktoken.model as Moonlight and Kimi-K2 have it. Its pattern and special tokens are in no data
  // file but in the Python beside it (class TikTokenTokenizer): known here, names of the tokens
  // from tokenizer_config.json.
  static Result<Tokenizer> from_tiktoken(std::string_view tiktoken_model,
                                         std::string_view tokenizer_config_json);

  // From the metadata of a GGUF file (tokenizer.ggml.*, model "gpt2"); name is how messages call
  // it.
  static Result<Tokenizer> from_gguf(const GgufMetadata& metadata, const std::string& name);
  // The other way. The list of tokens is filled up to vocab_size with unused ones. Errors: what the
  // metadata have no place for.
  Status add_to_gguf(int64_t vocab_size, GgufMetadataBuilder& metadata) const;
  // A tokenizer.json that gives this tokenizer (with BOS, EOS and chat template of
  // tokenizer_config.json beside it). Errors: a way to cut text that GGUF has no name for.
  Result<std::string> to_json() const;

  // Linear in the text's length. Bytes that are not UTF-8 become the tokens of those bytes.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The parts' texts joined. Text between control tokens is tokenised as one run whatever its
  // origin; the origin decides only whether an added token in it is recognised: it must lie wholly
  // in parts with recognize_added.
  std::vector<int32_t> encode_parts(std::span<const TextPart> parts, bool add_special) const;

  // Always UTF-8. Ids without a token give no text (a model's vocabulary is often padded); callers
  // that must tell ask is_valid_id. skip_special_tokens drops added tokens whose flag "special" is
  // true, no others.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  int64_t vocab_size() const;  // highest id + 1
  bool is_valid_id(int32_t id) const;
  bool is_special(int32_t id) const;
  // The bytes the id stands for (of an added token its text); empty if there is no such token.
  std::string_view token_bytes(int32_t id) const;
  bool is_added(int32_t id) const;
  // The id of an added token's text, or of a piece as tokenizer.json spells it (a blank is U+0120).
  std::optional<int32_t> token_to_id(std::string_view token) const;

  std::optional<int32_t> bos_token_id() const;
  std::optional<int32_t> eos_token_id() const;
  const std::string& bos_token() const;  // "" if none
  const std::string& eos_token() const;
  bool add_bos_token() const;
  bool add_eos_token() const;
  // tokenizer_config.json's (of several the one named "default"); "" if none.
  const std::string& chat_template() const;

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerData> data) : data_(std::move(data)) {}

  std::shared_ptr<const TokenizerData> data_;
};

}  // namespace fathom
