// The nest of one stage within a sketch (see sketch.h): its vector axis, its register tile, its loops, and how what it
// reads and writes is stored.
#include <algorithm>
#include <set>

#include "kernel/register_tile.h"
#include "kernel/sketch.h"

namespace rooftune::kernel {

// ----------------------------------------------------------------------------------------------------------- tiles

constexpr double kStrided = -8;  // score of a vector that is gathered element by element
constexpr int64_t kLongestWindow = 11;
constexpr int64_t kLong = 24;  // vectors: an operand that is that wide streams through the first-level cache

/// How well `axis` suits as vector axis for one access: contiguous or broadcast is good, a gather is bad.
double Sketch::access_score(const Stage& stage, int buffer, const std::vector<Index>& indices, int axis,
                            bool store) const {
  const auto& b = kernel_.buffers[static_cast<size_t>(buffer)];
  if (b.role == Role::constant || inside_.count(buffer) > 0) {  // the schedule chooses its layout
    bool used = false, plain = false;
    for (const auto& e : indices) {
      used = used || e.uses(axis);
      plain = plain || plain_axis(e) == axis;
    }
    if (!used) return store ? -4 : 1;
    if (!plain) return -4;
    const auto known = vector_dim_.find(buffer);
    if (store || known == vector_dim_.end()) return 2;
    return plain_axis(indices[static_cast<size_t>(known->second)]) == axis ? 2 : kStrided;
  }
  const auto step = stride(kernel_, stage, buffer, indices, axis, machine_.lanes);
  if (!step) return kStrided - 2;
  if (*step == 0) return store ? -4 : 1;
  return *step == 1 ? 2 : store ? -4 : kStrided;
}

/// The vector axis and the reduction axis along which a sum of products of bytes goes by words: {-1, -1} where it cannot.
/// One operand is packed (by the schedule).
std::pair<int, int> Sketch::dot_axes(int s, const std::vector<int64_t>& extent) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  const auto dot = dot_operands(kernel_, stage);
  std::pair<int, int> best = {-1, -1};
  double best_score = 0;
  if (dot.width == 0) return best;
  for (auto [x, w] : {std::pair(dot.a, dot.b), std::pair(dot.b, dot.a)}) {
    const auto& words = stage.nodes[static_cast<size_t>(x)];
    const auto& packed = stage.nodes[static_cast<size_t>(w)];
    if (kernel_.buffers[static_cast<size_t>(packed.buffer)].role != Role::constant || !packed.where.empty()) continue;
    auto plainly = [&](int a) {
      return std::count_if(packed.indices.begin(), packed.indices.end(), [&](const Index& e) { return e.uses(a); }) ==
                 1 &&
             std::any_of(packed.indices.begin(), packed.indices.end(),
                         [&](const Index& e) { return plain_axis(e) == a; });
    };
    auto filled = [&](int a, int64_t step) {  // the share of whole steps that is no padding
      const int64_t e = extent[static_cast<size_t>(a)];
      return static_cast<double>(e) / static_cast<double>(ceil_div(e, step) * step);
    };
    for (int d = stage.spatial; d < static_cast<int>(stage.axes.size()); ++d) {
      if (stage.axes[static_cast<size_t>(d)].extent < 2 || stage.axes[static_cast<size_t>(d)].live >= 0) continue;
      const auto apart = stride(kernel_, stage, words.buffer, words.indices, d, dot.width);
      if (!plainly(d) || !apart) continue;
      for (int v = 0; v < stage.spatial; ++v) {
        if (extent[static_cast<size_t>(v)] < 2 || !plainly(v)) continue;
        // Either the elements of a word lie together, the same for all lanes, or whole vectors do (neighbouring pixels of
        // a block of channels), from which words are shuffled.
        const bool shared =
            std::none_of(words.indices.begin(), words.indices.end(), [&](const Index& e) { return e.uses(v); });
        const bool shuffled = !shared && *apart == machine_.lanes &&
                              stride(kernel_, stage, words.buffer, words.indices, v, machine_.lanes) == 1;
        if (!(shared && *apart == 1) && !shuffled) continue;
        const double score = filled(v, machine_.lanes) * filled(d, dot.width);
        if (score > best_score) best = {v, d}, best_score = score;
      }
    }
  }
  return best;
}

