// Exporters flatten [batch, seq, hidden] to two dims before a linear layer and unflatten after it. A MatMul with a
// two-dim weight needs neither, and without them the residual sums and normalisations around it have one shape, so they
// fuse (the first Reshape then changes nothing, and goes). Late, when Gemm has become MatMul and Add and activations are single nodes.
#include "ops/op.h"
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

using ir::Dim;
using ir::Shape;

/// The shape of a tensor of known rank, else empty.
Shape shape_of(const Graph& graph, ValueId value) {
  const Type& type = graph.type(value);
  return type.is_tensor() && type.has_rank() ? type.shape() : Shape();
}

/// The other operand of an element-wise node is the same for all rows: a constant that has at most the last dim.
bool same_for_all_rows(const Graph& graph, const Node& node, ValueId along) {
  for (ValueId input : node.inputs) {
    if (input == kNone || input == along) continue;
    const Tensor* constant = graph.constant(input);
    if (!constant || constant->rank() > 1) return false;
  }
  return true;
}

/// Whether the node treats every row (last dim) of `along` alike, whatever dims the rows are arranged in.
bool works_on_rows(const Graph& graph, const Node& node, ValueId along) {
  if (is_op(node, "MatMul")) {
    const Tensor* weight = graph.constant(node.inputs[1]);
    return node.inputs[0] == along && weight && weight->rank() == 2;
  }
  const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
  return def && def->pattern == ops::Pattern::elementwise && only_output(node) != kNone &&
         same_for_all_rows(graph, node, along);
}

/// The nodes from the value up to a Reshape that nothing but the next one reads, that Reshape last; empty where the
/// chain is of another kind.
std::vector<NodeId> chain_to_reshape(const Graph& graph, ValueId value) {
  std::vector<NodeId> chain;
  bool product = false;
  while (true) {
    const NodeId next = only_consumer(graph, value);
    if (next == kNone) return {};
    const Node& node = graph.node(next);
    chain.push_back(next);
    if (is_op(node, "Reshape")) return product && node.inputs[0] == value ? chain : std::vector<NodeId>();
    if (!works_on_rows(graph, node, value)) return {};
    product |= is_op(node, "MatMul");
    value = only_output(node);
  }
}

/// Reshape → (MatMul, element-wise)* → Reshape that only arranges the rows anew: the first one does that already.
bool cancel(Graph& graph, NodeId id) {
  const Node& first = graph.node(id);
  if (!is_op(first, "Reshape") || !single_use(graph, first.outputs[0])) return false;
  const std::vector<NodeId> chain = chain_to_reshape(graph, first.outputs[0]);
  if (chain.empty()) return false;
  const Node& last = graph.node(chain.back());
  const Shape flat = shape_of(graph, first.outputs[0]), end = shape_of(graph, last.outputs[0]);
  const Shape before = shape_of(graph, last.inputs[0]);
  if (flat.empty() || end.empty() || before.empty() || !(end.back() == before.back())) return false;
  Shape wide = end;
  wide.back() = flat.back();
  if (!ir::is_static(wide) || !ir::is_static(flat) || element_count(wide) == 0) return false;

  const ValueId from = first.inputs[0], result = last.inputs[0];
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    const ValueId output = only_output(graph.node(chain[i]));
    Shape shape = end;
    shape.back() = graph.type(output).shape().back();
    graph.value(output).type = Type::tensor(graph.type(output).dtype(), shape);
  }
  const ValueId target = add_ints(graph, first.name + "_rows", ir::static_values(wide));
  graph.value(first.outputs[0]).type = Type::tensor(graph.type(from).dtype(), wide);
  replace_node(graph, id, "Reshape", {from, target});
  forward(graph, chain.back(), result);
  return true;
}

}  // namespace

bool cancel_reshapes(Graph& graph, PassContext&) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order()))
    if (graph.alive(id)) changed |= cancel(graph, id);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
