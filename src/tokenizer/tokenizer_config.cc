#include <algorithm>
#include <charconv>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_data.h"

namespace fathom {
namespace {

constexpr std::string_view kFile = "tokenizer_config.json: ";

// A field that is absent or null is false.
Result<bool> bool_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  if (value == nullptr || value->is_null()) return false;
  if (!value->is_bool())
    return invalid_error("\"", key, "\" must be a boolean, but is ", value->type_name());
  return value->as_bool();
}

// "bos_token": a text, an object with "content", null or absent.
Result<std::string> special_token_text(const Json& config, std::string_view key) {
  const Json* value = config.find(key);
  if (value != nullptr && value->is_object()) value = value->find("content");
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string())
    return invalid_error(kFile, "\"", key, "\" must be a text, but is ", value->type_name());
  return value->as_string();
}

Result<std::optional<int32_t>> special_token_id(std::string_view key, std::string_view text,
                                                const TokenizerData& data) {
  if (text.empty()) return std::optional<int32_t>();
  int32_t id = data.added.find_id(text);
  if (id < 0) id = data.vocabulary.find_piece(text);
  if (id < 0)
    return invalid_error(kFile, "\"", key, "\" is ", quoted(text),
                         ", which the vocabulary does not have");
  return std::optional<int32_t>(id);
}

Result<std::string> chat_template_of(const Json& config) {
  const Json* value = config.find("chat_template");
  if (value == nullptr || value->is_null()) return std::string();
  if (value->is_string()) return value->as_string();
  if (!value->is_array()) {
    return invalid_error(kFile, "\"chat_template\" must be a text or a list, but is ",
                         value->type_name());
  }
  for (const Json& item : value->as_array()) {
    const Json* name = item.find("name");
    const Json* text = item.find("template");
    if (name == nullptr || !name->is_string() || text == nullptr || !text->is_string()) {
      return invalid_error(
          kFile, "each item of the list \"chat_template\" needs \"name\" and \"template\"");
    }
    if (name->as_string() == "default") return text->as_string();
  }
  return std::string();
}

}  // namespace

Status TokenList::reserve(int64_t id, std::string_view content) {
  if (id < 0 || id >= Vocabulary::kTokensMax) {
    return invalid_error("the token ", quoted(content), " has the id ", id, ", outside 0..",
                         Vocabulary::kTokensMax - 1);
  }
  if (static_cast<size_t>(id) >= entries.size()) entries.resize(static_cast<size_t>(id) + 1);
  return {};
}

bool TokenList::has_added(int32_t id, std::string_view content) const {
  const Vocabulary::Entry& entry = entries[static_cast<size_t>(id)];
  return (entry.kind == TokenKind::kAdded || entry.kind == TokenKind::kSpecial) &&
         entry.bytes == content;
}

Status TokenList::add_added_token(const AddedToken& token) {
  FATHOM_RETURN_IF_ERROR(reserve(token.id, token.content));
  Vocabulary::Entry& entry = entries[static_cast<size_t>(token.id)];
  if (entry.kind == TokenKind::kPiece && entry.bytes.size() == 1) {
    return invalid_error(
        "the added token ", quoted(token.content), " has the id ", token.id,
        ", which is the piece of a single byte: that byte could not be written otherwise");
  }
  if (entry.kind != TokenKind::kNone && entry.bytes != token.content) {
    return invalid_error("the id ", token.id, " is given twice: to ", quoted(entry.bytes),
                         " and to the added token ", quoted(token.content));
  }
  if (entry.kind == TokenKind::kAdded || entry.kind == TokenKind::kSpecial) {
    return invalid_error("the added token ", quoted(token.content), " with the id ", token.id,
                         " stands there twice");
  }
  entry.bytes = token.content;
  entry.kind = token.special ? TokenKind::kSpecial : TokenKind::kAdded;
  added.push_back(token);
  return {};
}

