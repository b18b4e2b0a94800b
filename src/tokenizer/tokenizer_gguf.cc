// A tokenizer from the metadata of a GGUF file, and into them: tokens with their kinds, merges, the
// pre-tokenizer by its name.
#include <algorithm>
#include <optional>

#include "io/printable.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_data.h"

namespace fathom {
namespace {

// Values of tokenizer.ggml.token_type; what is not listed counts as kNormal.
constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kTemplate = "tokenizer.chat_template";
// Ours: tokens that llama.cpp wants as control tokens, since they look like some, though the
// published tokenizer does not mark them as special.
constexpr std::string_view kNotSpecial = "fathom.tokenizer.not_special";

class Reader {
 public:
  Reader(const GgufMetadata& metadata, TokenizerData& data) : metadata_(metadata), data_(data) {}

  Status run() {
    FATHOM_TRY(const std::string_view model, text("tokenizer.ggml.model"));
    if (model != "gpt2")
      return unsupported_error("tokenizer.ggml.model is ", quoted(model),
                               ", supported is \"gpt2\" (byte-level BPE)");
    FATHOM_TRY(const std::string_view pre, text(kPre));
    auto pre_tokenizer = PreTokenizer::from_gguf_name(pre);
    if (!pre_tokenizer.ok()) {
      Error error = std::move(pre_tokenizer).error();
      error.message = str_cat(kPre, ": ", error.message);
      return error;
    }
    data_.pre_tokenizer = std::move(*pre_tokenizer);
    FATHOM_RETURN_IF_ERROR(read_tokens());
    FATHOM_RETURN_IF_ERROR(read_merges(pre == "kimi-k2"));
    return read_rest();
  }

 private:
  const GgufValue* find(std::string_view key) const { return find_gguf_value(metadata_, key); }
  Result<std::string_view> text(std::string_view key) const {
    const GgufValue* value = find(key);
    const auto text = value == nullptr || value->is_array() ? std::nullopt : value->string();
    if (!text) return invalid_error(key, " is missing or no text");
    return *text;
  }
  Result<const GgufValue*> texts(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr || !value->is_array() || value->type() != GgufType::kString)
      return invalid_error(key, " is missing or no list of texts");
    return value;
  }

  Status read_tokens() {
    FATHOM_TRY(const GgufValue* tokens, texts(kTokens));
    const GgufValue* types = find(kTypes);
    if (types == nullptr || !types->is_array() || types->size() != tokens->size())
      return invalid_error(kTypes, " is missing, or has not one number for each token");
    if (tokens->size() > Vocabulary::kTokensMax)
      return exhausted_error(kTokens, " has more than ", Vocabulary::kTokensMax, " tokens");
    const auto type_of = [&](int64_t id) { return types->integer(id).value_or(kNormal); };
    // A vocabulary padded to the model's has no tokens there.
    int64_t n = tokens->size();
    while (n > 0 && type_of(n - 1) == kUnused) --n;
    TokenList list;
    for (int64_t id = 0; id < n; ++id)
      FATHOM_RETURN_IF_ERROR(add(id, *tokens->string(id), type_of(id), list));
    FATHOM_TRY(data_.vocabulary, Vocabulary::create(list.entries));
    data_.added = AddedTokens(std::move(list.added));
    return check_unambiguous(data_);
  }

  Status add(int64_t id, std::string_view content, int64_t type, TokenList& list) const {
    if (type == kControl || type == kUserDefined) {
      if (content.empty() || content.size() > Vocabulary::kTokenBytesMax)
        return invalid_error(kTokens, ": the token with id ", id, " has ", content.size(),
                             " bytes, expected 1 to ", Vocabulary::kTokenBytesMax);
      return list.add_added_token({.id = static_cast<int32_t>(id),
                                   .content = std::string(content),
                                   .special = type == kControl && !is_not_special(id),
                                   .normalized = false});
    }
    FATHOM_RETURN_IF_ERROR(list.reserve(id, content));
    Vocabulary::Entry& entry = list.entries[static_cast<size_t>(id)];
    const bool spelled = type != kUnused && bytes_of_piece(content, &entry.bytes);
    entry.kind = spelled ? TokenKind::kPiece : TokenKind::kLiteral;
    if (!spelled) entry.bytes = content;
    return {};
  }

