// Activations that exporters write out become their operators: HardSigmoid and HardSwish (from x + 3 clipped to [0, 6]
// over 6), Mish. x · sigmoid(x) stays: its operator Swish is newer (opset 24) than most runtimes read, and fusion makes
// one kernel of the two nodes anyway. After arithmetic is simplified, which turns Min, Max and Relu into Clip.
#include "ops/op.h"
#include "passes/match.h"
#include "passes/opset.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

constexpr int kHardSwishOpset = 14, kMishOpset = 18;

/// The x of clip(x + 3, 0, 6), or kNone.
ValueId shifted_clip(const Graph& graph, ValueId value) {
  const Node* clip = maker(graph, value, "Clip");
  if (!clip || scalar(graph, clip->input(1)) != 0.0 || scalar(graph, clip->input(2)) != 6.0) return kNone;
  const Sum sum = sum_of(graph, clip->inputs[0]);
  return sum.constant == 3 && sum.terms.size() == 1 ? sum.terms[0] : kNone;
}

/// The x of hardsigmoid(x) = clip(x / 6 + 1/2, 0, 1), or kNone.
ValueId hard_sigmoid(const Graph& graph, ValueId value) {
  const Node* node = maker(graph, value, "HardSigmoid");
  if (!node || !near(node->attr_float("alpha", 0.2F), 1.0 / 6) || node->attr_float("beta", 0.5F) != 0.5F) return kNone;
  return node->inputs[0];
}

/// The x of tanh(softplus(x)), or kNone.
ValueId mish_gate(const Graph& graph, ValueId value) {
  const Node* tanh = maker(graph, value, "Tanh");
  const Node* softplus = tanh ? maker(graph, tanh->inputs[0], "Softplus") : nullptr;
  return softplus ? softplus->inputs[0] : kNone;
}

bool emit(Graph& graph, NodeId id, const char* op, int version, ValueId x, Attributes attributes,
          PassContext& context) {
  if (graph.type(x) != graph.type(graph.node(id).outputs[0]) || !ops::Catalogue::instance().find(op, "")) return false;
  if (!raise_opset(context.model, version)) {
    context.notes.push_back(
        fmt::format("{}: stays as written: the model cannot be raised to opset {}", graph.node(id).name, version));
    return false;
  }
  replace_node(graph, id, op, {x}, std::move(attributes));
  return true;
}

bool rewrite(Graph& graph, NodeId id, PassContext& context) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Mul") && !is_op(node, "Div")) return false;
  const Product product = product_of(graph, node.outputs[0]);
  const bool sixth = near(product.scale, 1.0 / 6), one = product.scale == 1;
  if (product.factors.size() == 1 && sixth && product.factors[0].second == 1) {
    const ValueId x = shifted_clip(graph, product.factors[0].first);
    return x != kNone && emit(graph, id, "HardSigmoid", 1, x, {{"alpha", 1.0F / 6}, {"beta", 0.5F}}, context);
  }
  if (product.factors.size() != 2 || product.factors[0].second != 1 || product.factors[1].second != 1) return false;
  for (size_t i : {size_t{0}, size_t{1}}) {
    const ValueId x = product.factors[i].first, gate = product.factors[1 - i].first;
    if ((sixth && shifted_clip(graph, gate) == x) || (one && hard_sigmoid(graph, gate) == x))
      return emit(graph, id, "HardSwish", kHardSwishOpset, x, {}, context);
    if (one && mish_gate(graph, gate) == x) return emit(graph, id, "Mish", kMishOpset, x, {}, context);
  }
  return false;
}

}  // namespace

bool recognise_activation(Graph& graph, PassContext& context) {
  const bool changed = rewrite_nodes_backward(graph, [&](Graph& g, NodeId id) { return rewrite(g, id, context); });
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
