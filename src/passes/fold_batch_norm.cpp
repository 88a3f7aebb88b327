// Folds per-channel affine maps (batch normalisation at inference, Mul and Add by constants per channel) into the
// weights and bias of the convolution or Gemm before them; a batch normalisation that follows nothing of the kind
// becomes Mul and Add. After canonicalisation, which turns x - c and x / 2^n into sums and products, and before Gemm is
// split into MatMul and Add. Factors are computed in double precision, so one rounding per weight is all it costs.
#include <cmath>

#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// y[c] = x[c] · scale[c] + shift[c] over channels c of axis 1.
struct Affine {
  std::vector<double> scale, shift;
  bool scales() const {
    return std::any_of(scale.begin(), scale.end(), [](double s) { return s != 1; });
  }
};

std::vector<double> doubles(const Tensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.size()));
  for (int64_t i = 0; i < tensor.size(); ++i) values[static_cast<size_t>(i)] = tensor.as_double(i);
  return values;
}

std::optional<Affine> batch_norm(const Graph& graph, const Node& node) {
  if (!is_op(node, "BatchNormalization") || node.attr_int("training_mode", 0) != 0) return std::nullopt;
  for (size_t i = 1; i < node.outputs.size(); ++i)
    if (node.outputs[i] != kNone && use_count(graph, node.outputs[i]) > 0) return std::nullopt;
  std::vector<std::vector<double>> given;
  for (size_t i = 1; i < 5; ++i) {
    const Tensor* constant = graph.constant(node.input(i));
    if (!constant) return std::nullopt;
    given.push_back(doubles(*constant));
    if (given.back().size() != given.front().size()) return std::nullopt;
  }
  const double epsilon = node.attr_float("epsilon", 1e-5F);
  Affine affine{.scale = given[0], .shift = given[1]};
  for (size_t c = 0; c < affine.scale.size(); ++c) {
    affine.scale[c] /= std::sqrt(given[3][c] + epsilon);
    affine.shift[c] -= given[2][c] * affine.scale[c];
  }
  return affine;
}

/// The constant's value per channel where it is a scalar or varies along axis 1 of a tensor of this rank alone.
std::optional<std::vector<double>> per_channel(const Tensor& constant, int rank, int64_t channels) {
  if (constant.rank() > rank) return std::nullopt;
  std::vector<double> values = doubles(constant);
  if (values.size() == 1) return std::vector<double>(static_cast<size_t>(channels), values[0]);
  const int axis = 1 - (rank - constant.rank());  // of the constant
  if (axis < 0 || axis >= constant.rank() || constant.dim(axis) != channels || constant.size() != channels)
    return std::nullopt;
  return values;
}

/// Mul or Add of `x` and a constant per channel.
std::optional<Affine> scale_or_shift(const Graph& graph, const Node& node, ValueId x, int64_t channels) {
  const bool mul = is_op(node, "Mul");
  if (!mul && !is_op(node, "Add")) return std::nullopt;
  const ValueId other = node.inputs[0] == x ? node.inputs[1] : node.inputs[0];
  const Tensor* constant = graph.constant(other);
  if (!constant || graph.type(x) != graph.type(node.outputs[0])) return std::nullopt;
  const auto values = per_channel(*constant, graph.type(x).rank(), channels);
  if (!values) return std::nullopt;
  const std::vector<double> ones(values->size(), 1.0), zeros(values->size(), 0.0);
  return mul ? Affine{*values, zeros} : Affine{ones, *values};
}

/// Where a contraction keeps the channels of its output.
struct Weights {
  const Tensor* weight = nullptr;
  const Tensor* bias = nullptr;  // null: none
  int64_t channels = 0;
  int64_t run = 1;                              // so many elements of the weight in a row belong to one channel
  std::function<int64_t(int64_t run)> channel;  // of a run
};

