#include "io/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "io/json.h"
#include "io/printable.h"

namespace fathom {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kJournalBytesMax = int64_t{64} << 20;

std::string hex(uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
  return std::string(digits, end);
}

bool parse_hex(std::string_view text, uint64_t* value) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *value, 16);
  return ec == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool is_part(const std::string& name) { return name.starts_with(".") && name.ends_with(".part"); }

Result<std::vector<std::string>> list_others(const std::string& folder) {
  FATHOM_TRY(std::vector<std::string> names, list_folder(folder));
  std::erase(names, kJournalName);
  return names;
}

Status check_empty(const std::string& folder) {
  FATHOM_TRY(const std::vector<std::string> others, list_others(folder));
  if (others.empty()) return {};
  return invalid_error("the folder ", printable(folder),
                       " is not empty; choose another one, or --force to replace "
                       "files of the same names in it");
}

// What a killed run left half-written of these names, or of all if there are none; nobody else
// writes here while we hold the lock.
Status remove_parts(const std::string& folder, const std::vector<std::string>& of = {}) {
  FATHOM_TRY(const std::vector<std::string> others, list_others(folder));
  for (const std::string& name : others) {
    const bool ours =
        of.empty() || std::any_of(of.begin(), of.end(), [&](const std::string& begin) {
          return name.starts_with(temporary_prefix(begin));
        });
    if (ours && is_part(name) && ::unlink(join_path(folder, name).c_str()) != 0)
      return io_error(str_cat("cannot remove ", printable(join_path(folder, name))));
  }
  return {};
}

Status check_absent(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string path = join_path(folder, name);
    if (path_exists(path))
      return invalid_error(printable(path), " exists already; --force replaces it");
  }
  return {};
}

}  // namespace

Result<OutputFolder> OutputFolder::open(const std::string& path, uint64_t plan,
                                        const std::string& what, bool force) {
  const bool existed = path_exists(path);
  FATHOM_RETURN_IF_ERROR(make_directories(path));
  OutputFolder folder(path, join_path(path, kJournalName), "the folder " + printable(path));
  // Looked at before anything is created in it.
  if (existed && !force && !path_exists(folder.journal_path_))
    FATHOM_RETURN_IF_ERROR(check_empty(path));
  FATHOM_RETURN_IF_ERROR(folder.open_journal());
  if (folder.journal_.size() > 0) {
    FATHOM_RETURN_IF_ERROR(folder.read_journal(plan, what, force));
    FATHOM_RETURN_IF_ERROR(remove_parts(path));
    return folder;
  }
  if (!force)
    FATHOM_RETURN_IF_ERROR(
        check_empty(path));  // an empty journal: killed before anything else was there
  FATHOM_RETURN_IF_ERROR(folder.begin_journal(plan, what));
  return folder;
}

Result<OutputFolder> OutputFolder::open_beside(const std::string& target,
                                               const std::vector<std::string>& names, uint64_t plan,
                                               const std::string& what, bool force) {
  const size_t slash = target.rfind('/');
  const std::string path = slash == std::string::npos ? "." : target.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  OutputFolder folder(path, join_path(path, str_cat(".", name, kJournalName)), printable(target));
  if (!force && !path_exists(folder.journal_path_))
    FATHOM_RETURN_IF_ERROR(check_absent(path, names));
  FATHOM_RETURN_IF_ERROR(folder.open_journal());
  if (folder.journal_.size() > 0) {
    FATHOM_RETURN_IF_ERROR(folder.read_journal(plan, what, force));
  } else {
    if (const Status absent = check_absent(path, names); !force && !absent.ok()) {
      FATHOM_RETURN_IF_ERROR(folder.close());
      return absent.error();
    }
    FATHOM_RETURN_IF_ERROR(folder.begin_journal(plan, what));
  }
  FATHOM_RETURN_IF_ERROR(remove_parts(path, names));
  return folder;
}

// Its name may be given to a new file between opening and locking (another process finished); then
// the lock is on the old one, and we try again.
Status OutputFolder::open_journal() {
  const std::string& path = journal_path_;
  for (;;) {
    const int fd =
        ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0) return io_error(str_cat("cannot write into the folder ", printable(path_)));
    FileDescriptor file(fd, 0);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return io_error(str_cat("cannot lock ", printable(path)));
      return Error{ErrorCode::kIo, str_cat("another process is writing into ", target_,
                                           "; wait for it, or choose another output")};
    }
    struct stat mine = {};
    struct stat named = {};
    if (::fstat(fd, &mine) != 0) return io_error(str_cat("cannot examine ", printable(path)));
    if (!S_ISREG(mine.st_mode))
      return invalid_error(printable(path), " is no regular file; remove it");
    if (::lstat(path.c_str(), &named) != 0 || named.st_ino != mine.st_ino) continue;
    journal_ = FileDescriptor(file.release(), mine.st_size);
    new_ = mine.st_size == 0;
    return {};
  }
}