int Sketch::vector_axis(int s, const std::vector<int64_t>& extent, bool* reduces) const {
  if (reduces != nullptr) *reduces = false;
  if (forced_vector_ >= 0) return forced_vector_;
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (const int v = dot_axes(s, extent).first; v >= 0) {
    if (reduces != nullptr) *reduces = false;
    return v;
  }
  int best = -1;
  double best_score = -1e9;
  for (int a = 0; a < static_cast<int>(stage.axes.size()); ++a) {
    const int64_t e = extent[static_cast<size_t>(a)];
    if (e < 2) continue;
    if (data_index_along(stage, a)) continue;  // it must be the same for all lanes
    double score = a < stage.spatial ? 0 : -3.5;
    for (const auto& node : stage.nodes)
      if (node.op == Op::load) score += access_score(stage, node.buffer, node.indices, a, false);
    if (a < stage.spatial) score += access_score(stage, stage.buffer, stage.out_indices, a, true);
    // A vector that is mostly empty is worth little.
    const double filled = static_cast<double>(e) / static_cast<double>(ceil_div(e, machine_.lanes) * machine_.lanes);
    score += 3 * (filled - 1);
    if (score > best_score) best = a, best_score = score;
  }
  if (reduces != nullptr) *reduces = best >= stage.spatial;
  return best;
}

/// Axes along which several rows of accumulators can share a vector of an operand, best first.
std::vector<int> Sketch::row_axes(const Stage& stage, int vector_axis) const {
  std::vector<int> result;
  for (int a = stage.spatial; a-- > 0;) {
    if (a == vector_axis || stage.axes[static_cast<size_t>(a)].extent < 2) continue;
    bool shares = false;
    for (const auto& node : stage.nodes) {
      if (node.op != Op::load) continue;
      bool uses_vector = false, uses_axis = false;
      for (const auto& e : node.indices) {
        uses_vector = uses_vector || e.uses(vector_axis);
        uses_axis = uses_axis || e.uses(a);
      }
      shares = shares || (uses_vector && !uses_axis);
    }
    if (shares) result.push_back(a);
  }
  return result;
}

/// Of a contraction over windows alone, whose innermost axis is unrolled so that rows share what they read: the elements
/// that are then held in registers, broadcast, beside the sums.
int64_t Sketch::elements_shared(int s, int vector_axis, const std::vector<int>& rows, int64_t of_rows) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (rows.empty() || !is_contraction(stage)) return 0;
  int innermost = -1, windows = 0;
  for (int a = stage.spatial; a < static_cast<int>(stage.axes.size()); ++a) {
    const auto& axis = stage.axes[static_cast<size_t>(a)];
    if (axis.extent > kLongestWindow || axis.live >= 0) return 0;
    if (axis.extent > 1) innermost = a, ++windows;
  }
  if (windows < 2) return 0;
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load) continue;
    const bool for_all =
        std::none_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(vector_axis); });
    for (const auto& e : node.indices) {
      const int64_t row = e.coefficient(rows[0]), tap = e.coefficient(innermost);
      const int64_t taps = stage.axes[static_cast<size_t>(innermost)].extent;
      if (for_all && row != 0 && tap != 0)
        return std::min(of_rows * taps, (of_rows - 1) * std::abs(row) + (taps - 1) * std::abs(tap) + 1);
    }
  }
  return 0;
}

