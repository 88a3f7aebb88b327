#include "search/sampler.h"

#include <bit>

#include "base/error.h"

namespace rooftune::search {

Random::Random(uint64_t seed) {
  for (uint64_t& s : state_) {
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    s = z ^ (z >> 31);
  }
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9, t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

int Random::below(int n) { return static_cast<int>((next() >> 32) * static_cast<uint64_t>(n) >> 32); }

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

Sampler::Sampler(Space space) : space_(std::move(space)) {
  for (const Decision& d : space_.decisions) RT_CHECK(d.choices >= 1, "decision {} has no choice", d.name);
}

bool Sampler::fits(const Point& point) const {
  if (point.size() != space_.decisions.size()) return false;
  for (size_t i = 0; i < point.size(); ++i)
    if (point[i] < 0 || point[i] >= space_.decisions[i].choices) return false;
  return true;
}

bool Sampler::take(const Point& point) {
  if (seen_.contains(point) || (space_.valid && !space_.valid(point))) return false;
  seen_.insert(point);
  return true;
}

Point Sampler::uniform_point(Random& random) const {
  Point point;
  for (const Decision& d : space_.decisions) point.push_back(random.below(d.choices));
  return point;
}

std::optional<Point> Sampler::draw(Random& random) {
  constexpr int kTries = 200, kSteps = 100000;
  for (int i = 0; i < kTries; ++i) {
    Point point = uniform_point(random);
    if (take(point)) return point;
  }
  Point point = uniform_point(random);
  const Point start = point;
  for (int step = 0; step < kSteps; ++step) {
    if (take(point)) return point;
    size_t digit = 0;  // count up, as a number whose digits are the decisions
    while (digit < point.size() && ++point[digit] == space_.decisions[digit].choices) point[digit++] = 0;
    if (point == start) break;
  }
  return std::nullopt;
}

}  // namespace rooftune::search
