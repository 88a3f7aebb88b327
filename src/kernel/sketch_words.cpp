// The nest of a product with weights of 4 or 8 bits (weight_words.cpp): a register tile of dot products in words for one
// block after the other, each scaled and added to the tile's results.
#include <algorithm>

#include "kernel/analysis.h"
#include "kernel/sketch.h"

namespace rooftune::kernel {

/// The stage that scales and adds up what `stage` sums in words within blocks; -1: it is no such sum.
int Sketch::adds_words_of(int s) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (kernel_.buffers[static_cast<size_t>(stage.buffer)].role != Role::temporary || stage.spatial < 3 ||
      dot_operands(kernel_, stage).width != 4)
    return -1;
  const auto from = readers(kernel_, stage.buffer);
  if (from.size() != 1) return -1;
  const auto& total = kernel_.stages[static_cast<size_t>(from[0])];
  const bool by_blocks = total.is_reduction() && total.spatial + 1 == static_cast<int>(total.axes.size()) &&
                         total.spatial + 2 == stage.spatial;
  return by_blocks ? from[0] : -1;
}

/// False where the group's stages share too little for one tile.
bool Sketch::plan_words(const Group& group, int words) {
  const int sums = adds_words_of(words);
  const auto& total = kernel_.stages[static_cast<size_t>(sums)];
  const auto& dots = kernel_.stages[static_cast<size_t>(words)];
  const auto& root = kernel_.stages[static_cast<size_t>(group.root)];
  if (sums != group.root && std::find(group.inside.begin(), group.inside.end(), sums) == group.inside.end())
    return false;
  const auto root_axis = root_axes(group, sums);
  auto extent_of = [&](int a) { return total.axes[static_cast<size_t>(a)].extent; };
  std::vector<int> others;
  int row = -1;
  const int columns = total.spatial - 1;
  for (int a = 0; a < total.spatial; ++a) {
    if (extent_of(a) > 1 && root_axis[static_cast<size_t>(a)] < 0) return false;
    if (a == columns || extent_of(a) == 1) continue;
    if (row >= 0) others.push_back(row);
    row = a;
  }
  if (root_axis[static_cast<size_t>(columns)] < 0) return false;

  // An accumulator of each element of the tile for each byte of x; some registers for weights and scales.
  const int64_t bytes = dots.axes[0].extent;
  const int64_t lanes = machine_.lanes, most = std::max<int64_t>(1, (machine_.registers - 6) / bytes);
  const int64_t rows_there = row < 0 ? 1 : extent_of(row);
  Tile tile;
  tile.vector_axis = columns;
  const auto widths = up_to({1, 2, 3, 4, 6, 8}, std::max<int64_t>(1, std::min(most, extent_of(columns) / lanes)));
  const int64_t wide = std::clamp<int64_t>(most / std::min<int64_t>(rows_there, std::max<int64_t>(1, most / 2)), 1, 4);
  tile.vectors = static_cast<int>(choose_(total.name + ".vectors", widths, up_to(widths, wide).back()));
  if (row >= 0) {
    std::vector<int64_t> legal;
    for (int64_t r = 1; r <= std::min(rows_there, std::max<int64_t>(1, most / tile.vectors)); ++r) legal.push_back(r);
    const int64_t turns = ceil_div(rows_there, legal.back());
    tile.rows.emplace_back(row, choose_(total.name + ".rows", legal, ceil_div(rows_there, turns)));
  }
  const int64_t panel = tile.vector_step(machine_.lanes), rows = row < 0 ? 1 : tile.rows[0].second;

  auto& plan = schedule_.stages[static_cast<size_t>(group.root)];
  std::vector<Loop> order;
  for (int a : others) order.push_back({a, 1, LoopKind::serial});
  if (extent_of(columns) > panel || order.empty()) order.push_back({columns, panel, LoopKind::serial});
  if (rows < rows_there) order.push_back({row, rows, LoopKind::serial});
  for (const Loop& loop : order)
    plan.loops.push_back({root_axis[static_cast<size_t>(loop.axis)], loop.step, LoopKind::serial});
  const size_t outer = plan.loops.size();

  auto in_tile = [&](std::vector<Loop>& loops, int first) {
    if (rows > 1) loops.push_back({first + row, 1, LoopKind::unrolled});
    if (tile.vectors > 1 && extent_of(columns) > lanes) loops.push_back({first + columns, lanes, LoopKind::unrolled});
    loops.push_back({first + columns, 1, LoopKind::vector});
  };
  std::vector<Loop> blocks = {{total.spatial, 1, LoopKind::serial}};
  in_tile(blocks, 0);

  // Within a block: words, their halves, the bytes of x, the tile.
  auto& inner = schedule_.stages[static_cast<size_t>(words)].loops;
  const int last = static_cast<int>(dots.axes.size()) - 1;
  for (int a = dots.spatial; a < last; ++a) {
    const int64_t e = dots.axes[static_cast<size_t>(a)].extent;
    if (a + 1 < last || last == dots.spatial + 1) {
      const auto legal = up_to({1, 2, 4, 8, 16, 32}, e);
      constexpr int64_t kCopies = 256;
      int64_t start = 1;
      for (int64_t u : legal)
        if (u * 2 * bytes * rows * tile.vectors <= kCopies) start = u;
      const int64_t unroll = choose_(total.name + ".unroll", legal, start);
      if (unroll < e) inner.push_back({a, unroll, LoopKind::serial});
      if (unroll == 1) continue;
    }
    if (e > 1) inner.push_back({a, 1, LoopKind::unrolled});
  }
  inner.push_back({0, 1, LoopKind::unrolled});
  in_tile(inner, 1);
  inner.push_back({last, 1, LoopKind::dot});

  // Words lie in the order in which they are read.
  const auto dot = dot_operands(kernel_, dots);
  for (int n : {dot.a, dot.b}) {
    const auto& load = dots.nodes[static_cast<size_t>(n)];
    const auto& buffer = kernel_.buffers[static_cast<size_t>(load.buffer)];
    if (buffer.role != Role::constant) continue;
    std::vector<PhysicalAxis> before, within;
    int column_dim = -1, word_dim = -1;
    for (int d = 0; d < static_cast<int>(load.indices.size()); ++d) {
      const auto& e = load.indices[static_cast<size_t>(d)];
      if (e.uses(last)) word_dim = d;
      else if (e.uses(1 + columns)) column_dim = d;
      else if (buffer.shape[static_cast<size_t>(d)] > 1) before.push_back({d, 1, buffer.shape[static_cast<size_t>(d)]});
    }
    const int64_t columns_there = buffer.shape[static_cast<size_t>(column_dim)];
    before.push_back({column_dim, panel, ceil_div(columns_there, panel)});
    before.push_back({word_dim, 4, ceil_div(buffer.shape[static_cast<size_t>(word_dim)], 4)});
    before.push_back({column_dim, 1, panel});
    before.push_back({word_dim, 1, 4});
    schedule_.prepared.emplace_back(load.buffer, Layout(before));
    // Blocks that come later are asked for evenly: a tile reads too little at a time for the hardware to run far ahead.
    const int64_t bytes_of_block =
        panel * 4 * std::max<int64_t>(1, dots.axes[static_cast<size_t>(dots.spatial)].extent);
    constexpr int64_t kAhead = 4096;
    const auto ahead = up_to({0, 1, 2, 4, 8, 16}, extent_of(total.spatial));
    const int64_t blocks_ahead = choose_(
        total.name + ".ahead", ahead,
        operand_bytes(load.buffer) <= machine_.l2 / 8 ? 0 : up_to(ahead, ceil_div(kAhead, bytes_of_block)).back());
    if (blocks_ahead > 0) schedule_.prefetch.push_back({words, load.buffer, 0, dots.spatial - 1, blocks_ahead});
  }
  auto whole_order = order;
  whole_order.insert(whole_order.end(), blocks.begin(), blocks.end());
  prepare_constants(sums, whole_order);

  const int at_blocks = sums == group.root ? static_cast<int>(outer) : 0;
  for (size_t i = 0; i < group.inside.size(); ++i) {
    const int s = group.inside[i];
    auto& own = schedule_.stages[static_cast<size_t>(s)];
    own.at_stage = s == words ? sums : group.root;
    own.at_loop = s == words ? at_blocks : static_cast<int>(outer) - 1;
    Tile of = tile;
    std::vector<int> axis_of_total(total.axes.size(), -1);
    for (int a = 0; a < total.spatial; ++a)
      for (size_t k = 0; k < group.shared.size(); ++k)
        if (group.shared[k] == root_axis[static_cast<size_t>(a)])
          axis_of_total[static_cast<size_t>(a)] = group.axis_of[i][k];
    of.vector_axis = axis_of_total[static_cast<size_t>(columns)];
    if (s == sums) own.loops = blocks;
    else if (s != words) own.loops = tile_loops(kernel_.stages[static_cast<size_t>(s)], total, tile, axis_of_total);
    temporary_layout(s, of);
  }
  const auto rest = sums == group.root ? blocks : tile_loops(root, total, tile, root_axis);
  plan.loops.insert(plan.loops.end(), rest.begin(), rest.end());
  mark_parallel(group.root, outer);
  return true;
}

}  // namespace rooftune::kernel
