#include "estimate/stage_cost.h"

#include <algorithm>
#include <cmath>

#include "kernel/analysis.h"
#include "kernel/register_tile.h"

namespace rooftune::estimate {
namespace {

using namespace kernel;

constexpr double kTurn = 2;              // cycles of a loop's turn
constexpr double kMultiplyAdd = 4;       // cycles until its result can be added to
constexpr double kSpill = 2;             // cycles of a register stored and loaded again
constexpr double kTileProduct = 16;      // cycles between products of whole tiles, so many as an operand has rows …
constexpr double kTileLatency = 52;      // … and until one can be added to
constexpr double kTileLoad = 8;          // cycles to load a tile from the innermost cache
constexpr size_t kLargeConstant = 4096;  // bytes: smaller ones stay in the innermost cache

double ceil_of(double n, double d) { return std::ceil(n / d); }

bool is_inner(const Around& loop) { return loop.kind == LoopKind::unrolled || loop.kind == LoopKind::vector; }

/// Bytes per second that `cores` of the target's draw from beyond cache level 0, 1 or 2.
double rate_beyond(const CostTarget& target, size_t level, double cores) {
  const double share = std::min(1.0, cores / std::max(1, target.machine.threads));
  constexpr std::array<double, 3> kUnknown = {100e9, 40e9, 15e9};  // of one core
  for (const auto& cache : target.spec.caches)
    if (cache.level == static_cast<int>(level) + 2 && cache.bandwidth > 0) return cache.bandwidth * share;
  if (level == 2 && target.spec.memory_bandwidth > 0)
    return target.spec.memory_bandwidth * std::min(1.0, std::max(share, 1.0 / 3 + share / 2));
  return kUnknown[level] * cores;
}

enum class Access : uint8_t { one_for_all, contiguous, strided };

/// How a vector along `axis` of the stage reads: the schedule's layouts count, not the kernel's.
Access access_along(const Kernel& k, const Schedule& schedule, const ExprNode& load, int axis) {
  if (axis < 0 || !uses(load, axis)) return Access::one_for_all;
  const auto& buffer = k.buffers[static_cast<size_t>(load.buffer)];
  const Layout* layout = &buffer.layout;
  for (const auto& [b, prepared] : schedule.prepared)
    if (b == load.buffer) layout = &prepared;
  const int writer = k.stage_of(load.buffer);
  if (writer >= 0 && buffer.role == Role::temporary && !schedule.stages[static_cast<size_t>(writer)].layout.empty())
    layout = &schedule.stages[static_cast<size_t>(writer)].layout;
  if (layout->empty()) return Access::contiguous;
  const auto& innermost = layout->axes().back();
  for (size_t d = 0; d < load.indices.size(); ++d) {
    if (!load.indices[d].uses(axis)) continue;
    const bool plain = load.indices[d].coefficient(axis) == 1 && !load.indices[d].appears_inside(axis);
    if (static_cast<int>(d) != innermost.dim || innermost.divisor != 1 || !plain) return Access::strided;
  }
  return Access::contiguous;
}

class Costing {
 public:
  Costing(const Kernel& k, const Schedule& schedule, const CostTarget& target, int s)
      : k_(k),
        schedule_(schedule),
        target_(target),
        machine_(target.machine),
        number_(s),
        stage_(k.stages[static_cast<size_t>(s)]),
        nest_(nest_of(k, schedule, s)),
        depends_(axis_dependence(stage_)) {
    inner_ = nest_.loops.size();
    while (inner_ > 0 && is_inner(nest_.loops[inner_ - 1])) --inner_;
    if (!nest_.loops.empty() && nest_.loops.back().kind == LoopKind::vector) vector_ = nest_.loops.back().axis;
  }

  StageCost run() {
    count_tiles();
    count_memory();
    const double hz = target_.cycles_per_second();
    const double computing = (cost_.compute + cost_.spills + cost_.stores + cost_.loops) / hz * cost_.share;
    double moving = cost_.cold;
    for (const double s : cost_.seconds) moving = std::max(moving, s);
    cost_.time = std::max(computing, moving) + 0.3 * std::min(computing, moving);
    return cost_;
  }

