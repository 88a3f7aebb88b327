// Writes a scheduled kernel down as LLVM IR: one function per phase (see codegen/code_object.h). A schedule already says
// what loops, vectors, register tiles and storage there are, so this walks it once and decides nothing.
//
// How a stage is walked: each axis has a region (symbolic corner, constant extent). A loop over an axis cuts the region
// into steps; serial loops become loops, unrolled ones copies, vector loops lanes; a remainder becomes a copy of its own
// with smaller constant extents, so no inner loop ever tests for a tail. Conditions (`where`, edges) are dropped as soon
// as the ranges of the loop variables prove them; a serial loop is split where only its ends need them; what is left
// becomes a branch outside the loops it does not depend on, or a vector mask.
//
// How a scatter finds its place: where the walk knows all that its indices depend on, they are read and compared with the
// buffer's shape, once for all loops inside, which are skipped where there is no such place.
//
// How a reduction is held: from the first loop on behind which all spatial loops are unrolled or vectors, its results
// live in a local array with constant indices, which LLVM promotes to registers. Those of tile products live in tile
// registers (tiles.cpp).
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/code_object.h"
#include "codegen/codegen.h"
#include "codegen/cpu/regions.h"
#include "kernel/analysis.h"

namespace rooftune::codegen {

/// A scalar (`lanes` 1) or vector value in registers.
struct Lanes {
  llvm::Value* value = nullptr;
  int lanes = 1;
};

/// Where the elements of a buffer are while code for some place is emitted.
struct Place {
  llvm::Value* pointer = nullptr;  // to the first element
  kernel::Layout layout;           // of the part that is stored
  std::vector<int64_t> shape;      // of that part; every index used is inside of it (others are masked)
  std::vector<Index> base;         // its corner in the buffer
  int slide_dim = -1;              // of a rolling buffer: this dim is stored modulo `ring`
  int64_t ring = 0;
};

/// The tile registers of a nest: sums of `rows` x `columns` tiles, and one tile of each operand for each row and column.
struct TilePlan {
  struct Part {
    int number = 0;
    int64_t size = 0;  // rows or columns of the tile
  };
  int row_axis = 0, column_axis = 0, word_axis = 0;
  int width = 0;                              // elements of a word
  int64_t elements = 0;                       // of the reduction in one tile
  const kernel::ExprNode* a = nullptr;        // the load whose rows are rows of sums …
  const kernel::ExprNode* b = nullptr;        // … and that whose rows are words, by columns
  std::vector<Index> base;                    // of each spatial axis, where the nest begins
  std::map<std::vector<int64_t>, Part> rows;  // by how far from there all axes but the columns' are
  std::map<int64_t, Part> columns;
  std::vector<uint8_t> shapes;  // as LDTILECFG reads them

  int sum_register(int row, int column) const { return row * static_cast<int>(columns.size()) + column; }
  int a_register(int row) const { return static_cast<int>(rows.size() * columns.size()) + row; }
  int b_register(int column) const { return static_cast<int>(rows.size() * (columns.size() + 1)) + column; }
  /// The key in `rows`; nullopt where it is not constant.
  std::optional<std::vector<int64_t>> place(const std::vector<Index>& at) const {
    std::vector<int64_t> key;
    for (size_t a = 0; a < base.size(); ++a) {
      if (static_cast<int>(a) == column_axis) continue;
      const Index from = at[a] - base[a];
      if (!from.is_constant()) return std::nullopt;
      key.push_back(from.constant());
    }
    return key;
  }
};

/// The walk through one stage's loops.
struct Nest {
  int stage = 0;
  std::vector<Index> base;                // of each axis: lower corner of what is left …
  std::vector<int64_t> extent;            // … and its extent
  std::vector<Index> conditions;          // not proven yet
  int lanes = 1;                          // of the vector loop entered, else 1
  int lane_limit = 1;                     // lanes from here on are beyond the end
  kernel::DotOperands dot;                // within a dot loop: what it multiplies …
  int dot_limit = 1;                      // … and how many elements of the word there are
  bool words = false;                     // tile loops are walked word by word
  std::shared_ptr<const TilePlan> tiles;  // or this is where their sums are
  enum class Mode : uint8_t { compute, clear, load_local, clear_local, store_local } mode = Mode::compute;
  llvm::Value* local = nullptr;
  int local_lanes = 1;  // width of its vectors
  std::vector<Index> local_base;
  std::vector<int64_t> local_stride;  // per spatial axis, in elements
  std::vector<Index> target;          // of one that scatters, from where it is known: its out_indices that are data
};

/// Those of the target's extensions that the scheduled kernel's code uses.
std::vector<std::string> used_extensions(const kernel::Kernel& kernel, const kernel::Schedule& schedule,
                                         const CpuTarget& target);

class Emitter {
 public:
  Emitter(llvm::Module& module, const kernel::Kernel& kernel, const kernel::Schedule& schedule, const CpuTarget& target,
          std::string prefix);
  /// Emits all phases into the module.
  CompiledKernel emit();

