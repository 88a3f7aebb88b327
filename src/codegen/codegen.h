// The interface of a code generator, and how to get one. CPU code generation lives in a library of its own (the only
// one that needs LLVM) which is loaded on first use.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "codegen/code_object.h"
#include "kernel/kernel.h"
#include "kernel/schedule.h"

namespace rooftune::codegen {

struct CpuTarget {
  std::string triple = "x86_64-pc-linux-gnu";
  std::string cpu;       // LLVM's name of the feature level: whatever runs name() must run it ("x86-64-v4")
  std::string tune;      // LLVM's name of the processor whose timings count ("znver4"); empty: none in particular
  std::string features;  // LLVM feature string
  int vector_bits = 512;
  int vector_registers = 32;
  std::string name() const { return vector_bits >= 512 ? "x86_64-avx512" : "x86_64-avx2"; }
};

struct Job {
  const kernel::Kernel* kernel = nullptr;
  const kernel::Schedule* schedule = nullptr;
};

class Codegen {
 public:
  virtual ~Codegen() = default;
  /// Compiles all jobs into one object; several threads may compile at once. InternalError for an illegal schedule (ask kernel::why_illegal first).
  virtual CodeObject compile(const std::vector<Job>& jobs) = 0;
  /// Readable generated code of one job: "llvm", "asm".
  virtual std::string dump(const Job& job, const std::string& form) = 0;
  virtual std::string version() const = 0;  // changes whenever generated code may change; part of tuning keys
};

/// The CPU code generator for a target. EnvironmentError where librooftune_codegen_cpu.so or its LLVM is missing.
std::unique_ptr<Codegen> cpu_codegen(const CpuTarget& target);

}  // namespace rooftune::codegen
