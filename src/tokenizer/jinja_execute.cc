// Statements: what each does to the text and the variables.
#include <algorithm>

#include "tokenizer/jinja_interpreter_internal.h"

namespace fathom::jinja {

const Value* Scope::find(int32_t name_id) const {
  for (const auto& variable : variables) {
    if (variable.first == name_id) return &variable.second;
  }
  return nullptr;
}

void Scope::set(int32_t name_id, Value value) {
  for (auto& variable : variables) {
    if (variable.first != name_id) continue;
    variable.second = std::move(value);
    return;
  }
  variables.emplace_back(name_id, std::move(value));
}

Interpreter::Interpreter(const Template& source, JinjaBudget& budget)
    : source_(source), heap_(budget), scope_(std::make_shared<Scope>()) {
  set_globals(*this);
}

Interpreter::~Interpreter() {
  for (const auto& scope : captured_) scope->variables.clear();
  scope_->variables.clear();
}

bool Interpreter::uses(std::string_view name) const {
  return std::find(source_.names.begin(), source_.names.end(), name) != source_.names.end();
}

void Interpreter::set_global(std::string_view name, Value value) {
  const auto it = std::find(source_.names.begin(), source_.names.end(), name);
  if (it != source_.names.end())
    scope_->set(static_cast<int32_t>(it - source_.names.begin()), std::move(value));
}

Result<JinjaText> Interpreter::run() {
  if (budget().failed()) return Error{ErrorCode::kExhausted, budget().reason()};
  // What the template sets is inside what it is given.
  auto globals = scope_;
  scope_ = std::make_shared<Scope>();
  scope_->outer = globals;
  captured_.push_back(globals);
  TextBuilder out(heap_);
  out_ = &out;
  auto flow = execute(source_.body);
  if (flow.ok() && budget().failed()) flow = Error{ErrorCode::kExhausted, budget().reason()};
  if (!flow.ok()) {
    Error error = std::move(flow).error();
    error.message = str_cat("template line ", line_, ": ", error.message);
    return error;
  }
  return out.take();
}

Result<Interpreter::Flow> Interpreter::execute(const Body& body) {
  for (const auto& statement : body) {
    FATHOM_TRY(const Flow flow, execute(*statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::execute(const Statement& statement) {
  const Depth depth(*this);
  FATHOM_RETURN_IF_ERROR(depth.check());
  line_ = statement.line;
  if (!budget().step()) return Error{ErrorCode::kExhausted, budget().reason()};
  Status status;
  switch (statement.kind) {
    case StatementKind::kText:
      out_->append(statement.value.text());
      break;
    case StatementKind::kOutput:
      status = execute_output(statement);
      break;
    case StatementKind::kIf:
      return execute_if(statement);
    case StatementKind::kFor:
      return execute_for(statement);
    case StatementKind::kSet: {
      FATHOM_TRY(Value value, evaluate(*statement.exprs[1]));
      status = assign(*statement.exprs[0], std::move(value));
      break;
    }
    case StatementKind::kSetBlock:
      status = execute_set_block(statement);
      break;
    case StatementKind::kWith:
      return execute_with(statement);
    case StatementKind::kMacro:
      status = execute_macro(statement);
      break;
    case StatementKind::kCallBlock:
      status = execute_call_block(statement);
      break;
    case StatementKind::kFilterBlock:
      status = execute_filter_block(statement);
      break;
    case StatementKind::kScope:
      return execute_in_scope(statement.bodies[0]);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  FATHOM_RETURN_IF_ERROR(status);
  if (static_cast<int64_t>(out_->size()) > budget().limits().output_bytes) {
    budget().fail(
        str_cat("the template writes more than ", budget().limits().output_bytes, " bytes"));
  }
  if (budget().failed()) return Error{ErrorCode::kExhausted, budget().reason()};
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::execute_in_scope(const Body& body) {
  auto outer = scope_;
  scope_ = std::make_shared<Scope>();
  scope_->outer = outer;
  auto flow = execute(body);
  scope_ = std::move(outer);
  return flow;
}

Result<Interpreter::Flow> Interpreter::execute_if(const Statement& statement) {
  for (size_t i = 0; i < statement.exprs.size(); ++i) {
    FATHOM_TRY(const Value test, evaluate(*statement.exprs[i]));
    if (truthy(test)) return execute(statement.bodies[i]);
  }
  if (statement.bodies.size() > statement.exprs.size()) return execute(statement.bodies.back());
  return Flow::kNext;
}

Status Interpreter::execute_output(const Statement& statement) {
  for (const ExprPtr& expr : statement.exprs) {
    FATHOM_TRY(const Value value, evaluate(*expr));
    FATHOM_RETURN_IF_ERROR(append_text(*out_, value));
  }
  return {};
}

// The text that body writes, with variables of its own.
Result<Value> Interpreter::capture(const Body& body) {
  TextBuilder text(heap_);
  TextBuilder* outer = std::exchange(out_, &text);
  auto flow = execute_in_scope(body);
  out_ = outer;
  if (!flow.ok()) return std::move(flow).error();
  return text.value();
}

Status Interpreter::execute_set_block(const Statement& statement) {
  FATHOM_TRY(Value text, capture(statement.bodies[0]));
  if (statement.exprs.size() > 1) {
    FATHOM_TRY(text, evaluate_filter(*statement.exprs[1], &text));
  }
  return assign(*statement.exprs[0], std::move(text));
}

Status Interpreter::execute_filter_block(const Statement& statement) {
  FATHOM_TRY(Value text, capture(statement.bodies[0]));
  FATHOM_TRY(text, evaluate_filter(*statement.exprs[0], &text));
  return append_text(*out_, text);
}

Result<Interpreter::Flow> Interpreter::execute_with(const Statement& statement) {
  auto inner = std::make_shared<Scope>();
  inner->outer = scope_;
  Values values;
  for (size_t i = 1; i < statement.exprs.size(); i += 2) {
    FATHOM_TRY(Value value, evaluate(*statement.exprs[i]));
    values.push_back(std::move(value));
  }
  auto outer = std::exchange(scope_, inner);
  Status status;
  for (size_t i = 0; i < values.size() && status.ok(); ++i)
    status = assign(*statement.exprs[2 * i], values[i]);
  Result<Flow> flow = status.ok() ? execute(statement.bodies[0]) : Result<Flow>(status.error());
  scope_ = std::move(outer);
  return flow;
}

Result<Value> Interpreter::make_macro(const MacroDefinition& definition) {
  auto data = std::make_shared<MacroData>();
  data->definition = &definition;
  data->scope = scope_;
  heap_.charge(*data, static_cast<int64_t>(sizeof(MacroData) + sizeof(Scope) + 64));
  if (captured_.empty() || captured_.back() != scope_) captured_.push_back(scope_);
  Value value;
  value.kind = Kind::kMacro;
  value.object = std::move(data);
  return value;
}

Status Interpreter::execute_macro(const Statement& statement) {
  FATHOM_TRY(Value macro, make_macro(*statement.macro));
  scope_->set(statement.macro->name_id, std::move(macro));
  return {};
}

Status Interpreter::execute_call_block(const Statement& statement) {
  const Expr& expr = *statement.exprs[0];
  FATHOM_TRY(const Value function, evaluate(*expr.children[0]));
  FATHOM_TRY(CallArguments arguments, evaluate_arguments(*expr.arguments));
  FATHOM_TRY(Value caller, make_macro(*statement.macro));
  arguments.named.emplace_back("caller", std::move(caller));
  FATHOM_TRY(const Value text, call(function, arguments));
  return append_text(*out_, text);
}

Status Interpreter::bind_macro_arguments(const MacroData& macro, const CallArguments& arguments) {
  const MacroDefinition& definition = *macro.definition;
  const size_t n = definition.parameters.size();
  if (arguments.positional.size() > n && !definition.uses_varargs) {
    return invalid_error("the macro '", definition.name, "' takes at most ", n, " arguments, got ",
                         arguments.positional.size());
  }
  std::vector<Member> others;
  Value caller;
  for (const auto& [name, value] : arguments.named) {
    const auto it =
        std::find(definition.parameter_names.begin(), definition.parameter_names.end(), name);
    if (it != definition.parameter_names.end()) {
      if (static_cast<size_t>(it - definition.parameter_names.begin()) <
          arguments.positional.size()) {
        return invalid_error("the macro '", definition.name, "' got the argument '", name,
                             "' twice");
      }
    } else if (name == "caller" && definition.uses_caller) {
      caller = value;
    } else if (definition.uses_kwargs) {
      others.emplace_back(heap_.string(name, true), value);
    } else {
      return invalid_error("the macro '", definition.name, "' has no argument '", name, "'");
    }
  }
  const size_t first_default = n - definition.defaults.size();
  for (size_t i = 0; i < n; ++i) {
    Value value;
    if (const Value* given = arguments.get(i, definition.parameter_names[i]); given != nullptr) {
      value = *given;
    } else if (i >= first_default) {
      FATHOM_TRY(value, evaluate(*definition.defaults[i - first_default]));
    } else {
      value = heap_.undefined(
          str_cat("parameter '", definition.parameter_names[i], "' was not provided"));
    }
    scope_->set(definition.parameters[i], std::move(value));
  }
  if (definition.uses_varargs) {
    const size_t used = std::min(n, arguments.positional.size());
    Values rest(arguments.positional.begin() + static_cast<ptrdiff_t>(used),
                arguments.positional.end());
    scope_->set(kNameVarargs, heap_.tuple(std::move(rest)));
  }
  if (definition.uses_kwargs) scope_->set(kNameKwargs, heap_.dict(std::move(others)));
  if (definition.uses_caller &&
      std::find(definition.parameters.begin(), definition.parameters.end(), kNameCaller) ==
          definition.parameters.end()) {
    scope_->set(kNameCaller, std::move(caller));
  }
  return {};
}

Result<Value> Interpreter::call_macro(const MacroData& macro, const CallArguments& arguments) {
  const Depth depth(*this);
  FATHOM_RETURN_IF_ERROR(depth.check());
  auto inner = std::make_shared<Scope>();
  inner->outer = macro.scope;
  auto outer = std::exchange(scope_, inner);
  TextBuilder text(heap_);
  TextBuilder* out = std::exchange(out_, &text);
  Status status = bind_macro_arguments(macro, arguments);
  if (status.ok()) {
    auto flow = execute(macro.definition->body);
    if (!flow.ok()) status = std::move(flow).error();
  }
  out_ = out;
  scope_ = std::move(outer);
  FATHOM_RETURN_IF_ERROR(status);
  return text.value();
}

Status Interpreter::assign(const Expr& target, Value value) {
  if (target.kind == ExprKind::kName) {
    scope_->set(target.name_id, std::move(value));
    return {};
  }
  if (target.kind == ExprKind::kNsRef) {
    FATHOM_TRY(const Value object, evaluate_name(target));
    if (!object.is(Kind::kNamespace))
      return invalid_error("only a namespace's attributes can be set");
    auto& members = object.name_space().members;
    for (auto& member : members) {
      if (member.first == target.text) return member.second = std::move(value), Status();
    }
    members.emplace_back(target.text, std::move(value));
    return {};
  }
  FATHOM_TRY(Values items, iterate(heap_, value));
  if (items.size() != target.children.size()) {
    return invalid_error("expected ", target.children.size(), " values to unpack, got ",
                         items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) {
    FATHOM_RETURN_IF_ERROR(assign(*target.children[i], std::move(items[i])));
  }
  return {};
}

}  // namespace fathom::jinja
