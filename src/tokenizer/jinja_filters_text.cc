// Filters that make texts and numbers.
#include <algorithm>
#include <cmath>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_text_ops.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

template <CaseOp op>
Result<Value> case_filter(Interpreter& interpreter, const Value& input, const CallArguments&) {
  FATHOM_TRY(const Value text, to_text(interpreter.heap(), input));
  return convert_case(interpreter.heap(), text.text(), op);
}

Result<Value> trim(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("trim", {"chars"}));
  FATHOM_TRY(const Value text, to_text(interpreter.heap(), input));
  const Value* chars = arguments.get(0, "chars");
  if (chars != nullptr && !chars->is_string() && !chars->is_none())
    return invalid_error("trim needs a text");
  const std::string_view view =
      chars != nullptr && chars->is_string() ? chars->view() : std::string_view();
  const bool has_chars = chars != nullptr && chars->is_string();
  return strip(interpreter.heap(), text.text(), has_chars ? &view : nullptr, true, true);
}

Result<Value> string_filter(Interpreter& interpreter, const Value& input, const CallArguments&) {
  return to_text(interpreter.heap(), input);
}

Result<Value> escape(Interpreter& interpreter, const Value& input, const CallArguments&) {
  TextBuilder out(interpreter.heap());
  FATHOM_RETURN_IF_ERROR(append_escaped(out, input));
  return out.value(true);
}

Result<Value> force_escape(Interpreter& interpreter, const Value& input,
                           const CallArguments& arguments) {
  FATHOM_TRY(Value text, to_text(interpreter.heap(), input));
  text.markup = false;
  return escape(interpreter, text, arguments);
}

Result<Value> safe(Interpreter& interpreter, const Value& input, const CallArguments&) {
  FATHOM_TRY(Value text, to_text(interpreter.heap(), input));
  text.markup = true;
  return text;
}

Result<Value> replace_filter(Interpreter& interpreter, const Value& input,
                             const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("replace", {"old", "new", "count"}));
  const Value *old = arguments.get(0, "old"), *with = arguments.get(1, "new"),
              *count = arguments.get(2, "count");
  if (old == nullptr || with == nullptr) return invalid_error("replace needs two texts");
  if (count != nullptr && !count->is_none() && !count->is_integral())
    return invalid_error("the count must be an integer");
  Heap& heap = interpreter.heap();
  FATHOM_TRY(const Value text, to_text(heap, input));
  FATHOM_TRY(const Value old_text, to_text(heap, *old));
  FATHOM_TRY(const Value new_text, to_text(heap, *with));
  const Int limit = count == nullptr || count->is_none() ? Int{-1} : count->as_int();
  return replace(heap, text.text(), old_text.view(), new_text.text(),
                 static_cast<int64_t>(std::clamp(limit, Int{-1}, Int{1} << 60)));
}

Result<Value> indent(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("indent", {"width", "first", "blank"}));
  const Value *width = arguments.get(0, "width"), *first = arguments.get(1, "first"),
              *blank = arguments.get(2, "blank");
  Heap& heap = interpreter.heap();
  JinjaText pad("    ", true);
  if (width != nullptr && width->is_string()) {
    pad = width->text();
  } else if (width != nullptr) {
    if (!width->is_integral() || width->as_int() > 1000)
      return invalid_error("indent needs a width up to 1000");
    pad = JinjaText(std::string(static_cast<size_t>(std::max(Int{0}, width->as_int())), ' '), true);
  }
  FATHOM_TRY(const Value text, to_text(heap, input));
  TextBuilder with_end(heap);  // Python's rule: an empty last line counts
  with_end.append(text.text());
  with_end.append("\n", true);
  const JinjaText whole = with_end.take();
  const Values lines = split_lines(heap, whole, false);
  TextBuilder out(heap);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", true);
    const bool wanted = i == 0 ? first != nullptr && truthy(*first)
                               : !lines[i].text().empty() || (blank != nullptr && truthy(*blank));
    if (wanted) out.append(pad);
    if (!out.append(lines[i].text())) break;
  }
  return out.value();
}

Result<Value> tojson(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(
      arguments.check("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  // Jinja's own filter takes the indent first, that of chat templates by name.
  const Value *ascii = arguments.get(0, "ensure_ascii"), *indent_value = arguments.get(1, "indent");
  const Value *separators = arguments.get(2, "separators"), *sort = arguments.get(3, "sort_keys");
  style.ensure_ascii = ascii != nullptr && truthy(*ascii);
  style.sort_keys = sort != nullptr && truthy(*sort);
  if (indent_value != nullptr && !indent_value->is_none()) {
    if (!indent_value->is_integral() || indent_value->as_int() > 100) {
      return invalid_error("tojson needs an indent of up to 100 blanks");
    }
    style.indent = static_cast<int64_t>(std::max(Int{0}, indent_value->as_int()));
    style.item_separator.assign(1,
                                ',');  // not = ",": GCC 12 at -O3 warns of an overlap that is none
  }
  if (separators != nullptr && !separators->is_none()) {
    FATHOM_TRY(const Values parts, iterate(interpreter.heap(), *separators));
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string()) {
      return invalid_error("tojson's separators are two texts");
    }
    style.item_separator = parts[0].view();
    style.key_separator = parts[1].view();
  }
  TextBuilder out(interpreter.heap());
  FATHOM_RETURN_IF_ERROR(append_json(out, input, style));
  return out.value();
}

Result<Value> format_filter(Interpreter& interpreter, const Value& input,
                            const CallArguments& arguments) {
  Heap& heap = interpreter.heap();
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    return invalid_error("format takes plain arguments or named ones, not both");
  }
  FATHOM_TRY(const Value text, to_text(heap, input));
  if (arguments.named.empty()) return percent_format(heap, text, heap.tuple(arguments.positional));
  std::vector<Member> members;
  for (const auto& [name, value] : arguments.named)
    members.emplace_back(heap.string(name, true), value);
  return percent_format(heap, text, heap.dict(std::move(members)));
}

