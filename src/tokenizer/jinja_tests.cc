#include "tokenizer/jinja_tests.h"

#include <algorithm>
#include <array>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

template <Kind kind>
Result<bool> is_kind(const Value& value, const Value*, Interpreter&) {
  return value.is(kind);
}

Result<bool> is_defined(const Value& value, const Value*, Interpreter&) {
  return !value.is_undefined();
}
Result<bool> is_integer(const Value& value, const Value*, Interpreter&) {
  return value.is(Kind::kInt);
}
Result<bool> is_number(const Value& value, const Value*, Interpreter&) { return value.is_number(); }
Result<bool> is_true(const Value& value, const Value*, Interpreter&) {
  return value.is(Kind::kBool) && value.bits.b;
}
Result<bool> is_false(const Value& value, const Value*, Interpreter&) {
  return value.is(Kind::kBool) && !value.bits.b;
}
Result<bool> is_sequence(const Value& value, const Value*, Interpreter&) {
  if (value.is(Kind::kSequence)) return value.sequence().sequence_kind != SequenceKind::kGenerator;
  return value.is_string() || value.is(Kind::kDict) || value.is_undefined();
}
Result<bool> is_iterable(const Value& value, const Value*, Interpreter&) {
  return value.is_string() || value.is(Kind::kDict) || value.is(Kind::kSequence) ||
         value.is_undefined();
}
Result<bool> is_callable(const Value& value, const Value*, Interpreter&) {
  return value.is(Kind::kFunction) || value.is(Kind::kMethod) || value.is(Kind::kMacro);
}
Result<bool> is_escaped(const Value& value, const Value*, Interpreter&) { return value.markup; }

Result<bool> remainder_is(const Value& value, const Value& divisor, int64_t rest,
                          Interpreter& interpreter) {
  FATHOM_TRY(const Value result, binary(interpreter.heap(), BinaryOp::kModulo, value, divisor));
  return equal(result, Value::integer(rest));
}
Result<bool> is_even(const Value& value, const Value*, Interpreter& interpreter) {
  return remainder_is(value, Value::integer(2), 0, interpreter);
}
Result<bool> is_odd(const Value& value, const Value*, Interpreter& interpreter) {
  return remainder_is(value, Value::integer(2), 1, interpreter);
}
Result<bool> is_divisible(const Value& value, const Value* argument, Interpreter& interpreter) {
  return remainder_is(value, *argument, 0, interpreter);
}

template <bool upper>
Result<bool> is_case(const Value& value, const Value*, Interpreter& interpreter) {
  FATHOM_TRY(const Value text, to_text(interpreter.heap(), value));
  bool has_case = false;
  for (size_t i = 0; i < text.view().size();) {
    const Decoded c = decode_utf8(text.view(), i);
    if (upper ? is_lower(c.code) : is_upper(c.code)) return false;
    has_case |= upper ? is_upper(c.code) : is_lower(c.code);
    i += c.n_bytes;
  }
  return has_case;
}

Result<bool> is_equal(const Value& value, const Value* other, Interpreter&) {
  return equal(value, *other);
}
Result<bool> is_unequal(const Value& value, const Value* other, Interpreter&) {
  return !equal(value, *other);
}
Result<bool> is_same(const Value& value, const Value* other, Interpreter&) {
  return same_object(value, *other);
}
Result<bool> is_in(const Value& value, const Value* other, Interpreter& interpreter) {
  return contains(interpreter.heap(), *other, value);
}
template <int kind>  // 0 less, 1 less or equal, 2 greater, 3 greater or equal
Result<bool> is_ordered(const Value& value, const Value* other, Interpreter&) {
  FATHOM_TRY(const int order, compare(value, *other));
  return kind == 0 ? order < 0 : kind == 1 ? order <= 0 : kind == 2 ? order > 0 : order >= 0;
}
Result<bool> is_filter(const Value& value, const Value*, Interpreter&) {
  return value.is_string() && find_filter(value.view()) != nullptr;
}
Result<bool> is_test(const Value& value, const Value*, Interpreter&) {
  return value.is_string() && find_test(value.view()) != nullptr;
}
Result<bool> is_undefined(const Value& value, const Value*, Interpreter&) {
  return value.is_undefined();
}

constexpr Test kTests[] = {
    {"defined", is_defined, 0},
    {"undefined", is_undefined, 0},
    {"none", is_kind<Kind::kNone>, 0},
    {"boolean", is_kind<Kind::kBool>, 0},
    {"true", is_true, 0},
    {"false", is_false, 0},
    {"integer", is_integer, 0},
    {"float", is_kind<Kind::kFloat>, 0},
    {"number", is_number, 0},
    {"string", is_kind<Kind::kString>, 0},
    {"mapping", is_kind<Kind::kDict>, 0},
    {"sequence", is_sequence, 0},
    {"iterable", is_iterable, 0},
    {"callable", is_callable, 0},
    {"escaped", is_escaped, 0},
    {"even", is_even, 0},
    {"odd", is_odd, 0},
    {"divisibleby", is_divisible, 1},
    {"upper", is_case<true>, 0},
    {"lower", is_case<false>, 0},
    {"filter", is_filter, 0},
    {"test", is_test, 0},
    {"sameas", is_same, 1},
    {"in", is_in, 1},
    {"==", is_equal, 1},
    {"eq", is_equal, 1},
    {"equalto", is_equal, 1},
    {"!=", is_unequal, 1},
    {"ne", is_unequal, 1},
    {"<", is_ordered<0>, 1},
    {"lt", is_ordered<0>, 1},
    {"lessthan", is_ordered<0>, 1},
    {"<=", is_ordered<1>, 1},
    {"le", is_ordered<1>, 1},
    {">", is_ordered<2>, 1},
    {"gt", is_ordered<2>, 1},
    {"greaterthan", is_ordered<2>, 1},
    {">=", is_ordered<3>, 1},
    {"ge", is_ordered<3>, 1},
};

}  // namespace

const Test* find_test(std::string_view name) {
  const auto* it = std::find_if(std::begin(kTests), std::end(kTests),
                                [&](const Test& test) { return test.name == name; });
  return it == std::end(kTests) ? nullptr : it;
}

}  // namespace fathom::jinja
