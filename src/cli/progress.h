// A progress bar on standard error, while a person watches: silent if standard error is no terminal
// or with
// --quiet. Drawn at most ten times a second, wiped when done.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fathom::cli {

class Progress {
 public:
  // total in units; 0 if unknown. unit: "lines", "tokens"; "bytes" is shown as MB.
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done);
  // Wipes the bar, so that other text can be printed; the next update draws it again.
  void hide();

 private:
  void draw(int64_t done);

  using Clock = std::chrono::steady_clock;
  const std::string label_;
  const int64_t total_;
  const std::string unit_;
  const bool on_;
  const Clock::time_point start_;
  Clock::time_point last_draw_;
  bool visible_ = false;
};

}  // namespace fathom::cli
