// JSON as a value, and the one adapter to the library that parses it (nlohmann/json, its SAX
// interface: no recursion, whatever the nesting). Objects keep their order. Numbers keep whether
// they were integers, and floats made from F32 are written with the fewest digits that read back as
// the same F32.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fathom {

struct JsonLimits {
  int64_t max_depth = 128;
  // Two equal keys in one object are an error (a file that says two things is not guessed at).
  bool reject_duplicate_keys = true;
};

class Json {
 public:
  enum class Type : uint8_t {
    kNull,
    kBool,
    kInt,
    kUint,
    kDouble,
    kFloat,
    kString,
    kArray,
    kObject
  };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;        // null
  Json(std::nullptr_t) {}  // NOLINT: implicit by design, all of these
  Json(bool value) : type_(Type::kBool) { bits_.b = value; }      // NOLINT
  Json(int value) : type_(Type::kInt) { bits_.i = value; }        // NOLINT
  Json(int64_t value) : type_(Type::kInt) { bits_.i = value; }    // NOLINT
  Json(uint64_t value);                                           // NOLINT: kUint only beyond int64
  Json(double value) : type_(Type::kDouble) { bits_.d = value; }  // NOLINT
  Json(float value) : type_(Type::kFloat) { bits_.d = double{value}; }          // NOLINT
  Json(const char* value) : Json(std::string(value)) {}                         // NOLINT
  Json(std::string_view value) : Json(std::string(value)) {}                    // NOLINT
  Json(std::string value) : type_(Type::kString), string_(std::move(value)) {}  // NOLINT
  Json(Array value) : type_(Type::kArray), array_(std::move(value)) {}          // NOLINT
  Json(Object value) : type_(Type::kObject), object_(std::move(value)) {}       // NOLINT
  static Json array() { return Json(Array{}); }
  static Json object() { return Json(Object{}); }

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_int() const { return type_ == Type::kInt; }  // fits int64; 1.0 is not an int
  bool is_number() const { return type_ >= Type::kInt && type_ <= Type::kFloat; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }
  // "null", "a boolean", "an integer", "a number", "a string", "an array", "an object": for
  // messages.
  std::string_view type_name() const;

  // The caller has checked the type.
  bool as_bool() const { return bits_.b; }
  int64_t as_int() const { return bits_.i; }
  uint64_t as_uint() const { return bits_.u; }  // of a kUint, which is beyond int64_t
  double as_double() const;                     // of any number
  const std::string& as_string() const { return string_; }
  std::string& as_string() { return string_; }
  const Array& as_array() const { return array_; }
  Array& as_array() { return array_; }
  const Object& as_object() const { return object_; }
  Object& as_object() { return object_; }

  // The member of that name, or null: linear, for small objects. Null too if this is no object.
  const Json* find(std::string_view key) const;
  // Adds or replaces.
  void set(std::string_view key, Json value);
  void erase(std::string_view key);  // of an object
  void push_back(Json value) { array_.push_back(std::move(value)); }

  // One line without blanks after , and :. Text that is not UTF-8 gets U+FFFD; NaN and infinities
  // become null.
  std::string dump() const;
  // Two blanks a level, as people read it.
  std::string dump_pretty() const;

 private:
  void write(std::string& out, int indent, int depth) const;

  Type type_ = Type::kNull;
  union {
    bool b;
    int64_t i;
    uint64_t u;
    double d;
  } bits_ = {.i = 0};
  std::string string_;
  Array array_;
  Object object_;
};

// The whole of text is one document. The error says at which byte and why.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// "..." with the escapes JSON needs; see Json::dump for text that is not UTF-8.
void append_json_string(std::string& out, std::string_view text);

}  // namespace fathom
