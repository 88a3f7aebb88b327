#include "passes/partition.h"

#include "ops/half.h"
#include "passes/fusion_rules.h"
#include "passes/grouping.h"
#include "passes/loops.h"

namespace rooftune::passes {

std::string_view name(GroupKind kind) {
  switch (kind) {
    case GroupKind::contraction: return "contraction";
    case GroupKind::attention: return "attention";
    case GroupKind::reduction: return "reduction";
    case GroupKind::elementwise: return "elementwise";
    case GroupKind::movement: return "movement";
    case GroupKind::single: return "single";
    case GroupKind::reference: return "reference";
  }
  return "?";
}

namespace {

/// Element types that kernels compute with.
bool computes(ir::DType dtype) {
  using ir::DType;
  switch (dtype) {
    case DType::f32:
    case DType::f16:
    case DType::bf16:
    case DType::f64:
    case DType::i32:
    case DType::i64:
    case DType::boolean:
    case DType::u8:
    case DType::i8: return true;
    default: return false;
  }
}

/// Adds the value as an input of a kernel, or says why it cannot be one.
std::string add_buffer(const Graph& graph, ValueId value, kernel::Kernel& kernel, int& buffer) {
  const Type& type = graph.type(value);
  if (!type.is_static())
    return fmt::format("'{}' has the type {}, which is not static", graph.value(value).name, type.to_string());
  const auto held = ops::held_as(type.dtype(), ir::static_values(type.shape()));
  if (!computes(type.dtype()) && (!computes(held.dtype) || !graph.constant(value)))
    return fmt::format("'{}' has elements of type {}", graph.value(value).name, ir::name(type.dtype()));
  buffer = kernel.add_buffer(graph.value(value).name, held.dtype, held.shape, kernel::Role::input);
  return "";
}

}  // namespace

std::string why_no_kernel(const Graph& graph, const Node& node) {
  const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
  if (def && def->expand) {
    const std::string why = ops::expansion(graph, node).rejection();
    const char* pass = def->expand_for_kernels ? "expand_for_kernels" : "expand_operators";
    return fmt::format("{}: not expanded: {}", node.op,
                       why.empty() ? fmt::format("the pass {} did not run", pass) : why);
  }
  if (is_op(node, "Scan"))
    if (const std::string why = why_not_flat(graph, node); !why.empty()) return "Scan: " + why;
  if (!def || !def->lower) return node.op + ": no lowering";
  kernel::Kernel kernel;
  std::vector<int> inputs;
  for (ValueId input : node.inputs) {
    inputs.push_back(-1);
    if (input == kNone) continue;
    if (const std::string why = add_buffer(graph, input, kernel, inputs.back()); !why.empty())
      return node.op + ": " + why;
  }
  for (ValueId output : node.outputs) {
    int unused = -1;
    if (output == kNone) continue;
    if (const std::string why = add_buffer(graph, output, kernel, unused); !why.empty()) return node.op + ": " + why;
  }
  return ops::lower_node(graph, node, kernel, inputs)
      .rejection;  // the only way to know whether it takes these attributes
}

Partitioned partition(const Graph& graph, const PartitionOptions& options) {
  Grouping grouping(graph, options);
  if (options.fuse) apply_fusion_rules(grouping);
  for (NodeId id : graph.order()) {
    if (!grouping.is_free(id)) continue;
    const std::string& why = grouping.no_kernel(id);
    const ops::Pattern pattern = grouping.pattern(id);
    GroupKind kind = GroupKind::single;
    if (!why.empty()) kind = GroupKind::reference;
    else if (pattern == ops::Pattern::contraction) kind = GroupKind::contraction;
    else if (pattern == ops::Pattern::reduction) kind = GroupKind::reduction;
    else if (pattern == ops::Pattern::elementwise) kind = GroupKind::elementwise;
    else if (pattern == ops::Pattern::injective) kind = GroupKind::movement;
    grouping.start(id, kind);
    if (!why.empty()) grouping.explain(id, why);
  }
  Partitioned result = grouping.finish();
  verify(graph, result.partition);
  return result;
}

void verify(const Graph& graph, const ir::Partition& partition) {
  std::set<NodeId> done;
  std::vector<bool> ready(graph.value_capacity(), false);
  for (size_t i = 0; i < graph.value_capacity(); ++i)
    if (const auto id = static_cast<ValueId>(i); graph.value_alive(id)) ready[i] = graph.value(id).producer == kNone;
  const auto consumers = graph.consumer_table();
  for (const ir::Group& group : partition.groups) {
    const std::set<ValueId> reads(group.inputs.begin(), group.inputs.end());
    const std::set<ValueId> writes(group.outputs.begin(), group.outputs.end());
    for (ValueId input : group.inputs)
      RT_CHECK(ready[static_cast<size_t>(input)], "group '{}' reads '{}' before it is computed", group.name,
               graph.value(input).name);
    std::set<ValueId> inside;
    const std::set<NodeId> members(group.nodes.begin(), group.nodes.end());
    for (NodeId id : group.nodes) {
      RT_CHECK(graph.alive(id) && done.insert(id).second, "node {} stands in two groups", id);
      for (ValueId value : ir::used_values(graph.node(id)))
        RT_CHECK(inside.count(value) || reads.count(value), "group '{}' does not state its input '{}'", group.name,
                 graph.value(value).name);
      for (ValueId value : graph.node(id).outputs) {
        if (value == kNone) continue;
        inside.insert(value);
        const auto& readers = consumers[static_cast<size_t>(value)];
        const bool needed = graph.is_output(value) ||
                            std::any_of(readers.begin(), readers.end(), [&](NodeId r) { return !members.count(r); });
        RT_CHECK(needed == (writes.count(value) > 0), "group '{}' is wrong about its output '{}'", group.name,
                 graph.value(value).name);
      }
    }
    for (ValueId output : group.outputs) ready[static_cast<size_t>(output)] = true;
  }
  RT_CHECK(done.size() == graph.order().size(), "{} of {} nodes are in a group", done.size(), graph.order().size());
}

}  // namespace rooftune::passes
