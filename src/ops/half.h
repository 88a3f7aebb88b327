// Narrow numbers in kernels. 16-bit floats are a way to store numbers, not to compute with them: a lowering sees f16 and
// bf16 operands as f32, what it loads is widened on the way, and what stays inside a kernel stays f32. So no lowering knows
// of them. Of integers of 4 bits kernels see the bytes that hold them.
#pragma once
#include <string>
#include <vector>

#include "ops/common.h"

namespace rooftune::ops {

/// The type in which kernels compute with elements of `dtype`.
inline DType computed_in(DType dtype) { return is_half(dtype) ? DType::f32 : dtype; }

/// How kernels read a tensor of static shape: as it is, or numbers of 4 bits as bytes of two (of the last dim, or of all
/// elements in a row where that is odd).
struct Held {
  DType dtype;
  std::vector<int64_t> shape;
};
Held held_as(DType dtype, std::vector<int64_t> shape);

struct LoweredNode {
  std::vector<int> outputs;  // buffers; of what the graph holds in 16 bits: f32
  std::string rejection;     // why there is no kernel; the one under construction is then of no use
};

/// Adds the node's stages to the kernel. `inputs`: a buffer for each of the node's (-1: absent), of the graph's type or
/// widened already.
LoweredNode lower_node(const Graph& graph, const Node& node, kernel::Kernel& kernel, const std::vector<int>& inputs);

/// A buffer that holds the elements of `buffer` rounded to `dtype` (to the nearest, ties to even), or is it where the type
/// is the same.
int rounded(kernel::Kernel& kernel, int buffer, DType dtype);

}  // namespace rooftune::ops
