// See rewrites.h.
#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

int64_t points(const Stage& stage) {
  int64_t n = 1;
  for (int a = 0; a < stage.spatial; ++a) n *= stage.axes[static_cast<size_t>(a)].extent;
  return n;
}

/// Whether `map` walks all of `buffer` in order and reads it nowhere else than where it is.
bool reads_in_order(const Kernel& kernel, const Stage& map, int buffer) {
  const auto& shape = kernel.buffers[static_cast<size_t>(buffer)].shape;
  if (map.is_reduction() || !map.where.empty() || map.axes.size() != shape.size()) return false;
  for (size_t d = 0; d < shape.size(); ++d)
    if (map.axes[d].extent != shape[d]) return false;
  for (const auto& node : map.nodes)
    if (node.op == Op::load && node.buffer == buffer && !node.where.empty()) return false;
  return reads_identity(kernel, map, buffer);
}

}  // namespace

void write_through_maps(Kernel& kernel) {
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    auto& stage = kernel.stages[s];
    const int buffer = stage.buffer;
    if (kernel.buffers[static_cast<size_t>(buffer)].role != Role::temporary || !stage.is_reduction()) continue;
    if (writes_identity(kernel, stage) || !stage.where.empty() || writers(kernel, buffer).size() != 1) continue;
    const auto from = readers(kernel, buffer);
    if (from.size() != 1) continue;
    auto& map = kernel.stages[static_cast<size_t>(from[0])];
    int64_t elements = 1;
    for (int64_t extent : kernel.buffers[static_cast<size_t>(buffer)].shape) elements *= extent;
    // As many points as elements, each written once: the write only reorders.
    if (points(stage) != elements || !reads_in_order(kernel, map, buffer)) continue;

    std::vector<int64_t> shape;
    std::vector<Index> in_order;
    for (int a = 0; a < stage.spatial; ++a) {
      shape.push_back(stage.axes[static_cast<size_t>(a)].extent);
      in_order.push_back(Index::variable(a));
    }
    const auto written = stage.out_indices;
    auto moved = [&](const Index& e) {
      return e.substitute(
          [&](int v) { return v < kNodeVariable ? written[static_cast<size_t>(v)] : Index::variable(v); });
    };
    for (auto& node : map.nodes) {
      if (node.op == Op::load && node.buffer == buffer) {
        node.indices = in_order;
        continue;
      }
      for (auto& e : node.indices) e = moved(e);
      for (auto& e : node.where) e = moved(e);
    }
    for (auto& e : map.out_indices) e = moved(e);
    map.axes.assign(stage.axes.begin(), stage.axes.begin() + stage.spatial);
    map.spatial = stage.spatial;
    stage.out_indices = in_order;
    kernel.buffers[static_cast<size_t>(buffer)].shape = shape;
    kernel.buffers[static_cast<size_t>(buffer)].layout = Layout::row_major(shape);
  }
}

}  // namespace rooftune::kernel
