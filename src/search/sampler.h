// What strategies share: random numbers that are the same with every standard library, and points not seen before.
#pragma once
#include <optional>
#include <set>

#include "search/strategy.h"

namespace rooftune::search {

/// xoshiro256** seeded by splitmix64 (Blackman and Vigna).
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  int below(int n);  // uniform in [0, n), n ≥ 1
  double uniform();  // in [0, 1)

 private:
  uint64_t state_[4];
};

/// Draws valid points, each at most once.
class Sampler {
 public:
  explicit Sampler(Space space);

  const Space& space() const { return space_; }
  bool fits(const Point& point) const;  // lengths and ranges, not validity
  /// True and remembered, where the point is valid and not yet remembered.
  bool take(const Point& point);
  void remember(const Point& point) { seen_.insert(point); }
  /// A random point, taken. Where chance finds none, the space is walked on from a random place, for a bounded number
  /// of steps: small spaces are exhausted, and nullopt means that no point is left.
  std::optional<Point> draw(Random& random);

 private:
  Point uniform_point(Random& random) const;
  Space space_;
  std::set<Point> seen_;
};

}  // namespace rooftune::search
