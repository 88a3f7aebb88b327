#include "passes/lower_group.h"

#include "ops/half.h"
#include "passes/partition.h"

namespace rooftune::passes {
namespace {

/// A type that kernels can hold; else the reason.
std::string why_no_buffer(const ir::Value& value) {
  if (!value.type.is_tensor()) return fmt::format("'{}' is not a tensor", value.name);
  if (!value.type.is_static()) return fmt::format("'{}' has no static shape ({})", value.name, value.type.to_string());
  auto dtype = value.type.dtype();
  if (value.constant) dtype = ops::held_as(dtype, {}).dtype;
  if (dtype == ir::DType::string || ir::bit_width(dtype) < 8) {
    if (dtype != ir::DType::boolean) return fmt::format("'{}' is of type {}", value.name, ir::name(dtype));
  }
  for (int64_t d : ir::static_values(value.type.shape()))
    if (d == 0) return fmt::format("'{}' is empty", value.name);
  return "";
}

/// What no stage reads (the shape that a Reshape is given) is no buffer of the kernel.
void drop_unread(LoweredGroup& group) {
  auto& kernel = group.kernel;
  std::vector<bool> used(kernel.buffers.size());
  for (size_t b = 0; b < used.size(); ++b)
    used[b] = kernel.buffers[b].role != kernel::Role::input && kernel.buffers[b].role != kernel::Role::constant;
  for (const auto& stage : kernel.stages)
    for (const auto& node : stage.nodes)
      if (node.op == kernel::Op::load) used[static_cast<size_t>(node.buffer)] = true;
  std::vector<int> number(used.size(), -1);
  int next = 0;
  for (size_t b = 0; b < used.size(); ++b) {
    if (!used[b]) continue;
    number[b] = next++;
    if (number[b] == static_cast<int>(b)) continue;
    kernel.buffers[static_cast<size_t>(number[b])] = std::move(kernel.buffers[b]);
    group.values[static_cast<size_t>(number[b])] = group.values[b];
  }
  kernel.buffers.resize(static_cast<size_t>(next));
  group.values.resize(static_cast<size_t>(next));
  for (auto& stage : kernel.stages) {
    stage.buffer = number[static_cast<size_t>(stage.buffer)];
    for (auto& node : stage.nodes)
      if (node.op == kernel::Op::load) node.buffer = number[static_cast<size_t>(node.buffer)];
  }
}

}  // namespace

std::optional<LoweredGroup> lower_group(const ir::Graph& graph, const ir::Group& group, const Layouts& layouts,
                                        std::string& why) {
  LoweredGroup result;
  auto& kernel = result.kernel;
  kernel.name = group.name;
  std::map<ir::ValueId, int> buffer_of;
  auto layout_of = [&](ir::ValueId v, const std::vector<int64_t>& shape) {
    const auto found = layouts.find(v);
    return found == layouts.end() ? kernel::Layout::row_major(shape) : found->second;
  };
  for (ir::ValueId v : group.inputs) {
    const auto& value = graph.value(v);
    if (why = why_no_buffer(value); !why.empty()) return std::nullopt;
    const auto [dtype, shape] = ops::held_as(value.type.dtype(), ir::static_values(value.type.shape()));
    const int buffer =
        kernel.add_buffer(value.name, dtype, shape, value.constant ? kernel::Role::constant : kernel::Role::input);
    if (!value.constant) kernel.buffers[static_cast<size_t>(buffer)].layout = layout_of(v, shape);
    buffer_of[v] = buffer;
    result.values.push_back(v);
  }
  for (ir::NodeId id : group.nodes) {
    const auto& node = graph.node(id);
    const auto& def = ops::Catalogue::instance().at(node);
    if (!def.lower) {
      why = why_no_kernel(graph, node);
      return std::nullopt;
    }
    for (ir::ValueId v : node.outputs)
      if (v != ir::kNone)
        if (why = why_no_buffer(graph.value(v)); !why.empty()) return std::nullopt;
    std::vector<int> inputs;
    for (ir::ValueId v : node.inputs) inputs.push_back(v == ir::kNone ? -1 : buffer_of.at(v));
    const auto lowered = ops::lower_node(graph, node, kernel, inputs);
    if (!lowered.rejection.empty()) {
      why = fmt::format("{}: {}", node.op, lowered.rejection);
      return std::nullopt;
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == ir::kNone) continue;
      if (i >= lowered.outputs.size() || lowered.outputs[i] < 0) {
        why = fmt::format("{} does not lower its output {}", node.op, i);
        return std::nullopt;
      }
      // What is stored is rounded, and so is what reads it: it may read it where it is stored.
      const ir::ValueId v = node.outputs[i];
      const bool stored = std::find(group.outputs.begin(), group.outputs.end(), v) != group.outputs.end();
      buffer_of[v] = stored ? ops::rounded(kernel, lowered.outputs[i], graph.type(v).dtype()) : lowered.outputs[i];
    }
  }
  result.values.resize(kernel.buffers.size(), ir::kNone);
  for (ir::ValueId v : group.outputs) {
    int buffer = buffer_of.at(v);
    if (kernel.buffers[static_cast<size_t>(buffer)].role != kernel::Role::temporary) {  // an input passed on: copy it
      const auto shape = kernel.buffers[static_cast<size_t>(buffer)].shape;
      std::vector<kernel::Axis> axes;
      std::vector<kernel::Index> at;
      for (size_t d = 0; d < shape.size(); ++d) {
        axes.push_back({"d" + std::to_string(d), shape[d]});
        at.push_back(kernel::Index::variable(static_cast<int>(d)));
      }
      kernel::StageBuilder copy(kernel, graph.value(v).name + "_copy", axes);
      buffer = copy.finish(copy.load(buffer, at));
      result.values.resize(kernel.buffers.size(), ir::kNone);
    }
    auto& b = kernel.buffers[static_cast<size_t>(buffer)];
    b.role = kernel::Role::output;
    b.layout = layout_of(v, b.shape);
    result.values[static_cast<size_t>(buffer)] = v;
  }
  drop_unread(result);
  return result;
}

}  // namespace rooftune::passes
