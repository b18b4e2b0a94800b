// Server-sent events (WHATWG HTML, section 9.2), cut out of bytes that arrive in any pieces. Lines
// may end with LF, CR LF or CR; comments and fields that are not known are passed over.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fathom {

inline constexpr int64_t kSseBytesMax = int64_t{16} << 20;  // of a line, and of an event's data

class SseParser {
 public:
  // data: the lines of "data:" with newlines between them. False ends the parsing.
  using OnEvent = std::function<bool(std::string_view data)>;

  explicit SseParser(int64_t bytes_max = kSseBytesMax) : bytes_max_(bytes_max) {}

  // False: a line or an event is longer than allowed, or on_event said false. No more may be fed.
  bool feed(std::string_view bytes, const OnEvent& on_event);
  // The end of the stream: an event whose blank line is missing counts, since servers forget it.
  bool finish(const OnEvent& on_event);

 private:
  bool end_line(const OnEvent& on_event);

  int64_t bytes_max_;
  std::string line_, data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a line feed that comes now belongs to the line before
  bool is_first_line_ = true;
};

}  // namespace fathom
