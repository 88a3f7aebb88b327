#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

namespace rooftune {
namespace {

void on_interrupt(int signal) {  // async-signal-safe calls only
  if (interrupted().requested()) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  interrupted().request();
}

class Silent : public Progress {
  void report(std::string_view, double, double, std::optional<double>, std::optional<double>) override {}
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Cancelled& interrupted() {
  static constinit Cancelled flag;
  return flag;
}

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
}

Progress& no_progress() {
  static Silent silent;
  return silent;
}

TerminalProgress::TerminalProgress() : terminal_(::isatty(STDERR_FILENO) != 0) {}

TerminalProgress::~TerminalProgress() {
  if (line_open_) std::fputs("\r\033[K", stderr);
}

void TerminalProgress::report(std::string_view stage, double done, double total, std::optional<double> best_so_far_ms,
                              std::optional<double> eta_seconds) {
  if (!terminal_) return;
  const double now = seconds_now();
  if (now - last_seconds_ < 0.1 && done < total) return;
  last_seconds_ = now;
  std::string line(stage);
  if (total > 0) line += fmt::format("  {:.0f}/{:.0f} ({:.0f} %)", done, total, 100 * done / total);
  if (best_so_far_ms) line += fmt::format("  best {:.3f} ms", *best_so_far_ms);
  if (eta_seconds) line += fmt::format("  {:.0f} s left", *eta_seconds);
  fmt::print(stderr, "\r\033[K{}", line);
  std::fflush(stderr);
  line_open_ = true;
}

}  // namespace rooftune
