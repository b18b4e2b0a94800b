// A parsed template: statements and expressions, as the interpreter walks them. Nothing here
// changes after parsing, so threads may share it. No tree is higher than JinjaLimits::nesting: long
// chains of + or | are refused by it too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

struct Filter;  // jinja_filters.h
struct Test;    // jinja_tests.h

enum class ExprKind : uint8_t {
  kConst,  // value
  kName,   // name_id
  kNsRef,  // name_id . text: only as the target of set
  kTuple,  // children
  kList,   // children
  kDict,   // children: key, value, key, value, ...
  kNot,
  kNegative,
  kPositive,  // children[0]
  kAnd,
  kOr,         // children[0], children[1]
  kBinary,     // children[0] op children[1]
  kConcat,     // children, two or more
  kCompare,    // children[0] compare_ops[0] children[1] compare_ops[1] ...
  kCondition,  // children: test, value, and perhaps another value
  kAttribute,  // children[0] . text
  kItem,       // children[0] [ children[1] ]
  kSlice,      // children: begin, end, step, each perhaps null; only as the index of kItem
  kCall,       // children[0] ( arguments )
  kFilter,     // children[0] | text ( arguments ); no children[0] in a filter block
  kTest,       // children[0] is text ( arguments )
};
enum class BinaryOp : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower
};
enum class CompareOp : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *list
  ExprPtr star_star;  // **dict
};

struct Expr {
  ExprKind kind;
  BinaryOp op = BinaryOp::kAdd;
  int32_t line = 0;
  int32_t height = 1;
  int32_t name_id = 0;
  Value value;
  std::string text;
  std::vector<ExprPtr> children;
  std::vector<CompareOp> compare_ops;
  std::unique_ptr<Arguments> arguments;
  // Null if there is none of that name: an error when it is reached, as in Jinja inside an if.
  const Filter* filter = nullptr;
  const Test* test = nullptr;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

enum class StatementKind : uint8_t {
  kText,    // value: text of the template
  kOutput,  // exprs
  kIf,      // exprs: the tests; bodies: one for each, and perhaps one more for else
  kFor,     // exprs: target, list, and perhaps a condition; bodies: the loop's and perhaps one for
            // else
  kSet,     // exprs: target, value
  kSetBlock,     // exprs: target, and perhaps a chain of filters; bodies[0]
  kWith,         // exprs: target, value, target, value, ...; bodies[0]
  kMacro,        // macro
  kCallBlock,    // exprs: the call; macro: its body as the caller
  kFilterBlock,  // exprs: chain of filters; bodies[0]
  kScope,        // bodies[0] with variables of its own
  kBreak,
  kContinue,
};

// {% macro name(parameters) %} ... {% endmacro %}
struct MacroDefinition {
  std::string name;
  int32_t name_id = 0;
  std::vector<int32_t> parameters;
  std::vector<std::string> parameter_names;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

struct Statement {
  StatementKind kind;
  int32_t line = 0;
  bool recursive = false;  // of a for
  Value value;
  std::vector<ExprPtr> exprs;
  std::vector<Body> bodies;
  std::unique_ptr<MacroDefinition> macro;
};

// Names that the interpreter itself needs; they come first in Template::names.
enum SpecialName : int32_t { kNameLoop, kNameVarargs, kNameKwargs, kNameCaller, kSpecialNames };

struct Template {
  std::vector<std::string> names;  // by name_id
  Body body;
};

}  // namespace fathom::jinja
