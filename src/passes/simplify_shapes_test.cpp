#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(SimplifyShapes, MergesChainsOfReshapes) {
  Model m;
  ValueId x = m.op("Unsqueeze", {m.input("x", {2, 3, 4}), m.ints({0})});
  x = m.op("Flatten", {x}, {{"axis", int64_t{2}}});
  x = m.op("Unsqueeze", {x, m.ints({1, 3})});
  m.output(m.op("Squeeze", {x, m.ints({1})}));
  const Graph after = rewritten(m.graph, "simplify_shapes", 0);
  EXPECT_EQ(operators(after), "Reshape");
}

TEST(SimplifyShapes, MergesTransposes) {
  Model m;
  const ValueId x = m.transpose(m.input("x", {2, 3, 4, 5}), {0, 2, 1, 3});
  m.output(m.transpose(x, {3, 0, 2, 1}));
  m.output(m.relu(m.transpose(x, {0, 2, 1, 3})));
  m.output(m.op("Transpose", {x}));
  const Graph after = rewritten(m.graph, "simplify_shapes", 0);
  EXPECT_EQ(operators(after), "Transpose Reshape Relu Transpose");
  EXPECT_EQ(after.node(after.order()[0]).attr_ints("perm"), (std::vector<int64_t>{3, 0, 1, 2}));
  EXPECT_EQ(operators(rewritten(after, "remove_noops", 0)), "Transpose Relu Transpose");
}

TEST(SimplifyShapes, TurnsTransposesOfUnitDimsIntoReshapes) {
  Model m;
  const ValueId x = m.input("x", {1, 8, 1, 4});
  m.output(m.transpose(x, {0, 2, 1, 3}));
  m.output(m.transpose(x, {0, 3, 1, 2}));
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_shapes", 0)), "Reshape Transpose");
}

TEST(SimplifyShapes, LeavesTwoUnknownDimsAlone) {
  Model m;
  const ValueId x =
      m.graph.add_input("x", Type::tensor(ir::DType::f32, ir::Shape{ir::Dim::symbol("a"), 1, ir::Dim::symbol("b"), 4}));
  m.output(m.op("Squeeze", {x, m.ints({1})}));
  const ValueId y = m.graph.add_input("y", Type::tensor(ir::DType::f32, ir::Shape{ir::Dim::symbol("a"), 1, 4}));
  m.output(m.op("Squeeze", {y, m.ints({1})}));
  run_pass(m.graph, "simplify_shapes");
  EXPECT_EQ(operators(m.graph), "Squeeze Reshape");
}

TEST(SimplifyShapes, KeepsAReshapeOfAnEmptyTensor) {
  Model m;
  const ValueId x = m.op("Unsqueeze", {m.input("x", {0, 4}), m.ints({0})});
  m.output(x);
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_shapes", 0)), "Unsqueeze");
}

}  // namespace
}  // namespace rooftune::passes
