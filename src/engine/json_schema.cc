#include "engine/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "engine/json_values.h"
#include "engine/regex_grammar.h"

namespace fathom {

namespace {

using Expr = GrammarBuilder::Expr;

constexpr int kDepthMax = 100;
constexpr size_t kEnumMax = 100'000;

// What only describes.
constexpr std::string_view kAnnotations[] = {
    "title",    "description", "default",  "examples",      "$schema",         "$id",
    "$comment", "deprecated",  "readOnly", "writeOnly",     "$defs",           "definitions",
    "$anchor",  "strict",      "nullable", "discriminator", "contentEncoding", "contentMediaType"};

class SchemaReader {
 public:
  SchemaReader(GrammarBuilder& builder, const Json& root)
      : root_(root), b_(builder), values_(builder) {}

  Result<Expr> read() {
    const Expr body = schema(root_, "", 0);
    if (!error_.empty()) return invalid_error("the schema", error_);
    return body;
  }

 private:
  Expr fail(const std::string& path, const std::string& what) {
    if (error_.empty()) error_ = str_cat(path.empty() ? "" : " at " + path, ": ", what);
    return b_.empty();
  }

  Expr schema(const Json& json, const std::string& path, int depth) {
    if (!error_.empty()) return b_.empty();
    if (depth > kDepthMax) return fail(path, "it is nested too deep");
    if (b_.is_full()) return fail(path, "it is too large");
    if (json.is_bool())
      return json.as_bool() ? values_.value() : fail(path, "false allows nothing");
    if (!json.is_object())
      return fail(path, str_cat("it is ", json.type_name(), ", expected an object"));
    for (const std::string_view name : {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}) {
      if (json.find(name) == nullptr) continue;
      check_keywords(json, {name}, path);
      break;
    }
    if (const Json* ref = json.find("$ref")) return reference(*ref, path, depth);
    if (const Json* one = json.find("const")) return b_.text(json_dumps(*one));
    if (const Json* list = json.find("enum")) return one_of(*list, path);
    for (const char* name : {"anyOf", "oneOf", "allOf"})
      if (const Json* list = json.find(name)) return combined(name, *list, path, depth);
    const Json* const type = json.find("type");
    if (type == nullptr) {
      const std::string implied = implied_type(json);
      return implied.empty() ? (check_keywords(json, {}, path), values_.value())
                             : of_type(implied, json, path, depth);
    }
    if (type->is_string()) return of_type(type->as_string(), json, path, depth);
    if (!type->is_array() || type->as_array().empty())
      return fail(path, "type is neither a text nor a list of them");
    return one_of_types(type->as_array(), json, path, depth);
  }