Result<AddedToken> read_added_token(const Json& json, int64_t id) {
  const Json* content = json.find("content");
  if (content == nullptr || !content->is_string() || content->as_string().empty()) {
    return invalid_error("the added token with id ", id,
                         " needs a \"content\" that is a text and not empty");
  }
  for (const std::string_view flag : {"lstrip", "rstrip", "single_word"}) {
    FATHOM_TRY(const bool set, bool_of(json, flag));
    if (set) {
      return unsupported_error("the added token ", quoted(content->as_string()), " has ", flag,
                               " true, which is not supported");
    }
  }
  if (id < 0 || id >= Vocabulary::kTokensMax) {
    return invalid_error("the added token ", quoted(content->as_string()), " has the id ", id,
                         ", outside 0..", Vocabulary::kTokensMax - 1);
  }
  if (content->as_string().size() > Vocabulary::kTokenBytesMax) {
    return exhausted_error("the added token with id ", id, " has more than ",
                           Vocabulary::kTokenBytesMax, " bytes");
  }
  FATHOM_TRY(const bool special, bool_of(json, "special"));
  FATHOM_TRY(const bool normalized, bool_of(json, "normalized"));
  return AddedToken{.id = static_cast<int32_t>(id),
                    .content = content->as_string(),
                    .special = special,
                    .normalized = normalized};
}

Status read_added_tokens_decoder(const Json& config, TokenList& list) {
  const Json* decoder = config.find("added_tokens_decoder");
  if (decoder == nullptr || decoder->is_null()) return {};
  if (!decoder->is_object()) {
    return invalid_error(kFile, "\"added_tokens_decoder\" must be an object, but is ",
                         decoder->type_name());
  }
  for (const auto& [key, value] : decoder->as_object()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size()) {
      return invalid_error(kFile, "\"added_tokens_decoder\" has the key ", quoted(key),
                           ", which is no token id");
    }
    FATHOM_TRY(const AddedToken token, read_added_token(value, id));
    FATHOM_RETURN_IF_ERROR(list.reserve(id, token.content));
    if (!list.has_added(token.id, token.content))
      FATHOM_RETURN_IF_ERROR(list.add_added_token(token));
  }
  return {};
}

Status check_unambiguous(const TokenizerData& data) {
  std::string bytes;
  for (int32_t id = 0; id < data.vocabulary.size(); ++id) {
    const TokenKind kind = data.vocabulary.kind(id);
    if (kind == TokenKind::kPiece) continue;
    const std::string_view text = data.vocabulary.bytes(id);
    int32_t other = data.added.find_id(text);
    if ((other < 0 || other == id) && kind != TokenKind::kLiteral && bytes_of_piece(text, &bytes)) {
      other = data.vocabulary.find_piece(bytes);
    }
    if (other >= 0 && other != id) {
      return invalid_error("the added token ", quoted(text), " has two ids: ", std::min(id, other),
                           " and ", std::max(id, other));
    }
  }
  return {};
}

Result<Json> parse_tokenizer_config(std::string_view text) {
  if (text.empty()) return Json::object();
  Result<Json> json = parse_json(text);
  if (!json.ok()) return invalid_error(kFile, json.error().message);
  if (!json->is_object())
    return invalid_error(kFile, "it must be an object, but is ", json->type_name());
  return json;
}

Status apply_tokenizer_config(const Json& config, TokenizerData& data) {
  FATHOM_TRY(data.bos_token, special_token_text(config, "bos_token"));
  FATHOM_TRY(data.eos_token, special_token_text(config, "eos_token"));
  FATHOM_TRY(data.bos_token_id, special_token_id("bos_token", data.bos_token, data));
  FATHOM_TRY(data.eos_token_id, special_token_id("eos_token", data.eos_token, data));
  FATHOM_TRY(data.chat_template, chat_template_of(config));
  // Where the config says nothing, what the post-processor does stands (prefix and suffix).
  for (const bool is_bos : {true, false}) {
    const std::string_view key = is_bos ? "add_bos_token" : "add_eos_token";
    std::vector<int32_t>& ids = is_bos ? data.prefix : data.suffix;
    const std::optional<int32_t>& id = is_bos ? data.bos_token_id : data.eos_token_id;
    bool& adds = is_bos ? data.add_bos_token : data.add_eos_token;
    const Json* field = config.find(key);
    if (field != nullptr && !field->is_null()) {
      Result<bool> value = bool_of(config, key);
      if (!value.ok()) return invalid_error(kFile, value.error().message);
      ids.clear();
      if (*value && !id.has_value())
        return invalid_error(kFile, "\"", key, "\" is true, but no such token is named");
      if (*value) ids.push_back(*id);
    }
    adds = !ids.empty();
  }
  return {};
}

}  // namespace fathom
