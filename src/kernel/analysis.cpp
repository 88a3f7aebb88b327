#include "kernel/analysis.h"

#include <algorithm>

namespace rooftune::kernel {

std::optional<int64_t> stride(const Kernel& kernel, const Stage& stage, int buffer, const std::vector<Index>& indices,
                              int axis, int lanes) {
  const int block = 1 << 20, lane = block + 1;  // variables no stage uses
  const int64_t extent = stage.axes[static_cast<size_t>(axis)].extent;
  const int64_t width = std::min<int64_t>(lanes, extent);
  const RangeOf axes = axis_ranges(stage);
  const RangeOf range_of = [&](int v) -> Range {
    if (v == block) return {0, (extent - 1) / width};
    if (v == lane) return {0, width - 1};
    return axes(v);
  };
  std::vector<Index> at;
  for (const auto& e : indices)
    at.push_back(simplify(e.substitute([&](int v) {
      return v == axis ? Index::variable(block) * width + Index::variable(lane) : Index::variable(v);
    }),
                          range_of));
  const auto& b = kernel.buffers[static_cast<size_t>(buffer)];
  const Index offset = b.layout.linearize(at, range_of, b.shape);
  if (offset.appears_inside(lane)) return std::nullopt;
  return offset.coefficient(lane);
}

std::optional<int> plain_axis(const Index& index) {
  if (index.constant() != 0 || index.terms().size() != 1) return std::nullopt;
  const auto& term = index.terms()[0];
  if (term.kind != Index::Term::Kind::variable || term.coefficient != 1 || term.variable >= kNodeVariable)
    return std::nullopt;
  return term.variable;
}

bool data_index_along(const Stage& stage, int axis) {
  const std::vector<uint64_t> depends = axis_dependence(stage);
  const auto differs = [&](const Index& index) {
    const auto used = node_variables(index);
    return std::any_of(used.begin(), used.end(),
                       [&](int n) { return (depends[static_cast<size_t>(n)] >> axis & 1) != 0; });
  };
  return std::any_of(stage.nodes.begin(), stage.nodes.end(),
                     [&](const ExprNode& n) { return std::any_of(n.indices.begin(), n.indices.end(), differs); }) ||
         std::any_of(stage.out_indices.begin(), stage.out_indices.end(), differs);
}

Layout fitted(const Layout& pattern, const std::vector<int64_t>& shape) {
  if (pattern.empty()) return Layout::row_major(shape);
  auto axes = pattern.axes();
  for (auto& axis : axes) {
    int64_t outer = 0;  // the next larger divisor of the same dim
    for (const auto& other : axes)
      if (other.dim == axis.dim && other.divisor > axis.divisor && (outer == 0 || other.divisor < outer))
        outer = other.divisor;
    const int64_t whole = shape[static_cast<size_t>(axis.dim)];
    axis.extent = outer > 0 ? outer / axis.divisor : (whole + axis.divisor - 1) / axis.divisor;
  }
  return Layout(axes);
}

namespace {

bool uses_data(const ExprNode& load) {
  auto is_data = [](const Index& e) { return !node_variables(e).empty(); };
  return std::any_of(load.indices.begin(), load.indices.end(), is_data) ||
         std::any_of(load.where.begin(), load.where.end(), is_data);
}

}  // namespace

std::vector<int> readers(const Kernel& kernel, int buffer) {
  std::vector<int> result;
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    for (const auto& node : kernel.stages[s].nodes)
      if (node.op == Op::load && node.buffer == buffer) {
        result.push_back(static_cast<int>(s));
        break;
      }
  return result;
}

std::vector<int> writers(const Kernel& kernel, int buffer) {
  std::vector<int> result;
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    if (kernel.stages[s].buffer == buffer) result.push_back(static_cast<int>(s));
  return result;
}

bool writes_identity(const Kernel& kernel, const Stage& stage) {
  const auto& shape = kernel.buffers[static_cast<size_t>(stage.buffer)].shape;
  if (static_cast<int>(shape.size()) != stage.spatial) return false;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (stage.axes[d].extent != shape[d]) return false;
    if (shape[d] > 1 && !(stage.out_indices[d] == Index::variable(static_cast<int>(d)))) return false;
  }
  return true;
}

bool reads_identity(const Kernel& kernel, const Stage& stage, int buffer) {
  const auto& shape = kernel.buffers[static_cast<size_t>(buffer)].shape;
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load || node.buffer != buffer) continue;
    for (size_t d = 0; d < shape.size(); ++d)
      if (shape[d] > 1 && plain_axis(node.indices[d]) != static_cast<int>(d)) return false;
  }
  return true;
}

bool is_contraction(const Stage& stage) {
  if (stage.reduction != Reduction::sum || stage.nodes.empty() || stage.nodes.back().op != Op::mul) return false;
  return std::count_if(stage.nodes.begin(), stage.nodes.end(), [](const ExprNode& n) { return n.op == Op::load; }) >= 2;
}

DotOperands dot_operands(const Kernel& kernel, const Stage& stage) {
  if (!stage.is_reduction() || stage.reduction != Reduction::sum || stage.nodes.empty()) return {};
  const auto& product = stage.nodes.back();
  if (product.op != Op::mul || product.type != kernel.buffers[static_cast<size_t>(stage.buffer)].dtype) return {};
  int width = 0;
  auto node = [&](int n) -> const ExprNode& { return stage.nodes[static_cast<size_t>(n)]; };
  auto widened_load = [&](int n, int& shift) {
    if (node(n).op != Op::cast || node(n).type != product.type) return -1;
    n = node(n).a;
    if (const auto& low = node(n); low.op == Op::bit_and && low.type == DType::u8) {
      if (node(low.b).op != Op::constant || node(low.b).value != 15 || node(low.a).op != Op::shift_right) return -1;
      n = node(low.a).a, shift = node(low.a).b;
      if (node(shift).op != Op::constant && node(shift).op != Op::index) return -1;
    }
    const auto& load = node(n);
    if (load.op != Op::load || uses_data(load)) return -1;
    const bool bytes = product.type == DType::i32 && (load.type == DType::i8 || load.type == DType::u8);
    const bool halves = product.type == DType::f32 && load.type == DType::bf16;
    width = bytes ? 4 : halves ? 2 : 0;
    return width > 0 ? n : -1;
  };
  DotOperands found;
  found.a = widened_load(product.a, found.shift_a);
  found.b = found.a < 0 ? -1 : widened_load(product.b, found.shift_b);
  found.width = width;
  return found.b < 0 ? DotOperands{} : found;
}

namespace {

bool loads_only_constants(const Kernel& kernel, const Stage& stage) {
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load) continue;
    const auto& buffer = kernel.buffers[static_cast<size_t>(node.buffer)];
    if (buffer.role == Role::constant) continue;
    if (buffer.role != Role::temporary) return false;
    for (int w : writers(kernel, node.buffer))
      if (!loads_only_constants(kernel, kernel.stages[static_cast<size_t>(w)])) return false;
  }
  return true;
}

}  // namespace

bool reads_only_constants(const Kernel& kernel, const Stage& stage) {
  if (!stage.scatters) return loads_only_constants(kernel, stage);
  const auto all = writers(kernel, stage.buffer);  // it reads what the others wrote
  return std::all_of(all.begin(), all.end(),
                     [&](int w) { return loads_only_constants(kernel, kernel.stages[static_cast<size_t>(w)]); });
}

}  // namespace rooftune::kernel
