// A Kernel says *what* is computed: a short SSA list of stages over named axes. It knows nothing of loops, vectors or
// threads (that is a Schedule's business) and nothing of operators (that is the catalogue's).
//
// A stage assigns to its buffer, for every point of its spatial axes (where `where` holds), the reduction over its
// reduction axes of a scalar expression. Operands are read at index expressions of axes. Example, MatMul + bias + ReLU:
//   stage acc(m:128, n:3072 | k:768) = sum x[m,k] * w[k,n]
//   stage y(m:128, n:3072)           = max(acc[m,n] + b[n], 0)
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/dim.h"
#include "ir/dtype.h"
#include "kernel/index.h"
#include "kernel/layout.h"

namespace rooftune::kernel {

using ir::DType;

// clang-format off
enum class Op : uint8_t {
  constant,  // value
  load,      // buffer[index…] where conditions hold, else `value`
  index,     // an index expression as a number of `type`
  add, sub, mul, div, min, max, pow, mod,          // min: a < b ? a : b, so b where one is NaN (max likewise);
                                                   // mod: sign of the divisor (Python), on integers
  neg, abs, sqrt, exp, log, tanh, erf, sin, cos, floor, ceil, round,  // round: half to even
  eq, lt, le, logical_and, logical_or, logical_not, select,          // comparisons give boolean
  cast,      // to `type`; float → integer truncates
  bitcast,   // f32 ↔ i32
  bit_and, shift_left, shift_right,                // on integers, shift_right by sign; polynomial exp and log, 4-bit numbers
  fma,       // a · b + c in one rounding
};
// clang-format on

struct OpInfo {
  const char* name;
  int arity;
  int operations;  // what it costs in units of an addition, roughly; 0 for what is no arithmetic
};
const OpInfo& info(Op op);

/// A node of a stage's expression DAG; arguments are earlier nodes.
struct ExprNode {
  Op op = Op::constant;
  DType type = DType::f32;
  int a = -1, b = -1, c = -1;
  double value = 0;            // constant; of a load: what it gives where its conditions do not hold
  int buffer = -1;             // load
  std::vector<Index> indices;  // load: one per dim of the buffer; index: one
  std::vector<Index> where;    // load: all must be >= 0
};

/// `extent` is what storage is laid out for. Where `live` names a parameter of the kernel (Kernel::parameters) only the
/// first so many elements exist in a run: a reduction covers exactly those; beyond them a spatial axis may be computed
/// or not, and nobody reads it.
struct Axis {
  std::string name;
  int64_t extent = 1;
  int live = -1;  // -1: all of them
  bool operator==(const Axis&) const = default;
};

enum class Reduction : uint8_t { none, sum, max, min, product };

/// Index variables in a stage: 0 … axes.size()-1 are its axes; kNodeVariable + n is the (integer) value of node n of
/// its expression, which must not depend on the vectorised axis (so Gather is a stage like any other);
/// kParameterVariable + p is the kernel's parameter p.
///
/// A stage that scatters writes at indices that are data, into what stages before it have written: at every point of all
/// its axes, one after the other in their order (the last axis runs fastest), its value is combined with what its buffer
/// holds there by its reduction, or replaces it (none). Example, what edges bring to the nodes of a graph:
///   stage y_2(f:64 | e:1000) -> y[$0,f] = scatter sum x[e,f]
///     $0 = target[e]
/// Points whose place lies outside of the buffer are skipped. Points that differ in a spatial axis never meet in one place,
/// so that these may be walked in any order, in vectors and on several threads; along the other axes points may meet, and
/// the order in which they do is part of the result.
inline constexpr int kNodeVariable = 1 << 16;
inline constexpr int kParameterVariable = 1 << 24;

struct Stage {
  std::string name;
  std::vector<Axis> axes;  // spatial first, then reduction (of one that scatters: those along which points may meet)
  int spatial = 0;         // how many of them are spatial
  Reduction reduction = Reduction::none;
  bool scatters = false;
  std::vector<ExprNode> nodes;  // the last one is the value
  std::vector<Index> where;     // points where one of these is negative are skipped (no contribution, no store)
  int buffer = -1;              // what it writes …
  std::vector<Index>
      out_indices;  // … at which index (of spatial axes only), injective; where it scatters, an index may
                    // instead be the value of one node

