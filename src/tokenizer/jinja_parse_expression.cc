// Expressions, by Jinja's grammar: condition, or, and, not, comparison, sum, ~, product, power,
// sign, postfix, filter.
#include <array>
#include <utility>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_parser_internal.h"
#include "tokenizer/jinja_tests.h"

namespace fathom::jinja {

namespace {

template <typename... Children>
ExprPtr with_children(ExprPtr expr, Children... children) {
  (expr->children.push_back(std::move(children)), ...);
  return expr;
}

void raise_height(int32_t& height, const ExprPtr& part) {
  if (part != nullptr && part->height >= height) height = part->height + 1;
}

}  // namespace

Result<ExprPtr> Parser::finish(ExprPtr expr) const {
  for (const ExprPtr& child : expr->children) raise_height(expr->height, child);
  if (expr->arguments != nullptr) {
    for (const ExprPtr& argument : expr->arguments->positional)
      raise_height(expr->height, argument);
    for (const auto& argument : expr->arguments->named) raise_height(expr->height, argument.second);
    raise_height(expr->height, expr->arguments->star);
    raise_height(expr->height, expr->arguments->star_star);
  }
  if (expr->height > limits_.nesting) {
    return syntax_error(expr->line,
                        str_cat("an expression of more than ", limits_.nesting, " levels"));
  }
  return expr;
}

Result<ExprPtr> Parser::parse_expression(bool with_condition) {
  const Level level(depth_);
  FATHOM_RETURN_IF_ERROR(check_depth());
  if (!with_condition) return parse_or();
  FATHOM_TRY(ExprPtr value, parse_or());
  while (at_name("if")) {
    ExprPtr condition = node(ExprKind::kCondition);
    advance();
    ++n_branches_;
    FATHOM_TRY(ExprPtr test, parse_or());
    condition = with_children(std::move(condition), std::move(test), std::move(value));
    if (skip_name("else")) {
      FATHOM_TRY(ExprPtr otherwise, parse_expression());
      condition->children.push_back(std::move(otherwise));
    }
    --n_branches_;
    FATHOM_TRY(value, finish(std::move(condition)));
  }
  return value;
}

Result<ExprPtr> Parser::parse_or() {
  FATHOM_TRY(ExprPtr left, parse_and());
  while (at_name("or")) {
    ExprPtr expr = node(ExprKind::kOr);
    advance();
    FATHOM_TRY(ExprPtr right, parse_and());
    FATHOM_TRY(left, finish(with_children(std::move(expr), std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> Parser::parse_and() {
  FATHOM_TRY(ExprPtr left, parse_not());
  while (at_name("and")) {
    ExprPtr expr = node(ExprKind::kAnd);
    advance();
    FATHOM_TRY(ExprPtr right, parse_not());
    FATHOM_TRY(left, finish(with_children(std::move(expr), std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> Parser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Level level(depth_);
  FATHOM_RETURN_IF_ERROR(check_depth());
  ExprPtr expr = node(ExprKind::kNot);
  advance();
  FATHOM_TRY(ExprPtr child, parse_not());
  return finish(with_children(std::move(expr), std::move(child)));
}

bool Parser::take_compare_op(CompareOp* op) {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOps = {
      {{"==", CompareOp::kEqual},
       {"!=", CompareOp::kNotEqual},
       {"<", CompareOp::kLess},
       {"<=", CompareOp::kLessEqual},
       {">", CompareOp::kGreater},
       {">=", CompareOp::kGreaterEqual}}};
  for (const auto& [text, candidate] : kOps) {
    if (skip_op(text)) return *op = candidate, true;
  }
  if (skip_name("in")) return *op = CompareOp::kIn, true;
  if (at_name("not") && look().is_name("in")) {
    advance();
    advance();
    return *op = CompareOp::kNotIn, true;
  }
  return false;
}

Result<ExprPtr> Parser::parse_compare() {
  ExprPtr expr = node(ExprKind::kCompare);
  FATHOM_TRY(ExprPtr first, parse_sum());
  CompareOp op;
  if (!take_compare_op(&op)) return first;
  expr->children.push_back(std::move(first));
  do {
    FATHOM_TRY(ExprPtr next, parse_sum());
    expr->compare_ops.push_back(op);
    expr->children.push_back(std::move(next));
  } while (take_compare_op(&op));
  return finish(std::move(expr));
}

Result<ExprPtr> Parser::parse_sum() {
  FATHOM_TRY(ExprPtr left, parse_concat());
  while (at_op("+") || at_op("-")) {
    ExprPtr expr = node(ExprKind::kBinary);
    expr->op = at_op("+") ? BinaryOp::kAdd : BinaryOp::kSubtract;
    advance();
    FATHOM_TRY(ExprPtr right, parse_concat());
    FATHOM_TRY(left, finish(with_children(std::move(expr), std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> Parser::parse_concat() {
  ExprPtr expr = node(ExprKind::kConcat);
  FATHOM_TRY(ExprPtr first, parse_product());
  if (!at_op("~")) return first;
  expr->children.push_back(std::move(first));
  while (skip_op("~")) {
    FATHOM_TRY(ExprPtr next, parse_product());
    expr->children.push_back(std::move(next));
  }
  return finish(std::move(expr));
}

Result<ExprPtr> Parser::parse_product() {
  static constexpr std::array<std::pair<std::string_view, BinaryOp>, 4> kOps = {
      {{"*", BinaryOp::kMultiply},
       {"/", BinaryOp::kDivide},
       {"//", BinaryOp::kFloorDivide},
       {"%", BinaryOp::kModulo}}};
  FATHOM_TRY(ExprPtr left, parse_power());
  for (bool found = true; found;) {
    found = false;
    for (const auto& [text, op] : kOps) {
      if (!at_op(text)) continue;
      found = true;
      ExprPtr expr = node(ExprKind::kBinary);
      expr->op = op;
      advance();
      FATHOM_TRY(ExprPtr right, parse_power());
      FATHOM_TRY(left, finish(with_children(std::move(expr), std::move(left), std::move(right))));
      break;
    }
  }
  return left;
}

Result<ExprPtr> Parser::parse_power() {
  FATHOM_TRY(ExprPtr left, parse_unary(true));
  while (at_op("**")) {
    ExprPtr expr = node(ExprKind::kBinary);
    expr->op = BinaryOp::kPower;
    advance();
    FATHOM_TRY(ExprPtr right, parse_unary(true));
    FATHOM_TRY(left, finish(with_children(std::move(expr), std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> Parser::parse_unary(bool with_filter) {
  ExprPtr expr;
  if (at_op("-") || at_op("+")) {
    const Level level(depth_);
    FATHOM_RETURN_IF_ERROR(check_depth());
    expr = node(at_op("-") ? ExprKind::kNegative : ExprKind::kPositive);
    advance();
    FATHOM_TRY(ExprPtr child, parse_unary(false));
    FATHOM_TRY(expr, finish(with_children(std::move(expr), std::move(child))));
  } else {
    FATHOM_TRY(expr, parse_primary());
  }
  FATHOM_TRY(expr, parse_postfix(std::move(expr)));
  if (!with_filter) return expr;
  return parse_filters(std::move(expr));
}

Result<ExprPtr> Parser::parse_primary() {
  if (at(TokenType::kName)) return parse_name();
  if (at(TokenType::kInteger) || at(TokenType::kFloat)) return parse_number();
  if (at(TokenType::kString)) {
    ExprPtr expr = node(ExprKind::kConst);
    std::string text;
    for (; at(TokenType::kString); advance()) text += token().text;
    expr->value = literal_string(std::move(text));
    return expr;
  }
  if (at_op("[")) return parse_list();
  if (at_op("{")) return parse_dict();
  if (at_op("(")) {
    advance();
    FATHOM_TRY(ExprPtr expr, parse_tuple(TupleMode::kParentheses));
    FATHOM_RETURN_IF_ERROR(expect_op(")"));
    return expr;
  }
  if (at(TokenType::kEnd)) return fail("the template ends inside a tag");
  return fail(str_cat("expected an expression, got ", token().describe()));
}

Result<ExprPtr> Parser::parse_name() {
  const std::string& name = token().text;
  ExprPtr expr = node(ExprKind::kConst);
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    expr->value = Value::boolean(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    expr->value = Value::none();
  } else {
    expr->kind = ExprKind::kName;
    expr->name_id = name_id(name);
    for (MacroDefinition* macro : macros_) {
      macro->uses_varargs |= name == "varargs";
      macro->uses_kwargs |= name == "kwargs";
      macro->uses_caller |= name == "caller";
    }
  }
  advance();
  return expr;
}

Result<ExprPtr> Parser::parse_number() {
  ExprPtr expr = node(ExprKind::kConst);
  if (at(TokenType::kFloat)) {
    const auto value = parse_float(token().text);
    if (!value) return fail(str_cat("bad number ", token().describe()));
    expr->value = Value::number(*value);
  } else {
    const auto value = parse_integer(token().text, 0);
    if (!value)
      return fail(
          str_cat("the integer ", token().describe(), " is malformed or needs more than 128 bits"));
    expr->value = Value::integer(*value);
  }
  advance();
  return expr;
}

Result<ExprPtr> Parser::parse_list() {
  ExprPtr expr = node(ExprKind::kList);
  FATHOM_RETURN_IF_ERROR(expect_op("["));
  while (!at_op("]")) {
    if (!expr->children.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    if (at_op("]")) break;
    FATHOM_TRY(ExprPtr item, parse_expression());
    expr->children.push_back(std::move(item));
  }
  advance();
  return finish(std::move(expr));
}

Result<ExprPtr> Parser::parse_dict() {
  ExprPtr expr = node(ExprKind::kDict);
  FATHOM_RETURN_IF_ERROR(expect_op("{"));
  while (!at_op("}")) {
    if (!expr->children.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    if (at_op("}")) break;
    FATHOM_TRY(ExprPtr key, parse_expression());
    FATHOM_RETURN_IF_ERROR(expect_op(":"));
    FATHOM_TRY(ExprPtr value, parse_expression());
    expr = with_children(std::move(expr), std::move(key), std::move(value));
  }
  advance();
  return finish(std::move(expr));
}

bool Parser::at_tuple_end(std::string_view end_word) const {
  return at(TokenType::kVariableEnd) || at(TokenType::kBlockEnd) || at_op(")") ||
         (!end_word.empty() && at_name(end_word));
}

Result<ExprPtr> Parser::parse_tuple(TupleMode mode, std::string_view end_word) {
  ExprPtr tuple = node(ExprKind::kTuple);
  bool has_comma = false;
  while (!at_tuple_end(end_word)) {
    FATHOM_TRY(ExprPtr item, parse_expression(mode != TupleMode::kNoCondition));
    tuple->children.push_back(std::move(item));
    if (!skip_op(",")) break;
    has_comma = true;
  }
  if (has_comma) return finish(std::move(tuple));
  if (!tuple->children.empty()) return std::move(tuple->children[0]);
  if (mode == TupleMode::kParentheses) return tuple;
  return fail(str_cat("expected an expression, got ", token().describe()));
}

}  // namespace fathom::jinja
