#include "io/json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace fathom {

namespace {

// Builds the value from the library's events, with the limits applied as they come.
class Builder {
 public:
  using number_integer_t = int64_t;
  using number_unsigned_t = uint64_t;
  using number_float_t = double;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(int64_t value) { return add(Json(value)); }
  bool number_unsigned(uint64_t value) { return add(Json(value)); }
  bool number_float(double value, const std::string&) { return add(Json(value)); }
  bool string(std::string& value) { return add(Json(std::move(value))); }
  bool binary(binary_t&) { return fail("binary data"); }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& value) {
    Level& level = levels_.back();
    if (limits_.reject_duplicate_keys) {
      bool is_new = true;
      if (level.value.as_object().size() < kLinearKeys) {
        is_new = level.value.find(value) == nullptr;
      } else {
        if (level.keys.empty()) {
          for (const auto& member : level.value.as_object()) level.keys.insert(member.first);
        }
        is_new = level.keys.insert(value).second;
      }
      if (!is_new)
        return fail(str_cat("the key \"", value.substr(0, 80), "\" stands twice in one object"));
    }
    level.key = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& exception) {
    std::string what = exception.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 5: the reason"
    if (const size_t bracket = what.find("] "); bracket != std::string::npos)
      what = what.substr(bracket + 2);
    if (const size_t colon = what.find(": ");
        what.starts_with("parse error") && colon != std::string::npos) {
      what = what.substr(colon + 2);
    }
    return fail(str_cat("at byte ", position, ": ", what.substr(0, 300)));
  }

  std::string error;
  Json root;

 private:
  static constexpr size_t kLinearKeys = 16;
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;  // only when there are many
  };

  bool fail(std::string message) {
    error = std::move(message);
    return false;
  }
  bool open(Json value) {
    if (static_cast<int64_t>(levels_.size()) >= limits_.max_depth) {
      return fail(str_cat("nested deeper than ", limits_.max_depth, " levels"));
    }
    levels_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    return add(std::move(value));
  }
  bool add(Json value) {
    if (levels_.empty()) {
      root = std::move(value);
    } else if (Level& level = levels_.back(); level.value.is_array()) {
      level.value.push_back(std::move(value));
    } else {
      level.value.as_object().emplace_back(std::move(level.key), std::move(value));
    }
    return true;
  }

  const JsonLimits& limits_;
  std::vector<Level> levels_;
};

// The length of the UTF-8 sequence at text[i], or 0 if there is none (overlong, surrogate, cut or
// stray bytes).
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  const unsigned b0 = byte(i), b1 = byte(i + 1);
  const auto tail = [](unsigned b) { return (b & 0xc0) == 0x80; };
  if (b0 < 0x80) return 1;
  if (b0 >= 0xc2 && b0 <= 0xdf) return tail(b1) ? 2 : 0;
  if (b0 >= 0xe0 && b0 <= 0xef) {
    if (b0 == 0xe0 && b1 < 0xa0) return 0;
    if (b0 == 0xed && b1 > 0x9f) return 0;
    return tail(b1) && tail(byte(i + 2)) ? 3 : 0;
  }
  if (b0 >= 0xf0 && b0 <= 0xf4) {
    if (b0 == 0xf0 && b1 < 0x90) return 0;
    if (b0 == 0xf4 && b1 > 0x8f) return 0;
    return tail(b1) && tail(byte(i + 2)) && tail(byte(i + 3)) ? 4 : 0;
  }
  return 0;
}

template <typename T>
void append_number(std::string& out, T value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  const std::string_view digits(buffer, static_cast<size_t>(result.ptr - buffer));
  out += digits;
  // So that a reader sees a float again, not an integer.
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

}  // namespace

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    type_ = Type::kInt;
    bits_.i = static_cast<int64_t>(value);
  } else {
    type_ = Type::kUint;
    bits_.u = value;
  }
}

std::string_view Json::type_name() const {
  switch (type_) {
    case Type::kNull:
      return "null";
    case Type::kBool:
      return "a boolean";
    case Type::kInt:
    case Type::kUint:
      return "an integer";
    case Type::kDouble:
    case Type::kFloat:
      return "a number";
    case Type::kString:
      return "a string";
    case Type::kArray:
      return "an array";
    case Type::kObject:
      return "an object";
  }
  return "";
}

double Json::as_double() const {
  if (type_ == Type::kInt) return static_cast<double>(bits_.i);
  if (type_ == Type::kUint) return static_cast<double>(bits_.u);
  return bits_.d;
}

const Json* Json::find(std::string_view key) const {
  for (const auto& member : object_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

void Json::set(std::string_view key, Json value) {
  for (auto& member : object_) {
    if (member.first == key) {
      member.second = std::move(value);
      return;
    }
  }
  object_.emplace_back(std::string(key), std::move(value));
}

void Json::erase(std::string_view key) {
  std::erase_if(object_, [key](const Member& member) { return member.first == key; });
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    if (length > 1) {
      out.append(text.substr(i, length));
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      static constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[(c >> 4) & 0xf];
      out += kHex[c & 0xf];
    }
    i += length;
  }
  out += '"';
}

void Json::write(std::string& out, int indent, int depth) const {
  const auto new_line = [&](int level) {
    if (indent == 0) return;
    out += '\n';
    out.append(static_cast<size_t>(indent * level), ' ');
  };
  switch (type_) {
    case Type::kNull:
      out += "null";
      break;
    case Type::kBool:
      out += bits_.b ? "true" : "false";
      break;
    case Type::kInt:
      str_append(out, bits_.i);
      break;
    case Type::kUint:
      str_append(out, bits_.u);
      break;
    case Type::kDouble:
      append_number(out, bits_.d);
      break;
    case Type::kFloat:
      append_number(out, static_cast<float>(bits_.d));
      break;
    case Type::kString:
      append_json_string(out, string_);
      break;
    case Type::kArray: {
      out += '[';
      for (size_t i = 0; i < array_.size(); ++i) {
        if (i > 0) out += ',';
        new_line(depth + 1);
        array_[i].write(out, indent, depth + 1);
      }
      if (!array_.empty()) new_line(depth);
      out += ']';
      break;
    }
    case Type::kObject: {
      out += '{';
      for (size_t i = 0; i < object_.size(); ++i) {
        if (i > 0) out += ',';
        new_line(depth + 1);
        append_json_string(out, object_[i].first);
        out += indent == 0 ? ":" : ": ";
        object_[i].second.write(out, indent, depth + 1);
      }
      if (!object_.empty()) new_line(depth);
      out += '}';
      break;
    }
  }
}

std::string Json::dump() const {
  std::string out;
  write(out, 0, 0);
  return out;
}

std::string Json::dump_pretty() const {
  std::string out;
  write(out, 2, 0);
  return out;
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  Builder builder(limits);
  const bool ok = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!ok) return invalid_error("not valid JSON: ", builder.error);
  return std::move(builder.root);
}

}  // namespace fathom
