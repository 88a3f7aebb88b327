#include "codegen/cpu/regions.h"

#include <algorithm>

#include "base/error.h"

namespace rooftune::codegen {
namespace {

// Bounds of one index expression when each axis runs over [base, base + extent): lower corner and extent; false where
// they are not linear.
bool bounds_of(const Index& index, const Region& axes, Variables& variables, Index& base, int64_t& extent) {
  std::vector<int> offset_of(axes.base.size(), -1);
  std::vector<int64_t> extent_of;
  bool known = true;
  Index e = index.substitute([&](int axis) -> Index {
    if (axis >= kernel::kParameterVariable) return Index::variable(variables.of_parameter(axis));
    if (axis >= kernel::kNodeVariable) {
      known = false;
      return Index(0);
    }
    const auto a = static_cast<size_t>(axis);
    if (axes.extent[a] == 1) return axes.base[a];
    if (offset_of[a] < 0) offset_of[a] = variables.add({0, axes.extent[a] - 1});
    return axes.base[a] + Index::variable(offset_of[a]);
  });
  if (!known) return false;
  e = simplify(e, variables.range_of());
  int64_t span = 0;
  for (size_t a = 0; a < offset_of.size(); ++a) {
    if (offset_of[a] < 0) continue;
    if (e.appears_inside(offset_of[a])) return false;
    const int64_t c = e.coefficient(offset_of[a]);
    span += std::abs(c) * (axes.extent[a] - 1);
  }
  base = e.substitute([&](int v) -> Index {
    for (size_t a = 0; a < offset_of.size(); ++a)
      if (offset_of[a] == v) return Index(e.coefficient(v) < 0 ? axes.extent[a] - 1 : 0);
    return Index::variable(v);
  });
  // A vector's lanes are part of the region, not of its corner.
  if (base.uses(Variables::kLane)) {
    if (base.appears_inside(Variables::kLane)) return false;
    const int64_t c = base.coefficient(Variables::kLane);
    const int64_t lanes = variables.range(Variables::kLane).hi;
    span += std::abs(c) * lanes;
    base = base - Index::variable(Variables::kLane) * c + Index(c < 0 ? c * lanes : 0);
  }
  extent = span + 1;
  return true;
}

void merge(Region& needed, size_t dim, const Index& base, int64_t extent, int64_t whole) {
  if (needed.extent[dim] == 0) {
    needed.base[dim] = base;
    needed.extent[dim] = extent;
    return;
  }
  const Index difference = base - needed.base[dim];
  if (!difference.is_constant()) {
    needed.base[dim] = Index(0);
    needed.extent[dim] = whole;
    return;
  }
  const int64_t d = difference.constant();
  const int64_t lo = std::min<int64_t>(0, d);
  const int64_t hi = std::max(needed.extent[dim], d + extent);
  needed.base[dim] = needed.base[dim] + Index(lo);
  needed.extent[dim] = hi - lo;
}

}  // namespace

void add_reads(const kernel::Kernel& kernel, const kernel::Stage& stage, const Region& axes, int buffer,
               Variables& variables, Region& needed) {
  const auto& shape = kernel.buffers[static_cast<size_t>(buffer)].shape;
  if (needed.base.empty()) {
    needed.base.assign(shape.size(), Index(0));
    needed.extent.assign(shape.size(), 0);
  }
  for (const auto& node : stage.nodes) {
    if (node.op != kernel::Op::load || node.buffer != buffer) continue;
    for (size_t d = 0; d < shape.size(); ++d) {
      Index base;
      int64_t extent = 0;
      if (!bounds_of(node.indices[d], axes, variables, base, extent) || extent >= shape[d])
        base = Index(0), extent = shape[d];
      merge(needed, d, base, extent, shape[d]);
    }
  }
}

}  // namespace rooftune::codegen
