#include "io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "io/printable.h"

namespace fathom {

namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// "a/b/.": the folder of a path, as a prefix for names beside it.
std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// Renames, but not over something: 0, or -1 and errno (EEXIST).
int rename_no_replace(const char* from, const char* to) {
#ifdef SYS_renameat2
  constexpr unsigned kNoReplace = 1;
  if (::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, kNoReplace) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
#endif
  // Filesystems without it: a link fails if the name exists.
  if (::link(from, to) != 0) return -1;
  return ::unlink(from);
}

struct Unfinished {
  std::atomic<bool> taken{false};
  std::atomic<bool> there{false};
  char path[4096] = {};
};
std::array<Unfinished, 64> unfinished;

}  // namespace

void remove_unfinished_files() {
  for (Unfinished& file : unfinished) {
    if (file.there.exchange(false)) ::unlink(file.path);
  }
}

UnfinishedName::UnfinishedName(const std::string& path) {
  for (size_t i = 0; i < unfinished.size(); ++i) {
    Unfinished& file = unfinished[i];
    bool expected = false;
    if (path.size() >= sizeof file.path || !file.taken.compare_exchange_strong(expected, true)) {
      continue;
    }
    path.copy(file.path, path.size());
    file.path[path.size()] = '\0';
    file.there.store(true);
    slot_ = static_cast<int>(i);
    return;
  }
}

void UnfinishedName::forget() {
  if (slot_ < 0) return;
  Unfinished& file = unfinished[static_cast<size_t>(slot_)];
  file.there.store(false);
  file.taken.store(false);
  slot_ = -1;
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(std::exchange(other.size_, 0)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

FileDescriptor::~FileDescriptor() { close(); }

void FileDescriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<FileDescriptor> open_for_reading(const std::string& path) {
  if (path.find('\0') != std::string::npos)
    return invalid_error("the path ", printable(path), " holds a NUL");
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return io_error(str_cat("cannot open ", printable(path)));
  FileDescriptor file(fd, 0);
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return io_error(str_cat("cannot examine ", printable(path)));
  if (!S_ISREG(info.st_mode)) {
    return invalid_error(printable(path), " is ", kind_of(info.st_mode),
                         ", expected a regular file");
  }
  return FileDescriptor(file.release(), info.st_size);
}

Result<std::string> read_file(const std::string& path, int64_t bytes_max) {
  FATHOM_TRY(const FileDescriptor file, open_for_reading(path));
  if (file.size() > bytes_max) {
    return invalid_error(printable(path), " has ", file.size(), " bytes, at most ", bytes_max,
                         " are read of a file of its kind");
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(str_cat("cannot read ", printable(path)));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

int64_t read_at(int fd, int64_t offset, std::span<std::byte> out) {
  int64_t done = 0;
  while (done < std::ssize(out)) {
    const ssize_t n = ::pread(fd, out.data() + done, out.size() - static_cast<size_t>(done),
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += n;
  }
  return done;
}

bool path_exists(const std::string& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0;
}

bool is_directory(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Status make_directories(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (is_directory(path)) return {};
  if (!code) code = std::make_error_code(std::errc::not_a_directory);
  return Error{ErrorCode::kIo,
               str_cat("cannot create the folder ", printable(path), ": ", code.message())};
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code code;
  std::filesystem::directory_iterator entry(path, code);
  for (const std::filesystem::directory_iterator end; !code && entry != end; entry.increment(code))
    names.push_back(entry->path().filename().string());
  if (code)
    return Error{ErrorCode::kIo,
                 str_cat("cannot list the folder ", printable(path), ": ", code.message())};
  return names;
}

Result<std::string> absolute_path(const std::string& path) {
  char* const real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return io_error(str_cat("cannot find ", printable(path)));
  std::string out(real);
  std::free(real);
  return out;
}

// Short enough for a process id and a number behind it.
std::string temporary_prefix(std::string_view name) {
  return str_cat(".", name.substr(0, 180), ".");
}

Result<AtomicFile> AtomicFile::create(const std::string& path, bool force) {
  std::string target = path;
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      return invalid_error("cannot write ", printable(path), ": it is ", kind_of(info.st_mode),
                           ", expected the name of a file");
    }
    if (!force) return invalid_error(printable(path), " exists already; --force replaces it");
    if (char* real = ::realpath(path.c_str(), nullptr)) {
      target = real;
      std::free(real);
    }
  } else if (path_exists(path) && !force) {
    return invalid_error(printable(path), " exists already; --force replaces it");
  }
  static std::atomic<uint64_t> counter{0};
  const std::string folder = folder_of(target);
  const std::string temporary = str_cat(folder, temporary_prefix(target.substr(folder.size())),
                                        int64_t{::getpid()}, "-", counter.fetch_add(1), ".part");
  UnfinishedName unfinished_name(temporary);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return io_error(str_cat("cannot write ", printable(path)));
  return AtomicFile(FileDescriptor(fd, 0), std::move(target), temporary, std::move(unfinished_name),
                    force);
}

AtomicFile::~AtomicFile() {
  if (temporary_.empty()) return;
  file_.close();
  ::unlink(temporary_.c_str());
}

Status AtomicFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(file_.get(), bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(str_cat("cannot write ", printable(path_)));
    done += static_cast<size_t>(n);
  }
  return {};
}

Status AtomicFile::append(std::span<const std::byte> bytes) {
  FATHOM_RETURN_IF_ERROR(write_at(end_, bytes));
  end_ += static_cast<int64_t>(bytes.size());
  return {};
}

Status AtomicFile::append(std::string_view text) { return append(std::as_bytes(std::span(text))); }

Status AtomicFile::seal() {
  if (::fsync(file_.get()) != 0) return io_error(str_cat("cannot write ", printable(path_)));
  file_.close();
  return {};
}

Status AtomicFile::commit() {
  if (file_.get() >= 0) FATHOM_RETURN_IF_ERROR(seal());
  const int renamed = force_ ? ::rename(temporary_.c_str(), path_.c_str())
                             : rename_no_replace(temporary_.c_str(), path_.c_str());
  if (renamed != 0) {
    if (errno == EEXIST)
      return invalid_error(printable(path_), " exists already; --force replaces it");
    return io_error(str_cat("cannot give ", printable(path_), " its name"));
  }
  unfinished_.forget();
  temporary_.clear();
  // The name is on the disk too; where a folder cannot be synced, the file itself is safe already.
  const std::string folder = folder_of(path_);
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
  return {};
}

Status write_file(const std::string& path, std::string_view text, bool force) {
  FATHOM_TRY(AtomicFile file, AtomicFile::create(path, force));
  FATHOM_RETURN_IF_ERROR(file.append(text));
  return file.commit();
}

}  // namespace fathom
