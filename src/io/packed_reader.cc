#include "io/packed_reader.h"

#include <fcntl.h>
#include <lzma.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "io/files.h"

namespace fathom {
namespace {

constexpr size_t kInputBytes = 64 * 1024;
constexpr uint64_t kXzMemoryMax = uint64_t{256} << 20;  // dictionaries of all usual settings
constexpr int kZstdWindowLogMax = 27;                   // 128 MiB, what zstd itself takes unasked

// Unpacks what it is given.
class Decoder {
 public:
  enum class Outcome { kMore, kEnd, kDamaged, kTooLarge };
  virtual ~Decoder() = default;
  // Takes from in and fills out; both are moved past what was used. last: no more input will come.
  virtual Outcome run(std::span<const char>& in, std::span<char>& out, bool last) = 0;
};

class XzDecoder final : public Decoder {
 public:
  XzDecoder() { ok_ = lzma_stream_decoder(&stream_, kXzMemoryMax, LZMA_CONCATENATED) == LZMA_OK; }
  ~XzDecoder() override { lzma_end(&stream_); }
  Outcome run(std::span<const char>& in, std::span<char>& out, bool last) override {
    if (!ok_) return Outcome::kTooLarge;
    stream_.next_in = reinterpret_cast<const uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const lzma_ret result = lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
    in = in.last(stream_.avail_in);
    out = out.last(stream_.avail_out);
    if (result == LZMA_STREAM_END) return Outcome::kEnd;
    if (result == LZMA_MEMLIMIT_ERROR || result == LZMA_MEM_ERROR) return Outcome::kTooLarge;
    return result == LZMA_OK ? Outcome::kMore : Outcome::kDamaged;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ok_ = false;
};

class ZstdDecoder final : public Decoder {
 public:
  ZstdDecoder() : stream_(ZSTD_createDStream()) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }
  Outcome run(std::span<const char>& in, std::span<char>& out, bool last) override {
    if (stream_ == nullptr) return Outcome::kTooLarge;
    if (in.empty() && last) return between_frames_ ? Outcome::kEnd : Outcome::kDamaged;
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    ZSTD_outBuffer to = {out.data(), out.size(), 0};
    const size_t result = ZSTD_decompressStream(stream_, &to, &from);
    in = in.subspan(from.pos);
    out = out.subspan(to.pos);
    if (ZSTD_isError(result) != 0) return Outcome::kDamaged;
    between_frames_ = result == 0;
    return Outcome::kMore;
  }

 private:
  ZSTD_DStream* stream_;
  bool between_frames_ = false;
};

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() { ok_ = inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK; }
  ~GzipDecoder() override { inflateEnd(&stream_); }
  Outcome run(std::span<const char>& in, std::span<char>& out, bool last) override {
    if (!ok_) return Outcome::kTooLarge;
    if (in.empty() && last) return between_members_ ? Outcome::kEnd : Outcome::kDamaged;
    if (between_members_ && inflateReset(&stream_) != Z_OK) return Outcome::kDamaged;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    in = in.last(stream_.avail_in);
    out = out.last(stream_.avail_out);
    between_members_ = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR ? Outcome::kMore
                                                                             : Outcome::kDamaged;
  }

 private:
  z_stream stream_ = {};
  bool ok_ = false;
  bool between_members_ = false;
};

class PlainDecoder final : public Decoder {
 public:
  Outcome run(std::span<const char>& in, std::span<char>& out, bool last) override {
    const size_t n = std::min(in.size(), out.size());
    if (n > 0) std::memcpy(out.data(), in.data(), n);
    in = in.subspan(n);
    out = out.subspan(n);
    return in.empty() && last ? Outcome::kEnd : Outcome::kMore;
  }
};

std::unique_ptr<Decoder> decoder_for(std::string_view begin) {
  using std::string_view_literals::operator""sv;
  if (begin.starts_with("\xfd"
                        "7zXZ\0"sv))
    return std::make_unique<XzDecoder>();
  if (begin.starts_with("\x28\xb5\x2f\xfd"sv)) return std::make_unique<ZstdDecoder>();
  if (begin.starts_with("\x1f\x8b"sv)) return std::make_unique<GzipDecoder>();
  return std::make_unique<PlainDecoder>();
}

}  // namespace