Sketch::Tile Sketch::choose_tile(int s, const std::vector<int64_t>& extent) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  const std::string& name = stage.name;
  Tile tile;
  tile.vector_axis = vector_axis(s, extent, &tile.vector_reduces);
  if (tile.vector_axis < 0) return tile;
  tile.dot_axis = dot_axes(s, extent).second;
  if (tile.dot_axis >= 0) tile.dot = dot_operands(kernel_, stage).width;
  if (tile.dot_axis >= 0 && choose_product_tiles(s, extent, tile)) return tile;
  const int64_t vector_extent = ceil_div(extent[static_cast<size_t>(tile.vector_axis)], machine_.lanes);
  if (tile.vector_reduces || !stage.is_reduction()) {
    const auto legal = up_to({1, 2, 4}, std::max<int64_t>(1, vector_extent));
    tile.vectors = static_cast<int>(choose_(name + ".vectors", legal, legal.back()));
    return tile;
  }
  auto rows = row_axes(stage, tile.vector_axis);
  if (rows.empty()) {  // nothing to share: rows still hide latency
    for (int a = stage.spatial; a-- > 0 && rows.empty();)
      if (a != tile.vector_axis && stage.axes[static_cast<size_t>(a)].extent > 1) rows.push_back(a);
  }
  const int64_t first = rows.empty() ? 1 : extent[static_cast<size_t>(rows[0])];
  const int64_t second = rows.size() < 2 ? 1 : extent[static_cast<size_t>(rows[1])];
  int64_t best_vectors = 1, best_rows = 1, best_second = 1;
  double best = 1e300;
  const bool one_for_all = broadcasts(stage, tile.vector_axis);
  for (int64_t v : up_to({1, 2, 3, 4}, vector_extent)) {
    const int64_t most = std::max<int64_t>(1, (machine_.registers - 1 - v) / v);
    for (int64_t r = 1; r <= std::min(first, most); ++r) {
      for (int64_t r2 = 1; r2 <= std::min(second, most / r); ++r2) {
        if (r2 > 1 && r != first) continue;  // two row axes only where the first is used up
        if (r * r2 > 1 && r * r2 * v + v + elements_shared(s, tile.vector_axis, rows, r) > machine_.registers) continue;
        double cost = 0;
        for (int64_t y = 0; y < second; y += r2) {
          const int64_t n = std::min(r2, second - y);
          if (n > 1 || r2 > 1) cost += tiled_cycles(first * n, vector_extent, r * n, v, machine_.fmas);
          else cost += tiled_cycles(first, vector_extent, r, v, machine_.fmas);
        }
        // Of equals that which loads less: vectors come from the second-level cache, rows from the first.
        if (one_for_all) cost *= 1 + 0.06 / static_cast<double>(r * r2) + 0.02 / static_cast<double>(v);
        cost *= 1 + 0.002 * static_cast<double>(r * r2 * v > 24 ? r * r2 * v - 24 : 0);  // spills near the limit
        // Loads that multiply-adds hide still compete with the lines of a long operand that come from the second-level
        // cache: of tiles that are alike, the one that loads less (8 x 3 before 8 x 2: a tenth on Sapphire Rapids).
        if (vector_extent >= kLong && rows.size() == 1)
          cost *= 1 + 0.04 * static_cast<double>(r + v) / static_cast<double>(r * v);
        if (cost < best * 0.999) best = cost, best_vectors = v, best_rows = r, best_second = r2;
      }
    }
  }
  const auto legal_vectors = up_to({1, 2, 3, 4}, vector_extent);
  tile.vectors = static_cast<int>(choose_(name + ".vectors", legal_vectors, best_vectors));
  const int64_t most = std::max<int64_t>(1, (machine_.registers - 1 - tile.vectors) / tile.vectors);
  if (!rows.empty()) {
    std::vector<int64_t> legal;
    for (int64_t r = 1; r <= std::min(first, most); ++r) legal.push_back(r);
    const int64_t chosen = choose_(name + ".rows", legal, std::min(best_rows, legal.back()));
    if (rows.size() > 1 && chosen == first) {
      std::vector<int64_t> legal2;
      for (int64_t r = 1; r <= std::min(second, most / chosen); ++r) legal2.push_back(r);
      if (legal2.empty()) legal2.push_back(1);
      const int64_t chosen2 = choose_(name + ".rows2", legal2, std::min(best_second, legal2.back()));
      if (chosen2 > 1) tile.rows.emplace_back(rows[1], chosen2);
    }
    tile.rows.emplace_back(rows[0], chosen);
  }
  return tile;
}

