#include "measure/timing.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "measure/load.h"

namespace rooftune::measure {

Summary Timing::summary() const { return summarize(without_outliers(seconds)); }

Timing measure(const std::function<void()>& body, const TimingOptions& options) {
  RT_CHECK(options.min_runs >= 1 && options.max_runs >= options.min_runs);
  const auto cancelled = [&] { return options.cancelled && options.cancelled->requested(); };

  // The warm-up's fastest call says how many calls make a sample long enough for the clock.
  const double begin = now_seconds();
  double fastest = HUGE_VAL;
  do {
    const double start = now_seconds();
    body();
    fastest = std::min(fastest, now_seconds() - start);
  } while (now_seconds() - begin < options.warmup_seconds && !cancelled());

  Timing timing;
  timing.calls_per_sample =
      static_cast<int>(std::clamp(std::ceil(options.min_sample_seconds / std::max(fastest, 1e-9)), 1.0, 1e6));
  const LoadMonitor load;
  const double start = now_seconds();
  for (double at = start;;) {
    for (int i = 0; i < timing.calls_per_sample; ++i) body();
    const double end = now_seconds();
    timing.seconds.push_back((end - at) / timing.calls_per_sample);
    at = end;
    const auto runs = static_cast<int>(timing.seconds.size());
    if (cancelled() || runs >= options.max_runs || at - start >= options.max_seconds) break;
    if (runs >= options.min_runs && at - start >= options.min_seconds) break;
  }
  timing.foreign_share = load.foreign_share();
  return timing;
}

}  // namespace rooftune::measure