Result<Value> int_filter(Interpreter&, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("int", {"default", "base"}));
  const Value *otherwise = arguments.get(0, "default"), *base = arguments.get(1, "base");
  const Value fallback = otherwise == nullptr ? Value::integer(0) : *otherwise;
  if (input.is_undefined()) return undefined_error(input);
  if (input.is_integral()) return Value::integer(input.as_int(), input.trusted);
  if (input.is(Kind::kFloat)) {
    if (!(std::fabs(input.bits.f) < 0x1p120)) return fallback;
    return Value::integer(static_cast<Int>(input.bits.f), input.trusted);
  }
  if (!input.is_string()) return fallback;
  const Int radix = base == nullptr ? Int{10} : base->is_integral() ? base->as_int() : Int{-1};
  if (radix != 0 && (radix < 2 || radix > 36))
    return invalid_error("int needs a base from 2 to 36");
  std::string_view text = input.view();
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  const bool trusted = input.text().all_trusted();
  if (const auto value = parse_integer(text, static_cast<int>(radix)); value)
    return Value::integer(*value, trusted);
  const auto value = parse_float(text);
  if (!value || !(std::fabs(*value) < 0x1p120)) return fallback;
  return Value::integer(static_cast<Int>(*value), trusted);
}

Result<Value> float_filter(Interpreter&, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("float", {"default"}));
  if (input.is_undefined()) return undefined_error(input);
  if (input.is_number()) return Value::number(input.as_double(), input.trusted);
  if (input.is_string()) {
    std::string_view text = input.view();
    text.remove_prefix(leading_space(text));
    text.remove_suffix(trailing_space(text));
    if (const auto value = parse_float(text); value)
      return Value::number(*value, input.text().all_trusted());
  }
  const Value* otherwise = arguments.get(0, "default");
  return otherwise == nullptr ? Value::number(0.0) : *otherwise;
}

Result<Value> abs_filter(Interpreter&, const Value& input, const CallArguments&) {
  FATHOM_TRY(Value negative, negate(input));
  return input.as_double() < 0 ? negative : input;
}

Result<Value> round_filter(Interpreter&, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("round", {"precision", "method"}));
  if (!input.is_number()) return invalid_error("round needs a number, got ", type_name(input));
  const Value *precision = arguments.get(0, "precision"), *method = arguments.get(1, "method");
  const Int digits = precision == nullptr       ? Int{0}
                     : precision->is_integral() ? precision->as_int()
                                                : Int{1000};
  if (digits > 100 || digits < -100)
    return invalid_error("round needs a precision from -100 to 100");
  const std::string_view how = method == nullptr     ? "common"
                               : method->is_string() ? method->view()
                                                     : "";
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double value = input.as_double();
  if (how == "ceil") return Value::number(std::ceil(value * scale) / scale, input.trusted);
  if (how == "floor") return Value::number(std::floor(value * scale) / scale, input.trusted);
  if (how != "common") return invalid_error("round's method is common, ceil or floor");
  if (digits < 0) return Value::number(std::nearbyint(value * scale) / scale, input.trusted);
  // Python rounds the decimal expansion itself, to even only on exact halves: so does printf.
  char buffer[512];
  const int n = std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  const auto rounded =
      n > 0 && n < static_cast<int>(sizeof buffer) ? parse_float(buffer) : std::nullopt;
  return Value::number(rounded.value_or(value), input.trusted);
}

constexpr Filter kFilters[] = {
    {"upper", case_filter<CaseOp::kUpper>},
    {"lower", case_filter<CaseOp::kLower>},
    {"capitalize", case_filter<CaseOp::kCapitalize>},
    {"title", case_filter<CaseOp::kTitleFilter>},
    {"trim", trim},
    {"string", string_filter},
    {"e", escape},
    {"escape", escape},
    {"forceescape", force_escape},
    {"safe", safe},
    {"replace", replace_filter},
    {"indent", indent},
    {"tojson", tojson},
    {"format", format_filter},
    {"int", int_filter},
    {"float", float_filter},
    {"abs", abs_filter},
    {"round", round_filter},
};

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

const Filter* find_filter(std::string_view name) {
  for (const auto filters : {text_filters(), sequence_filters(), select_filters()}) {
    const auto it = std::find_if(filters.begin(), filters.end(),
                                 [&](const Filter& f) { return f.name == name; });
    if (it != filters.end()) return &*it;
  }
  return nullptr;
}

}  // namespace fathom::jinja
