#include "io/toml.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>

namespace fathom {
namespace {

// The library limits nesting to 256 levels itself, so recursion over its values is bounded.
Status convert(const toml::node& node, const std::string& name, TomlValue& out) {
  out.line = static_cast<int64_t>(node.source().begin.line);
  switch (node.type()) {
    case toml::node_type::table:
      out.type = TomlValue::Type::kTable;
      for (const auto& [key, child] : *node.as_table()) {
        out.members.emplace_back(std::string(key.str()), TomlValue{});
        FATHOM_RETURN_IF_ERROR(convert(child, name, out.members.back().second));
      }
      return {};
    case toml::node_type::array:
      out.type = TomlValue::Type::kArray;
      for (const auto& child : *node.as_array()) {
        out.items.emplace_back();
        FATHOM_RETURN_IF_ERROR(convert(child, name, out.items.back()));
      }
      return {};
    case toml::node_type::string:
      out.type = TomlValue::Type::kString;
      out.text = node.as_string()->get();
      return {};
    case toml::node_type::integer:
      out.type = TomlValue::Type::kInt;
      out.integer = node.as_integer()->get();
      return {};
    case toml::node_type::floating_point:
      out.type = TomlValue::Type::kDouble;
      out.number = node.as_floating_point()->get();
      return {};
    case toml::node_type::boolean:
      out.type = TomlValue::Type::kBool;
      out.boolean = node.as_boolean()->get();
      return {};
    case toml::node_type::none:
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      break;
  }
  return invalid_error(name, ":", out.line, ": dates and times have no meaning here");
}

// Of a value that stands in no file.
void clear_lines(TomlValue& value) {
  value.line = 0;
  for (TomlValue& item : value.items) clear_lines(item);
  for (auto& [key, member] : value.members) clear_lines(member);
}

bool is_bare_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

// JSON's escapes are also TOML's.
void append_string(std::string& out, std::string_view text) { append_json_string(out, text); }

void append_key(std::string& out, std::string_view key) {
  if (is_bare_key(key)) {
    out += key;
  } else {
    append_string(out, key);
  }
}

// In one line, tables as { ... }.
void append_inline(std::string& out, const TomlValue& value) {
  switch (value.type) {
    case TomlValue::Type::kBool:
      out += value.boolean ? "true" : "false";
      return;
    case TomlValue::Type::kInt:
      out += str_cat(value.integer);
      return;
    case TomlValue::Type::kDouble: {
      std::string digits = Json(value.number).dump();
      if (digits == "null")
        digits = value.number != value.number ? "nan" : value.number > 0 ? "inf" : "-inf";
      // An integer is another type.
      if (digits.find_first_of(".enia") == std::string::npos) digits += ".0";
      out += digits;
      return;
    }
    case TomlValue::Type::kString:
      append_string(out, value.text);
      return;
    case TomlValue::Type::kArray: {
      out += "[";
      for (size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) out += ", ";
        append_inline(out, value.items[i]);
      }
      out += "]";
      return;
    }
    case TomlValue::Type::kTable: {
      out += "{ ";
      for (size_t i = 0; i < value.members.size(); ++i) {
        if (i > 0) out += ", ";
        append_key(out, value.members[i].first);
        out += " = ";
        append_inline(out, value.members[i].second);
      }
      out += value.members.empty() ? "}" : " }";
      return;
    }
  }
}

void append_table(std::string& out, const TomlValue& table, const std::string& prefix) {
  for (const auto& [key, value] : table.members) {
    if (value.type == TomlValue::Type::kTable) continue;
    append_key(out, key);
    out += " = ";
    append_inline(out, value);
    out += "\n";
  }
  for (const auto& [key, value] : table.members) {
    if (value.type != TomlValue::Type::kTable) continue;
    std::string path = prefix;
    append_key(path, key);
    out += str_cat("\n[", path, "]\n");
    append_table(out, value, path + ".");
  }
}

}  // namespace

const TomlValue* TomlValue::find(std::string_view name) const {
  const auto at = std::find_if(members.begin(), members.end(),
                               [name](const auto& member) { return member.first == name; });
  return at == members.end() ? nullptr : &at->second;
}

Status TomlValue::set(std::string_view path, TomlValue value) {
  const size_t dot = path.find('.');
  const std::string_view name = path.substr(0, dot);
  if (name.empty()) return invalid_error("a name in a dotted path is empty");
  if (type != Type::kTable) return invalid_error("what stands before '", name, "' is no table");
  auto at = std::find_if(members.begin(), members.end(),
                         [name](const auto& member) { return member.first >= name; });
  if (at == members.end() || at->first != name)
    at = members.emplace(at, std::string(name), TomlValue{});
  if (dot == std::string_view::npos) {
    at->second = std::move(value);
    return {};
  }
  return at->second.set(path.substr(dot + 1), std::move(value));
}

std::string_view toml_type_name(TomlValue::Type type) {
  switch (type) {
    case TomlValue::Type::kBool:
      return "a boolean";
    case TomlValue::Type::kInt:
      return "an integer";
    case TomlValue::Type::kDouble:
      return "a number";
    case TomlValue::Type::kString:
      return "a string";
    case TomlValue::Type::kArray:
      return "an array";
    case TomlValue::Type::kTable:
      return "a table";
  }
  return "";
}

Result<TomlValue> parse_toml(std::string_view text, const std::string& display_name) {
  const toml::parse_result parsed = toml::parse(text, std::string_view(display_name));
  if (!parsed) {
    return invalid_error(display_name, ":", parsed.error().source().begin.line, ": ",
                         parsed.error().description());
  }
  TomlValue out;
  FATHOM_RETURN_IF_ERROR(convert(parsed.table(), display_name, out));
  return out;
}

TomlValue parse_toml_value(std::string_view text) {
  if (text.find('\n') == std::string_view::npos) {
    Result<TomlValue> parsed = parse_toml(str_cat("value = ", text), "");
    if (parsed.ok() && parsed->members.size() == 1 && parsed->members[0].first == "value") {
      TomlValue value = std::move(parsed->members[0].second);
      clear_lines(value);
      return value;
    }
  }
  TomlValue value;
  value.type = TomlValue::Type::kString;
  value.text = text;
  return value;
}

std::string dump_toml(const TomlValue& table) {
  std::string out;
  append_table(out, table, "");
  return out;
}

Json toml_to_json(const TomlValue& value) {
  switch (value.type) {
    case TomlValue::Type::kBool:
      return Json(value.boolean);
    case TomlValue::Type::kInt:
      return Json(value.integer);
    case TomlValue::Type::kDouble:
      return Json(value.number);
    case TomlValue::Type::kString:
      return Json(value.text);
    case TomlValue::Type::kArray: {
      Json out = Json::array();
      for (const TomlValue& item : value.items) out.push_back(toml_to_json(item));
      return out;
    }
    case TomlValue::Type::kTable: {
      Json out = Json::object();
      for (const auto& [key, member] : value.members) out.set(key, toml_to_json(member));
      return out;
    }
  }
  return {};
}

}  // namespace fathom
