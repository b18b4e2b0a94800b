// How the jobs of one parallel region are cut into tasks: blocks of rows times blocks of columns of
// a job. The cut decides who works when, never a bit of the result.
#pragma once

#include <cstdint>

namespace fathom {

inline constexpr int kMaxRegionJobs = 256;  // more jobs become several regions

// What suits the kernels of an instruction set.
struct TaskShape {
  int64_t max_rows = 64;  // of a task
  int64_t free_rows =
      4;  // so many rows cost no more than one: the weights have to come from memory
  int64_t row_step = 16;     // rows of a task are a multiple of this, but for a job's last ones
  int64_t column_step = 16;  // columns of a task are a multiple of this: a panel of packed weights
  // Values of a task's rows, which should stay in the second-level cache while the columns pass;
  // 0 for kernels that divide k themselves.
  int64_t max_values = 1 << 18;
};

struct LinearTask {
  int job = 0;
  int64_t row_begin = 0, row_end = 0;  // of the job's rows, at most TaskShape::max_rows
  int64_t n_begin = 0, n_end = 0;
};

class LinearPlan {
 public:
  // How many multiplications a task should at least hold, and how many tasks there should be, come
  // from n_threads.
  LinearPlan(int n_threads, const TaskShape& shape) : n_threads_(n_threads), shape_(shape) {}
  // All jobs first, at most kMaxRegionJobs, then finish(). n_matrices: of [n, k] each, which a task
  // applies to its rows one after the other.
  void add(int64_t n_rows, int64_t n, int64_t k, int n_matrices = 1);
  void finish();
  int64_t n_tasks() const { return n_tasks_; }
  LinearTask task(int64_t index) const;

 private:
  struct Job {
    int64_t n_rows, n, k, n_matrices;
    int64_t row_block, column_block, column_blocks;
    int64_t first_task;
  };
  int64_t cost(const Job& job, int64_t n_rows, int64_t n) const;

  int n_threads_;
  TaskShape shape_;
  int n_jobs_ = 0;
  int64_t n_tasks_ = 0;
  Job jobs_[kMaxRegionJobs];
};

}  // namespace fathom