 private:
  // --- emitter.cpp: phases and storage
  void plan_storage();
  bool needs_parameters(int stage) const;
  Phase emit_phase(int stage, const std::string& symbol);
  Place make_local(int stage, const Region& region);
  void emit_attached(const Nest& nest, size_t level, bool first_iteration);
  Region region_of(int stage, const Nest& nest, const std::map<int, Region>& later);
  void emit_stage(int stage, const Region& region);

  // --- loops.cpp: the walk
  void walk(const Nest& nest, size_t level);
  void walk_on(const Nest& nest, size_t level);
  void walk_loop(const Nest& nest, size_t level);
  void parallel_loop(const Nest& nest, size_t level);
  void serial_loop(const Nest& nest, size_t level, int64_t first, int64_t count);
  void live_loop(const Nest& nest, size_t level);
  void counted_loop(const Nest& nest, size_t level, llvm::Value* count, int64_t most);
  void vector_loop(Nest nest, size_t level);
  void dot_loop(Nest nest, size_t level);
  void iteration(Nest nest, size_t level, const Index& corner, int64_t extent, bool first_iteration);
  void accumulate(const Nest& nest, size_t level, bool cleared);
  size_t target_level(const Nest& nest) const;
  void aim(Nest nest, size_t level);
  std::pair<int64_t, int64_t> proven_iterations(const Nest& nest, size_t level, int64_t count);
  bool settle(Nest& nest, std::vector<Index>& branch_on);
  void guarded(const std::vector<Index>& conditions, const std::function<void()>& body);
  void branch(llvm::Value* condition, const std::function<void()>& body);
  kernel::Range range_now(const Nest& nest, const Index& index, bool* depends_on_rest);
  Index current(const Nest& nest, const Index& index) const;
  bool covers_exactly(const kernel::Stage& stage, int axis) const;
  void add_live_conditions(Nest& nest) const;
  Index live_of(const kernel::Axis& axis) const {
    return Index::variable(variables_.of_parameter(kernel::kParameterVariable + axis.live));
  }
  const kernel::Stage& stage(const Nest& nest) const { return kernel_.stages[static_cast<size_t>(nest.stage)]; }
  const std::vector<kernel::Loop>& loops(const Nest& nest) const {
    return (nest.words ? in_words_[static_cast<size_t>(nest.stage)]
                       : schedule_.stages[static_cast<size_t>(nest.stage)].loops);
  }

  // --- leaf.cpp: expressions
  void leaf(const Nest& nest);
  void local_leaf(const Nest& nest, llvm::Value* mask);
  void scatter_leaf(const Nest& nest, llvm::Value* mask);
  Lanes evaluate(const Nest& nest, llvm::Value* mask, int node, std::vector<Lanes>& done);
  Lanes evaluate_load(const Nest& nest, llvm::Value* mask, const kernel::ExprNode& node, std::vector<Lanes>& done);
  llvm::Value* integer_division(bool remainder, bool is_signed, llvm::Value* a, llvm::Value* b);
  Lanes arithmetic(const kernel::ExprNode& node, ir::DType operand_type, Lanes a, Lanes b, Lanes c);
  Lanes cast(Lanes a, ir::DType from, ir::DType to);
  Lanes nearest(Lanes a);
  llvm::Value* widen_half(ir::DType from, llvm::Value* bits);
  llvm::Value* round_to_half(ir::DType to, llvm::Value* value);
  llvm::Value* combine(kernel::Reduction reduction, ir::DType type, llvm::Value* accumulator, llvm::Value* value);
  llvm::Value* reduce_lanes(kernel::Reduction reduction, ir::DType type, llvm::Value* vector);
  llvm::Value* condition_mask(const Nest& nest,
                              const std::vector<Index>& conditions);    // null: all true; i1 or <lanes x i1>
  llvm::Value* both(const Nest& nest, llvm::Value* a, llvm::Value* b);  // of two masks; null: all true
  llvm::Value* local_pointer(const Nest& nest, ir::DType type);

  // --- dot.cpp: sums of products in words
  void dot_leaf(const Nest& nest, llvm::Value* mask, const std::vector<Index>& of_elements);
  bool ends_in_zeros(const Nest& nest, const kernel::ExprNode& node) const;
  llvm::Value* dot_word(const Nest& nest, llvm::Value* mask, const kernel::ExprNode& node,
                        const std::vector<Index>& of_elements, bool beyond);
  llvm::Value* shuffled_words(const Nest& nest, int buffer, const Index& start, llvm::Value* mask);
  llvm::Value* words(const Nest& nest, int buffer, const Index& start, int lanes, llvm::Value* mask, bool vector_mask,
                     llvm::Value* otherwise);
  llvm::Value* low_bits(const Nest& nest, int shift, llvm::Value* words);
  llvm::Value* dot_bytes(llvm::Value* x, DType x_type, llvm::Value* y, DType y_type, bool small,
                         llvm::Value* accumulator);
  llvm::Value* dot_halves(llvm::Value* x, llvm::Value* y, llvm::Value* accumulator);
  bool has_extension(std::string_view name) const {
    return std::find(extensions_.begin(), extensions_.end(), name) != extensions_.end();
  }

