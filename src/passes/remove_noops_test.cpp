#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(RemoveNoops, DropsWhatChangesNothing) {
  Model m;
  ValueId x = m.input("x", {2, 3, 4});
  x = m.op("Identity", {x});
  x = m.op("Dropout", {x, m.number(0.3)});
  x = m.op("Cast", {x}, {{"to", int64_t{1}}});
  x = m.reshape(x, {2, 3, 4});
  x = m.transpose(x, {0, 1, 2});
  x = m.op("Expand", {x, m.ints({1, 3, 1})});
  x = m.op("Tile", {x, m.ints({1, 1, 1})});
  x = m.op("Slice", {x, m.ints({0}), m.ints({100}), m.ints({1})});
  x = m.op("Pad", {x, m.ints({0, 0, 0, 0, 0, 0})});
  x = m.op("Concat", {x}, {{"axis", int64_t{1}}});
  x = m.op("Sum", {x});
  x = m.op("Mul", {x, m.number(1)});
  x = m.op("Div", {x, m.number(1)});
  x = m.op("Sub", {x, m.number(0)});
  x = m.op("Add", {m.number(-0.0), x});
  x = m.op("Pow", {x, m.number(1)});
  m.output(m.relu(x));
  EXPECT_EQ(operators(rewritten(m.graph, "remove_noops", 0)), "Relu");
}

TEST(RemoveNoops, KeepsWhatOnlyLooksLikeOne) {
  Model m;
  const ValueId x = m.input("x", {3, 3});
  m.output(m.transpose(x, {1, 0}));                                                       // same type, other order
  m.output(m.op("Slice", {x, m.ints({-1}), m.ints({-100}), m.ints({0}), m.ints({-1})}));  // reverses
  m.output(m.op("Pad", {x, m.ints({1, 0, -1, 0})}));                                      // shifts
  m.output(m.op("Mul", {m.input("s", {1}), m.op("Add", {m.weight({1, 3, 3}), m.number(1)})}));
  m.output(m.op("Add", {x, m.number(0)}));  // turns -0 into +0
  m.output(m.op("Mul", {m.input("row", {3}), m.op("Identity", {m.positive({3, 1}, 1, 1.0000001)})}));
  const Graph after = rewritten(m.graph, "remove_noops", 0);
  const std::string left = operators(after);
  EXPECT_EQ(left.substr(0, 19), "Transpose Slice Pad");
  EXPECT_NE(left.find("Add"), std::string::npos);
}

TEST(RemoveNoops, KeepsNamesOfOutputs) {
  Model m;
  const ValueId x = m.input("x", {2});
  const ValueId y = m.op("Identity", {m.relu(x)});
  m.graph.rename(y, "result");
  m.output(y);
  m.output(m.op("Identity", {x}));  // of an input: stays
  EXPECT_EQ(operators(rewritten(m.graph, "remove_noops", 0)), "Relu Identity");
}

TEST(RemoveNoops, TurnsADropoutOfAnInputIntoIdentity) {
  Model m;
  m.output(m.ops("Dropout", {m.input("x", {2})}, 2).front());
  EXPECT_EQ(operators(rewritten(m.graph, "remove_noops", 0)), "Identity");
}

TEST(RemoveNoops, KeepsADropoutWhoseMaskIsUsed) {
  Model m;
  const auto made = m.ops("Dropout", {m.input("x", {2})}, 2);
  m.output(m.relu(made[0]));
  m.output(made[1]);
  EXPECT_EQ(operators(rewritten(m.graph, "remove_noops", 0)), "Dropout Relu");
}

TEST(RemoveNoops, FollowsConstantConditions) {
  Model m;
  const ValueId a = m.input("a", {2, 3}), b = m.input("b", {2, 3});
  const ValueId all = m.graph.add_constant("all", Tensor::of<uint8_t>(ir::DType::boolean, {1, 3}, {1, 1, 1}));
  const ValueId some = m.graph.add_constant("some", Tensor::of<uint8_t>(ir::DType::boolean, {1, 3}, {1, 0, 1}));
  m.output(m.relu(m.op("Where", {all, a, b})));
  m.output(m.relu(m.op("Where", {some, a, b})));
  EXPECT_EQ(operators(rewritten(m.graph, "remove_noops", 0)), "Relu Where Relu");
}

}  // namespace
}  // namespace rooftune::passes
