// fathom tokenize: text to ids and back, whole texts or JSON Lines.
#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>
#include <utility>

#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/files.h"
#include "io/model_files.h"
#include "io/printable.h"
#include "model/open_model.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom::cli {
namespace {

constexpr int64_t kTextBytesMax = int64_t{1} << 30;

struct TokenizeOptions {
  CommonOptions common;
  std::vector<std::string> files;
  bool jsonl = false;
  bool decode = false;
  bool add_special = false;
  bool no_special = false;
  bool skip_special = false;
};

// Ids without a token below this give no text, as everywhere: a model's vocabulary is often padded
// (V3's 128,815 tokens to 129,280). Without a config.json nothing says how far.
Result<int64_t> id_limit(const ModelFiles& files, const Tokenizer& tokenizer) {
  constexpr int64_t kIdMax = std::numeric_limits<int32_t>::max();
  if (!files.exists("config.json")) return kIdMax;
  FATHOM_TRY(const FileBytes bytes, files.open_small("config.json", kSmallFileBytesMax));
  const Result<Json> config = parse_json(bytes.text());
  const Json* size = config.ok() ? config->find("vocab_size") : nullptr;
  if (size == nullptr || !size->is_int() || size->as_int() > kIdMax) return kIdMax;
  return std::max(size->as_int(), tokenizer.vocab_size());
}

struct Source {
  Tokenizer tokenizer;
  int64_t id_limit;
};

Result<Source> open_source(const std::string& model) {
  FATHOM_TRY(const ModelFiles files, open_model_files(model));
  FATHOM_TRY(Tokenizer tokenizer, load_tokenizer(files));
  FATHOM_TRY(const int64_t limit, id_limit(files, tokenizer));
  return Source{std::move(tokenizer), limit};
}

Result<int32_t> checked_id(int64_t id, const Source& source) {
  if (id >= 0 && id < source.id_limit) return static_cast<int32_t>(id);
  return invalid_error("the id ", id, " is not in the vocabulary, whose ids are 0 to ",
                       source.id_limit - 1);
}

// Decimal numbers with blanks, newlines or commas between them.
Result<std::vector<int32_t>> parse_ids(std::string_view text, const Source& source) {
  constexpr std::string_view kBetween = " \t\r\n,";
  std::vector<int32_t> ids;
  for (size_t i = text.find_first_not_of(kBetween); i < text.size();
       i = text.find_first_not_of(kBetween, i)) {
    const std::string_view word = text.substr(i, text.find_first_of(kBetween, i) - i);
    int64_t id = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) {
      return invalid_error(
          "\"", printable(word, 40),
          "\" is no token id; with --decode the input is ids, as in: 19923 14 2058");
    }
    FATHOM_TRY(const int32_t known, checked_id(id, source));
    ids.push_back(known);
    i += word.size();
  }
  return ids;
}

Status run_plain(const TokenizeOptions& options, const Source& source) {
  std::string input;
  std::vector<std::string> files = options.files;
  if (files.empty()) files.emplace_back("-");
  for (const std::string& file : files) {
    FATHOM_TRY(const std::string content,
               read_all(file, kTextBytesMax - static_cast<int64_t>(input.size())));
    input += content;
  }
  if (options.decode) {
    FATHOM_TRY(const std::vector<int32_t> ids, parse_ids(input, source));
    return standard_output().write(source.tokenizer.decode(ids, options.skip_special));
  }
  if (const size_t error = utf8_first_error(input); error < input.size()) {
    return invalid_error("the text is not UTF-8 at byte ", error,
                         "; convert it first (iconv -t UTF-8)");
  }
  const std::vector<int32_t> ids = source.tokenizer.encode(
      input, {.add_special = options.add_special, .recognize_added = !options.no_special});
  std::string line;
  for (const int32_t id : ids) {
    if (!line.empty()) line += ' ';
    str_append(line, id);
  }
  return standard_output().write(line + "\n");
}

Status check_fields(const Json& json, std::span<const std::string_view> known) {
  if (!json.is_object())
    return invalid_error("the line must be an object, but is ", json.type_name());
  for (const auto& [name, value] : json.as_object()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string names;
    for (const std::string_view field : known)
      str_append(names, names.empty() ? "\"" : ", \"", field, "\"");
    return invalid_error("the field \"", printable(name, 40), "\" is not known (known: ", names,
                         ")");
  }
  return {};
}

