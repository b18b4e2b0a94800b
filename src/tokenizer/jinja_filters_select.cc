// map, select, reject and their forms for attributes.
#include "tokenizer/jinja_filters.h"

namespace fathom::jinja {

namespace {

// The arguments from place n on.
CallArguments rest_of(const CallArguments& arguments, size_t n) {
  CallArguments out = arguments;
  out.positional.erase(
      out.positional.begin(),
      out.positional.begin() + static_cast<ptrdiff_t>(std::min(n, out.positional.size())));
  return out;
}

Result<Value> map(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  Values out;
  const Value* attribute = arguments.positional.empty() ? arguments.get(1, "attribute") : nullptr;
  if (attribute != nullptr) {
    const Value* otherwise = arguments.get(1, "default");
    if (arguments.named.size() != (otherwise == nullptr ? 1u : 2u))
      return invalid_error("map got an unknown argument");
    for (const Value& item : items) {
      FATHOM_TRY(Value value, interpreter.dotted_attribute(item, *attribute));
      if (value.is_undefined() && otherwise != nullptr) value = *otherwise;
      out.push_back(std::move(value));
    }
  } else {
    if (arguments.positional.empty() || !arguments.positional[0].is_string()) {
      return invalid_error("map needs the name of a filter, or attribute=");
    }
    const CallArguments rest = rest_of(arguments, 1);
    for (const Value& item : items) {
      FATHOM_TRY(Value value, interpreter.apply_filter(arguments.positional[0].view(), item, rest));
      if (interpreter.budget().failed()) break;
      out.push_back(std::move(value));
    }
  }
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

template <bool wanted, bool by_attribute>
Result<Value> select(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  constexpr size_t kTestAt = by_attribute ? 1 : 0;
  const Values& given = arguments.positional;
  if (by_attribute && given.empty()) return invalid_error("selectattr needs an attribute");
  const bool has_test = given.size() > kTestAt;
  if (has_test && !given[kTestAt].is_string())
    return invalid_error("the name of a test must be a text");
  const CallArguments rest = rest_of(arguments, kTestAt + 1);
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  Values out;
  for (const Value& item : items) {
    Value subject = item;
    if (by_attribute) {
      FATHOM_TRY(subject, interpreter.dotted_attribute(item, given[0]));
    }
    bool holds = truthy(subject);
    if (has_test) {
      FATHOM_TRY(holds, interpreter.apply_test(given[kTestAt].view(), subject, rest));
    }
    if (interpreter.budget().failed()) break;
    if (holds == wanted) out.push_back(item);
  }
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

constexpr Filter kFilters[] = {
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
};

}  // namespace

std::span<const Filter> select_filters() { return kFilters; }

}  // namespace fathom::jinja
