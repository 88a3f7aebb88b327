// Random numbers of the random operators: the same on every machine and from run to run. Where the model gives no seed,
// the node's name decides, so that two nodes differ.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "ops/op.h"

namespace rooftune::ops {

class Random {
 public:
  explicit Random(const Node& node) {
    state_ = 0x9e3779b97f4a7c15;
    for (char c : node.name) state_ = (state_ ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    if (node.has("seed")) state_ = static_cast<uint64_t>(static_cast<int64_t>(node.attr_float("seed", 0) * 1024.0F));
  }

  uint64_t bits() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  double normal() {                                                         // Box-Muller
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  uint64_t state_;
};

}  // namespace rooftune::ops
