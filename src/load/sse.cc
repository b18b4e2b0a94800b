#include "load/sse.h"

#include "base/utf8.h"

namespace fathom {

bool SseParser::feed(std::string_view bytes, const OnEvent& on_event) {
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const size_t end = bytes.find_first_of("\r\n");
    line_ += bytes.substr(0, end);
    if (static_cast<int64_t>(line_.size()) > bytes_max_) return false;
    if (end == std::string_view::npos) return true;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (!end_line(on_event)) return false;
  }
  return true;
}

bool SseParser::finish(const OnEvent& on_event) {
  if (!line_.empty() && !end_line(on_event)) return false;
  return end_line(on_event);
}

bool SseParser::end_line(const OnEvent& on_event) {
  std::string_view line = line_;
  if (is_first_line_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  is_first_line_ = false;
  bool go_on = true;
  if (line.empty()) {
    if (has_data_) {
      // Moved out first: an event may end everything.
      const std::string data = std::move(data_);
      data_.clear();
      has_data_ = false;
      go_on = on_event(data);
    }
  } else if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(line.size() == 4 ? 4 : 5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
    go_on = static_cast<int64_t>(data_.size()) <= bytes_max_;
  }
  line_.clear();
  return go_on;
}

}  // namespace fathom