 private:
  /// The whole of each axis is cut into tiles of what one body covers; the last one may be smaller.
  void count_tiles() {
    const auto& body = nest_.region[inner_];
    std::vector<int> cut;  // axes whose tiles may differ in size
    double elsewhere = 1;  // turns of loops over axes that the stage does not have
    for (const auto& loop : nest_.loops) {
      if (loop.axis < 0) elsewhere *= static_cast<double>(loop.turns);
      if (loop.kind == LoopKind::parallel) ++cost_.parallel, cost_.tasks *= static_cast<double>(loop.turns);
    }
    cost_.depth = static_cast<int>(inner_);
    cost_.share = std::ceil(cost_.tasks / machine_.threads) / cost_.tasks;
    std::vector<double> sizes(stage_.axes.size());
    double whole = elsewhere;  // tiles of full size, the others' places included
    for (size_t a = 0; a < stage_.axes.size(); ++a) {
      const double extent = extent_of(a), tile = static_cast<double>(body[a]);
      sizes[a] = tile;
      whole *= std::floor(extent / tile);
      if (std::fmod(extent, tile) > 0) cut.push_back(static_cast<int>(a));
      if (static_cast<int>(a) >= stage_.spatial) cost_.reduced *= extent;
    }
    describe_body(sizes);
    double tail_cycles = 0;
    for (size_t which = 0; which < (size_t{1} << std::min<size_t>(cut.size(), 4)); ++which) {
      double times = whole;
      auto of = sizes;
      for (size_t i = 0; i < std::min<size_t>(cut.size(), 4); ++i) {
        if ((which >> i & 1) == 0) continue;
        const auto a = static_cast<size_t>(cut[i]);
        const double extent = extent_of(a);
        times /= std::max(1.0, std::floor(extent / sizes[a]));
        of[a] = std::fmod(extent, sizes[a]);
      }
      const double before = cost_.compute;
      add_bodies(of, times);
      if (which > 0) tail_cycles += cost_.compute - before;
    }
    if (cost_.compute > 0) cost_.tails = tail_cycles / cost_.compute;
    double turns = 1;
    for (size_t i = 0; i < inner_; ++i)
      turns *= static_cast<double>(nest_.loops[i].turns), cost_.loops += turns * kTurn;
    if (inner_ > 0) {
      cost_.inner_turns = static_cast<double>(nest_.loops[inner_ - 1].turns);
      cost_.inner_reduces = nest_.loops[inner_ - 1].axis >= stage_.spatial;
    }
    count_stores();
  }

  /// In instructions: of a dot product's axis one covers several elements.
  double extent_of(size_t axis) const {
    return ceil_of(static_cast<double>(nest_.extent[axis]), static_cast<double>(nest_.dots[axis]));
  }

  /// Copies of what depends on these axes, in vector registers.
  double copies(const std::vector<double>& sizes, uint64_t axes) const {
    double n = 1;
    for (size_t a = 0; a < sizes.size(); ++a) {
      if ((axes >> a & 1) == 0) continue;
      n *= static_cast<int>(a) == vector_ ? ceil_of(sizes[a], machine_.lanes) : sizes[a];
    }
    return n;
  }

  uint64_t axes_of(const ExprNode& load) const {
    uint64_t axes = 0;
    for (size_t a = 0; a < stage_.axes.size(); ++a)
      if (uses(load, static_cast<int>(a))) axes |= uint64_t{1} << a;
    return axes;
  }

  /// What is computed inside of this stage's innermost loop stays in the register tile.
  bool in_registers(const ExprNode& load) const {
    const int writer = k_.stage_of(load.buffer);
    if (writer < 0) return false;
    const auto& plan = schedule_.stages[static_cast<size_t>(writer)];
    return plan.at_stage == number_ && nest_.outside + static_cast<size_t>(plan.at_loop) + 1 == inner_;
  }

  double lanes_used(const std::vector<double>& sizes) const {
    return vector_ < 0 ? 1 : std::min<double>(machine_.lanes, sizes[static_cast<size_t>(vector_)]);
  }

  struct Body {
    double arithmetic = 0, loads = 0, gathers = 0, latency = 0, spilled = 0;
  };

  /// Products of tiles: each waits for the one before it that adds to the same sums.
  Body tile_body_of(const std::vector<double>& sizes) const {
    Body body;
    double products = 1, sums = 1;
    for (size_t a = 0; a < sizes.size(); ++a) {
      products *= sizes[a];
      if (static_cast<int>(a) < stage_.spatial) sums *= sizes[a];
    }
    body.arithmetic = kTileProduct * products;
    body.latency = kTileLatency * products / sums;
    for (const auto& node : stage_.nodes)
      if (node.op == Op::load) body.loads += kTileLoad * copies(sizes, axes_of(node));
    return body;
  }

