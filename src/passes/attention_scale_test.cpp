#include "passes/testing_networks.h"

namespace rooftune::passes {
namespace {

/// scores → Softmax → MatMul with v, from q and kᵀ scaled by a and b and scores scaled by c (1: no node).
Graph attention(double a, double b, double c, const char* op = "Mul", bool behind_transpose = false) {
  Model m;
  ValueId q = m.input("q", {1, 2, 4, 8}), k = m.input("k", {1, 2, 4, 8});
  const auto scaled = [&](ValueId v, double s) { return s == 1 ? v : m.op(op, {v, m.number(s)}); };
  q = scaled(q, a);
  k = behind_transpose ? m.transpose(scaled(k, b), {0, 1, 3, 2}) : scaled(m.transpose(k, {0, 1, 3, 2}), b);
  const ValueId s = m.op("Add", {scaled(m.op("MatMul", {q, k}), c), m.input("mask", {1, 1, 1, 4})});
  m.output(m.op("MatMul", {m.op("Softmax", {s}, {{"axis", int64_t{-1}}}), m.input("v", {1, 2, 4, 8})}));
  return std::move(m.graph);
}

TEST(AttentionScale, GathersFactors) {
  for (const bool behind : {false, true}) {
    const Graph after = rewritten(attention(0.5, 0.5, 1, "Mul", behind), "attention_scale", 1e-6);
    EXPECT_EQ(operators(after), "Transpose MatMul Mul Add Softmax MatMul");
  }
  EXPECT_EQ(operators(rewritten(attention(0.6, 0.7, 3), "attention_scale", 1e-6)),
            "Transpose MatMul Mul Add Softmax MatMul");
  EXPECT_EQ(operators(rewritten(attention(1, 1, 2.8284), "attention_scale", 1e-6)),
            "Transpose MatMul Mul Add Softmax MatMul");
  EXPECT_EQ(operators(rewritten(attention(1, 1, 2.8284, "Div"), "attention_scale", 1e-6)),
            "Transpose MatMul Mul Add Softmax MatMul");
}

TEST(AttentionScale, DropsFactorsThatCancel) {
  EXPECT_EQ(operators(rewritten(attention(2, 1, 0.5), "attention_scale", 1e-6)), "Transpose MatMul Add Softmax MatMul");
}

TEST(AttentionScale, SaysWhenNothingChanges) {
  Graph graph = attention(1, 1, 0.35);
  EXPECT_FALSE(run_pass(graph, "attention_scale"));
  Graph plain = attention(1, 1, 1);
  EXPECT_FALSE(run_pass(plain, "attention_scale"));
}

TEST(AttentionScale, LeavesSharedAndOtherProducts) {
  Model m;
  const ValueId q = m.op("Mul", {m.input("q", {2, 4, 8}), m.number(0.5)});
  const ValueId s = m.op("MatMul", {q, m.input("k", {2, 8, 4})});
  m.output(m.op("Softmax", {s}, {{"axis", int64_t{-1}}}));
  m.output(m.relu(q));  // the scaled q is needed
  m.output(m.op("MatMul", {m.op("Mul", {m.input("a", {2, 3}), m.number(2)}), m.input("b", {3, 4})}));  // no attention
  EXPECT_EQ(operators(rewritten(m.graph, "attention_scale", 0)), operators(m.graph));
}

}  // namespace
}  // namespace rooftune::passes
