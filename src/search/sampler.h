// What strategies share: random numbers that are the same with every standard library, and things not made before.
#pragma once
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

/// Index of the value that a wish means: the nearest; without one the start's.
size_t meant(const Point& wishes, const std::string& name, const std::vector<int64_t>& values, int64_t start);

/// A strategy whose things are each made at most once.
class Sampler : public Strategy {
 public:
  explicit Sampler(Space space) : space_(std::move(space)) {}
  bool exclude(const Point& point) override { return take(following(point)).has_value(); }
  void exclude(uint64_t thing) override { seen_.insert(thing); }
  void forget(const Point& point) override;

 protected:
  const Space& space() const { return space_; }
  /// All decisions that are met, with the answers, where that makes something valid that is new. It is known then.
  std::optional<Point> take(const Choose& choose);
  static Choose following(const Point& wishes);

 private:
  Space space_;
  std::set<uint64_t> seen_;
};

}  // namespace rooftune::search
