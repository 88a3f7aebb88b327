// Random answers: the baseline that every other strategy must beat.
#pragma once
#include "search/sampler.h"

namespace rooftune::search {

class RandomSearch : public Sampler {
 public:
  RandomSearch(Space space, uint64_t seed) : Sampler(std::move(space)), random_(seed) {}
  std::vector<Point> ask(int n) override;
  void tell(const Point& point, double) override { exclude(point); }

 private:
  Random random_;
};

}  // namespace rooftune::search