  // --- tiles.cpp: sums of products in tile registers
  struct TileAddress {
    int buffer = -1;
    Index start;         // in elements
    int64_t stride = 0;  // of rows, in bytes
  };
  struct HeldTile {  // what a register holds, as far as the walk knows
    int buffer = -1;
    Index start;
    std::vector<Index> conditions;
    llvm::BasicBlock* block = nullptr;
    bool operator==(const HeldTile&) const = default;
  };
  std::shared_ptr<const TilePlan> plan_tiles(const Nest& nest, size_t level);
  bool collect_tiles(const Nest& nest, size_t level, TilePlan& plan);
  bool tiles_fit(const Nest& nest, size_t level, TilePlan& plan);
  bool tile_fits(const Nest& nest, TilePlan& plan);
  std::optional<TileAddress> tile_at(const Nest& nest, const TilePlan& plan, const kernel::ExprNode* operand);
  void accumulate_in_tiles(const Nest& nest, size_t level, bool cleared, const std::shared_ptr<const TilePlan>& plan);
  void set_tile_shapes(llvm::IRBuilder<>& at, const std::vector<uint8_t>& shapes);
  void tile_leaf(const Nest& nest);
  void load_tile(const Nest& nest, const TilePlan& plan, int tile, const kernel::ExprNode* operand);
  llvm::Value* row_exists(const std::vector<Index>& conditions, int64_t row);
  void copy_rows(const Nest& nest, const TilePlan& plan, const TileAddress& address, const std::vector<Index>& skipped,
                 const std::vector<Index>& replaced, int tile, double otherwise);

  // --- memory.cpp: addresses, loads, stores, types
  Lanes load(int buffer, const std::vector<Index>& index, int lanes, llvm::Value* mask, double otherwise);
  void store(int buffer, const std::vector<Index>& index, Lanes value, int lanes, llvm::Value* mask);
  void prefetch(const Nest& nest, size_t level);
  Index address(const Place& place, const std::vector<Index>& index) const;
  llvm::Value* pointer_to(llvm::Value* base, ir::DType type, const Index& offset);
  std::vector<Index> lane_addresses(const Index& offset, int lanes) const;
  llvm::Value* emit_index(const Index& index);                  // i64
  llvm::Value* emit_lane_index(const Index& index, int lanes);  // <lanes x i64>
  llvm::Value* splat(Lanes v, int lanes);
  llvm::Value* number(ir::DType type, double value, int lanes = 1);
  llvm::Value* identity(kernel::Reduction reduction, ir::DType type, int lanes = 1);
  // In registers: a boolean is an i1, 16-bit floats are their bits …
  llvm::Type* llvm_type(ir::DType type, int lanes = 1);
  llvm::Type* memory_type(ir::DType type, int lanes = 1);  // … and in memory a boolean is an i8
  llvm::Value* to_memory(ir::DType type, llvm::Value* value);
  llvm::Value* from_memory(ir::DType type, llvm::Value* value);
  llvm::AllocaInst* allocate_stack(llvm::Type* element, int64_t count);
  void tag(llvm::Instruction* access, int buffer);

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  const kernel::Kernel& kernel_;
  const kernel::Schedule& schedule_;
  const CpuTarget& target_;
  std::vector<std::string> extensions_;
  std::vector<std::vector<kernel::Loop>> in_words_;  // per stage: its loops with words in place of tiles
  std::string prefix_;
  CompiledKernel result_;

  Variables variables_;
  std::vector<int> offset_variables_;  // per axis position: what is left of an axis, for range questions
  std::map<int, llvm::Value*> variable_values_;
  std::vector<Place> places_;                         // per buffer, as seen from the current position
  std::vector<std::vector<int>> attached_;            // per stage: the stages computed inside it
  std::map<int, std::pair<size_t, size_t>> scratch_;  // buffer → offset and size in the thread's scratch
  std::vector<size_t> workspace_offset_;              // per buffer
  std::vector<bool> prepared_;                        // per buffer: written by a prepare phase
  llvm::Function* function_ = nullptr;
  llvm::Value* workspace_pointer_ = nullptr;
  llvm::Value* scratch_pointer_ = nullptr;
  std::vector<llvm::Value*> task_index_;  // per parallel loop of the phase
  llvm::BasicBlock* entry_ = nullptr;
  // Loads already done in the current block; forgotten at block ends and at stores to the same buffer.
  struct Loaded {
    Lanes value;
    llvm::BasicBlock* block = nullptr;
  };
  std::map<std::tuple<int, int, Index>, Loaded> loaded_;
  std::vector<uint8_t> tile_shapes_;  // that a task of the phase sets; empty: it has no tiles
  std::array<HeldTile, 8> tiles_held_;
  std::array<llvm::Value*, 8> tile_copies_{};  // where tiles with missing rows are put together
  std::map<std::pair<llvm::Value*, Index>, std::pair<llvm::Value*, llvm::BasicBlock*>> pointers_;
  std::vector<llvm::MDNode*> buffer_tags_;
};

}  // namespace rooftune::codegen
