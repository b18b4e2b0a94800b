#include "cli/json_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/str_cat.h"
#include "base/utf8.h"
#include "cli/interrupt.h"

namespace fathom::cli {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

// A file opened for reading; standard input is not closed.
class Source {
 public:
  static Result<Source> open(const std::string& file) {
    Source source;
    source.name_ = file == "-" ? "standard input" : file;
    source.fd_ = file == "-" ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (source.fd_ < 0) return io_error(str_cat("cannot open ", file));
    struct stat info = {};
    if (::fstat(source.fd_, &info) != 0) return io_error(str_cat("cannot read ", source.name_));
    if (S_ISDIR(info.st_mode))
      return invalid_error(file, " is a folder; give a file, or - for standard input");
    if (S_ISREG(info.st_mode)) source.size_ = info.st_size;
    return source;
  }
  Source(Source&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)), size_(other.size_) {}
  Source& operator=(Source&& other) noexcept {
    std::swap(fd_, other.fd_);
    name_ = std::move(other.name_);
    size_ = other.size_;
    return *this;
  }
  ~Source() {
    if (fd_ > STDIN_FILENO) ::close(fd_);
  }

  // Fills the buffer from its start; 0 bytes at the end.
  Result<size_t> read(std::string& buffer) {
    buffer.resize(kReadBytes);
    while (true) {
      const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) {
        if (interrupted()) return interrupted_error();
        continue;
      }
      if (n < 0) return io_error(str_cat("cannot read ", name_));
      buffer.resize(static_cast<size_t>(n));
      return static_cast<size_t>(n);
    }
  }
  const std::string& name() const { return name_; }
  std::optional<int64_t> size() const { return size_; }

 private:
  Source() = default;
  int fd_ = -1;
  std::string name_;
  std::optional<int64_t> size_;
};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

struct LineReader::State {
  std::vector<Source> sources;
  int64_t line_bytes_max = 0;
  size_t current = 0;     // the source being read
  std::string buffer;     // bytes read from it
  size_t position = 0;    // how far the buffer is used up
  int64_t file_line = 0;  // lines begun in this source
  int64_t index = 0;      // lines begun in all
  int64_t bytes_read = 0;

  // The next line, blank or not, of any source.
  Result<std::optional<InputLine>> line();
};

Result<std::optional<InputLine>> LineReader::State::line() {
  InputLine out;
  bool begun = false;
  while (current < sources.size()) {
    if (position == buffer.size()) {
      FATHOM_TRY(const size_t n, sources[current].read(buffer));
      position = 0;
      bytes_read += static_cast<int64_t>(n);
      if (n == 0) {
        if (begun) break;  // a last line without an end
        ++current;
        file_line = 0;
        continue;
      }
    }
    if (!begun) {
      begun = true;
      out.index = index++;
      out.where = str_cat(sources[current].name(), ", line ", ++file_line);
    }
    const size_t end = std::min(buffer.find('\n', position), buffer.size());
    if (static_cast<int64_t>(out.text.size() + (end - position)) > line_bytes_max) {
      out.too_long = true;
      out.text.clear();
    }
    if (!out.too_long) out.text.append(buffer, position, end - position);
    position = std::min(end + 1, buffer.size());
    if (end < buffer.size()) break;
  }
  if (!begun) return std::optional<InputLine>();
  if (!out.text.empty() && out.text.back() == '\r') out.text.pop_back();
  if (file_line == 1 && out.text.starts_with(kByteOrderMark))
    out.text.erase(0, kByteOrderMark.size());
  return std::optional<InputLine>(std::move(out));
}

Result<Json> InputLine::json() const {
  if (too_long) return exhausted_error(where, ": the line is too long; split it");
  Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return Error{parsed.error().code, str_cat(where, ": ", parsed.error().message)};
  return parsed;
}

LineReader::LineReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Result<LineReader> LineReader::open(const std::vector<std::string>& files, int64_t line_bytes_max) {
  auto state = std::make_unique<State>();
  state->line_bytes_max = line_bytes_max;
  const std::vector<std::string> standard_input = {"-"};
  for (const std::string& file : files.empty() ? standard_input : files) {
    FATHOM_TRY(Source source, Source::open(file));
    state->sources.push_back(std::move(source));
  }
  return LineReader(std::move(state));
}

Result<std::optional<InputLine>> LineReader::next() {
  while (true) {
    FATHOM_TRY(std::optional<InputLine> line, state_->line());
    if (!line.has_value() || line->too_long || !is_blank(line->text)) return line;
  }
}

std::optional<int64_t> LineReader::total_bytes() const {
  int64_t total = 0;
  for (const Source& source : state_->sources) {
    if (!source.size().has_value()) return std::nullopt;
    total += *source.size();
  }
  return total;
}

int64_t LineReader::bytes_read() const { return state_->bytes_read; }

Result<std::string> read_all(const std::string& file, int64_t bytes_max) {
  FATHOM_TRY(Source source, Source::open(file));
  std::string text;
  std::string piece;
  while (true) {
    FATHOM_TRY(const size_t n, source.read(piece));
    if (n == 0) return text;
    text += piece;
    if (static_cast<int64_t>(text.size()) > bytes_max) {
      return exhausted_error(source.name(), " is longer than ", bytes_max, " bytes; split it");
    }
  }
}

Result<std::string> read_text(const std::string& file, int64_t bytes_max) {
  FATHOM_TRY(std::string text, read_all(file, bytes_max));
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  if (const size_t bad = utf8_first_error(text); bad < text.size())
    return invalid_error(file == "-" ? "standard input" : file, " is not UTF-8 at byte ", bad,
                         "; convert it first (iconv -t UTF-8)");
  return text;
}

Json line_error(const std::string& message, std::optional<int64_t> line) {
  Json error = Json::object();
  error.set("message", message);
  if (line) error.set("line", *line);
  return error;
}

Json error_line(const std::string& message, std::optional<int64_t> line) {
  Json out = Json::object();
  out.set("error", line_error(message, line));
  return out;
}

}  // namespace fathom::cli
