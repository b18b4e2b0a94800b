// Reads large pieces of files into memory on threads of its own, past the page cache where the
// filesystem allows (O_DIRECT), so that what streams through does not push out what should stay.
// Where it does not, pages are read as usual and let go of at once.
//
// One thread submits and takes what is done; the threads of this class only read.
#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/files.h"

namespace fathom {

// What offsets, lengths and destinations are multiples of: a page, which every disk accepts.
inline constexpr int64_t kReadAlignment = 4096;
inline constexpr int kReadThreads = 4;

class BlockReader {
 public:
  // n_threads >= 1 readers; fewer where the system grants fewer.
  static Result<std::unique_ptr<BlockReader>> create(int n_threads = kReadThreads);
  ~BlockReader();
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  // Opens a file to read from; the first is number 0. size: what the file must have.
  Status add_file(const std::string& path, int64_t size);

  struct Request {
    int file = 0;
    int64_t offset = 0;         // a multiple of kReadAlignment
    int64_t bytes = 0;          // wanted, within the file
    std::byte* data = nullptr;  // aligned, with room for bytes rounded up to kReadAlignment
    int64_t tag = 0;            // comes back when it is done
  };
  void submit(const Request& request);

  struct Done {
    int64_t tag = 0;
    std::string error;  // one sentence; empty: the bytes are there
  };
  // Moves what is done to the end of out. wait: at least one, if any request is not done yet.
  void take(std::vector<Done>& out, bool wait);
  int64_t n_pending() const { return n_pending_; }  // submitted, not taken

  struct Counters {
    int64_t bytes = 0;
    double seconds = 0;  // during which something was being read
  };
  Counters counters() const;

 private:
  struct File {
    FileDescriptor descriptor;
    std::string path;
    bool direct = false;
  };
  struct Job {
    Request request;
    int64_t next = 0;    // bytes handed to readers
    int64_t n_left = 0;  // pieces that are not done
    std::string error;
  };
  using Clock = std::chrono::steady_clock;
  BlockReader() = default;
  void work();
  std::string read_piece(const Request& request, int64_t begin, int64_t bytes);

  std::vector<File> files_;
  std::vector<pthread_t> threads_;
  int64_t n_pending_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<std::shared_ptr<Job>> waiting_;  // have pieces to hand out; in the order of submission
  std::vector<Done> finished_;
  bool stop_ = false;
  int64_t n_reading_ = 0;  // jobs that are not done
  Counters counters_;      // up to busy_since_, while something is being read
  Clock::time_point busy_since_;
};

}  // namespace fathom
