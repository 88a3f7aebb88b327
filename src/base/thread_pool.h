// Fork-join over a fixed set of threads. Between calls workers spin for a while, then sleep, so that back-to-back
// parallel loops cost well under a microsecond and an idle program costs nothing.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace rooftune {

class ThreadPool {
 public:
  /// `threads` (1 to 4095) includes the caller. `pin`: bind worker i to the i-th processor of the process' affinity
  /// mask; the caller (worker 0) is somebody else's thread and stays as it is.
  explicit ThreadPool(int threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Calls body(context, thread, begin, end) so that [0, tasks) is covered once, in contiguous shares, thread 0 being
  /// the caller. Not to be called by two threads at once, nor from inside a body. A body must not throw.
  using Body = void (*)(void* context, int thread, int64_t begin, int64_t end);
  void run(int64_t tasks, Body body, void* context);

  template <typename F>
  void parallel_for(int64_t tasks, F&& f) {  // f(thread, begin, end)
    run(
        tasks,
        [](void* c, int thread, int64_t begin, int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(c))(thread, begin, end);
        },
        &f);
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rooftune
