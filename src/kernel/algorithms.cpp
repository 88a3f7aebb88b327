#include "kernel/algorithms.h"

#include "base/error.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {

const std::vector<Algorithm>& algorithms() {
  static const auto direct = [](const Kernel& kernel, const Machine& machine) -> std::optional<Kernel> {
    Kernel result = kernel;
    normalise(result, machine);
    return result;
  };
  static const auto direct_sketch = [](const Kernel& k, const Machine& m, const Choose& c) {
    return Sketch(k, m, c).make();
  };
  auto by_winograd = [](int m) {
    return [m](const Kernel& kernel, const Machine& machine) { return winograd(kernel, machine, m); };
  };
  static const auto weights16 = [](const Kernel& kernel, const Machine& machine) -> std::optional<Kernel> {
    Kernel result = kernel;
    if (!multiply_weights_in_words(result, 2)) return std::nullopt;
    result.algorithm = "weights16";
    normalise(result, machine);
    return result;
  };
  static const std::vector<Algorithm> all = {
      {"direct", direct, direct_sketch},
      {"weights16", weights16, direct_sketch},
      {"winograd2", by_winograd(2), sketch_winograd},
      {"winograd4", by_winograd(4), sketch_winograd},
  };
  return all;
}

Schedule sketch(const Kernel& kernel, const Machine& machine, const Choose& choose) {
  for (const auto& algorithm : algorithms())
    if (algorithm.name == kernel.algorithm) return algorithm.sketch(kernel, machine, choose);
  throw InternalError("kernel {} is computed by algorithm '{}', which nobody knows", kernel.name, kernel.algorithm);
}

}  // namespace rooftune::kernel
