// LLVM IR → object code → a shared object in memory. This library is loaded with dlopen (see codegen/cpu_target.cpp);
// nothing else links LLVM.
#include <fcntl.h>
#include <lld/Common/CommonLinkerContext.h>
#include <lld/Common/Driver.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "codegen/cpu/emitter.h"

LLD_HAS_DRIVER(elf)

namespace rooftune::codegen {
namespace {

// Loops are already as the schedule wants them: no unrolling, no vectorising here. SROA turns local arrays into
// registers; the rest cleans up addresses.
constexpr const char* kPasses =
    "function(sroa<modify-cfg>,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-mssa(licm<allowspeculation>),early-cse<memssa>,dse,instsimplify,adce)";

/// A file descriptor under the name by which lld can open it. Neither end of a link touches a disk, so that a full one
/// or a killed process can leave nothing behind.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {
    if (fd < 0) throw EnvironmentError("cannot link generated code in memory: {}", std::strerror(errno));
  }
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

std::vector<uint8_t> read_to_end(int fd) {
  std::vector<uint8_t> all;
  std::array<uint8_t, 1 << 16> piece;
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return all;
    all.insert(all.end(), piece.begin(), piece.begin() + got);
  }
}

std::vector<uint8_t> link_shared(const llvm::SmallVectorImpl<char>& object) {
  static std::mutex mutex;  // lld keeps global state
  const std::scoped_lock lock(mutex);
  const Descriptor in(memfd_create("kernels.o", MFD_CLOEXEC));
  for (size_t done = 0; done < object.size();) {
    const ssize_t wrote = ::write(in.get(), object.data() + done, object.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) throw EnvironmentError("no memory to link generated code in: {}", std::strerror(errno));
    done += static_cast<size_t>(wrote);
  }
  // lld writes a regular file by way of a second one beside it, but a pipe directly.
  int ends[2] = {-1, -1};
  (void)pipe2(ends, O_CLOEXEC);
  const Descriptor out(ends[0]);
  Descriptor sink(ends[1]);
  std::vector<uint8_t> elf;
  std::thread reader([&] { elf = read_to_end(out.get()); });
  const std::string in_path = in.path(), out_path = sink.path();
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  // One thread: lld's own would not exist in a child process, and waiting for them would never end.
  const std::vector<const char*> arguments = {
      "ld.lld",        "-shared",         "--gc-sections", "--hash-style=gnu", "-z",
      "noexecstack",   "--build-id=none", "--threads=1",   in_path.c_str(),    "-o",
      out_path.c_str()};
  const bool linked = lld::elf::link(arguments, stream, stream, false, false);
  lld::CommonLinkerContext::destroy();
  sink.close();
  reader.join();
  if (!linked || elf.empty()) throw InternalError("linking generated code failed: {}", stream.str());
  return elf;
}

class CpuCodegen : public Codegen {
 public:
  explicit CpuCodegen(CpuTarget target) : target_(std::move(target)) {
    static const bool initialised = [] {
      LLVMInitializeX86TargetInfo();
      LLVMInitializeX86Target();
      LLVMInitializeX86TargetMC();
      LLVMInitializeX86AsmPrinter();
      // The schedule has chosen register tiles that just fit, and the emitter writes their loads where they are needed:
      // LLVM's schedulers would hoist them and spill accumulators (a quarter of the speed of a 14 x 2 tile on Zen 5).
      std::vector<const char*> options = {"rooftune", "-enable-misched=false", "-pre-RA-sched=source"};
      llvm::cl::ParseCommandLineOptions(static_cast<int>(options.size()), options.data());
      return true;
    }();
    (void)initialised;
    std::string error;
    found_ = llvm::TargetRegistry::lookupTarget(target_.triple, error);
    if (found_ == nullptr) throw EnvironmentError("this LLVM has no code generator for {}: {}", target_.triple, error);
  }

