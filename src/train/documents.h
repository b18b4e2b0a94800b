// The documents of text files and JSON Lines, packed or not (io/packed_reader.h), one after another
// in bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/json.h"

namespace fathom {

struct Document {
  std::string where;  // "books.jsonl.xz, line 3": for messages
  std::string text;
  std::optional<Json> chat;  // a line with "messages" (and "tools"): then text is empty
  int64_t input_bytes = 0;   // of the text, or of the line: what it takes in memory follows them
};

class DocumentReader {
 public:
  static constexpr int64_t kLineBytesMax = int64_t{64} << 20;
  // A plain text is one document; a longer one is cut at the first empty line after this.
  static constexpr int64_t kTextBytes = int64_t{1} << 20;

  // Names ending in .jsonl or .ndjson (before .xz, .zst, .gz) are JSON Lines, all others plain
  // text. No files, or "-", is standard input: JSON Lines if its first byte that is not blank is {,
  // else text; so are other pipes without such a name. A byte order mark is passed over. Every file
  // is opened once at the beginning, so that a missing one is seen before any work. stop_fd: see
  // io/packed_reader.h.
  static Result<DocumentReader> open(std::vector<std::string> files, int stop_fd = -1);

  // Nothing at the end. A line that is no JSON, or has neither a string "text" nor a list
  // "messages" (train/conversation.h), or both, is an error that says where it stands; empty
  // documents are passed over.
  Result<std::optional<Document>> next();
  int64_t packed_bytes_read() const;                      // of all files, for progress
  int64_t packed_bytes() const { return packed_bytes_; }  // of all files; 0 if one is a pipe

  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;
  ~DocumentReader();

 private:
  struct State;
  DocumentReader(std::unique_ptr<State> state, int64_t packed_bytes);
  std::unique_ptr<State> state_;
  int64_t packed_bytes_;
};

}  // namespace fathom
