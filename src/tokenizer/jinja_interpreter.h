// Runs a parsed template. What filters, tests and methods need of it stands in the public part.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tokenizer/jinja_ast.h"
#include "tokenizer/jinja_repr.h"
#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

struct CallArguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at that place or of that name; null if absent.
  const Value* get(size_t position, std::string_view name) const;
  // An error if there are more than these, or others.
  Status check(std::string_view function, std::initializer_list<std::string_view> names) const;
};

// Variables of one block; lookups go on outward.
struct Scope {
  std::shared_ptr<Scope> outer;
  std::vector<std::pair<int32_t, Value>> variables;

  const Value* find(int32_t name_id) const;
  void set(int32_t name_id, Value value);
};

class Interpreter;
struct FunctionData : Object {
  std::string_view name;
  Result<Value> (*call)(Interpreter&, const CallArguments&) = nullptr;
};
struct MethodData : Object {
  Value self;
  std::string name;
};
struct MacroData : Object {
  const MacroDefinition* definition = nullptr;
  std::shared_ptr<Scope> scope;
};
struct LoopData : Object {
  const Statement* statement = nullptr;  // of a recursive loop, else null
  Values items;
  mutable int64_t index = 0;
  int64_t level = 0;
  std::shared_ptr<Scope> scope;
};

class Interpreter {
 public:
  Interpreter(const Template& source, JinjaBudget& budget);
  ~Interpreter();

  void set_global(std::string_view name, Value value);
  // The whole template. Errors name the line.
  Result<JinjaText> run();

  Heap& heap() { return heap_; }
  JinjaBudget& budget() { return heap_.budget(); }
  bool uses(std::string_view name) const;

  // object.name and object[index], as Jinja looks them up.
  Result<Value> attribute(const Value& object, std::string_view name);
  Result<Value> item(const Value& object, const Value& index);
  // "role" or "function.name" or 0, as filters take it; a number indexes.
  Result<Value> dotted_attribute(const Value& object, const Value& path);
  Result<Value> call(const Value& function, const CallArguments& arguments);
  Result<Value> apply_filter(std::string_view name, const Value& input,
                             const CallArguments& arguments);
  Result<bool> apply_test(std::string_view name, const Value& input,
                          const CallArguments& arguments);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class Depth;

  // Statements (jinja_execute.cc). Text goes to out_.
  Result<Flow> execute(const Body& body);
  Result<Flow> execute(const Statement& statement);
  Result<Flow> execute_in_scope(const Body& body);
  Result<Flow> execute_if(const Statement& statement);
  Status execute_output(const Statement& statement);
  Status execute_set_block(const Statement& statement);
  Result<Flow> execute_with(const Statement& statement);
  Status execute_macro(const Statement& statement);
  Status execute_call_block(const Statement& statement);
  Status execute_filter_block(const Statement& statement);
  Result<Flow> execute_for(const Statement& statement);
  Result<Flow> run_loop(const Statement& statement, const Value& list, int64_t level);
  Result<Values> loop_items(const Statement& statement, const Value& list);
  Result<Value> call_loop(const Value& loop, const CallArguments& arguments);
  Result<Value> capture(const Body& body);
  Result<Value> make_macro(const MacroDefinition& definition);
  Result<Value> call_macro(const MacroData& macro, const CallArguments& arguments);
  Status bind_macro_arguments(const MacroData& macro, const CallArguments& arguments);
  Status assign(const Expr& target, Value value);

  // Expressions (jinja_evaluate.cc).
  Result<Value> evaluate(const Expr& expr);
  Result<Value> evaluate_node(const Expr& expr);
  Result<Value> evaluate_name(const Expr& expr);
  Result<Value> evaluate_sequence(const Expr& expr);
  Result<Value> evaluate_dict(const Expr& expr);
  Result<Value> evaluate_compare(const Expr& expr);
  Result<Value> evaluate_concat(const Expr& expr);
  Result<Value> evaluate_binary(const Expr& expr);
  Result<Value> evaluate_condition(const Expr& expr);
  Result<Value> evaluate_item(const Expr& expr);
  Result<Value> evaluate_call(const Expr& expr);
  Result<Value> evaluate_filter(const Expr& expr, const Value* input);
  Result<Value> evaluate_test(const Expr& expr);
  Result<CallArguments> evaluate_arguments(const Arguments& arguments);
  Result<Value> loop_attribute(const LoopData& loop, std::string_view name);

  const Template& source_;
  Heap heap_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>>
      captured_;  // by macros and loops: emptied at the end, for they hold each other
  TextBuilder* out_ = nullptr;
  int32_t line_ = 1;
  int64_t depth_ = 0;
};

// Operators (jinja_operators.cc).
Result<Value> binary(Heap& heap, BinaryOp op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);
Result<Value> slice(Heap& heap, const Value& object, const Value& begin, const Value& end,
                    const Value& step);
// "%s-%d" % values (jinja_format.cc).
Result<Value> percent_format(Heap& heap, const Value& format, const Value& values);
// Methods of texts, lists and dicts (jinja_methods.cc).
enum class MethodStatus { kNone, kSafe, kUnsafe };
MethodStatus find_method(const Value& object, std::string_view name);
Result<Value> call_method(Interpreter& interpreter, const Value& self, std::string_view name,
                          const CallArguments& arguments);
// range, namespace, dict, raise_exception and the other functions that every template sees
// (jinja_globals.cc).
void set_globals(Interpreter& interpreter);

}  // namespace fathom::jinja
