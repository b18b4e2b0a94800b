#include "parallel/pool.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/log.h"
#include "base/str_cat.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fathom {

namespace {
// About 50 us on current cores: longer than the gap between two regions of a step, shorter than a
// person notices.
constexpr int kSpins = 4000;

// Tasks that a thread takes at once: one, until there are so many that taking them would cost more
// than they do (rows of a matrix: about 50 ns against 100).
int64_t tasks_taken(int64_t n_tasks, int n_threads) {
  constexpr int64_t kPerThread = 64;
  return std::clamp<int64_t>(n_tasks / (kPerThread * n_threads), 1, 64);
}

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
}  // namespace

Pool::Pool(int n_threads) : n_threads_(n_threads) {
  FATHOM_CHECK(n_threads >= 1, "n_threads ", n_threads);
  threads_.reserve(static_cast<size_t>(n_threads));
  try {
    for (int i = 1; i < n_threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {
    // Results are the same with any number of threads.
    n_threads_ = static_cast<int>(threads_.size()) + 1;
    log(LogLevel::kWarning, str_cat("this process may start no more than ", n_threads_, " of ",
                                    n_threads, " threads; it goes on with these (ulimit -u, -v)"));
  }
}

Pool::~Pool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Pool::run_tasks(const TaskFunction& function, int64_t n_tasks, int thread) {
  const int64_t taken = tasks_taken(n_tasks, n_threads_);
  for (int64_t first; (first = next_task_.fetch_add(taken, std::memory_order_relaxed)) < n_tasks;) {
    const int64_t end = std::min(n_tasks, first + taken);
    for (int64_t task = first; task < end; ++task) function(task, thread);
  }
}

void Pool::parallel_for(int64_t n_tasks, TaskFunction function) {
  if (n_tasks <= 0) return;
  if (n_threads_ == 1 || n_tasks == 1) {
    for (int64_t task = 0; task < n_tasks; ++task) function(task, 0);
    return;
  }
  function_ = &function;
  n_tasks_ = n_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  running_.store(n_threads_ - 1, std::memory_order_relaxed);
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
    wake = sleeping_ > 0;
  }
  if (wake) wake_.notify_all();
  run_tasks(function, n_tasks, 0);
  // A worker that was given no processor holds the region up: after a while, let the scheduler run
  // it.
  for (int spins = 0; running_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      pause_briefly();
    } else {
      sched_yield();
    }
  }
}

void Pool::work(int thread) {
  uint64_t seen = 0;
  while (true) {
    for (int spins = 0; generation_.load(std::memory_order_acquire) == seen && spins < kSpins;
         ++spins) {
      pause_briefly();
    }
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      --sleeping_;
    }
    ++seen;
    if (stop_.load()) return;
    run_tasks(*function_, n_tasks_, thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

int available_cores() {
  int cores = 1;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0) {
    const double allowed = std::strtod(quota.c_str(), nullptr) / period;
    if (allowed >= 0.01) cores = std::min(cores, std::max(1, static_cast<int>(std::ceil(allowed))));
  }
  return cores;
}

}  // namespace fathom