  Body body_of(const std::vector<double>& sizes) const {
    if (nest_.tile) return tile_body_of(sizes);
    Body body;
    const bool contraction = is_contraction(stage_);
    const uint64_t all = (uint64_t{1} << stage_.axes.size()) - 1;
    for (size_t n = 0; n < stage_.nodes.size(); ++n) {
      const auto& node = stage_.nodes[n];
      if (node.op == Op::load) {
        if (in_registers(node)) continue;
        const double times = copies(sizes, axes_of(node));
        switch (access_along(k_, schedule_, node, vector_)) {
          case Access::one_for_all:
          case Access::contiguous: body.loads += 0.5 * times; break;
          case Access::strided: body.gathers += 0.5 * times * lanes_used(sizes); break;
        }
        continue;
      }
      const bool product = contraction && n + 1 == stage_.nodes.size();  // part of the multiply-add
      if (!product) body.arithmetic += info(node.op).operations * copies(sizes, depends_[n]);
    }
    if (stage_.is_reduction()) {
      body.arithmetic += copies(sizes, all);
      double chain = 1;
      for (size_t a = static_cast<size_t>(stage_.spatial); a < sizes.size(); ++a)
        chain *= static_cast<int>(a) == vector_ ? ceil_of(sizes[a], machine_.lanes) : sizes[a];
      // Of a reduction along the vectors each register is a chain of its own.
      body.latency = kMultiplyAdd * (vector_ >= stage_.spatial ? 1 : chain);
    }
    body.arithmetic /= machine_.fmas;
    const double held = accumulators(sizes) + std::min(4.0, vectors(sizes)) + 1 - machine_.registers;
    if (stage_.is_reduction()) body.spilled = std::max(0.0, held);
    return body;
  }

  double accumulators(const std::vector<double>& sizes) const {
    double n = 1;
    for (size_t a = 0; a < sizes.size(); ++a)
      if (static_cast<int>(a) < stage_.spatial || static_cast<int>(a) == vector_)
        n *= static_cast<int>(a) == vector_ ? ceil_of(sizes[a], machine_.lanes) : sizes[a];
    return n;
  }

  double vectors(const std::vector<double>& sizes) const {
    return vector_ < 0 ? 1 : ceil_of(sizes[static_cast<size_t>(vector_)], machine_.lanes);
  }

  void add_bodies(const std::vector<double>& sizes, double times) {
    if (times <= 0) return;
    const Body body = body_of(sizes);
    cost_.bodies += times;
    cost_.arithmetic += times * body.arithmetic;
    cost_.loads += times * body.loads;
    cost_.gathers += times * body.gathers;
    cost_.latency += times * body.latency;
    cost_.compute += times * std::max({body.arithmetic, body.loads + body.gathers, body.latency});
    cost_.spills += times * kSpill * body.spilled;
  }

  void describe_body(const std::vector<double>& sizes) {
    const Body body = body_of(sizes);
    cost_.accumulators = accumulators(sizes);
    cost_.vectors = vectors(sizes);
    for (size_t a = static_cast<size_t>(stage_.spatial); a < sizes.size(); ++a)
      if (static_cast<int>(a) != vector_) cost_.chain *= sizes[a];
    cost_.instructions = body.arithmetic * machine_.fmas + 2 * body.loads + body.gathers;
    cost_.per_load = body.arithmetic * machine_.fmas / std::max(0.5, 2 * (body.loads + body.gathers));
    cost_.tile = nest_.tile;
    if (nest_.tile) {
      cost_.fill = 1;
      for (size_t a = 0; a < stage_.axes.size(); ++a)
        if (nest_.dots[a] > 1)
          cost_.fill *=
              static_cast<double>(stage_.axes[a].extent) / (extent_of(a) * static_cast<double>(nest_.dots[a]));
    } else if (vector_ >= 0) {
      const double extent = static_cast<double>(stage_.axes[static_cast<size_t>(vector_)].extent);
      cost_.fill = extent / (ceil_of(extent, machine_.lanes) * machine_.lanes);
    } else {
      cost_.fill = 1.0 / machine_.lanes;
    }
    for (const auto& node : stage_.nodes) {
      if (node.op != Op::load) continue;
      cost_.strided += access_along(k_, schedule_, node, vector_) == Access::strided;
      const auto& buffer = k_.buffers[static_cast<size_t>(node.buffer)];
      cost_.narrow = std::min(cost_.narrow, static_cast<double>(ir::byte_size(buffer.dtype, 1)));
    }
  }

