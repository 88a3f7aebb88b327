// One group of a partition as one Kernel: the lowerings of its nodes strung together, inputs and outputs in the layouts
// that were chosen for them.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "kernel/kernel.h"

namespace rooftune::passes {

struct LoweredGroup {
  kernel::Kernel kernel;
  std::vector<ir::ValueId> values;  // per buffer the graph's value, kNone for temporaries
};

using Layouts = std::map<ir::ValueId, kernel::Layout>;  // values that are not row-major

/// The group's kernel; nullopt (and the reason in `why`) where a node has no lowering for these types and attributes.
/// The group then runs by its reference.
std::optional<LoweredGroup> lower_group(const ir::Graph& graph, const ir::Group& group, const Layouts& layouts,
                                        std::string& why);

}  // namespace rooftune::passes
