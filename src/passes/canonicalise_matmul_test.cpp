#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(CanonicaliseMatmul, SplitsGemm) {
  Model m;
  const ValueId x = m.input("x", {3, 4});
  m.output(m.op("Gemm", {x, m.weight({6, 4}), m.weight({6})}, {{"transB", int64_t{1}}}));
  m.output(m.op("Gemm", {x, m.weight({4, 6})}));
  m.output(m.op("Gemm", {x, m.weight({4, 6}), m.weight({3, 1})}, {{"alpha", 0.5F}, {"beta", 3.0F}}));
  const Graph after = rewritten(m.graph, "canonicalise_matmul");
  EXPECT_EQ(operators(after), "Transpose MatMul Add MatMul MatMul Add");
  EXPECT_EQ(operators(rewritten(after, "constant_fold", 0)), "MatMul Add MatMul MatMul Add");
}

TEST(CanonicaliseMatmul, LeavesOthersAndSaysWhy) {
  Model m;
  const ValueId a = m.input("a", {4, 3}), b = m.input("b", {6, 4});
  m.output(m.op("Gemm", {a, m.weight({4, 6})}, {{"transA", int64_t{1}}}));
  m.output(m.op("Gemm", {m.input("c", {3, 4}), b}, {{"transB", int64_t{1}}}));
  const Graph before = m.graph.clone();
  const auto records = run_passes(m.graph);
  expect_same_results(before, m.graph, 1e-5);
  EXPECT_EQ(operators(m.graph), "Gemm Gemm");
  std::string notes;
  for (const auto& record : records)
    for (const auto& note : record.notes) notes += note + "\n";
  EXPECT_NE(notes.find("A is transposed"), std::string::npos) << notes;
  EXPECT_NE(notes.find("B is transposed and not constant"), std::string::npos) << notes;
}

}  // namespace
}  // namespace rooftune::passes
