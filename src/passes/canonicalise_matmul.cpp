// Writes Gemm as MatMul and Add, the one form that kernels, fusion and tuning know. A constant B that is read transposed
// is transposed here (the second constant folding computes it). After batch-norm folding, which wants the weights and
// bias in one node; before normalisations and attention are recognised, which end in either form.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// `value` · factor: itself where the factor is 1, a scaled constant, or nothing where it is not constant.
std::optional<ValueId> scaled(Graph& graph, ValueId value, double factor) {
  if (factor == 1) return value;
  const Tensor* constant = graph.constant(value);
  if (!constant || !is_float(constant->dtype())) return std::nullopt;
  Tensor result(constant->dtype(), constant->shape());
  for (int64_t i = 0; i < result.size(); ++i) result.set_double(i, constant->as_double(i) * factor);
  return graph.add_constant(graph.value(value).name + "_scaled", std::move(result));
}

bool split_gemm(Graph& graph, NodeId id, PassContext& context) {
  const Node& gemm = graph.node(id);
  if (!is_op(gemm, "Gemm")) return false;
  const auto refuse = [&](const char* why) {
    context.notes.push_back(fmt::format("{}: stays Gemm: {}", gemm.name, why));
    return false;
  };
  const bool transposed = gemm.attr_int("transB", 0) != 0;
  if (gemm.attr_int("transA", 0) != 0) return refuse("A is transposed");
  if (transposed && !graph.constant(gemm.inputs[1])) return refuse("B is transposed and not constant");
  const double alpha = gemm.attr_float("alpha", 1), beta = gemm.attr_float("beta", 1);
  const ValueId c = gemm.input(2);
  if (alpha != 1 && !graph.constant(gemm.inputs[1])) return refuse("alpha is not 1 and B is not constant");
  if (c != kNone && beta != 1 && !graph.constant(c)) return refuse("beta is not 1 and C is not constant");

  const Type type = graph.type(gemm.outputs[0]);
  const ValueId a = gemm.inputs[0];
  ValueId b = *scaled(graph, gemm.inputs[1], alpha);
  if (transposed) {
    const auto& shape = graph.type(b).shape();
    const Type turned = Type::tensor(graph.type(b).dtype(), ir::Shape{shape[1], shape[0]});
    b = insert(graph, id, "Transpose", {b}, turned, {{"perm", std::vector<int64_t>{1, 0}}});
  }
  if (c == kNone) {
    replace_node(graph, id, "MatMul", {a, b});
    return true;
  }
  const ValueId bias = *scaled(graph, c, beta);
  const ValueId product = insert(graph, id, "MatMul", {a, b}, type);
  replace_node(graph, id, "Add", {product, bias});
  return true;
}

}  // namespace

bool canonicalise_matmul(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) changed |= split_gemm(graph, id, context);
  return changed;
}

}  // namespace rooftune::passes
