// exp(x - max) / Σ exp(x - max) becomes Softmax, which attention is recognised by and which a row-wise kernel computes
// in one read. After common subexpressions, so that both exponentials are one value.
#include "passes/match.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// The one axis over which the node reduces, keeping its dims.
std::optional<int64_t> reduced_axis(const Graph& graph, const Node* node, std::string_view op) {
  if (!node || !is_op(*node, op) || node->attr_int("keepdims", 1) != 1) return std::nullopt;
  const auto axes = axes_of(graph, *node);
  return axes && axes->size() == 1 ? std::optional(axes->front()) : std::nullopt;
}

bool rewrite(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Mul") && !is_op(node, "Div")) return false;
  const Product product = product_of(graph, node.outputs[0]);
  if (product.scale != 1 || product.factors.size() != 2) return false;
  const bool first = product.factors[0].second == 1;
  const auto [e, one] = product.factors[first ? 0 : 1];
  const auto [total, inverse] = product.factors[first ? 1 : 0];
  const Node* sum = maker(graph, total);
  const auto axis = reduced_axis(graph, sum, "ReduceSum");
  const Node* exp = maker(graph, e, "Exp");
  if (one != 1 || inverse != -1 || !axis || sum->inputs[0] != e || !exp) return false;
  const Node* difference = maker(graph, exp->inputs[0], "Sub");
  if (!difference) return false;
  const Node* max = maker(graph, difference->inputs[1]);
  const ValueId x = difference->inputs[0];
  if (reduced_axis(graph, max, "ReduceMax") != axis || max->inputs[0] != x) return false;
  replace_node(graph, id, "Softmax", {x}, {{"axis", *axis - graph.type(x).rank()}});
  return true;
}

}  // namespace

bool recognise_softmax(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes_backward(graph, rewrite);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
