#include "search/bayes_evo.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rooftune::search {
namespace {

constexpr size_t kRemembered = 192;  // points of the process: the best and the latest
constexpr double kLeastGain = 1e-9;

double normal_density(double z) { return std::exp(-0.5 * z * z) * 0.3989422804014327; }
double normal_below(double z) { return 0.5 * std::erfc(-z * 0.7071067811865476); }

/// How much less than `best` a value is expected to be, where it is less.
double expected_gain(const Belief& belief, double best) {
  const double deviation = std::max(belief.deviation, 1e-6), z = (best - belief.mean) / deviation;
  return deviation * (z * normal_below(z) + normal_density(z));
}

}  // namespace

BayesEvo::BayesEvo(Space space, const Options& options) : Evolutionary(space, options), process_(space.kind) {
  RT_CHECK(options.population >= 1 && options.generations >= 1, "options out of range");
}

void BayesEvo::tell(const Point& point, double value) {
  Evolutionary::tell(point, value);
  if (!std::isfinite(value) || value <= 0) return;
  told_.emplace_back(point, std::log(value));
  if (told_.size() <= kRemembered) return;
  // The worst of the older half has least to say about where it is good.
  const auto older = told_.begin() + static_cast<std::ptrdiff_t>(kRemembered / 2);
  told_.erase(std::max_element(told_.begin(), older, [](const auto& a, const auto& b) { return a.second < b.second; }));
}

std::vector<Belief> BayesEvo::prior_of(const std::vector<Point>& points) const {
  if (options().prior && !points.empty()) return options().prior(points);
  return std::vector<Belief>(points.size(), Belief{mean_, spread_});
}

/// What was told, against what is believed now: the prior may have learned meanwhile.
void BayesEvo::learn() {
  best_ = 0, mean_ = 0, spread_ = 0.5;
  if (told_.empty()) return process_.fit({}, {}, spread_);
  best_ = told_[0].second;
  double squares = 0;
  for (const auto& [point, value] : told_) best_ = std::min(best_, value), mean_ += value, squares += value * value;
  mean_ /= static_cast<double>(told_.size());
  squares = squares / static_cast<double>(told_.size()) - mean_ * mean_;
  if (told_.size() > 2) spread_ = std::sqrt(std::max(squares, 0.01));
  std::vector<Point> points;
  for (const auto& [point, value] : told_) points.push_back(point);
  const auto priors = prior_of(points);
  std::vector<double> residuals;
  double deviation = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    residuals.push_back(told_[i].second - priors[i].mean);
    deviation += priors[i].deviation / static_cast<double>(points.size());
  }
  process_.fit(points, residuals, deviation);
}

void BayesEvo::believe(Bred& bred) const {
  process_.update(bred.place);
  const Belief& correction = bred.place.belief;
  bred.belief = {bred.prior.mean + correction.mean, bred.prior.deviation * correction.deviation};
  bred.gain = told_.empty() ? -bred.belief.mean : expected_gain(bred.belief, best_);
}

/// A population by evolution on beliefs; nothing in it was asked or told before.
std::vector<BayesEvo::Bred> BayesEvo::breed(int n) {
  constexpr int kTries = 100;  // in a row that made nothing new: then hardly anything is left
  std::vector<Bred> bred;
  Parents ancestors = parents();
  for (int generation = 0; generation < options().generations; ++generation) {
    std::vector<Point> fresh;
    const int wanted = std::max(options().population, 2 * n);
    for (int vain = 0; static_cast<int>(fresh.size()) < wanted && vain < kTries; ++vain) {
      auto point = child(ancestors);
      if (!point) continue;
      fresh.push_back(std::move(*point));
      vain = -1;
    }
    if (fresh.empty()) break;
    const auto priors = prior_of(fresh);
    for (size_t i = 0; i < fresh.size(); ++i) {
      auto place = process_.place(fresh[i]);
      bred.push_back({std::move(fresh[i]), priors[i], {}, std::move(place)});
      believe(bred.back());
    }
    // Parents of the next generation: the best measured ones, and the most promising of those bred.
    std::vector<size_t> order(bred.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bred[a].gain > bred[b].gain; });
    ancestors.clear();
    const auto half = static_cast<size_t>(std::max(1, options().elite / 2));
    for (size_t i = 0; i < std::min(half, order.size()); ++i) ancestors.emplace_back(0, bred[order[i]].point);
    for (size_t i = 0; i < std::min(half, parents().size()); ++i) ancestors.push_back(parents()[i]);
  }
  return bred;
}

std::vector<Point> BayesEvo::ask(int n) {
  learn();
  auto bred = breed(n);
  std::vector<Point> asked;
  const auto choose = [&](const auto& better) {
    Bred* best = nullptr;
    for (auto& b : bred)
      if (!b.asked && (best == nullptr || better(b, *best))) best = &b;
    if (best == nullptr) return;
    best->asked = true;
    asked.push_back(best->point);
    const double believed = best->belief.mean - best->prior.mean;
    process_.add(best->point, believed);
    for (auto& b : bred) believe(b);
  };
  double curious = 0;
  while (static_cast<int>(asked.size()) < std::min(n, static_cast<int>(bred.size()))) {
    curious += options().explore;
    const bool explores = curious >= 1 && !told_.empty();
    if (explores) curious -= 1;
    choose([&](const Bred& a, const Bred& b) {
      if (explores) return a.belief.deviation > b.belief.deviation;
      if (a.gain > kLeastGain || b.gain > kLeastGain || told_.empty()) return a.gain > b.gain;
      return a.belief.mean < b.belief.mean;
    });
  }
  for (const auto& b : bred)
    if (!b.asked) forget(b.point);  // may be asked another time
  return asked;
}

}  // namespace rooftune::search
