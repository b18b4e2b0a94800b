#include "engine/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <tuple>

namespace fathom {

namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// The value of the first line "key : value", or empty.
std::string field(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

// "key : N kB" in bytes, or unknown.
int64_t kilobytes_in(const char* path, const std::string& key) {
  const std::string text = field(path, key);
  int64_t kilobytes = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), kilobytes);
  return parsed.ec == std::errc() ? kilobytes * 1024 : kUnknown;
}

// A file that holds one number; "max" and what cannot be read are unknown.
int64_t number_in(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : kUnknown;
}

// Control groups of version 2, then 1. The page cache that the group holds can be taken back: it
// counts as free.
int64_t left_in_group() {
  for (const auto& [limit, used, stat] :
       {std::tuple{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                   "/sys/fs/cgroup/memory.stat"},
        std::tuple{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                   "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                   "/sys/fs/cgroup/memory/memory.stat"}}) {
    const int64_t bytes_max = number_in(limit), bytes_used = number_in(used);
    if (bytes_max == kUnknown || bytes_used == kUnknown) continue;
    int64_t cache = 0;
    std::ifstream file(stat);
    std::string key;
    for (int64_t value = 0; file >> key >> value;) {
      if (key == "inactive_file" || key == "active_file") cache += value;
    }
    return std::max<int64_t>(0, bytes_max - bytes_used + cache);
  }
  return kUnknown;
}

// Of this process; zeros where the system does not say.
struct ProcessPages {
  int64_t resident = 0;
  int64_t of_files = 0;  // of the resident ones
  int64_t own = 0;       // writable and private, touched or not
};
ProcessPages process_pages() {
  std::ifstream file("/proc/self/statm");
  ProcessPages pages;
  int64_t all = 0, text = 0, unused = 0;
  if (!(file >> all >> pages.resident >> pages.of_files >> text >> unused >> pages.own)) return {};
  return pages;
}

}  // namespace

std::string cpu_name() {
  const std::string name = field("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown processor" : name;
}

int64_t available_memory_bytes() {
  return std::min(kilobytes_in("/proc/meminfo", "MemAvailable"), left_in_group());
}

int64_t total_memory_bytes() {
  return std::min({kilobytes_in("/proc/meminfo", "MemTotal"),
                   number_in("/sys/fs/cgroup/memory.max"),
                   number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
}

int64_t used_memory_bytes() { return process_pages().resident * sysconf(_SC_PAGESIZE); }

int64_t untouched_memory_bytes() {
  const ProcessPages pages = process_pages();
  return (pages.own - (pages.resident - pages.of_files)) * sysconf(_SC_PAGESIZE);
}

int64_t left_of_data_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_DATA, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnknown;
  const std::string text = field("/proc/self/status", "VmData");
  int64_t kilobytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), kilobytes);
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - kilobytes * 1024);
}

int64_t peak_memory_bytes() {
  // Not getrusage(): its peak counts what the process was before it became this program.
  const int64_t peak = kilobytes_in("/proc/self/status", "VmHWM");
  return peak == kUnknown ? 0 : peak;
}

}  // namespace fathom
