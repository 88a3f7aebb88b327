#include "passes/lower_precision.h"

#include "passes/testing_networks.h"

namespace rooftune::passes {
namespace {

using ir::DType;

double error_of(const Graph& lowered, const Graph& original) {
  const auto inputs = random_inputs(original);
  const auto expected = ops::evaluate(original, inputs), got = ops::evaluate(lowered, inputs);
  double worst = 0;
  for (size_t o = 0; o < got.size(); ++o) {
    EXPECT_EQ(got[o].dtype(), expected[o].dtype());
    EXPECT_EQ(got[o].shape(), expected[o].shape());
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < got[o].size(); ++i) {
      const double e = expected[o].as_double(i), d = got[o].as_double(i) - e;
      difference += d * d;
      norm += e * e;
    }
    worst = std::max(worst, std::sqrt(difference / norm));
  }
  return worst;
}

/// Every value's element type, but for integers'.
std::string types(const Graph& graph) {
  std::string text;
  for (NodeId id : graph.order())
    for (ValueId v : graph.node(id).outputs)
      text += fmt::format("{}{}:{}", text.empty() ? "" : " ", graph.node(id).op, ir::name(graph.type(v).dtype()));
  return text;
}

TEST(LowerPrecision, NetworksKeepTheirInputsAndOutputs) {
  for (const Graph& network : {resnet(), mobilenet(), unet()}) {
    Graph given = network.clone();
    run_passes(given);
    for (const auto& [dtype, allowed] : {std::pair{DType::f16, 3e-3}, std::pair{DType::bf16, 3e-2}}) {
      Graph lowered = given.clone();
      EXPECT_GT(lower_precision(lowered, dtype).lowered, 0);
      ir::verify(lowered);
      const double error = error_of(lowered, given);
      EXPECT_LT(error, allowed);
      EXPECT_GT(error, 0);
      for (size_t i = 0; i < given.inputs.size(); ++i) {
        EXPECT_EQ(lowered.value(lowered.inputs[i]).name, given.value(given.inputs[i]).name);
        EXPECT_EQ(lowered.type(lowered.inputs[i]).dtype(), DType::f32);
      }
      for (size_t o = 0; o < given.outputs.size(); ++o) {
        EXPECT_EQ(lowered.value(lowered.outputs[o]).name, given.value(given.outputs[o]).name);
        EXPECT_EQ(lowered.type(lowered.outputs[o]).dtype(), DType::f32);
      }
      for (size_t v = 0; v < lowered.value_capacity(); ++v) {  // all weights
        const Tensor* constant = lowered.constant(static_cast<ValueId>(v));
        if (constant == nullptr || constant->size() <= 100) continue;
        EXPECT_NE(constant->dtype(), DType::f32);
      }
      // What was lowered is what inference says of it.
      Graph again = lowered.clone();
      ops::infer_types(again);
      EXPECT_EQ(types(again), types(lowered));
    }
  }
}

TEST(LowerPrecision, SumsAndDecisionsStayWide) {
  Model m;
  const ValueId x = m.input("x", {4, 64});
  const ValueId y = m.relu(m.linear(x, 32));
  m.output(m.op("ReduceSum", {y, m.ints({1})}));
  m.output(m.op("ArgMax", {y}, {{"axis", int64_t{1}}}));
  Graph lowered = m.graph.clone();
  const auto result = lower_precision(lowered, DType::bf16);
  EXPECT_EQ(types(lowered), "Cast:bf16 MatMul:bf16 Add:bf16 Relu:bf16 Cast:f32 ReduceSum:f32 ArgMax:i64");
  ASSERT_EQ(result.notes.size(), 2u);
  EXPECT_NE(result.notes[0].find("sums"), std::string::npos);
}

TEST(LowerPrecision, NumbersBeyondF16AreItsLargest) {
  Model m;
  const ValueId x = m.input("x", {2, 8});
  const ValueId mask =
      m.graph.add_constant("mask", Tensor::of(DType::f32, {8}, std::vector<float>{0, 0, -1e9F, 0, 0, 0, 0, -3.4e38F}));
  m.output(m.op("Softmax", {m.op("Add", {x, mask})}));
  for (const auto dtype : {DType::f16, DType::bf16}) {
    Graph lowered = m.graph.clone();
    lower_precision(lowered, dtype);
    EXPECT_LT(error_of(lowered, m.graph), 1e-2);  // NaN would fail
  }
}

TEST(LowerPrecision, AnOutputThatIsReadInsideToo) {
  Model m;
  const ValueId x = m.input("x", {2, 8});
  const ValueId y = m.relu(x);
  m.output(y);
  m.output(m.relu(m.linear(y, 4)));
  Graph lowered = m.graph.clone();
  lower_precision(lowered, DType::f16);
  ir::verify(lowered);
  EXPECT_LT(error_of(lowered, m.graph), 2e-3);
}

}  // namespace
}  // namespace rooftune::passes
