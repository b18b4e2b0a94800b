#include "train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <optional>

#include "base/crc32c.h"

namespace fathom {
namespace {

constexpr int64_t kLogBytesMax = int64_t{4} << 30;

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
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return io_error(str_cat("cannot write ", path));
  return FileDescriptor(fd, 0);
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, HOST_NAME_MAX) == 0 ? name : "unknown";
}

// The step of a line; nothing if it is no line of a run's log.
std::optional<int64_t> step_of(const Result<Json>& line) {
  const Json* step = line.ok() ? line->find("step") : nullptr;
  if (step == nullptr || !step->is_int()) return std::nullopt;
  return step->as_int();
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

Result<RunLog> RunLog::open(const std::string& path, int64_t last_step) {
  std::vector<Json> last;
  if (path_exists(path)) {
    FATHOM_TRY(const std::string text, read_file(path, kLogBytesMax));
    std::string kept;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      if (end == std::string::npos) break;
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      Result<Json> json = parse_json(line);
      const std::optional<int64_t> step = step_of(json);
      if (step && *step <= last_step) kept.append(line).append("\n");
      if (step == last_step) last.push_back(std::move(json).value());
      begin = end + 1;
    }
    if (kept != text) FATHOM_RETURN_IF_ERROR(write_file(path, kept, /*force=*/true));
  }
  FATHOM_TRY(FileDescriptor file, open_to_append(path));
  return RunLog(std::move(file), std::move(last));
}

bool RunLog::had(int64_t step, std::string_view field) const {
  return std::any_of(last_.begin(), last_.end(), [=](const Json& line) {
    return line.find("step")->as_int() == step && line.find(field) != nullptr;
  });
}

Status RunLog::append(const Json& line) { return write_all(file_, line.dump() + "\n"); }

}  // namespace fathom
