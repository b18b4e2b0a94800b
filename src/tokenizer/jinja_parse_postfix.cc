// What follows an expression: attributes, indices, calls, filters and tests.
#include <algorithm>
#include <utility>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_parser_internal.h"
#include "tokenizer/jinja_tests.h"

namespace fathom::jinja {

Result<ExprPtr> Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (at_op(".") || at_op("[")) {
      FATHOM_TRY(expr, parse_subscript(std::move(expr)));
    } else if (at_op("(")) {
      FATHOM_TRY(expr, parse_call(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::parse_subscript(ExprPtr object) {
  ExprPtr expr = node(ExprKind::kItem);
  if (skip_op(".")) {
    if (at(TokenType::kName)) {
      expr->kind = ExprKind::kAttribute;
      expr->text = token().text;
      advance();
      expr->children.push_back(std::move(object));
      return finish(std::move(expr));
    }
    if (!at(TokenType::kInteger))
      return fail(str_cat("expected a name or a number after '.', got ", token().describe()));
    FATHOM_TRY(ExprPtr index, parse_number());
    expr->children.push_back(std::move(object));
    expr->children.push_back(std::move(index));
    return finish(std::move(expr));
  }
  FATHOM_RETURN_IF_ERROR(expect_op("["));
  ExprPtr indices = node(ExprKind::kTuple);
  while (!at_op("]")) {
    if (!indices->children.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    FATHOM_TRY(ExprPtr index, parse_index());
    indices->children.push_back(std::move(index));
  }
  advance();
  if (indices->children.size() == 1) {
    indices = std::move(indices->children[0]);
  } else {
    if (std::any_of(indices->children.begin(), indices->children.end(),
                    [](const ExprPtr& index) { return index->kind == ExprKind::kSlice; })) {
      return syntax_error(indices->line, "slices in several dimensions are not supported");
    }
    FATHOM_TRY(indices, finish(std::move(indices)));
  }
  expr->children.push_back(std::move(object));
  expr->children.push_back(std::move(indices));
  return finish(std::move(expr));
}

Result<ExprPtr> Parser::parse_index() {
  ExprPtr slice = node(ExprKind::kSlice);
  ExprPtr part;
  if (!at_op(":")) {
    FATHOM_TRY(part, parse_expression());
    if (!at_op(":")) return part;
  }
  slice->children.push_back(std::move(part));
  for (int i = 0; i < 2; ++i) {
    part = nullptr;
    if (skip_op(":") && !at_op(":") && !at_op("]") && !at_op(",")) {
      FATHOM_TRY(part, parse_expression());
    }
    slice->children.push_back(std::move(part));
  }
  return finish(std::move(slice));
}

Result<ExprPtr> Parser::parse_call(ExprPtr function) {
  ExprPtr expr = node(ExprKind::kCall);
  FATHOM_TRY(expr->arguments, parse_arguments());
  expr->children.push_back(std::move(function));
  return finish(std::move(expr));
}

Result<std::unique_ptr<Arguments>> Parser::parse_arguments() {
  auto arguments = std::make_unique<Arguments>();
  FATHOM_RETURN_IF_ERROR(expect_op("("));
  for (bool first = true; !at_op(")"); first = false) {
    if (!first) {
      FATHOM_RETURN_IF_ERROR(expect_op(","));
      if (at_op(")")) break;
    }
    FATHOM_RETURN_IF_ERROR(parse_argument(*arguments));
  }
  advance();
  return arguments;
}

Status Parser::parse_argument(Arguments& arguments) {
  const bool is_star = at_op("*"), is_star_star = at_op("**");
  const bool is_named = at(TokenType::kName) && look().is_op("=");
  const bool after_star = arguments.star != nullptr;
  if (arguments.star_star != nullptr || (is_star && after_star) ||
      (!is_star && !is_star_star && !is_named && (after_star || !arguments.named.empty()))) {
    return fail("arguments of a call stand in the order: plain, name=value, *list, **dict");
  }
  std::string name;
  if (is_star || is_star_star) {
    advance();
  } else if (is_named) {
    name = token().text;
    const auto same_name = [&](const auto& other) { return other.first == name; };
    if (std::any_of(arguments.named.begin(), arguments.named.end(), same_name)) {
      return fail(str_cat("the argument '", name, "' is given twice"));
    }
    advance();
    advance();
  }
  FATHOM_TRY(ExprPtr value, parse_expression());
  if (is_star) {
    arguments.star = std::move(value);
  } else if (is_star_star) {
    arguments.star_star = std::move(value);
  } else if (is_named) {
    arguments.named.emplace_back(std::move(name), std::move(value));
  } else {
    arguments.positional.push_back(std::move(value));
  }
  return {};
}

Result<std::string> Parser::parse_dotted_name() {
  FATHOM_TRY(std::string name, expect_name());
  while (skip_op(".")) {
    FATHOM_TRY(const std::string part, expect_name());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> Parser::parse_filters(ExprPtr expr) {
  while (true) {
    if (skip_op("|")) {
      FATHOM_TRY(expr, parse_filter(std::move(expr)));
    } else if (at_name("is")) {
      FATHOM_TRY(expr, parse_test(std::move(expr)));
    } else if (at_op("(")) {
      FATHOM_TRY(expr, parse_call(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::parse_filter(ExprPtr expr) {
  ExprPtr filter = node(ExprKind::kFilter);
  FATHOM_TRY(filter->text, parse_dotted_name());
  filter->filter = find_filter(filter->text);
  if (filter->filter == nullptr && n_branches_ == 0) {
    return syntax_error(filter->line, str_cat("there is no filter '", filter->text, "'"));
  }
  filter->arguments = std::make_unique<Arguments>();
  if (at_op("(")) {
    FATHOM_TRY(filter->arguments, parse_arguments());
  }
  filter->children.push_back(std::move(expr));
  return finish(std::move(filter));
}

Result<ExprPtr> Parser::parse_test(ExprPtr expr) {
  ExprPtr test = node(ExprKind::kTest);
  advance();
  const bool negated = skip_name("not");
  FATHOM_TRY(test->text, parse_dotted_name());
  test->test = find_test(test->text);
  if (test->test == nullptr && n_branches_ == 0) {
    return syntax_error(test->line, str_cat("there is no test '", test->text, "'"));
  }
  test->arguments = std::make_unique<Arguments>();
  const bool at_value = at(TokenType::kName) || at(TokenType::kString) || at(TokenType::kInteger) ||
                        at(TokenType::kFloat) || at_op("[") || at_op("{");
  if (at_op("(")) {
    FATHOM_TRY(test->arguments, parse_arguments());
  } else if (at_value && !at_name("else") && !at_name("or") && !at_name("and")) {
    if (at_name("is")) return fail("tests cannot be chained with 'is'");
    const Level level(depth_);
    FATHOM_RETURN_IF_ERROR(check_depth());
    FATHOM_TRY(ExprPtr argument, parse_primary());
    FATHOM_TRY(argument, parse_postfix(std::move(argument)));
    test->arguments->positional.push_back(std::move(argument));
  }
  test->children.push_back(std::move(expr));
  FATHOM_TRY(test, finish(std::move(test)));
  if (!negated) return test;
  ExprPtr negation = node(ExprKind::kNot);
  negation->children.push_back(std::move(test));
  return finish(std::move(negation));
}

}  // namespace fathom::jinja
