#include "estimate/loop_nest.h"

#include <algorithm>
#include <cmath>

#include "kernel/analysis.h"

namespace rooftune::estimate {

using namespace kernel;

namespace {

/// Whether the stage is `root` or computed somewhere inside of it.
bool is_inside(const Schedule& schedule, int stage, int root) {
  while (stage >= 0 && stage != root) stage = schedule.stages[static_cast<size_t>(stage)].at_stage;
  return stage == root;
}

/// Own axis for each axis of the stage that `s` is computed in, found by how readers index it.
std::vector<int> axes_in(const Kernel& k, const Schedule& schedule, int s, int root) {
  std::vector<int> of_root(k.stages[static_cast<size_t>(root)].axes.size(), -1);
  if (s == root) {
    for (size_t a = 0; a < of_root.size(); ++a) of_root[a] = static_cast<int>(a);
    return of_root;
  }
  const int buffer = k.stages[static_cast<size_t>(s)].buffer;
  for (int r : readers(k, buffer)) {
    if (!is_inside(schedule, r, root)) continue;
    const auto reader = axes_in(k, schedule, r, root);
    for (const auto& node : k.stages[static_cast<size_t>(r)].nodes) {
      if (node.op != Op::load || node.buffer != buffer) continue;
      for (size_t d = 0; d < node.indices.size(); ++d) {
        const auto axis = plain_axis(node.indices[d]);
        if (!axis || d >= k.stages[static_cast<size_t>(s)].axes.size()) continue;
        for (size_t a = 0; a < of_root.size(); ++a)
          if (reader[a] == *axis) of_root[a] = static_cast<int>(d);
      }
    }
    break;
  }
  return of_root;
}

/// How far an index reaches over a region of the stage's axes.
double span(const Index& index, const std::vector<int64_t>& region) {
  double elements = 1;
  for (size_t a = 0; a < region.size(); ++a) {
    const auto coefficient = index.coefficient(static_cast<int>(a));
    if (coefficient != 0) elements += static_cast<double>(std::abs(coefficient) * (region[a] - 1));
    else if (index.appears_inside(static_cast<int>(a))) elements *= static_cast<double>(region[a]);
  }
  return elements;
}

/// What stages inside of `root` need of stage `s` for a region of the root.
std::vector<int64_t> needed(const Kernel& k, const Schedule& schedule, int s, int root,
                            const std::vector<int64_t>& of_root) {
  if (s == root) return of_root;
  const auto& stage = k.stages[static_cast<size_t>(s)];
  std::vector<int64_t> region(stage.axes.size(), 1);
  for (size_t a = static_cast<size_t>(stage.spatial); a < region.size(); ++a) region[a] = stage.axes[a].extent;
  for (int r : readers(k, stage.buffer)) {
    if (!is_inside(schedule, r, root)) continue;
    const auto reads = needed(k, schedule, r, root, of_root);
    for (const auto& node : k.stages[static_cast<size_t>(r)].nodes) {
      if (node.op != Op::load || node.buffer != stage.buffer) continue;
      for (size_t d = 0; d < node.indices.size() && d < static_cast<size_t>(stage.spatial); ++d)
        region[d] =
            std::max(region[d], std::min(stage.axes[d].extent, static_cast<int64_t>(span(node.indices[d], reads))));
    }
  }
  return region;
}

void walk(const std::vector<Loop>& loops, size_t count, const std::vector<int>& own, std::vector<int64_t>& root_left,
          std::vector<int64_t>& left, Nest& nest) {
  for (size_t i = 0; i < count && i < loops.size(); ++i) {
    const auto& loop = loops[i];
    auto& rest = root_left[static_cast<size_t>(loop.axis)];
    const int axis = own[static_cast<size_t>(loop.axis)];
    if (loop.kind == LoopKind::dot || loop.kind == LoopKind::tile) {  // a part of the instruction
      nest.tile = loop.kind == LoopKind::tile;
      if (axis < 0) continue;
      nest.dots[static_cast<size_t>(axis)] = left[static_cast<size_t>(axis)];
      left[static_cast<size_t>(axis)] = 1;
      continue;
    }
    nest.region.push_back(left);
    nest.loops.push_back({axis, std::max<int64_t>(1, (rest + loop.step - 1) / loop.step), loop.step, loop.kind});
    rest = std::min(rest, loop.step);
    if (axis >= 0) left[static_cast<size_t>(axis)] = std::min(left[static_cast<size_t>(axis)], loop.step);
  }
}

}  // namespace

Nest nest_of(const Kernel& k, const Schedule& schedule, int s) {
  const auto& stage = k.stages[static_cast<size_t>(s)];
  const auto& plan = schedule.stages[static_cast<size_t>(s)];
  Nest nest;
  nest.dots.assign(stage.axes.size(), 1);
  std::vector<int64_t> left;
  for (const auto& axis : stage.axes) left.push_back(axis.extent);
  nest.extent = left;
  if (plan.at_stage >= 0) {
    const Nest root = nest_of(k, schedule, plan.at_stage);
    const auto own = axes_in(k, schedule, s, plan.at_stage);
    nest.outside = std::min(root.loops.size(), root.outside + static_cast<size_t>(plan.at_loop) + 1);
    const auto& of_root = root.region[nest.outside];
    left = needed(k, schedule, s, plan.at_stage, of_root);
    // Of what slides along the loop around it only the part is computed that the turn before did not need.
    const auto& around = schedule.stages[static_cast<size_t>(plan.at_stage)].loops;
    if (plan.slide_axis >= 0 && static_cast<size_t>(plan.at_loop) < around.size()) {
      auto longer = of_root;
      auto& walked = longer[static_cast<size_t>(around[static_cast<size_t>(plan.at_loop)].axis)];
      walked *= 2;
      const auto a = static_cast<size_t>(plan.slide_axis);
      const int64_t added = needed(k, schedule, s, plan.at_stage, longer)[a] - left[a];
      if (added > 0) left[a] = std::min(left[a], added);
    }
    std::vector<int> from(left.size(), -1);  // the root's axis
    for (size_t a = 0; a < own.size(); ++a)
      if (own[a] >= 0) from[static_cast<size_t>(own[a])] = static_cast<int>(a);
    for (size_t a = 0; a < left.size(); ++a)
      nest.extent[a] = from[a] < 0 ? left[a] : std::min(nest.extent[a], root.extent[static_cast<size_t>(from[a])]);
    for (size_t i = 0; i < nest.outside; ++i) {
      auto loop = root.loops[i];
      loop.axis = loop.axis < 0 ? -1 : own[static_cast<size_t>(loop.axis)];
      nest.loops.push_back(loop);
      auto region = left;
      for (size_t a = 0; a < left.size(); ++a)
        if (from[a] >= 0) region[a] = std::min(nest.extent[a], root.region[i][static_cast<size_t>(from[a])]);
      nest.region.push_back(std::move(region));
    }
  }
  std::vector<int> own(stage.axes.size());
  for (size_t a = 0; a < own.size(); ++a) own[a] = static_cast<int>(a);
  auto again = left;
  walk(plan.loops, plan.loops.size(), own, again, left, nest);
  nest.region.push_back(left);
  return nest;
}

double footprint(const Kernel& k, const ExprNode& node, const std::vector<int64_t>& region) {
  const auto& buffer = k.buffers[static_cast<size_t>(node.buffer)];
  double elements = 1, points = 1;
  for (size_t d = 0; d < node.indices.size(); ++d)
    elements *= std::min(span(node.indices[d], region), static_cast<double>(buffer.shape[d]));
  for (size_t a = 0; a < region.size(); ++a)
    if (uses(node, static_cast<int>(a))) points *= static_cast<double>(region[a]);
  // A point reads one element: where an axis stands in several indices (pixels as y and x) spans say too much.
  return std::min(elements, points) * static_cast<double>(ir::byte_size(buffer.dtype, 1));
}

bool uses(const ExprNode& node, int axis) {
  return axis >= 0 &&
         std::any_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(axis); });
}

