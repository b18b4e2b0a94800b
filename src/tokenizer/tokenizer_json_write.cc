// A tokenizer as tokenizer.json.
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_data.h"

namespace fathom {

Result<std::string> Tokenizer::to_json() const {
  const TokenizerData& data = *data_;
  Json pre_tokenizer = PreTokenizer::json_of_gguf_name(data.pre_tokenizer.gguf_name());
  if (pre_tokenizer.is_null())
    return unsupported_error("the tokenizer cuts text in a way that is not known by name");
  if (data.run_chars_max != 0) {
    return unsupported_error(
        "the tokenizer is tiktoken's, which tokenizer.json cannot say; take tiktoken.model from "
        "the published model");
  }
  Json vocab = Json::object(), merges = Json::array(), added = Json::array();
  for (int32_t id = 0; id < data.vocabulary.size(); ++id) {
    const std::string_view bytes = data.vocabulary.bytes(id);
    const TokenKind kind = data.vocabulary.kind(id);
    if (kind == TokenKind::kPiece || kind == TokenKind::kLiteral) {
      vocab.as_object().emplace_back(
          kind == TokenKind::kPiece ? piece_of_bytes(bytes) : std::string(bytes), id);
      continue;
    }
    added.push_back(Json::Object{{"id", id},
                                 {"content", bytes},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", kind == TokenKind::kSpecial}});
  }
  for (const Bpe::Merge& merge : data.bpe.merges()) {
    merges.push_back(str_cat(piece_of_bytes(data.vocabulary.bytes(merge.left)), " ",
                             piece_of_bytes(data.vocabulary.bytes(merge.right))));
  }
  const Json byte_level = Json::Object{{"type", "ByteLevel"},
                                       {"add_prefix_space", true},
                                       {"trim_offsets", true},
                                       {"use_regex", true}};
  const Json json = Json::Object{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", nullptr},
      {"pre_tokenizer", std::move(pre_tokenizer)},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model",
       Json::Object{{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}}}};
  return json.dump() + "\n";
}

}  // namespace fathom
