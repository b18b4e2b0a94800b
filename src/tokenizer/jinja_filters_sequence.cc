// Filters over lists, dicts and single items.
#include <algorithm>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_text_ops.h"

namespace fathom::jinja {

namespace {

// What sort, min, max and unique compare: the item or its attribute, in lower case unless case
// counts.
Result<Value> sort_key(Interpreter& interpreter, const Value& item, const Value* attribute,
                       bool case_sensitive) {
  Value key = item;
  if (attribute != nullptr && !attribute->is_none()) {
    FATHOM_TRY(key, interpreter.dotted_attribute(item, *attribute));
  }
  if (!case_sensitive && key.is_string())
    return convert_case(interpreter.heap(), key.text(), CaseOp::kLower);
  return key;
}

bool flag(const Value* value) { return value != nullptr && truthy(*value); }

struct Keyed {
  Value key, item;
};
Result<std::vector<Keyed>> keyed_items(Interpreter& interpreter, const Value& input,
                                       const Value* attribute, bool case_sensitive) {
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  std::vector<Keyed> out;
  for (const Value& item : items) {
    FATHOM_TRY(Value key, sort_key(interpreter, item, attribute, case_sensitive));
    out.push_back({std::move(key), item});
  }
  return out;
}

// Stable; an error where two keys have no order.
Status sort_keyed(Interpreter& interpreter, std::vector<Keyed>& items, bool reverse) {
  Status status;
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    if (!status.ok() || !interpreter.budget().step()) return false;
    auto order = compare(a.key, b.key);
    if (!order.ok()) return status = std::move(order).error(), false;
    return reverse ? *order > 0 : *order < 0;
  });
  return status;
}

Values items_of(std::vector<Keyed> keyed) {
  Values out;
  for (Keyed& entry : keyed) out.push_back(std::move(entry.item));
  return out;
}

Result<Value> sort(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("sort", {"reverse", "case_sensitive", "attribute"}));
  FATHOM_TRY(auto items, keyed_items(interpreter, input, arguments.get(2, "attribute"),
                                     flag(arguments.get(1, "case_sensitive"))));
  FATHOM_RETURN_IF_ERROR(sort_keyed(interpreter, items, flag(arguments.get(0, "reverse"))));
  return interpreter.heap().list(items_of(std::move(items)));
}

template <bool maximum>
Result<Value> extreme(Interpreter& interpreter, const Value& input,
                      const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("min", {"case_sensitive", "attribute"}));
  FATHOM_TRY(const auto items, keyed_items(interpreter, input, arguments.get(1, "attribute"),
                                           flag(arguments.get(0, "case_sensitive"))));
  if (items.empty())
    return interpreter.heap().undefined("an empty list has no smallest or largest item");
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    FATHOM_TRY(const int order, compare(items[i].key, items[best].key));
    if (maximum ? order > 0 : order < 0) best = i;
  }
  return items[best].item;
}

Result<Value> unique(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("unique", {"case_sensitive", "attribute"}));
  FATHOM_TRY(auto items, keyed_items(interpreter, input, arguments.get(1, "attribute"),
                                     flag(arguments.get(0, "case_sensitive"))));
  DictData seen;
  Values out;
  for (Keyed& entry : items) {
    if (!hashable(entry.key))
      return invalid_error("unique needs items that can be keys, got ", type_name(entry.key));
    if (seen.find(entry.key) != nullptr) continue;
    seen.set(entry.key, Value::none());
    out.push_back(std::move(entry.item));
  }
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

Result<Value> groupby(Interpreter& interpreter, const Value& input,
                      const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("groupby", {"attribute"}));
  const Value* attribute = arguments.get(0, "attribute");
  if (attribute == nullptr) return invalid_error("groupby needs an attribute");
  FATHOM_TRY(auto items, keyed_items(interpreter, input, attribute, false));
  FATHOM_RETURN_IF_ERROR(sort_keyed(interpreter, items, false));
  Heap& heap = interpreter.heap();
  Values groups;
  for (size_t i = 0; i < items.size();) {
    FATHOM_TRY(const Value shown, interpreter.dotted_attribute(items[i].item, *attribute));
    Values members;
    const size_t first = i;
    for (; i < items.size() && equal(items[i].key, items[first].key); ++i)
      members.push_back(items[i].item);
    groups.push_back(heap.sequence(SequenceKind::kGroup, {shown, heap.list(std::move(members))}));
  }
  return heap.list(std::move(groups));
}

