// Strings put together from parts: text, characters and numbers, without streams or locales.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

namespace str_cat_internal {
void append(std::string& out, std::string_view text);
void append(std::string& out, bool value);
void append(std::string& out, char value);
void append(std::string& out, double value);
void append(std::string& out, float value);
void append(std::string& out, int64_t value);
void append(std::string& out, uint64_t value);

template <std::signed_integral T>
requires(!std::same_as<T, int64_t> && !std::same_as<T, char>) void append(std::string& out,
                                                                          T value) {
  append(out, static_cast<int64_t>(value));
}
template <std::unsigned_integral T>
requires(!std::same_as<T, uint64_t> && !std::same_as<T, bool> &&
         !std::same_as<T, char>) void append(std::string& out, T value) {
  append(out, static_cast<uint64_t>(value));
}
inline void append(std::string& out, const char* text) { append(out, std::string_view(text)); }
inline void append(std::string& out, const std::string& text) {
  append(out, std::string_view(text));
}
}  // namespace str_cat_internal

// Floats and doubles are written with the fewest digits that read back as the same value.
template <typename... Parts>
std::string str_cat(const Parts&... parts) {
  std::string out;
  (str_cat_internal::append(out, parts), ...);
  return out;
}

template <typename... Parts>
void str_append(std::string& out, const Parts&... parts) {
  (str_cat_internal::append(out, parts), ...);
}

// "[7168, 2048]": how messages print shapes and lists.
template <typename Range>
std::string str_list(const Range& values) {
  std::string out = "[";
  bool first = true;
  for (const auto& value : values) {
    if (!first) out += ", ";
    first = false;
    str_cat_internal::append(out, value);
  }
  return out + "]";
}

}  // namespace fathom
