// This machine's roof, measured: arithmetic peaks and read bandwidths, for one thread up to all of them. It takes a few
// seconds once; afterwards it is read from the cache folder.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "hardware/host.h"

namespace rooftune::measure {

/// A rate at some thread counts (ascending). Between them it is linear, beyond the last it stays.
struct Curve {
  std::vector<int> threads;
  std::vector<double> values;
  double at(int thread_count) const;  // InternalError for an empty curve
};

/// Raises what other work on the machine has held down: n threads are at least as fast as m < n, and at least n/m times
/// as fast as m > n, because a core that has memory and caches to itself is not slower for that.
void make_consistent(Curve& curve);

struct Peaks {
  std::map<std::string, Curve> flops;  // "f32"; "bf16" and "i8" where the CPU has instructions for them. Operations/s
  std::map<std::string, Curve> bandwidth;  // "L1", "L2", "L3", "memory": bytes/s read, by all threads together
  double foreign_share = 0;                // while measuring
  int rounds = 1;                          // how often it was measured; the best of all rounds is kept
};

struct PeakOptions {
  double seconds_per_point = 0.1;  // of each rate at each thread count
};

/// Measures now, with up to `host.available_cpus` threads: every rate several times, with all others in between, so that
/// other work that comes and goes does not hold any of them down.
Peaks measure_peaks(const hardware::Host& host, const PeakOptions& options = {});

/// The measured peaks of this machine: from the cache folder, else measured and stored there. Where the measurement was
/// disturbed by other work it is repeated by later processes (three times, then once an hour) and the best is kept,
/// since disturbance can only make a peak look lower. Thread-safe; a second process waits for the first one's result.
const Peaks& host_peaks();

/// This machine as a target: name "host", what `threads` threads reach at best (0: all available).
hardware::Spec host_spec(int threads = 0);
/// The spec that a target's name stands for: host_spec, or that of the registry.
hardware::Spec target_spec(const std::string& name, int threads = 0);

Json to_json(const Peaks& peaks);
Peaks peaks_from_json(const Json& json, std::string_view source);  // InputError where it is not what to_json wrote

}  // namespace rooftune::measure
