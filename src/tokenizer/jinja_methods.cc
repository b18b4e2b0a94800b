// Methods of texts, lists and dicts that Python has and the sandbox allows.
#include <algorithm>
#include <span>

#include "tokenizer/jinja_interpreter.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_text_ops.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

using Names = std::span<const std::string_view>;

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}
bool is_one_of(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::string_view kTextMethods[] = {
    "capitalize",   "count",   "endswith",   "find",       "index",      "isalnum",
    "isalpha",      "isascii", "isdecimal",  "isdigit",    "islower",    "isspace",
    "isupper",      "join",    "lower",      "lstrip",     "partition",  "removeprefix",
    "removesuffix", "replace", "rfind",      "rindex",     "rpartition", "rsplit",
    "rstrip",       "split",   "splitlines", "startswith", "strip",      "swapcase",
    "title",        "upper",   "zfill"};
// Python has them too; calling one says that it is not supported here.
constexpr std::string_view kOtherTextMethods[] = {
    "casefold",  "center",      "encode",  "expandtabs", "format",    "format_map", "isidentifier",
    "isnumeric", "isprintable", "istitle", "ljust",      "maketrans", "rjust",      "translate"};

// A text argument; none if absent or None.
Result<const Value*> text_argument(const CallArguments& arguments, size_t i, std::string_view name,
                                   bool required) {
  const Value* value = arguments.get(i, name);
  if (value != nullptr && value->is_string()) return value;
  if (value != nullptr && value->is_undefined()) return undefined_error(*value);
  if ((value == nullptr || value->is_none()) && !required)
    return static_cast<const Value*>(nullptr);
  return invalid_error("a text is expected as argument ", i + 1);
}

Result<int64_t> integer_argument(const CallArguments& arguments, size_t i, std::string_view name,
                                 int64_t otherwise) {
  const Value* value = arguments.get(i, name);
  if (value == nullptr) return otherwise;
  if (!value->is_integral()) return invalid_error("an integer is expected as argument ", i + 1);
  return static_cast<int64_t>(std::clamp(value->as_int(), -(Int{1} << 60), Int{1} << 60));
}

// Byte range of the characters [begin, end) that arguments 1 and 2 of find() and the like name.
Result<std::pair<size_t, size_t>> char_range(const Value& self, const CallArguments& arguments) {
  const int64_t n = self.string().n_chars();
  FATHOM_TRY(int64_t begin, integer_argument(arguments, 1, "start", 0));
  FATHOM_TRY(int64_t end, integer_argument(arguments, 2, "end", n));
  if (begin < 0) begin = std::max<int64_t>(0, begin + n);
  if (end < 0) end = std::max<int64_t>(0, end + n);
  if (begin > n || begin > end) return std::pair<size_t, size_t>{1, 0};  // where nothing is found
  const std::string_view text = self.view();
  return std::pair{char_offset(text, begin), char_offset(text, std::min(end, n))};
}

Result<Value> find_text(Heap& heap, const Value& self, std::string_view name,
                        const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check(name, {"sub", "start", "end"}));
  FATHOM_TRY(const Value* sub, text_argument(arguments, 0, "sub", true));
  FATHOM_TRY(const auto range, char_range(self, arguments));
  heap.budget().step_bytes(static_cast<int64_t>(self.view().size()));
  const bool valid = range.first <= range.second;
  const std::string_view text =
      valid ? self.view().substr(range.first, range.second - range.first) : std::string_view();
  if (name == "count") {
    Int n = 0;
    if (valid && sub->view().empty()) return Value::integer(count_chars(text) + 1);
    for (size_t at = text.find(sub->view());
         valid && at != std::string_view::npos && heap.budget().step(); ++n) {
      at = text.find(sub->view(), at + sub->view().size());
    }
    return Value::integer(n);
  }
  const bool from_right = name[0] == 'r';
  const size_t at = !valid       ? std::string_view::npos
                    : from_right ? text.rfind(sub->view())
                                 : text.find(sub->view());
  if (at != std::string_view::npos)
    return Value::integer(count_chars(self.view().substr(0, range.first + at)));
  if (name.ends_with("index")) return invalid_error("the text looked for by index() is not there");
  return Value::integer(-1);
}

