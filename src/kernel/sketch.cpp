#include "kernel/sketch.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "kernel/nodes.h"
#include "kernel/register_tile.h"

namespace rooftune::kernel {

Sketch::Sketch(const Kernel& kernel, const Machine& machine, Choose choose)
    : kernel_(kernel), machine_(machine), choose_(std::move(choose)) {}

std::vector<int64_t> Sketch::whole(int stage) const {
  std::vector<int64_t> extent;
  for (const auto& axis : kernel_.stages[static_cast<size_t>(stage)].axes) extent.push_back(axis.extent);
  return extent;
}

Schedule Sketch::make() {
  schedule_ = {};
  schedule_.stages.resize(kernel_.stages.size());
  const auto groups = find_groups();
  for (const auto& group : groups)
    for (int s : group.inside) inside_.insert(kernel_.stages[static_cast<size_t>(s)].buffer);
  for (const auto& group : groups) plan_group(group);
  return std::move(schedule_);
}

// ---------------------------------------------------------------------------------------------------------- groups

std::vector<Sketch::Group> Sketch::find_groups() {
  const size_t n = kernel_.stages.size();
  std::vector<int> root(n, -1);
  std::vector<bool> forced(n, false);
  for (size_t s = 0; s < n; ++s) {  // what goes into words of blocks is computed before, once
    const int total = adds_words_of(static_cast<int>(s));
    if (total < 0) continue;
    for (const Stage* reader : {&kernel_.stages[s], &kernel_.stages[static_cast<size_t>(total)]})
      for (const auto& node : reader->nodes)
        if (node.op == Op::load && node.buffer != kernel_.stages[s].buffer)
          for (int w : writers(kernel_, node.buffer)) forced[static_cast<size_t>(w)] = true;
  }
  for (;;) {
    std::map<int, Group> groups;
    for (size_t s = n; s-- > 0;) {
      const auto& stage = kernel_.stages[s];
      const auto& buffer = kernel_.buffers[static_cast<size_t>(stage.buffer)];
      std::set<int> roots;
      for (int r : readers(kernel_, stage.buffer)) roots.insert(root[static_cast<size_t>(r)]);
      const bool inside = !forced[s] && buffer.role == Role::temporary && roots.size() == 1 && *roots.begin() >= 0 &&
                          !kernel_.stages[static_cast<size_t>(*roots.begin())].scatters &&
                          writes_identity(kernel_, stage) && writers(kernel_, stage.buffer).size() == 1 &&
                          !reads_only_constants(kernel_, stage);
      root[s] = inside ? *roots.begin() : static_cast<int>(s);
      auto& group = groups[root[s]];
      group.root = root[s];
      if (inside) group.inside.insert(group.inside.begin(), static_cast<int>(s));
    }
    // A map that needs nothing of the group and keeps the others from sharing an axis (a packed operand) becomes a root.
    // A group whose stages share no axis otherwise falls apart: its last inner stage becomes one, and the rest is looked at
    // again.
    bool again = false;
    for (auto& [r, group] : groups) {
      if (group.inside.empty() || !rolling_chain(group).empty()) continue;
      const bool share = share_axes(group);
      Group rest = group;  // without all such maps
      std::vector<int> maps;
      std::erase_if(rest.inside, [&](int s) {
        const bool map = !kernel_.stages[static_cast<size_t>(s)].is_reduction() && !reads_any_of(s, group.inside);
        if (map) maps.push_back(s);
        return map;
      });
      if (!maps.empty() && share_axes(rest) && rest.shared.size() > group.shared.size()) {
        for (int s : maps) {
          Group with = rest;
          with.inside.insert(std::upper_bound(with.inside.begin(), with.inside.end(), s), s);
          (void)share_axes(with);
          if (with.shared.size() < rest.shared.size()) forced[static_cast<size_t>(s)] = again = true;
        }
      }
      if (!share && !again) forced[static_cast<size_t>(group.inside.back())] = again = true;
    }
    if (again) continue;
    std::vector<Group> result;
    for (auto& [r, group] : groups) result.push_back(std::move(group));
    return result;
  }
}

bool Sketch::reads_any_of(int stage, const std::vector<int>& others) const {
  for (const auto& node : kernel_.stages[static_cast<size_t>(stage)].nodes)
    for (int o : others)
      if (node.op == Op::load && node.buffer == kernel_.stages[static_cast<size_t>(o)].buffer) return true;
  return false;
}

/// Finds the axes of the root that every inner stage is read along one to one. False where there is none.
bool Sketch::share_axes(Group& group) const {
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  std::map<int, std::vector<int>> map;  // stage → for each root axis its own axis, or -1
  auto& own = map[group.root];
  for (int a = 0; a < static_cast<int>(root.axes.size()); ++a) own.push_back(a < root.spatial ? a : -1);
  for (size_t i = group.inside.size(); i-- > 0;) {
    const int s = group.inside[i];
    const int buffer = kernel_.stages[static_cast<size_t>(s)].buffer;
    std::vector<int> mine(own.size(), -2);  // -2: no reader seen yet
    for (int r : readers(kernel_, buffer)) {
      const auto& reader_map = map[r];
      for (const auto& node : kernel_.stages[static_cast<size_t>(r)].nodes) {
        if (node.op != Op::load || node.buffer != buffer) continue;
        for (size_t a = 0; a < mine.size(); ++a) {
          int found = -1;
          for (size_t d = 0; d < node.indices.size(); ++d) {
            const auto axis = plain_axis(node.indices[d]);
            if (axis && reader_map[a] == *axis) found = static_cast<int>(d);
          }
          mine[a] = mine[a] == -2 || mine[a] == found ? found : -1;
        }
      }
    }
    map[s] = mine;
  }
  group.shared.clear();
  for (int a = 0; a < root.spatial; ++a) {
    bool all = true;
    for (int s : group.inside) all = all && map[s][static_cast<size_t>(a)] >= 0;
    if (all) group.shared.push_back(a);
  }
  group.axis_of.clear();
  for (int s : group.inside) {
    std::vector<int> axes;
    for (int a : group.shared) axes.push_back(map[s][static_cast<size_t>(a)]);
    group.axis_of.push_back(axes);
  }
  return !group.shared.empty();
}

void Sketch::plan_group(const Group& group) {
  if (kernel_.stages[static_cast<size_t>(group.root)].scatters) return plan_scatter(group.root);
  if (const auto chain = rolling_chain(group); !chain.empty()) return plan_rolling(group, chain);
  for (int s : group.inside)
    if (adds_words_of(s) >= 0 && plan_words(group, s)) return;
  int reductions = 0;
  int last = -1;
  bool all_shared = true;
  const auto& group_axes = kernel_.stages[static_cast<size_t>(group.root)].axes;
  const auto long_shared = std::count_if(group.shared.begin(), group.shared.end(),
                                         [&](int a) { return group_axes[static_cast<size_t>(a)].extent > 1; });
  auto long_axes = [](const Stage& stage) {  // axes of one element need no sharing
    return std::count_if(stage.axes.begin(), stage.axes.begin() + stage.spatial,
                         [](const Axis& axis) { return axis.extent > 1; });
  };
  for (size_t i = 0; i < group.inside.size(); ++i) {
    const auto& stage = kernel_.stages[static_cast<size_t>(group.inside[i])];
    if (stage.is_reduction()) ++reductions, last = group.inside[i];
    all_shared = all_shared && long_axes(stage) == long_shared;
  }
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  if (root.is_reduction()) ++reductions, last = group.root;
  all_shared = all_shared && long_axes(root) == long_shared;
  if (group.inside.empty() || (reductions == 1 && last != group.root && all_shared)) {
    bool reduces = false;
    const int stage = last < 0 ? group.root : last;
    (void)vector_axis(stage, whole(stage), &reduces);
    if (!reduces || group.inside.empty()) {
      const int64_t depth = last < 0 ? 0 : choose_depth(stage);
      return depth > 0 ? plan_in_blocks(group, stage, depth) : plan_register_tile(group, stage);
    }
  }
  plan_strip(group);
}

// ------------------------------------------------------------------------------------------------------------ plans

/// How much of a long product of matrices with constant weights is summed up at a time, so that the rows' part stays in
/// the second-level cache beside two panels of weights; 0: all of it.
int64_t Sketch::choose_depth(int s) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (!is_contraction(stage)) return 0;
  std::vector<int> longer;
  for (int a = 0; a < static_cast<int>(stage.axes.size()); ++a)
    if (stage.axes[static_cast<size_t>(a)].extent > 1) longer.push_back(a);
  if (longer.size() != 3 || longer[1] >= stage.spatial || longer[2] < stage.spatial) return 0;
  bool reduces = false;
  const int vector = vector_axis(s, whole(s), &reduces);
  const int row = vector == longer[0] ? longer[1] : longer[0];
  if (reduces || vector < 0 || vector_constant(stage, vector) < 0) return 0;
  for (int a : {row, vector, longer[2]})
    if (stage.axes[static_cast<size_t>(a)].live >= 0) return 0;
  const int64_t rows = stage.axes[static_cast<size_t>(row)].extent,
                depth = stage.axes[static_cast<size_t>(longer[2])].extent;
  constexpr int64_t kLeastRows = 32, kLeastDepth = 256, kPanels = 2 * 48;
  std::vector<int64_t> legal = {0};
  for (int64_t parts : {16, 12, 8, 6, 4, 3, 2})
    if (depth % (parts * machine_.lanes) == 0 && depth / parts >= kLeastDepth) legal.push_back(depth / parts);
  if (rows < kLeastRows || legal.size() == 1) return 0;
  const auto& weights = kernel_.buffers[static_cast<size_t>(vector_constant(stage, vector))];
  const int64_t bytes = (rows + kPanels) * static_cast<int64_t>(ir::byte_size(weights.dtype, 1));  // of one step
  int64_t start = 0;
  if (bytes * depth > machine_.l2 * 5 / 4)
    for (int64_t d : legal)
      if (d > 0 && (start == 0 || bytes * d <= machine_.l2 / 2)) start = d;
  return choose_(stage.name + ".depth", legal, start);
}

