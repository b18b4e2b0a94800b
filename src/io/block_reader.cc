#include "io/block_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/math.h"
#include "io/printable.h"

namespace fathom {

namespace {

// Large enough that a disk streams, small enough that all readers share one expert.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

// A reader needs little, and a limit on data (ulimit -d) counts stacks whole: those of 8 MiB would
// take the place of experts.
constexpr size_t kStackBytes = size_t{256} << 10;

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

Result<std::unique_ptr<BlockReader>> BlockReader::create(int n_threads) {
  std::unique_ptr<BlockReader> reader(new BlockReader());
  pthread_attr_t small;
  FATHOM_CHECK(
      ::pthread_attr_init(&small) == 0 && ::pthread_attr_setstacksize(&small, kStackBytes) == 0,
      "a stack of ", kStackBytes, " bytes");
  const auto work = [](void* r) -> void* {
    static_cast<BlockReader*>(r)->work();
    return nullptr;
  };
  for (int i = 0; i < n_threads; ++i) {
    pthread_t thread = {};
    if (::pthread_create(&thread, &small, work, reader.get()) != 0) break;
    reader->threads_.push_back(thread);
  }
  ::pthread_attr_destroy(&small);
  if (reader->threads_.empty())
    return exhausted_error(
        "the system starts no thread that reads weights; raise the limit of threads (ulimit -u)");
  return reader;
}

BlockReader::~BlockReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (const pthread_t thread : threads_) ::pthread_join(thread, nullptr);
}

Status BlockReader::add_file(const std::string& path, int64_t size) {
  FATHOM_TRY(FileDescriptor descriptor, open_for_reading(path));
  if (descriptor.size() != size) {
    return invalid_error(printable(path), " has ", descriptor.size(), " bytes now, had ", size,
                         " when it was opened; start again when it is complete");
  }
  const int flags = ::fcntl(descriptor.get(), F_GETFL);
  const bool direct = flags >= 0 && ::fcntl(descriptor.get(), F_SETFL, flags | O_DIRECT) == 0;
  const std::lock_guard lock(mutex_);
  files_.push_back({std::move(descriptor), path, direct});
  return {};
}

void BlockReader::submit(const Request& request) {
  auto job = std::make_shared<Job>();
  job->request = request;
  job->n_left = ceil_div(request.bytes, kPieceBytes);
  ++n_pending_;
  {
    const std::lock_guard lock(mutex_);
    if (n_reading_++ == 0) busy_since_ = Clock::now();
    waiting_.push_back(std::move(job));
  }
  work_.notify_all();
}

void BlockReader::take(std::vector<Done>& out, bool wait) {
  std::unique_lock lock(mutex_);
  if (wait) done_.wait(lock, [&] { return !finished_.empty() || n_reading_ == 0; });
  n_pending_ -= static_cast<int64_t>(finished_.size());
  out.insert(out.end(), std::make_move_iterator(finished_.begin()),
             std::make_move_iterator(finished_.end()));
  finished_.clear();
}

BlockReader::Counters BlockReader::counters() const {
  const std::lock_guard lock(mutex_);
  Counters counters = counters_;
  if (n_reading_ > 0) counters.seconds += seconds_between(busy_since_, Clock::now());
  return counters;
}

void BlockReader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::shared_ptr<Job> job = waiting_.front();
    const int64_t begin = job->next;
    const int64_t bytes = std::min(kPieceBytes, job->request.bytes - begin);
    job->next += bytes;
    if (job->next == job->request.bytes) waiting_.pop_front();
    lock.unlock();
    std::string error = read_piece(job->request, begin, bytes);
    lock.lock();
    counters_.bytes += bytes;
    if (!error.empty()) job->error = std::move(error);
    if (--job->n_left > 0) continue;
    finished_.push_back({job->request.tag, std::move(job->error)});
    if (--n_reading_ == 0) counters_.seconds += seconds_between(busy_since_, Clock::now());
    done_.notify_one();
  }
}

std::string BlockReader::read_piece(const Request& request, int64_t begin, int64_t bytes) {
  int fd = -1;
  std::string path;
  bool direct = false;
  {
    const std::lock_guard lock(mutex_);
    const File& file = files_[static_cast<size_t>(request.file)];
    fd = file.descriptor.get();
    path = file.path;
    direct = file.direct;
  }
  std::byte* const to = request.data + begin;
  const int64_t offset = request.offset + begin;
  int64_t done = 0;
  while (done < bytes) {
    // Whole blocks, as O_DIRECT wants them; at the end of the file fewer bytes come.
    const size_t want = static_cast<size_t>(round_up(bytes, kReadAlignment) - done);
    const ssize_t n = ::pread(fd, to + done, want, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && direct) {
      // The filesystem promised direct reads and does not make them.
      const int flags = ::fcntl(fd, F_GETFL);
      if (flags >= 0 && ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0) {
        const std::lock_guard lock(mutex_);
        files_[static_cast<size_t>(request.file)].direct = direct = false;
        continue;
      }
    }
    if (n < 0) return io_error(str_cat("cannot read weights from ", printable(path))).message;
    if (n == 0) {
      return str_cat("cannot read weights from ", printable(path), ": it ends at byte ",
                     offset + done,
                     ", it became shorter while it was in use; restore the file and start again");
    }
    done += n;
  }
  if (!direct) ::posix_fadvise(fd, offset, bytes, POSIX_FADV_DONTNEED);
  return {};
}

}  // namespace fathom
