#include "tune/task_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "estimate/predict.h"
#include "kernel/algorithms.h"
#include "kernel/sketch.h"

namespace rooftune::tune {
namespace {

constexpr const char* kAlgorithm = kAlgorithmDecision;

uint64_t identity(const Task& task, const Choice& choice) {
  return kernel::hash(task.variants[choice.variant].kernel, choice.schedule) ^ choice.variant;
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

/// The task's schedules under all its algorithms. What is made is kept until the next proposal, since most of it is looked
/// at again; reasons of what is illegal are counted.
search::Space TaskSearch::space() {
  return {[this](const search::Choose& choose) -> std::optional<uint64_t> {
            Choice choice;
            search::Point point;
            const auto answer = [&](const std::string& name, const std::vector<int64_t>& values, int64_t start) {
              return point[name] = choose(name, values, start);
            };
            if (task_.variants.size() > 1) {
              std::vector<int64_t> all(task_.variants.size());
              std::iota(all.begin(), all.end(), int64_t{0});
              choice.variant = static_cast<size_t>(answer(kAlgorithm, all, 0));
            }
            const auto& variant = task_.variants[choice.variant];
            choice.schedule = kernel::sketch(variant.kernel, machine(), answer);
            if (const auto why = kernel::why_illegal(variant.kernel, choice.schedule); !why.empty()) {
              ++illegal_[variant.algorithm + ": " + why];
              return std::nullopt;
            }
            const uint64_t thing = identity(task_, choice);
            made_.insert_or_assign(std::move(point), std::move(choice));
            return thing;
          },
          kAlgorithm};
}

TaskSearch::TaskSearch(const Task& task, const Guidance& guidance, uint64_t seed)
    : task_(task), guidance_(guidance), random_(seed ^ task.key) {
  for (const auto& variant : task.variants) work_.emplace_back(variant.kernel, guidance.target.spec);
  const Preset& preset = guidance.preset;
  search::Options options;
  options.seed = seed ^ task.key;
  options.elite = preset.elite;
  options.mutation = preset.mutation_rate;
  options.crossover = preset.crossover;
  options.immigrants = preset.immigrants;
  options.population = preset.population;
  options.generations = preset.generations;
  options.explore = preset.explore;
  if (preset.model != Guide::none) options.prior = [this](const auto& points) { return beliefs(points); };
  strategy_ = search::make_strategy(preset.strategy, space(), options);
}

Candidate TaskSearch::candidate(const search::Point& point) const {
  const auto algorithm = point.find(kAlgorithm);
  const size_t variant = algorithm == point.end() ? 0 : static_cast<size_t>(algorithm->second);
  const auto& kernel = task_.variants[variant].kernel;
  const auto made = made_.find(point);
  Candidate result{
      made != made_.end() ? made->second : Choice{variant, kernel::make_schedule(kernel, machine(), point)}, point};
  result.features = estimate::features(kernel, result.choice.schedule, guidance_.target, work_[variant]);
  return result;
}

void TaskSearch::predict(std::vector<Candidate>& candidates) const {
  if (guidance_.preset.model != Guide::learned) {
    for (auto& c : candidates)
      c.predicted_ms = estimate::predict_ms(task_.variants[c.choice.variant].kernel, c.choice.schedule, machine());
    return;
  }
  std::vector<estimate::Features> features;
  for (const auto& c : candidates) features.push_back(c.features);
  const auto predictions = guidance_.model.predict(features);
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i].predicted_ms = predictions[i].ms;
}

/// What the guide believes of points; they are kept until the strategy has chosen among them.
std::vector<search::Belief> TaskSearch::beliefs(const std::vector<search::Point>& points) {
  constexpr double kArithmetic = 0.4;  // standard deviation of its logarithm
  std::vector<estimate::Features> features;
  for (const auto& point : points) {
    if (const auto known = told_.find(point); known != told_.end()) {
      features.push_back(known->second);
      continue;
    }
    auto found = looked_at_.find(point);
    if (found == looked_at_.end()) found = looked_at_.emplace(point, candidate(point)).first;
    features.push_back(found->second.features);
  }
  std::vector<search::Belief> result;
  if (guidance_.preset.model == Guide::learned)
    for (const auto& p : guidance_.model.predict(features)) result.push_back({std::log(p.ms), p.log_error});
  else
    for (const auto& f : features) result.push_back({std::log(f.rough_ms), kArithmetic});
  return result;
}

Candidate TaskSearch::adopt(const Choice& choice) {
  strategy_->exclude(identity(task_, choice));
  const auto& kernel = task_.variants[choice.variant].kernel;
  std::vector<Candidate> one = {{choice, start_of(task_, choice.variant)}};
  for (const auto& hint : hints_)
    if (const auto made = candidate(hint).choice; made.variant == choice.variant && made.schedule == choice.schedule)
      one[0].point = hint;
  one[0].features = estimate::features(kernel, choice.schedule, guidance_.target, work_[choice.variant]);
  predict(one);
  return one[0];
}

std::vector<Candidate> TaskSearch::hinted() {
  std::vector<Candidate> result;
  for (const auto& hint : hints_)
    if (strategy_->exclude(hint)) result.push_back(candidate(hint));
  predict(result);
  return result;
}

std::vector<Candidate> TaskSearch::starts() {
  std::vector<Candidate> result;
  for (size_t v = 0; v < task_.variants.size(); ++v)
    if (const auto start = start_of(task_, v); strategy_->exclude(start)) result.push_back(candidate(start));
  predict(result);
  return result;
}

std::vector<Candidate> TaskSearch::propose(size_t n) {
  const Preset& preset = guidance_.preset;
  const bool breeds = preset.strategy == "bayes_evo";  // and chooses by itself
  std::vector<Candidate> pool;
  for (const auto& point : strategy_->ask(static_cast<int>(n) * (breeds ? 1 : preset.pool))) {
    const auto known = looked_at_.find(point);
    pool.push_back(known == looked_at_.end() ? candidate(point) : known->second);
  }
  passed_ += static_cast<int>(std::max(looked_at_.size(), pool.size()) - std::min(n, pool.size()));
  looked_at_.clear();
  made_.clear();
  predict(pool);
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
  told_[candidate.point] = candidate.features;
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
