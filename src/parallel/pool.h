// A pool of threads for the kernels of one step. parallel_for hands out task numbers; which thread
// takes which task is free, so results must not depend on it: every kernel's result is a function
// of the task alone (docs/numerics.md). Workers spin for a moment between the many short regions of
// a step, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace fathom {

// A reference to a callable, without ownership or allocation; valid while the callable lives.
class TaskFunction {
 public:
  template <typename F>
  TaskFunction(const F& function)  // NOLINT: implicit by design
      : object_(&function), call_([](const void* object, int64_t task, int thread) {
          (*static_cast<const F*>(object))(task, thread);
        }) {}
  void operator()(int64_t task, int thread) const { call_(object_, task, thread); }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int);
};

class Pool {
 public:
  // n_threads >= 1, the calling thread included: 1 starts no thread at all. Where the system grants
  // fewer, it is these (with a warning).
  explicit Pool(int n_threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int n_threads() const { return n_threads_; }

  // Calls function(task, thread) for every task in [0, n_tasks), thread in [0, n_threads); returns
  // when all are done. What tasks wrote is visible to the caller then. Not reentrant: one caller at
  // a time, never from a task.
  void parallel_for(int64_t n_tasks, TaskFunction function);

 private:
  void work(int thread);
  void run_tasks(const TaskFunction& function, int64_t n_tasks, int thread);

  int n_threads_;  // fixed by the constructor
  std::vector<std::thread> threads_;
  std::atomic<uint64_t> generation_{0};  // one more for each region
  std::atomic<int64_t> next_task_{0};
  std::atomic<int> running_{0};  // workers that have not finished the region
  std::atomic<bool> stop_{false};
  const TaskFunction* function_ = nullptr;
  int64_t n_tasks_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  int sleeping_ = 0;
};

// The cores this process may use (its affinity mask and its cgroup's quota), at least 1.
int available_cores();

}  // namespace fathom