// ----------------------------------------------------------------------------------------------------------- loops

/// Reduction loops of a stage, outermost first: blocks of a blocked operand's dim, windows, then the rest.
std::vector<Loop> Sketch::reduction_loops(int s, const Tile& tile, const std::string& name) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  std::vector<int> small, large;
  for (int a = stage.spatial; a < static_cast<int>(stage.axes.size()); ++a) {
    if (stage.axes[static_cast<size_t>(a)].extent < 2 || (tile.vector_reduces && a == tile.vector_axis)) continue;
    const auto& axis = stage.axes[static_cast<size_t>(a)];
    (axis.extent <= kLongestWindow && axis.live < 0 ? small : large).push_back(a);
  }
  if (large.empty()) std::swap(small, large);
  std::vector<Loop> outer, middle, inner;
  for (int a : large) {
    const int64_t one = a == tile.dot_axis ? tile.dot : 1;  // elements in a step
    // The inner block of a blocked operand stays together: (c/16, window, c).
    int64_t block = 0;
    for (const auto& node : stage.nodes) {
      if (node.op != Op::load || inside_.count(node.buffer) > 0) continue;
      for (size_t d = 0; d < node.indices.size(); ++d) {
        if (!node.indices[d].uses(a)) continue;
        for (const auto& physical : kernel_.buffers[static_cast<size_t>(node.buffer)].layout.axes())
          if (physical.dim == static_cast<int>(d) && physical.divisor > 1) block = physical.divisor;
      }
    }
    const int64_t extent = stage.axes[static_cast<size_t>(a)].extent;
    if (ahead_ && block == 0) block = machine_.lanes;
    block = ceil_div(block, one) * one;
    if (block > 1 && block < extent && (ahead_ || !small.empty())) outer.push_back({a, block, LoopKind::serial});
    if (a == large.back()) {
      // Copies beyond the end of what is live would have to be masked.
      const bool whole = stage.axes[static_cast<size_t>(a)].live < 0;
      const auto legal = whole ? up_to({1, 2, 4, 8}, ceil_div(extent, one)) : std::vector<int64_t>{1};
      // The few words of a block are not worth a loop.
      const bool few_words = !small.empty() && one > 1 && block == 4 * one && block <= extent;
      const int64_t start = few_words ? 4 : small.empty() && extent >= 4 * one && large.size() == 1 ? 2 : 1;
      const int64_t unroll = choose_(name + ".unroll", legal, std::min(start, legal.back()));
      if (unroll > 1) {
        if (unroll * one < extent) inner.push_back({a, unroll * one, LoopKind::serial});
        inner.push_back({a, one, LoopKind::unrolled});
        continue;
      }
    }
    inner.push_back({a, one, LoopKind::serial});
  }
  auto step = [&](int a) { return a == tile.dot_axis ? tile.dot : 1; };
  const bool windows = !small.empty();
  if (windows) {
    const int64_t unrolled = choose_(name + ".window", {0, 1}, 1);
    for (size_t i = 0; i < small.size(); ++i)
      middle.push_back(
          {small[i], step(small[i]), unrolled != 0 && i + 1 == small.size() ? LoopKind::unrolled : LoopKind::serial});
  } else if (large.size() > 1 && inner.size() > 1) {
    // Windows alone (pooling, depthwise): the innermost is unrolled, so that neighbouring rows share their loads.
    bool all_small = true;
    for (int a : large)
      all_small = all_small && stage.axes[static_cast<size_t>(a)].extent <= kLongestWindow &&
                  stage.axes[static_cast<size_t>(a)].live < 0;
    if (all_small) {
      inner.clear();
      const int64_t unrolled = choose_(name + ".window", {0, 1}, 1);
      for (size_t i = 0; i < large.size(); ++i)
        inner.push_back(
            {large[i], step(large[i]), unrolled != 0 && i + 1 == large.size() ? LoopKind::unrolled : LoopKind::serial});
    }
  }
  std::vector<Loop> all = outer;
  all.insert(all.end(), middle.begin(), middle.end());
  all.insert(all.end(), inner.begin(), inner.end());
  return all;
}

