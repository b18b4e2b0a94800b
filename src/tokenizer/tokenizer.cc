#include "tokenizer/tokenizer.h"

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer_data.h"
#include "tokenizer/word_runs.h"

namespace fathom {
namespace {

// What one call of encode needs beside the tokenizer.
struct Encoder {
  const TokenizerData& data;
  std::vector<int32_t>& ids;
  std::vector<std::string_view> pieces;
  Bpe::Scratch scratch;

  void add_piece(std::string_view piece) {
    if (data.whole_pieces_first) {
      if (const int32_t id = data.vocabulary.find_piece(piece); id >= 0) {
        ids.push_back(id);
        return;
      }
    }
    data.bpe.encode(piece, scratch, ids);
  }

  // Text without added tokens.
  void add_run(std::string_view run) {
    pieces.clear();
    data.pre_tokenizer.split(run, pieces);
    for (const std::string_view piece : pieces) add_piece(piece);
  }

  // text, of which `recognized` are the stretches in which added tokens are looked for.
  void add_text(std::string_view text, std::span<const std::pair<size_t, size_t>> recognized) {
    std::vector<AddedTokenMatch> matches;
    for (const auto& [begin, end] : recognized) data.added.find(text, begin, end, matches);
    size_t from = 0;
    for (const AddedTokenMatch& match : matches) {
      add_run(text.substr(from, match.begin - from));
      ids.push_back(match.id);
      from = match.end;
    }
    add_run(text.substr(from));
  }

  // tiktoken's callers first cut the text where a run of blanks, or of others, is too long.
  void add_cut_text(std::string_view text, std::span<const std::pair<size_t, size_t>> recognized) {
    if (data.run_chars_max == 0) return add_text(text, recognized);
    std::vector<std::pair<size_t, size_t>> inside;
    for (WordRunCutter cutter(text, data.run_chars_max); !cutter.done();) {
      const auto [begin, end] = cutter.next();
      inside.clear();
      for (const auto& [from, to] : recognized) {
        const size_t low = std::max(from, begin);
        const size_t high = std::min(to, end);
        if (low < high) inside.emplace_back(low - begin, high - begin);
      }
      add_text(text.substr(begin, end - begin), inside);
    }
  }
};

std::vector<int32_t> encode_text(const TokenizerData& data, std::string_view text,
                                 std::span<const std::pair<size_t, size_t>> recognized,
                                 bool add_special) {
  std::vector<int32_t> ids;
  // English prose has 4 to 5 bytes a token.
  ids.reserve(text.size() / 4 + 8);
  if (add_special) ids = data.prefix;
  Encoder{data, ids, {}, {}}.add_cut_text(text, recognized);
  if (add_special) ids.insert(ids.end(), data.suffix.begin(), data.suffix.end());
  return ids;
}

}  // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const std::pair<size_t, size_t> whole{0, text.size()};
  return encode_text(*data_, text, std::span(&whole, options.recognize_added ? 1 : 0),
                     options.add_special);
}

std::vector<int32_t> Tokenizer::encode_parts(std::span<const TextPart> parts,
                                             bool add_special) const {
  std::string text;
  std::vector<std::pair<size_t, size_t>> recognized;
  bool open = false;  // the last stretch goes on
  for (const TextPart& part : parts) {
    if (part.text.empty()) continue;
    const size_t begin = text.size();
    text += part.text;
    if (part.recognize_added && open) {
      recognized.back().second = text.size();
    } else if (part.recognize_added) {
      recognized.emplace_back(begin, text.size());
    }
    open = part.recognize_added;
  }
  return encode_text(*data_, text, recognized, add_special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  std::string text;
  text.reserve(ids.size() * 5);
  for (const int32_t id : ids) decoder.push(id, text);
  decoder.finish(text);
  return text;
}

int64_t Tokenizer::vocab_size() const { return data_->vocabulary.size(); }
bool Tokenizer::is_valid_id(int32_t id) const { return data_->vocabulary.contains(id); }
bool Tokenizer::is_special(int32_t id) const {
  return is_valid_id(id) && data_->vocabulary.kind(id) == TokenKind::kSpecial;
}
bool Tokenizer::is_added(int32_t id) const {
  return is_valid_id(id) && (is_special(id) || data_->vocabulary.kind(id) == TokenKind::kAdded);
}
std::string_view Tokenizer::token_bytes(int32_t id) const {
  return is_valid_id(id) ? data_->vocabulary.bytes(id) : std::string_view();
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (token.empty()) return std::nullopt;
  int32_t id = data_->added.find_id(token);
  std::string bytes;
  if (id < 0 && bytes_of_piece(token, &bytes)) id = data_->vocabulary.find_piece(bytes);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::optional<int32_t> Tokenizer::bos_token_id() const { return data_->bos_token_id; }
std::optional<int32_t> Tokenizer::eos_token_id() const { return data_->eos_token_id; }
const std::string& Tokenizer::bos_token() const { return data_->bos_token; }
const std::string& Tokenizer::eos_token() const { return data_->eos_token; }
bool Tokenizer::add_bos_token() const { return data_->add_bos_token; }
bool Tokenizer::add_eos_token() const { return data_->add_eos_token; }
const std::string& Tokenizer::chat_template() const { return data_->chat_template; }

}  // namespace fathom
