// Statements: {% if %}, {% for %}, {% set %} and the others.
#include <algorithm>
#include <array>
#include <utility>

#include "tokenizer/jinja_parser.h"
#include "tokenizer/jinja_parser_internal.h"

namespace fathom::jinja {

Parser::Parser(std::vector<Token> tokens, const JinjaLimits& limits)
    : tokens_(std::move(tokens)), limits_(limits) {
  for (const std::string_view name : {"loop", "varargs", "kwargs", "caller"}) name_id(name);
}

Result<Template> Parser::parse() {
  Template result;
  FATHOM_TRY(result.body, parse_body({}, nullptr));
  result.names = std::move(names_);
  return result;
}

bool Parser::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  advance();
  return true;
}

bool Parser::skip_name(std::string_view word) {
  if (!at_name(word)) return false;
  advance();
  return true;
}

void Parser::advance() {
  if (next_ + 1 < tokens_.size()) ++next_;
}

Error Parser::unexpected(std::string_view expected) const {
  return fail(str_cat("expected ", expected, ", got ", token().describe()));
}

Status Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) return unexpected(str_cat("'", op, "'"));
  return {};
}

Status Parser::expect(TokenType type, std::string_view what) {
  if (!at(type)) return unexpected(what);
  advance();
  return {};
}

Result<std::string> Parser::expect_name() {
  if (!at(TokenType::kName)) return unexpected("a name");
  std::string name = token().text;
  advance();
  return name;
}

Status Parser::check_depth() const {
  if (depth_ > limits_.nesting)
    return fail(str_cat("nested deeper than ", limits_.nesting, " levels"));
  return {};
}

int32_t Parser::name_id(std::string_view name) {
  const auto [it, is_new] = ids_.emplace(name, static_cast<int32_t>(names_.size()));
  if (is_new) names_.emplace_back(name);
  return it->second;
}

ExprPtr Parser::node(ExprKind kind) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = token().line;
  return expr;
}

Parser::StatementPtr Parser::statement(StatementKind kind) const {
  auto result = std::make_unique<Statement>();
  result->kind = kind;
  result->line = token().line;
  return result;
}

// Up to a tag that begins with one of end_words, which is left as the current token and put into
// *found; up to the end of the template if there are none.
Result<Body> Parser::parse_body(const std::vector<std::string_view>& end_words,
                                std::string* found) {
  const Level level(depth_);
  FATHOM_RETURN_IF_ERROR(check_depth());
  Body body;
  while (!at(TokenType::kEnd)) {
    StatementPtr next;
    if (at(TokenType::kData)) {
      next = statement(StatementKind::kText);
      next->value = literal_string(token().text);
      advance();
    } else if (at(TokenType::kVariableBegin)) {
      next = statement(StatementKind::kOutput);
      advance();
      FATHOM_TRY(ExprPtr expr, parse_tuple(TupleMode::kPlain));
      next->exprs.push_back(std::move(expr));
      FATHOM_RETURN_IF_ERROR(expect(TokenType::kVariableEnd, "end of print statement"));
    } else {
      advance();
      if (at(TokenType::kEnd)) return fail("the template ends inside a tag");
      if (!at(TokenType::kName))
        return fail(str_cat("expected the name of a tag, got ", token().describe()));
      if (std::find(end_words.begin(), end_words.end(), token().text) != end_words.end()) {
        *found = token().text;
        return body;
      }
      if (token().text.starts_with("end") || at_name("else") || at_name("elif")) {
        return unknown_tag(token().text, end_words);
      }
      FATHOM_TRY(next, parse_statement());
      FATHOM_RETURN_IF_ERROR(expect(TokenType::kBlockEnd, "end of statement block"));
    }
    body.push_back(std::move(next));
  }
  if (!end_words.empty())
    return fail(str_cat("the template ends where '", end_words.back(), "' was expected"));
  return body;
}

// After the words of an opening tag: its body and the end word, which is taken.
Result<Body> Parser::parse_block_body(const std::vector<std::string_view>& end_words,
                                      std::string* found) {
  skip_op(":");
  FATHOM_RETURN_IF_ERROR(expect(TokenType::kBlockEnd, "end of statement block"));
  std::string word;
  FATHOM_TRY(Body body, parse_body(end_words, &word));
  advance();
  if (found != nullptr) *found = word;
  return body;
}

Error Parser::unknown_tag(std::string_view tag,
                          const std::vector<std::string_view>& end_words) const {
  static constexpr std::array<std::string_view, 7> kOtherFiles = {
      "include", "import", "from", "extends", "block", "do", "autoescape"};
  if (std::find(kOtherFiles.begin(), kOtherFiles.end(), tag) != kOtherFiles.end()) {
    return Error{ErrorCode::kUnsupported,
                 fail(str_cat("the tag '", tag, "' is not supported in a chat template")).message};
  }
  if (end_words.empty()) return fail(str_cat("unknown tag '", tag, "'"));
  return fail(str_cat("unknown tag '", tag, "'; '", end_words.back(),
                      "' would close the block that is open here"));
}

