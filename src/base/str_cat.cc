#include "base/str_cat.h"

#include <charconv>

namespace fathom::str_cat_internal {

namespace {
template <typename T>
void append_number(std::string& out, T value) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, result.ptr);
}
}  // namespace

void append(std::string& out, std::string_view text) { out.append(text); }
void append(std::string& out, bool value) { out.append(value ? "true" : "false"); }
void append(std::string& out, char value) { out.push_back(value); }
void append(std::string& out, double value) { append_number(out, value); }
void append(std::string& out, float value) { append_number(out, value); }
void append(std::string& out, int64_t value) { append_number(out, value); }
void append(std::string& out, uint64_t value) { append_number(out, value); }

}  // namespace fathom::str_cat_internal
