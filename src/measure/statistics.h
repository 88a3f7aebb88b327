// Statistics of repeated measurements: robust ones, since a machine's disturbances only ever add time.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rooftune::measure {

// All of these need at least one sample (InternalError otherwise) and leave the order of samples alone.
double mean(std::span<const double> samples);
double median(std::span<const double> samples);
/// `p` in [0, 100], linear between the two nearest ranks (numpy's default).
double percentile(std::span<const double> samples, double p);
/// Median absolute deviation from the median, times 1.4826: the standard deviation where samples are normal.
double mad(std::span<const double> samples);

struct Interval {
  double low = 0, high = 0;
};
using Statistic = std::function<double(std::span<const double>)>;
/// Percentile bootstrap: the interval that holds `confidence` of the statistic over `resamples` drawn with replacement.
/// The same seed gives the same interval.
Interval bootstrap(std::span<const double> samples, const Statistic& statistic = median, double confidence = 0.95,
                   int resamples = 1000, uint64_t seed = 1);

/// The samples without those above median + `tolerance` · mad (slow by something else's doing). Never fewer than half.
std::vector<double> without_outliers(std::span<const double> samples, double tolerance = 5);

struct Summary {
  int count = 0;
  double min = 0, p50 = 0, p95 = 0, max = 0, mean = 0, mad = 0;
  Interval p50_interval;  // 95 %
};
Summary summarize(std::span<const double> samples);

}  // namespace rooftune::measure
