#include "kernel/space.h"

#include <algorithm>
#include <cmath>

#include "kernel/algorithms.h"

namespace rooftune::kernel {
namespace {

int64_t nearest(const std::vector<int64_t>& legal, int64_t wanted) {
  return *std::min_element(legal.begin(), legal.end(), [&](int64_t a, int64_t b) {
    return std::make_pair(std::abs(a - wanted), a) < std::make_pair(std::abs(b - wanted), b);
  });
}

Schedule follow(const Kernel& kernel, const Machine& machine, const Point& point, std::vector<Decision>* met) {
  return sketch(kernel, machine, [&](const std::string& name, const std::vector<int64_t>& legal, int64_t start) {
    start = nearest(legal, start);
    if (met != nullptr) met->push_back({name, legal, start});
    const auto found = point.find(name);
    return found == point.end() ? start : nearest(legal, found->second);
  });
}

}  // namespace

std::vector<Decision> decisions(const Kernel& kernel, const Machine& machine, const Point& point) {
  std::vector<Decision> met;
  follow(kernel, machine, point, &met);
  return met;
}

Schedule make_schedule(const Kernel& kernel, const Machine& machine, const Point& point) {
  return follow(kernel, machine, point, nullptr);
}

}  // namespace rooftune::kernel
