#include "search/sampler.h"

#include <bit>
#include <cstdlib>

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

size_t meant(const Point& wishes, const std::string& name, const std::vector<int64_t>& values, int64_t start) {
  const auto wish = wishes.find(name);
  const int64_t wanted = wish == wishes.end() ? start : wish->second;
  size_t at = 0;
  for (size_t i = 1; i < values.size(); ++i)
    if (std::abs(values[i] - wanted) < std::abs(values[at] - wanted)) at = i;
  return at;
}

Choose Sampler::following(const Point& wishes) {
  return [&wishes](const std::string& name, const std::vector<int64_t>& values, int64_t start) {
    return values[meant(wishes, name, values, start)];
  };
}

void Sampler::forget(const Point& point) {
  if (const auto thing = space_.make(following(point))) seen_.erase(*thing);
}

std::optional<Point> Sampler::take(const Choose& choose) {
  Point point;
  const auto thing = space_.make([&](const std::string& name, const std::vector<int64_t>& values, int64_t start) {
    return point[name] = choose(name, values, start);
  });
  if (!thing || !seen_.insert(*thing).second) return std::nullopt;
  return point;
}

}  // namespace rooftune::search
