// Inlining of maps. It runs on a freshly lowered kernel, before a schedule exists: what operators wrote as one stage
// each (bias, activation, reshape, transpose, pad) becomes part of the stages that read it, and what is left are the
// stages worth scheduling.
#include <algorithm>

#include "base/error.h"
#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {

namespace {

double points(const Stage& stage) {
  double n = 1;
  for (const Axis& a : stage.axes) n *= static_cast<double>(a.extent);
  return n;
}

int operations(const Stage& stage) {
  int sum = 0;
  for (const ExprNode& n : stage.nodes) sum += info(n.op).operations;
  return sum;
}

bool only_moves(const Stage& stage) {
  return std::all_of(stage.nodes.begin(), stage.nodes.end(), [&](const ExprNode& n) {
    const DType from = n.op == Op::cast ? stage.nodes[static_cast<size_t>(n.a)].type : DType::undefined;
    bool widens =
        n.op == Op::cast && ir::is_float(n.type) && ir::is_float(from) && ir::bit_width(from) <= ir::bit_width(n.type);
    return n.op == Op::constant || n.op == Op::load || n.op == Op::index || widens;
  });
}

/// Integer division traps where a guarded load gives zero.
bool may_trap(const Stage& stage) {
  return std::any_of(stage.nodes.begin(), stage.nodes.end(),
                     [](const ExprNode& n) { return (n.op == Op::div || n.op == Op::mod) && !ir::is_float(n.type); });
}

class Inliner {
 public:
  Inliner(Kernel& kernel, int max_operations) : kernel_(kernel), max_operations_(max_operations) {}

  void run() const {
    for (size_t s = 0; s < kernel_.stages.size(); s++) {
      if (is_plain_map(s) && is_worth_it(s)) {
        for (size_t reader = s + 1; reader < kernel_.stages.size(); reader++)
          inline_into(kernel_.stages[reader], kernel_.stages[s]);
      }
    }
    eliminate_dead_stages(kernel_);
  }

  bool is_plain_map(size_t s) const {
    const Stage& stage = kernel_.stages[s];
    const Buffer& buffer = kernel_.buffers[static_cast<size_t>(stage.buffer)];
    if (stage.is_reduction() || stage.scatters || !stage.where.empty() || buffer.role != Role::temporary ||
        !writes_identity(stage))
      return false;
    for (size_t d = 0; d < buffer.shape.size(); d++) {
      if (stage.axes[d].extent != buffer.shape[d]) return false;
    }
    for (size_t t = 0; t < kernel_.stages.size(); t++) {
      if (t != s && kernel_.stages[t].buffer == stage.buffer) return false;
    }
    return true;
  }

  /// Whether what the stage reads is the same when `reader` runs.
  bool sources_keep(size_t s, size_t reader) const {
    for (const ExprNode& n : kernel_.stages[s].nodes) {
      for (size_t t = s + 1; n.op == Op::load && t < reader; t++) {
        if (kernel_.stages[t].buffer == n.buffer) return false;
      }
    }
    return true;
  }

  bool is_worth_it(size_t s) const {
    const Stage& stage = kernel_.stages[s];
    double evaluations = 0;
    bool repeated_in_reduction = false, guarded = false, read = false;
    for (size_t r = s + 1; r < kernel_.stages.size(); r++) {
      const Stage& reader = kernel_.stages[r];
      for (const ExprNode& n : reader.nodes) {
        if (n.op != Op::load || n.buffer != stage.buffer) continue;
        if (!sources_keep(s, r)) return false;
        read = true;
        evaluations += points(reader);
        guarded = guarded || !n.where.empty() || !reader.where.empty();
        repeated_in_reduction = repeated_in_reduction || (reader.is_reduction() && points(reader) > points(stage));
      }
    }
    if (!read || (guarded && may_trap(stage))) return false;
    if (evaluations <= points(stage) || only_moves(stage)) return true;
    return operations(stage) <= max_operations_ && !repeated_in_reduction;
  }

  void inline_into(Stage& reader, const Stage& map) const {
    auto reads = [&](const ExprNode& n) { return n.op == Op::load && n.buffer == map.buffer; };
    if (std::none_of(reader.nodes.begin(), reader.nodes.end(), reads)) return;
    RangeOf ranges = axis_ranges(reader);
    std::vector<ExprNode> old = std::move(reader.nodes);
    reader.nodes.clear();
    std::vector<int> renumbered(old.size(), -1);
    for (size_t i = 0; i < old.size(); i++) {
      ExprNode& n = old[i];
      for_each_argument(n, [&](int& a) { a = renumbered[static_cast<size_t>(a)]; });
      for_each_index(n, [&](Index& e) { e = renumber(e, renumbered); });
      renumbered[i] = reads(n) ? expand(n, map, ranges, reader.nodes) : intern(reader.nodes, std::move(n));
    }
    for (Index& e : reader.where) e = renumber(e, renumbered);
    for (Index& e : reader.out_indices) e = renumber(e, renumbered);
    keep_needed(reader, unrounded(reader.nodes, renumbered.back()));
  }