std::optional<Weights> weights_of(const Graph& graph, const Node& node) {
  Weights w;
  const bool transposed = is_op(node, "ConvTranspose"), gemm = is_op(node, "Gemm");
  if (!is_op(node, "Conv") && !transposed && !gemm) return std::nullopt;
  w.weight = graph.constant(node.input(1));
  w.bias = graph.constant(node.input(2));
  if (!w.weight || w.weight->rank() < 2 || !is_float(w.weight->dtype())) return std::nullopt;
  if (node.input(2) != kNone && !w.bias) return std::nullopt;
  const std::vector<int64_t>& shape = w.weight->shape();
  if (gemm) {
    if (node.attr_float("alpha", 1) != 1 || node.attr_float("beta", 1) != 1) return std::nullopt;
    const bool rows = node.attr_int("transB", 0) != 0;
    const int64_t columns = shape[1];
    w.channels = rows ? shape[0] : shape[1];
    w.run = rows ? columns : 1;
    w.channel = [=](int64_t r) { return rows ? r : r % columns; };
    if (w.bias && (w.bias->size() != w.channels || w.bias->dim(-1) != w.channels)) return std::nullopt;
    return w;
  }
  const int64_t groups = node.attr_int("group", 1);
  const int64_t kernel = shape[0] * shape[1] == 0 ? 0 : w.weight->size() / (shape[0] * shape[1]);
  if (kernel == 0) return std::nullopt;
  w.channels = transposed ? shape[1] * groups : shape[0];
  const int64_t in_group = shape[0] / groups, out_group = shape[1];
  w.run = transposed ? kernel : shape[1] * kernel;
  if (transposed)  // [C_in, C_out / groups, …]: input channels of one group make that group's outputs
    w.channel = [=](int64_t r) { return r / out_group / in_group * out_group + r % out_group; };
  else w.channel = [](int64_t r) { return r; };
  return w;
}

Tensor scaled(const Weights& w, const std::vector<double>& scale) {
  Tensor weight(w.weight->dtype(), w.weight->shape());
  const float* from = weight.dtype() == ir::DType::f32 ? w.weight->data<float>() : nullptr;
  float* to = from ? weight.data<float>() : nullptr;
  for (int64_t r = 0; r < weight.size() / w.run; ++r) {
    const double factor = scale[static_cast<size_t>(w.channel(r))];
    for (int64_t e = r * w.run; e < (r + 1) * w.run; ++e) {
      if (from) to[e] = static_cast<float>(from[e] * factor);
      else weight.set_double(e, w.weight->as_double(e) * factor);
    }
  }
  return weight;
}

/// Puts the affine map into the contraction's constants.
void fold(Graph& graph, NodeId contraction, const Weights& w, const Affine& affine) {
  const Node node = graph.node(contraction);
  std::vector<ValueId> inputs = node.inputs;
  inputs.resize(3, kNone);
  const ir::DType dtype = w.weight->dtype();
  Tensor bias(dtype, {w.channels});
  for (int64_t c = 0; c < w.channels; ++c) {
    const auto i = static_cast<size_t>(c);
    bias.set_double(c, (w.bias ? w.bias->as_double(c) : 0.0) * affine.scale[i] + affine.shift[i]);
  }
  if (affine.scales()) {
    Tensor weight = scaled(w, affine.scale);  // before the graph grows: w points into it
    inputs[1] = graph.add_constant(graph.value(node.inputs[1]).name + "_folded", std::move(weight));
  }
  inputs[2] = graph.add_constant(node.name + "_bias", std::move(bias));
  replace_node(graph, contraction, node.op, std::move(inputs), node.attributes);
}

bool fold_into_contraction(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  for (ValueId x : node.inputs) {
    const Node* before = maker(graph, x);
    if (!before || !single_use(graph, x) || !graph.type(x).is_tensor() || !graph.type(x).has_rank()) continue;
    const auto weights = weights_of(graph, *before);
    if (!weights) continue;
    auto affine = x == node.inputs[0] ? batch_norm(graph, node) : std::nullopt;
    if (!affine) affine = scale_or_shift(graph, node, x, weights->channels);
    if (!affine || static_cast<int64_t>(affine->scale.size()) != weights->channels) continue;
    fold(graph, graph.value(x).producer, *weights, *affine);
    return forward(graph, id, x);
  }
  return false;
}

/// A batch normalisation on its own.
bool to_mul_add(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto affine = batch_norm(graph, node);
  const ValueId x = node.input(0);
  if (!affine || !graph.type(x).is_tensor() || !graph.type(x).has_rank() || graph.type(x).rank() < 2) return false;
  const ir::DType dtype = graph.type(x).dtype();
  std::vector<int64_t> shape(static_cast<size_t>(graph.type(x).rank() - 1), 1);
  shape[0] = static_cast<int64_t>(affine->scale.size());
  Tensor scale(dtype, shape), shift(dtype, shape);
  for (int64_t c = 0; c < scale.size(); ++c) {
    scale.set_double(c, affine->scale[static_cast<size_t>(c)]);
    shift.set_double(c, affine->shift[static_cast<size_t>(c)]);
  }
  const ValueId by = graph.add_constant(node.name + "_scale", std::move(scale));
  const ValueId plus = graph.add_constant(node.name + "_shift", std::move(shift));
  const ValueId scaled = insert(graph, id, "Mul", {x, by}, graph.type(x));
  replace_node(graph, id, "Add", {scaled, plus});
  return true;
}

}  // namespace

bool fold_batch_norm(Graph& graph, PassContext&) {
  bool changed = rewrite_nodes(graph, fold_into_contraction);
  changed |= rewrite_nodes(graph, to_mul_add);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
