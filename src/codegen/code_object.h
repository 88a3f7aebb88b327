// What a code generator hands to the runtime: plain data, so that a tuned model runs without any code generator.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernel/layout.h"

namespace rooftune::codegen {

/// One parallel loop of a kernel. Phases of a kernel run one after the other; tasks of a phase in any order, on any
/// thread, each exactly once:
///   void symbol(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end)
/// buffers: one pointer per kernel buffer (null for temporaries), then, where the kernel has parameters, one to their
/// values (int64_t); workspace: shared by the phases of one call; scratch: of one thread. All memory is 64-byte aligned.
struct Phase {
  std::string symbol;
  int64_t tasks = 1;  // at most
  /// Loops among the tasks that end early: tasks / Π most · Π min(most, ceil(parameter / step)) are left.
  struct Live {
    int64_t most = 1;
    int64_t step = 1;
    int parameter = 0;
    bool operator==(const Live&) const = default;
  };
  std::vector<Live> live;
  bool operator==(const Phase&) const = default;

  int64_t tasks_of(const int64_t* parameters) const {
    int64_t n = tasks;
    for (const Live& l : live) {
      const int64_t turns = (parameters[l.parameter] + l.step - 1) / l.step;
      n = n / l.most * (turns < l.most ? turns : l.most);
    }
    return n;
  }
};

struct CompiledKernel {
  std::string name;
  std::vector<Phase> phases;          // run at every call
  std::vector<Phase> prepare_phases;  // read constants only; run once, they write `prepared` buffers
  std::vector<int> prepared_buffers;  // temporaries that prepare phases write: owned by the executable, kept for ever
  size_t workspace_bytes = 0;
  size_t scratch_bytes = 0;             // per thread
  std::vector<kernel::Layout> layouts;  // of every buffer as the code expects it (constants must be packed so)
  std::vector<size_t> buffer_bytes;     // of every buffer in that layout
  int parameters = 0;                   // how many the kernel has
};

struct CodeObject {
  std::string target;        // "x86_64-avx512", "x86_64-avx2", then what it needs beyond that: "+avx512vnni"
  std::vector<uint8_t> elf;  // a position-independent ELF shared object without dependencies
  std::vector<CompiledKernel> kernels;
};

}  // namespace rooftune::codegen