/// The nest of a stage within a region of `extent`: what is left of other axes, panels, reduction, register tile.
std::vector<Loop> Sketch::inner_loops(int s, const Tile& tile, const std::vector<int64_t>& extent,
                                      const std::string& name) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  std::vector<Loop> result;
  const int64_t panel = tile.vector_step(machine_.lanes);
  auto in_tile = [&](int a) {
    return a == tile.vector_axis ||
           std::any_of(tile.rows.begin(), tile.rows.end(), [&](const auto& r) { return r.first == a; });
  };
  for (int a = 0; a < stage.spatial; ++a)
    if (!in_tile(a) && extent[static_cast<size_t>(a)] > 1) result.push_back({a, 1, LoopKind::serial});
  const bool vector_here = tile.vector_axis >= 0 && !tile.vector_reduces;
  if (vector_here && extent[static_cast<size_t>(tile.vector_axis)] > panel)
    result.push_back({tile.vector_axis, panel, LoopKind::serial});
  for (const auto& [axis, rows] : tile.rows)
    if (extent[static_cast<size_t>(axis)] > rows) result.push_back({axis, rows, LoopKind::serial});
  if (stage.is_reduction()) {
    const auto reduction = reduction_loops(s, tile, name);
    result.insert(result.end(), reduction.begin(), reduction.end());
  }
  if (tile.tiled) {
    for (const auto& [axis, rows] : tile.rows) {
      const int64_t step = axis == tile.rows.back().first ? kTileRows : 1;
      if (std::min(rows, extent[static_cast<size_t>(axis)]) > step) result.push_back({axis, step, LoopKind::unrolled});
    }
    if (tile.vectors > 1 && extent[static_cast<size_t>(tile.vector_axis)] > kTileRows)
      result.push_back({tile.vector_axis, kTileRows, LoopKind::unrolled});
    for (int axis : {tile.rows.back().first, tile.vector_axis, tile.dot_axis})
      result.push_back({axis, 1, LoopKind::tile});
    return result;
  }
  for (const auto& [axis, rows] : tile.rows)
    if (rows > 1) result.push_back({axis, 1, LoopKind::unrolled});
  if (tile.vector_axis >= 0) {
    const int64_t e = extent[static_cast<size_t>(tile.vector_axis)];
    // A reduction folds wide vectors: several registers' worth of partial results hide the latency.
    if (tile.vector_reduces) {
      if (e > panel) result.push_back({tile.vector_axis, panel, LoopKind::serial});
    } else if (tile.vectors > 1 && e > machine_.lanes) {
      result.push_back({tile.vector_axis, machine_.lanes, LoopKind::unrolled});
    }
    result.push_back({tile.vector_axis, 1, LoopKind::vector});
  }
  if (tile.dot_axis >= 0) result.push_back({tile.dot_axis, 1, LoopKind::dot});
  return result;
}

namespace {

/// Whether a kernel takes one thread longer than the microsecond or two in which others have begun and ended. Loops run
/// small ones many times.
bool worth_threads(const Kernel& kernel) {
  constexpr double kOperations = 1e5, kBytes = 128 << 10;
  const auto work = cost(kernel);
  return work.operations >= kOperations || work.compulsory_bytes >= kBytes;
}

}  // namespace

