// Conv, MatMul and Gemm of dequantised operands become ConvInteger and MatMulInteger, whose sums are exact in 32 bits, and
// the scales are applied to the sums: Σ (x − zx)·sx · (w − zw)·sw = sx·sw · Σ (x − zx)·(w − zw). The weights stay bytes.
// After sink_dequantize, and before Gemm is split and patterns are recognised.
#include "ops/op.h"
#include "passes/edit.h"
#include "passes/pass.h"
#include "passes/quantised.h"

namespace rooftune::passes {
namespace {

/// What a DequantizeLinear of bytes was given.
struct Quantised {
  ValueId value = kNone;
  std::vector<float> scale;  // one, or one for each index of `axis`
  ValueId zero = kNone;      // a constant; kNone where it is 0 throughout
  int64_t axis = 0;          // non-negative
};

bool all_zero(const Tensor& tensor) {
  for (int64_t i = 0; i < tensor.size(); ++i)
    if (tensor.as_int(i) != 0) return false;
  return true;
}

std::optional<Quantised> quantised(const Graph& graph, ValueId value) {
  const Node* node = maker(graph, value, "DequantizeLinear");
  if (!node || !is_f32(graph, value) || !holds_bytes(graph, node->inputs[0])) return std::nullopt;
  const Tensor* scale = graph.constant(node->inputs[1]);
  if (!scale || scale->dtype() != ir::DType::f32 || scale->rank() > 1 || node->attr_int("block_size", 0) != 0)
    return std::nullopt;
  Quantised q{.value = node->inputs[0]};
  for (int64_t i = 0; i < scale->size(); ++i) q.scale.push_back(scale->data<float>()[i]);
  if (node->input(2) != kNone) {
    const Tensor* zero = graph.constant(node->inputs[2]);
    if (!zero) return std::nullopt;
    if (!all_zero(*zero)) q.zero = node->inputs[2];
  }
  const Type& type = graph.type(q.value);
  if (!type.has_rank()) return std::nullopt;
  q.axis = node->attr_int("axis", 1);
  if (q.axis < 0) q.axis += type.rank();
  return q;
}

/// Activations and weights that an integer contraction takes; `axis`: of the weights, that of the outputs.
struct Operands {
  Quantised x, w;
};
std::optional<Operands> operands(const Graph& graph, const Node& node, int64_t axis) {
  auto x = quantised(graph, node.inputs[0]), w = quantised(graph, node.inputs[1]);
  if (!x || !w || x->scale.size() != 1 || graph.constant(x->value) || !graph.constant(w->value)) return std::nullopt;
  if (w->scale.size() != 1 && w->axis != axis) return std::nullopt;
  return Operands{*x, *w};
}

/// A bias that is quantised, too, as the constant that it stands for; any other as it is.
ValueId plain_bias(Graph& graph, ValueId bias) {
  const Node* node = maker(graph, bias, "DequantizeLinear");
  if (node == nullptr) return bias;
  std::vector<Tensor> inputs;
  for (ValueId input : node->inputs) {
    if (input != kNone && graph.constant(input) == nullptr) return bias;
    inputs.push_back(input == kNone ? Tensor() : *graph.constant(input));
  }
  return graph.add_constant(graph.value(bias).name, ops::evaluate(graph, *node, std::move(inputs)).at(0));
}

/// Both scales together, shaped so that they follow axis `axis` of a tensor of `rank` dims.
ValueId scale_constant(Graph& graph, const std::string& name, const Operands& o, int after) {
  std::vector<int64_t> shape;
  if (o.w.scale.size() > 1) {
    shape.assign(static_cast<size_t>(after) + 1, 1);
    shape[0] = static_cast<int64_t>(o.w.scale.size());
  }
  Tensor scale(ir::DType::f32, shape);
  for (int64_t i = 0; i < scale.size(); ++i) scale.data<float>()[i] = o.x.scale[0] * o.w.scale[static_cast<size_t>(i)];
  return graph.add_constant(name + "_scale", std::move(scale));
}

/// The integer contraction of the operands before node `id`, its result as f32 and scaled. `after`: dims after that of
/// the outputs.
ValueId scaled_product(Graph& graph, NodeId id, const std::string& op, const Operands& o, ValueId weights, int after,
                       Attributes attributes) {
  const auto shape = graph.type(graph.node(id).outputs[0]).shape();
  std::vector<ValueId> inputs = {o.x.value, weights};
  if (o.x.zero != kNone || o.w.zero != kNone) inputs.push_back(o.x.zero);
  if (o.w.zero != kNone) inputs.push_back(o.w.zero);
  const std::string name = graph.node(id).name;
  const ValueId sum =
      insert(graph, id, op, std::move(inputs), Type::tensor(ir::DType::i32, shape), std::move(attributes));
  const Type real = Type::tensor(ir::DType::f32, shape);
  const ValueId cast = insert(graph, id, "Cast", {sum}, real, {{"to", static_cast<int64_t>(ir::DType::f32)}});
  return insert(graph, id, "Mul", {cast, scale_constant(graph, name, o, after)}, real);
}

/// Ends the rewrite: the node becomes value + bias, or just the value.
bool finish(Graph& graph, NodeId id, ValueId value, ValueId bias) {
  if (bias == kNone) return forward(graph, id, value);
  replace_node(graph, id, "Add", {value, bias});
  return true;
}

bool rewrite_conv(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto o = operands(graph, node, 0);
  if (!o || !graph.type(node.outputs[0]).has_rank()) return false;
  const int after = graph.type(node.outputs[0]).rank() - 2;
  ValueId bias = node.input(2) == kNone ? kNone : plain_bias(graph, node.input(2));
  const Attributes attributes = node.attributes;
  if (bias != kNone) {  // [O] → [O,1,1]
    if (!graph.type(bias).is_static()) return false;
    std::vector<int64_t> shape(static_cast<size_t>(after) + 1, 1);
    shape[0] = graph.type(bias).shape()[0].value();
    const ValueId target = add_ints(graph, node.name + "_bias_shape", shape);
    bias = insert(graph, id, "Reshape", {bias, target}, Type::tensor(ir::DType::f32, ir::to_shape(shape)));
  }
  return finish(graph, id, scaled_product(graph, id, "ConvInteger", *o, o->w.value, after, attributes), bias);
}

bool rewrite_matmul(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!graph.type(node.inputs[1]).has_rank() || !graph.type(node.outputs[0]).has_rank()) return false;
  const int rank = graph.type(node.inputs[1]).rank();
  if (rank < 2 || graph.type(node.inputs[0]).rank() < 2) return false;
  const auto o = operands(graph, node, rank - 1);
  if (!o || (rank > 2 && o->w.scale.size() > 1)) return false;
  return finish(graph, id, scaled_product(graph, id, "MatMulInteger", *o, o->w.value, 0, {}), kNone);
}

bool rewrite_gemm(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool transposed = node.attr_int("transB", 0) != 0;
  if (node.attr_int("transA", 0) != 0 || node.attr_float("alpha", 1) != 1 || node.attr_float("beta", 1) != 1)
    return false;
  const auto o = operands(graph, node, transposed ? 0 : 1);
  if (!o) return false;
  ValueId weights = o->w.value;
  const ValueId bias = node.input(2) == kNone ? kNone : plain_bias(graph, node.input(2));
  if (transposed) {  // folded by constant_fold
    const auto& shape = graph.type(weights).shape();
    weights = insert(graph, id, "Transpose", {weights},
                     Type::tensor(graph.type(weights).dtype(), ir::Shape{shape[1], shape[0]}),
                     {{"perm", std::vector<int64_t>{1, 0}}});
  }
  return finish(graph, id, scaled_product(graph, id, "MatMulInteger", *o, weights, 0, {}), bias);
}

}  // namespace

bool integer_contractions(Graph& graph, PassContext&) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    const Node& node = graph.node(id);
    if (is_op(node, "Conv")) changed |= rewrite_conv(graph, id);
    else if (is_op(node, "MatMul")) changed |= rewrite_matmul(graph, id);
    else if (is_op(node, "Gemm")) changed |= rewrite_gemm(graph, id);
  }
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
