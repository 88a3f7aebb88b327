// Models with free dimensions: bounded symbols in the shapes of inputs (--dim batch=1..8). They are compiled once for all
// sizes (tune/sizes.h) and checked at the sizes where something special could happen.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "pipeline/host.h"
#include "tune/workload.h"

namespace rooftune::pipeline {

/// Static, or free within bounds.
bool is_bounded(const ir::Type& type);
bool has_free_dims(const ir::Graph& graph);
/// The graph with its free dimensions at their largest.
ir::Graph at_largest(const ir::Graph& graph);
/// What tensors that are given as its inputs (empty ones are not) say of free dimensions.
tune::Size sizes_of(const ir::Graph& graph, const std::vector<ir::Tensor>& inputs);
/// Sizes at which a model may do something else than at large ones, since a one broadcasts and is squeezed away: all
/// dimensions at their smallest, and each alone; and one in the middle.
std::vector<tune::Size> special_sizes(const ir::Graph& graph);

/// "batch=1, seq=16"
std::string to_string(const tune::Size& size);

/// The tasks of a model, whose dimensions may be free within bounds, after `passes` (run at several sizes where they are).
/// InputError where what depends on a free dimension is not understood.
tune::Workload workload_of(const ir::Graph& graph, const std::function<void(ir::Graph&)>& passes,
                           const HostTarget& target, bool fuse = true);

/// InputError naming the size, of the special ones, at which the program, compiled for all sizes, does not give what the
/// graph gives, or gives something where the graph refuses the size.
void check_special_sizes(const ir::Graph& graph, const runtime::Program& program, int threads);

}  // namespace rooftune::pipeline