/// Outer loops become tasks, from the outside in, until they balance over the threads; none of a kernel that is too small.
void Sketch::mark_parallel(int s, size_t outer_loops) {
  auto& loops = schedule_.stages[static_cast<size_t>(s)].loops;
  auto extent = whole(s);
  std::vector<int64_t> legal;
  for (size_t i = 0; i <= outer_loops; ++i) legal.push_back(static_cast<int64_t>(i));
  int64_t tasks = 1;
  int64_t start = 0;
  for (size_t i = 0; i < outer_loops && worth_threads(kernel_); ++i) {
    auto& rest = extent[static_cast<size_t>(loops[i].axis)];
    const int64_t share = ceil_div(tasks, machine_.threads) * machine_.threads;
    if (tasks >= machine_.threads && static_cast<double>(share) <= 1.03 * static_cast<double>(tasks)) break;
    // As few as there can be: a loop that ends early may have one turn.
    if (kernel_.stages[static_cast<size_t>(s)].axes[static_cast<size_t>(loops[i].axis)].live < 0)
      tasks *= ceil_div(rest, loops[i].step);
    rest = loops[i].step;
    start = static_cast<int64_t>(i) + 1;
  }
  const int64_t depth = choose_(kernel_.stages[static_cast<size_t>(s)].name + ".parallel", legal, start);
  for (int64_t i = 0; i < depth; ++i) loops[static_cast<size_t>(i)].kind = LoopKind::parallel;
}

/// A temporary is stored so that its producer's vectors are contiguous.
void Sketch::temporary_layout(int s, const Tile& tile) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (inside_.count(stage.buffer) == 0 || tile.vector_axis < 0 || tile.vector_reduces) return;
  if (tile.vector_axis == stage.spatial - 1) return;
  std::vector<PhysicalAxis> axes;
  axes.push_back({tile.vector_axis, machine_.lanes, 1});
  for (int d = 0; d < stage.spatial; ++d)
    if (d != tile.vector_axis) axes.push_back({d, 1, 1});
  axes.push_back({tile.vector_axis, 1, 1});
  schedule_.stages[static_cast<size_t>(s)].layout = Layout(axes);
}

/// Packs each constant that the stage reads in vectors in the order of the loops (on the stage's own axes).
void Sketch::prepare_constants(int s, const std::vector<Loop>& order) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (reads_only_constants(kernel_, stage)) return;  // runs once: the others choose
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load) continue;
    const auto& buffer = kernel_.buffers[static_cast<size_t>(node.buffer)];
    if (buffer.role != Role::constant || buffer.shape.size() < 2) continue;
    if (std::any_of(schedule_.prepared.begin(), schedule_.prepared.end(),
                    [&](const auto& p) { return p.first == node.buffer; }))
      continue;
    std::vector<PhysicalAxis> axes;
    std::vector<int64_t> smallest(buffer.shape.size(), INT64_MAX);
    for (const auto& loop : loops_in_words(order, dot_operands(kernel_, stage).width)) {
      for (size_t d = 0; d < node.indices.size(); ++d) {
        if (plain_axis(node.indices[d]) != loop.axis || loop.step >= smallest[d]) continue;
        if (loop.step >= buffer.shape[d] && loop.step > 1) continue;
        // Neighbouring loops over one dim are one physical axis.
        if (!axes.empty() && axes.back().dim == static_cast<int>(d)) axes.pop_back();
        axes.push_back({static_cast<int>(d), loop.step, 1});
        smallest[d] = loop.step;
      }
    }
    for (size_t d = buffer.shape.size(); d-- > 0;)
      if (smallest[d] != 1) axes.insert(axes.begin(), {static_cast<int>(d), 1, 1});
    // Extents: what the next larger divisor of the same dim leaves. Blocks that do not nest are not used.
    bool nests = true;
    for (auto& axis : axes) {
      int64_t outer = 0;
      for (const auto& other : axes)
        if (other.dim == axis.dim && other.divisor > axis.divisor && (outer == 0 || other.divisor < outer))
          outer = other.divisor;
      nests = nests && (outer == 0 || outer % axis.divisor == 0);
      axis.extent =
          outer > 0 ? outer / axis.divisor : ceil_div(buffer.shape[static_cast<size_t>(axis.dim)], axis.divisor);
    }
    // A word of a dot loop is whole, also where its dim ends before it does.
    if (!axes.empty() && !order.empty() &&
        (order.back().kind == LoopKind::dot || order.back().kind == LoopKind::tile) &&
        plain_axis(node.indices[static_cast<size_t>(axes.back().dim)]) == std::optional<int>(order.back().axis)) {
      const int width = dot_operands(kernel_, stage).width;
      if (axes.back().extent < width && axes.back().divisor == 1) axes.back().extent = width;
    }
    const Layout layout(axes);
    if (nests && !layout.is_row_major(buffer.shape)) schedule_.prepared.emplace_back(node.buffer, layout);
  }
}