  bool is_not_special(int64_t id) const {
    const GgufValue* ids = find(kNotSpecial);
    for (int64_t i = 0; ids != nullptr && i < ids->size(); ++i) {
      if (ids->integer(i) == id) return true;
    }
    return false;
  }

  Status read_merges(bool tiktoken) {
    std::vector<Bpe::Merge> merges;
    if (tiktoken) {
      // The file lists one way to each token; the published tokenizer takes every way.
      FATHOM_TRY(merges, tiktoken_merges(data_.vocabulary));
      data_.whole_pieces_first = true;
      data_.run_chars_max = kTiktokenRunCharsMax;
    } else {
      FATHOM_TRY(const GgufValue* list, texts(kMerges));
      if (list->size() > Bpe::kMergesMax)
        return exhausted_error(kMerges, " has ", list->size(), " entries, more than ",
                               Bpe::kMergesMax);
      for (int64_t rank = 0; rank < list->size(); ++rank) {
        FATHOM_TRY(const Bpe::Merge merge, read_merge(*list->string(rank), rank));
        merges.push_back(merge);
      }
    }
    FATHOM_TRY(data_.bpe, Bpe::create(data_.vocabulary, merges));
    return {};
  }

  Result<Bpe::Merge> read_merge(std::string_view text, int64_t rank) const {
    // A piece is spelled without blanks.
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos || text.find(' ', blank + 1) != std::string_view::npos)
      return invalid_error(kMerges, "[", rank, "] is ", quoted(text),
                           ", expected two pieces with one blank between them");
    std::string left, right;
    if (!bytes_of_piece(text.substr(0, blank), &left) ||
        !bytes_of_piece(text.substr(blank + 1), &right)) {
      return invalid_error(kMerges, "[", rank, "] is ", quoted(text),
                           ", which is not spelled in the byte alphabet");
    }
    const Bpe::Merge merge = {data_.vocabulary.find_piece(left), data_.vocabulary.find_piece(right),
                              data_.vocabulary.find_piece(left + right)};
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
      return invalid_error(kMerges, "[", rank, "] is ", quoted(text),
                           ": the list of tokens has not both parts and what they make");
    return merge;
  }

  Status read_rest() {
    FATHOM_TRY(data_.bos_token_id, id("tokenizer.ggml.bos_token_id", &data_.bos_token));
    FATHOM_TRY(data_.eos_token_id, id("tokenizer.ggml.eos_token_id", &data_.eos_token));
    FATHOM_TRY(data_.add_bos_token, flag("tokenizer.ggml.add_bos_token", data_.bos_token_id));
    FATHOM_TRY(data_.add_eos_token, flag("tokenizer.ggml.add_eos_token", data_.eos_token_id));
    if (data_.add_bos_token) data_.prefix.push_back(*data_.bos_token_id);
    if (data_.add_eos_token) data_.suffix.push_back(*data_.eos_token_id);
    if (find(kTemplate) != nullptr) {
      FATHOM_TRY(data_.chat_template, text(kTemplate));
    }
    return {};
  }

