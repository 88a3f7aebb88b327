// What every code generator must pass: any legal schedule gives the interpreter's result. The analytical schedule and
// random points of the space, on kernels of every kind, at friendly and at awkward sizes.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "kernel/algorithms.h"
#include "kernel/interpreter.h"
#include "kernel/rewrites.h"
#include "kernel/space.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"

namespace rooftune::testing {

/// Normal numbers; integers of 64 bits are indices, some of them outside of what they index; bytes are of the whole range,
/// its ends often.
inline std::vector<ir::Tensor> random_tensors(const kernel::Kernel& kernel, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<ir::Tensor> tensors(kernel.buffers.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& buffer = kernel.buffers[i];
    if (buffer.role != kernel::Role::input && buffer.role != kernel::Role::constant) continue;
    tensors[i] = ir::Tensor(buffer.dtype, buffer.shape);
    for (int64_t e = 0; e < tensors[i].size(); ++e) {
      switch (buffer.dtype) {
        case ir::DType::i64: tensors[i].data<int64_t>()[e] = static_cast<int64_t>(random() % 12) - 2; break;
        case ir::DType::i8:
        case ir::DType::u8: {
          constexpr std::array<uint8_t, 4> kEnds = {0, 0x7f, 0x80, 0xff};
          tensors[i].raw()[e] = random() % 4 == 0 ? kEnds[random() % 4] : static_cast<uint8_t>(random());
          break;
        }
        default: tensors[i].set_double(e, normal(random));
      }
    }
  }
  return tensors;
}

inline double relative_error(const ir::Tensor& got, const ir::Tensor& expected) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double d = got.as_double(i) - expected.as_double(i);
    difference += d * d;
    norm += expected.as_double(i) * expected.as_double(i);
    if (std::isnan(d)) return INFINITY;
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

inline kernel::Machine machine_of(const codegen::CpuTarget& target) {
  kernel::Machine machine;
  machine.lanes = target.vector_bits / 32;
  machine.registers = target.vector_registers;
  machine.threads = 2;
  machine.tiles = std::find(target.extensions.begin(), target.extensions.end(), "amx-tile") != target.extensions.end();
  return machine;
}

/// Checks the analytical schedule and `samples` random ones, made for `machine`, against the interpreter.
inline void check_codegen(codegen::Codegen& codegen, const kernel::Kernel& original, int samples,
                          const std::string& algorithm, const kernel::Machine& machine) {
  std::mt19937 random(std::random_device{}());
  auto tensors = random_tensors(original, random);
  std::optional<kernel::Kernel> rewritten;
  for (const auto& a : kernel::algorithms())
    if (a.name == algorithm) rewritten = a.rewrite(original, machine);
  ASSERT_TRUE(rewritten) << algorithm << " does not apply to " << original.name;
  const kernel::Kernel& kernel = *rewritten;
  auto of_kernel = tensors;
  of_kernel.resize(kernel.buffers.size());
  const auto expected =  // of an algorithm that rounds on the way what it computes itself
      kernel.error_class > 10 ? interpret(kernel, of_kernel) : interpret(original, tensors);
  tensors = std::move(of_kernel);
  for (int i = 0; i <= samples; ++i) {
    kernel::Point point;
    if (i > 0)
      for (const auto& d : kernel::decisions(kernel, machine)) point[d.name] = d.values[random() % d.values.size()];
    const kernel::Schedule schedule = kernel::make_schedule(kernel, machine, point);
    const std::string text = print(kernel) + print(kernel, schedule);
    ASSERT_EQ(why_illegal(kernel, schedule), "") << text;
    KernelRunner runner(codegen, kernel, schedule, tensors);
    runner.run();
    runner.run();  // nothing of the first run may linger
    const auto got = runner.outputs();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t o = 0; o < got.size(); ++o) {
      const auto dtype = got[o].dtype();  // a result between two numbers may be rounded to either
      const double allowed = !ir::is_float(dtype)       ? 0
                             : dtype == ir::DType::f16  ? 1e-4
                             : dtype == ir::DType::bf16 ? 1e-3
                                                        : 3e-6;
      EXPECT_LE(relative_error(got[o], expected[o]), allowed) << text;
    }
  }
}

inline void check_codegen(codegen::Codegen& codegen, const kernel::Kernel& original, int samples,
                          const std::string& algorithm = "direct", const codegen::CpuTarget& target = host_target()) {
  check_codegen(codegen, original, samples, algorithm, machine_of(target));
}

}  // namespace rooftune::testing
