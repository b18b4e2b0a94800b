// Reads the fields of a request's JSON object into plain variables. The first thing that is wrong
// is kept, names its field, and everything after it is passed over. A field that is null counts as
// absent, as clients send it; fields that nobody asks for are left alone.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "server/api_error.h"

namespace fathom {

class ApiFields {
 public:
  // path: what stands before the names in messages ("messages[3]."). json outlives this.
  explicit ApiFields(const Json& json, std::string path = "");

  // Absent fields leave out as it is. Integers are written as such: 1.0 is none.
  void boolean(std::string_view name, bool& out);
  void integer(std::string_view name, int64_t& out, int64_t min, int64_t max);
  void number(std::string_view name, double& out, double min, double max);
  void text(std::string_view name, std::string& out,
            size_t bytes_max = std::numeric_limits<size_t>::max());
  // A text or an array of them.
  void texts(std::string_view name, std::vector<std::string>& out, size_t n_max, size_t bytes_max);
  // Token ids, not negative.
  void ids(std::string_view name, std::vector<int32_t>& out, size_t n_max);
  const Json* array(std::string_view name);
  const Json* object(std::string_view name);
  // As it stands; null if it is absent or null.
  const Json* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }

  void fail(std::string_view name, std::string message, std::string_view code = "invalid_value");
  void take(std::optional<ApiError> error);  // of a part that was read elsewhere
  bool ok() const { return !error_.has_value(); }
  const std::optional<ApiError>& error() const { return error_; }
  std::string path_of(std::string_view name) const { return path_ + std::string(name); }

 private:
  const Json* of_type(std::string_view name, bool (Json::*is)() const, std::string_view expected);

  const Json& json_;
  std::string path_;
  std::optional<ApiError> error_;
};

}  // namespace fathom
