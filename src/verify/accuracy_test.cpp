#include "verify/accuracy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rooftune::verify {
namespace {

using ir::DType;
using ir::Tensor;

Tensor scores(std::vector<int64_t> shape, const std::vector<float>& values) {
  return Tensor::of<float>(DType::f32, std::move(shape), values);
}

TEST(Accuracy, FindsTheScores) {
  const Tensor ids = Tensor::of<int64_t>(DType::i64, {4}, {1, 2, 3, 4}), pooled = scores({3, 1}, {1, 2, 3});
  EXPECT_EQ(scores_output({ids, pooled, scores({2, 3}, {0, 1, 2, 3, 4, 5})}), 2);
  EXPECT_EQ(scores_output({ids, pooled}), -1);
}

TEST(Accuracy, ClassesOfRows) {
  const Tensor s = scores({2, 2, 3}, {0, 2, 1, 5, 5, 1, NAN, 1, 2, -3, -2, -1});
  EXPECT_EQ(classes(s), (std::vector<int64_t>{1, 0, -1, 2}));
}

TEST(Accuracy, AgainstLabels) {
  Accuracy a;
  a.add(scores({2, 2}, {1, 0, 0, 1}), scores({2, 2}, {1, 0, 1, 0}), {0, 1});
  a.add(scores({2, 2}, {1, 0, 1, 0}), scores({2, 2}, {0, 1, 1, 0}), {1, 1});
  EXPECT_TRUE(a.labelled);
  EXPECT_DOUBLE_EQ(a.reference_pct(), 50);
  EXPECT_DOUBLE_EQ(a.candidate_pct(), 50);
  a.add(scores({1, 2}, {0, 1}), scores({1, 2}, {NAN, 1}), {1});
  EXPECT_DOUBLE_EQ(a.drop_pct(), 20);
}

TEST(Accuracy, WithoutLabelsByAgreement) {
  Accuracy a;
  a.add(scores({4, 2}, {1, 0, 0, 1, 1, 0, 0, 1}), scores({4, 2}, {1, 0, 0, 1, 0, 1, 0, 1}), {});
  EXPECT_FALSE(a.labelled);
  EXPECT_DOUBLE_EQ(a.reference_pct(), 100);
  EXPECT_DOUBLE_EQ(a.drop_pct(), 25);
}

}  // namespace
}  // namespace rooftune::verify
