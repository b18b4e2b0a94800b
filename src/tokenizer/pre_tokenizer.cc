#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/unicode_class.h"
#include "tokenizer/v3_scanner.h"
#include "tokenizer/vocabulary.h"

namespace fathom {
namespace {

constexpr size_t kStepsMax = 64;
constexpr int kDepthMax = 8;
// ByteLevel's own pattern, when "use_regex" asks for it.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool is_true(const Json* json, bool otherwise) {
  return json != nullptr && json->is_bool() ? json->as_bool() : otherwise;
}

std::string_view text_of(const Json* json) {
  return json != nullptr && json->is_string() ? std::string_view(json->as_string())
                                              : std::string_view();
}

// A pattern that matches exactly this text.
std::string escaped(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       (c & 0x80) != 0 || c == ' ' || (c > 0 && c < ' ');
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

using Pieces = std::vector<std::string_view>;

void push(std::string_view text, size_t begin, size_t end, Pieces& pieces) {
  if (begin < end) pieces.push_back(text.substr(begin, end - begin));
}

void split_by_regex(const Regex& regex, Regex::Matcher& matcher, std::string_view text,
                    Pieces& pieces) {
  size_t gap = 0;
  Regex::Span span{};
  while (gap < text.size() && regex.search(text, gap, matcher, &span)) {
    push(text, gap, span.begin, pieces);
    push(text, span.begin, span.end, pieces);
    gap = span.end;
  }
  push(text, gap, text.size(), pieces);
}

void split_digits(bool individual, std::string_view text, Pieces& pieces) {
  const UnicodeTable& table = UnicodeTable::instance();
  size_t begin = 0;
  bool in_number = false;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = utf8_at(text, i);
    const bool is_number = c.valid && table[c.code_point] == CharClass::kNumber;
    if (is_number != in_number || (is_number && individual)) {
      push(text, begin, i, pieces);
      begin = i;
      in_number = is_number;
    }
    i += c.length;
  }
  push(text, begin, text.size(), pieces);
}

// \s+$: blanks up to the end of a line. A match takes as many line ends as follow; it ends before a
// newline or at the end of the text.
void split_trailing_space(std::string_view text, Pieces& pieces) {
  const UnicodeTable& table = UnicodeTable::instance();
  size_t gap = 0;
  for (size_t i = 0; i < text.size();) {
    // A run of blanks [i, k), and the last place in it where a line ends.
    size_t k = i;
    size_t line_end = i;
    while (k < text.size()) {
      const Utf8Char c = utf8_at(text, k);
      if (!c.valid || table[c.code_point] != CharClass::kSpace) break;
      if (text[k] == '\n') line_end = k;
      k += c.length;
    }
    if (k == text.size()) line_end = k;
    if (line_end > i) {
      push(text, gap, i, pieces);
      push(text, i, line_end, pieces);
      gap = line_end;
    }
    i = k > i ? k : i + utf8_at(text, i).length;
  }
  push(text, gap, text.size(), pieces);
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Json& json) {
  std::vector<Wish> wishes;
  bool has_byte_level = false;
  FATHOM_RETURN_IF_ERROR(read_json(json, 0, wishes, has_byte_level));
  if (!has_byte_level) {
    return unsupported_error(
        "pre_tokenizer has no ByteLevel step: only byte-level BPE is supported");
  }
  return create(wishes);
}

Result<PreTokenizer> PreTokenizer::from_patterns(std::span<const std::string> patterns) {
  return create(std::vector<Wish>(patterns.begin(), patterns.end()));
}

Status PreTokenizer::read_json(const Json& json, int depth, std::vector<Wish>& wishes,
                               bool& has_byte_level) {
  const std::string_view type = text_of(json.find("type"));
  if (has_byte_level) {
    return unsupported_error("pre_tokenizer ", quoted(type),
                             " stands after ByteLevel, which must be the last step");
  }
  if (type == "Sequence") {
    const Json* list = json.find("pretokenizers");
    if (list == nullptr || !list->is_array() || depth >= kDepthMax) {
      return invalid_error("pre_tokenizer Sequence needs \"pretokenizers\", a list nested at most ",
                           kDepthMax, " deep");
    }
    for (const Json& step : list->as_array()) {
      FATHOM_RETURN_IF_ERROR(read_json(step, depth + 1, wishes, has_byte_level));
    }
    return {};
  }
  if (wishes.size() >= kStepsMax)
    return exhausted_error("pre_tokenizer has more than ", kStepsMax, " steps");
  if (type == "Split") return read_split(json, wishes);
  if (type == "ByteLevel") {
    has_byte_level = true;
    return read_byte_level(json, wishes);
  }
  if (type == "Digits") {
    wishes.emplace_back(Digits{is_true(json.find("individual_digits"), false)});
    return {};
  }
  return unsupported_error("pre_tokenizer type ", quoted(type),
                           " is not supported (supported: Sequence, Split, Digits, ByteLevel)");
}

Status PreTokenizer::read_split(const Json& json, std::vector<Wish>& wishes) {
  const std::string_view behavior = text_of(json.find("behavior"));
  if (behavior != "Isolated") {
    return unsupported_error("pre_tokenizer Split with behavior ", quoted(behavior),
                             " is not supported (supported: Isolated)");
  }
  const Json* pattern = json.find("pattern");
  const Json* regex = pattern == nullptr ? nullptr : pattern->find("Regex");
  const Json* string = pattern == nullptr ? nullptr : pattern->find("String");
  // "invert" exchanges matches and gaps, which to Isolated are the same.
  if (regex != nullptr && regex->is_string() && !regex->as_string().empty()) {
    wishes.emplace_back(regex->as_string());
  } else if (string != nullptr && string->is_string() && !string->as_string().empty()) {
    wishes.emplace_back(escaped(string->as_string()));
  } else {
    return invalid_error(
        "pre_tokenizer Split needs a \"pattern\" with a \"Regex\" or a \"String\" that is not "
        "empty");
  }
  return {};
}

Status PreTokenizer::read_byte_level(const Json& json, std::vector<Wish>& wishes) {
  if (is_true(json.find("add_prefix_space"), true)) {
    return unsupported_error("pre_tokenizer ByteLevel with add_prefix_space true is not supported");
  }
  if (is_true(json.find("use_regex"), true)) wishes.emplace_back(std::string(kByteLevelPattern));
  return {};
}

Result<PreTokenizer> PreTokenizer::create(const std::vector<Wish>& wishes) {
  PreTokenizer result;
  result.is_v3_ = std::equal(wishes.begin(), wishes.end(), kV3Patterns.begin(), kV3Patterns.end(),
                             [](const Wish& wish, std::string_view pattern) {
                               const std::string* text = std::get_if<std::string>(&wish);
                               return text != nullptr && *text == pattern;
                             });
  for (const Known& set : known()) {
    if (set.wishes == wishes) result.gguf_name_ = set.gguf_name;
  }
  if (result.is_v3_) return result;
  for (const Wish& wish : wishes) {
    FATHOM_TRY(Step step, compile(wish));
    result.steps_.push_back(std::move(step));
  }
  return result;
}

Result<PreTokenizer::Step> PreTokenizer::compile(const Wish& wish) {
  if (const Digits* digits = std::get_if<Digits>(&wish)) {
    return Step{.kind = Step::Kind::kDigits, .individual = digits->individual, .regex = {}};
  }
  const std::string& pattern = std::get<std::string>(wish);
  if (pattern == R"(\s+$)")
    return Step{.kind = Step::Kind::kTrailingSpace, .individual = false, .regex = {}};
  Result<Regex> regex = Regex::compile(pattern);
  if (regex.ok()) return Step{.kind = Step::Kind::kRegex, .individual = false, .regex = *regex};
  Error error = std::move(regex).error();
  error.message =
      str_cat("the pre_tokenizer pattern ", quoted(pattern), " cannot be used: ", error.message);
  return error;
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  if (is_v3_) {
    split_v3(text, pieces);
    return;
  }
  Regex::Matcher matcher;
  // The regex library takes valid text only: each stretch of other bytes is a piece.
  for (size_t i = 0; i < text.size();) {
    const size_t good = utf8_first_error(text.substr(i));
    if (good > 0) split_by_steps(text.substr(i, good), matcher, pieces);
    i += good;
    const size_t bad = i;
    while (i < text.size() && !utf8_at(text, i).valid) ++i;
    push(text, bad, i, pieces);
  }
}

void PreTokenizer::split_by_steps(std::string_view text, Regex::Matcher& matcher,
                                  std::vector<std::string_view>& pieces) const {
  Pieces now{text};
  Pieces next;
  for (const Step& step : steps_) {
    next.clear();
    for (const std::string_view piece : now) {
      switch (step.kind) {
        case Step::Kind::kRegex:
          split_by_regex(step.regex, matcher, piece, next);
          break;
        case Step::Kind::kDigits:
          split_digits(step.individual, piece, next);
          break;
        case Step::Kind::kTrailingSpace:
          split_trailing_space(piece, next);
          break;
      }
    }
    now.swap(next);
  }
  pieces.insert(pieces.end(), now.begin(), now.end());
}

}  // namespace fathom
