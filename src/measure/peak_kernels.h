// The innermost loops that peaks.cpp times: nothing but independent multiply-adds, and nothing but loads. Each is compiled
// for its own instruction set, whatever the program is compiled for, and may run only where the CPU has it. This is the
// only place with intrinsics or inline assembly outside base/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hardware/host.h"

namespace rooftune::measure {

struct ArithmeticKernel {
  const char* precision;  // "f32", "bf16", "i8"
  void (*run)(int64_t iterations);
  double operations_per_iteration;  // a multiply-add is two
};
/// Those that this CPU can run, the widest of each precision.
std::vector<ArithmeticKernel> arithmetic_kernels(const hardware::Host& host);

/// Reads all of [data, data + bytes) with the widest loads that the CPU has; bytes is a multiple of 1024.
using ReadKernel = void (*)(const float* data, size_t bytes);
ReadKernel read_kernel(const hardware::Host& host);

}  // namespace rooftune::measure
