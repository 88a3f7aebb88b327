#include "passes/storage.h"

#include "passes/lower_precision.h"
#include "passes/testing_networks.h"

namespace rooftune::passes {
namespace {

using ir::DType;

bool never(DType) { return false; }
bool of_bf16(DType dtype) { return dtype == DType::bf16; }

/// What the wide values are read by: the operators of the first node of each group.
std::string wide(const Graph& given, DType dtype, const MultipliesAsItIs& as_it_is,
                 const std::set<size_t>& references = {}) {
  Graph graph = given.clone();
  run_passes(graph);
  lower_precision(graph, dtype);
  const Partitioned parts = partition(graph);
  std::vector<bool> has_kernel(parts.partition.groups.size(), true);
  for (size_t g : references) has_kernel[g] = false;
  const auto values = values_stored_wide(graph, parts, has_kernel, as_it_is);
  std::string text;
  for (ValueId v : values) {
    EXPECT_TRUE(graph.type(v).dtype() == dtype && !graph.is_input(v) && !graph.is_output(v));
    for (const ir::Group& group : parts.partition.groups)
      if (std::find(group.inputs.begin(), group.inputs.end(), v) != group.inputs.end())
        text += (text.empty() ? "" : " ") + graph.node(group.nodes.front()).op;
  }
  return text;
}

Model perceptron() {
  Model m;
  const ValueId x = m.input("x", {64, 32});
  m.output(m.linear(m.relu(m.linear(m.relu(m.linear(x, 48)), 40)), 8));
  return m;
}

TEST(Storage, WhatContractionsReadOftenIsWide) {
  EXPECT_EQ(wide(perceptron().graph, DType::f16, never), "MatMul MatMul");
  EXPECT_EQ(wide(perceptron().graph, DType::f16, of_bf16), "MatMul MatMul");
  EXPECT_EQ(wide(perceptron().graph, DType::bf16, of_bf16), "");  // multiplied as they are
}

TEST(Storage, ReferencesTakeWhatTheModelStates) {
  EXPECT_EQ(wide(perceptron().graph, DType::f16, never, {1}), "");
  EXPECT_EQ(wide(perceptron().graph, DType::f16, never, {0}), "MatMul");
}

TEST(Storage, DepthwiseConvolutionsReadSeldom) {
  Model m;
  const ValueId x = m.relu(m.conv(m.input("x", {1, 8, 12, 12}), 32, 1));
  const ValueId depthwise = m.relu(m.conv(x, 32, 3, 1, 32));
  m.output(m.conv(depthwise, 24, 1));
  EXPECT_EQ(wide(m.graph, DType::f16, never), "Conv Conv");  // the pointwise ones
}

TEST(Storage, InputsOfTheModelAreWidenedOnce) {
  Model m;
  const ValueId x = m.input("x", {64, 32}, DType::f16);
  const auto weights = [&](int64_t n) {
    Graph& g = m.graph;
    Tensor t(DType::f16, {32, n});
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, 0.01 * static_cast<double>(i % 7));
    return g.add_constant("w", std::move(t));
  };
  m.output(m.op("MatMul", {x, weights(16)}));
  m.output(m.op("MatMul", {x, weights(24)}));
  Partitioned parts = partition(m.graph);
  EXPECT_EQ(insert_widenings(m.graph, parts, never), 1);
  EXPECT_EQ(operators(m.graph), "Cast MatMul MatMul");
  verify(m.graph, parts.partition);
  EXPECT_EQ(insert_widenings(m.graph, parts, never), 0);
}

}  // namespace
}  // namespace rooftune::passes
