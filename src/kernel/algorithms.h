// Algorithms: typed rewrites Kernel → Kernel that compute the same result in another way. Each states its operations and
// error class and sketches its own schedules. Which one runs is a decision that measurement takes.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/sketch.h"
#include "kernel/space.h"

namespace rooftune::kernel {

struct Algorithm {
  std::string name;
  /// The kernel computed this way, normalised; nullopt where the algorithm does not apply.
  std::function<std::optional<Kernel>(const Kernel&, const Machine&)> rewrite;
  std::function<Schedule(const Kernel&, const Machine&, const Choose&)> sketch;
};

/// "direct" first; "weights16" multiplies weights of 4 and 8 bits with activations of 16 bits, not 24 (weight_words.cpp); a new algorithm is one more line in algorithms.cpp.
const std::vector<Algorithm>& algorithms();

/// The schedule of a kernel by the sketch of the algorithm that made it.
Schedule sketch(const Kernel& kernel, const Machine& machine, const Choose& choose);

/// Winograd convolution F(m x m, 3 x 3) for stride 1 (winograd.cpp).
std::optional<Kernel> winograd(const Kernel& kernel, const Machine& machine, int m);
Schedule sketch_winograd(const Kernel& kernel, const Machine& machine, const Choose& choose);

}  // namespace rooftune::kernel
