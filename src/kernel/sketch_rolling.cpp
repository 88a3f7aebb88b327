// A pointwise contraction, a depthwise window and another pointwise contraction in one nest (see sketch.h): of what the
// first makes, only the rows that the window covers exist, in a rolling buffer; each row is computed once per strip. The
// first may be missing: the window then walks an input.
//
//   y:  y/strip:p y o/32 x/14 x:u o/16:u o:v
//   ua: @u.2 k x:u c/16:u c:v
//   u:  @y.1 ~y y c/32 x/14 x:u c/16:u c:v
//   da: @d.2 fy fx:u x:u c:v
//   d:  @y.1 y c/16 x/7 x:u c:v
//   pa: @y.3 c x:u o/16:u o:v
#include <algorithm>

#include "kernel/sketch.h"

namespace rooftune::kernel {
namespace {

/// Channels, rows, columns are the last three axes, before them one image.
bool is_image(const Stage& stage) {
  return stage.spatial >= 3 && !stage.scatters &&
         std::all_of(stage.axes.begin(), stage.axes.begin() + stage.spatial - 3,
                     [](const Axis& axis) { return axis.extent == 1; });
}

/// The stage before `s` in the chain: the one stage of the group whose buffer it reads.
int before(const Kernel& kernel, int s, const std::vector<int>& inside) {
  int found = -1;
  for (int i : inside)
    for (const auto& node : kernel.stages[static_cast<size_t>(s)].nodes)
      if (node.op == Op::load && node.buffer == kernel.stages[static_cast<size_t>(i)].buffer && i != found) {
        if (found >= 0) return -1;
        found = i;
      }
  return found;
}

}  // namespace

/// The stages ua, u, da, d, pa and y of such a group, or without the first two; empty where it is none.
std::vector<int> Sketch::rolling_chain(const Group& group) const {
  if (group.inside.size() != 5 && group.inside.size() != 3) return {};
  std::vector<int> chain = {group.root};
  while (chain.size() <= group.inside.size()) {
    const int s = before(kernel_, chain.back(), group.inside);
    if (s < 0 || s >= chain.back()) return {};
    chain.push_back(s);
  }
  std::reverse(chain.begin(), chain.end());
  auto stage = [&](size_t i) -> const Stage& { return kernel_.stages[static_cast<size_t>(chain[i])]; };
  const size_t window = chain.size() - 4;
  for (size_t i = 0; i < chain.size(); ++i) {
    const bool reduces = i % 2 == 0;
    if (!is_image(stage(i)) || stage(i).spatial != stage(0).spatial || stage(i).is_reduction() != reduces) return {};
    if (reduces && (!is_contraction(stage(i)) ||
                    stage(i).axes.size() - static_cast<size_t>(stage(i).spatial) != (i == window ? 2 : 1)))
      return {};
    for (const auto& axis : stage(i).axes)
      if (axis.live >= 0) return {};
    // Each reads the one before it where it is; the window around it.
    if (i == 0 || i == window) continue;
    for (const auto& node : stage(i).nodes)
      if (node.op == Op::load && node.buffer == stage(i - 1).buffer)
        for (int a : {stage(i).spatial - 2, stage(i).spatial - 1})
          if (plain_axis(node.indices[static_cast<size_t>(a)]) != a) return {};
  }
  // An input that the window walks must hold its channels side by side.
  const int channel = stage(window).spatial - 3;
  for (const auto& node : stage(window).nodes)
    if (node.op == Op::load && kernel_.buffers[static_cast<size_t>(node.buffer)].role == Role::input &&
        stride(kernel_, stage(window), node.buffer, node.indices, channel, machine_.lanes) != 1)
      return {};
  return chain;
}

void Sketch::plan_rolling(const Group& group, const std::vector<int>& chain) {
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  auto& root_plan = schedule_.stages[static_cast<size_t>(group.root)];
  const int channel = root.spatial - 3, row = channel + 1, column = channel + 2;
  const int64_t height = root.axes[static_cast<size_t>(row)].extent;
  std::vector<int64_t> legal;
  for (int64_t parts : {8, 4, 2, 1})
    if (ceil_div(height, parts) >= 1) legal.push_back(ceil_div(height, parts));
  legal.erase(std::unique(legal.begin(), legal.end()), legal.end());
  const int64_t strip = choose_(root.name + ".strip", legal, ceil_div(height, machine_.threads));
  root_plan.loops = {{row, strip, LoopKind::parallel}, {row, 1, LoopKind::serial}};
  for (size_t pair = 0; pair < chain.size() / 2; ++pair) {
    const int reduction = chain[2 * pair], map = chain[2 * pair + 1];
    const auto& stage = kernel_.stages[static_cast<size_t>(reduction)];
    auto& plan = schedule_.stages[static_cast<size_t>(map)];
    if (map != group.root) {
      plan.at_stage = group.root;
      plan.at_loop = 1;
      plan.loops = {{row, 1, LoopKind::serial}};
      // Rows of pixels of channels.
      std::vector<PhysicalAxis> axes;
      for (int a = 0; a < channel; ++a) axes.push_back({a, 1, 1});
      for (int a : {row, column, channel}) axes.push_back({a, 1, 1});
      plan.layout = Layout(axes);
      vector_dim_[kernel_.stages[static_cast<size_t>(map)].buffer] = channel;
    }
    if (chain.size() == 6 && pair == 0) plan.slide_axis = row;
    auto extent = whole(reduction);
    extent[static_cast<size_t>(row)] = 1;
    forced_vector_ = channel;
    const Tile tile = choose_tile(reduction, extent);
    forced_vector_ = -1;
    const int64_t panel = tile.vector_step(machine_.lanes);
    std::vector<Loop> outer;
    for (int a : {channel, column}) {
      int64_t step = a == tile.vector_axis ? panel : 1;
      for (const auto& [axis, rows] : tile.rows)
        if (axis == a) step = rows;
      outer.push_back({a, step, LoopKind::serial});
      extent[static_cast<size_t>(a)] = std::min(extent[static_cast<size_t>(a)], step);
    }
    plan.loops.insert(plan.loops.end(), outer.begin(), outer.end());
    auto& own = schedule_.stages[static_cast<size_t>(reduction)];
    own.at_stage = map;
    own.at_loop = static_cast<int>(plan.loops.size()) - 1;
    own.loops = inner_loops(reduction, tile, extent, stage.name);
    std::vector<Loop> order = outer;
    order.insert(order.end(), own.loops.begin(), own.loops.end());
    prepare_constants(reduction, order);
    for (const auto& [axis, rows] : tile.rows)
      if (rows > 1) plan.loops.push_back({axis, 1, LoopKind::unrolled});
    if (tile.vector_axis < 0) continue;
    if (tile.vectors > 1 && extent[static_cast<size_t>(tile.vector_axis)] > machine_.lanes)
      plan.loops.push_back({tile.vector_axis, machine_.lanes, LoopKind::unrolled});
    plan.loops.push_back({tile.vector_axis, 1, LoopKind::vector});
  }
}

}  // namespace rooftune::kernel