  bool is_reduction() const { return reduction != Reduction::none && !scatters; }
};

enum class Role : uint8_t { input, constant, output, temporary };

struct Buffer {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  Role role = Role::temporary;
  Layout layout;  // of inputs and outputs: fixed from outside; of constants and temporaries: chosen by the schedule
};

struct Kernel {
  std::string name;
  std::vector<Buffer> buffers;
  std::vector<Stage> stages;  // a stage reads only inputs, constants and buffers that earlier stages have finished
  double error_class = 1;     // rounding error against plain f32 summation of the direct algorithm (Winograd F(4,3): 3)
  std::string algorithm = "direct";  // which rewrite made it (algorithms.h); schedules are sketched accordingly
  double operations = 0;             // of an algorithm that states them itself; 0: counted from the stages
  /// Numbers that every run is given, in the model's symbols ("seq", "768*batch"): how far axes are live, where edges lie,
  /// what a mean divides by. How buffers are laid out never depends on them.
  std::vector<ir::Dim> parameters;

  /// Row-major. The name is made unique if it is taken.
  int add_buffer(std::string name, DType dtype, std::vector<int64_t> shape, Role role);
  int stage_of(int buffer) const;       // the last stage that writes it; -1 for inputs and constants
  int parameter(const ir::Dim& value);  // its number; added where it is new
};

/// Builds one stage's expression. Equal nodes are shared.
class StageBuilder {
 public:
  StageBuilder(Kernel& kernel, std::string name, std::vector<Axis> spatial, std::vector<Axis> reduction = {});
  Index axis(int i) const { return Index::variable(i); }
  int constant(double value, DType type = DType::f32);
  int load(int buffer, std::vector<Index> indices, std::vector<Index> where = {}, double otherwise = 0);
  int index(const Index& e, DType type);
  int node(Op op, DType type, int a, int b = -1, int c = -1);
  // f32 shorthands
  int add(int a, int b) { return node(Op::add, type_of(a), a, b); }
  int sub(int a, int b) { return node(Op::sub, type_of(a), a, b); }
  int mul(int a, int b) { return node(Op::mul, type_of(a), a, b); }
  int div(int a, int b) { return node(Op::div, type_of(a), a, b); }
  int max(int a, int b) { return node(Op::max, type_of(a), a, b); }
  int min(int a, int b) { return node(Op::min, type_of(a), a, b); }
  int unary(Op op, int a) { return node(op, type_of(a), a); }
  int cast(int a, DType type) { return node(Op::cast, type, a); }
  int select(int condition, int a, int b) { return node(Op::select, type_of(a), condition, a, b); }
  DType type_of(int node) const { return stage_.nodes[static_cast<size_t>(node)].type; }
  /// An integer node's value as an index variable.
  Index value_index(int node) const { return Index::variable(kNodeVariable + node); }
  void where(Index at_least_zero) { stage_.where.push_back(std::move(at_least_zero)); }

  /// Ends the stage: value `node`, written to `buffer` at `out` (the spatial axes themselves where empty).
  /// A `buffer` of -1 makes a temporary of the stage's name and spatial extents. Returns the buffer.
  int finish(int node, Reduction reduction = Reduction::none, int buffer = -1, std::vector<Index> out = {});
  /// The same of a stage that scatters into `buffer`.
  int finish_scatter(int node, Reduction combine, int buffer, std::vector<Index> out);

 private:
  Kernel& kernel_;
  Stage stage_;
};

/// InternalError naming stage and node where a kernel breaks a rule above (or reads or writes outside of a buffer, as
/// far as unguarded linear indices show it).
void verify(const Kernel& kernel);
std::string print(const Kernel& kernel);  // readable and canonical: equal kernels print alike
uint64_t hash(const Kernel& kernel);      // of the canonical text without names of kernel and buffers; names of stages
                                          // and axes count, since schedules speak of them

struct KernelCost {  // from the stages alone
  /// Arithmetic operations (a multiply-add is two, an exp OpInfo::operations), each node once per point of the axes
  /// that it depends on; stage predicates count approximately.
  double operations = 0;
  /// Every input, constant and output once (of what is gathered from: no more than is read).
  double compulsory_bytes = 0;
};
KernelCost cost(const Kernel& kernel);

/// Removes stages whose buffer no later stage reads and which is no output. Buffers keep their numbers.
void eliminate_dead_stages(Kernel& kernel);
/// Drops temporaries that no stage writes. Returns the new number of every buffer (-1: dropped). Kernels with equal
/// hashes have equal buffer numbers only after this.
[[nodiscard]] std::vector<int> compact_buffers(Kernel& kernel);

/// Replaces loads of element-wise temporaries by their expression, so that chains and reshapes become one stage. A
/// stage is inlined (into all its readers or none) where it is a plain map, no output, and
///  - its readers together evaluate it no more often than it has points, or
///  - it costs at most `max_operations` and no reader is a reduction that would repeat its arithmetic, or
///  - it only moves elements.
/// Stages that nobody reads then are removed; buffers keep their numbers.
void inline_maps(Kernel& kernel, int max_operations = 4);

}  // namespace rooftune::kernel
