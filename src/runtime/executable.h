// A model ready to run: code objects, prepared constants, a memory plan. It is a value that can be stored (`.rt`) and
// loaded without any code generator. Concurrent runs on one Executable are safe: all state of a run lives in its Context.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "codegen/code_object.h"
#include "ir/graph.h"

namespace rooftune::runtime {

/// A tensor that steps pass to each other. Slot ids index Program::slots.
struct Slot {
  enum class Kind : uint8_t { input, output, constant, temporary };
  std::string name;  // of the graph value
  Kind kind = Kind::temporary;
  ir::DType dtype = ir::DType::f32;
  std::vector<int64_t> shape;  // logical
  ir::Shape dims;         // where the shape depends on the program's symbols; `shape` is then the largest, which the
                          // memory is laid out for, and a run uses its first elements along each dim
  kernel::Layout layout;  // rank 0: row-major
  // Of a constant of i64 that depends on the symbols: its elements, or the first one and the steps along each dim.
  std::vector<ir::Dim> numbers, steps;
  size_t bytes = 0;      // in that layout
  bool dynamic = false;  // shape known only when it runs (strings too): a tensor that the context holds, used
                         // by reference steps only; shape: -1 where unknown, empty where the rank is
  ir::Tensor constant;   // Kind::constant: already in `layout` (its own shape is then [elements])
  int alias_of = -1;     // the same memory as another slot (Reshape and its like)
  int part_of = -1;      // lies inside of another temporary, from `part_offset` bytes on (what a Concat joins)
  size_t part_offset = 0;
  size_t offset = 0;  // in the arena, temporaries only; set by plan_memory
};

struct Step {
  enum class Kind : uint8_t { kernel, reference };
  std::string name;  // of the group
  Kind kind = Kind::kernel;
  std::vector<std::string> nodes;  // names of the graph nodes it computes
  // kernel
  int code_object = 0;
  int kernel = 0;                   // index into that code object
  std::vector<int> slots;           // per kernel buffer; -1 for the kernel's own temporaries
  size_t workspace = 0;             // offset of its workspace in the arena; set by plan_memory
  std::vector<ir::Dim> parameters;  // of the kernel, in the program's symbols
  // reference: one node, run by ops::evaluate; inputs and outputs are slots, -1 where absent; the inputs of a node with
  // bodies are followed by the values that the bodies capture (ops::captured_values)
  ir::NodeId node = ir::kNone;
  std::vector<int> inputs, outputs;
  // for reports, of one run of the program (in a loop: of all iterations)
  double flops = 0, bytes = 0;              // operations of the chosen algorithm, compulsory bytes
  double direct_flops = 0;                  // operations of the direct algorithm
  std::map<std::string, double> dot_flops;  // of the operations, those of dot products, by precision ("i8", "bf16")
  std::string why;                          // why a reference step was not lowered
};

/// A range of ordinary steps that runs several times. Kernels see fixed addresses: what an iteration takes and gives is
/// copied between its slots and those outside, whose leading dim counts iterations. All slots here are static and
/// row-major, and no two roles of a loop share one's memory but where a comment says so.
struct Loop {
  /// Iteration i sees (or makes) element i of `outside`, from the last one on where `reversed`.
  struct Slice {
    int outside = -1, inside = -1;
    bool reversed = false;
  };
  /// `input` holds `initial` in the first iteration and what the one before left in `next` in the others; `result` (-1:
  /// nobody asks) gets what the next iteration would see, which is `initial` where there is none. `next` may be any slot
  /// but another state's input.
  struct State {
    int initial = -1, input = -1, next = -1, result = -1;
  };
  std::string name;
  size_t first = 0, end = 0;  // steps; loops are disjoint and in this order
  ir::Dim trips;              // in the program's symbols
  std::vector<State> states;
  std::vector<Slice> taken, given;  // read before and written after each iteration
};

struct Program {
  std::shared_ptr<ir::Graph> graph;  // kept for references, names and reports
  std::vector<codegen::CodeObject> code;
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<Loop> loops;
  std::vector<int> inputs, outputs;  // slots, in the graph's order
  std::vector<ir::Dim> symbols;      // with their bounds; every one is a dim of some input
  std::vector<int64_t> units;  // of each symbol: only sizes that lie multiples of this below the largest are taken
  size_t arena_bytes = 0;
};

/// Gives every temporary and every step's workspace its offset: best fit over lifetimes, largest first; sets arena_bytes.
void plan_memory(Program& program);
/// What no plan can go below: the most bytes alive at one step.
size_t arena_lower_bound(const Program& program);

struct StepTime {
  std::string name;
  double milliseconds = 0;
};

/// The memory and threads of one run at a time. One run on it at a time: a second one is an InputError.
class Context {
 public:
  ~Context();
  int threads() const;
  size_t bytes() const;  // arena and scratch
  /// Fills all working memory with huge numbers, so that what is read before it was written shows.
  void litter();
  struct Impl;  // this room's own business

 private:
  friend class Executable;
  explicit Context(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Executable {
 public:
  /// Takes a program whose memory is planned, loads its code and runs its prepare phases, on up to `threads` threads (0:
  /// as many as the machine has). EnvironmentError where this machine cannot run the code.
  explicit Executable(Program program, int threads = 0);
  ~Executable();
  Executable(Executable&&) noexcept;

  const Program& program() const;

  /// Memory of one run at a time, reused by the next: arena, workspace, scratch. Make one per concurrent caller; it must
  /// not outlive this executable.
  std::unique_ptr<Context> make_context(int threads, bool pin = false) const;

  /// Runs with `inputs` in the graph's order, checks their types (InputError naming the input), writes into
  /// `outputs` (allocated where empty, else of the right type; of dynamic shape: always new). An output may lie in an
  /// input's memory, but not in another output's. No allocation once outputs are given, but in reference steps and, once,
  /// for inputs that outputs overwrite.
  void run(Context& context, const std::vector<ir::Tensor>& inputs, std::vector<ir::Tensor>& outputs) const;
  /// The same with a clock around every step; a loop's steps have the sums over its iterations.
  std::vector<StepTime> profile(Context& context, const std::vector<ir::Tensor>& inputs,
                                std::vector<ir::Tensor>& outputs) const;
  struct Impl;  // this room's own business

 private:
  std::unique_ptr<Impl> impl_;
};

/// Writes the package atomically (a temporary beside it, then rename): an uncompressed tar of graph.json, program.json,
/// code_<n>.so, weights.safetensors, manifest.json (versions, SHA-256 of the members). Reading maps it.
void save(const Program& program, const std::string& path);
/// Several programs of one model for several processors, best first: load() takes the first that can run. What they hold
/// alike is stored once. Those after the first lie in variants/<target>/.
void save(const std::vector<const Program*>& variants, const std::string& path);
/// "x86_64-avx512": the level that a program's code is for, without what it uses beyond; "any" where it has no code.
std::string level_of(const Program& program);
/// Why this processor cannot run the program's code; empty where it can.
std::string why_not_here(const Program& program);
/// InputError naming the file and what is wrong with it where it is cut off, damaged, foreign or of another format. The
/// hashes of all members but the weights are always checked; those of the weights where asked for, since that reads
/// every byte of them, which loading otherwise leaves to the first run. Of a package with several programs that for the level
/// that the environment variable ROOFTUNE_VARIANT names, else the first that can run here; EnvironmentError saying of each
/// why it cannot where none can.
Program load(const std::string& path, bool check_weights = false);

}  // namespace rooftune::runtime
