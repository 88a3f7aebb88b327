// See rewrites.h.
#include <algorithm>
#include <optional>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

constexpr int64_t kWorthwhile = 8;  // how often an element must be used for a copy of it to pay

/// The node of `stage` that ought to be packed along `axis`; -1 where vectors along it need no packing or cannot be had.
int operand_to_pack(const Kernel& kernel, const Stage& stage, int axis, const Machine& machine) {
  int found = -1;
  for (size_t n = 0; n < stage.nodes.size(); ++n) {
    const auto& node = stage.nodes[n];
    if (node.op != Op::load) continue;
    if (std::none_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(axis); })) continue;
    const auto& buffer = kernel.buffers[static_cast<size_t>(node.buffer)];
    if (buffer.role == Role::constant) return -1;  // the schedule packs constants
    if (!node.where.empty()) return -1;
    const auto step = stride(kernel, stage, node.buffer, node.indices, axis, machine.lanes);
    if (buffer.role == Role::temporary || (step && *step == 1)) return -1;
    if (found >= 0) return -1;
    found = static_cast<int>(n);
  }
  return found;
}

/// Distance in memory between neighbours of a result along `axis`, where they end up: a temporary whose only reader is an
/// element-wise map over the same axes has no place of its own. Empty: not a constant distance.
std::optional<int64_t> final_stride(const Kernel& kernel, int s, int axis, const Machine& machine) {
  for (;;) {
    const auto& stage = kernel.stages[static_cast<size_t>(s)];
    const auto from = readers(kernel, stage.buffer);
    const bool passes_on = kernel.buffers[static_cast<size_t>(stage.buffer)].role == Role::temporary &&
                           writes_identity(kernel, stage) && from.size() == 1 &&
                           !kernel.stages[static_cast<size_t>(from[0])].is_reduction();
    if (!passes_on || !reads_identity(kernel, kernel.stages[static_cast<size_t>(from[0])], stage.buffer))
      return stride(kernel, stage, stage.buffer, stage.out_indices, axis, machine.lanes);
    s = from[0];
  }
}

/// Whether the result goes, perhaps through maps, to a depthwise window: a product channel by channel, along which vectors
/// then lie.
bool feeds_window(const Kernel& kernel, int s) {
  for (;;) {
    const auto from = readers(kernel, kernel.stages[static_cast<size_t>(s)].buffer);
    if (from.size() != 1) return false;
    const auto& reader = kernel.stages[static_cast<size_t>(from[0])];
    s = from[0];
    if (!reader.is_reduction()) continue;
    const int channel = reader.spatial - 3;
    return channel >= 0 && is_contraction(reader) &&
           std::all_of(reader.nodes.begin(), reader.nodes.end(), [&](const ExprNode& node) {
             return node.op != Op::load || std::any_of(node.indices.begin(), node.indices.end(),
                                                       [&](const Index& e) { return plain_axis(e) == channel; });
           });
  }
}

}  // namespace

void pack_operands(Kernel& kernel, const Machine& machine) {
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const Stage stage = kernel.stages[s];
    if (!is_contraction(stage) || stage.spatial == 0 || !stage.where.empty()) continue;
    const int axis = stage.spatial - 1;
    // Vectors along the last axis only where results can be stored so.
    const auto store = final_stride(kernel, static_cast<int>(s), axis, machine);
    if (!store || *store != 1) continue;
    if (stage.axes[static_cast<size_t>(axis)].extent < machine.lanes / 2) continue;
    if (feeds_window(kernel, static_cast<int>(s))) continue;
    const int n = operand_to_pack(kernel, stage, axis, machine);
    if (n < 0) continue;
    const auto& node = stage.nodes[static_cast<size_t>(n)];
    // The axes the operand depends on, the vector axis last; the others are how often it is used.
    std::vector<int> used;
    int64_t uses = 1;
    for (int a = 0; a < static_cast<int>(stage.axes.size()); ++a) {
      const bool depends =
          std::any_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(a); });
      if (!depends) uses *= stage.axes[static_cast<size_t>(a)].extent;
      else if (a != axis) used.push_back(a);
    }
    if (uses < kWorthwhile) continue;
    used.push_back(axis);
    Stage copy;
    copy.name = "pack_" + kernel.buffers[static_cast<size_t>(node.buffer)].name;
    std::vector<int64_t> shape;
    for (int a : used) {
      copy.axes.push_back(stage.axes[static_cast<size_t>(a)]);
      shape.push_back(copy.axes.back().extent);
    }
    copy.spatial = static_cast<int>(used.size());
    copy.buffer =
        kernel.add_buffer(copy.name, kernel.buffers[static_cast<size_t>(node.buffer)].dtype, shape, Role::temporary);
    ExprNode load = node;
    std::vector<Index> at;
    for (auto& e : load.indices)
      e = e.substitute([&](int v) {
        if (v >= kParameterVariable) return Index::variable(v);
        const auto place = std::find(used.begin(), used.end(), v);
        return Index::variable(static_cast<int>(place - used.begin()));
      });
    copy.nodes.push_back(load);
    for (int a = 0; a < copy.spatial; ++a) copy.out_indices.push_back(Index::variable(a));
    auto& read = kernel.stages[s].nodes[static_cast<size_t>(n)];
    read.buffer = copy.buffer;
    read.indices.clear();
    for (int a : used) read.indices.push_back(Index::variable(a));
    kernel.stages.insert(kernel.stages.begin() + static_cast<std::ptrdiff_t>(s), copy);
    ++s;
  }
}

}  // namespace rooftune::kernel
