// See rewrites.h.
#include <algorithm>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {

void drop_unit_reductions(Kernel& kernel) {
  if (std::count_if(kernel.stages.begin(), kernel.stages.end(), is_contraction) < 2) return;
  for (auto& stage : kernel.stages) {
    if (!stage.is_reduction()) continue;
    std::vector<Axis> axes;
    std::vector<Index> renamed;
    for (int a = 0; a < static_cast<int>(stage.axes.size()); ++a) {
      const auto& axis = stage.axes[static_cast<size_t>(a)];
      const bool last_one =
          a + 1 == static_cast<int>(stage.axes.size()) && static_cast<int>(axes.size()) == stage.spatial;
      if (a >= stage.spatial && axis.extent == 1 && axis.live < 0 && !last_one) {
        renamed.emplace_back(0);
        continue;
      }
      renamed.push_back(Index::variable(static_cast<int>(axes.size())));
      axes.push_back(axis);
    }
    stage.axes = axes;
    const auto rename = [&](std::vector<Index>& indices) {
      for (auto& e : indices)
        e = e.substitute(
            [&](int v) { return v < kNodeVariable ? renamed[static_cast<size_t>(v)] : Index::variable(v); });
    };
    for (auto& node : stage.nodes) rename(node.indices), rename(node.where);
    rename(stage.where);
    rename(stage.out_indices);
  }
}

}  // namespace rooftune::kernel
