#include "io/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <utility>

#include "io/files.h"
#include "io/printable.h"

namespace fathom {

namespace {

// What the handler needs, without locks or allocation: the published checkpoints have 163 files, so
// 1,024 places suffice; a file beyond that is still mapped, only the message cannot name it.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};  // 0: not to be looked at
  char name[512] = {};
};
std::array<Slot, 1024> slots;
std::atomic<bool> some_have_no_slot{false};
std::atomic<uintptr_t> page_bytes{4096};

int take_slot(const std::byte* data, size_t size, const std::string& path) {
  for (size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = slots[i];
    bool expected = false;
    if (!slot.taken.compare_exchange_strong(expected, true)) continue;
    const std::string name = printable(path, sizeof slot.name / 2);
    const size_t length = std::min(name.size(), sizeof slot.name - 1);
    std::memcpy(slot.name, name.data(), length);
    slot.name[length] = '\0';
    slot.begin.store(reinterpret_cast<uintptr_t>(data));
    slot.end.store(reinterpret_cast<uintptr_t>(data) + size, std::memory_order_release);
    return static_cast<int>(i);
  }
  some_have_no_slot.store(true);
  return -1;
}

void write_all(const char* text) {
  size_t left = std::strlen(text);
  while (left > 0) {
    const ssize_t n = ::write(STDERR_FILENO, text, left);
    if (n <= 0) return;
    text += n;
    left -= static_cast<size_t>(n);
  }
}

void on_sigbus(int, siginfo_t* info, void*) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  const uintptr_t page = page_bytes.load();
  for (const Slot& slot : slots) {
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    // The fault may be reported anywhere in the last page of the mapping.
    if (end == 0 || address < slot.begin.load() || address >= (end + page - 1) / page * page)
      continue;
    write_all("fathom: ");
    write_all(slot.name);
    write_all(
        " could not be read any more: it became shorter while it was in use, or its disk failed; "
        "restore the file and start again\n");
    remove_unfinished_files();
    ::_exit(1);
  }
  if (some_have_no_slot.load()) {
    write_all(
        "fathom: a file of the model could not be read any more: it became shorter while it was in "
        "use, or its disk failed; restore the file and start again\n");
    remove_unfinished_files();
    ::_exit(1);
  }
  // Not ours: the default action, when the instruction is tried again.
  ::signal(SIGBUS, SIG_DFL);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  FATHOM_TRY(const FileDescriptor file, open_for_reading(path));
  MappedFile mapped;
  if (file.size() == 0) return mapped;
  const size_t size = static_cast<size_t>(file.size());
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) return io_error(str_cat("cannot map ", printable(path), " into memory"));
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = size;
  mapped.path_ = path;
  mapped.slot_ = take_slot(mapped.data_, size, path);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)),
      slot_(std::exchange(other.slot_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    path_ = std::move(other.path_);
    slot_ = std::exchange(other.slot_, -1);
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() {
  if (slot_ >= 0) {
    Slot& slot = slots[static_cast<size_t>(slot_)];
    slot.end.store(0);
    slot.taken.store(false, std::memory_order_release);
  }
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
  slot_ = -1;
}

void release_mapped_pages(std::span<const std::byte> bytes) {
  static const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void install_sigbus_message() {
  if (const long size = ::sysconf(_SC_PAGESIZE); size > 0)
    page_bytes.store(static_cast<uintptr_t>(size));
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace fathom
