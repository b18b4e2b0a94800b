#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/str_cat.h"
#include "cli/output.h"

namespace fathom::cli {
namespace {

constexpr auto kDrawInterval = std::chrono::milliseconds(100);

int terminal_columns() {
  struct winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string amount(int64_t value, const std::string& unit) {
  if (unit != "bytes") return str_cat(value);
  return str_cat(value / 1000000);
}

std::string duration(int64_t seconds) {
  const auto two = [](int64_t n) { return str_cat(n < 10 ? "0" : "", n); };
  if (seconds >= 3600)
    return str_cat(seconds / 3600, ":", two(seconds / 60 % 60), ":", two(seconds % 60));
  return str_cat(seconds / 60, ":", two(seconds % 60));
}

void write_stderr(const std::string& text) {
  // A bar that cannot be drawn is no reason to stop.
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      on_(!quiet() && ::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() { hide(); }

void Progress::update(int64_t done) {
  if (!on_) return;
  const Clock::time_point now = Clock::now();
  if (now - last_draw_ < kDrawInterval) return;
  last_draw_ = now;
  draw(done);
}

void Progress::draw(int64_t done) {
  const double seconds = std::chrono::duration<double>(last_draw_ - start_).count();
  const std::string unit = unit_ == "bytes" ? "MB" : unit_;
  std::string text;
  if (total_ > 0) {
    const int64_t shown = std::min(done, total_);
    constexpr int64_t kCells = 20;
    const int64_t filled = shown * kCells / total_;
    text =
        str_cat(label_, " [", std::string(static_cast<size_t>(filled), '#'),
                std::string(static_cast<size_t>(kCells - filled), '.'), "] ", shown * 100 / total_,
                "%  ", amount(shown, unit_), " of ", amount(total_, unit_), " ", unit);
    if (shown > 0) {
      const double left =
          seconds * static_cast<double>(total_ - shown) / static_cast<double>(shown);
      text += str_cat(", ", duration(static_cast<int64_t>(left)), " left");
    }
  } else {
    text = str_cat(label_, "  ", amount(done, unit_), " ", unit, ", ",
                   duration(static_cast<int64_t>(seconds)));
  }
  text.resize(std::min(text.size(), static_cast<size_t>(std::max(1, terminal_columns() - 1))));
  write_stderr("\r\x1b[K" + text);
  visible_ = true;
}

void Progress::hide() {
  if (visible_) write_stderr("\r\x1b[K");
  visible_ = false;
}

}  // namespace fathom::cli
