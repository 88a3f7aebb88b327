// Runs a kernel as written, stage by stage, in the types it names (sums in f64). The oracle of every property test.
#pragma once
#include <vector>

#include "ir/tensor.h"
#include "kernel/kernel.h"

namespace rooftune::kernel {

/// `tensors` has one entry per buffer: row-major tensors for inputs and constants (others are ignored). `parameters`: the
/// values of the kernel's parameters. Returns one row-major tensor per output buffer, in buffer order; what is not live
/// of it is not written.
std::vector<ir::Tensor> interpret(const Kernel& kernel, const std::vector<ir::Tensor>& tensors,
                                  const std::vector<int64_t>& parameters = {});

}  // namespace rooftune::kernel
