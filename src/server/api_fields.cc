#include "server/api_fields.h"

#include <cmath>

namespace fathom {

ApiFields::ApiFields(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
  if (json.is_object()) return;
  const std::string what = path_.empty() ? "the body" : path_.substr(0, path_.size() - 1);
  error_ = invalid_request(path_.empty() ? "" : what,
                           str_cat(what, " is ", json.type_name(), ", expected an object"),
                           "invalid_type");
}

const Json* ApiFields::find(std::string_view name) const {
  const Json* const value = json_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void ApiFields::fail(std::string_view name, std::string message, std::string_view code) {
  if (!error_) error_ = invalid_request(path_of(name), std::move(message), code);
}

void ApiFields::take(std::optional<ApiError> error) {
  if (!error_) error_ = std::move(error);
}

const Json* ApiFields::of_type(std::string_view name, bool (Json::*is)() const,
                               std::string_view expected) {
  if (error_) return nullptr;
  const Json* const value = find(name);
  if (value == nullptr || (value->*is)()) return value;
  fail(name, str_cat(path_of(name), " is ", value->type_name(), ", expected ", expected),
       "invalid_type");
  return nullptr;
}

void ApiFields::boolean(std::string_view name, bool& out) {
  if (const Json* value = of_type(name, &Json::is_bool, "true or false")) out = value->as_bool();
}

void ApiFields::integer(std::string_view name, int64_t& out, int64_t min, int64_t max) {
  const Json* const value = of_type(name, &Json::is_int, "an integer");
  if (value == nullptr) return;
  if (value->as_int() < min || value->as_int() > max) {
    fail(name, str_cat(path_of(name), " is ", value->as_int(), ", expected ", min, " to ", max));
    return;
  }
  out = value->as_int();
}

void ApiFields::number(std::string_view name, double& out, double min, double max) {
  const Json* const value = of_type(name, &Json::is_number, "a number");
  if (value == nullptr) return;
  const double x = value->as_double();
  if (!std::isfinite(x) || x < min || x > max) {
    fail(name, str_cat(path_of(name), " is ", x, ", expected ", min, " to ", max));
    return;
  }
  out = x;
}

void ApiFields::text(std::string_view name, std::string& out, size_t bytes_max) {
  const Json* const value = of_type(name, &Json::is_string, "a string");
  if (value == nullptr) return;
  if (value->as_string().size() > bytes_max) {
    fail(name, str_cat(path_of(name), " has ", value->as_string().size(), " bytes, at most ",
                       bytes_max, " are taken"));
    return;
  }
  out = value->as_string();
}

void ApiFields::texts(std::string_view name, std::vector<std::string>& out, size_t n_max,
                      size_t bytes_max) {
  const Json* const value = find(name);
  if (value == nullptr || error_) return;
  if (value->is_string()) {
    std::string one;
    text(name, one, bytes_max);
    if (ok()) out = {std::move(one)};
    return;
  }
  const Json* const list = of_type(name, &Json::is_array, "a string or an array of strings");
  if (list == nullptr) return;
  if (list->as_array().size() > n_max) {
    fail(name, str_cat(path_of(name), " has ", list->as_array().size(), " entries, at most ", n_max,
                       " are taken"));
    return;
  }
  std::vector<std::string> read;
  for (const Json& entry : list->as_array()) {
    if (!entry.is_string() || entry.as_string().size() > bytes_max) {
      fail(name,
           str_cat("an entry of ", path_of(name),
                   entry.is_string() ? str_cat(" has ", entry.as_string().size(),
                                               " bytes, at most ", bytes_max, " are taken")
                                     : str_cat(" is ", entry.type_name(), ", expected a string")));
      return;
    }
    read.push_back(entry.as_string());
  }
  out = std::move(read);
}

void ApiFields::ids(std::string_view name, std::vector<int32_t>& out, size_t n_max) {
  const Json* const list = of_type(name, &Json::is_array, "an array of token ids");
  if (list == nullptr) return;
  if (list->as_array().size() > n_max) {
    fail(name, str_cat(path_of(name), " has ", list->as_array().size(), " token ids, at most ",
                       n_max, " are taken"));
    return;
  }
  std::vector<int32_t> read;
  read.reserve(list->as_array().size());
  for (const Json& entry : list->as_array()) {
    if (!entry.is_int() || entry.as_int() < 0 ||
        entry.as_int() > std::numeric_limits<int32_t>::max()) {
      fail(name, str_cat("an entry of ", path_of(name), " is ", entry.dump().substr(0, 40),
                         ", expected a token id"));
      return;
    }
    read.push_back(static_cast<int32_t>(entry.as_int()));
  }
  out = std::move(read);
}

const Json* ApiFields::array(std::string_view name) {
  return of_type(name, &Json::is_array, "an array");
}
const Json* ApiFields::object(std::string_view name) {
  return of_type(name, &Json::is_object, "an object");
}

}  // namespace fathom