int64_t Sketch::operand_bytes(int buffer) const {
  const auto& b = kernel_.buffers[static_cast<size_t>(buffer)];
  int64_t elements = 1;
  for (int64_t e : b.shape) elements *= e;
  return static_cast<int64_t>(ir::byte_size(b.dtype, static_cast<size_t>(elements)));
}

/// The operand of a contraction whose elements are broadcast to vectors, each read once per panel; -1: none.
int Sketch::streamed_operand(int s, const Tile& tile) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (!is_contraction(stage) || tile.vector_axis < 0 || tile.vector_reduces) return -1;
  int reduced = 0;
  for (size_t a = static_cast<size_t>(stage.spatial); a < stage.axes.size(); ++a) reduced += stage.axes[a].extent > 1;
  if (reduced != 1) return -1;  // windows overlap: their elements are read again and again
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load || inside_.contains(node.buffer)) continue;
    if (kernel_.buffers[static_cast<size_t>(node.buffer)].role == Role::constant) continue;
    bool vector = false, reduces = false;
    for (const auto& index : node.indices) {
      vector = vector || index.uses(tile.vector_axis);
      for (size_t a = static_cast<size_t>(stage.spatial); a < stage.axes.size(); ++a)
        reduces = reduces || index.uses(static_cast<int>(a));
    }
    if (!vector && reduces) return node.buffer;
  }
  return -1;
}

/// 0: panels of the vector operand outside, rows inside; 1: the other way round. What is inside is read again for every
/// turn of what is outside: that should be what stays in the second-level cache.
int64_t Sketch::cheaper_order(int s, const Tile& tile) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  const int rows = streamed_operand(s, tile);
  if (rows < 0) return 0;
  int64_t weights = 0, tiles = 1;
  for (const auto& node : stage.nodes)
    if (node.op == Op::load && node.buffer != rows &&
        std::any_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(tile.vector_axis); }))
      weights = operand_bytes(node.buffer);
  const int64_t panels =
      ceil_div(stage.axes[static_cast<size_t>(tile.vector_axis)].extent, tile.vector_step(machine_.lanes));
  for (int a = 0; a < stage.spatial; ++a) {
    if (a == tile.vector_axis) continue;
    int64_t step = 1;
    for (const auto& [axis, n] : tile.rows)
      if (axis == a) step = n;
    tiles *= ceil_div(stage.axes[static_cast<size_t>(a)].extent, step);
  }
  auto cost = [&](int64_t bytes,
                  int64_t times) {  // a byte from beyond the second level costs as much as four from there
    return static_cast<double>(bytes) *
           (bytes <= machine_.l2 / 2 ? 4.0 + static_cast<double>(times - 1) : 4.0 * static_cast<double>(times));
  };
  return cost(operand_bytes(rows), panels) + cost(weights, 1) <= cost(operand_bytes(rows), 1) + cost(weights, tiles)
             ? 0
             : 1;
}

}  // namespace rooftune::kernel
