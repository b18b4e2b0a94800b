// The parser's class, whose methods stand in two files: expressions and statements.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja_ast.h"
#include "tokenizer/jinja_lexer.h"

namespace fathom::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, const JinjaLimits& limits);

  Result<Template> parse();

 private:
  // Counts levels of recursion for as long as it lives.
  class Level {
   public:
    explicit Level(int64_t& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }

   private:
    int64_t& depth_;
  };

  // The stream.
  const Token& token() const { return tokens_[next_]; }
  const Token& look() const { return tokens_[next_ + 1 < tokens_.size() ? next_ + 1 : next_]; }
  bool at(TokenType type) const { return token().type == type; }
  bool at_op(std::string_view op) const { return token().is_op(op); }
  bool at_name(std::string_view word) const { return token().is_name(word); }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view word);
  void advance();
  Error fail(std::string_view what) const { return syntax_error(token().line, what); }
  Error unexpected(std::string_view expected) const;
  Status expect_op(std::string_view op);
  Status expect(TokenType type, std::string_view what);
  Result<std::string> expect_name();
  Status check_depth() const;

  int32_t name_id(std::string_view name);
  ExprPtr node(ExprKind kind) const;
  // Gives the node its height from its parts and checks it.
  Result<ExprPtr> finish(ExprPtr expr) const;

  // Expressions.
  Result<ExprPtr> parse_expression(bool with_condition = true);
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  bool take_compare_op(CompareOp* op);
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filter);
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> parse_name();
  Result<ExprPtr> parse_number();
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr expr);
  Result<ExprPtr> parse_subscript(ExprPtr object);
  Result<ExprPtr> parse_index();
  Result<ExprPtr> parse_call(ExprPtr function);
  Result<std::unique_ptr<Arguments>> parse_arguments();
  Status parse_argument(Arguments& arguments);
  Result<ExprPtr> parse_filters(ExprPtr expr);
  Result<ExprPtr> parse_filter(ExprPtr expr);  // at the filter's name
  Result<ExprPtr> parse_test(ExprPtr expr);
  Result<std::string> parse_dotted_name();
  enum class TupleMode { kPlain, kParentheses, kNoCondition };
  Result<ExprPtr> parse_tuple(TupleMode mode, std::string_view end_word = {});
  bool at_tuple_end(std::string_view end_word) const;

  // Statements.
  Result<Body> parse_body(const std::vector<std::string_view>& end_words, std::string* found);
  Result<Body> parse_block_body(const std::vector<std::string_view>& end_words,
                                std::string* found = nullptr);
  using StatementPtr = std::unique_ptr<Statement>;
  StatementPtr statement(StatementKind kind) const;
  Result<StatementPtr> parse_statement();
  Result<StatementPtr> parse_if();
  Result<StatementPtr> parse_for();
  Result<StatementPtr> parse_set();
  Result<StatementPtr> parse_with();
  Result<StatementPtr> parse_macro();
  Result<StatementPtr> parse_call_block();
  Result<StatementPtr> parse_filter_block();
  Result<StatementPtr> parse_print();
  Result<StatementPtr> parse_scope(std::string_view end_word);
  Result<StatementPtr> parse_loop_control();
  Status parse_signature(MacroDefinition& macro);
  Result<Body> parse_macro_body(MacroDefinition& macro, std::string_view end_word);
  // Names, tuples of them, and for set also namespace.attribute.
  Result<ExprPtr> parse_target(bool with_namespace, std::string_view end_word = {});
  Result<ExprPtr> parse_target_name(bool with_namespace);
  Error unknown_tag(std::string_view tag, const std::vector<std::string_view>& end_words) const;

  const std::vector<Token> tokens_;  // the last is kEnd
  const JinjaLimits limits_;
  size_t next_ = 0;
  int64_t depth_ = 0;
  int64_t n_branches_ =
      0;  // ifs around: an unknown filter or test is only an error when it is reached
  int64_t n_loops_ = 0;
  std::vector<MacroDefinition*> macros_;  // around this place
  std::map<std::string, int32_t, std::less<>> ids_;
  std::vector<std::string> names_;
};

}  // namespace fathom::jinja
