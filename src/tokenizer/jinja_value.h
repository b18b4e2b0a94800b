// The values a chat template computes with: those of Python that Jinja templates see. Values are
// cheap to copy and never change once made, but for namespaces (set ns.x = ...) and generators,
// which are used up.
//
// Integers have 128 bits and report overflow, since Python's have no end. Lists and dicts know how
// deep they are, and a depth limit holds (JinjaLimits::value_depth), so that walking or freeing one
// needs little stack. `trusted` of a number, None or boolean, and of the brackets and commas of a
// container, says where it came from, as the marks of a text do (jinja_text.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tokenizer/jinja_budget.h"
#include "tokenizer/jinja_text.h"

namespace fathom {

class Json;

namespace jinja {

__extension__ typedef __int128 Int;
__extension__ typedef unsigned __int128 Uint;

// What a value points to. Its memory is charged to the budget for as long as it lives; literals of
// a template outlive renderings and belong to no budget.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget != nullptr) budget->release(held_bytes);
  }
  JinjaBudget* budget = nullptr;
  int64_t held_bytes = 0;
  int64_t depth = 0;
};

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kSequence,
  kDict,
  kNamespace,
  kLoop,
  kFunction,
  kMethod,
  kMacro
};

struct StringData;
struct SequenceData;
struct DictData;
struct NamespaceData;

struct Value {
  Kind kind = Kind::kUndefined;
  bool trusted = true;  // not of strings: their text has marks
  bool markup = false;  // of strings: already escaped for HTML, as the filters escape and safe say
  union {
    bool b;
    Int i;
    double f;
  } bits = {.i = 0};
  std::shared_ptr<const Object> object;

  static Value none(bool trusted = true);
  static Value boolean(bool value, bool trusted = true);
  static Value integer(Int value, bool trusted = true);
  static Value number(double value, bool trusted = true);

  bool is(Kind other) const { return kind == other; }
  bool is_undefined() const { return kind == Kind::kUndefined; }
  bool is_none() const { return kind == Kind::kNone; }
  bool is_string() const { return kind == Kind::kString; }
  // Booleans are integers, as in Python.
  bool is_integral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool is_number() const { return is_integral() || kind == Kind::kFloat; }

  // The caller has checked the kind.
  Int as_int() const { return kind == Kind::kBool ? Int{bits.b} : bits.i; }
  double as_double() const { return kind == Kind::kFloat ? bits.f : static_cast<double>(as_int()); }
  const StringData& string() const;
  const JinjaText& text() const;
  std::string_view view() const { return text().view(); }
  const SequenceData& sequence() const;
  const DictData& dict() const;
  const NamespaceData& name_space() const;
};

using Values = std::vector<Value>;
using Member = std::pair<Value, Value>;

struct StringData : Object {
  JinjaText text;
  // Unicode characters in text; counted when first asked for.
  int64_t n_chars() const;

 private:
  mutable int64_t n_chars_ = -1;
};

enum class SequenceKind : uint8_t {
  kList,
  kTuple,
  kRange,
  kGenerator,
  kKeys,
  kValues,
  kItems,
  kGroup
};

struct SequenceData : Object {
  SequenceKind sequence_kind = SequenceKind::kList;
  Values items;
  std::string name;         // "range(0, 3)": how Python shows it
  mutable size_t used = 0;  // of a generator: items already taken
};

// Keeps the order of insertion; lookup by a hash index once there are many keys.
struct DictData : Object {
  const std::vector<Member>& members() const { return members_; }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  // Adds or replaces; only while the dict is being made. The key is hashable.
  void set(Value key, Value value);

 private:
  size_t slot_of(const Value& key) const;
  void rebuild_index();

  std::vector<Member> members_;
  std::vector<uint32_t> index_;  // open addressing, 1 + position; empty while the dict is small
};

struct NamespaceData : Object {
  mutable std::vector<std::pair<std::string, Value>> members;
  const Value* find(std::string_view name) const;
};

struct UndefinedData : Object {
  std::string message;     // "'x' is undefined"
  bool is_unsafe = false;  // the sandbox's: defined in Python, but out of bounds
};

// Makes values on a budget. Where a limit is reached the budget has failed, and the value is of no
// use.
class Heap {
 public:
  explicit Heap(JinjaBudget& budget) : budget_(budget) {}
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  JinjaBudget& budget() { return budget_; }
  Value string(JinjaText text, bool markup = false);
  Value string(std::string text, bool trusted) {
    return string(JinjaText(std::move(text), trusted));
  }
  Value sequence(SequenceKind kind, Values items, std::string name = {}, bool trusted = true);
  Value list(Values items) { return sequence(SequenceKind::kList, std::move(items)); }
  Value tuple(Values items) { return sequence(SequenceKind::kTuple, std::move(items)); }
  // Of equal keys the last counts. The keys are hashable.
  Value dict(std::vector<Member> members, bool trusted = true);
  Value name_space(std::vector<std::pair<std::string, Value>> members);
  Value undefined(std::string message, bool is_unsafe = false);
  // All of it untrusted.
  Value from_json(const Json& json, int64_t depth = 0);
  // Charges data, of so many bytes, to the budget.
  void charge(Object& data, int64_t bytes);

 private:
  JinjaBudget& budget_;
  // Namespaces can hold each other in circles and long chains; all end together, one by one.
  std::vector<std::shared_ptr<NamespaceData>> namespaces_;
};

// A text as it grows: stops growing, and fails the budget, at the limit.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(heap) {}
  bool append(std::string_view text, bool trusted) {
    return fits(text.size()) && (text_.append(text, trusted), true);
  }
  bool append(const JinjaText& text) { return append(text, 0, text.size()); }
  bool append(const JinjaText& text, size_t begin, size_t end) {
    return fits(end - begin) && (text_.append(text, begin, end), true);
  }
  size_t size() const { return text_.size(); }
  Heap& heap() { return heap_; }
  JinjaText take() { return std::move(text_); }
  Value value(bool markup = false) { return heap_.string(std::move(text_), markup); }

 private:
  bool fits(size_t more) {
    return heap_.budget().step_bytes(static_cast<int64_t>(more)) &&
           heap_.budget().allow_string(static_cast<int64_t>(text_.size() + more));
  }
  Heap& heap_;
  JinjaText text_;
};

// A literal of the template: trusted, on no budget.
Value literal_string(std::string text);

bool truthy(const Value& value);
// Python's ==.
bool equal(const Value& a, const Value& b);
// Python's `is`.
bool same_object(const Value& a, const Value& b);
// Negative, 0 or positive; an error if Python cannot order the two.
Result<int> compare(const Value& a, const Value& b);
bool hashable(const Value& value);
// Equal values have equal hashes. Only of hashable values.
uint64_t hash(const Value& value);
// "str", "int", "dict": Python's name of its type, for messages.
std::string_view type_name(const Value& value);
// len(value), or an error.
Result<int64_t> length(const Value& value);
// The items that a loop over value visits: of a list its items, of a text its characters, of a dict
// its keys. A generator's remaining items are taken.
Result<Values> iterate(Heap& heap, const Value& value);
// "item in container".
Result<bool> contains(Heap& heap, const Value& container, const Value& item);
// Why using value, an undefined one, is wrong.
Error undefined_error(const Value& value);

}  // namespace jinja
}  // namespace fathom
