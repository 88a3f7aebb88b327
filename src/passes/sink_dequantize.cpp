// What is quantised stays so as long as it is only moved: op(DequantizeLinear(x)) becomes DequantizeLinear(op(x)) where op
// moves elements or picks the largest, and a QuantizeLinear that undoes a DequantizeLinear goes. Bytes are moved then and
// not floats, and contractions see the DequantizeLinear that integer_contractions looks for. After constants are folded
// and noops are gone.
#include <set>

#include "passes/edit.h"
#include "passes/pass.h"
#include "passes/quantised.h"

namespace rooftune::passes {
namespace {

bool moves(const Node& node) {
  static const std::set<std::string, std::less<>> names = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten",
                                                           "Slice",   "Expand",    "MaxPool", "Identity"};
  return node.domain.empty() && names.contains(node.op);
}

/// The DequantizeLinear of one scale that makes the value, of bytes.
const Node* dequantize_of(const Graph& graph, ValueId value) {
  const Node* node = maker(graph, value, "DequantizeLinear");
  if (!node || !is_f32(graph, value) || !holds_bytes(graph, node->inputs[0]) || graph.constant(node->inputs[0]))
    return nullptr;
  const auto scale = scalar(graph, node->inputs[1]);
  const bool known_zero = node->input(2) == kNone || scalar(graph, node->inputs[2]);
  return scale && *scale > 0 && known_zero ? node : nullptr;
}

bool same_number(const Graph& graph, ValueId a, ValueId b) {
  const auto x = a == kNone ? std::optional<double>(0) : scalar(graph, a);
  const auto y = b == kNone ? std::optional<double>(0) : scalar(graph, b);
  return x && y && *x == *y;
}

/// QuantizeLinear(DequantizeLinear(x)) of the same scale, zero point and type.
bool cancel(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "QuantizeLinear")) return false;
  const Node* dequantize = dequantize_of(graph, node.inputs[0]);
  if (!dequantize || graph.type(node.outputs[0]).dtype() != graph.type(dequantize->inputs[0]).dtype() ||
      !same_number(graph, node.inputs[1], dequantize->inputs[1]) ||
      !same_number(graph, node.input(2), dequantize->input(2)))
    return false;
  return forward(graph, id, dequantize->inputs[0]);
}

bool sink(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!moves(node) || node.outputs.size() != 1) return false;
  const Node* dequantize = dequantize_of(graph, node.inputs[0]);
  if (!dequantize) return false;
  std::vector<ValueId> inputs = node.inputs;
  const ValueId output = node.outputs[0];
  inputs[0] = dequantize->inputs[0];
  std::vector<ValueId> scales(dequantize->inputs.begin() + 1, dequantize->inputs.end());
  const Type type = graph.type(output);
  if (!type.is_tensor() || !type.has_rank()) return false;
  const ValueId moved = insert(graph, id, node.op, std::move(inputs),
                               Type::tensor(graph.type(dequantize->inputs[0]).dtype(), type.shape()),
                               Attributes(graph.node(id).attributes));
  std::vector<ValueId> of = {moved};
  of.insert(of.end(), scales.begin(), scales.end());
  replace_node(graph, id, "DequantizeLinear", std::move(of));
  return true;
}

}  // namespace

bool sink_dequantize(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, [](Graph& g, NodeId id) { return sink(g, id) || cancel(g, id); });
  if (changed) graph.remove_dead();
  return changed;
}

/// Gives each node that reads a DequantizeLinear one for itself, so that its kernel reads the bytes. After
/// common_subexpression, which does the opposite.
bool unshare_dequantize(Graph& graph, PassContext&) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    const Node& node = graph.node(id);
    if (!is_op(node, "DequantizeLinear")) continue;
    const ValueId output = node.outputs[0];
    std::vector<NodeId> readers = graph.consumers(output);
    std::sort(readers.begin(), readers.end());
    readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
    for (size_t i = graph.is_output(output) ? 0 : 1; i < readers.size(); ++i) {
      if (!ir::bodies(graph.node(readers[i])).empty()) continue;
      const ValueId own = insert(graph, readers[i], "DequantizeLinear", std::vector<ValueId>(graph.node(id).inputs),
                                 graph.type(output), Attributes(graph.node(id).attributes));
      std::replace(graph.node(readers[i]).inputs.begin(), graph.node(readers[i]).inputs.end(), output, own);
      changed = true;
    }
  }
  return changed;
}

}  // namespace rooftune::passes
