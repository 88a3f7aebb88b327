// One kernel for many sizes. Lowerings know constant shapes only; what they make of a model at several sizes differs in
// nothing but extents, as long as no formula depends on them. So kernels are compared, not derived: where the twins agree,
// the kernel of the largest size is right for all smaller ones if its axes end early.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::kernel {

/// The expression in the model's symbols that has these values, the largest size first; nullopt where none is known.
using Solve = std::function<std::optional<ir::Dim>(const std::vector<int64_t>& values)>;

/// Gives `kernel`, lowered at the largest size, the parameters and live axes that make it right for all sizes. `twins`: the
/// same lowered at other sizes. Returns why there is no such kernel ("stage pool: a constant depends on the size"); empty
/// where there is, and only then `kernel` has changed.
std::string unify(Kernel& kernel, const std::vector<const Kernel*>& twins, const Solve& solve);

}  // namespace rooftune::kernel
