#include "tune/task_search.h"

#include <algorithm>
#include <cmath>

#include "kernel/algorithms.h"
#include "tune/predict.h"

namespace rooftune::tune {
namespace {

constexpr size_t kElite = 12;
constexpr int kPool = 6;  // schedules looked at for one that is measured
constexpr double kImmigrants = 0.15;
constexpr double kCrossover = 0.3;

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
    : task_(task), machine_(machine), random_(seed ^ task.key) {}

bool TaskSearch::make(size_t variant, const kernel::Point& wish, Candidate& candidate) {
  const auto& kernel = task_.variants[variant].kernel;
  candidate = {};
  candidate.choice = {variant, kernel::make_schedule(kernel, machine_, wish)};
  if (!seen_.insert({variant, kernel::hash(kernel, candidate.choice.schedule)}).second) return false;
  if (!kernel::why_illegal(kernel, candidate.choice.schedule).empty()) return false;
  candidate.point = wish;
  candidate.predicted_ms = predict_ms(kernel, candidate.choice.schedule, machine_);
  return true;
}

Candidate TaskSearch::adopt(const Choice& choice) {
  const auto& kernel = task_.variants[choice.variant].kernel;
  seen_.insert({choice.variant, kernel::hash(kernel, choice.schedule)});
  return {choice, {}, predict_ms(kernel, choice.schedule, machine_)};
}

std::vector<Candidate> TaskSearch::starts() {
  std::vector<Candidate> result;
  Candidate candidate;
  for (size_t v = 0; v < task_.variants.size(); ++v)
    if (make(v, {}, candidate)) result.push_back(candidate);
  return result;
}

std::vector<size_t> TaskSearch::ranked() const {
  std::vector<size_t> order;
  for (size_t i = 0; i < results_.size(); ++i)
    if (results_[i].measured.timed()) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return results_[a].measured.ms < results_[b].measured.ms; });
  return order;
}

/// One new schedule from the best so far; at random now and then. False where chance made one that is known.
bool TaskSearch::offspring(const std::vector<size_t>& order, Candidate& candidate) {
  const bool immigrant = order.empty() || random_.uniform() < kImmigrants;
  kernel::Point wish;
  size_t variant = 0;
  if (!order.empty()) {
    const int elite = static_cast<int>(std::min(order.size(), kElite));
    const auto& parent =
        results_[order[static_cast<size_t>(std::min({random_.below(elite), random_.below(elite)}))]].candidate;
    variant = parent.choice.variant;
    wish = parent.point;
    if (random_.uniform() < kCrossover) {
      const auto& other = results_[order[static_cast<size_t>(random_.below(elite))]].candidate;
      if (other.choice.variant == variant)
        for (const auto& [name, value] : other.point)
          if (random_.uniform() < 0.5) wish[name] = value;
    }
  }
  // Hopeless algorithms are left to chance.
  if (immigrant && (order.empty() || random_.uniform() < 0.25))
    variant = static_cast<size_t>(random_.below(static_cast<int>(task_.variants.size())));
  const auto& kernel = task_.variants[variant].kernel;
  const auto met = kernel::decisions(kernel, machine_, wish);
  if (met.empty()) return make(variant, {}, candidate);
  const double rate = immigrant ? 1 : std::min(1.0, 1.5 / static_cast<double>(met.size()));
  bool changed = false;
  // The sketch is followed once more; what it asks for is mutated on the way, so that decisions that an earlier one
  // brought up are drawn too.
  kernel::Point point;
  const int forced = random_.below(static_cast<int>(met.size()));
  int asked = 0;
  (void)kernel::sketch(
      kernel, machine_, [&](const std::string& name, const std::vector<int64_t>& legal, int64_t start) {
        const auto wished = wish.find(name);
        const int64_t wanted = wished == wish.end() ? start : wished->second;
        size_t at = 0;
        for (size_t i = 1; i < legal.size(); ++i)
          if (std::abs(legal[i] - wanted) < std::abs(legal[at] - wanted)) at = i;
        const bool mutate = random_.uniform() < rate || asked == forced;
        ++asked;
        if (mutate && legal.size() > 1) {
          const size_t before = at;
          if (!immigrant && random_.uniform() < 0.6) {
            const int step = (random_.uniform() < 0.7 ? 1 : 2) * (random_.uniform() < 0.5 ? 1 : -1);
            at = static_cast<size_t>(
                std::clamp<int64_t>(static_cast<int64_t>(at) + step, 0, static_cast<int64_t>(legal.size()) - 1));
          } else {
            at = static_cast<size_t>(random_.below(static_cast<int>(legal.size())));
          }
          changed = changed || at != before;
        }
        point[name] = legal[at];
        return legal[at];
      });
  return changed && make(variant, point, candidate);
}

std::vector<Candidate> TaskSearch::propose(size_t n) {
  const auto order = ranked();
  std::vector<Candidate> pool;
  const size_t wanted = n * kPool;
  for (size_t tries = 0; tries < wanted * 4 && pool.size() < wanted; ++tries) {
    Candidate candidate;
    if (offspring(order, candidate)) pool.push_back(std::move(candidate));
  }
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
  for (const auto& rest : pool)  // may be proposed another time
    seen_.erase({rest.choice.variant, kernel::hash(task_.variants[rest.choice.variant].kernel, rest.choice.schedule)});
  return chosen;
}

void TaskSearch::tell(const Candidate& candidate, const Measured& measured) {
  results_.push_back({candidate, measured});
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
