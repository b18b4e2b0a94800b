#include "train/config_reader.h"

#include <algorithm>
#include <cmath>

#include "base/math.h"
#include "base/suggest.h"

namespace fathom {
namespace {

double unit_of(char c) {
  switch (c) {
    case 'K':
      return 1e3;
    case 'M':
      return 1e6;
    case 'B':
      return 1e9;
    case 'T':
      return 1e12;
    default:
      return 0;
  }
}

CurveShape shape_named(const std::string& name) {
  if (name == "linear") return CurveShape::kLinear;
  return name == "cosine" ? CurveShape::kCosine : CurveShape::kConstant;
}

}  // namespace

Result<int64_t> parse_count(std::string_view text) {
  const Error bad =
      invalid_error("'", text, "' is no count; write digits, or 64K, 80M, 1.5B, 14.8T");
  std::string_view digits = text;
  double unit = 1;
  if (!digits.empty() && unit_of(digits.back()) > 0) {
    unit = unit_of(digits.back());
    digits.remove_suffix(1);
  }
  const bool plain = !digits.empty() && digits.size() <= 18 && digits.front() != '.' &&
                     std::count(digits.begin(), digits.end(), '.') <= 1 &&
                     digits.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!plain) return bad;
  int64_t value = 0;
  double fraction_unit = 1;
  bool in_fraction = false;
  for (const char c : digits) {
    if (c == '.') {
      in_fraction = true;
      continue;
    }
    value = value * 10 + (c - '0');
    if (in_fraction) fraction_unit *= 10;
  }
  // Divided first: 14.3T must be exactly 143 times 10^11.
  const double factor = unit / fraction_unit;
  int64_t out = 0;
  if (factor < 1 || factor != std::floor(factor) ||
      !checked_mul(value, static_cast<int64_t>(factor), &out))
    return bad;
  return out;
}

ConfigReader::ConfigReader(const TomlValue& root, const std::string& file)
    : value_(&root), shared_(std::make_shared<Shared>(Shared{&file, ""})) {}

std::string ConfigReader::path_of(std::string_view name) const {
  if (name.empty()) return path_;
  return path_.empty() ? std::string(name) : str_cat(path_, ".", name);
}

void ConfigReader::fail(std::string_view name, const std::string& message) {
  if (!shared_->error.empty()) return;
  const TomlValue* value = value_ == nullptr || name.empty() ? value_ : value_->find(name);
  if (value == nullptr) value = value_;
  const int64_t line = value == nullptr ? 0 : value->line;
  const std::string path = path_of(name);
  // Without a line: what --set has put there.
  const bool set = line == 0 && value != nullptr && !path.empty();
  shared_->error = line > 0 ? str_cat(*shared_->file, ":", line, ": ")
                            : str_cat(*shared_->file, set ? " with --set: " : ": ");
  shared_->error += path.empty() ? message : str_cat(path, " ", message);
}

const TomlValue* ConfigReader::take(std::string_view name) {
  known_.emplace_back(name);
  if (value_ == nullptr || !shared_->error.empty()) return nullptr;
  return value_->find(name);
}

bool ConfigReader::expect(const TomlValue& value, std::string_view name, TomlValue::Type type) {
  if (value.type == type) return true;
  fail(name, str_cat("is ", toml_type_name(value.type), ", expected ", toml_type_name(type)));
  return false;
}

double ConfigReader::as_number(const TomlValue& value, std::string_view name) {
  if (value.type == TomlValue::Type::kInt) return static_cast<double>(value.integer);
  return expect(value, name, TomlValue::Type::kDouble) ? value.number : 0.0;
}

void ConfigReader::boolean(std::string_view name, bool& out) {
  const TomlValue* value = take(name);
  if (value != nullptr && expect(*value, name, TomlValue::Type::kBool)) out = value->boolean;
}

void ConfigReader::integer(std::string_view name, int64_t& out, int64_t min, int64_t max) {
  const TomlValue* value = take(name);
  if (value == nullptr || !expect(*value, name, TomlValue::Type::kInt)) return;
  if (value->integer < min || value->integer > max) {
    const bool open = max == std::numeric_limits<int64_t>::max();
    return fail(name, open ? str_cat("is ", value->integer, ", expected at least ", min)
                           : str_cat("is ", value->integer, ", expected ", min, " to ", max));
  }
  out = value->integer;
}

void ConfigReader::count(std::string_view name, int64_t& out, int64_t min) {
  const TomlValue* value = value_ == nullptr ? nullptr : value_->find(name);
  if (value == nullptr || value->type != TomlValue::Type::kString) return integer(name, out, min);
  take(name);
  const Result<int64_t> parsed = parse_count(value->text);
  if (!parsed.ok()) return fail(name, parsed.error().message);
  if (*parsed < min) return fail(name, str_cat("is ", *parsed, ", expected at least ", min));
  out = *parsed;
}