 private:
  /// A value that was widened only to be rounded back is that value.
  static int unrounded(const std::vector<ExprNode>& nodes, int n) {
    const ExprNode& rounded = nodes[static_cast<size_t>(n)];
    if (rounded.op != Op::cast || !ir::is_float(rounded.type)) return n;
    const ExprNode& wide = nodes[static_cast<size_t>(rounded.a)];
    const bool widened = wide.op == Op::cast && nodes[static_cast<size_t>(wide.a)].type == rounded.type &&
                         ir::is_float(wide.type) && ir::bit_width(wide.type) > ir::bit_width(rounded.type);
    return widened ? wide.a : n;
  }

  /// Appends the map's expression at the load's indices. Where the load has conditions, every load in the expression
  /// carries them, and the value elsewhere is chosen by a select (or by the load itself, where that is all there is).
  static int expand(const ExprNode& load, const Stage& map, const RangeOf& ranges, std::vector<ExprNode>& nodes) {
    std::vector<int> moved(map.nodes.size(), -1);
    auto moved_index = [&](const Index& e) {
      return simplify(e.substitute([&](int variable) {
        if (variable >= kParameterVariable) return Index::variable(variable);
        if (variable < kNodeVariable) return load.indices[static_cast<size_t>(variable)];
        return Index::variable(kNodeVariable + moved[static_cast<size_t>(variable - kNodeVariable)]);
      }),
                      ranges);
    };
    bool chosen_by_load = load.where.empty();
    for (size_t i = 0; i < map.nodes.size(); i++) {
      ExprNode n = map.nodes[i];
      for_each_argument(n, [&](int& a) { a = moved[static_cast<size_t>(a)]; });
      for_each_index(n, [&](Index& e) { e = moved_index(e); });
      if (n.op == Op::load) {
        bool is_value = i + 1 == map.nodes.size();
        n.where = needed_conditions(std::move(n.where), ranges);
        if (n.where.empty()) n.value = is_value ? load.value : 0;
        chosen_by_load = chosen_by_load || (is_value && n.value == load.value);
        n.where.insert(n.where.end(), load.where.begin(), load.where.end());
        n.where = needed_conditions(std::move(n.where), ranges);
        if (n.where.empty()) n.value = 0;
      }
      moved[i] = intern(nodes, std::move(n));
    }
    if (chosen_by_load) return moved.back();
    ExprNode otherwise{Op::constant, load.type};
    otherwise.value = load.value;
    ExprNode select{Op::select, load.type, condition(load.where, ranges, nodes), moved.back(),
                    intern(nodes, std::move(otherwise))};
    return intern(nodes, std::move(select));
  }

  /// Node that is true where all of `conditions` are >= 0.
  static int condition(const std::vector<Index>& conditions, const RangeOf& ranges, std::vector<ExprNode>& nodes) {
    int all = -1;
    for (const Index& e : conditions) {
      Range r = e.range(ranges);
      DType type = r.lo >= INT32_MIN && r.hi <= INT32_MAX ? DType::i32 : DType::i64;
      int zero = intern(nodes, {Op::constant, type});
      ExprNode value{Op::index, type};
      value.indices = {e};
      int holds = intern(nodes, {Op::le, DType::boolean, zero, intern(nodes, std::move(value))});
      all = all < 0 ? holds : intern(nodes, {Op::logical_and, DType::boolean, all, holds});
    }
    return all;
  }

  Kernel& kernel_;
  int max_operations_;
};

}  // namespace

Stage with_constants_inlined(const Kernel& kernel, size_t stage) {
  Kernel copy = kernel;
  const Inliner inliner(copy, 0);
  for (size_t s = stage; s-- > 0;)
    if (inliner.is_plain_map(s) && reads_only_constants(copy, copy.stages[s]))
      inliner.inline_into(copy.stages[stage], copy.stages[s]);
  return copy.stages[stage];
}

void inline_maps(Kernel& kernel, int max_operations) { Inliner(kernel, max_operations).run(); }

}  // namespace rooftune::kernel
