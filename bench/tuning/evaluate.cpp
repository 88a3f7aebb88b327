// How good predictions are on kernels and models that the cost model has not seen.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <set>

#include "base/error.h"
#include "bench/tuning/tuning_bench.h"

namespace rooftune::bench {
namespace {

/// Kendall's τ of two lists of numbers, from all their pairs: concordant minus discordant, and how many there are.
std::pair<double, double> kendall(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0, pairs = 0;
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t k = 0; k < i; ++k) {
      const double x = a[i] - a[k], y = b[i] - b[k];
      if (y == 0) continue;
      sum += x * y > 0 ? 1 : x * y < 0 ? -1 : 0;
      pairs += 1;
    }
  return {sum, pairs};
}

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

struct Score {
  std::vector<double> errors, rough_errors;
  double covered = 0;
  std::vector<double> taus;  // of groups
  double concordant = 0, pairs = 0;

  void print(const std::string& name) const {
    const auto mean = [](const std::vector<double>& v) {
      double sum = 0;
      for (const double x : v) sum += x;
      return v.empty() ? 0 : sum / static_cast<double>(v.size());
    };
    fmt::print("{:<16} {:>6} {:>7.1f} % {:>7.1f} % {:>8.1f} % {:>7.3f} {:>7.3f} {:>7.1f} %\n", name, errors.size(),
               100 * mean(errors), 100 * median(errors), 100 * mean(rough_errors), mean(taus),
               pairs > 0 ? concordant / pairs : 0,
               100 * covered / std::max<double>(1, static_cast<double>(errors.size())));
  }
};

}  // namespace

int evaluate(const Arguments& arguments) {
  const auto rows = read_rows(arguments.words);
  const double effort = arguments.number("effort", 1);
  std::ofstream csv;
  if (const auto file = arguments.text("csv", ""); !file.empty())
    csv.open(file), csv << "model,measured_ms,predicted_ms,low_ms,high_ms\n";
  std::vector<double> repeated;
  std::set<std::string> models;
  for (const auto& row : rows) {
    models.insert(row.model);
    if (row.again_ms > 0) repeated.push_back(std::abs(row.again_ms / row.record.measured_ms - 1));
  }
  double mean_repeated = 0;
  for (const double r : repeated) mean_repeated += r / static_cast<double>(std::max<size_t>(1, repeated.size()));
  fmt::print("{} measurements; {} of them twice, which differ by {:.1f} % on average, {:.1f} % in the median\n",
             rows.size(), repeated.size(), 100 * mean_repeated, 100 * median(repeated));
  fmt::print("{:<16} {:>6} {:>9} {:>9} {:>10} {:>7} {:>7} {:>9}\n", "left out", "tests", "MAPE", "median", "untaught",
             "tau", "pooled", "covered");
  Score all;
  double predict_seconds = 0;
  for (const auto& model : models) {
    std::set<uint64_t> inside, outside;
    for (const auto& row : rows) (row.model == model ? inside : outside).insert(row.record.key.kernel);
    std::vector<estimate::Sample> taught;
    std::vector<const Row*> tests;
    for (const auto& row : rows) {
      if (row.model != model && !inside.contains(row.record.key.kernel)) taught.push_back(sample_of(row));
      if (row.model == model && !outside.contains(row.record.key.kernel)) tests.push_back(&row);
    }
    if (tests.empty()) continue;
    estimate::CostModel learned(1);
    const auto fit_begin = std::chrono::steady_clock::now();
    learned.fit(taught, effort);
    const auto fit_end = std::chrono::steady_clock::now();
    Score score;
    std::map<double, std::pair<std::vector<double>, std::vector<double>>> groups;  // by operations
    for (const Row* row : tests) {
      const auto s = sample_of(*row);
      const auto begin = std::chrono::steady_clock::now();
      const auto p = learned.predict(s.features);
      predict_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      score.errors.push_back(std::abs(p.ms / s.ms - 1));
      score.rough_errors.push_back(std::abs(s.features.rough_ms / s.ms - 1));
      score.covered += p.low_ms <= s.ms && s.ms <= p.high_ms;
      auto& group = groups[row->flops];
      group.first.push_back(p.ms), group.second.push_back(s.ms);
      if (csv.is_open()) csv << fmt::format("{},{:.6g},{:.6g},{:.6g},{:.6g}\n", model, s.ms, p.ms, p.low_ms, p.high_ms);
    }
    for (const auto& [flops, group] : groups) {
      const auto [sum, pairs] = kendall(group.first, group.second);
      if (pairs < 10) continue;
      score.taus.push_back(sum / pairs);
      score.concordant += sum, score.pairs += pairs;
    }
    score.print(model);
    all.errors.insert(all.errors.end(), score.errors.begin(), score.errors.end());
    all.rough_errors.insert(all.rough_errors.end(), score.rough_errors.begin(), score.rough_errors.end());
    all.taus.insert(all.taus.end(), score.taus.begin(), score.taus.end());
    all.covered += score.covered, all.concordant += score.concordant, all.pairs += score.pairs;
    fmt::print(stderr, "  taught with {} in {:.2f} s\n", taught.size(),
               std::chrono::duration<double>(fit_end - fit_begin).count());
  }
  all.print("all");
  fmt::print("{:.3f} ms a prediction, features apart\n",
             1e3 * predict_seconds / static_cast<double>(all.errors.size()));
  return 0;
}

}  // namespace rooftune::bench