struct PackedReader::State {
  FileDescriptor file;
  std::string name;
  std::unique_ptr<Decoder> decoder;
  std::array<char, kInputBytes> buffer;
  std::span<const char> input;  // of the buffer, not used yet
  bool at_end = false;          // of the file
  bool done = false;
  int64_t bytes_read = 0;
  std::optional<int64_t> size;  // of a regular file
  int stop_fd = -1;

  // A signal may come just before a read that then waits for ever: so we wait for both at once.
  Status wait() const {
    if (size) return {};
    std::array<pollfd, 2> waited = {{{file.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}}};
    while (::poll(waited.data(), waited.size(), -1) < 0) {
      if (errno != EINTR) return io_error(str_cat("cannot read ", name));
    }
    return waited[1].revents == 0 ? Status{} : Error{ErrorCode::kInterrupted, ""};
  }

  Status fill() {
    if (!input.empty()) std::memmove(buffer.data(), input.data(), input.size());
    size_t have = input.size();
    while (!at_end && have < buffer.size()) {
      FATHOM_RETURN_IF_ERROR(wait());
      const ssize_t n = ::read(file.get(), buffer.data() + have, buffer.size() - have);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n < 0) return io_error(str_cat("cannot read ", name));
      if (n == 0) at_end = true;
      have += static_cast<size_t>(n);
      bytes_read += n;
    }
    input = {buffer.data(), have};
    return {};
  }
};

PackedReader::PackedReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
PackedReader::PackedReader(PackedReader&&) noexcept = default;
PackedReader& PackedReader::operator=(PackedReader&&) noexcept = default;
PackedReader::~PackedReader() = default;

const std::string& PackedReader::name() const { return state_->name; }
int64_t PackedReader::packed_bytes_read() const { return state_->bytes_read; }
std::optional<int64_t> PackedReader::packed_bytes() const { return state_->size; }

Result<PackedReader> PackedReader::open(const std::string& path, int stop_fd) {
  auto state = std::make_unique<State>();
  state->stop_fd = stop_fd;
  state->name = path == "-" ? "standard input" : path;
  const int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error(str_cat("cannot open ", state->name));
  state->file = FileDescriptor(fd, 0);
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return io_error(str_cat("cannot read ", state->name));
  if (S_ISDIR(info.st_mode)) return invalid_error(path, " is a folder; give its files");
  if (S_ISREG(info.st_mode)) state->size = info.st_size;
  return PackedReader(std::move(state));
}

Result<size_t> PackedReader::read(std::span<char> out) {
  State& s = *state_;
  const size_t wanted = out.size();
  while (!s.done && out.size() == wanted && wanted > 0) {
    if (s.input.empty() && !s.at_end) FATHOM_RETURN_IF_ERROR(s.fill());
    if (!s.decoder) s.decoder = decoder_for({s.input.data(), s.input.size()});
    const size_t before = s.input.size();
    switch (s.decoder->run(s.input, out, s.at_end)) {
      case Decoder::Outcome::kEnd:
        s.done = true;
        break;
      case Decoder::Outcome::kDamaged:
        return invalid_error(s.name, " is damaged or cut short: it cannot be unpacked");
      case Decoder::Outcome::kTooLarge:
        return exhausted_error(s.name,
                               " needs too much memory to unpack; pack it again with a "
                               "usual setting");
      case Decoder::Outcome::kMore:
        // Nothing used and nothing made, though no more will come.
        if (s.at_end && !s.input.empty() && s.input.size() == before && out.size() == wanted)
          return invalid_error(s.name, " is damaged: it cannot be unpacked to its end");
        break;
    }
  }
  return wanted - out.size();
}

}  // namespace fathom
