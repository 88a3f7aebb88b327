// How a fork-join works here. The caller writes the job, then one 64-bit ticket: a generation and how many threads take
// part. Workers poll that word; one that takes part runs its share and writes the generation into its own cache line,
// which the caller polls in turn. Whoever has polled for longer than its spin budget sleeps on a futex, and flags so,
// so that nobody makes a system call for somebody who is awake.
#include "base/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace rooftune {
namespace {

constexpr int kActiveBits = 12;
constexpr int kMaxThreads = (1 << kActiveBits) - 1;
// Long enough to bridge the gaps between the loops of one inference, short enough to be nothing to an idle program.
constexpr auto kSpin = std::chrono::microseconds(100);
// With more threads than processors the one we wait for may need our processor: hardly spin.
constexpr auto kSpinOversubscribed = std::chrono::microseconds(1);
constexpr auto kYieldEvery = std::chrono::microseconds(10);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t while_equal) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, while_equal, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

std::vector<int> processors(pid_t of) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> result;
  if (sched_getaffinity(of, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &set)) result.push_back(i);
  return result;
}

/// Polls until `done()` or until `budget` is spent; says whether done. Now and then offers the processor to others, so
/// that several busy pools in one process do not wait for each other's spinning.
template <typename Done>
bool spin(Done&& done, std::chrono::nanoseconds budget) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point start{}, yielded{};
  for (bool first = true;; first = false) {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
    const auto now = Clock::now();
    if (first) start = yielded = now;
    if (now - start > budget) return false;
    if (now - yielded > kYieldEvery) {
      sched_yield();
      yielded = now;
    }
  }
}

struct Share {
  int64_t begin, end;
};
Share share(int64_t tasks, int parts, int part) {
  const int64_t each = tasks / parts, longer = tasks % parts;
  const int64_t begin = part * each + std::min<int64_t>(part, longer);
  return {begin, begin + each + (part < longer ? 1 : 0)};
}

}  // namespace

struct ThreadPool::Impl {
  struct alignas(128) Worker {
    std::atomic<uint32_t> done{0};     // generation (low bits) of the last job it finished
    std::atomic<uint32_t> awaited{0};  // 1: the caller sleeps until `done` changes
    std::atomic<uint32_t> asleep{0};   // 1: it sleeps until this becomes 0
  };
  // Written by the caller, read by workers: all in one line, and the ticket last.
  struct alignas(128) Job {
    Body body = nullptr;
    void* context = nullptr;
    int64_t tasks = 0;
    std::atomic<uint64_t> ticket{0};  // generation << kActiveBits | threads that take part
    std::atomic<bool> stop{false};
  };

  Job job;
  alignas(128) std::atomic<int> sleepers{0};
  int count;
  std::chrono::nanoseconds budget;
  std::vector<Worker> workers;  // [0] belongs to the caller and is unused
  std::vector<std::thread> threads;

  Impl(int n, bool pin) : count(n), workers(static_cast<size_t>(n)) {
    const std::vector<int> ours = processors(0), all = pin ? processors(getpid()) : std::vector<int>{};
    budget = n > static_cast<int>(ours.size()) ? std::chrono::nanoseconds(kSpinOversubscribed) : kSpin;
    threads.reserve(static_cast<size_t>(n));
    for (int i = 1; i < n; ++i) {
      try {
        threads.emplace_back([this, i] { work(i); });
      } catch (const std::system_error& e) {
        stop();
        throw EnvironmentError("only {} of {} threads could be started ({}); ask for fewer", i, n, e.code().message());
      }
      pthread_setname_np(threads.back().native_handle(), "rooftune");
      if (!all.empty()) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(all[static_cast<size_t>(i) % all.size()], &set);
        pthread_setaffinity_np(threads.back().native_handle(), sizeof set, &set);  // best effort
      }
    }
  }

  ~Impl() { stop(); }

  void stop() {
    job.stop.store(true, std::memory_order_relaxed);
    post(count);
    for (std::thread& t : threads) t.join();
  }

  /// Makes the job visible to threads 1 … active-1 and wakes those that sleep.
  void post(int active) {
    const uint64_t generation = (job.ticket.load(std::memory_order_relaxed) >> kActiveBits) + 1;
    // Sequentially consistent with a worker's going to sleep (it flags itself, then looks at the ticket): one of the
    // two sees the other.
    job.ticket.store(generation << kActiveBits | static_cast<uint64_t>(active), std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) == 0) return;
    for (int i = 1; i < active; ++i) {
      Worker& w = workers[static_cast<size_t>(i)];
      if (w.asleep.load(std::memory_order_seq_cst) == 1 && w.asleep.exchange(0) == 1) futex_wake(w.asleep);
    }
  }

  void join(int active) {
    const auto generation = static_cast<uint32_t>(job.ticket.load(std::memory_order_relaxed) >> kActiveBits);
    for (int i = 1; i < active; ++i) {
      Worker& w = workers[static_cast<size_t>(i)];
      if (spin([&] { return w.done.load(std::memory_order_acquire) == generation; }, budget)) continue;
      w.awaited.store(1, std::memory_order_seq_cst);
      for (uint32_t seen; (seen = w.done.load(std::memory_order_seq_cst)) != generation;) futex_wait(w.done, seen);
      w.awaited.store(0, std::memory_order_relaxed);
    }
  }

  void work(int self) {
    Worker& w = workers[static_cast<size_t>(self)];
    uint64_t seen = 0;
    const auto mine = [&] {  // a new job that this thread takes part in
      const uint64_t ticket = job.ticket.load(std::memory_order_seq_cst);
      if (ticket == seen) return false;
      seen = ticket;
      return self < static_cast<int>(ticket & kMaxThreads);
    };
    while (true) {
      if (!spin(mine, budget)) sleep(w, mine);
      if (job.stop.load(std::memory_order_relaxed)) return;
      const Share s = share(job.tasks, static_cast<int>(seen & kMaxThreads), self);
      job.body(job.context, self, s.begin, s.end);
      w.done.store(static_cast<uint32_t>(seen >> kActiveBits), std::memory_order_seq_cst);
      if (w.awaited.load(std::memory_order_seq_cst)) futex_wake(w.done);
    }
  }

  template <typename Mine>
  void sleep(Worker& w, Mine& mine) {
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (true) {
      w.asleep.store(1, std::memory_order_seq_cst);
      if (mine()) break;
      while (w.asleep.load(std::memory_order_acquire) == 1) futex_wait(w.asleep, 1);
      if (mine()) break;
    }
    w.asleep.store(0, std::memory_order_relaxed);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }
};

ThreadPool::ThreadPool(int threads, bool pin) {
  RT_CHECK(threads >= 1 && threads <= kMaxThreads, "a pool of {} threads; 1 to {} are possible", threads, kMaxThreads);
  impl_ = std::make_unique<Impl>(threads, pin);
}
ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return impl_->count; }

void ThreadPool::run(int64_t tasks, Body body, void* context) {
  if (tasks <= 0) return;
  const int active = static_cast<int>(std::min<int64_t>(tasks, impl_->count));
  if (active == 1) return body(context, 0, 0, tasks);
  impl_->job.body = body;
  impl_->job.context = context;
  impl_->job.tasks = tasks;
  impl_->post(active);
  const Share s = share(tasks, active, 0);
  body(context, 0, s.begin, s.end);
  impl_->join(active);
}

}  // namespace rooftune