Result<Value> affix(Heap& heap, const Value& self, std::string_view name,
                    const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check(name, {"prefix", "start", "end"}));
  const Value* given = arguments.get(0, "prefix");
  if (given == nullptr) return invalid_error(name, "() needs a text");
  Values options = {*given};
  if (given->is(Kind::kSequence)) {
    FATHOM_TRY(options, iterate(heap, *given));
  }
  FATHOM_TRY(const auto range, char_range(self, arguments));
  for (const Value& option : options) {
    if (option.is_undefined()) return undefined_error(option);
    if (!option.is_string()) return invalid_error(name, "() needs a text or a tuple of texts");
    if (range.first > range.second) continue;
    const std::string_view text = self.view().substr(range.first, range.second - range.first);
    if (name[0] == 's' ? text.starts_with(option.view()) : text.ends_with(option.view()))
      return Value::boolean(true);
  }
  return Value::boolean(false);
}

Result<Value> partition(Heap& heap, const Value& self, bool from_right,
                        const CallArguments& arguments) {
  FATHOM_TRY(const Value* separator, text_argument(arguments, 0, "sep", true));
  if (separator->view().empty()) return invalid_error("an empty separator");
  const size_t at =
      from_right ? self.view().rfind(separator->view()) : self.view().find(separator->view());
  Values parts = {self, heap.string("", true), heap.string("", true)};
  if (at != std::string_view::npos) {
    parts = {heap.string(self.text().slice(0, at)),
             heap.string(self.text().slice(at, at + separator->view().size())),
             heap.string(self.text().slice(at + separator->view().size(), self.text().size()))};
  } else if (from_right) {
    std::swap(parts[0], parts[2]);
  }
  return heap.tuple(std::move(parts));
}

Result<Value> all_characters(const Value& self, std::string_view name) {
  const std::string_view text = self.view();
  bool has_upper = false, has_lower = false, all = true;
  for (size_t i = 0; i < text.size() && all;) {
    const Decoded c = decode_utf8(text, i);
    i += c.n_bytes;
    if (name == "isspace") all = is_space(c.code);
    if (name == "isalpha") all = is_alpha(c.code);
    if (name == "isdigit" || name == "isdecimal") all = is_decimal(c.code);
    if (name == "isalnum") all = is_alpha(c.code) || is_decimal(c.code);
    if (name == "isascii") all = c.code < 0x80;
    has_upper |= is_upper(c.code);
    has_lower |= is_lower(c.code);
  }
  if (name == "isupper") return Value::boolean(has_upper && !has_lower);
  if (name == "islower") return Value::boolean(has_lower && !has_upper);
  return Value::boolean(all && (name == "isascii" || !text.empty()));
}

Result<Value> split_text(Heap& heap, const Value& self, std::string_view name,
                         const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check(name, {"sep", "maxsplit"}));
  FATHOM_TRY(const Value* separator, text_argument(arguments, 0, "sep", false));
  FATHOM_TRY(const int64_t max_splits, integer_argument(arguments, 1, "maxsplit", -1));
  if (separator != nullptr && separator->view().empty()) return invalid_error("an empty separator");
  const std::string_view view = separator == nullptr ? std::string_view() : separator->view();
  return heap.list(split(heap, self.text(), separator == nullptr ? nullptr : &view, max_splits,
                         name == "rsplit"));
}