  CodeObject compile(const std::vector<Job>& jobs) override {
    llvm::LLVMContext context;
    const auto machine = make_machine();
    CodeObject result;
    result.target = target_.name();
    auto module = build(context, *machine, jobs, &result.kernels);
    llvm::SmallVector<char, 0> object;
    llvm::raw_svector_ostream stream(object);
    finish(*module, *machine, stream, llvm::CodeGenFileType::ObjectFile);
    result.elf = link_shared(object);
    return result;
  }

  std::string dump(const Job& job, const std::string& form) override {
    llvm::LLVMContext context;
    const auto machine = make_machine();
    auto module = build(context, *machine, {job}, nullptr);
    if (form == "llvm") {
      std::string text;
      llvm::raw_string_ostream stream(text);
      module->print(stream, nullptr);
      return stream.str();
    }
    if (form != "asm") throw InputError("unknown form '{}' of generated code; there are llvm and asm", form);
    llvm::SmallVector<char, 0> text;
    llvm::raw_svector_ostream stream(text);
    finish(*module, *machine, stream, llvm::CodeGenFileType::AssemblyFile);
    return {text.begin(), text.end()};
  }

  std::string version() const override { return "cpu-1-llvm-" LLVM_VERSION_STRING; }

 private:
  /// One per compilation: a target machine is not to be shared by threads.
  std::unique_ptr<llvm::TargetMachine> make_machine() const {
    llvm::TargetOptions options;
    options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
    return std::unique_ptr<llvm::TargetMachine>(
        found_->createTargetMachine(target_.triple, target_.cpu, target_.features, options, llvm::Reloc::PIC_,
                                    std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  }

  std::unique_ptr<llvm::Module> build(llvm::LLVMContext& context, llvm::TargetMachine& machine,
                                      const std::vector<Job>& jobs, std::vector<CompiledKernel>* kernels) {
    auto module = std::make_unique<llvm::Module>("rooftune", context);
    module->setTargetTriple(target_.triple);
    module->setDataLayout(machine.createDataLayout());
    for (size_t i = 0; i < jobs.size(); ++i) {
      Emitter emitter(*module, *jobs[i].kernel, *jobs[i].schedule, target_, "k" + std::to_string(i));
      auto compiled = emitter.emit();
      if (kernels != nullptr) kernels->push_back(std::move(compiled));
    }
    std::string problems;
    llvm::raw_string_ostream stream(problems);
    if (llvm::verifyModule(*module, &stream)) throw InternalError("generated code is malformed: {}", stream.str());
    optimise(*module, machine);
    return module;
  }

  void optimise(llvm::Module& module, llvm::TargetMachine& machine) {
    llvm::PassBuilder builder(&machine);
    llvm::LoopAnalysisManager loops;
    llvm::FunctionAnalysisManager functions;
    llvm::CGSCCAnalysisManager call_graph;
    llvm::ModuleAnalysisManager modules;
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(call_graph);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, call_graph, modules);
    llvm::ModulePassManager passes;
    llvm::cantFail(builder.parsePassPipeline(passes, kPasses));
    passes.run(module, modules);
  }

  void finish(llvm::Module& module, llvm::TargetMachine& machine, llvm::raw_pwrite_stream& out,
              llvm::CodeGenFileType type) {
    llvm::legacy::PassManager passes;
    RT_CHECK(!machine.addPassesToEmitFile(passes, out, nullptr, type));
    passes.run(module);
  }

  CpuTarget target_;
  const llvm::Target* found_ = nullptr;
};

}  // namespace
}  // namespace rooftune::codegen

/// The one symbol that codegen/cpu_target.cpp looks up. Exceptions pass through: both sides use the same C++ runtime.
extern "C" __attribute__((visibility("default"))) rooftune::codegen::Codegen* rooftune_make_cpu_codegen(
    const rooftune::codegen::CpuTarget& target) {
  return new rooftune::codegen::CpuCodegen(target);
}
