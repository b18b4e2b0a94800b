// Goal: the tasks of a region are its jobs, each element in exactly one task, and enough of them
// for all threads.
#include "kernels/linear_plan.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace fathom {
namespace {

using Shape = std::array<int64_t, 3>;  // rows, n, k

LinearPlan plan_of(const std::vector<Shape>& shapes, int n_threads,
                   const TaskShape& task_shape = {}) {
  LinearPlan plan(n_threads, task_shape);
  for (const Shape& shape : shapes) plan.add(shape[0], shape[1], shape[2]);
  plan.finish();
  return plan;
}

TEST(LinearPlan, TasksCoverEveryElementOnce) {
  const std::vector<std::vector<Shape>> regions = {
      {{1, 1, 1}},
      {{1, 2048, 7168}},
      {{0, 8, 8}, {3, 100, 64}, {0, 8, 8}, {1, 1, 20000}, {2, 0, 8}},
      {{512, 129, 18432}, {1, 129, 18432}, {65, 7, 128}},
  };
  for (const auto& shapes : regions) {
    for (int n_threads : {1, 2, 64}) {
      const LinearPlan plan = plan_of(shapes, n_threads);
      std::vector<std::vector<int>> seen;
      for (const Shape& shape : shapes) seen.emplace_back(static_cast<size_t>(shape[0] * shape[1]));
      for (int64_t t = 0; t < plan.n_tasks(); ++t) {
        const LinearTask task = plan.task(t);
        const int64_t n = shapes[static_cast<size_t>(task.job)][1];
        EXPECT_LE(task.row_end - task.row_begin, TaskShape().max_rows);
        EXPECT_LT(task.row_begin, task.row_end);
        EXPECT_LT(task.n_begin, task.n_end);
        for (int64_t m = task.row_begin; m < task.row_end; ++m) {
          for (int64_t c = task.n_begin; c < task.n_end; ++c) {
            ++seen[static_cast<size_t>(task.job)][static_cast<size_t>(m * n + c)];
          }
        }
      }
      for (const auto& job : seen) {
        for (int count : job) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(LinearPlan, LargeWorkKeepsAllThreadsBusyAndSmallWorkIsOneTask) {
  EXPECT_GE(plan_of({{1, 2048, 7168}}, 64).n_tasks(), 64);
  EXPECT_GE(plan_of({{512, 2048, 7168}}, 64).n_tasks(), 64);
  // One expert with all the rows beside eight with one each.
  std::vector<Shape> experts(8, Shape{1, 512, 1024});
  experts.push_back({500, 512, 1024});
  EXPECT_GE(plan_of(experts, 8).n_tasks(), 16);
  EXPECT_EQ(plan_of({{1, 64, 128}}, 64).n_tasks(), 1);
  EXPECT_EQ(plan_of({}, 4).n_tasks(), 0);
}

TEST(LinearPlan, RowsOfATaskSuitTheKernelsAndTheCache) {
  const TaskShape shape{.max_rows = 96, .row_step = 12, .max_values = 1 << 18};
  // 100 rows in two halves of whole steps; of 7168 values only 36 rows fit.
  for (const auto& [k, first, most] : {std::array<int64_t, 3>{512, 60, 96}, {7168, 36, 36}}) {
    const LinearPlan plan = plan_of({{100, 256, k}}, 2, shape);
    EXPECT_EQ(plan.task(0).row_end, first);
    for (int64_t t = 0; t < plan.n_tasks(); ++t) {
      EXPECT_EQ(plan.task(t).row_begin % shape.row_step, 0);
      EXPECT_LE(plan.task(t).row_end - plan.task(t).row_begin, most);
    }
  }
}

TEST(LinearPlan, TwoMatricesTakeTheSameRowsAndHalfTheColumns) {
  LinearPlan one(2, {}), two(2, {});
  one.add(64, 4096, 512);
  one.add(64, 4096, 512);
  two.add(64, 4096, 512, 2);
  one.finish();
  two.finish();
  EXPECT_EQ(two.task(0).row_end, one.task(0).row_end);
  EXPECT_EQ(2 * two.task(0).n_end, one.task(0).n_end);
}

}  // namespace
}  // namespace fathom
