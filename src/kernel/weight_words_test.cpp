#include <gtest/gtest.h>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"
#include "kernel/space.h"
#include "tests/support/codegen_check.h"

namespace rooftune::kernel {
namespace {

int word_sums(const Kernel& kernel) {
  int count = 0;
  for (const Stage& s : kernel.stages) count += dot_operands(kernel, s).width == 4 ? 1 : 0;
  return count;
}

/// The rewritten kernel, interpreted, against the original. Gives how many sums go by words.
int check(const Kernel& original, int bytes = 3) {
  const double allowed = bytes == 3 ? 2e-6 : 2e-4;
  std::mt19937 random(std::random_device{}());
  Kernel kernel = original;
  multiply_weights_in_words(kernel, bytes);
  eliminate_dead_stages(kernel);
  verify(kernel);
  auto tensors = testing::random_tensors(original, random);
  const auto expected = interpret(original, tensors);
  tensors.resize(kernel.buffers.size());
  const auto got = interpret(kernel, tensors);
  EXPECT_LE(testing::relative_error(got[0], expected[0]), allowed) << print(kernel);
  return word_sums(kernel);
}

TEST(WeightWords, ComputeTheSame) {
  for (int bits : {4, 8})
    for (bool zeros : {false, true}) {
      EXPECT_EQ(check(testing::weight_only_gemm(3, 20, 128, bits, 32, zeros)), 1);
      EXPECT_EQ(check(testing::weight_only_gemm(1, 7, 48, bits, 16, zeros)), 1);
      EXPECT_EQ(check(testing::weight_only_gemm(5, 9, 64, bits, 0, zeros)), 1);
      EXPECT_EQ(check(testing::weight_only_gemm(2, 9, 512, bits, 256, zeros)), 1);  // blocks of x are smaller
    }
}

TEST(WeightWords, OfManyRowsInTwoBytes) {
  EXPECT_EQ(check(testing::weight_only_gemm(20, 20, 128, 4, 32, true), 2), 1);
  EXPECT_EQ(check(testing::weight_only_gemm(17, 9, 512, 8, 256, false), 2), 1);
  EXPECT_EQ(check(testing::weight_only_gemm(8, 9, 512, 8, 256, false), 2), 0);
}

TEST(WeightWords, AnOutlierCostsItsBlockOnly) {
  const Kernel original = testing::weight_only_gemm(2, 8, 256, 4, 32, true);
  Kernel kernel = original;
  multiply_weights_in_words(kernel);
  std::mt19937 random(3);
  auto tensors = testing::random_tensors(original, random);
  for (int64_t i = 0; i < 32; ++i) tensors[2].data<float>()[8 * (i % 8)] = 0;  // what the first block is multiplied by
  tensors[0].data<float>()[5] = tensors[0].data<float>()[256 + 9] = 3e4F;
  const auto expected = interpret(original, tensors);
  tensors.resize(kernel.buffers.size());
  EXPECT_LE(testing::relative_error(interpret(kernel, tensors)[0], expected[0]), 2e-6);
}

TEST(WeightWords, ZerosGiveZeros) {
  const Kernel original = testing::weight_only_gemm(2, 8, 64, 4, 32, true);
  Kernel kernel = original;
  multiply_weights_in_words(kernel);
  std::mt19937 random(3);
  auto tensors = testing::random_tensors(original, random);
  for (int64_t i = 0; i < tensors[0].size(); ++i) tensors[0].data<float>()[i] = 0;
  const auto expected = interpret(original, tensors);
  tensors.resize(kernel.buffers.size());
  EXPECT_EQ(testing::relative_error(interpret(kernel, tensors)[0], expected[0]), 0);
}

TEST(WeightWords, WhatDoesNotFitStays) {
  EXPECT_EQ(check(testing::weight_only_gemm(3, 20, 60, 4, 32, true)), 0);   // the last block is not whole
  EXPECT_EQ(check(testing::weight_only_gemm(3, 20, 36, 4, 12, false)), 0);  // no whole words
  EXPECT_EQ(check(testing::gemm(3, 20, 64)), 0);
}

TEST(WeightWords, OneRowIsPackedForTheLanesAndReadOnce) {
  Machine machine;
  Kernel kernel = testing::weight_only_gemm(1, 256, 512, 4, 32, false);
  normalise(kernel, machine);
  const Schedule schedule = make_schedule(kernel, machine);
  const std::string text = print(kernel) + print(kernel, schedule);
  EXPECT_EQ(why_illegal(kernel, schedule), "") << text;
  int dots = 0;
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    for (const Loop& loop : schedule.stages[s].loops)
      if (loop.kind == LoopKind::dot) {
        ++dots;
        EXPECT_GE(schedule.stages[s].at_stage, 0) << text;
      }
  EXPECT_EQ(dots, 1) << text;
  for (const auto& [buffer, layout] : schedule.prepared)
    if (kernel.buffers[static_cast<size_t>(buffer)].dtype == DType::u8) {
      EXPECT_EQ(layout.axes().back(), (PhysicalAxis{1, 1, 4, 0})) << text;
      EXPECT_EQ(layout.size(), 256 * 256) << text;
    }
  EXPECT_FALSE(decisions(kernel, machine).empty());
}

}  // namespace
}  // namespace rooftune::kernel