Result<Parser::StatementPtr> Parser::parse_statement() {
  const std::string& tag = token().text;
  if (tag == "if") return parse_if();
  if (tag == "for") return parse_for();
  if (tag == "set") return parse_set();
  if (tag == "with") return parse_with();
  if (tag == "macro") return parse_macro();
  if (tag == "call") return parse_call_block();
  if (tag == "filter") return parse_filter_block();
  if (tag == "print") return parse_print();
  if (tag == "break" || tag == "continue") return parse_loop_control();
  // Marks the assistant's words for training; rendering passes through it.
  if (tag == "generation") return parse_scope("endgeneration");
  return unknown_tag(tag, {});
}

Result<Parser::StatementPtr> Parser::parse_if() {
  StatementPtr result = statement(StatementKind::kIf);
  ++n_branches_;
  for (std::string word = "if"; word != "endif";) {
    if (word != "else") {
      if (word == "if") advance();
      FATHOM_TRY(ExprPtr test, parse_tuple(TupleMode::kNoCondition));
      result->exprs.push_back(std::move(test));
    }
    const bool is_last = word == "else";
    FATHOM_TRY(Body body,
               parse_block_body(is_last ? std::vector<std::string_view>{"endif"}
                                        : std::vector<std::string_view>{"elif", "else", "endif"},
                                &word));
    result->bodies.push_back(std::move(body));
  }
  --n_branches_;
  return result;
}

Result<Parser::StatementPtr> Parser::parse_for() {
  StatementPtr result = statement(StatementKind::kFor);
  advance();
  FATHOM_TRY(ExprPtr target, parse_target(false, "in"));
  if (!skip_name("in")) return unexpected("'in'");
  FATHOM_TRY(ExprPtr list, parse_tuple(TupleMode::kNoCondition, "recursive"));
  result->exprs.push_back(std::move(target));
  result->exprs.push_back(std::move(list));
  if (skip_name("if")) {
    FATHOM_TRY(ExprPtr condition, parse_expression());
    result->exprs.push_back(std::move(condition));
  }
  result->recursive = skip_name("recursive");
  std::string word;
  ++n_loops_;
  FATHOM_TRY(Body body, parse_block_body({"else", "endfor"}, &word));
  --n_loops_;
  result->bodies.push_back(std::move(body));
  if (word == "else") {
    FATHOM_TRY(Body otherwise, parse_block_body({"endfor"}));
    result->bodies.push_back(std::move(otherwise));
  }
  return result;
}

Result<Parser::StatementPtr> Parser::parse_set() {
  StatementPtr result = statement(StatementKind::kSet);
  advance();
  FATHOM_TRY(ExprPtr target, parse_target(true));
  result->exprs.push_back(std::move(target));
  if (skip_op("=")) {
    FATHOM_TRY(ExprPtr value, parse_tuple(TupleMode::kPlain));
    result->exprs.push_back(std::move(value));
    return result;
  }
  result->kind = StatementKind::kSetBlock;
  ExprPtr filters;
  while (skip_op("|")) {
    FATHOM_TRY(filters, parse_filter(std::move(filters)));
  }
  if (filters != nullptr) result->exprs.push_back(std::move(filters));
  FATHOM_TRY(Body body, parse_block_body({"endset"}));
  result->bodies.push_back(std::move(body));
  return result;
}

