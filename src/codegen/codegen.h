// The interface of a code generator, and how to get one. CPU code generation lives in a library of its own (the only
// one that needs LLVM) which is loaded on first use.
#pragma once
#include <functional>
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
  /// What this processor has beyond that level, by LLVM's names ("avx512vnni", "avx512bf16", "amx-tile"). Only the code of kernels
  /// that gain by it uses it, and says so in CodeObject::target.
  std::vector<std::string> extensions;
  int vector_bits = 512;
  int vector_registers = 32;
  bool arm() const { return triple.starts_with("aarch64"); }
  /// "x86_64-avx512", "x86_64-avx2", "aarch64-neon", "aarch64-sve256" (vectors of exactly that many bits).
  std::string name() const {
    if (arm()) return vector_bits == 128 ? "aarch64-neon" : "aarch64-sve" + std::to_string(vector_bits);
    return vector_bits >= 512 ? "x86_64-avx512" : "x86_64-avx2";
  }
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
  /// Whether a schedule changes the code; where it does not, there is nothing to tune.
  virtual bool follows_schedules() const { return true; }
};

/// The CPU code generator for a target. EnvironmentError where librooftune_codegen_cpu.so or its LLVM is missing.
std::unique_ptr<Codegen> cpu_codegen(const CpuTarget& target);

/// Code generators by name: "cpu" (the one above), and those of plug-ins.
inline constexpr const char* kDefaultBackend = "cpu";
using MakeCodegen = std::function<std::unique_ptr<Codegen>(const CpuTarget&)>;
std::vector<std::string> backends();
bool has_backend(const std::string& name);
void add_backend(const std::string& name, MakeCodegen make);  // a name that is there already is an InternalError
/// InputError naming those that there are; EnvironmentError as above.
std::unique_ptr<Codegen> make_codegen(const std::string& backend, const CpuTarget& target);

}  // namespace rooftune::codegen