Result<Value> join_filter(Interpreter& interpreter, const Value& input,
                          const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("join", {"d", "attribute"}));
  Heap& heap = interpreter.heap();
  const Value *separator = arguments.get(0, "d"), *attribute = arguments.get(1, "attribute");
  FATHOM_TRY(Values items, iterate(heap, input));
  for (Value& item : items) {
    if (attribute != nullptr && !attribute->is_none()) {
      FATHOM_TRY(item, interpreter.dotted_attribute(item, *attribute));
    }
  }
  FATHOM_TRY(const Value between, separator == nullptr ? Result<Value>(heap.string("", true))
                                                       : to_text(heap, *separator));
  return join(heap, between, items, false);
}

Result<Value> list_filter(Interpreter& interpreter, const Value& input, const CallArguments&) {
  FATHOM_TRY(Values items, iterate(interpreter.heap(), input));
  return interpreter.heap().list(std::move(items));
}

Result<Value> length_filter(Interpreter&, const Value& input, const CallArguments&) {
  FATHOM_TRY(const int64_t n, length(input));
  return Value::integer(n);
}

Result<Value> first(Interpreter& interpreter, const Value& input, const CallArguments&) {
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  return items.empty() ? interpreter.heap().undefined("an empty list has no first item")
                       : items.front();
}

Result<Value> last(Interpreter& interpreter, const Value& input, const CallArguments&) {
  if (input.is(Kind::kSequence) && input.sequence().sequence_kind == SequenceKind::kGenerator) {
    return invalid_error("a generator has no last item; '| list' makes it a list");
  }
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  return items.empty() ? interpreter.heap().undefined("an empty list has no last item")
                       : items.back();
}

Result<Value> reverse(Interpreter& interpreter, const Value& input, const CallArguments&) {
  if (input.is_string())
    return slice(interpreter.heap(), input, Value::none(), Value::none(), Value::integer(-1));
  FATHOM_TRY(Values items, iterate(interpreter.heap(), input));
  std::reverse(items.begin(), items.end());
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(items));
}

Result<Value> sum(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("sum", {"attribute", "start"}));
  const Value *attribute = arguments.get(0, "attribute"), *start = arguments.get(1, "start");
  Value total = start == nullptr ? Value::integer(0) : *start;
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  for (Value item : items) {
    if (attribute != nullptr && !attribute->is_none()) {
      FATHOM_TRY(item, interpreter.dotted_attribute(item, *attribute));
    }
    if (total.is_string()) return invalid_error("sum cannot add texts; join can");
    FATHOM_TRY(total, binary(interpreter.heap(), BinaryOp::kAdd, total, item));
    if (interpreter.budget().failed()) break;
  }
  return total;
}

Result<Value> items_filter(Interpreter& interpreter, const Value& input, const CallArguments&) {
  if (input.is_undefined()) return interpreter.heap().sequence(SequenceKind::kGenerator, {});
  if (!input.is(Kind::kDict)) return invalid_error("items needs a dict, got ", type_name(input));
  Values out;
  for (const auto& [key, value] : input.dict().members())
    out.push_back(interpreter.heap().tuple({key, value}));
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

Result<Value> dictsort(Interpreter& interpreter, const Value& input,
                       const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("dictsort", {"case_sensitive", "by", "reverse"}));
  if (!input.is(Kind::kDict)) return invalid_error("dictsort needs a dict, got ", type_name(input));
  const Value* by = arguments.get(1, "by");
  const bool by_value = by != nullptr && by->is_string() && by->view() == "value";
  FATHOM_TRY(const Value pairs, items_filter(interpreter, input, {}));
  const Value place = Value::integer(by_value ? 1 : 0);
  FATHOM_TRY(auto items,
             keyed_items(interpreter, pairs, &place, flag(arguments.get(0, "case_sensitive"))));
  FATHOM_RETURN_IF_ERROR(sort_keyed(interpreter, items, flag(arguments.get(2, "reverse"))));
  return interpreter.heap().list(items_of(std::move(items)));
}

