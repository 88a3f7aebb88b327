#include "tests/support/kernel_runner.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <tuple>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/tile_permission.h"

namespace rooftune::testing {

codegen::CpuTarget host_target() {
  codegen::CpuTarget target;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    target.cpu = "x86-64-v4";
    if (__builtin_cpu_supports("avx512vnni")) target.extensions.push_back("avx512vnni");
    if (__builtin_cpu_supports("avx512bf16")) target.extensions.push_back("avx512bf16");
    if (may_use_tiles() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
        __builtin_cpu_supports("amx-int8"))
      for (const char* extension : {"amx-tile", "amx-bf16", "amx-int8"}) target.extensions.push_back(extension);
    target.tune = "znver4";
  } else {
    target.cpu = "x86-64-v3";
    target.vector_bits = 256;
    target.vector_registers = 16;
  }
  return target;
}

namespace {

/// Runs a program of PATH; what it writes to stderr is in the error where it fails.
void run_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/env");
  const TempDirectory folder;
  const std::string log = folder.file("log");
  const int status = wait_for(start_process(arguments, -1, -1, log));
  RT_CHECK(status == 0, "{} ended with {}: {}", arguments[1], status, read_file(log));
}

/// The program that runs kernels in the emulator, built once.
const std::string& arm_runner() {
  static const TempDirectory folder;
  static const std::string program = [] {
    const std::string source = std::filesystem::path(__FILE__).replace_filename("arm_runner.c");
    const std::string made = folder.file("arm_runner");
    run_program({"aarch64-linux-gnu-gcc", "-O1", "-o", made, source, "-ldl"});
    return made;
  }();
  return program;
}

}  // namespace

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
  std::vector<uint8_t> foreign;  // code for an emulator
  bool prepared = false;

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
  if (object.target.starts_with("aarch64")) impl_->foreign = object.elf;
  else load(object.elf);
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
  if (!impl_->foreign.empty()) return;
  for (const auto& phase : impl_->compiled.prepare_phases)
    impl_->symbol(phase.symbol)(impl_->pointers.data(), impl_->workspace.raw(), impl_->scratch.raw(), 0, phase.tasks);
  for (const auto& phase : impl_->compiled.phases) impl_->phases.emplace_back(impl_->symbol(phase.symbol), &phase);
}

void KernelRunner::load(const std::vector<uint8_t>& elf) {
  impl_->file = memfd_create("kernel", 0);
  RT_CHECK(write(impl_->file, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size()));
  impl_->library = dlopen(("/proc/self/fd/" + std::to_string(impl_->file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  RT_CHECK(impl_->library != nullptr, "{}", dlerror());
}

void KernelRunner::emulate() {
  const TempDirectory folder;
  write_file(folder.file("code.so"), {reinterpret_cast<const char*>(impl_->foreign.data()), impl_->foreign.size()});
  std::string plan;
  for (size_t i = 0; i < impl_->memory.size(); ++i) {
    const auto& memory = impl_->memory[i];
    plan += fmt::format("buffer {}\n", memory.bytes());
    write_file(folder.file(std::to_string(i)), {reinterpret_cast<const char*>(memory.raw()), memory.bytes()});
  }
  for (const int64_t p : impl_->parameters) plan += fmt::format("parameter {}\n", p);
  plan += fmt::format("workspace {}\nscratch {}\n", impl_->workspace.bytes(), impl_->scratch.bytes());
  const auto& [prepare, phases] = std::tie(impl_->compiled.prepare_phases, impl_->compiled.phases);
  if (!impl_->prepared)
    for (const auto& phase : prepare) plan += fmt::format("run {} {}\n", phase.symbol, phase.tasks);
  impl_->prepared = true;
  for (const auto& phase : phases)
    plan += fmt::format("run {} {}\n", phase.symbol, phase.tasks_of(impl_->parameters.data()));
  write_file(folder.file("plan"), plan);
  run_program(
      {"qemu-aarch64-static", "-cpu", "max,sve-max-vq=2", "-L", "/usr/aarch64-linux-gnu", arm_runner(), folder.path()});
  for (size_t i = 0; i < impl_->memory.size(); ++i) {
    const std::string bytes = read_file(folder.file(std::to_string(i)));
    std::memcpy(impl_->memory[i].raw(), bytes.data(), bytes.size());
  }
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
  if (!impl_->foreign.empty()) return emulate();
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
