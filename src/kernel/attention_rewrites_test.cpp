// What is rewritten so that attention becomes one nest: divisions after sums, rearranging maps in the order of what they read.
#include <gtest/gtest.h>

#include <random>

#include "kernel/analysis.h"
#include "kernel/interpreter.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

constexpr int64_t kHeads = 3, kRows = 5, kTerms = 7, kDepth = 4;

Index v(int i) { return Index::variable(i); }

ir::Tensor random_tensor(const Buffer& buffer, std::mt19937& random) {
  ir::Tensor tensor(buffer.dtype, buffer.shape);
  std::uniform_real_distribution<float> uniform(0.5F, 2);
  for (int64_t i = 0; i < tensor.size(); ++i) tensor.data<float>()[i] = uniform(random);
  return tensor;
}

void expect_same_results(const Kernel& before, const Kernel& after) {
  std::mt19937 random(std::random_device{}());
  std::vector<ir::Tensor> tensors;
  for (const auto& buffer : before.buffers)
    tensors.push_back(buffer.role == Role::input ? random_tensor(buffer, random) : ir::Tensor());
  const auto wanted = interpret(before, tensors)[0];
  tensors.resize(after.buffers.size());
  const auto got = interpret(after, tensors)[0];
  ASSERT_EQ(wanted.shape(), got.shape());
  for (int64_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(wanted.data<float>()[i], got.data<float>()[i], 1e-5 * std::abs(wanted.data<float>()[i])) << i;
}

/// y[r, depth * h + d] = Σ_k x[h,r,k] / z[h,r or k] · w[h,k,d]
Kernel weighted(bool divisor_by_row, bool read_twice) {
  Kernel kernel;
  const int x = kernel.add_buffer("x", DType::f32, {kHeads, kRows, kTerms}, Role::input);
  const int z = kernel.add_buffer("z", DType::f32, {kHeads, divisor_by_row ? kRows : kTerms}, Role::input);
  const int w = kernel.add_buffer("w", DType::f32, {kHeads, kTerms, kDepth}, Role::input);
  const int y = kernel.add_buffer("y", DType::f32, {kRows, kHeads * kDepth}, Role::output);
  StageBuilder quotient(kernel, "quotient", {{"h", kHeads}, {"r", kRows}, {"k", kTerms}});
  const int q = quotient.finish(
      quotient.div(quotient.load(x, {v(0), v(1), v(2)}), quotient.load(z, {v(0), v(divisor_by_row ? 1 : 2)})));
  StageBuilder sum(kernel, "sum", {{"h", kHeads}, {"r", kRows}, {"d", kDepth}}, {{"k", kTerms}});
  const int s = sum.finish(sum.mul(sum.load(q, {v(0), v(1), v(3)}), sum.load(w, {v(0), v(3), v(2)})), Reduction::sum);
  StageBuilder merged(kernel, "merged", {{"r", kRows}, {"c", kHeads * kDepth}});
  const RangeOf range_of = [](int a) { return Range{0, (a == 0 ? kRows : kHeads * kDepth) - 1}; };
  int value = merged.load(s, {floordiv(v(1), kDepth, range_of), v(0), mod(v(1), kDepth, range_of)});
  if (read_twice) value = merged.add(value, merged.load(q, {0, v(0), 0}));
  merged.finish(value, Reduction::none, y);
  return kernel;
}

int stage_named(const Kernel& kernel, const std::string& name) {
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    if (kernel.stages[s].name == name) return static_cast<int>(s);
  return -1;
}

const Op& operation(const Kernel& kernel, const std::string& stage) {
  return kernel.stages[static_cast<size_t>(stage_named(kernel, stage))].nodes.back().op;
}

TEST(DivideAfterSums, OneDivisionForASum) {
  const Kernel before = weighted(true, false);
  Kernel after = before;
  divide_after_sums(after);
  eliminate_dead_stages(after);
  verify(after);
  EXPECT_EQ(stage_named(after, "quotient"), -1) << print(after);
  EXPECT_EQ(operation(after, "sum_divided"), Op::div) << print(after);
  expect_same_results(before, after);
}

TEST(DivideAfterSums, NotWhereTermsHaveDivisorsOfTheirOwn) {
  Kernel kernel = weighted(false, false);
  const std::string before = print(kernel);
  divide_after_sums(kernel);
  EXPECT_EQ(print(kernel), before);
}

TEST(DivideAfterSums, NotWhereOthersNeedTheQuotient) {
  Kernel kernel = weighted(true, true);
  const std::string before = print(kernel);
  divide_after_sums(kernel);
  EXPECT_EQ(print(kernel), before);
}

TEST(WalkMapsAsRead, HeadsThatAreMergedAreWalkedOneByOne) {
  const Kernel before = weighted(true, false);
  Kernel after = before;
  walk_maps_as_read(after);
  verify(after);
  const auto& map = after.stages[static_cast<size_t>(stage_named(after, "merged"))];
  ASSERT_EQ(map.spatial, 3) << print(after);
  EXPECT_TRUE(reads_identity(after, map, after.stages[static_cast<size_t>(stage_named(after, "sum"))].buffer));
  EXPECT_EQ(map.out_indices, (std::vector<Index>{v(1), v(0) * kDepth + v(2)}));
  expect_same_results(before, after);
}

TEST(WalkMapsAsRead, NotWhereOnlyAPartIsRead) {
  Kernel kernel = weighted(true, false);
  auto& map = kernel.stages.back();
  map.axes[1].extent = kHeads * kDepth - kDepth;
  kernel.buffers[static_cast<size_t>(map.buffer)].shape[1] = kHeads * kDepth - kDepth;
  kernel.buffers[static_cast<size_t>(map.buffer)].layout = Layout::row_major({kRows, kHeads * kDepth - kDepth});
  const std::string before = print(kernel);
  walk_maps_as_read(kernel);
  EXPECT_EQ(print(kernel), before);
}

// A part of each row twice, as Slice and Tile give it: as many points as there are elements, but not those elements.
TEST(WalkMapsAsRead, NotWhereAPartIsReadAgainAndAgain) {
  Kernel kernel = weighted(true, false);
  const RangeOf range_of = [](int a) { return Range{0, (a == 0 ? kRows : kHeads * kDepth) - 1}; };
  kernel.stages.back().nodes[0].indices = {floordiv(v(1), kDepth, range_of), v(0), mod(v(1), kDepth / 2, range_of)};
  const std::string before = print(kernel);
  walk_maps_as_read(kernel);
  EXPECT_EQ(print(kernel), before);
}

TEST(WalkMapsAsRead, NotWhereNothingIsMerged) {
  Kernel kernel = weighted(true, false);
  kernel.stages.back().nodes[0].indices = {0, v(0), 0};
  const std::string before = print(kernel);
  walk_maps_as_read(kernel);
  EXPECT_EQ(print(kernel), before);
}

}  // namespace
}  // namespace rooftune::kernel