Result<Json> encode_line(const Json& json, const TokenizeOptions& options, const Source& source) {
  constexpr std::string_view kFields[] = {"text"};
  FATHOM_RETURN_IF_ERROR(check_fields(json, kFields));
  const Json* text = json.find("text");
  if (text == nullptr || !text->is_string()) return invalid_error("\"text\" is needed, a string");
  Json ids = Json::array();
  for (const int32_t id : source.tokenizer.encode(
           text->as_string(),
           {.add_special = options.add_special, .recognize_added = !options.no_special})) {
    ids.push_back(Json(int64_t{id}));
  }
  Json out = Json::object();
  out.set("ids", std::move(ids));
  return out;
}

Result<Json> decode_line(const Json& json, const TokenizeOptions& options, const Source& source) {
  constexpr std::string_view kFields[] = {"ids", "skip_special_tokens"};
  FATHOM_RETURN_IF_ERROR(check_fields(json, kFields));
  const Json* list = json.find("ids");
  if (list == nullptr || !list->is_array())
    return invalid_error("\"ids\" is needed, a list of token ids");
  std::vector<int32_t> ids;
  for (const Json& item : list->as_array()) {
    if (!item.is_int())
      return invalid_error("\"ids\" must hold integers, but has ", item.type_name());
    FATHOM_TRY(const int32_t known, checked_id(item.as_int(), source));
    ids.push_back(known);
  }
  const Json* skip = json.find("skip_special_tokens");
  if (skip != nullptr && !skip->is_null() && !skip->is_bool()) {
    return invalid_error("\"skip_special_tokens\" must be a boolean, but is ", skip->type_name());
  }
  const bool skips = skip != nullptr && skip->is_bool() ? skip->as_bool() : options.skip_special;
  Json out = Json::object();
  out.set("text", Json(source.tokenizer.decode(ids, skips)));
  return out;
}

Status run_lines(const TokenizeOptions& options, const Source& source) {
  FATHOM_TRY(LineReader reader, LineReader::open(options.files));
  Progress progress(options.decode ? "decoding" : "tokenizing", reader.total_bytes().value_or(0),
                    "bytes");
  int64_t n_bad = 0;
  while (true) {
    FATHOM_TRY(const std::optional<InputLine> line, reader.next());
    if (!line) break;
    const Result<Json> json = line->json();
    Result<Json> out = json.ok()
                           ? (options.decode ? decode_line : encode_line)(*json, options, source)
                           : Result<Json>(json.error());
    if (!out.ok()) {
      ++n_bad;
      out = error_line(out.error().message, line->index);
    }
    FATHOM_RETURN_IF_ERROR(standard_output().write(out->dump() + "\n"));
    progress.update(reader.bytes_read());
  }
  progress.hide();
  if (n_bad > 0) {
    return invalid_error(n_bad, n_bad == 1 ? " line" : " lines",
                         " could not be read; the answers to them say why");
  }
  return {};
}

Status run_tokenize(const TokenizeOptions& options) {
  if (options.decode && (options.add_special || options.no_special)) {
    return usage_error("--add-special and --no-special are for text, not for --decode");
  }
  if (!options.decode && options.skip_special) return usage_error("--skip-special needs --decode");
  FATHOM_TRY(const Source source, open_source(options.common.model));
  return options.jsonl ? run_lines(options, source) : run_plain(options, source);
}

}  // namespace

void add_tokenize(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TokenizeOptions>();
  app.add_option("FILES", options->files,
                 "Texts (joined to one), or JSON Lines with --jsonl; - is standard input")
      ->default_str("standard input");
  app.add_flag("--jsonl", options->jsonl,
               "One text a line: {\"text\"} gives {\"ids\"}; with --decode the other way")
      ->group("Input and output");
  app.add_flag("--decode", options->decode,
               "Ids to text: numbers with blanks between, or {\"ids\", \"skip_special_tokens\"}")
      ->group("Input and output");
  app.add_flag("--add-special", options->add_special,
               "Add BOS and EOS as the tokenizer's config says")
      ->group("Special tokens");
  app.add_flag("--no-special", options->no_special, "What spells an added token is ordinary text")
      ->group("Special tokens");
  app.add_flag("--skip-special", options->skip_special,
               "With --decode: leave special tokens out of the text")
      ->group("Special tokens");
  add_common_options(app, options->common, kModelOption);
  set_example(app, "echo 'Hello, world!' | fathom tokenize --model DeepSeek-V3");
  invocation.run = [options] { return run_tokenize(*options); };
}

}  // namespace fathom::cli
