// Questions about stages that sketches and rewrites share: which axis is contiguous in which operand, who reads whom.
#pragma once
#include <optional>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

/// Memory distance in elements between neighbours along `axis` within a vector of `lanes` that starts at a multiple of
/// `lanes`; nullopt where it is not constant.
std::optional<int64_t> stride(const Kernel& kernel, const Stage& stage, int buffer, const std::vector<Index>& indices,
                              int axis, int lanes);

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

bool reads_only_constants(const Kernel& kernel, const Stage& stage);

}  // namespace rooftune::kernel
