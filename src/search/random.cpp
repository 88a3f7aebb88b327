#include "search/random.h"

#include "base/error.h"

namespace rooftune::search {

std::vector<Point> RandomSearch::ask(int n) {
  std::vector<Point> points;
  while (static_cast<int>(points.size()) < n) {
    std::optional<Point> point = sampler_.draw(random_);
    if (!point) break;
    points.push_back(std::move(*point));
  }
  return points;
}

void RandomSearch::tell(const Point& point, double) {
  RT_CHECK(sampler_.fits(point), "a point outside the space was told");
  sampler_.remember(point);
}

}  // namespace rooftune::search
