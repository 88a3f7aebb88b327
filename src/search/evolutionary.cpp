#include "search/evolutionary.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rooftune::search {

Evolutionary::Evolutionary(Space space, const Options& options)
    : options_(options), sampler_(std::move(space)), random_(options.seed) {
  RT_CHECK(options.population >= 2 && options.initial >= 0 && options.tournament >= 1, "options out of range");
}

void Evolutionary::tell(const Point& point, double value) {
  RT_CHECK(sampler_.fits(point), "a point outside the space was told");
  sampler_.remember(point);
  const auto [it, fresh] = told_.try_emplace(point, Parent{value, static_cast<int64_t>(told_.size()), point});
  if (!fresh) {
    if (!(value < it->second.value)) return;
    parents_.erase(it->second);
    it->second.value = value;
  }
  if (!std::isfinite(value)) return;
  parents_.insert(it->second);
  if (parents_.size() > static_cast<size_t>(options_.population)) parents_.erase(std::prev(parents_.end()));
}

std::vector<Point> Evolutionary::ask(int n) {
  ranked_.clear();
  for (const Parent& p : parents_) ranked_.push_back(&p);
  std::vector<Point> points;
  while (static_cast<int>(points.size()) < n) {
    const bool settling = std::max<int64_t>(asked_, static_cast<int64_t>(told_.size())) < options_.initial;
    std::optional<Point> point;
    if (!settling && ranked_.size() >= 2 && random_.uniform() >= options_.immigrants) point = child();
    if (!point) {
      point = sampler_.draw(random_);
      ++asked_;
    }
    if (!point) break;
    points.push_back(std::move(*point));
  }
  return points;
}

/// Mutates more and more where children are invalid or known; nullopt where that does not help.
std::optional<Point> Evolutionary::child() {
  constexpr int kTries = 60;
  const size_t decisions = sampler_.space().decisions.size();
  for (int i = 0; i < kTries; ++i) {
    Point point = select();
    if (random_.uniform() < options_.crossover) {
      const Point& other = select();
      for (size_t d = 0; d < decisions; ++d)
        if (random_.next() & (uint64_t{1} << 63)) point[d] = other[d];
    }
    mutate(point, (1.0 + i / 10.0) / static_cast<double>(decisions));
    if (sampler_.take(point)) return point;
  }
  return std::nullopt;
}

const Point& Evolutionary::select() {
  int best = random_.below(static_cast<int>(ranked_.size()));
  for (int i = 1; i < options_.tournament; ++i) best = std::min(best, random_.below(static_cast<int>(ranked_.size())));
  return ranked_[static_cast<size_t>(best)]->point;
}

void Evolutionary::mutate(Point& point, double rate) {
  for (size_t d = 0; d < point.size(); ++d) {
    const Decision& decision = sampler_.space().decisions[d];
    if (decision.choices > 1 && random_.uniform() < rate) point[d] = neighbour(decision, point[d]);
  }
}

/// Another value: one or a few steps away where the decision is ordinal (now and then anywhere), else any.
int Evolutionary::neighbour(const Decision& decision, int value) {
  if (decision.ordinal && random_.uniform() < 0.8) {
    int step = 1;
    while (random_.uniform() < 0.35) ++step;
    const bool up = random_.uniform() < 0.5;
    const int moved = value + (up ? step : -step), back = value + (up ? -step : step);
    if (moved >= 0 && moved < decision.choices) return moved;
    if (back >= 0 && back < decision.choices) return back;
  }
  const int other = random_.below(decision.choices - 1);
  return other < value ? other : other + 1;
}

}  // namespace rooftune::search
