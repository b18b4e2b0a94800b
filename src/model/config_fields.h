// Typed access to the fields of a config file: each getter checks type and range, and its error
// names the file, the field, what stands there and what was expected. Fields that are null count as
// absent.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/json.h"

namespace fathom {

class ConfigFields {
 public:
  // object must be one, and outlive this; name: the file, or the field that holds the object.
  ConfigFields(const Json& object, std::string name) : object_(object), name_(std::move(name)) {}

  // Null if the field is absent or null.
  const Json* find(std::string_view field) const;
  // Null if the field is absent.
  const Json* find_raw(std::string_view field) const { return object_.find(field); }
  // Absent, null, false, 0 or empty.
  bool asks_for_nothing(std::string_view field) const;
  // "config.json: rope_scaling.factor"
  std::string where(std::string_view field) const;
  Error wrong_type(std::string_view field, std::string_view expected) const;

  // Within [min, max]; absent: the default, or an error if there is none. 64.0 is no integer.
  Result<int64_t> integer(std::string_view field, int64_t min, int64_t max,
                          std::optional<int64_t> absent = std::nullopt) const;
  Result<double> number(std::string_view field, double min, double max,
                        std::optional<double> absent = std::nullopt) const;
  Result<bool> boolean(std::string_view field, std::optional<bool> absent) const;
  // A string that is one of the given; any other is an error that lists them.
  Result<std::string> one_of(std::string_view field,
                             std::initializer_list<std::string_view> allowed,
                             std::optional<std::string_view> absent) const;
  // The same where only one value goes on.
  Status require(std::string_view field, std::initializer_list<std::string_view> allowed,
                 std::optional<std::string_view> absent) const;

 private:
  const Json& object_;
  std::string name_;
};

}  // namespace fathom
