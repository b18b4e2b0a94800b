// object.name, object[index] and calls, within the bounds of Jinja's sandbox: nothing that changes
// a list or a dict, nothing that begins with an underscore but keys of data.
#include <algorithm>

#include "tokenizer/jinja_interpreter_internal.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

std::string describe(const Value& value) {
  if (value.is_none()) return "None";
  return str_cat(type_name(value), " object");
}

Value bound_method(Heap& heap, const Value& self, std::string_view name) {
  auto data = std::make_shared<MethodData>();
  data->self = self;
  data->name = name;
  data->depth = self.object == nullptr ? 1 : self.object->depth + 1;
  heap.charge(*data, static_cast<int64_t>(sizeof(MethodData)));
  Value value;
  value.kind = Kind::kMethod;
  value.object = std::move(data);
  return value;
}

Value no_attribute(Heap& heap, const Value& object, std::string_view name) {
  return heap.undefined(
      str_cat("'", describe(object), "' has no attribute '", name.substr(0, 200), "'"));
}

Value unsafe(Heap& heap, const Value& object, std::string_view name) {
  return heap.undefined(str_cat("the attribute '", name.substr(0, 200), "' of a ",
                                type_name(object), " is out of bounds for a template"),
                        true);
}

// What Python's getattr finds; null if nothing.
const Value* python_attribute(Heap& heap, const Value& object, std::string_view name, Value* out) {
  if (name.starts_with("__") && name.ends_with("__")) return *out = unsafe(heap, object, name), out;
  switch (find_method(object, name)) {
    case MethodStatus::kSafe:
      return *out = bound_method(heap, object, name), out;
    case MethodStatus::kUnsafe:
      return *out = unsafe(heap, object, name), out;
    case MethodStatus::kNone:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

Result<Value> Interpreter::attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) return undefined_error(object);
  if (object.is(Kind::kNamespace)) {
    const Value* value = object.name_space().find(name);
    return value != nullptr
               ? *value
               : heap_.undefined(str_cat("the namespace has no attribute '", name, "'"));
  }
  if (object.is(Kind::kLoop)) {
    if (name == "cycle" || name == "changed") return bound_method(heap_, object, name);
    return loop_attribute(static_cast<const LoopData&>(*object.object), name);
  }
  if (object.is(Kind::kMacro) && name == "name") {
    return heap_.string(static_cast<const MacroData&>(*object.object).definition->name, true);
  }
  if (object.is(Kind::kSequence) && object.sequence().sequence_kind == SequenceKind::kGroup) {
    if (name == "grouper" || name == "list") return object.sequence().items[name == "list" ? 1 : 0];
  }
  Value found;
  if (python_attribute(heap_, object, name, &found) != nullptr) return found;
  if (object.is(Kind::kDict)) {
    if (const Value* value = object.dict().find(name); value != nullptr) return *value;
  }
  return no_attribute(heap_, object, name);
}

Result<Value> Interpreter::item(const Value& object, const Value& index) {
  if (object.is_undefined()) return undefined_error(object);
  if (object.is(Kind::kDict)) {
    if (const Value* value = hashable(index) ? object.dict().find(index) : nullptr;
        value != nullptr)
      return *value;
  }
  const bool has_items = object.is(Kind::kSequence) &&
                         object.sequence().sequence_kind != SequenceKind::kGenerator &&
                         object.sequence().sequence_kind < SequenceKind::kKeys;
  const bool is_group =
      object.is(Kind::kSequence) && object.sequence().sequence_kind == SequenceKind::kGroup;
  if (index.is_integral() && (has_items || is_group || object.is_string())) {
    FATHOM_TRY(const int64_t n, length(object));
    const Int i = index.as_int() < 0 ? index.as_int() + n : index.as_int();
    if (i < 0 || i >= n) {
      return heap_.undefined(
          str_cat("'", describe(object), "' has no element ", integer_text(index.as_int())));
    }
    if (!object.is_string()) return object.sequence().items[static_cast<size_t>(i)];
    const JinjaText& text = object.text();
    const bool is_ascii = n == static_cast<int64_t>(text.size());
    if (!is_ascii) budget().step_bytes(static_cast<int64_t>(text.size()));
    const size_t begin =
        is_ascii ? static_cast<size_t>(i) : char_offset(text.view(), static_cast<int64_t>(i));
    return heap_.string(text.slice(begin, char_offset(text.view(), 1, begin)));
  }
  if (index.is_string()) {
    if (object.is(Kind::kNamespace) || object.is(Kind::kLoop))
      return attribute(object, index.view());
    Value found;
    if (python_attribute(heap_, object, index.view(), &found) != nullptr) return found;
    return no_attribute(heap_, object, index.view());
  }
  TextBuilder name(heap_);
  FATHOM_RETURN_IF_ERROR(append_repr(name, index));
  return heap_.undefined(
      str_cat("'", describe(object), "' has no element ", name.take().view().substr(0, 200)));
}

Result<Value> Interpreter::dotted_attribute(const Value& object, const Value& path) {
  if (!path.is_string()) return item(object, path);
  Value value = object;
  std::string_view rest = path.view();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool is_number =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const auto number = is_number ? parse_integer(part) : std::nullopt;
    FATHOM_TRY(value, item(value, number ? Value::integer(*number)
                                         : heap_.string(std::string(part), true)));
    if (!budget().step() || dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

Result<Value> Interpreter::call(const Value& function, const CallArguments& arguments) {
  switch (function.kind) {
    case Kind::kUndefined:
      return undefined_error(function);
    case Kind::kMacro:
      return call_macro(static_cast<const MacroData&>(*function.object), arguments);
    case Kind::kFunction:
      return static_cast<const FunctionData&>(*function.object).call(*this, arguments);
    case Kind::kLoop:
      return call_loop(function, arguments);
    case Kind::kMethod: {
      const auto& method = static_cast<const MethodData&>(*function.object);
      return call_method(*this, method.self, method.name, arguments);
    }
    default:
      return invalid_error("a value of type '", type_name(function), "' cannot be called");
  }
}

}  // namespace fathom::jinja
