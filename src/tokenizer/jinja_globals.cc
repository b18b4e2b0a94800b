// The functions that every template sees.
#include "tokenizer/jinja_interpreter.h"

namespace fathom::jinja {

namespace {

Result<Value> range(Interpreter& interpreter, const CallArguments& arguments) {
  Int bounds[3] = {0, 0, 1};
  const Values& given = arguments.positional;
  if (given.empty() || given.size() > 3 || !arguments.named.empty())
    return invalid_error("range() takes 1 to 3 integers");
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i].is_undefined()) return undefined_error(given[i]);
    if (!given[i].is_integral())
      return invalid_error("range() takes integers, got ", type_name(given[i]));
    bounds[given.size() == 1 ? 1 : i] = given[i].as_int();
  }
  const Int begin = bounds[0], end = bounds[1], step = bounds[2];
  if (step == 0) return invalid_error("the step of range() must not be 0");
  // Bounds are kept small so that nothing below can overflow.
  constexpr Int kMax = Int{1} << 100;
  if (begin > kMax || begin < -kMax || end > kMax || end < -kMax)
    return invalid_error("range() is too large");
  const Int span = step > 0 ? end - begin : begin - end;
  if (step > kMax || step < -kMax) return invalid_error("the step of range() is too large");
  const Int stride = step > 0 ? step : -step;
  const Int n = span <= 0 ? 0 : (span + stride - 1) / stride;
  const int64_t limit = interpreter.budget().limits().range_items;
  if (n > limit)
    return exhausted_error("range() is larger than ", limit, ", the limit for templates");
  Values items;
  items.reserve(static_cast<size_t>(n));
  for (Int i = 0; i < n; ++i) items.push_back(Value::integer(begin + i * step));
  TextBuilder name(interpreter.heap());
  name.append("range(", true);
  FATHOM_RETURN_IF_ERROR(append_text(name, Value::integer(begin)));
  name.append(", ", true);
  FATHOM_RETURN_IF_ERROR(append_text(name, Value::integer(end)));
  if (step != 1) {
    name.append(", ", true);
    FATHOM_RETURN_IF_ERROR(append_text(name, Value::integer(step)));
  }
  name.append(")", true);
  return interpreter.heap().sequence(SequenceKind::kRange, std::move(items), name.take().bytes());
}

// The members of dict(...) and namespace(...).
Result<std::vector<Member>> members_of(Interpreter& interpreter, const CallArguments& arguments) {
  std::vector<Member> members;
  if (arguments.positional.size() > 1)
    return invalid_error("at most one plain argument is expected here");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::kDict)) {
      members = source.dict().members();
    } else {
      FATHOM_TRY(const Values pairs, iterate(interpreter.heap(), source));
      for (const Value& pair : pairs) {
        FATHOM_TRY(const Values parts, iterate(interpreter.heap(), pair));
        if (parts.size() != 2 || !hashable(parts[0]))
          return invalid_error("pairs of a key and a value are expected here");
        members.emplace_back(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named)
    members.emplace_back(interpreter.heap().string(name, true), value);
  return members;
}

Result<Value> dict(Interpreter& interpreter, const CallArguments& arguments) {
  FATHOM_TRY(std::vector<Member> members, members_of(interpreter, arguments));
  return interpreter.heap().dict(std::move(members));
}

Result<Value> name_space(Interpreter& interpreter, const CallArguments& arguments) {
  FATHOM_TRY(const std::vector<Member> members, members_of(interpreter, arguments));
  std::vector<std::pair<std::string, Value>> out;
  for (const auto& [key, value] : members) {
    if (!key.is_string()) return invalid_error("names in a namespace must be texts");
    out.emplace_back(std::string(key.view()), value);
  }
  return interpreter.heap().name_space(std::move(out));
}

Result<Value> raise_exception(Interpreter& interpreter, const CallArguments& arguments) {
  FATHOM_RETURN_IF_ERROR(arguments.check("raise_exception", {"message"}));
  const Value* message = arguments.get(0, "message");
  if (message == nullptr) return invalid_error("raise_exception() needs a message");
  FATHOM_TRY(const Value text, to_text(interpreter.heap(), *message));
  return invalid_error("the template refuses: ", text.view().substr(0, 1000));
}

}  // namespace

void set_globals(Interpreter& interpreter) {
  static constexpr struct {
    std::string_view name;
    Result<Value> (*call)(Interpreter&, const CallArguments&);
  } kFunctions[] = {{"range", range},
                    {"dict", dict},
                    {"namespace", name_space},
                    {"raise_exception", raise_exception}};
  for (const auto& function : kFunctions) {
    auto data = std::make_shared<FunctionData>();
    data->name = function.name;
    data->call = function.call;
    Value value;
    value.kind = Kind::kFunction;
    value.object = std::move(data);
    interpreter.set_global(function.name, std::move(value));
  }
}

}  // namespace fathom::jinja
