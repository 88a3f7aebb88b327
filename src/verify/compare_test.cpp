#include "verify/compare.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace rooftune::verify {
namespace {

using ir::DType;
using ir::Tensor;
constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

Tensor floats(std::vector<float> values) {
  const auto n = static_cast<int64_t>(values.size());
  return Tensor::of<float>(DType::f32, {n}, values);
}
OutputComparison one(const Tensor& got, const Tensor& expected) {
  return compare({"y"}, {got}, {expected}).outputs.at(0);
}

RC_GTEST_PROP(Compare, ErrorsAreThoseOfTheDefinition, ()) {
  const auto b = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-1000, 1000)));
  const auto noise = *rc::gen::container<std::vector<int>>(b.size(), rc::gen::inRange(-10, 10));
  std::vector<float> got, expected;
  double difference = 0, norm = 0, got_norm = 0, dot = 0, worst = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    expected.push_back(static_cast<float>(b[i]));
    got.push_back(static_cast<float>(b[i] + noise[i]));
    difference += noise[i] * noise[i];
    norm += double(b[i]) * b[i];
    got_norm += double(b[i] + noise[i]) * (b[i] + noise[i]);
    dot += double(b[i]) * (b[i] + noise[i]);
    worst = std::max(worst, std::abs(double(noise[i])));
  }
  const OutputComparison c = one(floats(got), floats(expected));
  RC_ASSERT(c.max_abs_error == worst);
  RC_ASSERT(!c.exact);
  if (norm > 0) {
    RC_ASSERT(std::abs(c.relative_error - std::sqrt(difference / norm)) < 1e-9);
  }
  if (norm > 0 && got_norm > 0) {
    RC_ASSERT(std::abs(c.cosine - dot / std::sqrt(norm * got_norm)) < 1e-9);
  }
  RC_ASSERT(c.agrees({}) == (norm > 0 ? std::sqrt(difference / norm) <= 1e-4 : difference == 0));
}

TEST(Compare, NonFiniteElementsMustMatch) {
  EXPECT_TRUE(one(floats({1, kNan, kInf, -kInf}), floats({1, kNan, kInf, -kInf})).agrees({}));
  EXPECT_EQ(one(floats({1, kNan, kInf}), floats({1, kNan, kInf})).relative_error, 0);
  for (const auto& [a, b] :
       std::vector<std::pair<float, float>>{{kNan, 1}, {1, kNan}, {kInf, 1}, {kInf, -kInf}, {kNan, kInf}}) {
    const Comparison c = compare({"y"}, {floats({1, a})}, {floats({1, b})});
    EXPECT_FALSE(c.agrees({.relative = 1e9}));
    EXPECT_EQ(c.outputs[0].nonfinite_mismatches, 1);
    EXPECT_EQ(c.max_rel_error(), kInf);
    EXPECT_EQ(c.why_not({}), "output 'y': 1 of 2 elements are NaN or infinite on one side only");
  }
}

TEST(Compare, ZeroAgainstSomething) {
  EXPECT_EQ(one(floats({0, 0}), floats({0, 0})).relative_error, 0);
  EXPECT_EQ(one(floats({0, 0}), floats({0, 0})).cosine, 1);
  EXPECT_EQ(one(floats({0, 1e-30f}), floats({0, 0})).relative_error, kInf);
  EXPECT_EQ(one(floats({0, 0}), floats({0, 2})).relative_error, 1);
  EXPECT_TRUE(one(floats({}), floats({})).agrees({}));
}

