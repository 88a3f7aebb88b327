// How busy the machine is with something else: a timing taken beside other work is worthless, so timings carry this.
#pragma once
#include <string>

namespace rooftune::measure {

/// Seconds on a clock that never jumps.
double now_seconds();

/// CPU time of all processors since boot, from the first line of /proc/stat (its text, for tests).
struct CpuTimes {
  double busy_seconds = 0;    // user, nice, system, interrupts
  double total_seconds = 0;   // with idle and waiting
  double stolen_seconds = 0;  // what the hypervisor gave to others
};
CpuTimes parse_cpu_times(const std::string& proc_stat);

class LoadMonitor {
 public:
  LoadMonitor();
  /// The share of the machine's CPU time since construction that other processes, or other guests of its hypervisor,
  /// took: 0 … 1. The kernel counts in ticks of 10 ms, so spans below a quarter of a second say nothing and give 0.
  double foreign_share() const;

 private:
  CpuTimes start_;
  double own_start_ = 0;
  double wall_start_ = 0;
};

/// Above this share a timing does not count as undisturbed.
inline constexpr double kQuietShare = 0.15;

}  // namespace rooftune::measure
