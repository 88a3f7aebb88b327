#include "search/random.h"

namespace rooftune::search {

std::vector<Point> RandomSearch::ask(int n) {
  constexpr int kTries = 100;  // in a row that made nothing new: then hardly anything is left
  std::vector<Point> points;
  for (int vain = 0; static_cast<int>(points.size()) < n && vain < kTries; ++vain) {
    auto point = take([&](const std::string&, const std::vector<int64_t>& values, int64_t) {
      return values[static_cast<size_t>(random_.below(static_cast<int>(values.size())))];
    });
    if (!point) continue;
    points.push_back(std::move(*point));
    vain = -1;
  }
  return points;
}

}  // namespace rooftune::search