TEST(Compare, IntegersAreJudgedByTheFractionThatDiffers) {
  const auto ints = [](std::vector<int64_t> v) { return Tensor::of<int64_t>(DType::i64, {4}, v); };
  const OutputComparison c = one(ints({1, 2, 3, 4}), ints({1, 2, 3, 5}));
  EXPECT_TRUE(c.exact);
  EXPECT_EQ(c.mismatch_fraction, 0.25);
  EXPECT_FALSE(c.agrees({}));
  EXPECT_TRUE(c.agrees({.mismatch_fraction = 0.25}));
  const int64_t big = int64_t{1} << 60;
  EXPECT_EQ(one(ints({big, 0, 0, 0}), ints({big + 1, 0, 0, 0})).mismatch_fraction, 0.25)
      << "a double cannot tell these apart";
  const auto naturals = [](std::vector<uint64_t> v) { return Tensor::of<uint64_t>(DType::u64, {4}, v); };
  const uint64_t huge = uint64_t{1} << 63;
  EXPECT_EQ(one(naturals({huge, huge + 1, 1, 2}), naturals({huge, huge + 2, 1, 2})).mismatch_fraction, 0.25)
      << "nor can int64_t";
  const Tensor a = Tensor::of<uint8_t>(DType::boolean, {2}, {1, 0}),
               b = Tensor::of<uint8_t>(DType::boolean, {2}, {1, 1});
  EXPECT_EQ(one(a, b).mismatch_fraction, 0.5);
  EXPECT_EQ(one(Tensor::of_strings({2}, {"a", "b"}), Tensor::of_strings({2}, {"a", "c"})).mismatch_fraction, 0.5);
}

TEST(Compare, HalfAndComplexTypes) {
  Tensor a(DType::f16, {2}), b(DType::f16, {2});
  a.set_double(0, 1.5), a.set_double(1, 2), b.set_double(0, 1.5), b.set_double(1, 1);
  EXPECT_NEAR(one(a, b).relative_error, 1 / std::sqrt(3.25), 1e-9);
  const Tensor c = Tensor::of<std::array<float, 2>>(DType::c64, {1}, {{3, 4}}),
               d = Tensor::of<std::array<float, 2>>(DType::c64, {1}, {{3, 0}});
  EXPECT_NEAR(one(c, d).relative_error, 4.0 / 3.0, 1e-9);
  EXPECT_FALSE(one(c, d).exact);
}

TEST(Compare, TypesMustAgree) {
  const Comparison c = compare({"y", "z"}, {floats({1, 2}), Tensor()}, {floats({1}), floats({1})});
  EXPECT_FALSE(c.agrees({.relative = 1e9}));
  EXPECT_EQ(c.why_not({}), "output 'y': f32[2] instead of f32[1]; output 'z': missing instead of f32[1]");
}

TEST(Compare, TheWorseOfTwoKeepsEveryProblem) {
  const Comparison good = compare({"y"}, {floats({1, 2})}, {floats({1, 2})}),
                   bad = compare({"y"}, {floats({1, 3})}, {floats({1, 2})});
  EXPECT_EQ(worse(good, bad).max_rel_error(), bad.max_rel_error());
  EXPECT_EQ(worse(bad, good).outputs[0].max_abs_error, 1);
  EXPECT_LT(worse(good, bad).outputs[0].cosine, 1);
  EXPECT_EQ(worse(good, bad).why_not({}), "output 'y': relative error 4.47e-01 (1e-04 is allowed)");
}

TEST(Compare, JsonHoldsInfinity) {
  const Json j = to_json(compare({"y"}, {floats({kNan})}, {floats({1})}));
  EXPECT_EQ(j["max_rel_error"], "inf");
  EXPECT_NO_THROW(j.dump());
}

TEST(Compare, CheckRunsBothOnTheSameFreshInputs) {
  ir::Graph graph;
  graph.inputs.push_back(graph.add_value("x", ir::Type::tensor(DType::f32, ir::to_shape({3}))));
  graph.outputs = graph.inputs;
  std::vector<float> seen;
  const Runner golden = [](const std::vector<Tensor>& inputs) { return inputs; };
  const Runner candidate = [&](const std::vector<Tensor>& inputs) {
    seen.push_back(inputs[0].data<float>()[0]);
    Tensor y = inputs[0].clone();
    if (seen.size() == 2) y.data<float>()[1] += 1;  // wrong once only
    return std::vector<Tensor>{y};
  };
  const Comparison c = check(graph, candidate, golden, {.rounds = 3});
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_EQ(c.outputs[0].name, "x");
  EXPECT_FALSE(c.agrees({}));
  EXPECT_NEAR(c.outputs[0].max_abs_error, 1, 1e-5);
}

}  // namespace
}  // namespace rooftune::verify
