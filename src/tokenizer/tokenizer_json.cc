// Reads tokenizer.json as Hugging Face's tokenizers library writes it.
#include <algorithm>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_data.h"

namespace fathom {
namespace {

std::string_view type_of(const Json& json) {
  const Json* type = json.find("type");
  return type != nullptr && type->is_string() ? std::string_view(type->as_string())
                                              : std::string_view();
}

bool is_absent(const Json* json) { return json == nullptr || json->is_null(); }

// Nothing, or a sequence of nothing.
Status check_normalizer(const Json* json) {
  if (is_absent(json)) return {};
  const Json* list = json->find("normalizers");
  if (type_of(*json) == "Sequence" && list != nullptr && list->is_array()) {
    for (const Json& item : list->as_array()) {
      return unsupported_error("normalizer type ", quoted(type_of(item)),
                               " is not supported (supported: none)");
    }
    return {};
  }
  return unsupported_error("normalizer type ", quoted(type_of(*json)),
                           " is not supported (supported: none)");
}

Status check_decoder(const Json* json) {
  if (is_absent(json)) return unsupported_error("there is no decoder (supported: ByteLevel)");
  const Json* list = json->find("decoders");
  if (type_of(*json) == "Sequence" && list != nullptr && list->is_array() &&
      list->as_array().size() == 1) {
    return check_decoder(&list->as_array()[0]);
  }
  if (type_of(*json) == "ByteLevel") return {};
  return unsupported_error("decoder type ", quoted(type_of(*json)),
                           " is not supported (supported: ByteLevel)");
}

Status check_model(const Json& model) {
  if (type_of(model) != "BPE" && model.find("type") != nullptr) {
    return unsupported_error("model type ", quoted(type_of(model)),
                             " is not supported (supported: BPE)");
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* value = model.find(key);
    if (is_absent(value) || (value->is_string() && value->as_string().empty())) continue;
    return unsupported_error("model.", key, " is not supported");
  }
  const Json* dropout = model.find("dropout");
  if (!is_absent(dropout) && !(dropout->is_number() && dropout->as_double() == 0.0)) {
    return unsupported_error("model.dropout is not supported: ids would depend on chance");
  }
  const Json* fallback = model.find("byte_fallback");
  if (!is_absent(fallback) && !(fallback->is_bool() && !fallback->as_bool())) {
    return unsupported_error("model.byte_fallback is not supported (supported: byte-level BPE)");
  }
  return {};
}

Status read_vocab(const Json& model, TokenList& list) {
  const Json* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_object())
    return invalid_error("model.vocab must be an object of pieces and ids");
  if (static_cast<int64_t>(vocab->as_object().size()) > Vocabulary::kTokensMax) {
    return exhausted_error("model.vocab has more than ", Vocabulary::kTokensMax, " pieces");
  }
  for (const auto& [piece, id] : vocab->as_object()) {
    if (!id.is_int())
      return invalid_error("model.vocab: the id of ", quoted(piece), " must be an integer, but is ",
                           id.type_name());
    FATHOM_RETURN_IF_ERROR(list.reserve(id.as_int(), piece));
    Vocabulary::Entry& entry = list.entries[static_cast<size_t>(id.as_int())];
    if (entry.kind != TokenKind::kNone) {
      return invalid_error("model.vocab gives the id ", id.as_int(), " twice, the second time to ",
                           quoted(piece));
    }
    const bool spelled = bytes_of_piece(piece, &entry.bytes);
    entry.kind = spelled ? TokenKind::kPiece : TokenKind::kLiteral;
    if (!spelled) entry.bytes = piece;
  }
  return {};
}

Status read_added_tokens(const Json* json, TokenList& list) {
  if (is_absent(json)) return {};
  if (!json->is_array())
    return invalid_error("added_tokens must be a list, but is ", json->type_name());
  for (const Json& item : json->as_array()) {
    const Json* id = item.find("id");
    if (id == nullptr || !id->is_int())
      return invalid_error("each of added_tokens needs an \"id\" that is an integer");
    FATHOM_TRY(AddedToken token, read_added_token(item, id->as_int()));
    // In the vocabulary the same token is spelled in the byte alphabet, where it can be.
    FATHOM_RETURN_IF_ERROR(list.reserve(token.id, token.content));
    Vocabulary::Entry& entry = list.entries[static_cast<size_t>(token.id)];
    std::string bytes;
    if (entry.kind == TokenKind::kPiece && entry.bytes.size() > 1 &&
        bytes_of_piece(token.content, &bytes) && bytes == entry.bytes) {
      entry.bytes = token.content;
    }
    FATHOM_RETURN_IF_ERROR(list.add_added_token(token));
  }
  return {};
}

// "left right", or ["left", "right"] as newer files have it.
Result<std::pair<std::string_view, std::string_view>> merge_parts(const Json& merge, size_t rank) {
  if (merge.is_string()) {
    const std::string_view text = merge.as_string();
    const size_t blank = text.find(' ');
    if (blank != std::string_view::npos && text.find(' ', blank + 1) == std::string_view::npos) {
      return std::pair(text.substr(0, blank), text.substr(blank + 1));
    }
  } else if (merge.is_array() && merge.as_array().size() == 2 && merge.as_array()[0].is_string() &&
             merge.as_array()[1].is_string()) {
    return std::pair(std::string_view(merge.as_array()[0].as_string()),
                     std::string_view(merge.as_array()[1].as_string()));
  }
  return invalid_error("model.merges[", rank,
                       "] must be two pieces with one blank between them, or a list of two");
}

Result<std::vector<Bpe::Merge>> read_merges(const Json& model, const Vocabulary& vocabulary) {
  const Json* json = model.find("merges");
  if (json == nullptr || !json->is_array()) return invalid_error("model.merges must be a list");
  if (static_cast<int64_t>(json->as_array().size()) > Bpe::kMergesMax) {
    return exhausted_error("model.merges has ", json->as_array().size(), " entries, more than ",
                           Bpe::kMergesMax);
  }
  std::vector<Bpe::Merge> merges;
  merges.reserve(json->as_array().size());
  std::string bytes;
  std::string joined;
  for (size_t rank = 0; rank < json->as_array().size(); ++rank) {
    FATHOM_TRY(const auto parts, merge_parts(json->as_array()[rank], rank));
    joined.clear();
    int32_t ids[2] = {-1, -1};
    for (int side = 0; side < 2; ++side) {
      const std::string_view part = side == 0 ? parts.first : parts.second;
      if (bytes_of_piece(part, &bytes)) ids[side] = vocabulary.find_piece(bytes);
      if (ids[side] < 0) {
        return invalid_error("model.merges[", rank, "] names ", quoted(part),
                             ", which model.vocab does not have");
      }
      joined += bytes;
    }
    const int32_t merged = vocabulary.find_piece(joined);
    if (merged < 0) {
      return invalid_error("model.merges[", rank, "] makes ", quoted(piece_of_bytes(joined)),
                           ", which model.vocab does not have");
    }
    merges.push_back({ids[0], ids[1], merged});
  }
  return merges;
}

// TemplateProcessing's "single": tokens before and behind the text.
Status read_template(const Json& json, TokenizerData& data) {
  const Json* single = json.find("single");
  if (single == nullptr || !single->is_array())
    return invalid_error("post_processor TemplateProcessing needs \"single\"");
  bool behind = false;
  for (const Json& item : single->as_array()) {
    if (item.find("Sequence") != nullptr) {
      if (behind)
        return unsupported_error(
            "post_processor TemplateProcessing with the text twice is not supported");
      behind = true;
      continue;
    }
    const Json* special = item.find("SpecialToken");
    const Json* name = special == nullptr ? nullptr : special->find("id");
    if (name == nullptr || !name->is_string()) {
      return invalid_error(
          "post_processor TemplateProcessing: each of \"single\" must be a Sequence or a "
          "SpecialToken");
    }
    const int32_t id = data.added.find_id(name->as_string());
    if (id < 0) {
      return invalid_error("post_processor names ", quoted(name->as_string()),
                           ", which is no added token");
    }
    (behind ? data.suffix : data.prefix).push_back(id);
  }
  return {};
}

Status read_post_processor(const Json* json, TokenizerData& data, int depth) {
  // ByteLevel only moves offsets, which we do not give.
  if (is_absent(json) || type_of(*json) == "ByteLevel") return {};
  if (type_of(*json) == "TemplateProcessing") return read_template(*json, data);
  const Json* list = json->find("processors");
  if (type_of(*json) == "Sequence" && list != nullptr && list->is_array() && depth == 0) {
    for (const Json& item : list->as_array())
      FATHOM_RETURN_IF_ERROR(read_post_processor(&item, data, depth + 1));
    return {};
  }
  return unsupported_error(
      "post_processor type ", quoted(type_of(*json)),
      " is not supported (supported: ByteLevel, TemplateProcessing, a Sequence of them)");
}

Status read_tokenizer(const Json& json, const Json& config, TokenizerData& data) {
  const Json* model = json.find("model");
  if (model == nullptr || !model->is_object()) return invalid_error("it has no \"model\"");
  FATHOM_RETURN_IF_ERROR(check_model(*model));
  FATHOM_RETURN_IF_ERROR(check_normalizer(json.find("normalizer")));
  FATHOM_RETURN_IF_ERROR(check_decoder(json.find("decoder")));
  const Json* pre_tokenizer = json.find("pre_tokenizer");
  if (is_absent(pre_tokenizer))
    return unsupported_error("there is no pre_tokenizer (supported: Split and ByteLevel)");
  FATHOM_TRY(data.pre_tokenizer, PreTokenizer::from_json(*pre_tokenizer));

  TokenList list;
  FATHOM_RETURN_IF_ERROR(read_vocab(*model, list));
  FATHOM_RETURN_IF_ERROR(read_added_tokens(json.find("added_tokens"), list));
  FATHOM_RETURN_IF_ERROR(read_added_tokens_decoder(config, list));
  FATHOM_TRY(data.vocabulary, Vocabulary::create(list.entries));
  data.added = AddedTokens(std::move(list.added));
  FATHOM_RETURN_IF_ERROR(check_unambiguous(data));
  FATHOM_TRY(const std::vector<Bpe::Merge> merges, read_merges(*model, data.vocabulary));
  FATHOM_TRY(data.bpe, Bpe::create(data.vocabulary, merges));
  const Json* ignore_merges = model->find("ignore_merges");
  data.whole_pieces_first =
      ignore_merges != nullptr && ignore_merges->is_bool() && ignore_merges->as_bool();
  return read_post_processor(json.find("post_processor"), data, 0);
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json,
                                       std::string_view tokenizer_config_json) {
  if (tokenizer_json.size() > kFileBytesMax || tokenizer_config_json.size() > kFileBytesMax) {
    return exhausted_error("tokenizer.json: larger than ", kFileBytesMax, " bytes");
  }
  FATHOM_TRY(const Json config, parse_tokenizer_config(tokenizer_config_json));
  Result<Json> json = parse_json(tokenizer_json);
  if (!json.ok()) return invalid_error("tokenizer.json: ", json.error().message);
  if (!json->is_object())
    return invalid_error("tokenizer.json: it must be an object, but is ", json->type_name());
  auto data = std::make_shared<TokenizerData>();
  if (Status status = read_tokenizer(*json, config, *data); !status.ok()) {
    Error error = std::move(status).error();
    if (error.message.find("tokenizer_config.json") != 0)
      error.message = "tokenizer.json: " + error.message;
    return error;
  }
  FATHOM_RETURN_IF_ERROR(apply_tokenizer_config(config, *data));
  return Tokenizer(std::move(data));
}

}  // namespace fathom
