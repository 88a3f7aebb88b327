// The one timing loop: everything in Rooftune that is timed is timed here.
#pragma once
#include <functional>
#include <vector>

#include "base/progress.h"
#include "measure/statistics.h"

namespace rooftune::measure {

struct TimingOptions {
  double min_seconds = 0.1;  // keep sampling this long …
  double max_seconds = 10;   // … and no longer than this, whatever min_runs says
  int min_runs = 5;          // samples
  int max_runs = 100000;
  double warmup_seconds = 0.02;          // untimed, at least one call
  double min_sample_seconds = 2e-5;      // calls too short for the clock are timed in batches of at least this
  const Cancelled* cancelled = nullptr;  // ends early with the samples so far (at least one)
};

struct Timing {
  std::vector<double> seconds;  // per call, in order of measurement, nothing removed
  int calls_per_sample = 1;
  double foreign_share = 0;  // see LoadMonitor
  /// Of the samples without outliers.
  Summary summary() const;
};

/// Calls `body` again and again. What it throws goes through.
Timing measure(const std::function<void()>& body, const TimingOptions& options = {});

}  // namespace rooftune::measure