/// The reduction is a nest of its own, whose blocks add to what lies in memory; the maps around it follow.
void Sketch::plan_in_blocks(const Group& group, int reduction, int64_t depth) {
  depth_ = depth;
  inside_.erase(kernel_.stages[static_cast<size_t>(reduction)].buffer);
  plan_register_tile({.root = reduction, .inside = {}, .shared = {}, .axis_of = {}}, reduction);
  depth_ = 0;
  if (reduction == group.root) return;
  Group rest = group;
  const auto at = std::find(rest.inside.begin(), rest.inside.end(), reduction) - rest.inside.begin();
  rest.inside.erase(rest.inside.begin() + at);
  rest.axis_of.erase(rest.axis_of.begin() + at);
  plan_group(rest);
}

/// One reduction (or map) with its maps around it: the tile over the shared axes is the register tile.
void Sketch::plan_register_tile(const Group& group, int reduction) {
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  const auto& stage = kernel_.stages[static_cast<size_t>(reduction)];
  const Tile tile = choose_tile(reduction, whole(reduction));
  const std::vector<int> root_axis = root_axes(group, reduction);
  const int64_t panel = tile.vector_step(machine_.lanes);
  struct Outer {
    int axis;
    int64_t step;
  };
  std::vector<Outer> others, rows;
  std::vector<Outer> vector;
  const bool vector_here = tile.vector_axis >= 0 && !tile.vector_reduces;
  auto extent_of = [&](int a) { return stage.axes[static_cast<size_t>(a)].extent; };
  for (int a = 0; a < stage.spatial; ++a) {
    const bool in_rows = std::any_of(tile.rows.begin(), tile.rows.end(), [&](const auto& r) { return r.first == a; });
    if (a != tile.vector_axis && !in_rows && extent_of(a) > 1) others.push_back({a, 1});
  }
  for (const auto& [axis, n] : tile.rows)
    if (extent_of(axis) > n) rows.push_back({axis, n});
  if (vector_here && extent_of(tile.vector_axis) > panel) vector.push_back({tile.vector_axis, panel});
  // Order of tiles: weights stay (vectors outermost), or rows stay (vectors innermost), or in between.
  std::vector<Outer> outer;
  std::vector<Outer> within_panel;       // loops inside of that over panels
  std::optional<size_t> parallel_loops;  // where not all outer ones can be
  if (stage.is_reduction()) {
    // Axes that no vector operand depends on go inside the panel loop: the panel is reused over them.
    std::vector<Outer> batch, inside;
    const auto sharing = tile.vector_axis >= 0 ? row_axes(stage, tile.vector_axis) : std::vector<int>{};
    for (const auto& o : others)
      (std::find(sharing.begin(), sharing.end(), o.axis) != sharing.end() ? inside : batch).push_back(o);
    const int64_t order = depth_ > 0 ? 0 : choose_(stage.name + ".order", {0, 1, 2}, cheaper_order(reduction, tile));
    outer = batch;
    auto append = [&](const std::vector<Outer>& more) { outer.insert(outer.end(), more.begin(), more.end()); };
    const bool blockable = order == 0 && depth_ == 0 && inside.empty() && rows.size() == 1 && !vector.empty();
    if (depth_ > 0) {
      const int64_t share = ceil_div(ceil_div(extent_of(tile.vector_axis), panel), machine_.threads) * panel;
      if (machine_.threads > 1 && share < extent_of(tile.vector_axis)) outer.push_back({tile.vector_axis, share});
      parallel_loops = outer.size();
      int summed = stage.spatial;
      while (extent_of(summed) == 1) ++summed;
      outer.push_back({summed, depth_});
    }
    if (blockable) {
      const int64_t tiles = ceil_div(extent_of(rows[0].axis), rows[0].step);
      const auto legal = up_to({0, 4, 8, 16, 32}, tiles - 1);
      const int64_t block = choose_(stage.name + ".block", legal[0] == 0 ? legal : std::vector<int64_t>{0}, 0);
      if (block > 0) outer.push_back({rows[0].axis, rows[0].step * block});
    }
    if (order == 0) {
      append(vector), append(inside), append(rows);
      if (!vector.empty()) within_panel = inside, within_panel.insert(within_panel.end(), rows.begin(), rows.end());
    }
    if (order == 1) append(inside), append(rows), append(vector);
    if (order == 2) append(inside), append(vector), append(rows);
  } else {
    outer = others;
    outer.insert(outer.end(), vector.begin(), vector.end());
  }
  auto& root_plan = schedule_.stages[static_cast<size_t>(group.root)];
  std::vector<int64_t> tile_extent = whole(reduction);
  std::vector<Loop> order;  // on the reduction's axes, for packing
  for (const auto& o : outer) {
    root_plan.loops.push_back({root_axis[static_cast<size_t>(o.axis)], o.step, LoopKind::serial});
    order.push_back({o.axis, o.step, LoopKind::serial});
    tile_extent[static_cast<size_t>(o.axis)] = o.step;
  }
  if (outer.empty() && !group.inside.empty()) {  // the tile is everything: one turn of a loop to compute the others in
    const int a = group.shared[0];
    root_plan.loops.push_back({a, std::max<int64_t>(1, root.axes[static_cast<size_t>(a)].extent), LoopKind::serial});
  }
  const size_t outer_loops = std::max(outer.size(), root_plan.loops.size());
  // The rows of the next tile are asked for while this one is computed.
  const int streamed = streamed_operand(reduction, tile);
  const auto moving =
      std::find_if(outer.rbegin(), outer.rend(), [&](const Outer& o) { return o.axis != tile.vector_axis; });
  const bool can_ask = streamed >= 0 && moving != outer.rend();
  const bool ahead = can_ask && choose_(stage.name + ".ahead", {0, 1}, 0) != 0;
  // The next panel of weights is asked for by the turns of this one, evenly: else the first of each panel wait for it.
  const int weights =
      within_panel.empty() || !broadcasts(stage, tile.vector_axis) ? -1 : vector_constant(stage, tile.vector_axis);
  Outer sharing{-1, 1};
  int64_t turns = 1;
  for (const auto& o : within_panel)
    if (ceil_div(extent_of(o.axis), o.step) > turns) sharing = o, turns = ceil_div(extent_of(o.axis), o.step);
  const bool next = weights >= 0 && turns > 1 &&
                    choose_(stage.name + ".next", {0, 1}, operand_bytes(weights) > machine_.l2 / 8 ? 1 : 0) != 0;
  ahead_ = ahead || next;
  const auto inner = inner_loops(reduction, tile, tile_extent, stage.name);
  if (std::exchange(ahead_, false)) {
    const auto blocks = std::find_if(inner.begin(), inner.end(),
                                     [&](const Loop& loop) { return loop.axis >= stage.spatial && loop.step > 1; });
    const auto at =
        (reduction == group.root ? static_cast<int>(outer_loops) : 0) + static_cast<int>(blocks - inner.begin());
    if (ahead && blocks != inner.end())
      schedule_.prefetch.push_back({reduction, streamed, at, moving->axis, moving->step});
    if (next && blocks != inner.end())
      schedule_.prefetch.push_back(
          {reduction, weights, at, tile.vector_axis, panel, sharing.axis, sharing.step, turns});
  }
  order.insert(order.end(), inner.begin(), inner.end());
  prepare_constants(reduction, order);
  if (reduction == group.root) {
    root_plan.loops.insert(root_plan.loops.end(), inner.begin(), inner.end());
    temporary_layout(group.root, tile);
    return mark_parallel(group.root, parallel_loops.value_or(outer_loops));
  }
  // The maps around it walk the same tile.
  const auto last = tile_loops(root, stage, tile, root_axis);
  root_plan.loops.insert(root_plan.loops.end(), last.begin(), last.end());
  mark_parallel(group.root, outer_loops);
  for (size_t i = 0; i < group.inside.size(); ++i) {
    const int s = group.inside[i];
    auto& plan = schedule_.stages[static_cast<size_t>(s)];
    plan.at_stage = group.root;
    plan.at_loop = static_cast<int>(outer_loops) - 1;
    Tile own = tile;
    if (s == reduction) {
      plan.loops = inner;
    } else {
      std::vector<int> axis_of_reduction(stage.axes.size(), -1);
      for (int a = 0; a < stage.spatial; ++a)
        for (size_t k = 0; k < group.shared.size(); ++k)
          if (group.shared[k] == root_axis[static_cast<size_t>(a)])
            axis_of_reduction[static_cast<size_t>(a)] = group.axis_of[i][k];
      plan.loops = tile_loops(kernel_.stages[static_cast<size_t>(s)], stage, tile, axis_of_reduction);
      if (tile.vector_axis >= 0) own.vector_axis = axis_of_reduction[static_cast<size_t>(tile.vector_axis)];
    }
    temporary_layout(s, own);
  }
}

