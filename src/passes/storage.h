// Which 16-bit values are stored as f32 between kernels. Kernels compute in f32 (ops/half.h), so a 16-bit operand is
// widened wherever it is read: free where that is once, dear where a contraction reads each element many times over. Such
// values stay f32 on their way from one kernel to the next, which rounds less and never more. Weights keep their 16 bits:
// a vector of them is widened once for a whole tile of results.
#pragma once
#include <functional>
#include <vector>

#include "passes/partition.h"

namespace rooftune::passes {

/// Whether contractions multiply activations of a 16-bit type with weights as they are.
using MultipliesAsItIs = std::function<bool(ir::DType)>;

/// The values that had better be f32. Only between groups with kernels (`has_kernel`): references take the types that the
/// model states.
std::vector<ir::ValueId> values_stored_wide(const ir::Graph& graph, const Partitioned& parts,
                                            const std::vector<bool>& has_kernel, const MultipliesAsItIs& as_it_is);

/// Puts a Cast to f32, as a group of its own, between each 16-bit input of the model and the contractions that read it.
/// Returns how many were added.
int insert_widenings(ir::Graph& graph, Partitioned& parts, const MultipliesAsItIs& as_it_is);

}  // namespace rooftune::passes
