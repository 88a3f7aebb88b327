#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(FoldBatchNorm, IntoConvolutions) {
  for (const int64_t groups : {1, 2, 6}) {
    for (const bool bias : {false, true}) {
      Model m;
      m.output(m.relu(m.batch_norm(m.conv(m.input("x", {2, 6, 7, 5}), 12, 3, 1, groups, bias))));
      EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Conv Relu");
    }
  }
}

TEST(FoldBatchNorm, IntoTransposedConvolutions) {
  for (const int64_t groups : {1, 2, 4}) {
    Model m;
    const ValueId x = m.input("x", {1, 4, 5, 6});
    const ValueId y = m.op("ConvTranspose", {x, m.weight({4, 3, 2, 2})},
                           {{"strides", std::vector<int64_t>{2, 2}}, {"group", groups}});
    m.output(m.batch_norm(y));
    EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "ConvTranspose");
  }
}

TEST(FoldBatchNorm, IntoGemm) {
  for (const int64_t transposed : {0, 1}) {
    Model m;
    const ValueId w = transposed ? m.weight({6, 4}) : m.weight({4, 6});
    m.output(m.batch_norm(m.op("Gemm", {m.input("x", {3, 4}), w, m.weight({6})}, {{"transB", transposed}})));
    EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Gemm");
  }
}

TEST(FoldBatchNorm, AloneBecomesAMap) {
  Model m;
  m.output(m.batch_norm(m.relu(m.input("x", {2, 6, 3, 3}))));
  EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Relu Mul Add");
}

TEST(FoldBatchNorm, TakesConstantsPerChannelToo) {
  Model m;
  ValueId x = m.conv(m.input("x", {1, 3, 5, 5}), 4, 3);
  x = m.op("Mul", {m.weight({4, 1, 1}), x});
  x = m.op("Add", {x, m.weight({1, 4, 1, 1})});
  x = m.op("Mul", {x, m.number(0.5)});
  m.output(x);
  EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Conv");
}

TEST(FoldBatchNorm, LeavesMapsThatAreNotPerChannel) {
  Model m;
  const ValueId x = m.conv(m.input("x", {1, 3, 4, 4}), 4, 3);
  m.output(m.op("Mul", {x, m.weight({4})}));                         // along W, which is as long
  m.output(m.op("Add", {m.conv(x, 4, 1), m.weight({2, 1, 1, 1})}));  // makes a batch
  m.output(m.batch_norm(x));                                         // x is needed elsewhere
  EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Conv Mul Conv Add Mul Add");
}

TEST(FoldBatchNorm, KeepsSharedWeightsForTheOthers) {
  Model m;
  const ValueId x = m.input("x", {1, 3, 4, 4}), w = m.weight({4, 3, 1, 1});
  m.output(m.batch_norm(m.op("Conv", {x, w})));
  m.output(m.op("Conv", {x, w}));
  EXPECT_EQ(operators(rewritten(m.graph, "fold_batch_norm")), "Conv Conv");
}

}  // namespace
}  // namespace rooftune::passes
