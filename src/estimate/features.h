// What the learned cost model sees of a scheduled kernel: its work, its loop nests and the machine, as numbers that mean the
// same for every kernel. Times are logarithms of shares of the roof, so that small and large kernels are alike.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "estimate/stage_cost.h"

namespace rooftune::estimate {

struct Features {
  std::vector<float> values;  // as many as feature_names() has
  double roofline_ms = 0;     // of the algorithm: no time is below
  double rough_ms = 0;        // by arithmetic alone: what the model corrects
};

/// What does not depend on the schedule, and takes longer to count than all that does.
struct KernelWork {
  KernelWork(const kernel::Kernel& kernel, const hardware::Spec& spec);
  double operations = 0, bytes = 0;
  double roofline_ms = 0;  // the larger of its own operations over the peak and its compulsory bytes over the bandwidth
};

Features features(const kernel::Kernel& kernel, const kernel::Schedule& schedule, const CostTarget& target,
                  const KernelWork& work);
inline Features features(const kernel::Kernel& kernel, const kernel::Schedule& schedule, const CostTarget& target) {
  return features(kernel, schedule, target, KernelWork(kernel, target.spec));
}

/// In the order of Features::values.
const std::vector<std::string>& feature_names();
/// Changes with every feature that is added, removed or computed otherwise: what was stored under another version means
/// something else.
std::string feature_version();

}  // namespace rooftune::estimate