  /// Every result once; of a reduction that is cut by outer loops over it the same again and again.
  void count_stores() {
    double points = 1, turns = 1;
    for (int a = 0; a < stage_.spatial; ++a) {
      const double extent = extent_of(static_cast<size_t>(a));
      points *= a == vector_ ? ceil_of(extent, machine_.lanes) : extent;
    }
    for (const auto& loop : nest_.loops)
      if (loop.axis < 0) turns *= static_cast<double>(loop.turns);
    cost_.stores = points * turns * (nest_.tile ? kTileProduct : 1) * (stage_.is_reduction() ? 2 : 1);
  }

  void count_memory() {
    const auto loads = operands(k_, stage_);
    std::vector<const ExprNode*> outside;  // not what the same tile has just computed
    for (const auto* load : loads) {
      const int writer = k_.stage_of(load->buffer);
      if (writer < 0 || schedule_.stages[static_cast<size_t>(writer)].at_stage < 0) outside.push_back(load);
    }
    const double cores = 1 / cost_.share;
    const std::array<double, 3> capacity = {static_cast<double>(machine_.l1), static_cast<double>(machine_.l2),
                                            static_cast<double>(machine_.l3)};
    for (size_t level = 0; level < capacity.size(); ++level) {
      const size_t fits = fitting_loop(k_, loads, nest_, 0.8 * capacity[level]);
      double bytes = 0, once = 0;
      for (const auto* load : outside) {
        bytes += traffic(k_, *load, nest_, fits);
        once += footprint(k_, *load, nest_.region[0]);
      }
      const bool resident =
          level == 2 && once <= capacity[2];  // what fits into the last level stays there between runs
      cost_.seconds[level] = resident ? 0 : bytes / rate_beyond(target_, level, cores);
      cost_.repeated[level] = once > 0 ? bytes / once : 1;
    }
    const bool from_memory = target_.model_weights > static_cast<double>(machine_.l3);
    for (const auto* load : outside) {
      const auto& buffer = k_.buffers[static_cast<size_t>(load->buffer)];
      const int writer = k_.stage_of(load->buffer);
      const bool constant = buffer.role == Role::constant ||
                            (writer >= 0 && reads_only_constants(k_, k_.stages[static_cast<size_t>(writer)]));
      const double bytes = footprint(k_, *load, nest_.region[0]);
      if (constant && bytes >= kLargeConstant) cost_.cold += bytes / rate_beyond(target_, from_memory ? 2 : 1, cores);
    }
    for (size_t i = 0; i < cost_.region.size(); ++i) {
      const size_t d = inner_ >= i ? inner_ - i : 0;
      for (const auto* load : loads) cost_.region[i] += footprint(k_, *load, nest_.region[d]);
    }
  }

  const Kernel& k_;
  const Schedule& schedule_;
  const CostTarget& target_;
  const Machine& machine_;
  const int number_;
  const Stage& stage_;
  const Nest nest_;
  const std::vector<uint64_t> depends_;
  size_t inner_ = 0;  // number of the first unrolled loop
  int vector_ = -1;   // the vector axis
  StageCost cost_;
};

}  // namespace

double CostTarget::cycles_per_second() const {
  const double per_cycle = 2.0 * machine.lanes * machine.fmas * std::max(1, machine.threads);
  const auto peak = spec.peak_flops.find("f32");
  return peak == spec.peak_flops.end() ? 3e9 : std::clamp(peak->second / per_cycle, 0.5e9, 8e9);
}

std::vector<StageCost> stage_costs(const Kernel& kernel, const Schedule& schedule, const CostTarget& target) {
  std::vector<StageCost> costs;
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const auto& stage = kernel.stages[s];
    if (reads_only_constants(kernel, stage) &&
        kernel.buffers[static_cast<size_t>(stage.buffer)].role == Role::temporary)
      continue;
    costs.push_back(Costing(kernel, schedule, target, static_cast<int>(s)).run());
  }
  return costs;
}

}  // namespace rooftune::estimate
