// For this room's tests: models built node by node with types inferred on the way, and the check that a rewritten graph
// still computes the same on random inputs.
#pragma once
#include <gtest/gtest.h>

#include <random>

#include "ops/op.h"
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {

class Model {
 public:
  explicit Model(int opset = 18, unsigned seed = 1) : opset_(opset), random_(seed) { graph.opsets[""] = opset; }

  Graph graph;

  ValueId input(const std::string& name, const std::vector<int64_t>& shape, ir::DType dtype = ir::DType::f32) {
    return graph.add_input(name, Type::tensor(dtype, ir::to_shape(shape)));
  }
  /// A constant with normally distributed elements.
  ValueId weight(const std::vector<int64_t>& shape, double scale = 0.5, double mean = 0) {
    std::normal_distribution<double> normal(mean, scale);
    Tensor tensor(ir::DType::f32, shape);
    for (int64_t i = 0; i < tensor.size(); ++i) tensor.set_double(i, normal(random_));
    return graph.add_constant("w", std::move(tensor));
  }
  /// A constant with elements in [low, high).
  ValueId positive(const std::vector<int64_t>& shape, double low = 0.5, double high = 1.5) {
    std::uniform_real_distribution<double> between(low, high);
    Tensor tensor(ir::DType::f32, shape);
    for (int64_t i = 0; i < tensor.size(); ++i) tensor.set_double(i, between(random_));
    return graph.add_constant("p", std::move(tensor));
  }
  ValueId number(double value, ir::DType dtype = ir::DType::f32) { return add_scalar(graph, "c", dtype, value); }
  ValueId ints(const std::vector<int64_t>& values) { return add_ints(graph, "i", values); }

  ValueId op(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return ops(op, std::move(inputs), 1, std::move(attributes)).front();
  }
  std::vector<ValueId> ops(const std::string& op, std::vector<ValueId> inputs, int outputs,
                           Attributes attributes = {}) {
    Node node{.op = op, .since_version = opset_, .inputs = std::move(inputs), .attributes = std::move(attributes)};
    for (int i = 0; i < outputs; ++i) node.outputs.push_back(graph.add_value("", Type()));
    const std::vector<ValueId> made = node.outputs;
    const NodeId id = graph.add_node(std::move(node));
    known_.ints.resize(graph.value_capacity());
    known_.tensors.resize(graph.value_capacity());
    rooftune::ops::InferContext context(graph, graph.node(id), known_);
    rooftune::ops::Catalogue::instance().at(graph.node(id)).infer(context);
    return made;
  }
  void output(ValueId value) { graph.outputs.push_back(value); }

  // What networks are made of.
  ValueId relu(ValueId x) { return op("Relu", {x}); }
  ValueId reshape(ValueId x, const std::vector<int64_t>& shape) { return op("Reshape", {x, ints(shape)}); }
  ValueId transpose(ValueId x, const std::vector<int64_t>& perm) { return op("Transpose", {x}, {{"perm", perm}}); }
  ValueId conv(ValueId x, int64_t outputs, int64_t kernel, int64_t stride = 1, int64_t groups = 1, bool bias = false) {
    const int64_t inputs = graph.type(x).shape()[1].value(), pad = kernel / 2;
    std::vector<ValueId> operands = {x, weight({outputs, inputs / groups, kernel, kernel}, 0.3)};
    if (bias) operands.push_back(weight({outputs}));
    return op("Conv", operands,
              {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
               {"strides", std::vector<int64_t>{stride, stride}},
               {"pads", std::vector<int64_t>{pad, pad, pad, pad}},
               {"group", groups}});
  }
  ValueId batch_norm(ValueId x) {
    const int64_t channels = graph.type(x).shape()[1].value();
    return op("BatchNormalization",
              {x, positive({channels}), weight({channels}), weight({channels}), positive({channels})});
  }
  ValueId linear(ValueId x, int64_t outputs) {
    const int64_t inputs = graph.type(x).shape().back().value();
    return op("Add", {op("MatMul", {x, weight({inputs, outputs}, 0.2)}), weight({outputs})});
  }

 private:
  int opset_;
  std::mt19937 random_;
  rooftune::ops::KnownValues known_;
};

/// Random tensors for the graph's inputs: floats around 0, integers in [0, limit), symbolic dims of 3.
inline std::vector<Tensor> random_inputs(const Graph& graph, unsigned seed = 7, int limit = 2) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) {
    std::vector<int64_t> shape;
    for (const ir::Dim& dim : graph.type(id).shape()) shape.push_back(dim.is_static() ? dim.value() : 3);
    Tensor tensor(graph.type(id).dtype(), shape);
    for (int64_t i = 0; i < tensor.size(); ++i)
      tensor.set_double(
          i, is_float(tensor.dtype()) ? normal(random) : static_cast<double>(random() % static_cast<unsigned>(limit)));
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

/// Expects that both graphs have the same interface and compute the same within a relative error (0: bit for bit, up to
/// the sign of zero).
inline void expect_same_results(const Graph& before, const Graph& after, double tolerance, int limit = 2) {
  ir::verify(after);
  const std::vector<Tensor> inputs = random_inputs(before, 7, limit);
  const std::vector<Tensor> wanted = ops::evaluate(before, inputs), got = ops::evaluate(after, inputs);
  ASSERT_EQ(wanted.size(), got.size());
  for (size_t o = 0; o < wanted.size(); ++o) {
    EXPECT_EQ(before.value(before.outputs[o]).name, after.value(after.outputs[o]).name);
    ASSERT_EQ(wanted[o].shape(), got[o].shape());
    ASSERT_EQ(wanted[o].dtype(), got[o].dtype());
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < wanted[o].size(); ++i) {
      const double a = wanted[o].as_double(i), b = got[o].as_double(i);
      if (std::isnan(a) && std::isnan(b)) continue;
      difference += a == b ? 0 : (a - b) * (a - b);
      norm += std::isfinite(a) ? a * a : 0;
    }
    EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(norm)) << "output " << o << "\n" << ir::print(after);
  }
}

/// Runs one pass by name over a copy, checks that it kept the results, and gives back the copy.
inline Graph rewritten(const Graph& before, const std::string& pass, double tolerance = 1e-5) {
  Graph after = before.clone();
  run_pass(after, pass);
  expect_same_results(before, after, tolerance);
  return after;
}

/// Operators of the graph in order, "MatMul Add Relu".
inline std::string operators(const Graph& graph) {
  std::string text;
  for (NodeId id : graph.order()) text += (text.empty() ? "" : " ") + graph.node(id).op;
  return text;
}

}  // namespace rooftune::passes
