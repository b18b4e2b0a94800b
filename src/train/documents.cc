#include "train/documents.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "io/packed_reader.h"

namespace fathom {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

bool is_json_lines(std::string_view name) {
  for (const std::string_view packed : {".xz", ".zst", ".gz"}) {
    if (name.ends_with(packed)) name.remove_suffix(packed.size());
  }
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

Result<Document> parse_line(std::string where, std::string_view line) {
  Result<Json> json = parse_json(line);
  if (!json.ok()) return invalid_error(where, ": ", json.error().message);
  Document out{.where = std::move(where), .text = {}, .chat = std::nullopt};
  const Json* text = json->find("text");
  const Json* messages = json->find("messages");
  if (text != nullptr && text->is_string()) {
    out.text = text->as_string();
  } else if (messages != nullptr && messages->is_array()) {
    Json chat = Json::object();
    chat.set("messages", *messages);
    if (const Json* tools = json->find("tools")) chat.set("tools", *tools);
    out.chat = std::move(chat);
  } else {
    return invalid_error(out.where, R"(: the line needs "text", a string, or "messages", a list)");
  }
  return out;
}

}  // namespace

struct DocumentReader::State {
  std::vector<std::string> files;
  size_t next_file = 0;
  std::optional<PackedReader> reader;
  bool json_lines = false;
  std::string buffer;  // read and not used yet
  bool at_end = false;
  int64_t line = 0, part = 0;
  int64_t bytes_before = 0;  // of the files that are done

  Status open_next() {
    if (reader) bytes_before += reader->packed_bytes_read();
    FATHOM_TRY(PackedReader opened, PackedReader::open(files[next_file]));
    reader.emplace(std::move(opened));
    json_lines = is_json_lines(files[next_file]);
    ++next_file;
    buffer.clear();
    at_end = false;
    line = part = 0;
    return {};
  }

  Status fill() {
    const size_t have = buffer.size();
    buffer.resize(have + kReadBytes);
    FATHOM_TRY(const size_t n, reader->read({buffer.data() + have, kReadBytes}));
    buffer.resize(have + n);
    at_end = n == 0;
    return {};
  }

  // The bytes up to the end of what `end` finds, which says npos while it wants more; all that is
  // left at the file's end.
  template <typename FindEnd>
  Result<std::string> take(const FindEnd& find_end) {
    size_t end = find_end();
    while (end == std::string::npos && !at_end) {
      FATHOM_RETURN_IF_ERROR(fill());
      if (std::ssize(buffer) > kLineBytesMax)
        return exhausted_error(reader->name(), ", line ", line + 1, " has more than ",
                               kLineBytesMax >> 20, " MiB; split it");
      end = find_end();
    }
    std::string out = buffer.substr(0, end);
    buffer.erase(0, out.size());
    return out;
  }

  Result<std::string> take_line() {
    size_t searched = 0;
    return take([this, &searched] {
      const size_t found = buffer.find('\n', searched);
      searched = buffer.size();
      return found == std::string::npos ? found : found + 1;
    });
  }

  Result<std::string> take_text() {
    return take([this] {
      if (std::ssize(buffer) <= kTextBytes) return std::string::npos;
      const size_t found = buffer.find("\n\n", kTextBytes);
      if (found != std::string::npos) return found + 2;
      // No empty line far and wide: the nearest end of a line, or of a character.
      if (std::ssize(buffer) < 8 * kTextBytes) return std::string::npos;
      const size_t newline = buffer.find('\n', kTextBytes);
      size_t end = newline == std::string::npos ? kTextBytes : newline + 1;
      while (continues_utf8(buffer[end])) ++end;
      return end;
    });
  }
};

DocumentReader::DocumentReader(std::unique_ptr<State> state, int64_t packed_bytes)
    : state_(std::move(state)), packed_bytes_(packed_bytes) {}
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;
DocumentReader::~DocumentReader() = default;

Result<DocumentReader> DocumentReader::open(std::vector<std::string> files) {
  std::optional<int64_t> bytes = 0;
  for (const std::string& file : files) {
    std::optional<int64_t> of_file;
    if (file != "-") {
      FATHOM_TRY(const PackedReader reader, PackedReader::open(file));
      of_file = reader.packed_bytes();
    }
    bytes = bytes && of_file ? std::optional(*bytes + *of_file) : std::nullopt;
  }
  auto state = std::make_unique<State>();
  state->files = std::move(files);
  return DocumentReader(std::move(state), bytes.value_or(0));
}

int64_t DocumentReader::packed_bytes_read() const {
  return state_->bytes_before + (state_->reader ? state_->reader->packed_bytes_read() : 0);
}

Result<std::optional<Document>> DocumentReader::next() {
  State& s = *state_;
  while (true) {
    if (!s.reader || (s.at_end && s.buffer.empty())) {
      if (s.next_file == s.files.size()) return std::optional<Document>();
      FATHOM_RETURN_IF_ERROR(s.open_next());
    }
    Document out;
    if (s.json_lines) {
      FATHOM_TRY(const std::string line, s.take_line());
      ++s.line;
      if (is_blank(line)) continue;
      FATHOM_TRY(out, parse_line(str_cat(s.reader->name(), ", line ", s.line), line));
      if (!out.chat && is_blank(out.text)) continue;
    } else {
      FATHOM_TRY(out.text, s.take_text());
      ++s.part;
      if (is_blank(out.text)) continue;
      out.where = str_cat(s.reader->name(), ", part ", s.part);
    }
    if (const size_t bad = utf8_first_error(out.text); bad < out.text.size())
      return invalid_error(out.where, " is not UTF-8 at byte ", bad,
                           "; convert it first (iconv -t UTF-8)");
    return std::optional<Document>(std::move(out));
  }
}

}  // namespace fathom
