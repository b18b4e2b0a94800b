#include "kernels/linear_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/math.h"

namespace fathom {

namespace {
// Eight tasks a thread even out the end of a region; below 32K weights handing tasks out would
// show.
constexpr int64_t kTasksPerThread = 8;
constexpr int64_t kMinTaskWeights = 32768;
}  // namespace

int64_t LinearPlan::cost(const Job& job, int64_t n_rows, int64_t n) const {
  return std::max(n_rows, shape_.free_rows) * n * std::max<int64_t>(job.k, 1) * job.n_matrices;
}

void LinearPlan::add(int64_t n_rows, int64_t n, int64_t k, int n_matrices) {
  FATHOM_CHECK(n_jobs_ < kMaxRegionJobs, "jobs ", n_jobs_);
  jobs_[n_jobs_++] = Job{n_rows, n, k, n_matrices, 0, 0, 0, 0};
}

void LinearPlan::finish() {
  int64_t total = 0;
  for (int j = 0; j < n_jobs_; ++j) {
    if (jobs_[j].n_rows > 0) total += cost(jobs_[j], jobs_[j].n_rows, jobs_[j].n);
  }
  const int64_t target =
      std::max(shape_.free_rows * kMinTaskWeights, total / (n_threads_ * kTasksPerThread));
  n_tasks_ = 0;
  for (int j = 0; j < n_jobs_; ++j) {
    Job& job = jobs_[j];
    job.first_task = n_tasks_;
    if (job.n_rows == 0 || job.n == 0) continue;
    int64_t rows_max = shape_.max_rows;
    if (shape_.max_values > 0) {
      rows_max = std::clamp<int64_t>(shape_.max_values / std::max<int64_t>(job.k, 1), rows_max / 4,
                                     rows_max);
    }
    const int64_t step = shape_.row_step;
    job.row_block =
        round_up(ceil_div(job.n_rows, ceil_div(job.n_rows, rows_max / step * step)), step);
    const int64_t columns = target / cost(job, std::min(job.n_rows, job.row_block), 1);
    job.column_block = std::clamp(round_up(columns, shape_.column_step), shape_.column_step,
                                  round_up(job.n, shape_.column_step));
    job.column_blocks = ceil_div(job.n, job.column_block);
    n_tasks_ += ceil_div(job.n_rows, job.row_block) * job.column_blocks;
  }
}

LinearTask LinearPlan::task(int64_t index) const {
  // The last job that starts at or before the task; jobs without tasks share the start of the next
  // one.
  const Job* job =
      std::upper_bound(jobs_, jobs_ + n_jobs_, index,
                       [](int64_t i, const Job& other) { return i < other.first_task; }) -
      1;
  const int64_t within = index - job->first_task;
  const int64_t row_begin = within / job->column_blocks * job->row_block;
  const int64_t n_begin = within % job->column_blocks * job->column_block;
  return LinearTask{static_cast<int>(job - jobs_), row_begin,
                    std::min(job->n_rows, row_begin + job->row_block), n_begin,
                    std::min(job->n, n_begin + job->column_block)};
}

}  // namespace fathom