Result<Value> strip_text(Heap& heap, const Value& self, std::string_view name,
                         const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check(name, {"chars"}));
  FATHOM_TRY(const Value* chars, text_argument(arguments, 0, "chars", false));
  const std::string_view view = chars == nullptr ? std::string_view() : chars->view();
  return strip(heap, self.text(), chars == nullptr ? nullptr : &view, name != "rstrip",
               name != "lstrip");
}

Result<Value> without_affix(Heap& heap, const Value& self, bool prefix,
                            const CallArguments& arguments) {
  FATHOM_TRY(const Value* affix_text, text_argument(arguments, 0, "prefix", true));
  const std::string_view text = self.view(), cut = affix_text->view();
  if (prefix && text.starts_with(cut))
    return heap.string(self.text().slice(cut.size(), text.size()));
  if (!prefix && text.ends_with(cut))
    return heap.string(self.text().slice(0, text.size() - cut.size()));
  return self;
}

Result<Value> zero_fill(Heap& heap, const Value& self, const CallArguments& arguments) {
  FATHOM_TRY(const int64_t width, integer_argument(arguments, 0, "width", 0));
  const int64_t n_zeros = std::max<int64_t>(0, width - self.string().n_chars());
  if (!heap.budget().allow_string(n_zeros)) return Value::none();
  const size_t sign =
      !self.view().empty() && (self.view()[0] == '-' || self.view()[0] == '+') ? 1 : 0;
  TextBuilder out(heap);
  out.append(self.text(), 0, sign);
  out.append(std::string(static_cast<size_t>(n_zeros), '0'), true);
  out.append(self.text(), sign, self.text().size());
  return out.value();
}

Result<Value> text_method(Interpreter& interpreter, const Value& self, std::string_view name,
                          const CallArguments& arguments) {
  Heap& heap = interpreter.heap();
  if (name == "upper") return convert_case(heap, self.text(), CaseOp::kUpper);
  if (name == "lower") return convert_case(heap, self.text(), CaseOp::kLower);
  if (name == "title") return convert_case(heap, self.text(), CaseOp::kTitleMethod);
  if (name == "capitalize") return convert_case(heap, self.text(), CaseOp::kCapitalize);
  if (name == "swapcase") return convert_case(heap, self.text(), CaseOp::kSwap);
  if (is_one_of(name, {"find", "rfind", "index", "rindex", "count"}))
    return find_text(heap, self, name, arguments);
  if (is_one_of(name, {"startswith", "endswith"})) return affix(heap, self, name, arguments);
  if (is_one_of(name, {"strip", "lstrip", "rstrip"}))
    return strip_text(heap, self, name, arguments);
  if (is_one_of(name, {"split", "rsplit"})) return split_text(heap, self, name, arguments);
  if (is_one_of(name, {"partition", "rpartition"}))
    return partition(heap, self, name[0] == 'r', arguments);
  if (is_one_of(name, {"removeprefix", "removesuffix"}))
    return without_affix(heap, self, name == "removeprefix", arguments);
  if (name == "splitlines") {
    const Value* keep = arguments.get(0, "keepends");
    return heap.list(split_lines(heap, self.text(), keep != nullptr && truthy(*keep)));
  }
  if (name == "zfill") return zero_fill(heap, self, arguments);
  if (name == "replace") {
    FATHOM_RETURN_IF_ERROR(arguments.check(name, {"old", "new", "count"}));
    FATHOM_TRY(const Value* old, text_argument(arguments, 0, "old", true));
    FATHOM_TRY(const Value* with, text_argument(arguments, 1, "new", true));
    FATHOM_TRY(const int64_t count, integer_argument(arguments, 2, "count", -1));
    return replace(heap, self.text(), old->view(), with->text(), count);
  }
  if (name == "join") {
    if (arguments.positional.size() != 1) return invalid_error("join() takes one list");
    FATHOM_TRY(const Values items, iterate(heap, arguments.positional[0]));
    return join(heap, self, items, true);
  }
  if (name.starts_with("is") && is_one_of(name, kTextMethods)) return all_characters(self, name);
  return unsupported_error("the method '", name, "' of texts is not supported");
}

