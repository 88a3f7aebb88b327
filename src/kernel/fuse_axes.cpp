// See rewrites.h.
#include <algorithm>
#include <map>
#include <set>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

/// A pair of neighbouring axes (a, a+1) of some stages and of dims (d, d+1) of the temporaries between them, which can
/// only be fused together.
struct Pair {
  std::map<int, int> axis_of_stage;
  std::map<int, int> dim_of_buffer;
  int live = -1;  // of the outer axis
};

bool uses_pair(const Index& e, int a) { return e.uses(a) || e.uses(a + 1); }

/// Whether the access is linear in p when axes (a, a+1) become (p / extent, p mod extent).
bool contiguous(const Kernel& kernel, const Stage& stage, int buffer, const std::vector<Index>& indices, int a) {
  const int p = static_cast<int>(stage.axes.size());
  const int64_t inner = stage.axes[static_cast<size_t>(a) + 1].extent;
  const int64_t total = stage.axes[static_cast<size_t>(a)].extent * inner;
  const auto ranges = axis_ranges(stage);
  const RangeOf range_of = [&](int v) { return v == p ? Range{0, total - 1} : ranges(v); };
  std::vector<Index> at;
  for (const auto& e : indices)
    at.push_back(simplify(e.substitute([&](int v) -> Index {
      if (v == a) return floordiv(Index::variable(p), inner, range_of);
      if (v == a + 1) return mod(Index::variable(p), inner, range_of);
      return Index::variable(v);
    }),
                          range_of));
  const auto& b = kernel.buffers[static_cast<size_t>(buffer)];
  return !b.layout.linearize(at, range_of, b.shape).appears_inside(p);
}

/// Follows the pair through temporaries. False where some access needs the axes apart.
bool grow(const Kernel& kernel, Pair& pair, int stage_id, int a) {
  const auto found = pair.axis_of_stage.find(stage_id);
  if (found != pair.axis_of_stage.end()) return found->second == a;
  const auto& stage = kernel.stages[static_cast<size_t>(stage_id)];
  if (a < 0 || a + 1 >= stage.spatial) return false;
  if (stage.axes[static_cast<size_t>(a)].extent < 2 || stage.axes[static_cast<size_t>(a) + 1].extent < 2) return false;
  // What is live of the fused axis must begin at its first element and have no holes.
  if (stage.axes[static_cast<size_t>(a) + 1].live >= 0) return false;
  if (pair.axis_of_stage.empty()) pair.live = stage.axes[static_cast<size_t>(a)].live;
  if (stage.axes[static_cast<size_t>(a)].live != pair.live) return false;
  pair.axis_of_stage[stage_id] = a;
  for (const auto& w : stage.where)
    if (uses_pair(w, a)) return false;
  auto visit = [&](int buffer, const std::vector<Index>& indices) {
    if (std::none_of(indices.begin(), indices.end(), [&](const Index& e) { return uses_pair(e, a); })) return true;
    if (kernel.buffers[static_cast<size_t>(buffer)].role != Role::temporary)
      return contiguous(kernel, stage, buffer, indices, a);
    int dim = -1;
    for (size_t d = 0; d + 1 < indices.size(); ++d)
      if (plain_axis(indices[d]) == a && plain_axis(indices[d + 1]) == a + 1) dim = static_cast<int>(d);
    for (size_t d = 0; d < indices.size(); ++d)
      if (static_cast<int>(d) != dim && static_cast<int>(d) != dim + 1 && uses_pair(indices[d], a)) return false;
    const auto known = pair.dim_of_buffer.find(buffer);
    if (known != pair.dim_of_buffer.end()) return known->second == dim;
    if (dim < 0) return false;
    pair.dim_of_buffer[buffer] = dim;
    for (int other : writers(kernel, buffer)) {
      const auto& s = kernel.stages[static_cast<size_t>(other)];
      const auto axis = plain_axis(s.out_indices[static_cast<size_t>(dim)]);
      if (!axis || !grow(kernel, pair, other, *axis)) return false;
    }
    for (int other : readers(kernel, buffer))
      for (const auto& node : kernel.stages[static_cast<size_t>(other)].nodes) {
        if (node.op != Op::load || node.buffer != buffer) continue;
        const auto axis = plain_axis(node.indices[static_cast<size_t>(dim)]);
        if (!axis || !grow(kernel, pair, other, *axis)) return false;
      }
    return true;
  };
  if (!visit(stage.buffer, stage.out_indices)) return false;
  for (const auto& node : stage.nodes) {
    if (node.op == Op::index && uses_pair(node.indices[0], a)) return false;
    if (node.op != Op::load) continue;
    for (const auto& w : node.where)
      if (uses_pair(w, a)) return false;
    if (!visit(node.buffer, node.indices)) return false;
  }
  return true;
}

