// Layer and RMS normalisation written out in means, squares and roots become LayerNormalization and RMSNormalization:
// one row-wise kernel that reads its input once. Exporters below opset 17 (23) know no better. After common
// subexpressions, since exporters compute x - mean twice, and after Gemm is split, so that the residual sums around a
// normalisation look the same everywhere.
#include "ops/op.h"
#include "passes/match.h"
#include "passes/opset.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

constexpr int kLayerNormOpset = 17, kRmsNormOpset = 23;

/// The first of the trailing axes over which the node takes a mean that keeps its dims, nothing where it does not.
std::optional<int64_t> mean_axis(const Graph& graph, const Node* node) {
  if (!node || !is_op(*node, "ReduceMean") || node->attr_int("keepdims", 1) != 1) return std::nullopt;
  const auto axes = axes_of(graph, *node);
  if (!axes || axes->empty()) return std::nullopt;
  const int64_t rank = graph.type(node->inputs[0]).rank();
  for (size_t i = 0; i < axes->size(); ++i)
    if ((*axes)[axes->size() - 1 - i] != rank - 1 - static_cast<int64_t>(i)) return std::nullopt;
  return axes->front();
}

/// What is normalised, and how.
struct Norm {
  ValueId x = kNone;
  int64_t axis = 0;
  double epsilon = 0;
  bool centred = false;  // layer normalisation
};

/// d / √(mean(d²) + ε), given d and the sum under the root.
std::optional<Norm> match_norm(const Graph& graph, ValueId d, ValueId under_root) {
  const Sum sum = sum_of(graph, under_root);
  if (sum.terms.size() != 1 || sum.constant <= 0 || sum.constant > 0.1) return std::nullopt;
  const Node* mean = maker(graph, sum.terms[0]);
  const auto axis = mean_axis(graph, mean);
  if (!axis || !product_of(graph, mean->inputs[0]).is(1, d, 2)) return std::nullopt;
  Norm norm{.x = d, .axis = *axis, .epsilon = sum.constant};
  const Node* difference = maker(graph, d, "Sub");
  if (!difference) return norm;
  const Node* centre = maker(graph, difference->inputs[1]);
  if (mean_axis(graph, centre) == norm.axis && centre->inputs[0] == difference->inputs[0]) {
    norm.x = difference->inputs[0];
    norm.centred = true;
  }
  return norm;
}

/// `value` as a tensor of the normalised dims: itself, or a constant with leading ones dropped; kNone where it is
/// neither.
ValueId fitted(Graph& graph, ValueId value, const std::vector<int64_t>& dims) {
  const auto shape = static_shape(graph, value);
  if (!shape) return kNone;
  if (*shape == dims) return value;
  const Tensor* constant = graph.constant(value);
  const auto extra = static_cast<int64_t>(shape->size()) - static_cast<int64_t>(dims.size());
  if (!constant || extra < 0 || !std::equal(dims.begin(), dims.end(), shape->begin() + extra)) return kNone;
  if (std::any_of(shape->begin(), shape->begin() + extra, [](int64_t d) { return d != 1; })) return kNone;
  return graph.add_constant(graph.value(value).name + "_flat", constant->reshaped(dims));
}

/// Adds the weight and, where an Add follows, the bias. `weight` is kNone for plain normalisation.
bool emit(Graph& graph, NodeId id, const Norm& norm, ValueId weight, PassContext& context) {
  const std::string op = norm.centred ? "LayerNormalization" : "RMSNormalization";
  const int version = norm.centred ? kLayerNormOpset : kRmsNormOpset;
  const ValueId output = graph.node(id).outputs[0];
  const Type type = graph.type(norm.x);
  if (type != graph.type(output) || !ops::Catalogue::instance().find(op, "")) return false;
  const ir::Shape normalised(type.shape().begin() + norm.axis, type.shape().end());
  if (!ir::is_static(normalised)) return false;
  const std::vector<int64_t> dims = ir::static_values(normalised);
  if (weight != kNone && (weight = fitted(graph, weight, dims)) == kNone) return false;
  if (!raise_opset(context.model, version)) {
    context.notes.push_back(
        fmt::format("{}: stays as written: the model cannot be raised to opset {}", graph.node(id).name, version));
    return false;
  }
  if (weight == kNone) {
    Tensor ones(type.dtype(), dims);
    for (int64_t i = 0; i < ones.size(); ++i) ones.set_double(i, 1);
    weight = graph.add_constant(graph.node(id).name + "_ones", std::move(ones));
  }
  std::vector<ValueId> inputs = {norm.x, weight};
  const NodeId next = only_consumer(graph, output);
  if (norm.centred && next != kNone && is_op(graph.node(next), "Add")) {
    const Node& add = graph.node(next);
    const ValueId other = add.inputs[add.inputs[0] == output ? 1 : 0];
    const ValueId bias = graph.constant(other) ? fitted(graph, other, dims) : kNone;
    if (bias != kNone && graph.type(add.outputs[0]) == type) {
      inputs.push_back(bias);
      id = next;
    }
  }
  Attributes attributes = {{"axis", norm.axis - type.rank()}, {"epsilon", static_cast<float>(norm.epsilon)}};
  replace_node(graph, id, op, std::move(inputs), std::move(attributes));
  return true;
}

/// d · (mean(d²) + ε)^-½, with or without a weight as a third factor.
bool rewrite(Graph& graph, NodeId id, PassContext& context) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Mul") && !is_op(node, "Div")) return false;
  const Product product = product_of(graph, node.outputs[0]);
  if (product.scale != 1 || product.factors.size() < 2 || product.factors.size() > 3) return false;
  for (const auto& [root, half] : product.factors) {
    if (half != -0.5) continue;
    for (const auto& [d, one] : product.factors) {
      const auto norm = one == 1 ? match_norm(graph, d, root) : std::nullopt;
      if (!norm) continue;
      ValueId weight = kNone;
      double power = 1;
      for (const auto& [value, exponent] : product.factors)
        if (value != d && value != root) weight = value, power = exponent;
      if (power == 1 && emit(graph, id, *norm, weight, context)) return true;
    }
  }
  return false;
}

}  // namespace

bool recognise_norm(Graph& graph, PassContext& context) {
  const bool changed = rewrite_nodes_backward(graph, [&](Graph& g, NodeId id) { return rewrite(g, id, context); });
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