Result<Parser::StatementPtr> Parser::parse_with() {
  StatementPtr result = statement(StatementKind::kWith);
  advance();
  while (!at(TokenType::kBlockEnd)) {
    if (!result->exprs.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    FATHOM_TRY(ExprPtr target, parse_target_name(false));
    FATHOM_RETURN_IF_ERROR(expect_op("="));
    FATHOM_TRY(ExprPtr value, parse_expression());
    result->exprs.push_back(std::move(target));
    result->exprs.push_back(std::move(value));
  }
  FATHOM_TRY(Body body, parse_block_body({"endwith"}));
  result->bodies.push_back(std::move(body));
  return result;
}

Status Parser::parse_signature(MacroDefinition& macro) {
  FATHOM_RETURN_IF_ERROR(expect_op("("));
  while (!at_op(")")) {
    if (!macro.parameters.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    FATHOM_TRY(std::string name, expect_name());
    if (std::find(macro.parameter_names.begin(), macro.parameter_names.end(), name) !=
        macro.parameter_names.end()) {
      return fail(str_cat("the parameter '", name, "' stands twice"));
    }
    macro.parameters.push_back(name_id(name));
    macro.parameter_names.push_back(std::move(name));
    if (skip_op("=")) {
      FATHOM_TRY(ExprPtr value, parse_expression());
      macro.defaults.push_back(std::move(value));
    } else if (!macro.defaults.empty()) {
      return fail("a parameter without a default follows one with a default");
    }
  }
  advance();
  return {};
}

Result<Body> Parser::parse_macro_body(MacroDefinition& macro, std::string_view end_word) {
  macros_.push_back(&macro);
  const int64_t n_loops = std::exchange(n_loops_, 0);
  auto body = parse_block_body({end_word});
  n_loops_ = n_loops;
  macros_.pop_back();
  return body;
}

Result<Parser::StatementPtr> Parser::parse_macro() {
  StatementPtr result = statement(StatementKind::kMacro);
  advance();
  result->macro = std::make_unique<MacroDefinition>();
  MacroDefinition& macro = *result->macro;
  FATHOM_TRY(macro.name, expect_name());
  macro.name_id = name_id(macro.name);
  FATHOM_RETURN_IF_ERROR(parse_signature(macro));
  FATHOM_TRY(macro.body, parse_macro_body(macro, "endmacro"));
  return result;
}

Result<Parser::StatementPtr> Parser::parse_call_block() {
  StatementPtr result = statement(StatementKind::kCallBlock);
  advance();
  result->macro = std::make_unique<MacroDefinition>();
  result->macro->name = "caller";
  if (at_op("(")) FATHOM_RETURN_IF_ERROR(parse_signature(*result->macro));
  FATHOM_TRY(ExprPtr call, parse_expression());
  if (call->kind != ExprKind::kCall) return syntax_error(result->line, "{% call %} needs a call");
  result->exprs.push_back(std::move(call));
  FATHOM_TRY(result->macro->body, parse_macro_body(*result->macro, "endcall"));
  return result;
}

Result<Parser::StatementPtr> Parser::parse_filter_block() {
  StatementPtr result = statement(StatementKind::kFilterBlock);
  advance();
  ExprPtr filters;
  do {
    FATHOM_TRY(filters, parse_filter(std::move(filters)));
  } while (skip_op("|"));
  result->exprs.push_back(std::move(filters));
  FATHOM_TRY(Body body, parse_block_body({"endfilter"}));
  result->bodies.push_back(std::move(body));
  return result;
}

Result<Parser::StatementPtr> Parser::parse_print() {
  StatementPtr result = statement(StatementKind::kOutput);
  advance();
  while (!at(TokenType::kBlockEnd)) {
    if (!result->exprs.empty()) FATHOM_RETURN_IF_ERROR(expect_op(","));
    FATHOM_TRY(ExprPtr expr, parse_expression());
    result->exprs.push_back(std::move(expr));
  }
  return result;
}

Result<Parser::StatementPtr> Parser::parse_scope(std::string_view end_word) {
  StatementPtr result = statement(StatementKind::kScope);
  advance();
  FATHOM_TRY(Body body, parse_block_body({end_word}));
  result->bodies.push_back(std::move(body));
  return result;
}

Result<Parser::StatementPtr> Parser::parse_loop_control() {
  StatementPtr result =
      statement(at_name("break") ? StatementKind::kBreak : StatementKind::kContinue);
  if (n_loops_ == 0) return fail(str_cat("'", token().text, "' outside a loop"));
  advance();
  return result;
}

Result<ExprPtr> Parser::parse_target_name(bool with_namespace) {
  ExprPtr expr = node(ExprKind::kName);
  if (at_op("(")) {
    const Level level(depth_);
    FATHOM_RETURN_IF_ERROR(check_depth());
    advance();
    FATHOM_TRY(expr, parse_target(with_namespace));
    FATHOM_RETURN_IF_ERROR(expect_op(")"));
    return expr;
  }
  static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none",
                                                                 "True", "False", "None"};
  if (std::find(kConstants.begin(), kConstants.end(), token().text) != kConstants.end()) {
    return fail(str_cat("nothing can be assigned to ", token().describe()));
  }
  FATHOM_TRY(const std::string name, expect_name());
  expr->name_id = name_id(name);
  if (with_namespace && skip_op(".")) {
    expr->kind = ExprKind::kNsRef;
    FATHOM_TRY(expr->text, expect_name());
  }
  return expr;
}

Result<ExprPtr> Parser::parse_target(bool with_namespace, std::string_view end_word) {
  ExprPtr tuple = node(ExprKind::kTuple);
  bool has_comma = false;
  while (!at_tuple_end(end_word)) {
    FATHOM_TRY(ExprPtr item, parse_target_name(with_namespace));
    tuple->children.push_back(std::move(item));
    if (!skip_op(",")) break;
    has_comma = true;
  }
  if (has_comma) return finish(std::move(tuple));
  if (tuple->children.empty()) return unexpected("a name to assign to");
  return std::move(tuple->children[0]);
}

Result<Template> parse_template(std::string_view source, const JinjaLimits& limits) {
  FATHOM_TRY(std::vector<Token> tokens, tokenize(source, limits));
  return Parser(std::move(tokens), limits).parse();
}

}  // namespace fathom::jinja
