#include "train/documents.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "io/packed_reader.h"
#include "train/conversation.h"

namespace fathom {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr std::string_view kBlank = " \t\r\n";

bool is_json_lines(std::string_view name) {
  for (const std::string_view packed : {".xz", ".zst", ".gz"}) {
    if (name.ends_with(packed)) name.remove_suffix(packed.size());
  }
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlank) == std::string_view::npos;
}

Result<Document> parse_line(std::string where, std::string_view line) {
  const Result<Json> json = parse_json(line);
  if (!json.ok()) return invalid_error(where, ": ", json.error().message);
  Document out;
  const Json* text = json->find("text");
  const Json* messages = json->find("messages");
  const bool has_text = text != nullptr && !text->is_null();
  const bool has_messages = messages != nullptr && !messages->is_null();
  if (has_text && has_messages)
    return invalid_error(where, R"(: the line has both "text" and "messages"; keep one of them)");
  if (has_messages) {
    Result<Json> chat = conversation_of(*json);
    if (!chat.ok()) return invalid_error(where, ": ", chat.error().message);
    out.chat = std::move(*chat);
  } else if (has_text && text->is_string()) {
    out.text = text->as_string();
  } else {
    return invalid_error(where, R"(: the line needs "text", a string, or "messages", a list)");
  }
  out.where = std::move(where);
  return out;
}

}  // namespace

struct DocumentReader::State {
  struct Input {
    std::string file;
    std::optional<PackedReader> pipe;  // open all the time: opened again its bytes would be gone
  };
  std::vector<Input> inputs;
  int stop_fd = -1;
  size_t next_input = 0;
  std::optional<PackedReader> reader;
  bool json_lines = false;
  std::string buffer;  // read and not used yet
  bool at_end = false;
  int64_t line = 0, part = 0;
  int64_t bytes_before = 0;  // of the files that are done

  Status open_next() {
    if (reader) bytes_before += reader->packed_bytes_read();
    Input& input = inputs[next_input++];
    const bool is_pipe = input.pipe.has_value();
    if (is_pipe) {
      reader = std::move(input.pipe);
    } else {
      FATHOM_TRY(reader, PackedReader::open(input.file, stop_fd));
    }
    buffer.clear();
    at_end = false;
    line = part = 0;
    FATHOM_RETURN_IF_ERROR(skip_byte_order_mark());
    json_lines = is_json_lines(input.file);
    if (!json_lines && (is_pipe || input.file == "-")) {
      FATHOM_TRY(json_lines, begins_an_object());
    }
    return {};
  }

  Status skip_byte_order_mark() {
    while (buffer.size() < kByteOrderMark.size() && !at_end) FATHOM_RETURN_IF_ERROR(fill());
    if (buffer.starts_with(kByteOrderMark)) buffer.erase(0, kByteOrderMark.size());
    return {};
  }

  // Whether the first byte that is not blank is {, without using it up.
  Result<bool> begins_an_object() {
    size_t first = std::string::npos;
    while ((first = buffer.find_first_not_of(kBlank)) == std::string::npos && !at_end &&
           std::ssize(buffer) < kTextBytes)
      FATHOM_RETURN_IF_ERROR(fill());
    return first != std::string::npos && buffer[first] == '{';
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

Result<DocumentReader> DocumentReader::open(std::vector<std::string> files, int stop_fd) {
  auto state = std::make_unique<State>();
  state->stop_fd = stop_fd;
  if (files.empty()) files.emplace_back("-");
  std::optional<int64_t> bytes = 0;
  for (std::string& file : files) {
    FATHOM_TRY(PackedReader reader, PackedReader::open(file, stop_fd));
    const std::optional<int64_t> of_file = reader.packed_bytes();
    bytes = bytes && of_file ? std::optional(*bytes + *of_file) : std::nullopt;
    State::Input& input = state->inputs.emplace_back(State::Input{std::move(file), std::nullopt});
    if (!of_file) input.pipe.emplace(std::move(reader));
  }
  return DocumentReader(std::move(state), bytes.value_or(0));
}

int64_t DocumentReader::packed_bytes_read() const {
  return state_->bytes_before + (state_->reader ? state_->reader->packed_bytes_read() : 0);
}

Result<std::optional<Document>> DocumentReader::next() {
  State& s = *state_;
  while (true) {
    if (!s.reader || (s.at_end && s.buffer.empty())) {
      if (s.next_input == s.inputs.size()) return std::optional<Document>();
      FATHOM_RETURN_IF_ERROR(s.open_next());
    }
    Document out;
    if (s.json_lines) {
      FATHOM_TRY(const std::string line, s.take_line());
      ++s.line;
      if (is_blank(line)) continue;
      FATHOM_TRY(out, parse_line(str_cat(s.reader->name(), ", line ", s.line), line));
      out.input_bytes = std::ssize(line);
      if (!out.chat && is_blank(out.text)) continue;
    } else {
      FATHOM_TRY(out.text, s.take_text());
      ++s.part;
      if (is_blank(out.text)) continue;
      out.input_bytes = std::ssize(out.text);
      out.where = str_cat(s.reader->name(), ", part ", s.part);
    }
    if (const size_t bad = utf8_first_error(out.text); bad < out.text.size())
      return invalid_error(out.where, " is not UTF-8 at byte ", bad,
                           "; convert it first (iconv -t UTF-8)");
    return std::optional<Document>(std::move(out));
  }
}

}  // namespace fathom