/// The root's axis for each axis of a reduction of its group; -1: none.
std::vector<int> Sketch::root_axes(const Group& group, int reduction) const {
  std::vector<int> result(kernel_.stages[static_cast<size_t>(reduction)].axes.size(), -1);
  if (reduction == group.root) {
    for (size_t a = 0; a < result.size(); ++a) result[a] = static_cast<int>(a);
    return result;
  }
  const auto at =
      static_cast<size_t>(std::find(group.inside.begin(), group.inside.end(), reduction) - group.inside.begin());
  for (size_t i = 0; i < group.shared.size(); ++i) result[static_cast<size_t>(group.axis_of[at][i])] = group.shared[i];
  return result;
}

/// The loops by which a map walks the tile of the reduction around which it is.
std::vector<Loop> Sketch::tile_loops(const Stage& of, const Stage& reduction, const Tile& tile,
                                     const std::vector<int>& axis_of_reduction) const {
  std::vector<Loop> loops;
  for (const auto& rows : tile.rows)
    for (const Loop& loop : row_loops(tile, rows, axis_of_reduction[static_cast<size_t>(rows.first)]))
      loops.push_back(loop);
  for (int a = 0; a < of.spatial; ++a) {
    bool covered = false;
    for (int r = 0; r < reduction.spatial; ++r) covered = covered || axis_of_reduction[static_cast<size_t>(r)] == a;
    if (!covered && of.axes[static_cast<size_t>(a)].extent > 1) loops.push_back({a, 1, LoopKind::serial});
  }
  if (tile.vector_axis >= 0) {
    const int a = axis_of_reduction[static_cast<size_t>(tile.vector_axis)];
    if (tile.vectors > 1 && reduction.axes[static_cast<size_t>(tile.vector_axis)].extent > machine_.lanes)
      loops.push_back({a, machine_.lanes, LoopKind::unrolled});
    loops.push_back({a, 1, LoopKind::vector});
  }
  return loops;
}