  Expr one_of_types(const Json::Array& types, const Json& json, const std::string& path,
                    int depth) {
    std::set<std::string> names;
    for (const Json& one : types)
      if (!one.is_string() || !names.insert(one.as_string()).second)
        return fail(path, "type holds something that is no text, or one text twice");
    check_keywords(json,
                   {"properties", "required", "additionalProperties", "items", "prefixItems",
                    "minItems", "maxItems", "pattern", "minLength", "maxLength", "format",
                    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
                   path);
    if (names.contains("number")) check_bounds(json, path);
    std::vector<Expr> parts;
    for (const std::string& name : names) parts.push_back(of_type(name, json, path, depth));
    return b_.choice(std::move(parts));
  }
  // Of integers alone they can be kept to.
  void check_bounds(const Json& json, const std::string& path) {
    for (const char* name : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
      if (json.find(name) != nullptr) fail(path, str_cat(name, " is not taken of numbers"));
  }

  static std::string implied_type(const Json& json) {
    if (json.find("properties") != nullptr || json.find("additionalProperties") != nullptr)
      return "object";
    if (json.find("items") != nullptr || json.find("prefixItems") != nullptr) return "array";
    if (json.find("pattern") != nullptr || json.find("minLength") != nullptr) return "string";
    return "";
  }

  Expr of_type(const std::string& type, const Json& json, const std::string& path, int depth) {
    const bool several = json.find("type") != nullptr && json.find("type")->is_array();
    if (type == "object") return object(json, path, depth, several);
    if (type == "array") return array(json, path, depth, several);
    if (type == "string") return string(json, path, several);
    if (type == "integer") return integer(json, path, several);
    if (!several) check_keywords(json, {}, path);
    if (type == "number") return values_.number();
    if (type == "boolean") return b_.choice({b_.text("true"), b_.text("false")});
    if (type == "null") return b_.text("null");
    return fail(path, str_cat("the type \"", type.substr(0, 40), "\" is none"));
  }

  // A keyword that would narrow what is allowed must not be passed over.
  void check_keywords(const Json& json, std::initializer_list<std::string_view> taken,
                      const std::string& path) {
    for (const auto& [key, value] : json.as_object()) {
      const auto is_key = [&key = key](std::string_view one) { return one == key; };
      if (key == "type" || std::any_of(taken.begin(), taken.end(), is_key) ||
          std::any_of(std::begin(kAnnotations), std::end(kAnnotations), is_key) ||
          key.starts_with("x-"))
        continue;
      fail(path, str_cat("\"", key.substr(0, 60), "\" is not taken here"));
      return;
    }
  }

  int64_t bound(const Json& json, std::string_view name, int64_t otherwise,
                const std::string& path) {
    const Json* const value = json.find(name);
    if (value == nullptr) return otherwise;
    if (value->is_int()) return value->as_int();
    if (value->is_number() && value->as_double() == std::floor(value->as_double()) &&
        std::fabs(value->as_double()) < 1e15)
      return static_cast<int64_t>(value->as_double());
    fail(path, str_cat(std::string(name), " is not a whole number"));
    return otherwise;
  }
  // min and max of a number of things; max -1: none.
  bool count(const Json& json, std::string_view min_name, std::string_view max_name,
             const std::string& path, int64_t& min, int64_t& max) {
    min = bound(json, min_name, 0, path);
    max = bound(json, max_name, -1, path);
    if (min < 0 || max < -1 || (max != -1 && max < min))
      fail(path, str_cat(std::string(min_name), " and ", std::string(max_name), " leave nothing"));
    if (min > Grammar::kStatesMax || max > Grammar::kStatesMax)
      fail(path, str_cat(std::string(max_name), " is more than ", Grammar::kStatesMax));
    return error_.empty();
  }

  Expr reference(const Json& ref, const std::string& path, int depth) {
    if (!ref.is_string() || !ref.as_string().starts_with('#'))
      return fail(path, "$ref does not begin with #: nothing is fetched");
    const std::string& pointer = ref.as_string();
    const auto known = references_.find(pointer);
    if (known != references_.end()) return b_.call(known->second);
    const Json* target = &root_;
    size_t at = 1;
    while (at < pointer.size() && target != nullptr) {
      if (pointer[at] != '/') return fail(path, "$ref is no path within this document");
      const size_t end = std::min(pointer.find('/', at + 1), pointer.size());
      target = member(*target, pointer.substr(at + 1, end - at - 1));
      at = end;
    }
    if (target == nullptr)
      return fail(path, str_cat("$ref names \"", pointer.substr(0, 80), "\", which is not there"));
    const int32_t rule = b_.declare_rule();
    references_.emplace(pointer, rule);
    b_.define_rule(rule, schema(*target, pointer, depth + 1));
    return b_.call(rule);
  }
  static const Json* member(const Json& json, std::string key) {
    for (const auto& [from, to] : {std::pair<std::string_view, char>{"~1", '/'}, {"~0", '~'}})
      for (size_t at = 0; (at = key.find(from, at)) != std::string::npos; ++at)
        key.replace(at, 2, 1, to);
    if (!json.is_array()) return json.find(key);
    const size_t i = std::strtoull(key.c_str(), nullptr, 10);
    return i < json.as_array().size() ? &json.as_array()[i] : nullptr;
  }

  Expr one_of(const Json& list, const std::string& path) {
    if (!list.is_array() || list.as_array().empty()) return fail(path, "enum holds nothing");
    if (list.as_array().size() > kEnumMax)
      return fail(path, str_cat("enum has more than ", kEnumMax, " values"));
    std::vector<std::string> texts;
    for (const Json& one : list.as_array()) texts.push_back(json_dumps(one));
    return b_.texts(std::move(texts));
  }

  Expr combined(std::string_view name, const Json& list, const std::string& path, int depth) {
    if (!list.is_array() || list.as_array().empty())
      return fail(path, str_cat(std::string(name), " holds nothing"));
    if (name == "allOf" && list.as_array().size() > 1)
      return fail(path, "allOf of more than one is not taken");
    std::vector<Expr> parts;
    for (size_t i = 0; i < list.as_array().size(); ++i)
      parts.push_back(
          schema(list.as_array()[i], str_cat(path, "/", std::string(name), "/", i), depth + 1));
    return b_.choice(std::move(parts));
  }

  Expr string(const Json& json, const std::string& path, bool several) {
    if (!several) check_keywords(json, {"pattern", "minLength", "maxLength", "format"}, path);
    int64_t min = 0, max = -1;
    if (!count(json, "minLength", "maxLength", path, min, max)) return b_.empty();
    const Expr quote = b_.text("\"");
    const bool has_length = min > 0 || max >= 0;
    if (const Json* pattern = json.find("pattern")) {
      if (!pattern->is_string()) return fail(path, "pattern is no text");
      if (has_length) return fail(path, "pattern and lengths together are not taken");
      Result<Expr> made =
          regex_expression(b_, pattern->as_string(), {.whole = false, .in_json_string = true});
      if (!made.ok()) return fail(path, made.error().message);
      return b_.sequence({quote, *made, quote});
    }
    if (const Json* format = json.find("format"); format != nullptr && format->is_string()) {
      const std::string made = format_pattern(format->as_string());
      if (!made.empty()) return b_.sequence({quote, values_.pattern(made), quote});
    }
    if (!has_length) return values_.string();
    const Expr character = json_characters(b_, {{0, 7}, {11, 11}, {14, 31}}, /*negated=*/true);
    return b_.sequence({quote, b_.repeat(character, min, max), quote});
  }

  static std::string format_pattern(const std::string& format) {
    const std::string date = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
    const std::string time =
        "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-"
        "9])";
    if (format == "date") return date;
    if (format == "time") return time;
    if (format == "date-time") return date + "T" + time;
    if (format == "uuid") return "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    return "";  // others describe
  }

  Expr integer(const Json& json, const std::string& path, bool several) {
    if (!several)
      check_keywords(json, {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}, path);
    constexpr int64_t kMost = 999'999'999'999'999'999;
    const auto within = [&](std::string_view name, int64_t otherwise) {
      return std::clamp(bound(json, name, otherwise, path), -kMost - 2, kMost + 2);
    };
    const int64_t low =
        std::max(within("minimum", -kMost), within("exclusiveMinimum", -kMost - 1) + 1);
    const int64_t high =
        std::min(within("maximum", kMost), within("exclusiveMaximum", kMost + 1) - 1);
    if (!error_.empty()) return b_.empty();
    if (low > high || low < -kMost || high > kMost)
      return fail(path, "minimum and maximum leave nothing, or more than 18 digits");
    if (low == -kMost && high == kMost) return values_.integer();
    return values_.pattern(integers_between(low, high));
  }

  Expr array(const Json& json, const std::string& path, int depth, bool several) {
    if (!several) check_keywords(json, {"items", "prefixItems", "minItems", "maxItems"}, path);
    int64_t min = 0, max = -1;
    if (!count(json, "minItems", "maxItems", path, min, max)) return b_.empty();
    std::vector<Expr> first;
    if (const Json* list = json.find("prefixItems"); list != nullptr && list->is_array())
      for (size_t i = 0; i < list->as_array().size(); ++i)
        first.push_back(schema(list->as_array()[i], str_cat(path, "/prefixItems/", i), depth + 1));
    const Json* const items = json.find("items");
    const auto n_first = std::ssize(first);
    if (items != nullptr && items->is_bool() && !items->as_bool())
      max = max == -1 ? n_first : std::min(max, n_first);
    if (n_first > 0 && (max != -1 && max < n_first))
      return fail(path, "maxItems is less than prefixItems has");
    if (max != -1 && max < min) return fail(path, "minItems asks for more than items allows");
    if (max == 0) return b_.text("[]");
    std::vector<Expr> parts = {b_.text("[")};
    for (size_t i = 0; i < first.size(); ++i) {
      if (i > 0) parts.push_back(b_.text(", "));
      parts.push_back(first[i]);
    }
    if (max != n_first || n_first == 0) {
      const Expr item = rest_item(items, path, depth);
      parts.push_back(items_after(item, n_first, std::max<int64_t>(0, min - n_first),
                                  max == -1 ? -1 : max - n_first));
    }
    parts.push_back(b_.text("]"));
    return b_.sequence(std::move(parts));
  }
  // Of other items, as a rule, so that repetitions stay small.
  Expr rest_item(const Json* items, const std::string& path, int depth) {
    if (items == nullptr) return values_.value();
    const int32_t rule = b_.declare_rule();
    b_.define_rule(rule, schema(*items, path + "/items", depth + 1));
    return b_.call(rule);
  }
  Expr items_after(Expr item, int64_t n_before, int64_t min, int64_t max) {
    const Expr next = b_.sequence({b_.text(", "), item});
    if (max == 0) return b_.empty();
    if (n_before > 0) return b_.repeat(next, min, max);
    const Expr some = b_.sequence(
        {item, b_.repeat(next, std::max<int64_t>(0, min - 1), max == -1 ? -1 : max - 1)});
    return min > 0 ? some : b_.repeat(some, 0, 1);
  }

  Expr object(const Json& json, const std::string& path, int depth, bool several) {
    if (!several) check_keywords(json, {"properties", "required", "additionalProperties"}, path);
    struct Property {
      Expr pair;
      bool required;
    };
    std::vector<Property> properties;
    std::vector<std::string> names;
    const Json* const required = json.find("required");
    std::set<std::string_view> missing;  // of the required ones, those not met yet
    if (required != nullptr && required->is_array())
      for (const Json& one : required->as_array()) missing.insert(one.as_string());
    const Json* const listed = json.find("properties");
    if (listed != nullptr && !listed->is_object()) return fail(path, "properties is no object");
    if (listed != nullptr) {
      for (const auto& [name, inner] : listed->as_object()) {
        if (!error_.empty()) return b_.empty();
        names.push_back(name);
        properties.push_back(
            {b_.sequence({b_.text(json_dumps(Json(name)) + ": "),
                          schema(inner, path + "/properties/" + name.substr(0, 60), depth + 1)}),
             missing.erase(name) > 0});
      }
    }
    if (!missing.empty()) return fail(path, "required names what is not in properties");
    const Json* const more = json.find("additionalProperties");
    const bool is_open = listed == nullptr && more == nullptr;
    if (is_open) return values_.any_object();
    Expr others = b_.empty();
    const bool has_others = more != nullptr && !(more->is_bool() && !more->as_bool());
    if (has_others)
      others =
          b_.sequence({names.empty() ? values_.string() : values_.other_key(names), b_.text(": "),
                       schema(*more, path + "/additionalProperties", depth + 1)});
    // From the end: what may follow where a pair stands before (1), and where none does (0).
    const Expr comma = b_.text(", ");
    const Expr more_after =
        has_others ? b_.repeat(b_.sequence({comma, others}), 0, -1) : b_.empty();
    Expr after[2] = {has_others ? b_.repeat(b_.sequence({others, more_after}), 0, 1) : b_.empty(),
                     more_after};
    for (size_t i = properties.size(); i-- > 0;) {
      const Property& property = properties[i];
      Expr next[2];
      for (const int before : {0, 1}) {
        const Expr taken = before == 1 ? b_.sequence({comma, property.pair, after[1]})
                                       : b_.sequence({property.pair, after[1]});
        const int32_t rule = b_.declare_rule();
        b_.define_rule(rule, property.required ? taken : b_.choice({taken, after[before]}));
        next[before] = b_.call(rule);
      }
      after[0] = next[0];
      after[1] = next[1];
    }
    return b_.sequence({b_.text("{"), after[0], b_.text("}")});
  }

  const Json& root_;
  GrammarBuilder& b_;
  JsonValues values_;
  std::map<std::string, int32_t> references_;
  std::string error_;
};

Result<Grammar> finish(GrammarBuilder& builder, Expr body) {
  const int32_t root = builder.declare_rule();
  builder.define_rule(root, body);
  return builder.finish(root);
}

}  // namespace

Result<Expr> json_schema_expr(GrammarBuilder& builder, const Json& schema) {
  return SchemaReader(builder, schema).read();
}

Expr json_object_expr(GrammarBuilder& builder) { return JsonValues(builder).any_object(); }

Result<Grammar> json_schema_grammar(const Json& schema) {
  GrammarBuilder builder;
  FATHOM_TRY(const Expr body, json_schema_expr(builder, schema));
  return finish(builder, body);
}

Result<Grammar> json_object_grammar() {
  GrammarBuilder builder;
  return finish(builder, json_object_expr(builder));
}

}  // namespace fathom
