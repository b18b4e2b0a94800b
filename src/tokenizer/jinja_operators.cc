// + - * / // % ** and slices, as Python computes them.
#include <algorithm>
#include <cmath>

#include "tokenizer/jinja_interpreter.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

std::string_view op_text(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      return "**";
  }
  return "?";
}

Error too_large() { return exhausted_error("an integer needs more than 128 bits"); }

Result<Value> integer_power(Int base, Int exponent, bool trusted) {
  if (exponent < 0)
    return Value::number(std::pow(static_cast<double>(base), static_cast<double>(exponent)),
                         trusted);
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base, trusted);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1, trusted);
  if (exponent > 128) return too_large();
  Int result = 1;
  for (Int i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return too_large();
  }
  return Value::integer(result, trusted);
}

Result<Value> integer_binary(BinaryOp op, Int a, Int b, bool trusted) {
  Int result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOp::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOp::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOp::kPower:
      if (a == 0 && b < 0) return invalid_error("0 to a negative power");
      return integer_power(a, b, trusted);
    case BinaryOp::kDivide:
      if (b == 0) return invalid_error("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b), trusted);
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo: {
      if (b == 0) return invalid_error("division by zero");
      if (b == -1) {  // the one quotient that may not fit
        overflow = op == BinaryOp::kFloorDivide && __builtin_sub_overflow(Int{0}, a, &result);
        break;
      }
      const bool adjust = a % b != 0 && (a < 0) != (b < 0);
      result = op == BinaryOp::kFloorDivide ? a / b - (adjust ? 1 : 0) : a % b + (adjust ? b : 0);
      break;
    }
  }
  if (overflow) return too_large();
  return Value::integer(result, trusted);
}

Result<Value> float_binary(BinaryOp op, double a, double b, bool trusted) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::number(a + b, trusted);
    case BinaryOp::kSubtract:
      return Value::number(a - b, trusted);
    case BinaryOp::kMultiply:
      return Value::number(a * b, trusted);
    case BinaryOp::kPower:
      if ((a == 0 && b < 0) || (a < 0 && b != std::floor(b)))
        return invalid_error("this power has no real value");
      return Value::number(std::pow(a, b), trusted);
    case BinaryOp::kDivide:
      if (b == 0) return invalid_error("division by zero");
      return Value::number(a / b, trusted);
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo:
      break;
  }
  if (b == 0) return invalid_error("division by zero");
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return Value::number(op == BinaryOp::kModulo ? rest : std::round((a - rest) / b), trusted);
}

bool is_list(const Value& value, SequenceKind kind) {
  return value.is(Kind::kSequence) && value.sequence().sequence_kind == kind;
}
bool is_repeatable(const Value& value) {
  return value.is_string() || is_list(value, SequenceKind::kList) ||
         is_list(value, SequenceKind::kTuple);
}

Result<Value> repeat(Heap& heap, const Value& value, Int count) {
  if (count < 0) count = 0;
  const bool is_text = value.is_string();
  const auto size = static_cast<Int>(is_text ? value.text().size() : value.sequence().items.size());
  const JinjaLimits& limits = heap.budget().limits();
  if (size > 0 && count > (is_text ? limits.string_bytes : limits.list_items) / size) {
    return exhausted_error("repeating this ", type_name(value),
                           " would make it larger than a template may");
  }
  if (size == 0) count = 0;
  if (is_text) {
    TextBuilder out(heap);
    for (Int i = 0; i < count && heap.budget().step(); ++i) out.append(value.text());
    return out.value(value.markup);
  }
  Values items;
  const Values& source = value.sequence().items;
  for (Int i = 0; i < count && heap.budget().step(static_cast<int64_t>(size)); ++i) {
    items.insert(items.end(), source.begin(), source.end());
  }
  return heap.sequence(value.sequence().sequence_kind, std::move(items), {}, value.trusted);
}

Result<Value> add(Heap& heap, const Value& a, const Value& b) {
  if (a.is_string()) {
    TextBuilder out(heap);
    const bool markup = a.markup || b.markup;
    FATHOM_RETURN_IF_ERROR(markup ? append_escaped(out, a) : append_text(out, a));
    FATHOM_RETURN_IF_ERROR(markup ? append_escaped(out, b) : append_text(out, b));
    return out.value(markup);
  }
  Values items = a.sequence().items;
  items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
  return heap.sequence(a.sequence().sequence_kind, std::move(items), {}, a.trusted && b.trusted);
}