/// Whether an operand is the same for all lanes of a vector.
bool Sketch::broadcasts(const Stage& stage, int vector_axis) const {
  return std::any_of(stage.nodes.begin(), stage.nodes.end(), [&](const ExprNode& node) {
    return node.op == Op::load &&
           std::none_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(vector_axis); });
  });
}

/// The constant that the stage reads in vectors along an axis; -1: none.
int Sketch::vector_constant(const Stage& stage, int vector_axis) const {
  for (const auto& node : stage.nodes)
    if (node.op == Op::load && kernel_.buffers[static_cast<size_t>(node.buffer)].role == Role::constant &&
        std::any_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(vector_axis); }))
      return node.buffer;
  return -1;
}

/// Several stages that share rows: a strip of rows at a time, each stage with a nest of its own.
void Sketch::plan_strip(const Group& group) {
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  auto& root_plan = schedule_.stages[static_cast<size_t>(group.root)];
  std::vector<int> members = group.inside;
  members.push_back(group.root);
  // A shared axis that some stage vectorises is cut into vectors, the last other one into strips.
  std::set<int> vectorised;
  bool contraction = false;
  double strip_elements = 1;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto& stage = kernel_.stages[static_cast<size_t>(members[i])];
    contraction = contraction || is_contraction(stage);
    bool reduces = false;
    const int v = vector_axis(members[i], whole(members[i]), &reduces);
    if (v >= 0 && !reduces && inside_.contains(stage.buffer)) vector_dim_[stage.buffer] = v;
    double elements = 1;
    for (int a = 0; a < stage.spatial; ++a) elements *= static_cast<double>(stage.axes[static_cast<size_t>(a)].extent);
    for (size_t k = 0; k < group.shared.size(); ++k) {
      const int own = i < group.inside.size() ? group.axis_of[i][k] : group.shared[k];
      if (own == v) vectorised.insert(group.shared[k]);
      elements /= static_cast<double>(std::max<int64_t>(1, root.axes[static_cast<size_t>(group.shared[k])].extent));
    }
    strip_elements = std::max(strip_elements, elements);
  }
  int strip_axis = -1;
  for (int a : group.shared)
    if (!vectorised.count(a) && root.axes[static_cast<size_t>(a)].extent > 1) strip_axis = a;
  int64_t strip = 1;
  if (strip_axis >= 0) {
    const auto legal = up_to({1, 2, 4, 8, 14, 16, 24, 32, 64}, root.axes[static_cast<size_t>(strip_axis)].extent);
    // Long enough that what a strip reads from the second-level cache is used often, short enough that the strip itself
    // stays in the first.
    int64_t start = contraction ? 8 : 1;
    while (contraction && start < 32 &&
           static_cast<double>(2 * start) * strip_elements * 4 <= static_cast<double>(machine_.l1) / 2)
      start *= 2;
    while (!contraction && start < 16 && static_cast<double>(start) * strip_elements < 512) start *= 2;
    strip = choose_(root.name + ".strip", legal, std::min(start, legal.back()));
  }
  std::vector<int64_t> root_extent = whole(group.root);
  for (int a : group.shared) {
    const int64_t step = a == strip_axis       ? strip
                         : vectorised.count(a) ? std::min<int64_t>(machine_.lanes, root_extent[static_cast<size_t>(a)])
                                               : 1;
    if (root_extent[static_cast<size_t>(a)] > step) root_plan.loops.push_back({a, step, LoopKind::serial});
    root_extent[static_cast<size_t>(a)] = std::min(step, root_extent[static_cast<size_t>(a)]);
  }
  if (root_plan.loops.empty()) {
    const int a = group.shared[0];
    root_plan.loops.push_back({a, std::max<int64_t>(1, root.axes[static_cast<size_t>(a)].extent), LoopKind::serial});
  }
  const size_t outer_loops = root_plan.loops.size();
  for (size_t i = 0; i < members.size(); ++i) {
    const int s = members[i];
    const auto& stage = kernel_.stages[static_cast<size_t>(s)];
    auto extent = whole(s);
    std::vector<Loop> order;
    for (size_t k = 0; k < group.shared.size(); ++k) {
      const int own = i < group.inside.size() ? group.axis_of[i][k] : group.shared[k];
      const int64_t left = root_extent[static_cast<size_t>(group.shared[k])];
      if (extent[static_cast<size_t>(own)] > left) order.push_back({own, left, LoopKind::serial});
      extent[static_cast<size_t>(own)] = left;
    }
    const Tile tile = choose_tile(s, extent);
    const auto loops = inner_loops(s, tile, extent, stage.name);
    order.insert(order.end(), loops.begin(), loops.end());
    prepare_constants(s, order);
    auto& plan = schedule_.stages[static_cast<size_t>(s)];
    plan.loops.insert(plan.loops.end(), loops.begin(), loops.end());
    temporary_layout(s, tile);
    if (s == group.root) continue;
    plan.at_stage = group.root;
    plan.at_loop = static_cast<int>(outer_loops) - 1;
  }
  mark_parallel(group.root, outer_loops);
}

