// Expressions: how each node gets its value.
#include <algorithm>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_interpreter_internal.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_tests.h"

namespace fathom::jinja {

const Value* CallArguments::get(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& argument : named) {
    if (argument.first == name) return &argument.second;
  }
  return nullptr;
}

Status CallArguments::check(std::string_view function,
                            std::initializer_list<std::string_view> names) const {
  if (positional.size() > names.size()) {
    return invalid_error(function, "() takes at most ", names.size(), " arguments, got ",
                         positional.size());
  }
  for (const auto& argument : named) {
    const auto it = std::find(names.begin(), names.end(), argument.first);
    if (it == names.end())
      return invalid_error(function, "() has no argument '", argument.first, "'");
    if (static_cast<size_t>(it - names.begin()) < positional.size()) {
      return invalid_error(function, "() got the argument '", argument.first, "' twice");
    }
  }
  return {};
}

Result<Value> Interpreter::evaluate(const Expr& expr) {
  const Depth depth(*this);
  FATHOM_RETURN_IF_ERROR(depth.check());
  line_ = expr.line;
  budget().step();
  auto value = evaluate_node(expr);
  if (budget().failed()) return Error{ErrorCode::kExhausted, budget().reason()};
  return value;
}

Result<Value> Interpreter::evaluate_node(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.value;
    case ExprKind::kName:
      return evaluate_name(expr);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return evaluate_sequence(expr);
    case ExprKind::kDict:
      return evaluate_dict(expr);
    case ExprKind::kNot: {
      FATHOM_TRY(const Value value, evaluate(*expr.children[0]));
      return Value::boolean(!truthy(value));
    }
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      FATHOM_TRY(const Value value, evaluate(*expr.children[0]));
      FATHOM_TRY(const Value negative, negate(value));
      return expr.kind == ExprKind::kNegative ? Result<Value>(negative) : negate(negative);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      FATHOM_TRY(Value left, evaluate(*expr.children[0]));
      if (truthy(left) == (expr.kind == ExprKind::kOr)) return left;
      return evaluate(*expr.children[1]);
    }
    case ExprKind::kBinary:
      return evaluate_binary(expr);
    case ExprKind::kConcat:
      return evaluate_concat(expr);
    case ExprKind::kCompare:
      return evaluate_compare(expr);
    case ExprKind::kCondition:
      return evaluate_condition(expr);
    case ExprKind::kAttribute: {
      FATHOM_TRY(const Value object, evaluate(*expr.children[0]));
      return attribute(object, expr.text);
    }
    case ExprKind::kItem:
      return evaluate_item(expr);
    case ExprKind::kCall:
      return evaluate_call(expr);
    case ExprKind::kFilter:
      return evaluate_filter(expr, nullptr);
    case ExprKind::kTest:
      return evaluate_test(expr);
    case ExprKind::kNsRef:
    case ExprKind::kSlice:
      break;
  }
  return invalid_error("this expression has no value of its own");
}

Result<Value> Interpreter::evaluate_name(const Expr& expr) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer.get()) {
    if (const Value* value = scope->find(expr.name_id); value != nullptr) return *value;
    budget().step();
  }
  return heap_.undefined(
      str_cat("'", source_.names[static_cast<size_t>(expr.name_id)], "' is undefined"));
}

Result<Value> Interpreter::evaluate_sequence(const Expr& expr) {
  Values items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) {
    FATHOM_TRY(Value item, evaluate(*child));
    items.push_back(std::move(item));
  }
  return heap_.sequence(expr.kind == ExprKind::kList ? SequenceKind::kList : SequenceKind::kTuple,
                        std::move(items));
}

Result<Value> Interpreter::evaluate_dict(const Expr& expr) {
  std::vector<Member> members;
  for (size_t i = 0; i + 1 < expr.children.size(); i += 2) {
    FATHOM_TRY(Value key, evaluate(*expr.children[i]));
    FATHOM_TRY(Value value, evaluate(*expr.children[i + 1]));
    if (!hashable(key)) return invalid_error("a ", type_name(key), " cannot be a key of a dict");
    members.emplace_back(std::move(key), std::move(value));
  }
  return heap_.dict(std::move(members));
}

