#include "model/config_fields.h"

#include <algorithm>
#include <cmath>

#include "io/printable.h"

namespace fathom {

const Json* ConfigFields::find(std::string_view field) const {
  const Json* json = object_.find(field);
  return json == nullptr || json->is_null() ? nullptr : json;
}

bool ConfigFields::asks_for_nothing(std::string_view field) const {
  const Json* json = find(field);
  if (json == nullptr) return true;
  switch (json->type()) {
    case Json::Type::kBool:
      return !json->as_bool();
    case Json::Type::kString:
      return json->as_string().empty();
    case Json::Type::kArray:
      return json->as_array().empty();
    case Json::Type::kObject:
      return json->as_object().empty();
    default:
      return json->as_double() == 0;
  }
}

std::string ConfigFields::where(std::string_view field) const {
  // A field inside a field reads as a path.
  return name_.find(": ") == std::string::npos ? str_cat(name_, ": ", field)
                                               : str_cat(name_, ".", field);
}

Error ConfigFields::wrong_type(std::string_view field, std::string_view expected) const {
  const Json* json = object_.find(field);
  if (json == nullptr) return invalid_error(where(field), " is missing, expected ", expected);
  return invalid_error(where(field), " is ", printable(json->dump(), 80), ", expected ", expected);
}

Result<int64_t> ConfigFields::integer(std::string_view field, int64_t min, int64_t max,
                                      std::optional<int64_t> absent) const {
  const Json* json = find(field);
  if (json == nullptr && absent) return *absent;
  if (json == nullptr || !json->is_int() || json->as_int() < min || json->as_int() > max) {
    return wrong_type(field, str_cat("an integer from ", min, " to ", max));
  }
  return json->as_int();
}

Result<double> ConfigFields::number(std::string_view field, double min, double max,
                                    std::optional<double> absent) const {
  const Json* json = find(field);
  if (json == nullptr && absent) return *absent;
  // Written so that NaN fails.
  const bool good =
      json != nullptr && json->is_number() && json->as_double() >= min && json->as_double() <= max;
  if (!good) return wrong_type(field, str_cat("a number from ", min, " to ", max));
  return json->as_double();
}

Result<bool> ConfigFields::boolean(std::string_view field, std::optional<bool> absent) const {
  const Json* json = find(field);
  if (json == nullptr && absent) return *absent;
  if (json == nullptr || !json->is_bool()) return wrong_type(field, "true or false");
  return json->as_bool();
}

Result<std::string> ConfigFields::one_of(std::string_view field,
                                         std::initializer_list<std::string_view> allowed,
                                         std::optional<std::string_view> absent) const {
  const Json* json = find(field);
  if (json == nullptr && absent) return std::string(*absent);
  if (json != nullptr && json->is_string() &&
      std::find(allowed.begin(), allowed.end(), json->as_string()) != allowed.end()) {
    return json->as_string();
  }
  Error error = wrong_type(field, str_cat(allowed.size() > 1 ? "one of " : "", str_list(allowed)));
  if (json != nullptr && json->is_string()) error.code = ErrorCode::kUnsupported;
  return error;
}

Status ConfigFields::require(std::string_view field,
                             std::initializer_list<std::string_view> allowed,
                             std::optional<std::string_view> absent) const {
  FATHOM_TRY([[maybe_unused]] const std::string value, one_of(field, allowed, absent));
  return {};
}

}  // namespace fathom
