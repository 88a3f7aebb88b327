#include "measure/load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "base/error.h"
#include "base/files.h"

namespace rooftune::measure {
namespace {

double own_cpu_seconds() {
  double seconds = 0;
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& t : {usage.ru_utime, usage.ru_stime})
      seconds += static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  }
  return seconds;
}

CpuTimes read_cpu_times() {
  try {
    return parse_cpu_times(read_file("/proc/stat"));
  } catch (const InputError&) {
    return {};  // a container may hide it: then no load is seen
  }
}

}  // namespace

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

CpuTimes parse_cpu_times(const std::string& proc_stat) {
  std::istringstream line(proc_stat.substr(0, proc_stat.find('\n')));
  std::string label;
  line >> label;
  if (label != "cpu") return {};
  // user nice system idle iowait irq softirq steal (guest times are part of user)
  double ticks[8] = {};
  for (double& value : ticks) line >> value;
  const auto per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  CpuTimes times;
  times.busy_seconds = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / per_second;
  times.stolen_seconds = ticks[7] / per_second;
  times.total_seconds = times.busy_seconds + times.stolen_seconds + (ticks[3] + ticks[4]) / per_second;
  return times;
}

LoadMonitor::LoadMonitor() : start_(read_cpu_times()), own_start_(own_cpu_seconds()), wall_start_(now_seconds()) {}

double LoadMonitor::foreign_share() const {
  if (now_seconds() - wall_start_ < 0.25) return 0;
  const CpuTimes end = read_cpu_times();
  const double total = end.total_seconds - start_.total_seconds;
  if (total <= 0) return 0;
  const double others = end.busy_seconds - start_.busy_seconds - (own_cpu_seconds() - own_start_);
  const double stolen = end.stolen_seconds - start_.stolen_seconds;
  return std::clamp((std::max(0.0, others) + stolen) / total, 0.0, 1.0);
}

}  // namespace rooftune::measure