std::vector<const ExprNode*> operands(const Kernel& k, const Stage& stage) {
  std::vector<int64_t> whole;
  for (const auto& axis : stage.axes) whole.push_back(axis.extent);
  std::vector<const ExprNode*> result;
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load) continue;
    const auto same =
        std::find_if(result.begin(), result.end(), [&](const auto* n) { return n->buffer == node.buffer; });
    if (same == result.end()) result.push_back(&node);
    else if (footprint(k, node, whole) > footprint(k, **same, whole)) *same = &node;
  }
  return result;
}

size_t fitting_loop(const Kernel& k, const std::vector<const ExprNode*>& loads, const Nest& nest, double capacity) {
  for (size_t d = 0; d < nest.loops.size(); ++d) {
    double total = 0;
    for (const auto* load : loads) total += footprint(k, *load, nest.region[d]);
    if (total <= capacity) return d;
  }
  return nest.loops.size();
}

double traffic(const Kernel& k, const ExprNode& load, const Nest& nest, size_t fits) {
  double bytes = footprint(k, load, nest.region[fits]);
  bool adjacent = true;  // the loop directly around what fits: an operand that it does not touch stays
  for (size_t d = fits; d-- > 0;) {
    const auto& loop = nest.loops[d];
    const bool stays = adjacent && !uses(load, loop.axis);
    if (!stays) bytes *= static_cast<double>(loop.turns), adjacent = false;
  }
  return bytes;
}

double traffic(const Kernel& k, const Stage& stage, const Nest& nest, double capacity) {
  const auto loads = operands(k, stage);
  const size_t fits = fitting_loop(k, loads, nest, capacity);
  double bytes = 0;
  for (const auto* load : loads) bytes += traffic(k, *load, nest, fits);
  return bytes;
}

}  // namespace rooftune::estimate
