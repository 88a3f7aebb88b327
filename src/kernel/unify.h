// One kernel for many sizes. Lowerings know constant shapes only; what they make of a model at several sizes differs in
// extents of axes and in constants (where an edge lies, what a mean divides by). So kernels are compared, not derived:
// where the twins agree but for such numbers, the kernel of the largest size is right for all smaller ones if its axes end
// early and the numbers are those of the run.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::kernel {

/// The expression in the model's symbols that has these values, the largest size first; nullopt where none is known.
using Solve = std::function<std::optional<ir::Dim>(const std::vector<int64_t>& values)>;

/// Gives `kernel`, lowered at the largest size, the parameters that make it right for all sizes. `twins`: the
/// same lowered at other sizes. Returns why there is no such kernel ("stage pool: where it reads depends on the size"); empty
/// where there is, and only then `kernel` has changed.
std::string unify(Kernel& kernel, const std::vector<const Kernel*>& twins, const Solve& solve);

}  // namespace rooftune::kernel
