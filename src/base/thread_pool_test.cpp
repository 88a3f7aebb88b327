#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "base/error.h"

namespace rooftune {
namespace {

/// Runs one job and checks that every task was run once, each thread had one contiguous share, shares differ by at most
/// one task, and the caller was thread 0.
void expect_covered(ThreadPool& pool, int64_t tasks) {
  std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
  std::vector<std::atomic<int>> calls(static_cast<size_t>(pool.threads()));
  std::atomic<int64_t> longest{0}, shortest{INT64_MAX};
  const auto caller = std::this_thread::get_id();
  pool.parallel_for(tasks, [&](int thread, int64_t begin, int64_t end) {
    ASSERT_LT(begin, end);
    EXPECT_EQ(thread == 0, std::this_thread::get_id() == caller);
    calls[static_cast<size_t>(thread)].fetch_add(1, std::memory_order_relaxed);
    for (int64_t seen = longest; end - begin > seen && !longest.compare_exchange_weak(seen, end - begin);) {
    }
    for (int64_t seen = shortest; end - begin < seen && !shortest.compare_exchange_weak(seen, end - begin);) {
    }
    for (int64_t i = begin; i < end; ++i) runs[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed);
  });
  for (int64_t i = 0; i < tasks; ++i) ASSERT_EQ(runs[static_cast<size_t>(i)], 1) << "task " << i << " of " << tasks;
  for (auto& c : calls) ASSERT_LE(c, 1);
  if (tasks > 0) {
    ASSERT_LE(longest - shortest, 1);
  }
}

TEST(ThreadPool, CoversEveryRangeOnce) {
  for (int threads : {1, 2, 3, 4, 7}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (int64_t tasks = 0; tasks <= 20; ++tasks) expect_covered(pool, tasks);
    expect_covered(pool, 1001);
  }
}

TEST(ThreadPool, BodySeesWhatTheCallerWroteAndTheCallerSeesWhatBodiesWrote) {
  std::mt19937 random(std::random_device{}());
  ThreadPool pool(3);
  std::vector<int64_t> in, out;  // plain memory: any missing ordering is a race that ThreadSanitizer reports
  for (int round = 0; round < 2000; ++round) {
    const auto tasks = static_cast<size_t>(random() % 9);
    in.assign(tasks, 0);
    for (auto& x : in) x = static_cast<int64_t>(random());
    out.assign(tasks, 0);
    pool.parallel_for(static_cast<int64_t>(tasks), [&](int, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[static_cast<size_t>(i)] = in[static_cast<size_t>(i)] + 1;
    });
    for (size_t i = 0; i < tasks; ++i) ASSERT_EQ(out[i], in[i] + 1);
  }
}

TEST(ThreadPool, WorkersWakeUpAgainAfterSleeping) {
  std::mt19937 random(std::random_device{}());
  ThreadPool pool(3);
  for (int round = 0; round < 60; ++round) {
    expect_covered(pool, 1 + static_cast<int64_t>(random() % 5));
    std::this_thread::sleep_for(
        std::chrono::microseconds(random() % 800));  // around the time at which they fall asleep
  }
}

TEST(ThreadPool, CallerSleepsThroughALongShare) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> done{0};
    pool.parallel_for(2, [&](int thread, int64_t, int64_t) {
      if (thread == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      done.fetch_add(1);
    });
    ASSERT_EQ(done, 2);
  }
}

TEST(ThreadPool, ManyPoolsAtOnce) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      ThreadPool pool(3);
      for (int i = 0; i < 300; ++i) {
        pool.parallel_for(5, [&](int, int64_t begin, int64_t end) { sum.fetch_add(end - begin); });
      }
    });
  }
  for (auto& c : callers) c.join();
  EXPECT_EQ(sum, 4 * 300 * 5);
}

TEST(ThreadPool, DoesNotCrawlWithMoreThreadsThanProcessors) {
  const int threads = 4 * static_cast<int>(std::thread::hardware_concurrency()) + 1;
  ThreadPool pool(threads);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) expect_covered(pool, threads);
  // 200 joins with a bounded wait each; unbounded spinning costs a scheduler slice (milliseconds) per thread and join.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
}

TEST(ThreadPool, AnIdlePoolUsesNoProcessorTime) {
  ThreadPool pool(3);
  expect_covered(pool, 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  timespec before{}, after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  EXPECT_LT(static_cast<double>(after.tv_sec - before.tv_sec) * 1e3 +
                static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-6,
            20.0);
}

TEST(ThreadPool, PinsWorkersOneEachAndLeavesTheCaller) {
  cpu_set_t before, after;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const int processors = CPU_COUNT(&before);
  ThreadPool pool(processors, true);
  std::vector<cpu_set_t> sets(static_cast<size_t>(processors));
  pool.parallel_for(processors, [&](int thread, int64_t, int64_t) {
    sched_getaffinity(0, sizeof(cpu_set_t), &sets[static_cast<size_t>(thread)]);
  });
  for (int i = 1; i < processors; ++i) {
    EXPECT_EQ(CPU_COUNT(&sets[static_cast<size_t>(i)]), 1);
    for (int j = 1; j < i; ++j) EXPECT_FALSE(CPU_EQUAL(&sets[static_cast<size_t>(i)], &sets[static_cast<size_t>(j)]));
  }
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ThreadPool, SaysHowManyThreadsCouldBeStarted) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto start = [] {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size_t{1} << 42);  // no address space holds a thousand such stacks
    pthread_setattr_default_np(&attributes);
    try {
      ThreadPool pool(1000);
    } catch (const EnvironmentError& e) {
      std::fputs(e.what(), stderr);
      std::exit(4);
    }
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(4), "only [0-9]+ of 1000 threads could be started");
}

TEST(ThreadPool, RefusesAbsurdCounts) {
  EXPECT_THROW(ThreadPool(0), InternalError);
  EXPECT_THROW(ThreadPool(1 << 20), InternalError);
}

}  // namespace
}  // namespace rooftune
