// A (μ + λ) genetic algorithm: the best points ever told are the parents (so the best is never lost), chosen by
// tournament; children come from uniform crossover and mutation, which steps to neighbours along ordinal decisions. A
// steady share of random points keeps it from settling in one valley.
#pragma once
#include <map>

#include "search/sampler.h"

namespace rooftune::search {

class Evolutionary : public Strategy {
 public:
  Evolutionary(Space space, const Options& options);
  std::vector<Point> ask(int n) override;
  void tell(const Point& point, double value) override;

 private:
  struct Parent {
    double value;
    int64_t order;  // of its first tell: breaks ties, so that runs repeat
    Point point;
    auto key() const { return std::pair(value, order); }
    bool operator<(const Parent& other) const { return key() < other.key(); }
  };

  std::optional<Point> child();
  const Point& select();
  void mutate(Point& point, double rate);
  int neighbour(const Decision& decision, int value);

  Options options_;
  Sampler sampler_;
  Random random_;
  std::map<Point, Parent> told_;
  std::set<Parent> parents_;           // the best `population` with a finite value
  std::vector<const Parent*> ranked_;  // the same by index, while asking
  int64_t asked_ = 0;                  // at random, by the first phase
};

}  // namespace rooftune::search