Result<Value> default_filter(Interpreter& interpreter, const Value& input,
                             const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("default", {"default_value", "boolean"}));
  if (!input.is_undefined() && !(flag(arguments.get(1, "boolean")) && !truthy(input))) return input;
  const Value* otherwise = arguments.get(0, "default_value");
  return otherwise == nullptr ? interpreter.heap().string("", true) : *otherwise;
}

Result<Int> positive_count(const CallArguments& arguments, std::string_view name) {
  const Value* count = arguments.get(0, name);
  if (count == nullptr || !count->is_integral() || count->as_int() < 1)
    return invalid_error("a count above 0 is needed");
  return count->as_int();
}

Result<Value> batch(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("batch", {"linecount", "fill_with"}));
  FATHOM_TRY(const Int count, positive_count(arguments, "linecount"));
  const Value* fill = arguments.get(1, "fill_with");
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  Values out, row;
  for (const Value& item : items) {
    if (static_cast<Int>(row.size()) == count)
      out.push_back(interpreter.heap().list(std::exchange(row, {})));
    row.push_back(item);
  }
  const Int missing = row.empty() ? 0 : count - static_cast<Int>(row.size());
  if (fill != nullptr && !fill->is_none() && missing > 0) {
    if (missing > interpreter.budget().limits().list_items)
      return exhausted_error("batch would fill too many places");
    row.insert(row.end(), static_cast<size_t>(missing), *fill);
  }
  if (!row.empty()) out.push_back(interpreter.heap().list(std::move(row)));
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

Result<Value> slice_filter(Interpreter& interpreter, const Value& input,
                           const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("slice", {"slices", "fill_with"}));
  FATHOM_TRY(const Int count, positive_count(arguments, "slices"));
  if (count > interpreter.budget().limits().range_items)
    return exhausted_error("slice would make too many lists");
  const Value* fill = arguments.get(1, "fill_with");
  FATHOM_TRY(const Values items, iterate(interpreter.heap(), input));
  const auto n = static_cast<size_t>(count);
  const size_t each = items.size() / n, longer = items.size() % n;
  Values out;
  for (size_t i = 0, at = 0; i < n; ++i) {
    const size_t size = each + (i < longer ? 1 : 0);
    Values row(items.begin() + static_cast<ptrdiff_t>(at),
               items.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
    if (fill != nullptr && !fill->is_none() && i >= longer) row.push_back(*fill);
    out.push_back(interpreter.heap().list(std::move(row)));
  }
  return interpreter.heap().sequence(SequenceKind::kGenerator, std::move(out));
}

Result<Value> attr(Interpreter& interpreter, const Value& input, const CallArguments& arguments) {
  const Value* name = arguments.get(0, "name");
  if (name == nullptr || !name->is_string()) return invalid_error("attr needs a name");
  if (input.is(Kind::kDict) && find_method(input, name->view()) == MethodStatus::kNone) {
    return interpreter.heap().undefined("attr sees no keys of a dict");
  }
  return interpreter.attribute(input, name->view());
}

constexpr Filter kFilters[] = {
    {"sort", sort},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"unique", unique},
    {"groupby", groupby},
    {"join", join_filter},
    {"list", list_filter},
    {"length", length_filter},
    {"count", length_filter},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"sum", sum},
    {"items", items_filter},
    {"dictsort", dictsort},
    {"default", default_filter},
    {"d", default_filter},
    {"batch", batch},
    {"slice", slice_filter},
    {"attr", attr},
};

}  // namespace

std::span<const Filter> sequence_filters() { return kFilters; }

}  // namespace fathom::jinja
