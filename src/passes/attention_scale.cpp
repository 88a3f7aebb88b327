// Gathers the scalars of an attention score into one factor after the product: exporters scale q and kᵀ by √s each, or
// divide the scores by √d. Then MatMul → Mul → (mask) → Softmax is the one form in which attention is grouped, the
// products read q and k as they are, and the factor costs one multiplication inside the softmax stage. After
// simplification; Softmax may itself have been recognised. Not for f16, where scaling first avoids overflow.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// A value without the scalar factors that it was multiplied with.
struct Unscaled {
  ValueId value = kNone;
  double factor = 1;
};

/// The operand of a Mul or Div beside a scalar, and that scalar.
std::optional<Unscaled> strip(const Graph& graph, const Node& node) {
  const bool mul = is_op(node, "Mul"), div = is_op(node, "Div");
  if (!mul && !div) return std::nullopt;
  for (size_t i : {size_t{0}, size_t{1}}) {
    const auto number = scalar(graph, node.inputs[1 - i]);
    if (!number || *number == 0 || (div && i == 1) || graph.type(node.inputs[i]) != graph.type(node.outputs[0]))
      continue;
    return Unscaled{node.inputs[i], mul ? *number : 1 / *number};
  }
  return std::nullopt;
}

bool moves_only(const Node& node) { return is_op(node, "Transpose") || is_op(node, "Reshape"); }

/// Takes the scalars off an operand of the product, also from behind a Transpose or Reshape. Returns how many.
int unscale_operand(Graph& graph, ValueId operand, double& factor) {
  int taken = 0;
  for (ValueId v = operand; single_use(graph, v);) {
    const Node* node = maker(graph, v);
    if (!node) break;
    if (const auto found = strip(graph, *node)) {
      factor *= found->factor;
      forward(graph, graph.value(v).producer, found->value);
      v = found->value;
      ++taken;
    } else if (moves_only(*node)) {
      v = node->inputs[0];
    } else {
      break;
    }
  }
  return taken;
}

/// Whether the scores reach a Softmax through element-wise nodes that nothing else reads.
bool reaches_softmax(const Graph& graph, ValueId scores) {
  for (NodeId id = only_consumer(graph, scores); id != kNone; id = only_consumer(graph, only_output(graph.node(id)))) {
    const Node& node = graph.node(id);
    if (is_op(node, "Softmax")) return true;
    if (!is_op(node, "Mul") && !is_op(node, "Div") && !is_op(node, "Add") && !is_op(node, "Where")) return false;
  }
  return false;
}

/// Takes off the scalings that follow the product. Returns how many.
int unscale_scores(Graph& graph, ValueId scores, double& factor) {
  int taken = 0;
  for (NodeId next = only_consumer(graph, scores); next != kNone; next = only_consumer(graph, scores), ++taken) {
    const auto found = strip(graph, graph.node(next));
    if (!found) break;
    factor *= found->factor;
    forward(graph, next, scores);
  }
  return taken;
}

/// Whether the product is followed by one Mul with a scalar: the form we want.
bool scaled_once(const Graph& graph, ValueId scores) {
  const NodeId first = only_consumer(graph, scores);
  if (first == kNone || !is_op(graph.node(first), "Mul") || !strip(graph, graph.node(first))) return false;
  const NodeId second = only_consumer(graph, graph.node(first).outputs[0]);
  return second == kNone || !strip(graph, graph.node(second));
}

bool gather(Graph& graph, NodeId id) {
  const Node& product = graph.node(id);
  if (!is_op(product, "MatMul") || graph.constant(product.inputs[0]) || graph.constant(product.inputs[1])) return false;
  const ValueId scores = product.outputs[0];
  const Type type = graph.type(scores);
  if (!type.is_tensor() || type.dtype() == ir::DType::f16 || !reaches_softmax(graph, scores)) return false;

  double factor = 1;
  const int before =
      unscale_operand(graph, product.inputs[0], factor) + unscale_operand(graph, product.inputs[1], factor);
  if (before == 0 && scaled_once(graph, scores)) return false;
  const int after = unscale_scores(graph, scores, factor);
  if (before + after == 0) return false;
  if (factor != 1)
    insert_after(graph, scores, "Mul", {add_scalar(graph, product.name + "_scale", type.dtype(), factor)});
  return true;
}

}  // namespace

bool attention_scale(Graph& graph, PassContext&) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order()))
    if (graph.alive(id)) changed |= gather(graph, id);
  return changed;
}

}  // namespace rooftune::passes
