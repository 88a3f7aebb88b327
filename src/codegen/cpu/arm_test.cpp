// Code for Arm, in an emulator, against the interpreter: kernels of every kind with vectors of NEON and of SVE.
#include "tests/support/codegen_check.h"

namespace rooftune {
namespace {

codegen::CpuTarget arm(int vector_bits) {
  codegen::CpuTarget target;
  target.triple = "aarch64-unknown-linux-gnu";
  target.cpu = "generic";
  if (vector_bits > 128) target.features = "+sve";
  target.vector_bits = vector_bits;
  return target;
}

class Arm : public ::testing::TestWithParam<int> {
 protected:
  void check(const kernel::Kernel& kernel, const std::string& algorithm = "direct") {
    const auto target = arm(GetParam());
    testing::check_codegen(*codegen::cpu_codegen(target), kernel, 1, algorithm, target);
  }
};

TEST_P(Arm, Products) {
  check(testing::gemm(7, 50, 33));
  check(testing::batched_gemm(3, 17, 40, 24, true));
  check(testing::attention(2, 9, 13, 16, true));
}

TEST_P(Arm, ProductsOfBytes) {
  check(testing::dot_gemm(7, 50, 33, ir::DType::u8, ir::DType::i8));
  check(testing::dot_gemm(5, 17, 8, ir::DType::bf16, ir::DType::bf16));
  check(testing::weight_only_gemm(3, 20, 64, 4, 32, true));
}

TEST_P(Arm, Convolutions) {
  testing::ConvShape s;
  s = {16, 32, 15, 13, 3, 2, 1};
  check(testing::convolution(s, true));
  s = {16, 32, 14, 14, 3, 1, 1};
  check(testing::convolution(s), "winograd4");
  check(testing::inverted_residual(16, 48, 9));
  check(testing::max_pool(16, 9, 3, 2, 1, 8));
}

TEST_P(Arm, Rows) {
  check(testing::softmax(5, 37));
  check(testing::layer_norm(5, 37));
  check(testing::transpose(5, 7, 9));
  check(testing::elementwise(9, 21));
}

TEST_P(Arm, UsesItsVectors) {
  const auto target = arm(GetParam());
  kernel::Kernel kernel = testing::gemm(32, 96, 64);
  const auto machine = testing::machine_of(target);
  kernel::normalise(kernel, machine);
  const auto schedule = kernel::make_schedule(kernel, machine);
  const std::string text = codegen::cpu_codegen(target)->dump({&kernel, &schedule}, "asm");
  EXPECT_NE(text.find(GetParam() == 128 ? "fmla\tv" : "fmla\tz"), std::string::npos) << text;
  EXPECT_EQ(codegen::cpu_codegen(target)->compile({{&kernel, &schedule}}).target,
            GetParam() == 128 ? "aarch64-neon" : "aarch64-sve256");
}

INSTANTIATE_TEST_SUITE_P(Vectors, Arm, ::testing::Values(128, 256),
                         [](const auto& info) { return info.param == 128 ? "Neon" : "Sve256"; });

}  // namespace
}  // namespace rooftune
