// Reads the fields of a configuration's tables into plain variables. The first thing that is wrong
// is kept and everything after it is passed over, so that a reader is a list of fields and one
// question at its end. Messages begin with "FILE:LINE: " and name the field by its whole path.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/toml.h"
#include "train/schedule.h"

namespace fathom {

// "14.3T", "469B", "80M", "64K" (powers of 1000) or plain digits; whole numbers only.
Result<int64_t> parse_count(std::string_view text);

class ConfigReader {
 public:
  // The root table of a document; file is for messages. Both outlive the reader.
  ConfigReader(const TomlValue& root, const std::string& file);

  // Absent fields leave out as it is. In a table that is itself absent everything is.
  void boolean(std::string_view name, bool& out);
  void integer(std::string_view name, int64_t& out, int64_t min,
               int64_t max = std::numeric_limits<int64_t>::max());
  // As integer, also as a string with a unit ("80M").
  void count(std::string_view name, int64_t& out, int64_t min = 1);
  void number(std::string_view name, double& out, double min, double max);
  void text(std::string_view name, std::string& out);
  void texts(std::string_view name, std::vector<std::string>& out);
  // One of choices.
  void choice(std::string_view name, std::string& out, const std::vector<std::string>& choices);
  // A number, or an array of pieces { value, shape = "constant" | "linear" | "cosine", from,
  // until_tokens | until_step }; only the last has no end. from is the value of the piece before,
  // of the first piece first_from.
  void curve(std::string_view name, Curve& out, double first_from, double min, double max);

  bool has(std::string_view name);
  // The table of that name, and the tables of an array; reading from them uses this reader's error.
  ConfigReader table(std::string_view name);
  std::vector<ConfigReader> tables(std::string_view name);
  // As it stands, for what reads it elsewhere; null if absent.
  const TomlValue* raw(std::string_view name);

  // Says what is wrong with a field, or with the table itself (name empty).
  void fail(std::string_view name, const std::string& message);
  // A field of this table that nobody asked for is an error that names the nearest known one. Asked
  // after all fields.
  void finish();
  Status status() const;

 private:
  struct Shared {
    const std::string* file;
    std::string error;  // empty: none
  };
  ConfigReader(const TomlValue* value, std::string path, std::shared_ptr<Shared> shared)
      : value_(value), path_(std::move(path)), shared_(std::move(shared)) {}
  const TomlValue* take(std::string_view name);
  std::string path_of(std::string_view name) const;
  bool expect(const TomlValue& value, std::string_view name, TomlValue::Type type);
  double as_number(const TomlValue& value, std::string_view name);

  const TomlValue* value_;  // null: the table is absent
  std::string path_;        // "data.sources[0]"; empty: the root
  std::shared_ptr<Shared> shared_;
  std::vector<std::string> known_;
};

}  // namespace fathom
