#include "tests/support/kernel_runner.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"

namespace rooftune::testing {

codegen::CpuTarget host_target() {
  codegen::CpuTarget target;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    target.cpu = "x86-64-v4";
    if (__builtin_cpu_supports("avx512vnni")) target.extensions.push_back("avx512vnni");
    if (__builtin_cpu_supports("avx512bf16")) target.extensions.push_back("avx512bf16");
    target.tune = "znver4";
  } else {
    target.cpu = "x86-64-v3";
    target.vector_bits = 256;
    target.vector_registers = 16;
  }
  return target;
}

using Function = void (*)(void* const*, void*, void*, int64_t, int64_t);

struct KernelRunner::Impl {
  kernel::Kernel kernel;
  codegen::CompiledKernel compiled;
  void* library = nullptr;
  int file = -1;
  std::vector<ir::Tensor> memory;  // per buffer, in its layout
  std::vector<void*> pointers;
  std::vector<std::pair<Function, const codegen::Phase*>> phases;
  std::vector<int64_t> parameters;
  ir::Tensor workspace, scratch;

  Function symbol(const std::string& name) {
    auto f = reinterpret_cast<Function>(dlsym(library, name.c_str()));
    RT_CHECK(f != nullptr, "symbol {}", name);
    return f;
  }
};

KernelRunner::KernelRunner(codegen::Codegen& codegen, const kernel::Kernel& kernel, const kernel::Schedule& schedule,
                           const std::vector<ir::Tensor>& tensors, std::vector<int64_t> parameters)
    : impl_(std::make_unique<Impl>()) {
  auto object = codegen.compile({{&kernel, &schedule}});
  impl_->kernel = kernel;
  impl_->compiled = object.kernels[0];
  impl_->file = memfd_create("kernel", 0);
  RT_CHECK(write(impl_->file, object.elf.data(), object.elf.size()) == static_cast<ssize_t>(object.elf.size()));
  impl_->library = dlopen(("/proc/self/fd/" + std::to_string(impl_->file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  RT_CHECK(impl_->library != nullptr, "{}", dlerror());
  for (size_t i = 0; i < kernel.buffers.size(); ++i) {
    const auto& buffer = kernel.buffers[i];
    ir::Tensor memory(ir::DType::u8, {static_cast<int64_t>(impl_->compiled.buffer_bytes[i])});
    std::memset(memory.raw(), 0x7f, memory.bytes());  // what is not written shows up as a huge number
    if (i < tensors.size() && tensors[i])
      kernel::pack(tensors[i].raw(), buffer.shape, impl_->compiled.layouts[i], ir::byte_size(buffer.dtype, 1),
                   memory.raw());
    impl_->memory.push_back(memory);
    impl_->pointers.push_back(impl_->memory.back().raw());
  }
  impl_->pointers.push_back(nullptr);
  set_parameters(std::move(parameters));
  impl_->workspace = ir::Tensor(ir::DType::u8, {static_cast<int64_t>(impl_->compiled.workspace_bytes) + 64});
  impl_->scratch = ir::Tensor(ir::DType::u8, {static_cast<int64_t>(impl_->compiled.scratch_bytes) + 64});
  for (const auto& phase : impl_->compiled.prepare_phases)
    impl_->symbol(phase.symbol)(impl_->pointers.data(), impl_->workspace.raw(), impl_->scratch.raw(), 0, phase.tasks);
  for (const auto& phase : impl_->compiled.phases) impl_->phases.emplace_back(impl_->symbol(phase.symbol), &phase);
}

KernelRunner::~KernelRunner() {
  if (impl_->library != nullptr) dlclose(impl_->library);
  if (impl_->file >= 0) close(impl_->file);
}

void KernelRunner::set_parameters(std::vector<int64_t> parameters) {
  impl_->parameters = std::move(parameters);
  impl_->pointers.back() = impl_->parameters.data();
}

void KernelRunner::run() {
  for (const auto& [function, phase] : impl_->phases)
    function(impl_->pointers.data(), impl_->workspace.raw(), impl_->scratch.raw(), 0,
             phase->tasks_of(impl_->parameters.data()));
}

std::vector<ir::Tensor> KernelRunner::outputs() const {
  std::vector<ir::Tensor> result;
  for (size_t i = 0; i < impl_->kernel.buffers.size(); ++i) {
    const auto& buffer = impl_->kernel.buffers[i];
    if (buffer.role != kernel::Role::output) continue;
    ir::Tensor out(buffer.dtype, buffer.shape);
    kernel::unpack(impl_->memory[i].raw(), buffer.shape, impl_->compiled.layouts[i], ir::byte_size(buffer.dtype, 1),
                   out.raw());
    result.push_back(out);
  }
  return result;
}

}  // namespace rooftune::testing