Result<Value> Interpreter::evaluate_compare(const Expr& expr) {
  FATHOM_TRY(Value left, evaluate(*expr.children[0]));
  for (size_t i = 0; i < expr.compare_ops.size(); ++i) {
    FATHOM_TRY(Value right, evaluate(*expr.children[i + 1]));
    bool holds = false;
    const CompareOp op = expr.compare_ops[i];
    if (op == CompareOp::kEqual || op == CompareOp::kNotEqual) {
      holds = equal(left, right) == (op == CompareOp::kEqual);
    } else if (op == CompareOp::kIn || op == CompareOp::kNotIn) {
      FATHOM_TRY(const bool found, contains(heap_, right, left));
      holds = found == (op == CompareOp::kIn);
    } else {
      FATHOM_TRY(const int order, compare(left, right));
      holds = op == CompareOp::kLess        ? order < 0
              : op == CompareOp::kLessEqual ? order <= 0
              : op == CompareOp::kGreater   ? order > 0
                                            : order >= 0;
    }
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::evaluate_concat(const Expr& expr) {
  Values parts;
  for (const ExprPtr& child : expr.children) {
    FATHOM_TRY(Value part, evaluate(*child));
    parts.push_back(std::move(part));
  }
  const bool markup =
      std::any_of(parts.begin(), parts.end(), [](const Value& part) { return part.markup; });
  TextBuilder out(heap_);
  for (const Value& part : parts) {
    FATHOM_RETURN_IF_ERROR(markup ? append_escaped(out, part) : append_text(out, part));
  }
  return out.value(markup);
}

Result<Value> Interpreter::evaluate_binary(const Expr& expr) {
  FATHOM_TRY(const Value left, evaluate(*expr.children[0]));
  FATHOM_TRY(const Value right, evaluate(*expr.children[1]));
  line_ = expr.line;
  return binary(heap_, expr.op, left, right);
}

Result<Value> Interpreter::evaluate_condition(const Expr& expr) {
  FATHOM_TRY(const Value test, evaluate(*expr.children[0]));
  if (truthy(test)) return evaluate(*expr.children[1]);
  if (expr.children.size() > 2) return evaluate(*expr.children[2]);
  return heap_.undefined("an if without else gave no value here");
}

Result<Value> Interpreter::evaluate_item(const Expr& expr) {
  FATHOM_TRY(const Value object, evaluate(*expr.children[0]));
  const Expr& index = *expr.children[1];
  if (index.kind != ExprKind::kSlice) {
    FATHOM_TRY(const Value key, evaluate(index));
    return item(object, key);
  }
  Value bounds[3] = {Value::none(), Value::none(), Value::none()};
  for (size_t i = 0; i < 3; ++i) {
    if (index.children[i] == nullptr) continue;
    FATHOM_TRY(bounds[i], evaluate(*index.children[i]));
  }
  return slice(heap_, object, bounds[0], bounds[1], bounds[2]);
}

Result<CallArguments> Interpreter::evaluate_arguments(const Arguments& arguments) {
  CallArguments out;
  for (const ExprPtr& argument : arguments.positional) {
    FATHOM_TRY(Value value, evaluate(*argument));
    out.positional.push_back(std::move(value));
  }
  for (const auto& [name, argument] : arguments.named) {
    FATHOM_TRY(Value value, evaluate(*argument));
    out.named.emplace_back(name, std::move(value));
  }
  if (arguments.star != nullptr) {
    FATHOM_TRY(const Value list, evaluate(*arguments.star));
    FATHOM_TRY(Values items, iterate(heap_, list));
    for (Value& value : items) out.positional.push_back(std::move(value));
  }
  if (arguments.star_star != nullptr) {
    FATHOM_TRY(const Value dict, evaluate(*arguments.star_star));
    if (!dict.is(Kind::kDict)) return invalid_error("** needs a dict, got ", type_name(dict));
    for (const auto& [key, value] : dict.dict().members()) {
      if (!key.is_string()) return invalid_error("names of arguments must be texts");
      out.named.emplace_back(std::string(key.view()), value);
    }
  }
  return out;
}

Result<Value> Interpreter::evaluate_call(const Expr& expr) {
  FATHOM_TRY(const Value function, evaluate(*expr.children[0]));
  FATHOM_TRY(const CallArguments arguments, evaluate_arguments(*expr.arguments));
  line_ = expr.line;
  return call(function, arguments);
}

Result<Value> Interpreter::evaluate_filter(const Expr& expr, const Value* block) {
  Value input;
  if (expr.children[0] == nullptr) {
    FATHOM_CHECK(block != nullptr, "a filter without input");
    input = *block;
  } else if (block != nullptr && expr.children[0]->kind == ExprKind::kFilter) {
    FATHOM_TRY(input, evaluate_filter(*expr.children[0], block));
  } else {
    FATHOM_TRY(input, evaluate(*expr.children[0]));
  }
  FATHOM_TRY(const CallArguments arguments, evaluate_arguments(*expr.arguments));
  line_ = expr.line;
  if (expr.filter == nullptr) return invalid_error("there is no filter '", expr.text, "'");
  return expr.filter->apply(*this, input, arguments);
}

Result<Value> Interpreter::evaluate_test(const Expr& expr) {
  FATHOM_TRY(const Value input, evaluate(*expr.children[0]));
  FATHOM_TRY(const CallArguments arguments, evaluate_arguments(*expr.arguments));
  line_ = expr.line;
  FATHOM_TRY(const bool holds, apply_test(expr.text, input, arguments));
  return Value::boolean(holds);
}

Result<Value> Interpreter::apply_filter(std::string_view name, const Value& input,
                                        const CallArguments& arguments) {
  const Filter* filter = find_filter(name);
  if (filter == nullptr) return invalid_error("there is no filter '", name, "'");
  return filter->apply(*this, input, arguments);
}

Result<bool> Interpreter::apply_test(std::string_view name, const Value& input,
                                     const CallArguments& arguments) {
  const Test* test = find_test(name);
  if (test == nullptr) return invalid_error("there is no test '", name, "'");
  const size_t n = arguments.positional.size() + arguments.named.size();
  if (n != static_cast<size_t>(test->n_arguments)) {
    return invalid_error("the test '", name, "' takes ", test->n_arguments, " arguments, got ", n);
  }
  const Value* argument = n == 0                             ? nullptr
                          : arguments.positional.size() == 1 ? arguments.positional.data()
                                                             : &arguments.named[0].second;
  return test->apply(input, argument, *this);
}

}  // namespace fathom::jinja
