// What an Executable precomputes so that a run is a walk over tables, and what a Context owns. Private to this room.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "runtime/code_loader.h"
#include "runtime/executable.h"
#include "runtime/memory_block.h"

namespace rooftune::runtime {

using PhaseFunction = void (*)(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end);

/// What the threads of one phase share.
struct PhaseCall {
  PhaseFunction function;
  void* const* buffers;
  void* workspace;
  uint8_t* scratch;
  size_t scratch_stride;
};
inline void run_share(void* context, int thread, int64_t begin, int64_t end) {
  const auto& call = *static_cast<const PhaseCall*>(context);
  call.function(call.buffers, call.workspace, call.scratch + static_cast<size_t>(thread) * call.scratch_stride, begin,
                end);
}

struct BoundPhase {
  PhaseFunction function = nullptr;
  const codegen::Phase* phase = nullptr;
};

struct BoundStep {
  std::vector<BoundPhase> phases;  // of a kernel
  size_t parameters = 0;           // the values of its parameters stand in Context::Impl::parameters from here
  size_t table = 0;                // its buffer pointers stand in the pointer table from here
  std::vector<int> dynamic_dead;   // dynamic slots that nobody reads after this step
};

struct TableEntry {
  size_t position = 0;
  int slot = -1;  // a root slot
};

struct Executable::Impl {
  Program program;
  std::vector<LoadedCode> code;
  std::vector<int> root;              // of every slot
  std::vector<ir::Tensor> constants;  // by slot, aligned
  std::vector<std::shared_ptr<ir::Storage>> prepared;
  std::vector<void*> table;                                  // constants and prepared buffers filled in, the rest null
  std::vector<TableEntry> arena_entries;                     // filled in by a context
  std::vector<TableEntry> boundary_entries;                  // inputs and outputs, filled in by every run
  std::vector<std::pair<size_t, size_t>> parameter_entries;  // position in the table, step
  std::vector<ir::Dim> parameters;                           // of all steps, one after the other
  std::vector<BoundStep> steps;
  std::vector<int> output_owner;  // by root slot: the output whose tensor is its memory, or -1
  std::vector<int> dynamic_slots;
  size_t scratch_bytes = 0;  // of one thread

  int preparing_threads(int most) const;
  void bind_constants(ThreadPool& pool);
  void bind_steps();
  void prepare(ThreadPool& pool);
  void release_prepared_constants() const;
  void find_dead_dynamic();
};

/// InternalError naming the slot or step where a program breaks a rule.
void validate(const Program& program);

struct Context::Impl {
  Impl(const Executable::Impl& executable, int threads, bool pin);

  ThreadPool pool;
  MemoryBlock arena, scratch;
  size_t scratch_stride = 0;
  std::vector<void*> table;
  std::vector<void*> memory;               // by root slot: where its bytes are in this run
  std::vector<ir::Tensor> dynamic;         // by slot
  std::vector<MemoryBlock> staging;        // by root slot: stand-in for a caller's tensor that is unaligned or smaller
  std::map<std::string, ir::Dim> symbols;  // of the last run …
  std::vector<int64_t> parameters, trips;  // … and what follows from them; trips by loop
  std::vector<std::vector<int64_t>> shapes;  // by slot; empty where the slot has no dims
  std::vector<ir::Tensor> numbers;           // by slot, of constants that depend on the symbols
  bool littered = false;
  std::atomic<bool> busy{false};
};

}  // namespace rooftune::runtime
