#include "measure/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "base/error.h"

namespace rooftune::measure {

double mean(std::span<const double> samples) {
  RT_CHECK(!samples.empty());
  return std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
}

double median(std::span<const double> samples) { return percentile(samples, 50); }

double percentile(std::span<const double> samples, double p) {
  RT_CHECK(!samples.empty() && p >= 0 && p <= 100, "p = {}", p);
  std::vector<double> sorted(samples.begin(), samples.end());
  const double rank = p / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(sorted.begin(), at, sorted.end());
  if (rank == static_cast<double>(below)) return *at;
  const double above = *std::min_element(at + 1, sorted.end());
  return *at + (rank - static_cast<double>(below)) * (above - *at);
}

double mad(std::span<const double> samples) {
  const double center = median(samples);
  std::vector<double> deviations;
  deviations.reserve(samples.size());
  for (double sample : samples) deviations.push_back(std::abs(sample - center));
  return 1.4826 * median(deviations);
}

Interval bootstrap(std::span<const double> samples, const Statistic& statistic, double confidence, int resamples,
                   uint64_t seed) {
  RT_CHECK(!samples.empty() && confidence > 0 && confidence < 1 && resamples > 0);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<size_t> pick(0, samples.size() - 1);
  std::vector<double> drawn(samples.size()), values;
  values.reserve(static_cast<size_t>(resamples));
  for (int i = 0; i < resamples; ++i) {
    for (double& sample : drawn) sample = samples[pick(random)];
    values.push_back(statistic(drawn));
  }
  const double tail = 50 * (1 - confidence);
  return {percentile(values, tail), percentile(values, 100 - tail)};
}

std::vector<double> without_outliers(std::span<const double> samples, double tolerance) {
  const double limit = median(samples) + tolerance * mad(samples);
  std::vector<double> kept;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(kept),
               [&](double sample) { return sample <= limit; });
  return kept;
}

Summary summarize(std::span<const double> samples) {
  Summary summary;
  summary.count = static_cast<int>(samples.size());
  summary.min = percentile(samples, 0);
  summary.p50 = percentile(samples, 50);
  summary.p95 = percentile(samples, 95);
  summary.max = percentile(samples, 100);
  summary.mean = mean(samples);
  summary.mad = mad(samples);
  summary.p50_interval = bootstrap(samples, median, 0.95, 200);
  return summary;
}

}  // namespace rooftune::measure
