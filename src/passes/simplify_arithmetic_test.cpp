#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(SimplifyArithmetic, TurnsDifferencesAndPowersOfTwo) {
  Model m;
  const ValueId x = m.input("x", {2, 3});
  m.output(m.op("Sub", {x, m.weight({3})}));
  m.output(m.op("Div", {x, m.number(8)}));
  m.output(m.op("Pow", {x, m.number(2)}));
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_arithmetic", 0)), "Add Mul Mul");
}

TEST(SimplifyArithmetic, KeepsWhatWouldRoundDifferently) {
  Model m;
  const ValueId x = m.input("x", {2, 3});
  m.output(m.op("Div", {x, m.number(3)}));
  m.output(m.op("Sub", {m.number(1), x}));
  m.output(m.op("Pow", {m.op("Exp", {x}), m.number(0.5)}));
  const ValueId n = m.input("n", {2}, ir::DType::i64);
  m.output(m.op("Div", {n, m.ints({2})}));
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_arithmetic", 0)), "Div Sub Exp Pow Div");
}

TEST(SimplifyArithmetic, CubesAreProducts) {
  Model m;
  m.output(m.op("Pow", {m.input("x", {5}), m.number(3, ir::DType::i64)}));
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_arithmetic", 1e-6)), "Mul Mul");
}

TEST(SimplifyArithmetic, ExtremaAreClips) {
  Model m;
  const ValueId x = m.input("x", {2, 30});
  m.output(m.op("Min", {m.op("Max", {x, m.number(-0.5)}), m.number(0.5)}));
  m.output(m.op("Clip", {m.relu(x), kNone, m.number(6)}));
  m.output(m.op("Max", {m.number(0), x}));
  m.output(m.op("Max", {x, m.input("y", {2, 30})}));
  EXPECT_EQ(operators(rewritten(m.graph, "simplify_arithmetic", 0)), "Clip Clip Relu Max");
}

}  // namespace
}  // namespace rooftune::passes
