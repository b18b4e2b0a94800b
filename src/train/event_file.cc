#include "train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>

#include "base/crc32c.h"

namespace fathom {
namespace {

constexpr int64_t kLogBlockBytes = int64_t{1} << 16;
constexpr int64_t kLogLineBytesMax = int64_t{1} << 28;

template <typename T>
void append_fixed(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((value >> (8 * i)) & 0xffu);
}

uint32_t masked_crc(std::string_view data) {
  const uint32_t crc = crc32c(data);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// --- protocol buffers: a field is (number << 3 | wire type), then its value ---

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80u; value >>= 7) out += static_cast<char>((value & 0x7fu) | 0x80u);
  out += static_cast<char>(value);
}
void append_key(std::string& out, uint32_t field, WireType type) {
  append_varint(out, field << 3 | type);
}
void append_bytes_field(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

// wall_time and step of an Event.
std::string event_head(double wall_time, int64_t step) {
  std::string out;
  append_key(out, 1, kFixed64);
  append_fixed(out, std::bit_cast<uint64_t>(wall_time));
  if (step == 0) return out;
  append_key(out, 2, kVarint);
  append_varint(out, static_cast<uint64_t>(step));
  return out;
}

Status write_all(const FileDescriptor& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("cannot write the run's log");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<FileDescriptor> open_to_append(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return io_error(str_cat("cannot write ", path));
  return FileDescriptor(fd, 0);
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, HOST_NAME_MAX) == 0 ? name : "unknown";
}

// A file, read backwards.
class LinesFromEnd {
 public:
  LinesFromEnd(int fd, int64_t size) : fd_(fd), begin_(size) {}

  // Where the line begins that ends before `end`: behind the newline before it, or 0. end falls
  // from call to call.
  Result<int64_t> begin_of_line(int64_t end) {
    bytes_.resize(static_cast<size_t>(end - begin_));
    for (;;) {
      const size_t newline = bytes_.rfind('\n');
      if (newline != std::string::npos) return begin_ + static_cast<int64_t>(newline) + 1;
      if (begin_ == 0) return 0;
      FATHOM_RETURN_IF_ERROR(read_before());
    }
  }
  // Of what begin_of_line has looked at.
  std::string_view text(int64_t begin, int64_t end) const {
    return std::string_view(bytes_).substr(static_cast<size_t>(begin - begin_),
                                           static_cast<size_t>(end - begin));
  }

 private:
  // As much again as there is: a long line is not copied for each block.
  Status read_before() {
    const auto there = static_cast<int64_t>(bytes_.size());
    if (there > kLogLineBytesMax) return exhausted_error("a line is too long for a run's log");
    const int64_t n = std::min(begin_, std::max(kLogBlockBytes, there));
    std::string before(static_cast<size_t>(n), '\0');
    if (read_at(fd_, begin_ - n, std::as_writable_bytes(std::span(before))) != n)
      return io_error("cannot read it");
    bytes_.insert(0, before);
    begin_ -= n;
    return {};
  }

  int fd_;
  int64_t begin_;      // in the file, of:
  std::string bytes_;  // what is not given yet, or its end
};

// Where a log goes on.
struct LogEnd {
  int64_t bytes = 0;
  std::vector<Json> last;  // the lines of last_step
};

Result<LogEnd> find_log_end(int fd, int64_t size, int64_t last_step, int64_t n_rollbacks) {
  LinesFromEnd lines(fd, size);
  LogEnd out;
  FATHOM_TRY(out.bytes, lines.begin_of_line(size));  // the rest is half a line
  for (int64_t end = out.bytes; end > 0;) {
    FATHOM_TRY(const int64_t begin, lines.begin_of_line(end - 1));
    Result<Json> line = parse_json(lines.text(begin, end - 1));
    const Json* step = line.ok() ? line->find("step") : nullptr;
    const Json* rollback = line.ok() ? line->find("rollback") : nullptr;
    const bool stays = step != nullptr && step->is_int() && step->as_int() <= last_step &&
                       (rollback == nullptr || rollback->as_int() <= n_rollbacks);
    if (!stays) {
      if (!out.last.empty()) break;
      out.bytes = begin;
    } else if (step->as_int() < last_step) {
      break;
    } else {
      out.last.push_back(std::move(line).value());
    }
    end = begin;
  }
  return out;
}

}  // namespace

std::string tf_record(std::string_view data) {
  std::string out;
  append_fixed(out, uint64_t{data.size()});
  append_fixed(out, masked_crc(out));
  out += data;
  append_fixed(out, masked_crc(data));
  return out;
}

std::string version_event(double wall_time) {
  std::string out = event_head(wall_time, 0);
  append_bytes_field(out, 3, "brain.Event:2");  // file_version
  return out;
}

std::string session_start_event(double wall_time, int64_t step) {
  std::string out = event_head(wall_time, step);
  append_bytes_field(out, 7, std::string_view("\x08\x01", 2));  // session_log { status: START }
  return out;
}

std::string scalars_event(double wall_time, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, scalar] : scalars) {
    std::string value;
    append_bytes_field(value, 1, tag);
    append_key(value, 2, kFixed32);  // simple_value
    append_fixed(value, std::bit_cast<uint32_t>(static_cast<float>(scalar)));
    append_bytes_field(summary, 1, value);
  }
  std::string out = event_head(wall_time, step);
  append_bytes_field(out, 5, summary);
  return out;
}

Result<EventFile> EventFile::create(const std::string& folder, double wall_time,
                                    int64_t first_step) {
  const std::string name = str_cat("events.out.tfevents.", static_cast<int64_t>(wall_time), ".",
                                   host_name(), ".", int64_t{::getpid()});
  FATHOM_TRY(FileDescriptor file, open_to_append(join_path(folder, name)));
  FATHOM_RETURN_IF_ERROR(write_all(file, tf_record(version_event(wall_time))));
  FATHOM_RETURN_IF_ERROR(write_all(file, tf_record(session_start_event(wall_time, first_step))));
  return EventFile(std::move(file));
}

Status EventFile::append(double wall_time, int64_t step, const Scalars& scalars) {
  return write_all(file_, tf_record(scalars_event(wall_time, step, scalars)));
}

Result<RunLog> RunLog::open(const std::string& path, int64_t last_step, int64_t n_rollbacks) {
  FATHOM_TRY(FileDescriptor file, open_to_append(path));
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size < 0) return io_error(str_cat("cannot read ", path));
  Result<LogEnd> end = find_log_end(file.get(), size, last_step, n_rollbacks);
  if (!end.ok()) return Error{end.error().code, str_cat(path, ": ", end.error().message)};
  if (end->bytes < size && ::ftruncate(file.get(), end->bytes) != 0)
    return io_error(str_cat("cannot write ", path));
  return RunLog(std::move(file), std::move(end->last));
}

bool RunLog::had(int64_t step, std::string_view field) const {
  return std::any_of(last_.begin(), last_.end(), [=](const Json& line) {
    return line.find("step")->as_int() == step && line.find(field) != nullptr;
  });
}

Status RunLog::append(const Json& line) { return write_all(file_, line.dump() + "\n"); }

}  // namespace fathom
