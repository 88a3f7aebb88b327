#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(CommonSubexpression, MergesEqualNodesAndConstants) {
  Model m;
  const ValueId x = m.input("x", {2, 3});
  const auto centred = [&] {
    const ValueId mean = m.op("ReduceMean", {x, m.ints({-1})}, {{"keepdims", int64_t{1}}});
    return m.op("Sub", {x, mean});
  };
  m.output(m.op("Mul", {centred(), centred()}));
  EXPECT_EQ(operators(rewritten(m.graph, "common_subexpression", 0)), "ReduceMean Sub Mul");
}

TEST(CommonSubexpression, TellsAttributesAndTypesApart) {
  Model m;
  const ValueId x = m.input("x", {2, 2});
  m.output(m.op("Add", {m.op("Softmax", {x}, {{"axis", int64_t{0}}}), m.op("Softmax", {x}, {{"axis", int64_t{1}}})}));
  const ValueId zero = m.number(0), negative = m.number(-0.0);
  m.output(m.op("Concat", {m.op("Mul", {x, zero}), m.op("Mul", {x, negative})}, {{"axis", int64_t{0}}}));
  EXPECT_EQ(operators(rewritten(m.graph, "common_subexpression", 0)), "Softmax Softmax Add Mul Mul Concat");
}

TEST(CommonSubexpression, KeepsOutputsApart) {
  Model m;
  const ValueId x = m.input("x", {2});
  m.output(m.relu(x));
  m.output(m.relu(x));
  m.output(m.op("Neg", {m.relu(x)}));
  EXPECT_EQ(operators(rewritten(m.graph, "common_subexpression", 0)), "Relu Relu Neg");
}

TEST(CommonSubexpression, NeverSharesRandomNumbers) {
  Model m;
  const auto random = [&] { return m.op("RandomNormal", {}, {{"shape", std::vector<int64_t>{2}}}); };
  m.output(m.op("Sub", {random(), random()}));
  run_pass(m.graph, "common_subexpression");
  EXPECT_EQ(operators(m.graph), "RandomNormal RandomNormal Sub");
}

TEST(CommonSubexpression, DropsTiedWeights) {
  Model m;
  const Tensor big = *m.graph.constant(m.weight({64, 64}));
  const ValueId a = m.graph.add_constant("a", big), b = m.graph.add_constant("b", big);
  const ValueId x = m.input("x", {2, 64});
  m.output(m.op("Add", {m.op("MatMul", {x, a}), m.op("MatMul", {x, b})}));
  EXPECT_EQ(operators(rewritten(m.graph, "common_subexpression", 0)), "MatMul Add");
}

}  // namespace
}  // namespace rooftune::passes
