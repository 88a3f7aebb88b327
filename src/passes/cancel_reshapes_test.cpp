#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(CancelReshapes, AroundLinearLayers) {
  Model m;
  const ValueId x = m.input("x", {2, 5, 8});
  const ValueId y = m.relu(m.linear(m.reshape(x, {10, 8}), 12));
  m.output(m.op("Add", {x, m.reshape(m.linear(y, 8), {2, 5, 8})}));
  const Graph after = rewritten(m.graph, "cancel_reshapes", 0);
  EXPECT_EQ(operators(rewritten(after, "remove_noops", 0)), "MatMul Add Relu MatMul Add Add");
}

TEST(CancelReshapes, OneReshapeIsEnough) {
  Model m;  // heads are joined and flattened at once
  m.output(
      m.reshape(m.linear(m.reshape(m.transpose(m.input("x", {1, 4, 5, 2}), {0, 2, 1, 3}), {5, 8}), 12), {1, 5, 12}));
  EXPECT_EQ(operators(rewritten(m.graph, "cancel_reshapes", 0)), "Transpose Reshape MatMul Add");
}

TEST(CancelReshapes, LeavesReshapesThatMean) {
  const auto unchanged = [](Model& m) {
    EXPECT_EQ(operators(rewritten(m.graph, "cancel_reshapes", 0)), operators(m.graph));
  };
  {
    Model m;  // the last dim is split differently
    m.output(m.reshape(m.linear(m.reshape(m.input("x", {2, 5, 8}), {10, 8}), 12), {2, 5, 3, 4}));
    unchanged(m);
  }
  {
    Model m;  // a sum that differs from row to row
    const ValueId y = m.op("Add", {m.linear(m.reshape(m.input("x", {2, 5, 8}), {10, 8}), 12), m.weight({10, 1})});
    m.output(m.reshape(y, {2, 5, 12}));
    unchanged(m);
  }
  {
    Model m;  // the flat result is needed
    const ValueId y = m.linear(m.reshape(m.input("x", {2, 5, 8}), {10, 8}), 12);
    m.output(m.relu(y));
    m.output(m.reshape(y, {2, 5, 12}));
    unchanged(m);
  }
  {
    Model m;  // no linear layer in between
    m.output(m.reshape(m.relu(m.reshape(m.input("x", {2, 5, 8}), {10, 8})), {2, 5, 8}));
    unchanged(m);
  }
}

}  // namespace
}  // namespace rooftune::passes
