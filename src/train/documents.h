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
};

class DocumentReader {
 public:
  static constexpr int64_t kLineBytesMax = int64_t{64} << 20;
  // A plain text is one document; a longer one is cut at the first empty line after this.
  static constexpr int64_t kTextBytes = int64_t{1} << 20;

  // Names ending in .jsonl or .ndjson (before .xz, .zst, .gz) are JSON Lines, all others plain
  // text;
  // "-" is standard input and text. Every file is opened once at the beginning, so that a missing
  // one is seen before any work.
  static Result<DocumentReader> open(std::vector<std::string> files);

  // Nothing at the end. A line without a string "text" or a list "messages", or that is no JSON, is
  // an error that says where it stands; empty documents are passed over.
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
