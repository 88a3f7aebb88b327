// Uniform sampling without repetition: the baseline that every other strategy must beat.
#pragma once
#include "search/sampler.h"

namespace rooftune::search {

class RandomSearch : public Strategy {
 public:
  RandomSearch(Space space, uint64_t seed) : sampler_(std::move(space)), random_(seed) {}
  std::vector<Point> ask(int n) override;
  void tell(const Point& point, double value) override;

 private:
  Sampler sampler_;
  Random random_;
};

}  // namespace rooftune::search
