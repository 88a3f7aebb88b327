// LLVM IR → object code → a shared object in memory. This library is loaded with dlopen (see codegen/cpu_target.cpp);
// nothing else links LLVM.
#include <lld/Common/CommonLinkerContext.h>
#include <lld/Common/Driver.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>

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

struct TemporaryFolder {
  TemporaryFolder() {
    const char* base = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    std::string pattern = std::string(base) + "/rooftune-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
      pattern = "/tmp/rooftune-XXXXXX";
      if (mkdtemp(pattern.data()) == nullptr)
        throw EnvironmentError("cannot make a temporary folder in {} or /tmp: is the disk full?", base);
    }
    path = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

std::vector<uint8_t> link_shared(const llvm::SmallVectorImpl<char>& object) {
  static std::mutex mutex;  // lld keeps global state
  const std::scoped_lock lock(mutex);
  TemporaryFolder folder;
  const std::string in = folder.path + "/kernels.o";
  const std::string out = folder.path + "/kernels.so";
  std::ofstream(in, std::ios::binary).write(object.data(), static_cast<std::streamsize>(object.size()));
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  // One thread: lld's own would not exist in a child process, and waiting for them would never end.
  const std::vector<const char*> arguments = {"ld.lld",   "-shared",     "--gc-sections",   "--hash-style=gnu",
                                              "-z",       "noexecstack", "--build-id=none", "--threads=1",
                                              in.c_str(), "-o",          out.c_str()};
  const bool linked = lld::elf::link(arguments, stream, stream, false, false);
  lld::CommonLinkerContext::destroy();
  if (!linked) throw InternalError("linking generated code failed: {}", stream.str());
  std::ifstream file(out, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class CpuCodegen : public Codegen {
 public:
  explicit CpuCodegen(CpuTarget target) : target_(std::move(target)) {
    static const bool initialised = [] {
      LLVMInitializeX86TargetInfo();
      LLVMInitializeX86Target();
      LLVMInitializeX86TargetMC();
      LLVMInitializeX86AsmPrinter();
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
