// Goal: every task runs exactly once, whatever the number of threads, over many short regions.
#include "parallel/pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace fathom {
namespace {

TEST(Pool, RunsEveryTaskOnce) {
  for (int n_threads : {1, 2, 3, 5}) {
    Pool pool(n_threads);
    for (int64_t n_tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(n_tasks));
      pool.parallel_for(n_tasks, [&](int64_t task, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, n_threads);
        runs[static_cast<size_t>(task)].fetch_add(1);
      });
      for (auto& count : runs) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(Pool, SurvivesManyRegionsAndSleeps) {
  Pool pool(3);
  std::atomic<int64_t> sum{0};
  for (int region = 0; region < 5000; ++region) {
    pool.parallel_for(4, [&](int64_t task, int) { sum.fetch_add(task); });
    if (region % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(sum.load(), 5000 * 6);
  EXPECT_GE(available_cores(), 1);
}

}  // namespace
}  // namespace fathom
