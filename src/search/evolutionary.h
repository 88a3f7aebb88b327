// A (μ + λ) genetic algorithm over wishes: the best points ever told are the parents (so the best is never lost). A child
// wishes what one or two parents answered, and the space is followed once more with some wishes changed on the way, mostly
// to neighbours: decisions that an earlier one brought up are drawn, too. A steady share of random points keeps it from
// settling in one valley.
#pragma once
#include "search/sampler.h"

namespace rooftune::search {

class Evolutionary : public Sampler {
 public:
  Evolutionary(Space space, const Options& options);
  std::vector<Point> ask(int n) override;
  void tell(const Point& point, double value) override;

 protected:
  using Parents = std::vector<std::pair<double, Point>>;  // best first
  std::optional<Point> child(const Parents& parents);
  const Parents& parents() const { return parents_; }  // the best ever told; of equals the first told
  Random& random() { return random_; }
  const Options& options() const { return options_; }

 private:
  int64_t mutated(const std::vector<int64_t>& values, size_t at, bool anywhere);
  bool same_kind(const Point& a, const Point& b) const;

  Options options_;
  Random random_;
  Parents parents_;
};

}  // namespace rooftune::search