Result<Value> dict_method(Interpreter& interpreter, const Value& self, std::string_view name,
                          const CallArguments& arguments) {
  Heap& heap = interpreter.heap();
  const auto& members = self.dict().members();
  if (name == "get") {
    FATHOM_RETURN_IF_ERROR(arguments.check(name, {"key", "default"}));
    const Value* key = arguments.get(0, "key");
    if (key == nullptr || !hashable(*key)) return invalid_error("get() needs a key");
    if (const Value* value = self.dict().find(*key); value != nullptr) return *value;
    const Value* otherwise = arguments.get(1, "default");
    return otherwise == nullptr ? Value::none() : *otherwise;
  }
  FATHOM_RETURN_IF_ERROR(arguments.check(name, {}));
  if (name == "copy") return self;
  Values items;
  for (const auto& [key, value] : members) {
    if (!heap.budget().step()) break;
    items.push_back(name == "keys" ? key : name == "values" ? value : heap.tuple({key, value}));
  }
  return heap.sequence(name == "keys"     ? SequenceKind::kKeys
                       : name == "values" ? SequenceKind::kValues
                                          : SequenceKind::kItems,
                       std::move(items), {}, self.trusted);
}

Result<Value> list_method(const Value& self, std::string_view name,
                          const CallArguments& arguments) {
  if (name == "copy") return self;
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    return invalid_error(name, "() takes one value");
  Int n = 0;
  const Values& items = self.sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!equal(items[i], arguments.positional[0])) continue;
    if (name == "index") return Value::integer(static_cast<Int>(i));
    ++n;
  }
  if (name == "index") return invalid_error("index() of a value that is not in the list");
  return Value::integer(n);
}

Result<Value> loop_method(const LoopData& loop, std::string_view name,
                          const CallArguments& arguments) {
  const Values& given = arguments.positional;
  if (name == "cycle") {
    if (given.empty()) return invalid_error("cycle() needs values");
    return given[static_cast<size_t>(loop.index) % given.size()];
  }
  return unsupported_error("loop.changed() is not supported");
}

}  // namespace

MethodStatus find_method(const Value& object, std::string_view name) {
  if (object.is_string()) {
    return is_one_of(name, kTextMethods) || is_one_of(name, kOtherTextMethods)
               ? MethodStatus::kSafe
               : MethodStatus::kNone;
  }
  if (object.is(Kind::kDict)) {
    if (is_one_of(name, {"get", "items", "keys", "values", "copy"})) return MethodStatus::kSafe;
    return is_one_of(name, {"clear", "pop", "popitem", "setdefault", "update", "fromkeys"})
               ? MethodStatus::kUnsafe
               : MethodStatus::kNone;
  }
  if (object.is(Kind::kSequence)) {
    const SequenceKind kind = object.sequence().sequence_kind;
    if (kind == SequenceKind::kGenerator) return MethodStatus::kNone;
    if (kind <= SequenceKind::kRange && is_one_of(name, {"index", "count"}))
      return MethodStatus::kSafe;
    if (kind != SequenceKind::kList) return MethodStatus::kNone;
    if (name == "copy") return MethodStatus::kSafe;
    return is_one_of(name,
                     {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"})
               ? MethodStatus::kUnsafe
               : MethodStatus::kNone;
  }
  return MethodStatus::kNone;
}

Result<Value> call_method(Interpreter& interpreter, const Value& self, std::string_view name,
                          const CallArguments& arguments) {
  if (self.is_string()) return text_method(interpreter, self, name, arguments);
  if (self.is(Kind::kDict)) return dict_method(interpreter, self, name, arguments);
  if (self.is(Kind::kLoop)) {
    return loop_method(static_cast<const LoopData&>(*self.object), name, arguments);
  }
  return list_method(self, name, arguments);
}

}  // namespace fathom::jinja
