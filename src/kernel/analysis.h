// Questions about stages that sketches and rewrites share: which axis is contiguous in which operand, who reads whom.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

/// Memory distance in elements between neighbours along `axis` within a vector of `lanes` that starts at a multiple of
/// `lanes`; nullopt where it is not constant.
std::optional<int64_t> stride(const Kernel& kernel, const Stage& stage, int buffer, const std::vector<Index>& indices,
                              int axis, int lanes);

/// The pattern's order and blocks for a tensor of this shape (rank 0: row-major).
Layout fitted(const Layout& pattern, const std::vector<int64_t>& shape);

/// Whether `index` is exactly one axis; which.
std::optional<int> plain_axis(const Index& index);

/// Whether an index that is data (a node's value), of a load or of where the stage scatters to, differs along `axis`.
bool data_index_along(const Stage& stage, int axis);

/// Stages that read `buffer`.
std::vector<int> readers(const Kernel& kernel, int buffer);
/// Stages that write it.
std::vector<int> writers(const Kernel& kernel, int buffer);

/// Whether the stage writes its buffer at its spatial axes, in order.
bool writes_identity(const Kernel& kernel, const Stage& stage);

/// Whether the stage reads `buffer`, element by element, nowhere else than at its own axes, in order.
bool reads_identity(const Kernel& kernel, const Stage& stage, int buffer);

/// A sum of products of at least two loads.
bool is_contraction(const Stage& stage);

/// What a stage multiplies and sums in words of 32 bits: its reduction is the sum of the products of two loads that are
/// widened first, 4 bytes to i32 or 2 bf16 to f32. Such products are exact, so that their order matters no more than
/// that of a sum's terms ever does. An operand may also be 4 bits of each byte: (load >> shift) & 15, of u8.
struct DotOperands {
  int width = 0;                   // elements in a word; 0: the stage is no such sum
  int a = -1, b = -1;              // the loads' nodes
  int shift_a = -1, shift_b = -1;  // of 4 bits: the nodes that say how far they stand up in the byte
};
DotOperands dot_operands(const Kernel& kernel, const Stage& stage);

/// Of cost(kernel).operations, those of dot products, by the precision whose peak bounds them ("i8", "bf16").
std::map<std::string, double> dot_operations(const Kernel& kernel);

bool reads_only_constants(const Kernel& kernel, const Stage& stage);

}  // namespace rooftune::kernel
