// How the jobs of one parallel region are cut into tasks: blocks of rows times blocks of columns of
// a job. The cut decides who works when, never a bit of the result.
#pragma once

#include <cstdint>

namespace fathom {

inline constexpr int64_t kMaxTaskRows = 64;
inline constexpr int kMaxRegionJobs = 256;  // more jobs become several regions

struct LinearTask {
  int job = 0;
  int64_t row_begin = 0, row_end = 0;  // of the job's rows, at most kMaxTaskRows
  int64_t n_begin = 0, n_end = 0;
};

class LinearPlan {
 public:
  // How many multiplications a task should at least hold, and how many tasks there should be, come
  // from n_threads.
  explicit LinearPlan(int n_threads) : n_threads_(n_threads) {}
  // All jobs first, at most kMaxRegionJobs, then finish().
  void add(int64_t n_rows, int64_t n, int64_t k);
  void finish();
  int64_t n_tasks() const { return n_tasks_; }
  LinearTask task(int64_t index) const;

 private:
  struct Job {
    int64_t n_rows, n, k;
    int64_t row_block, column_block, column_blocks;
    int64_t first_task;
  };
  int n_threads_;
  int n_jobs_ = 0;
  int64_t n_tasks_ = 0;
  Job jobs_[kMaxRegionJobs];
};

}  // namespace fathom
