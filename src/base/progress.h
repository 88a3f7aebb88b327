// How long work tells its caller where it is, and how the caller stops it. Work polls the flag, keeps what it has found
// so far and returns it; nothing is thrown.
#pragma once
#include <atomic>
#include <optional>
#include <string_view>

namespace rooftune {

/// Set once by whoever wants the work to end early.
class Cancelled {
 public:
  void request() { flag_.store(true, std::memory_order_relaxed); }
  void reset() { flag_.store(false, std::memory_order_relaxed); }
  bool requested() const { return flag_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> flag_{false};
};

/// The flag that Ctrl-C sets once catch_interrupts() was called. A second Ctrl-C ends the process.
Cancelled& interrupted();
void catch_interrupts();

class Progress {
 public:
  virtual ~Progress() = default;
  /// `stage`: what is being done ("tune conv_3"); done of total units (total 0: unknown); best result so far in ms and
  /// the seconds left, where they are known. May be called often and from one thread at a time.
  virtual void report(std::string_view stage, double done, double total, std::optional<double> best_so_far_ms = {},
                      std::optional<double> eta_seconds = {}) = 0;
};

/// Reports nothing.
Progress& no_progress();

/// One line on stderr that is rewritten at most ten times a second; silent where stderr is not a terminal.
class TerminalProgress : public Progress {
 public:
  TerminalProgress();
  ~TerminalProgress() override;  // ends the line
  void report(std::string_view stage, double done, double total, std::optional<double> best_so_far_ms,
              std::optional<double> eta_seconds) override;

 private:
  bool terminal_;
  bool line_open_ = false;
  double last_seconds_ = -1;
};

}  // namespace rooftune