/// A stage that scatters walks its axes in the order in which they are written, so that a point's row lies together, and
/// along the last one in vectors where it can. Threads share the axes before those along which points meet, and the last.
void Sketch::plan_scatter(int s) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  auto& loops = schedule_.stages[static_cast<size_t>(s)].loops;
  auto extent = whole(s);
  std::vector<int> order;
  const auto add = [&](int a) {
    if (extent[static_cast<size_t>(a)] > 1 && std::find(order.begin(), order.end(), a) == order.end())
      order.push_back(a);
  };
  const auto add_meeting = [&] {
    for (int a = stage.spatial; a < static_cast<int>(extent.size()); ++a) add(a);
  };
  for (const Index& e : stage.out_indices) {
    if (!node_variables(e).empty()) add_meeting();
    for (int a = 0; a < stage.spatial; ++a)
      if (e.uses(a)) add(a);
  }
  add_meeting();
  const auto spatial = [&](int a) { return a < stage.spatial; };
  const int last = !order.empty() && spatial(order.back()) ? order.back() : -1;
  Tile tile;
  if (last >= 0 && !data_index_along(stage, last) &&
      stride(kernel_, stage, stage.buffer, stage.out_indices, last, machine_.lanes) == 1) {
    const int64_t registers = ceil_div(extent[static_cast<size_t>(last)], machine_.lanes);
    const auto legal = up_to({1, 2, 4}, registers);
    tile.vector_axis = last;
    tile.vectors = static_cast<int>(choose_(stage.name + ".vectors", legal, legal.back()));
    order.pop_back();
  }
  const auto shared = static_cast<size_t>(std::find_if_not(order.begin(), order.end(), spatial) - order.begin());
  int64_t tasks = 1;
  for (size_t i = 0; i < shared; ++i) tasks *= extent[static_cast<size_t>(order[i])];
  if (machine_.threads > 1 && last >= 0 && (shared < order.size() || tile.vector_axis >= 0)) {
    auto& rest = extent[static_cast<size_t>(last)];
    const int64_t registers = ceil_div(rest, machine_.lanes);
    const int64_t parts = choose_(stage.name + ".parts", up_to({1, 2, 4, 8, 16, 32}, registers),
                                  tasks < machine_.threads ? machine_.threads : 1);
    if (parts > 1) {
      rest = ceil_div(registers, parts) * machine_.lanes;
      loops.push_back({last, rest, LoopKind::serial});
    }
  }
  const size_t outer_loops = loops.size() + shared;
  for (int a : order) loops.push_back({a, 1, LoopKind::serial});
  if (tile.vector_axis >= 0) {
    const int64_t left = extent[static_cast<size_t>(last)], panel = tile.vector_step(machine_.lanes);
    if (left > panel) loops.push_back({last, panel, LoopKind::serial});
    if (tile.vectors > 1 && left > machine_.lanes) loops.push_back({last, machine_.lanes, LoopKind::unrolled});
    loops.push_back({last, 1, LoopKind::vector});
  }
  mark_parallel(s, outer_loops);
}

}  // namespace rooftune::kernel
