// What an empty parallel loop costs: hot (back to back) and cold (workers asleep), for 2 threads up to all processors.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

int main() {
  using Clock = std::chrono::steady_clock;
  const auto nanoseconds = [](Clock::duration d) { return std::chrono::duration<double, std::nano>(d).count(); };
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  for (int threads = 2; threads <= 2 * processors; threads *= 2) {
    rooftune::ThreadPool pool(threads);
    const auto join = [&] { pool.parallel_for(threads, [](int, int64_t, int64_t) {}); };
    const int calls = threads > processors ? 20 : 1000;
    std::vector<double> hot, cold;
    for (int i = 0; i < 500; ++i) {
      const auto start = Clock::now();
      for (int j = 0; j < calls; ++j) join();
      hot.push_back(nanoseconds(Clock::now() - start) / calls);
    }
    for (int i = 0; i < 200; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const auto start = Clock::now();
      join();
      cold.push_back(nanoseconds(Clock::now() - start));
    }
    std::sort(hot.begin(), hot.end());
    std::sort(cold.begin(), cold.end());
    std::printf("%3d threads%s: hot min %.0f ns, median %.0f ns; cold median %.1f us\n", threads,
                threads > processors ? " (oversubscribed)" : "", hot.front(), hot[hot.size() / 2],
                cold[cold.size() / 2] / 1e3);
  }
}
