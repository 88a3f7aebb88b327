#include "ops/half.h"

#include <map>

#include "kernel/nodes.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::ExprNode;
using kernel::Kernel;
using kernel::Op;
using kernel::Stage;

/// Makes loads of stand-ins loads of what they stand for, widened.
void widen_loads(Stage& stage, const std::map<int, int>& source, const Kernel& kernel) {
  const auto stands_in = [&](const ExprNode& n) { return n.op == Op::load && source.contains(n.buffer); };
  if (std::none_of(stage.nodes.begin(), stage.nodes.end(), stands_in)) return;
  std::vector<ExprNode> nodes;
  std::vector<int> moved;
  for (ExprNode n : stage.nodes) {
    kernel::for_each_argument(n, [&](int& a) { a = moved[static_cast<size_t>(a)]; });
    kernel::for_each_index(n, [&](Index& e) { e = kernel::renumber(e, moved); });
    if (stands_in(n)) {
      n.buffer = source.at(n.buffer);
      n.type = kernel.buffers[static_cast<size_t>(n.buffer)].dtype;
      const int narrow = kernel::intern(nodes, std::move(n));
      n = {Op::cast, DType::f32, narrow};
    }
    moved.push_back(kernel::intern(nodes, std::move(n)));
  }
  stage.nodes = std::move(nodes);
  for (Index& e : stage.where) e = kernel::renumber(e, moved);
  for (Index& e : stage.out_indices) e = kernel::renumber(e, moved);
  kernel::keep_needed(stage, moved.back());
}

/// Appends the rounding to a stage's value; none where that was widened from the same type.
void round_value(Stage& stage, DType dtype) {
  const int last = static_cast<int>(stage.nodes.size()) - 1;
  const ExprNode& value = stage.nodes.back();
  if (value.op == Op::cast && stage.nodes[static_cast<size_t>(value.a)].type == dtype)
    return kernel::keep_needed(stage, value.a);
  stage.nodes.push_back({Op::cast, dtype, last});
}

}  // namespace

Held held_as(DType dtype, std::vector<int64_t> shape) {
  if (dtype != DType::u4 && dtype != DType::i4) return {dtype, std::move(shape)};
  if (!shape.empty() && shape.back() % 2 == 0) {
    shape.back() /= 2;
    return {DType::u8, std::move(shape)};
  }
  int64_t count = 1;
  for (int64_t d : shape) count *= d;
  return {DType::u8, {(count + 1) / 2}};
}

LoweredNode lower_node(const Graph& graph, const Node& node, Kernel& kernel, const std::vector<int>& inputs) {
  const size_t buffers = kernel.buffers.size(), stages = kernel.stages.size();
  std::map<int, int> stand_in, source;
  std::vector<int> wide = inputs;
  for (int& b : wide) {
    if (b < 0 || !is_half(kernel.buffers[static_cast<size_t>(b)].dtype)) continue;
    const auto [found, fresh] = stand_in.emplace(b, -1);
    if (fresh) {
      const kernel::Buffer narrow = kernel.buffers[static_cast<size_t>(b)];
      found->second = kernel.add_buffer(narrow.name, DType::f32, narrow.shape, narrow.role);
      source[found->second] = b;
    }
    b = found->second;
  }
  LowerContext context(graph, node, kernel, wide);
  Catalogue::instance().at(node).lower(context);
  LoweredNode result{context.outputs(), context.rejection()};
  if (!result.rejection.empty()) return result;
  for (size_t s = stages; s < kernel.stages.size(); ++s) widen_loads(kernel.stages[s], source, kernel);
  // Nothing reads the stand-ins any more.
  const auto first = kernel.buffers.begin() + static_cast<std::ptrdiff_t>(buffers);
  const int count = static_cast<int>(source.size());
  kernel.buffers.erase(first, first + count);
  const auto renumber = [&](int& b) {
    if (const auto found = source.find(b); found != source.end()) b = found->second;
    else if (b >= static_cast<int>(buffers)) b -= count;
  };
  for (int& b : result.outputs) renumber(b);
  for (size_t s = stages; s < kernel.stages.size(); ++s) {
    renumber(kernel.stages[s].buffer);
    for (ExprNode& n : kernel.stages[s].nodes)
      if (n.op == Op::load) renumber(n.buffer);
  }
  return result;
}

int rounded(Kernel& kernel, int buffer, DType dtype) {
  auto& from = kernel.buffers[static_cast<size_t>(buffer)];
  if (from.dtype == dtype) return buffer;
  bool by_maps = from.role == kernel::Role::temporary;  // which can round by themselves
  for (const Stage& s : kernel.stages) {
    by_maps = by_maps && (s.buffer != buffer || s.reduction == kernel::Reduction::none);
    for (const ExprNode& n : s.nodes) by_maps = by_maps && (n.op != Op::load || n.buffer != buffer);
  }
  if (by_maps) {
    from.dtype = dtype;
    for (Stage& s : kernel.stages)
      if (s.buffer == buffer) round_value(s, dtype);
    return buffer;
  }
  const std::vector<int64_t> shape = from.shape;
  StageBuilder stage(kernel, stage_name(kernel, "rounded"), axes_of(shape));
  return stage.finish(stage.cast(stage.load(buffer, axis_indices(static_cast<int>(shape.size()))), dtype));
}

}  // namespace rooftune::ops