// A bound of a slice as a position from 0 to n (from -1 to n - 1 when going backward).
Result<int64_t> slice_bound(const Value& bound, int64_t n, int64_t absent, bool backward) {
  if (bound.is_none()) return absent;
  if (!bound.is_integral())
    return invalid_error("slice bounds must be integers, got ", type_name(bound));
  Int i = bound.as_int();
  if (i < 0) i = i < -Int{n} ? -1 : i + n;
  const Int low = backward ? -1 : 0, high = backward ? n - 1 : n;
  return static_cast<int64_t>(std::clamp(i, low, high));
}

}  // namespace

Result<Value> binary(Heap& heap, BinaryOp op, const Value& a, const Value& b) {
  if (op == BinaryOp::kModulo && a.is_string()) return percent_format(heap, a, b);
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  if (a.is_number() && b.is_number()) {
    const bool trusted = a.trusted && b.trusted;
    if (a.is_integral() && b.is_integral())
      return integer_binary(op, a.as_int(), b.as_int(), trusted);
    return float_binary(op, a.as_double(), b.as_double(), trusted);
  }
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return add(heap, a, b);
    for (const SequenceKind kind : {SequenceKind::kList, SequenceKind::kTuple}) {
      if (is_list(a, kind) && is_list(b, kind)) return add(heap, a, b);
    }
  }
  if (op == BinaryOp::kMultiply) {
    if (is_repeatable(a) && b.is_integral()) return repeat(heap, a, b.as_int());
    if (is_repeatable(b) && a.is_integral()) return repeat(heap, b, a.as_int());
  }
  return invalid_error("'", type_name(a), "' ", op_text(op), " '", type_name(b),
                       "' has no meaning");
}

Result<Value> negate(const Value& value) {
  if (value.is_undefined()) return undefined_error(value);
  if (value.is(Kind::kFloat)) return Value::number(-value.bits.f, value.trusted);
  if (!value.is_integral()) return invalid_error("a ", type_name(value), " has no sign");
  Int result = 0;
  if (__builtin_sub_overflow(Int{0}, value.as_int(), &result)) return too_large();
  return Value::integer(result, value.trusted);
}

Result<Value> slice(Heap& heap, const Value& object, const Value& begin, const Value& end,
                    const Value& step) {
  if (object.is_undefined()) return undefined_error(object);
  const bool is_text = object.is_string();
  const bool is_items =
      object.is(Kind::kSequence) && object.sequence().sequence_kind <= SequenceKind::kRange;
  if (!is_text && !is_items)
    return heap.undefined(str_cat("a ", type_name(object), " cannot be sliced"));
  if (!step.is_none() && (!step.is_integral() || step.as_int() == 0)) {
    return invalid_error("the step of a slice must be an integer other than 0");
  }
  FATHOM_TRY(const int64_t n, length(object));
  const Int wanted_step = step.is_none() ? Int{1} : step.as_int();
  const auto stride = static_cast<int64_t>(std::clamp(wanted_step, -Int{n} - 1, Int{n} + 1));
  const bool backward = stride < 0;
  FATHOM_TRY(const int64_t from, slice_bound(begin, n, backward ? n - 1 : 0, backward));
  FATHOM_TRY(const int64_t to, slice_bound(end, n, backward ? -1 : n, backward));
  if (is_text && stride == 1) {
    const JinjaText& text = object.text();
    heap.budget().step_bytes(static_cast<int64_t>(text.size()));
    const bool is_ascii = n == static_cast<int64_t>(text.size());
    const size_t first = is_ascii ? static_cast<size_t>(from) : char_offset(text.view(), from);
    const size_t last = from >= to ? first
                        : is_ascii ? static_cast<size_t>(to)
                                   : char_offset(text.view(), to - from, first);
    return heap.string(text.slice(first, last), object.markup);
  }
  FATHOM_TRY(const Values items, iterate(heap, object));
  if (heap.budget().failed()) return Value::none();
  Values chosen;
  for (int64_t i = from; backward ? i > to : i < to; i += stride)
    chosen.push_back(items[static_cast<size_t>(i)]);
  if (!is_text) {
    const bool is_tuple = object.sequence().sequence_kind == SequenceKind::kTuple;
    return heap.sequence(is_tuple ? SequenceKind::kTuple : SequenceKind::kList, std::move(chosen),
                         {}, object.trusted);
  }
  TextBuilder out(heap);
  for (const Value& character : chosen) out.append(character.text());
  return out.value(object.markup);
}

}  // namespace fathom::jinja