  Result<std::optional<int32_t>> id(std::string_view key, std::string* content) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::optional<int32_t>();
    const std::optional<int64_t> id = value->is_array() ? std::nullopt : value->integer();
    if (!id || *id < 0 || *id >= data_.vocabulary.size())
      return invalid_error(key, " is ", id ? str_cat(*id) : std::string("no integer"),
                           ", expected 0 to ", data_.vocabulary.size() - 1);
    *content = data_.vocabulary.bytes(static_cast<int32_t>(*id));
    return std::optional<int32_t>(static_cast<int32_t>(*id));
  }

  Result<bool> flag(std::string_view key, const std::optional<int32_t>& id) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return false;
    const std::optional<bool> set = value->is_array() ? std::nullopt : value->boolean();
    if (!set) return invalid_error(key, " is no boolean");
    if (*set && !id) return invalid_error(key, " is true, but no such token is named");
    return *set;
  }

  const GgufMetadata& metadata_;
  TokenizerData& data_;
};

// As llama.cpp's own converter decides which tokens are control tokens.
bool looks_special(std::string_view content) {
  return (content.starts_with("<|") && content.ends_with("|>")) ||
         (content.starts_with("<｜") && content.ends_with("｜>"));
}

}  // namespace

Result<Tokenizer> Tokenizer::from_gguf(const GgufMetadata& metadata, const std::string& name) {
  auto data = std::make_shared<TokenizerData>();
  if (Status status = Reader(metadata, *data).run(); !status.ok()) {
    Error error = std::move(status).error();
    error.message = str_cat(name, ": ", error.message);
    return error;
  }
  return Tokenizer(std::move(data));
}

Status Tokenizer::add_to_gguf(int64_t vocab_size, GgufMetadataBuilder& metadata) const {
  const TokenizerData& data = *data_;
  if (data.pre_tokenizer.gguf_name().empty())
    return unsupported_error("the tokenizer cuts text in a way that GGUF has no name for");
  const auto says = [](const std::vector<int32_t>& ids, const std::optional<int32_t>& id) {
    return ids.empty() || (ids.size() == 1 && ids[0] == id);
  };
  if (!says(data.prefix, data.bos_token_id) || !says(data.suffix, data.eos_token_id))
    return unsupported_error(
        "the tokenizer puts other tokens around a text than BOS and EOS, which GGUF cannot say");
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types, not_special;
  for (int32_t id = 0; id < data.vocabulary.size(); ++id) {
    const std::string_view bytes = data.vocabulary.bytes(id);
    const TokenKind kind = data.vocabulary.kind(id);
    const bool added = kind == TokenKind::kAdded && !looks_special(bytes);
    tokens.push_back(kind == TokenKind::kPiece ? piece_of_bytes(bytes) : std::string(bytes));
    types.push_back(kind == TokenKind::kSpecial || (kind == TokenKind::kAdded && !added) ? kControl
                    : added ? kUserDefined
                            : kNormal);
    if (kind == TokenKind::kAdded && !added) not_special.push_back(id);
  }
  for (int64_t id = data.vocabulary.size(); id < vocab_size; ++id) {
    tokens.push_back(str_cat("[PAD", id, "]"));
    types.push_back(kUnused);
  }
  for (const Bpe::Merge& merge : data.bpe.merges()) {
    merges.push_back(str_cat(piece_of_bytes(data.vocabulary.bytes(merge.left)), " ",
                             piece_of_bytes(data.vocabulary.bytes(merge.right))));
  }
  metadata.add_string("tokenizer.ggml.model", "gpt2");
  metadata.add_string(kPre, data.pre_tokenizer.gguf_name());
  metadata.add_strings(kTokens, tokens);
  metadata.add_i32s(kTypes, types);
  metadata.add_strings(kMerges, merges);
  if (data.bos_token_id)
    metadata.add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*data.bos_token_id));
  if (data.eos_token_id)
    metadata.add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(*data.eos_token_id));
  metadata.add_bool("tokenizer.ggml.add_bos_token", !data.prefix.empty());
  metadata.add_bool("tokenizer.ggml.add_eos_token", !data.suffix.empty());
  if (!data.chat_template.empty()) metadata.add_string(kTemplate, data.chat_template);
  if (!not_special.empty()) metadata.add_i32s(kNotSpecial, not_special);
  return {};
}

}  // namespace fathom
