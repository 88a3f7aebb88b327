#include "search/evolutionary.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rooftune::search {

Evolutionary::Evolutionary(Space space, const Options& options)
    : Sampler(std::move(space)), options_(options), random_(options.seed) {
  RT_CHECK(options.elite >= 1, "options out of range");
}

void Evolutionary::tell(const Point& point, double value) {
  exclude(point);
  if (!std::isfinite(value)) return;
  const auto after = std::upper_bound(parents_.begin(), parents_.end(), value,
                                      [](double v, const auto& parent) { return v < parent.first; });
  parents_.insert(after, {value, point});
  if (parents_.size() > static_cast<size_t>(options_.elite)) parents_.pop_back();
}

std::vector<Point> Evolutionary::ask(int n) {
  constexpr int kTries = 100;  // in a row that made nothing new: then hardly anything is left near the parents
  std::vector<Point> points;
  for (int vain = 0; static_cast<int>(points.size()) < n && vain < kTries; ++vain) {
    auto point = child(parents_);
    if (!point) continue;
    points.push_back(std::move(*point));
    vain = -1;
  }
  return points;
}

bool Evolutionary::same_kind(const Point& a, const Point& b) const {
  if (space().kind.empty()) return true;
  const auto in_a = a.find(space().kind), in_b = b.find(space().kind);
  return (in_a == a.end()) == (in_b == b.end()) && (in_a == a.end() || in_a->second == in_b->second);
}

/// A step or two to a side, or anything.
int64_t Evolutionary::mutated(const std::vector<int64_t>& values, size_t at, bool anywhere) {
  const auto count = static_cast<int>(values.size());
  if (anywhere || random_.uniform() >= 0.6) return values[static_cast<size_t>(random_.below(count))];
  const int step = (random_.uniform() < 0.7 ? 1 : 2) * (random_.uniform() < 0.5 ? 1 : -1);
  return values[static_cast<size_t>(std::clamp(static_cast<int>(at) + step, 0, count - 1))];
}

/// Nothing where chance made what is known or not valid.
std::optional<Point> Evolutionary::child(const Parents& parents) {
  const bool orphan = parents.empty();
  const bool immigrant = orphan || random_.uniform() < options_.immigrants;
  Point wishes;
  if (!orphan) {
    const auto count = static_cast<int>(parents.size());
    wishes = parents[static_cast<size_t>(std::min(random_.below(count), random_.below(count)))].second;
    if (random_.uniform() < options_.crossover) {
      const Point& other = parents[static_cast<size_t>(random_.below(count))].second;
      if (same_kind(wishes, other))
        for (const auto& [name, value] : other)
          if (random_.uniform() < 0.5) wishes[name] = value;
    }
  }
  // What its kind is, is left to chance now and then only: hopeless kinds are hopeless whatever else is changed.
  const bool any_kind = orphan || (immigrant && random_.uniform() < 0.25);
  const auto drawn = [&](const std::string& name, const std::vector<int64_t>& values, int64_t start) -> int64_t {
    if (any_kind) return values[static_cast<size_t>(random_.below(static_cast<int>(values.size())))];
    return values[meant(wishes, name, values, start)];
  };
  int met = 0;
  std::optional<int64_t> kind;
  (void)space().make([&](const std::string& name, const std::vector<int64_t>& values, int64_t start) {
    if (name == space().kind) return *(kind = drawn(name, values, start));
    ++met;
    return values[meant(wishes, name, values, start)];
  });
  if (kind) wishes[space().kind] = *kind;
  const double rate = immigrant ? 1 : std::min(1.0, options_.mutation / std::max(1, met));
  const int forced = random_.below(std::max(1, met));
  int asked = 0;
  return take([&](const std::string& name, const std::vector<int64_t>& values, int64_t start) {
    const size_t at = meant(wishes, name, values, start);
    if (name == space().kind) return values[at];
    const bool mutate = random_.uniform() < rate || asked == forced;
    ++asked;
    return mutate && values.size() > 1 ? mutated(values, at, immigrant) : values[at];
  });
}

}  // namespace rooftune::search
