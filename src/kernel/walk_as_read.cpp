// See rewrites.h.
#include <algorithm>
#include <map>
#include <optional>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

/// One digit of an axis in a mixed radix: (axis / divisor) mod modulus; 0: all that is left of it.
struct Digit {
  int axis = -1;
  int64_t divisor = 1, modulus = 0;
};

std::optional<Digit> digit_of(const Index& e) {
  if (e.constant() != 0 || e.terms().size() != 1 || e.terms()[0].coefficient != 1) return std::nullopt;
  const auto& term = e.terms()[0];
  if (term.kind == Index::Term::Kind::variable)
    return term.variable < kNodeVariable ? std::optional(Digit{term.variable}) : std::nullopt;
  auto inner = digit_of(*term.argument);
  if (!inner || inner->modulus != 0) return std::nullopt;
  if (term.kind == Index::Term::Kind::floordiv) inner->divisor *= term.divisor;
  else inner->modulus = term.divisor;
  return inner;
}

/// Walks `map` along the dims of the buffer that it reads at `indices`; false where these are no rearrangement.
bool walk(Kernel& kernel, Stage& map, int read, const std::vector<Index>& indices) {
  const auto& shape = kernel.buffers[static_cast<size_t>(read)].shape;
  struct Part {
    int64_t divisor;
    int dim;
  };
  std::map<int, std::vector<Part>> parts;  // of every axis
  for (size_t d = 0; d < indices.size(); ++d) {
    if (shape[d] == 1 && indices[d] == Index(0)) continue;
    const auto digit = digit_of(indices[d]);
    if (!digit || (digit->modulus != 0 && digit->modulus != shape[d])) return false;
    parts[digit->axis].push_back({digit->divisor, static_cast<int>(d)});
  }
  bool rearranged = false;
  std::vector<Axis> axes;
  const auto& maker = kernel.stages[static_cast<size_t>(kernel.stage_of(read))];
  for (size_t d = 0; d < shape.size(); ++d) axes.push_back({maker.axes[d].name, shape[d], -1});
  std::vector<Index> value(map.axes.size());  // of the old axes
  for (int a = 0; a < map.spatial; ++a) {
    const auto& axis = map.axes[static_cast<size_t>(a)];
    auto& of_axis = parts[a];
    std::sort(of_axis.begin(), of_axis.end(), [](const Part& x, const Part& y) { return x.divisor < y.divisor; });
    int64_t extent = 1;
    Index whole;
    for (const Part& part : of_axis) {
      if (part.divisor != extent) return false;
      extent *= shape[static_cast<size_t>(part.dim)];
      whole = whole + Index::variable(part.dim) * part.divisor;
    }
    if (extent != axis.extent) return false;
    if (of_axis.size() > 1) {
      if (axis.live >= 0) return false;
      rearranged = true;
    } else if (of_axis.size() == 1) {
      axes[static_cast<size_t>(of_axis[0].dim)].live = axis.live;
    }
    value[static_cast<size_t>(a)] = whole;
  }
  if (!rearranged) return false;
  const RangeOf range_of = [&](int v) {
    return v < kNodeVariable ? Range{0, axes[static_cast<size_t>(v)].extent - 1} : Range{-kUnbounded, kUnbounded};
  };
  const auto moved = [&](std::vector<Index>& list) {
    for (auto& e : list)
      e = simplify(
          e.substitute([&](int v) { return v < kNodeVariable ? value[static_cast<size_t>(v)] : Index::variable(v); }),
          range_of);
  };
  for (auto& node : map.nodes) moved(node.indices), moved(node.where);
  moved(map.out_indices);
  map.axes = axes;
  map.spatial = static_cast<int>(axes.size());
  return true;
}

}  // namespace

void walk_maps_as_read(Kernel& kernel) {
  for (auto& map : kernel.stages) {
    if (map.is_reduction() || map.scatters || !map.where.empty()) continue;
    for (const auto& node : map.nodes) {
      if (node.op != Op::load || !node.where.empty()) continue;
      if (kernel.buffers[static_cast<size_t>(node.buffer)].role != Role::temporary) continue;
      const auto from = writers(kernel, node.buffer);
      if (from.size() != 1) continue;
      const auto& maker = kernel.stages[static_cast<size_t>(from[0])];
      if (!is_contraction(maker) || !writes_identity(kernel, maker)) continue;
      const auto indices = node.indices;
      if (walk(kernel, map, node.buffer, indices)) break;
    }
  }
}

}  // namespace rooftune::kernel
