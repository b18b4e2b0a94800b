// TOML as a value, and the one adapter to the library that parses it (toml++, without exceptions).
// Every value knows the line it stands in, so that whoever reads a configuration can say where it
// is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/json.h"

namespace fathom {

struct TomlMember;

struct TomlValue {
  enum class Type : uint8_t { kBool, kInt, kDouble, kString, kArray, kTable };
  Type type = Type::kTable;
  int64_t line = 0;  // from 1; 0: made by the program
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<TomlValue> items;     // of an array
  std::vector<TomlMember> members;  // of a table, sorted by name

  // The member of that name, or null; null too if this is no table.
  const TomlValue* find(std::string_view name) const;
  // Adds or replaces the value at a dotted path ("optimizer.clip"), making tables on the way. An
  // error if something on the way is no table.
  Status set(std::string_view path, TomlValue value);
};

struct TomlMember {
  std::string name;
  TomlValue value;
};

// "a boolean", "an integer", ...: for messages.
std::string_view toml_type_name(TomlValue::Type type);

// The whole document. Errors begin with "NAME:LINE: ". Dates and times are refused.
Result<TomlValue> parse_toml(std::string_view text, const std::string& display_name);
// One value as it may stand right of "="; what is none is taken as a string.
TomlValue parse_toml_value(std::string_view text);

// A document that reads back as the same value, without comments.
std::string dump_toml(const TomlValue& table);
Json toml_to_json(const TomlValue& value);

}  // namespace fathom
