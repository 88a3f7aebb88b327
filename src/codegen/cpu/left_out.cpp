// What lld refers to and we never call, empty, so that the linker leaves the real ones out of our library: LLVM's other
// targets, which lld's driver starts one and all, and Polly, which is for linking bitcode.
#include <llvm/Passes/PassPlugin.h>

// Ours are real (their stand-ins here go under other names) …
#define LLVMInitializeX86TargetInfo left_out_TargetInfo
#define LLVMInitializeX86Target left_out_Target
#define LLVMInitializeX86TargetMC left_out_TargetMC
#define LLVMInitializeX86AsmPrinter left_out_AsmPrinter
#define LLVMInitializeAArch64TargetInfo left_out_arm_TargetInfo
#define LLVMInitializeAArch64Target left_out_arm_Target
#define LLVMInitializeAArch64TargetMC left_out_arm_TargetMC
#define LLVMInitializeAArch64AsmPrinter left_out_arm_AsmPrinter

extern "C" {
#define LLVM_TARGET(name)                    \
  void LLVMInitialize##name##TargetInfo() {} \
  void LLVMInitialize##name##Target() {}     \
  void LLVMInitialize##name##TargetMC() {}
#include <llvm/Config/Targets.def>
#define LLVM_ASM_PRINTER(name) \
  void LLVMInitialize##name##AsmPrinter() {}
#include <llvm/Config/AsmPrinters.def>
// … but for the parser of assembler text, of which there is none.
#define LLVM_ASM_PARSER(name) \
  void LLVMInitialize##name##AsmParser() {}
#include <llvm/Config/AsmParsers.def>
}

llvm::PassPluginLibraryInfo getPollyPluginInfo() { return {}; }
