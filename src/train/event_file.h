// What a run tells about itself as it goes: TensorBoard's event files (TFRecord frames around Event
// messages of protocol buffers, written by hand; scalars only) and log.jsonl, one JSON object a
// line. Both are appended to, a line or event at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "io/json.h"

namespace fathom {

using Scalars = std::vector<std::pair<std::string, double>>;

// --- the format, as bytes ---

// length, its masked CRC-32C, data, its masked CRC-32C; integers little-endian.
std::string tf_record(std::string_view data);
// The first event of a file.
std::string version_event(double wall_time);
// TensorBoard forgets what other files of the folder say of this step and later ones: the run was
// resumed there.
std::string session_start_event(double wall_time, int64_t step);
// Values are stored in F32.
std::string scalars_event(double wall_time, int64_t step, const Scalars& scalars);

// --- files ---

class EventFile {
 public:
  // A new file events.out.tfevents.<seconds>.<host>.<process> in folder, which begins at
  // first_step.
  static Result<EventFile> create(const std::string& folder, double wall_time, int64_t first_step);
  Status append(double wall_time, int64_t step, const Scalars& scalars);

 private:
  explicit EventFile(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

class RunLog {
 public:
  // The log ends after its last line of a step that is not beyond last_step, and not of a
  // "rollback" beyond n_rollbacks: what follows writes again what is cut off, also a line that a
  // killed run left half-written. Only what is cut off is read, from the end.
  static Result<RunLog> open(const std::string& path, int64_t last_step, int64_t n_rollbacks);
  Status append(const Json& line);
  // Whether a line of this step had the field when the log was opened, if the step is last_step;
  // false for all others.
  bool had(int64_t step, std::string_view field) const;

 private:
  RunLog(FileDescriptor file, std::vector<Json> last)
      : file_(std::move(file)), last_(std::move(last)) {}
  FileDescriptor file_;
  std::vector<Json> last_;  // the lines of last_step
};

}  // namespace fathom