void apply(Kernel& kernel, const Pair& pair) {
  for (const auto& [stage_id, a] : pair.axis_of_stage) {
    auto& stage = kernel.stages[static_cast<size_t>(stage_id)];
    const int64_t inner = stage.axes[static_cast<size_t>(a) + 1].extent;
    auto& axis = stage.axes[static_cast<size_t>(a)];
    axis.name += stage.axes[static_cast<size_t>(a) + 1].name;
    axis.extent *= inner;
    if (axis.live >= 0) axis.live = kernel.parameter(kernel.parameters[static_cast<size_t>(axis.live)] * inner);
    stage.axes.erase(stage.axes.begin() + a + 1);
    --stage.spatial;
    const auto range_of = axis_ranges(stage);
    auto fused = [&, a = a](const Index& e) {
      return simplify(e.substitute([&](int v) -> Index {
        if (v == a) return floordiv(Index::variable(a), inner, range_of);
        if (v == a + 1) return mod(Index::variable(a), inner, range_of);
        return Index::variable(v > a + 1 && v < kNodeVariable ? v - 1 : v);
      }),
                      range_of);
    };
    auto rewrite = [&, a = a](int buffer, std::vector<Index>& indices) {
      const auto temporary = pair.dim_of_buffer.find(buffer);
      if (temporary != pair.dim_of_buffer.end()) {
        const auto d = static_cast<size_t>(temporary->second);
        indices.erase(indices.begin() + static_cast<std::ptrdiff_t>(d) + 1);
        indices[d] = Index::variable(a);
        for (size_t i = 0; i < indices.size(); ++i)
          if (i != d) indices[i] = fused(indices[i]);
      } else {
        for (auto& e : indices) e = fused(e);
      }
    };
    rewrite(stage.buffer, stage.out_indices);
    for (auto& node : stage.nodes) {
      if (node.op == Op::load) rewrite(node.buffer, node.indices);
      else
        for (auto& e : node.indices) e = fused(e);
      for (auto& e : node.where) e = fused(e);
    }
    for (auto& e : stage.where) e = fused(e);
  }
  for (const auto& [buffer_id, d] : pair.dim_of_buffer) {
    auto& buffer = kernel.buffers[static_cast<size_t>(buffer_id)];
    buffer.shape[static_cast<size_t>(d)] *= buffer.shape[static_cast<size_t>(d) + 1];
    buffer.shape.erase(buffer.shape.begin() + d + 1);
    buffer.layout = Layout::row_major(buffer.shape);
  }
}

}  // namespace

void fuse_axes(Kernel& kernel) {
  for (bool again = true; again;) {
    again = false;
    for (int s = 0; s < static_cast<int>(kernel.stages.size()) && !again; ++s) {
      for (int a = kernel.stages[static_cast<size_t>(s)].spatial - 2; a >= 0 && !again; --a) {
        Pair pair;
        if (!grow(kernel, pair, s, a)) continue;
        apply(kernel, pair);
        again = true;
      }
    }
  }
}

}  // namespace rooftune::kernel
