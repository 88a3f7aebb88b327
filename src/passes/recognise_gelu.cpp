// GELU as exporters below opset 20 write it, by erf or by tanh, becomes the operator Gelu: one stage of a kernel instead
// of five or nine, and one that keeps its meaning for other runtimes. After the passes that spell x / √2 and x³ one way.
#include <numbers>

#include "ops/op.h"
#include "passes/match.h"
#include "passes/opset.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

constexpr int kGeluOpset = 20;

/// erf(x / √2)
bool is_erf_part(const Graph& graph, ValueId value, ValueId x) {
  const Node* erf = maker(graph, value, "Erf");
  return erf && single_use(graph, value) && product_of(graph, erf->inputs[0]).is(1 / std::numbers::sqrt2, x, 1);
}

/// The one factor of `product` beside x, or kNone.
ValueId other_factor(const Product& product, ValueId x) {
  if (product.factors.size() != 2 || product.exponent(x) != 1) return kNone;
  const auto& other = product.factors[product.factors[0].first == x ? 1 : 0];
  return other.second == 1 ? other.first : kNone;
}

/// tanh(√(2/π) · (x + 0.044715 x³)), or with x outside: tanh(√(2/π) · x · (1 + 0.044715 x²))
bool is_tanh_part(const Graph& graph, ValueId value, ValueId x) {
  const Node* tanh = maker(graph, value, "Tanh");
  if (!tanh || !single_use(graph, value)) return false;
  const Product argument = product_of(graph, tanh->inputs[0]);
  if (!near(argument.scale, std::sqrt(2 / std::numbers::pi), 1e-3)) return false;
  if (argument.factors.size() == 1 && argument.factors[0].second == 1) {
    const Sum sum = sum_of(graph, argument.factors[0].first);
    if (sum.constant != 0 || sum.terms.size() != 2) return false;
    const ValueId cubic = sum.terms[0] == x ? sum.terms[1] : sum.terms[0];
    return (sum.terms[0] == x || sum.terms[1] == x) && product_of(graph, cubic).is(0.044715, x, 3);
  }
  const ValueId inner = other_factor(argument, x);
  if (inner == kNone) return false;
  const Sum sum = sum_of(graph, inner);
  return sum.constant == 1 && sum.terms.size() == 1 && product_of(graph, sum.terms[0]).is(0.044715, x, 2);
}

/// 0.5 · x · (1 + erf or tanh part)
bool rewrite(Graph& graph, NodeId id, PassContext& context) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Mul") && !is_op(node, "Div")) return false;
  const Product product = product_of(graph, node.outputs[0]);
  if (product.factors.size() != 2 || !near(product.scale, 0.5, 1e-3)) return false;
  for (const auto& [x, power] : product.factors) {
    const ValueId other = other_factor(product, x);
    if (other == kNone || power != 1 || !single_use(graph, other) || graph.type(x) != graph.type(node.outputs[0]))
      continue;
    const Sum sum = sum_of(graph, other);
    if (sum.constant != 1 || sum.terms.size() != 1) continue;
    const bool erf = is_erf_part(graph, sum.terms[0], x);
    if (!erf && !is_tanh_part(graph, sum.terms[0], x)) continue;
    if (!raise_opset(context.model, kGeluOpset)) {
      context.notes.push_back(
          fmt::format("{}: stays as written: the model cannot be raised to opset {}", node.name, kGeluOpset));
      return false;
    }
    replace_node(graph, id, "Gelu", {x}, {{"approximate", std::string(erf ? "none" : "tanh")}});
    return true;
  }
  return false;
}

}  // namespace

bool recognise_gelu(Graph& graph, PassContext& context) {
  const bool changed = rewrite_nodes_backward(graph, [&](Graph& g, NodeId id) { return rewrite(g, id, context); });
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