// A line that was being written when the process died is no JSON: its file is made again.
Status OutputFolder::read_journal(uint64_t plan, const std::string& what, bool force) {
  FATHOM_TRY(const std::string text, read_file(journal_path_, kJournalBytesMax));
  size_t begin = 0;
  bool first = true;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const auto line = parse_json(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    if (!line.ok()) break;
    if (first) {
      const Json* of = line->find("plan");
      if (of != nullptr && of->is_string() && of->as_string() != hex(plan) && !force) {
        const Json* theirs = line->find("what");
        return invalid_error(
            target_, " holds an unfinished conversion of something else (",
            theirs != nullptr && theirs->is_string() ? printable(theirs->as_string()) : "unnamed",
            "); run that command again to finish it, or --force to begin anew");
      }
      if (of == nullptr || !of->is_string() || of->as_string() != hex(plan)) break;
      first = false;
      continue;
    }
    const Json* name = line->find("file");
    const Json* bytes = line->find("bytes");
    const Json* checksum = line->find("xxh64");
    FinishedFile file;
    if (name == nullptr || !name->is_string() || bytes == nullptr || !bytes->is_int() ||
        checksum == nullptr || !checksum->is_string() ||
        !parse_hex(checksum->as_string(), &file.checksum)) {
      break;
    }
    file.name = name->as_string();
    file.bytes = bytes->as_int();
    finished_.push_back(std::move(file));
  }
  // Written anew, so that a torn line does not stand before the next.
  const std::vector<FinishedFile> kept = finished_;
  FATHOM_RETURN_IF_ERROR(begin_journal(plan, what));
  for (const FinishedFile& file : kept) FATHOM_RETURN_IF_ERROR(record(file));
  finished_ = kept;
  return {};
}

Status OutputFolder::begin_journal(uint64_t plan, const std::string& what) {
  if (::ftruncate(journal_.get(), 0) != 0)
    return io_error(str_cat("cannot write ", printable(journal_path_)));
  ::lseek(journal_.get(), 0, SEEK_SET);
  return append(Json(Json::Object{{"plan", hex(plan)}, {"what", what}}).dump());
}

Status OutputFolder::append(const std::string& line) {
  const std::string text = line + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(journal_.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(str_cat("cannot write ", printable(journal_path_)));
    done += static_cast<size_t>(n);
  }
  if (::fsync(journal_.get()) != 0)
    return io_error(str_cat("cannot write ", printable(journal_path_)));
  return {};
}

Status OutputFolder::record(const FinishedFile& file) {
  return append(
      Json(Json::Object{{"file", file.name}, {"bytes", file.bytes}, {"xxh64", hex(file.checksum)}})
          .dump());
}

Status OutputFolder::close() {
  if (::unlink(journal_path_.c_str()) != 0)
    return io_error(str_cat("cannot remove ", printable(journal_path_)));
  journal_.close();
  return {};
}

Status check_finished(const ModelFiles& files) {
  if (files.folder().empty() || !files.exists(kJournalName)) return {};
  return invalid_error(files.describe(), " holds an unfinished conversion (",
                       files.path_of(kJournalName),
                       " is there); run the command that makes it again, and it goes on");
}

Status check_apart(const std::string& in, const std::string& out) {
  std::error_code code;
  const fs::path from = fs::weakly_canonical(in, code);
  const fs::path to = fs::weakly_canonical(out, code);
  if (code)
    return Error{ErrorCode::kIo, str_cat("cannot resolve ", printable(out), ": ", code.message())};
  if (from == to)
    return invalid_error("the output folder ", printable(out),
                         " is the input folder; choose another one");
  const auto inside = [](const fs::path& inner, const fs::path& outer) {
    auto i = inner.begin();
    for (const fs::path& part : outer) {
      if (part.empty()) continue;  // after a slash at the end
      if (i == inner.end() || *i != part) return false;
      ++i;
    }
    return true;
  };
  if (inside(to, from)) {
    return invalid_error("the output folder ", printable(out), " is inside the input folder ",
                         printable(in), "; choose one outside");
  }
  if (inside(from, to)) {
    return invalid_error("the input folder ", printable(in), " is inside the output folder ",
                         printable(out), "; choose another output folder");
  }
  return {};
}

Status check_no_input(const std::vector<std::string>& outputs,
                      const std::vector<std::string>& inputs) {
  std::map<std::pair<dev_t, ino_t>, std::string> read;
  struct stat info = {};
  for (const std::string& path : inputs) {
    if (::stat(path.c_str(), &info) == 0) read.emplace(std::pair(info.st_dev, info.st_ino), path);
  }
  for (const std::string& path : outputs) {
    if (::stat(path.c_str(), &info) != 0) continue;
    const auto found = read.find({info.st_dev, info.st_ino});
    if (found == read.end()) continue;
    return invalid_error("the output ", printable(path), " is the input file ",
                         printable(found->second), "; choose another output");
  }
  return {};
}

Status check_free_space(const std::string& folder, int64_t bytes) {
  struct statvfs info = {};
  if (::statvfs(folder.c_str(), &info) != 0 || info.f_blocks == 0)
    return {};  // not known: writing will tell
  const auto available = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (available >= bytes) return {};
  return Error{ErrorCode::kIo,
               str_cat("the disk of the folder ", printable(folder), " has ", available,
                       " bytes free, ", bytes, " are needed; make room, or choose another folder")};
}

}  // namespace fathom
