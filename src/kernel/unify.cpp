#include "kernel/unify.h"

#include <algorithm>

#include "base/error.h"

namespace rooftune::kernel {
namespace {

/// The order of a layout, without its extents.
std::vector<std::pair<int, int64_t>> order_of(const Layout& layout) {
  std::vector<std::pair<int, int64_t>> order;
  for (const auto& axis : layout.axes()) order.emplace_back(axis.dim, axis.divisor);
  return order;
}

bool same_buffer(const Buffer& a, const Buffer& b) {
  return a.dtype == b.dtype && a.role == b.role && a.shape.size() == b.shape.size() &&
         order_of(a.layout) == order_of(b.layout);
}

/// What differs between two stages beside their axes' extents.
std::string difference(const Stage& a, const Stage& b) {
  if (a.axes.size() != b.axes.size() || a.spatial != b.spatial || a.reduction != b.reduction ||
      a.scatters != b.scatters || a.buffer != b.buffer)
    return "its axes";
  if (!(a.out_indices == b.out_indices)) return "where it writes";
  if (!(a.where == b.where)) return "the points that it skips";
  if (a.nodes.size() != b.nodes.size()) return "its expression";
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    const ExprNode &x = a.nodes[i], &y = b.nodes[i];
    if (x.op != y.op || x.type != y.type || x.a != y.a || x.b != y.b || x.c != y.c || x.buffer != y.buffer)
      return "its expression";
    if (x.value != y.value && !(x.value != x.value && y.value != y.value)) return "a constant";
    if (!(x.where == y.where)) return "the edges of what it reads";
    if (!(x.indices == y.indices)) return "where it reads";
  }
  return "";
}

}  // namespace

std::string unify(Kernel& kernel, const std::vector<const Kernel*>& twins, const Solve& solve) {
  for (const Kernel* twin : twins) {
    if (twin->stages.size() != kernel.stages.size() || twin->buffers.size() != kernel.buffers.size())
      return "the number of its stages depends on the size";
    for (size_t b = 0; b < kernel.buffers.size(); ++b)
      if (!same_buffer(kernel.buffers[b], twin->buffers[b]))
        return fmt::format("how '{}' is stored depends on the size", kernel.buffers[b].name);
    for (size_t s = 0; s < kernel.stages.size(); ++s)
      if (const auto what = difference(kernel.stages[s], twin->stages[s]); !what.empty())
        return fmt::format("stage {}: {} depends on the size", kernel.stages[s].name, what);
  }
  Kernel unified = kernel;
  for (size_t s = 0; s < unified.stages.size(); ++s) {
    auto& stage = unified.stages[s];
    for (size_t a = 0; a < stage.axes.size(); ++a) {
      std::vector<int64_t> extents = {stage.axes[a].extent};
      for (const Kernel* twin : twins) extents.push_back(twin->stages[s].axes[a].extent);
      const auto dim = solve(extents);
      if (!dim)
        return fmt::format("stage {}: axis {} has extents {}, which follow from no dimension", stage.name,
                           stage.axes[a].name, fmt::join(extents, ", "));
      if (dim->is_static()) continue;
      if (dim->max() > stage.axes[a].extent)
        return fmt::format("stage {}: axis {} is not longest at the largest size", stage.name, stage.axes[a].name);
      stage.axes[a].live = unified.parameter(*dim);
    }
  }
  kernel = std::move(unified);
  return "";
}

}  // namespace rooftune::kernel
