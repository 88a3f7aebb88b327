#include "kernel/unify.h"

#include <gtest/gtest.h>

#include "tests/support/sample_kernels.h"

namespace rooftune::kernel {
namespace {

const ir::Dim kRows = ir::Dim::symbol("rows", 1, 40);

/// 40 rows at the largest size, 39 and 37 in the twins.
std::optional<ir::Dim> solve(const std::vector<int64_t>& values) {
  if (values == std::vector<int64_t>{40, 39, 37}) return kRows;
  if (values[0] == values[1] && values[0] == values[2]) return ir::Dim(values[0]);
  return std::nullopt;
}

std::string unify_at(Kernel& kernel, const std::function<Kernel(int64_t rows)>& lower) {
  const Kernel a = lower(39), b = lower(37);
  return unify(kernel, {&a, &b}, solve);
}

TEST(Unify, AxesThatFollowASymbolEndEarly) {
  const auto lower = [](int64_t rows) { return testing::gemm(rows, 96, 64); };
  Kernel kernel = lower(40);
  EXPECT_EQ(unify_at(kernel, lower), "");
  ASSERT_EQ(kernel.parameters, std::vector<ir::Dim>{kRows});
  for (const auto& stage : kernel.stages)
    for (const auto& axis : stage.axes) EXPECT_EQ(axis.live, axis.name == "m" ? 0 : -1) << axis.name;
  EXPECT_NE(hash(kernel), hash(lower(40)));
  EXPECT_NE(print(kernel).find("m:40 (rows{1..40})"), std::string::npos) << print(kernel);
}

TEST(Unify, WhatDoesNotDependOnTheSizeStaysAsItIs) {
  const auto lower = [](int64_t) { return testing::softmax(9, 40); };
  Kernel kernel = lower(40);
  EXPECT_EQ(unify_at(kernel, lower), "");
  EXPECT_TRUE(kernel.parameters.empty());
  EXPECT_EQ(print(kernel), print(lower(40)));
}

// A mean divides by the number of its elements.
TEST(Unify, NumbersThatFollowASymbolAreThoseOfTheRun) {
  const auto lower = [](int64_t rows) { return testing::layer_norm(3, rows); };
  Kernel kernel = lower(40);
  EXPECT_EQ(unify_at(kernel, lower), "");
  EXPECT_NE(print(kernel).find("1 / index_f32((rows{1..40}))"), std::string::npos) << print(kernel);
  EXPECT_EQ(print(kernel).find("0.025"), std::string::npos) << print(kernel);
  verify(kernel);
}

TEST(Unify, FormulasThatDependOnTheSizeAreNamed) {
  const auto why = [](const std::function<Kernel(int64_t)>& lower) {
    Kernel kernel = lower(40);
    const std::string before = print(kernel);
    const std::string reason = unify_at(kernel, lower);
    EXPECT_EQ(print(kernel), before) << "changed although refused";
    return reason;
  };
  EXPECT_EQ(why([](int64_t rows) { return testing::attention(2, 24, rows, 16, true); }),
            "stage s: where it reads depends on the size (16, 15, 13)");
  EXPECT_EQ(why([](int64_t rows) { return testing::gemm(2 * rows, 8, 8); }),
            "stage acc: axis m has extents 80, 78, 74, which follow from no dimension");
  EXPECT_EQ(why([](int64_t rows) { return rows == 37 ? testing::gemm(rows, 8, 8, false) : testing::gemm(rows, 8, 8); }),
            "the number of its stages depends on the size");
}

}  // namespace
}  // namespace rooftune::kernel
