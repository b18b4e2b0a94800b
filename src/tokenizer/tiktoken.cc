// Reads tiktoken.model: one piece a line, its bytes in base64, a blank, its rank, which is its id.
// There are no merges in it: two pieces merge if what they make is a piece, the lowest id first.
#include <charconv>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_data.h"

namespace fathom {
namespace {

// Longer pieces would make the search for all ways to make them slow (Kimi's longest has 128
// bytes).
constexpr size_t kPieceBytesMax = 512;
constexpr int32_t kReservedTokens = 256;

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Standard base64 with its padding. False if text is something else.
bool decode_base64(std::string_view text, std::string* bytes) {
  bytes->clear();
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    const int value = sextet(c);
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    *bytes += static_cast<char>(bits >> n_bits & 0xff);
  }
  return (bits & ((1u << n_bits) - 1)) == 0;
}

Status read_line(std::string_view line, int64_t line_number, TokenList& list) {
  const size_t blank = line.find(' ');
  const std::string_view rank =
      blank == std::string_view::npos ? std::string_view() : line.substr(blank + 1);
  int64_t id = -1;
  const auto parsed = std::from_chars(rank.data(), rank.data() + rank.size(), id);
  if (rank.empty() || parsed.ec != std::errc() || parsed.ptr != rank.data() + rank.size()) {
    return invalid_error("line ", line_number, " must be a piece in base64, a blank and its rank");
  }
  std::string bytes;
  if (!decode_base64(line.substr(0, blank), &bytes)) {
    return invalid_error("line ", line_number, ": ", quoted(line.substr(0, blank)),
                         " is not base64");
  }
  FATHOM_RETURN_IF_ERROR(list.reserve(id, bytes));
  Vocabulary::Entry& entry = list.entries[static_cast<size_t>(id)];
  if (entry.kind != TokenKind::kNone)
    return invalid_error("line ", line_number, " gives the rank ", id, " a second time");
  entry = {std::move(bytes), TokenKind::kPiece};
  return {};
}

Status read_pieces(std::string_view text, TokenList& list) {
  int64_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const size_t newline = text.find('\n');
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) FATHOM_RETURN_IF_ERROR(read_line(line, line_number, list));
  }
  if (list.entries.empty()) return invalid_error("it has no pieces");
  return {};
}

// The 256 ids behind the pieces: named by the config, else reserved.
Status add_reserved(const Json& config, TokenList& list) {
  const int32_t first = static_cast<int32_t>(list.entries.size());
  FATHOM_RETURN_IF_ERROR(read_added_tokens_decoder(config, list));
  for (int32_t id = first; id < first + kReservedTokens; ++id) {
    const AddedToken token{.id = id,
                           .content = str_cat("<|reserved_token_", id, "|>"),
                           .special = false,
                           .normalized = false};
    FATHOM_RETURN_IF_ERROR(list.reserve(id, token.content));
    if (list.entries[static_cast<size_t>(id)].kind == TokenKind::kNone)
      FATHOM_RETURN_IF_ERROR(list.add_added_token(token));
  }
  return {};
}

Status read_tiktoken(std::string_view text, const Json& config, TokenizerData& data) {
  TokenList list;
  FATHOM_RETURN_IF_ERROR(read_pieces(text, list));
  for (const Vocabulary::Entry& entry : list.entries) {
    if (entry.bytes.size() <= kPieceBytesMax) continue;
    return exhausted_error("a piece has ", entry.bytes.size(), " bytes, more than ",
                           kPieceBytesMax);
  }
  FATHOM_RETURN_IF_ERROR(add_reserved(config, list));
  FATHOM_TRY(data.vocabulary, Vocabulary::create(list.entries));
  data.added = AddedTokens(std::move(list.added));
  FATHOM_RETURN_IF_ERROR(check_unambiguous(data));
  FATHOM_TRY(const std::vector<Bpe::Merge> merges, tiktoken_merges(data.vocabulary));
  FATHOM_TRY(data.bpe, Bpe::create(data.vocabulary, merges));
  const std::string pattern(kKimiPattern);
  FATHOM_TRY(data.pre_tokenizer, PreTokenizer::from_patterns(std::span(&pattern, 1)));
  data.whole_pieces_first = true;
  data.run_chars_max = kTiktokenRunCharsMax;
  return {};
}

}  // namespace

Result<std::vector<Bpe::Merge>> tiktoken_merges(const Vocabulary& vocabulary) {
  std::vector<Bpe::Merge> merges;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.kind(id) != TokenKind::kPiece) continue;
    const std::string_view bytes = vocabulary.bytes(id);
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      const int32_t left = vocabulary.find_piece(bytes.substr(0, cut));
      if (left < 0) continue;
      const int32_t right = vocabulary.find_piece(bytes.substr(cut));
      if (right >= 0) merges.push_back({left, right, id});
    }
    if (static_cast<int64_t>(merges.size()) > Bpe::kMergesMax) {
      return exhausted_error("its pieces can be made in more than ", Bpe::kMergesMax, " ways");
    }
  }
  return merges;
}

Result<Tokenizer> Tokenizer::from_tiktoken(std::string_view tiktoken_model,
                                           std::string_view tokenizer_config_json) {
  if (tiktoken_model.size() > kFileBytesMax || tokenizer_config_json.size() > kFileBytesMax) {
    return exhausted_error("tiktoken.model: larger than ", kFileBytesMax, " bytes");
  }
  FATHOM_TRY(const Json config, parse_tokenizer_config(tokenizer_config_json));
  const Json* name = config.find("tokenizer_class");
  if (name != nullptr && name->is_string() && name->as_string() != "TikTokenTokenizer") {
    return unsupported_error(
        "tokenizer_config.json: the tokenizer_class ", quoted(name->as_string()),
        " is not known for tiktoken.model (known: TikTokenTokenizer); give a tokenizer.json");
  }
  auto data = std::make_shared<TokenizerData>();
  if (Status status = read_tiktoken(tiktoken_model, config, *data); !status.ok()) {
    Error error = std::move(status).error();
    if (error.message.find("tokenizer_config.json") != 0)
      error.message = "tiktoken.model: " + error.message;
    return error;
  }
  FATHOM_RETURN_IF_ERROR(apply_tokenizer_config(config, *data));
  return Tokenizer(std::move(data));
}

}  // namespace fathom
