// Runs a kernel as written, stage by stage, in the types it names (sums in f64). The oracle of every property test.
#pragma once
#include <vector>

#include "ir/tensor.h"
#include "kernel/kernel.h"

namespace rooftune::kernel {

/// `tensors` has one entry per buffer: row-major tensors for inputs and constants (others are ignored). Returns one
/// row-major tensor per output buffer, in buffer order.
std::vector<ir::Tensor> interpret(const Kernel& kernel, const std::vector<ir::Tensor>& tensors);

}  // namespace rooftune::kernel
