#include "tune/task_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernel/algorithms.h"
#include "kernel/sketch.h"
#include "tune/predict.h"

namespace rooftune::tune {
namespace {

constexpr int kPool = 6;  // schedules looked at for one that is measured
constexpr const char* kAlgorithm = "algorithm";

uint64_t identity(const Task& task, const Choice& choice) {
  return kernel::hash(task.variants[choice.variant].kernel, choice.schedule) ^ choice.variant;
}

/// A task's schedules under all its algorithms, for a search strategy. The task must outlive it.
search::Space space_of(const Task& task, const kernel::Machine& machine) {
  return {[&task, machine](const search::Choose& choose) -> std::optional<uint64_t> {
            Choice choice;
            if (task.variants.size() > 1) {
              std::vector<int64_t> all(task.variants.size());
              std::iota(all.begin(), all.end(), int64_t{0});
              choice.variant = static_cast<size_t>(choose(kAlgorithm, all, 0));
            }
            const auto& kernel = task.variants[choice.variant].kernel;
            choice.schedule = kernel::sketch(kernel, machine, choose);
            if (!kernel::why_illegal(kernel, choice.schedule).empty()) return std::nullopt;
            return identity(task, choice);
          },
          kAlgorithm};
}

search::Point start_of(const Task& task, size_t variant) {
  if (task.variants.size() == 1) return {};
  return {{kAlgorithm, static_cast<int64_t>(variant)}};
}

/// Ranks of values, equal ones sharing the mean of theirs.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    for (size_t k = i; k < end; ++k) result[order[k]] = 0.5 * static_cast<double>(i + end - 1);
    i = end;
  }
  return result;
}

}  // namespace

TaskSearch::TaskSearch(const Task& task, const kernel::Machine& machine, uint64_t seed)
    : task_(task),
      machine_(machine),
      random_(seed ^ task.key),
      strategy_(search::make_strategy("evolutionary", space_of(task, machine), {.seed = seed ^ task.key})) {}

Candidate TaskSearch::candidate(const search::Point& point) const {
  const auto algorithm = point.find(kAlgorithm);
  const size_t variant = algorithm == point.end() ? 0 : static_cast<size_t>(algorithm->second);
  const auto& kernel = task_.variants[variant].kernel;
  Candidate result{{variant, kernel::make_schedule(kernel, machine_, point)}, point, 0};
  result.predicted_ms = predict_ms(kernel, result.choice.schedule, machine_);
  return result;
}

Candidate TaskSearch::adopt(const Choice& choice) {
  strategy_->exclude(identity(task_, choice));
  const auto& kernel = task_.variants[choice.variant].kernel;
  return {choice, start_of(task_, choice.variant), predict_ms(kernel, choice.schedule, machine_)};
}

std::vector<Candidate> TaskSearch::starts() {
  std::vector<Candidate> result;
  for (size_t v = 0; v < task_.variants.size(); ++v)
    if (const auto start = start_of(task_, v); strategy_->exclude(start)) result.push_back(candidate(start));
  return result;
}

std::vector<Candidate> TaskSearch::propose(size_t n) {
  std::vector<Candidate> pool;
  for (const auto& point : strategy_->ask(static_cast<int>(n) * kPool)) pool.push_back(candidate(point));
  if (pool.size() <= n) return pool;
  // The share that the predictor decides grows with how right it was.
  const double trust = std::clamp(0.5 + 0.5 * predictor_quality(), 0.25, 0.9);
  std::stable_sort(pool.begin(), pool.end(),
                   [](const auto& a, const auto& b) { return a.predicted_ms < b.predicted_ms; });
  const auto by_prediction = static_cast<size_t>(std::ceil(trust * static_cast<double>(n)));
  std::vector<Candidate> chosen(pool.begin(), pool.begin() + static_cast<std::ptrdiff_t>(by_prediction));
  pool.erase(pool.begin(), pool.begin() + static_cast<std::ptrdiff_t>(by_prediction));
  while (chosen.size() < n) {
    const auto at = pool.begin() + random_.below(static_cast<int>(pool.size()));
    chosen.push_back(*at);
    pool.erase(at);
  }
  for (const auto& rest : pool) strategy_->forget(rest.point);  // may be proposed another time
  return chosen;
}

void TaskSearch::tell(const Candidate& candidate, const Measured& measured) {
  results_.push_back({candidate, measured});
  strategy_->tell(candidate.point, measured.timed() ? measured.ms : std::numeric_limits<double>::infinity());
}

double TaskSearch::predictor_quality() const {
  std::vector<double> predicted, measured;
  for (const auto& r : results_) {
    if (!r.measured.timed()) continue;
    predicted.push_back(r.candidate.predicted_ms);
    measured.push_back(r.measured.ms);
  }
  if (predicted.size() < 6) return 0;
  const auto a = ranks(predicted), b = ranks(measured);
  const double mean = 0.5 * static_cast<double>(a.size() - 1);
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i)
    ab += (a[i] - mean) * (b[i] - mean), aa += (a[i] - mean) * (a[i] - mean), bb += (b[i] - mean) * (b[i] - mean);
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace rooftune::tune