void ConfigReader::number(std::string_view name, double& out, double min, double max) {
  const TomlValue* value = take(name);
  if (value == nullptr) return;
  const double number = as_number(*value, name);
  if (!(number >= min && number <= max))
    return fail(name, str_cat("is ", std::isfinite(number) ? Json(number).dump() : str_cat(number),
                              ", expected ", Json(min).dump(), " to ", Json(max).dump()));
  out = number;
}

void ConfigReader::text(std::string_view name, std::string& out) {
  const TomlValue* value = take(name);
  if (value != nullptr && expect(*value, name, TomlValue::Type::kString)) out = value->text;
}

void ConfigReader::texts(std::string_view name, std::vector<std::string>& out) {
  const TomlValue* value = take(name);
  if (value == nullptr || !expect(*value, name, TomlValue::Type::kArray)) return;
  out.clear();
  for (const TomlValue& item : value->items) {
    if (!expect(item, name, TomlValue::Type::kString)) return;
    out.push_back(item.text);
  }
}

void ConfigReader::choice(std::string_view name, std::string& out,
                          const std::vector<std::string>& choices) {
  std::string chosen = out;
  text(name, chosen);
  if (std::find(choices.begin(), choices.end(), chosen) == choices.end())
    return fail(name,
                str_cat("is '", chosen, "'; did you mean '", nearest_name(chosen, choices), "'?"));
  out = chosen;
}

void ConfigReader::curve(std::string_view name, Curve& out, double first_from, double min,
                         double max) {
  const TomlValue* value = value_ == nullptr ? nullptr : value_->find(name);
  if (value == nullptr || value->type != TomlValue::Type::kArray) {
    double constant = out.rest;
    number(name, constant, min, max);
    if (value != nullptr) out = Curve::constant(constant);
    return;
  }
  out = {};
  double from = first_from;
  std::vector<ConfigReader> pieces = tables(name);
  for (size_t i = 0; i < pieces.size(); ++i) {
    ConfigReader& reader = pieces[i];
    CurvePiece piece{.from = from};
    std::string shape = "constant";
    int64_t until_tokens = 0, until_step = 0;
    if (!reader.has("value")) reader.fail("", "has no value");
    reader.number("value", piece.value, min, max);
    reader.choice("shape", shape, {"constant", "linear", "cosine"});
    reader.number("from", piece.from, min, max);
    reader.count("until_tokens", until_tokens);
    reader.count("until_step", until_step);
    reader.finish();
    const bool last = i + 1 == pieces.size();
    if ((until_tokens > 0 && until_step > 0) || (!last && until_tokens + until_step == 0))
      reader.fail("", "needs until_tokens or until_step, one of them");
    piece.shape = shape_named(shape);
    piece.unit = until_step > 0 ? CurveUnit::kSteps : CurveUnit::kTokens;
    piece.until = until_tokens + until_step;
    if (piece.until > 0) {
      out.pieces.push_back(piece);
    } else if (piece.shape != CurveShape::kConstant) {
      reader.fail("", "is a slope, so it needs an end: until_tokens or until_step");
    }
    out.rest = from = piece.value;
  }
  const Status status = check_curve(out, "");
  if (!status.ok()) fail(name, "is wrong" + status.error().message);
}

bool ConfigReader::has(std::string_view name) {
  return value_ != nullptr && value_->find(name) != nullptr;
}

ConfigReader ConfigReader::table(std::string_view name) {
  const TomlValue* value = take(name);
  if (value != nullptr && !expect(*value, name, TomlValue::Type::kTable)) value = nullptr;
  return {value, path_of(name), shared_};
}

std::vector<ConfigReader> ConfigReader::tables(std::string_view name) {
  const TomlValue* value = take(name);
  std::vector<ConfigReader> out;
  if (value == nullptr || !expect(*value, name, TomlValue::Type::kArray)) return out;
  for (size_t i = 0; i < value->items.size(); ++i) {
    if (!expect(value->items[i], name, TomlValue::Type::kTable)) return {};
    out.push_back({&value->items[i], str_cat(path_of(name), "[", i, "]"), shared_});
  }
  if (out.empty()) fail(name, "is empty");
  return out;
}

const TomlValue* ConfigReader::raw(std::string_view name) { return take(name); }

void ConfigReader::finish() {
  if (value_ == nullptr) return;
  for (const auto& [name, value] : value_->members) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    fail(name, str_cat("is no field of a run; did you mean '", nearest_name(name, known_), "'?"));
  }
}

Status ConfigReader::status() const {
  if (shared_->error.empty()) return {};
  return invalid_error(shared_->error);
}

}  // namespace fathom
