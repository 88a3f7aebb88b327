// Runs one scheduled kernel outside of any model: compiles it, packs its operands, runs its phases. For tests and for
// the kernel benchmark. Code for Arm runs in an emulator (qemu-aarch64-static, with what aarch64-linux-gnu-gcc makes of
// arm_runner.c).
#pragma once
#include <memory>
#include <vector>

#include "codegen/codegen.h"
#include "ir/tensor.h"

namespace rooftune::testing {

/// This machine as a code generation target: AVX-512 where it has it, else AVX2.
codegen::CpuTarget host_target();

class KernelRunner {
 public:
  /// `tensors`: one row-major tensor per input and constant buffer (others empty).
  KernelRunner(codegen::Codegen& codegen, const kernel::Kernel& kernel, const kernel::Schedule& schedule,
               const std::vector<ir::Tensor>& tensors, std::vector<int64_t> parameters = {});
  ~KernelRunner();
  void set_parameters(std::vector<int64_t> parameters);
  void run();                               // all phases on this thread
  std::vector<ir::Tensor> outputs() const;  // row-major, in buffer order

 private:
  void load(const std::vector<uint8_t>& elf);
  void emulate();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rooftune::testing
