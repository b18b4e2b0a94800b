// Lines of several files, or of standard input, as the commands that take JSON Lines (and prompts,
// one a line) read them. Memory is bounded by the longest line allowed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/json.h"

namespace fathom::cli {

// Also the largest document that a line can be.
inline constexpr int64_t kLineBytesMax = int64_t{256} << 20;

struct InputLine {
  int64_t index = 0;  // counts the lines of all files, from 0; blank lines count
  std::string where;  // "requests.jsonl, line 3": for messages
  std::string
      text;  // without its end ("\n" or "\r\n"); a byte order mark at a file's beginning is dropped
  bool too_long = false;  // then text is empty: the line was read over

  // The line as one JSON document; the error says where the line stands.
  Result<Json> json() const;
};

class LineReader {
 public:
  // No files, or "-": standard input. Opens them all at once, so that a missing one is seen before
  // any work.
  static Result<LineReader> open(const std::vector<std::string>& files,
                                 int64_t line_bytes_max = kLineBytesMax);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  // The next line that is not blank, nothing at the end. An error if reading fails or a person
  // interrupts.
  Result<std::optional<InputLine>> next();

  // Bytes of all files, for a progress bar; nothing if one of them is a pipe.
  std::optional<int64_t> total_bytes() const;
  int64_t bytes_read() const;

 private:
  struct State;
  explicit LineReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// What stands under "error" where a line could not be answered: {"message", "line"}; some contracts
// have no line.
Json line_error(const std::string& message, std::optional<int64_t> line);
// {"error": line_error(...)}: the answer to such a line.
Json error_line(const std::string& message, std::optional<int64_t> line);

// The whole of a file, or of standard input for "-". Refuses more than bytes_max.
Result<std::string> read_all(const std::string& file, int64_t bytes_max);
// The same of a text: without a byte order mark, and refused if it is not UTF-8.
Result<std::string> read_text(const std::string& file, int64_t bytes_max);

}  // namespace fathom::cli
