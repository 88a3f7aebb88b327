#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(ConstantFold, ComputesWhatIsConstant) {
  Model m;
  const ValueId one = m.op("Constant", {}, {{"value_floats", std::vector<float>{1, 2, 3}}});
  const ValueId two = m.op("Exp", {m.op("Mul", {one, m.number(0.5)})});
  m.output(m.op("Add", {m.input("x", {2, 3}), two}));
  EXPECT_EQ(operators(rewritten(m.graph, "constant_fold", 0)), "Add");
}

TEST(ConstantFold, ComputesShapes) {
  // The usual argument of a Reshape: [x.shape[0], x.shape[1] * x.shape[2]].
  Model m;
  const ValueId x = m.input("x", {2, 3, 4});
  const ValueId shape = m.op("Shape", {x});
  const auto dim = [&](int64_t i) { return m.op("Gather", {shape, m.ints({i})}); };
  const ValueId target = m.op("Concat", {dim(0), m.op("Mul", {dim(1), dim(2)})}, {{"axis", int64_t{0}}});
  m.output(m.op("Reshape", {x, target}));
  EXPECT_EQ(operators(rewritten(m.graph, "constant_fold", 0)), "Reshape");
}

TEST(ConstantFold, ComputesTheKnownPartOfSymbolicShapes) {
  Model m;
  const ValueId x = m.graph.add_input("x", Type::tensor(ir::DType::f32, ir::Shape{ir::Dim::symbol("batch"), 12}));
  const ValueId last = m.op("Gather", {m.op("Shape", {x}), m.ints({1})});
  const ValueId target =
      m.op("Concat", {m.ints({-1}), m.op("Div", {last, m.ints({4})}), m.ints({4})}, {{"axis", int64_t{0}}});
  m.output(m.op("Reshape", {x, target}));
  run_pass(m.graph, "constant_fold");
  EXPECT_EQ(operators(m.graph), "Reshape");
  EXPECT_EQ(m.graph.type(m.graph.outputs[0]).to_string(), "f32[batch,3,4]");
}

TEST(ConstantFold, DoesNotBlowConstantsUp) {
  Model m;
  m.output(m.op("Expand", {m.number(1), m.ints({1000, 1000})}));  // 4 MB from 4 bytes
  m.output(m.op("Expand", {m.number(2), m.ints({4, 4})}));
  const Graph after = rewritten(m.graph, "constant_fold", 0);
  EXPECT_EQ(operators(after), "Expand");
  EXPECT_TRUE(after.constant(after.outputs[1]));
}

TEST(ConstantFold, LeavesRandomNumbersAndQuantisedWeights) {
  Model m;
  m.output(m.op("RandomNormal", {}, {{"shape", std::vector<int64_t>{2}}, {"seed", 1.0F}}));
  const ValueId weight = m.graph.add_constant("q", Tensor::of<int8_t>(ir::DType::i8, {2}, {3, -4}));
  m.output(m.op("DequantizeLinear", {weight, m.number(0.1)}));
  run_pass(m.graph, "constant_fold");
  EXPECT_EQ(operators(m.graph), "RandomNormal DequantizeLinear");
}

}  // namespace
}  // namespace rooftune::passes
