#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "kernel/analysis.h"
#include "kernel/interpreter.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

Index v(int i) { return Index::variable(i); }

enum class Zero : uint8_t { none, literal, constant, input };

struct Case {
  DType x = DType::u8, w = DType::i8;
  Zero zx = Zero::constant, zw = Zero::none;
  int64_t channels = 5, outputs = 6, size = 7, window = 3, pad = 1, groups = 1;
};

/// A convolution of bytes with zero points; `groups` of outputs read channels of their own.
Kernel convolution(const Case& c) {
  Kernel kernel{.name = "conv"};
  const int64_t out = c.size + 2 * c.pad - c.window + 1;
  const int x = kernel.add_buffer("x", c.x, {1, c.channels * c.groups, c.size, c.size}, Role::input);
  const int w = kernel.add_buffer("w", c.w, {c.outputs * c.groups, c.channels, c.window, c.window}, Role::constant);
  StageBuilder s(kernel, "conv", {{"n", 1}, {"g", c.groups}, {"o", c.outputs}, {"y", out}, {"x", out}},
                 {{"c", c.channels}, {"fy", c.window}, {"fx", c.window}});
  const Index iy = v(3) + v(6) - Index(c.pad), ix = v(4) + v(7) - Index(c.pad);
  if (c.pad > 0)
    for (const Index& e : {iy, Index(c.size - 1) - iy, ix, Index(c.size - 1) - ix}) s.where(e);
  auto centred = [&](int load, Zero zero, const std::string& name) {
    const int value = s.cast(load, DType::i32);
    if (zero == Zero::none) return value;
    if (zero == Zero::literal) return s.sub(value, s.constant(3, DType::i32));
    const int z = kernel.add_buffer(name, s.type_of(load), {}, zero == Zero::input ? Role::input : Role::constant);
    return s.sub(value, s.cast(s.load(z, {}), DType::i32));
  };
  const int a = centred(s.load(x, {v(0), v(1) * c.channels + v(5), iy, ix}), c.zx, "zx");
  const int b = centred(s.load(w, {v(1) * c.outputs + v(2), v(5), v(6), v(7)}), c.zw, "zw");
  const int y = kernel.add_buffer("y", DType::i32, {1, c.outputs * c.groups, out, out}, Role::output);
  s.finish(s.mul(a, b), Reduction::sum, y, {v(0), v(1) * c.outputs + v(2), v(3), v(4)});
  return kernel;
}

std::vector<ir::Tensor> random_bytes(const Kernel& kernel, std::mt19937& random) {
  std::vector<ir::Tensor> tensors(kernel.buffers.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (kernel.buffers[i].role != Role::input && kernel.buffers[i].role != Role::constant) continue;
    tensors[i] = ir::Tensor(kernel.buffers[i].dtype, kernel.buffers[i].shape);
    for (int64_t e = 0; e < tensors[i].size(); ++e)
      tensors[i].raw()[e] =
          random() % 3 == 0 ? static_cast<uint8_t>(random() % 2 ? 0xff : 0x80) : static_cast<uint8_t>(random());
  }
  return tensors;
}

void check(const Case& c, bool goes_by_words = true) {
  std::mt19937 random(std::random_device{}());
  const Kernel kernel = convolution(c);
  Kernel rewritten = kernel;
  take_out_zero_points(rewritten);
  verify(rewritten);
  auto tensors = random_bytes(kernel, random);
  const auto expected = interpret(kernel, tensors);
  tensors.resize(rewritten.buffers.size());
  const auto got = interpret(rewritten, tensors);
  ASSERT_EQ(std::memcmp(got[0].raw(), expected[0].raw(), got[0].bytes()), 0) << print(kernel) << print(rewritten);
  const auto& stages = rewritten.stages;
  const bool found = std::any_of(stages.begin(), stages.end(), [&](const Stage& s) {
    return s.name == "conv" && dot_operands(rewritten, s).width == 4;
  });
  EXPECT_EQ(found, goes_by_words) << print(rewritten);
}

TEST(ZeroPoints, LeaveTheSumExactly) {
  for (DType x : {DType::u8, DType::i8})
    for (DType w : {DType::i8, DType::u8})
      for (Zero zx : {Zero::none, Zero::literal, Zero::constant, Zero::input})
        for (Zero zw : {Zero::none, Zero::literal, Zero::constant})
          for (int64_t pad : {0, 1})
            for (int64_t groups : {1, 2}) check({.x = x, .w = w, .zx = zx, .zw = zw, .pad = pad, .groups = groups});
  check({.channels = 1, .window = 1, .pad = 0});
  check({.channels = 3, .size = 9, .window = 5, .pad = 2});
}

/// What reads nothing but constants is computed once, so the zero point costs a subtraction per result.
TEST(ZeroPoints, ConstantsStayOutOfTheRun) {
  Kernel kernel = convolution({.pad = 0});
  take_out_zero_points(kernel);
  ASSERT_EQ(kernel.stages.size(), 3U);
  EXPECT_TRUE(reads_only_constants(kernel, kernel.stages[0]));
  EXPECT_EQ(kernel.stages[0].axes.size(), 5U) << print(kernel);  // g, o | c, fy, fx
  EXPECT_EQ(kernel.stages[2].name, "conv_shifted");
}

TEST(ZeroPoints, LeaveOtherStagesAlone) {
  Kernel kernel = convolution({.zx = Zero::none});
  const auto before = print(kernel);
  take_out_zero_points(kernel);
  EXPECT_EQ(print(kernel), before);
  kernel = convolution({.x = DType::i8, .w = DType::i8, .zx = Zero::none, .zw = Zero::none, .pad = 0});
  const auto both_signed = print(kernel);
  take_out_zero_points(kernel, true);
  EXPECT_EQ(print(kernel), both_signed);
  take_out_zero_points(kernel);
  EXPECT_NE(print(kernel), both_signed);
  kernel = convolution({});
  for (auto& node : kernel.stages[0].nodes)
    if (node.op == Op::load && node.buffer == 0) node.where = {node.indices[2]};
  const auto guarded = print(kernel);
  take_out_zero_points(kernel);
  EXPECT_EQ(print(kernel), guarded);
}

}  // namespace
}  // namespace rooftune::kernel
