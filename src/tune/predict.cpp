#include "tune/predict.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernel/analysis.h"
#include "kernel/register_tile.h"

namespace rooftune::tune {
namespace {

using namespace kernel;

// One core of a present-day server CPU; only ratios matter.
constexpr double kClock = 3e9;
constexpr std::array<double, 3> kBytesPerCycle = {32, 12, 5};  // from L2, from L3 (per core), from memory (of one core)
constexpr double kMemoryShare = 3;                             // cores that together draw all of the memory's bandwidth
constexpr double kTurn = 2;                                    // cycles of a loop's turn
constexpr double kTask = 300;                                  // cycles to hand a phase to the threads

/// A loop around a stage's statements, on an axis of the stage (-1: an axis that it does not have).
struct Around {
  int axis = -1;
  int64_t turns = 1;
  LoopKind kind = LoopKind::serial;
};

struct Nest {
  std::vector<Around> loops;                 // outermost first
  std::vector<std::vector<int64_t>> region;  // before each loop: what is left of each axis; one more at the end
};

/// Own axis for each axis of the stage that `s` is computed in, found by how readers index it.
std::vector<int> axes_in(const Kernel& k, const Schedule& schedule, int s, int root) {
  std::vector<int> of_root(k.stages[static_cast<size_t>(root)].axes.size(), -1);
  if (s == root) {
    for (size_t a = 0; a < of_root.size(); ++a) of_root[a] = static_cast<int>(a);
    return of_root;
  }
  const int buffer = k.stages[static_cast<size_t>(s)].buffer;
  for (int r : readers(k, buffer)) {
    if (r != root && schedule.stages[static_cast<size_t>(r)].at_stage != root) continue;
    const auto reader = axes_in(k, schedule, r, root);
    for (const auto& node : k.stages[static_cast<size_t>(r)].nodes) {
      if (node.op != Op::load || node.buffer != buffer) continue;
      for (size_t d = 0; d < node.indices.size(); ++d) {
        const auto axis = plain_axis(node.indices[d]);
        if (!axis || d >= k.stages[static_cast<size_t>(s)].axes.size()) continue;
        for (size_t a = 0; a < of_root.size(); ++a)
          if (reader[a] == *axis) of_root[a] = static_cast<int>(d);
      }
    }
    break;
  }
  return of_root;
}

void walk(const std::vector<Loop>& loops, size_t count, const std::vector<int>& own, std::vector<int64_t>& root_left,
          std::vector<int64_t>& left, Nest& nest) {
  for (size_t i = 0; i < count && i < loops.size(); ++i) {
    const auto& loop = loops[i];
    auto& rest = root_left[static_cast<size_t>(loop.axis)];
    const int axis = own[static_cast<size_t>(loop.axis)];
    if (loop.kind == LoopKind::dot) {  // a part of the instruction
      left[static_cast<size_t>(axis)] = 1;
      continue;
    }
    nest.region.push_back(left);
    nest.loops.push_back({axis, std::max<int64_t>(1, (rest + loop.step - 1) / loop.step), loop.kind});
    rest = std::min(rest, loop.step);
    if (axis >= 0) left[static_cast<size_t>(axis)] = std::min(left[static_cast<size_t>(axis)], loop.step);
  }
}

Nest nest_of(const Kernel& k, const Schedule& schedule, int s) {
  const auto& stage = k.stages[static_cast<size_t>(s)];
  const auto& plan = schedule.stages[static_cast<size_t>(s)];
  Nest nest;
  std::vector<int64_t> left;
  for (const auto& axis : stage.axes) left.push_back(axis.extent);
  if (plan.at_stage >= 0) {
    const auto& root = k.stages[static_cast<size_t>(plan.at_stage)];
    std::vector<int64_t> root_left;
    for (const auto& axis : root.axes) root_left.push_back(axis.extent);
    walk(schedule.stages[static_cast<size_t>(plan.at_stage)].loops, static_cast<size_t>(plan.at_loop) + 1,
         axes_in(k, schedule, s, plan.at_stage), root_left, left, nest);
  }
  std::vector<int> own(stage.axes.size());
  for (size_t a = 0; a < own.size(); ++a) own[a] = static_cast<int>(a);
  auto again = left;
  walk(plan.loops, plan.loops.size(), own, again, left, nest);
  nest.region.push_back(left);
  return nest;
}

/// Bytes of what a load touches in a region of the stage's axes.
double footprint(const Kernel& k, const ExprNode& node, const std::vector<int64_t>& region, size_t axes) {
  const auto& buffer = k.buffers[static_cast<size_t>(node.buffer)];
  double elements = 1;
  for (size_t d = 0; d < node.indices.size(); ++d) {
    double span = 1;
    for (size_t a = 0; a < axes; ++a) {
      const auto coefficient = node.indices[d].coefficient(static_cast<int>(a));
      if (coefficient != 0) span += static_cast<double>(std::abs(coefficient) * (region[a] - 1));
      else if (node.indices[d].appears_inside(static_cast<int>(a))) span *= static_cast<double>(region[a]);
    }
    elements *= std::min(span, static_cast<double>(buffer.shape[d]));
  }
  return elements * static_cast<double>(ir::byte_size(buffer.dtype, 1));
}

bool uses(const ExprNode& node, int axis) {
  return axis >= 0 &&
         std::any_of(node.indices.begin(), node.indices.end(), [&](const Index& e) { return e.uses(axis); });
}

/// Bytes that must come from beyond a cache of `capacity`: at the outermost loop whose data fit, all of them once; loops
/// further out repeat them unless they do not touch an operand and it stayed.
double traffic(const Kernel& k, const Stage& stage, const Nest& nest, double capacity) {
  size_t fits = nest.loops.size();
  for (size_t d = 0; d <= nest.loops.size(); ++d) {
    double total = 0;
    for (const auto& node : stage.nodes)
      if (node.op == Op::load) total += footprint(k, node, nest.region[d], stage.axes.size());
    if (total <= capacity) {
      fits = d;
      break;
    }
  }
  double bytes = 0;
  for (const auto& node : stage.nodes) {
    if (node.op != Op::load) continue;
    double once = footprint(k, node, nest.region[fits], stage.axes.size());
    bool adjacent = true;  // the loop directly around what fits: an operand that it does not touch stays
    for (size_t d = fits; d-- > 0;) {
      const auto& loop = nest.loops[d];
      const bool stays = adjacent && !uses(node, loop.axis);
      if (!stays) once *= static_cast<double>(loop.turns), adjacent = false;
    }
    bytes += once;
  }
  return bytes;
}

/// Cycles of a stage's arithmetic, loads and loop overhead, on one thread.
double compute_cycles(const Stage& stage, const Nest& nest, const Machine& machine) {
  double turns = 1, unrolled = 1, accumulators = 1, overhead = 0;
  size_t begin = nest.loops.size();
  while (begin > 0 &&
         (nest.loops[begin - 1].kind == LoopKind::unrolled || nest.loops[begin - 1].kind == LoopKind::vector))
    --begin;
  for (size_t i = 0; i < begin; ++i) turns *= static_cast<double>(nest.loops[i].turns), overhead += turns * kTurn;
  for (size_t i = begin; i < nest.loops.size(); ++i) {
    const auto& loop = nest.loops[i];
    const double n = loop.kind == LoopKind::vector ? std::ceil(static_cast<double>(loop.turns) / machine.lanes)
                                                   : static_cast<double>(loop.turns);
    unrolled *= n;
    if (loop.axis >= 0 && loop.axis < stage.spatial) accumulators *= n;
  }
  double arithmetic = 0, loads = 0;
  const Around* vector =
      nest.loops.empty() || nest.loops.back().kind != LoopKind::vector ? nullptr : &nest.loops.back();
  for (const auto& node : stage.nodes) {
    arithmetic += info(node.op).operations;
    if (node.op != Op::load) continue;
    double times = unrolled;  // a load that does not depend on an unrolled loop is done once
    for (size_t i = begin; i < nest.loops.size(); ++i)
      if (nest.loops[i].kind == LoopKind::unrolled && !uses(node, nest.loops[i].axis))
        times /= static_cast<double>(std::max<int64_t>(1, nest.loops[i].turns));
    loads += times * (vector != nullptr && !uses(node, vector->axis) ? 0.5 : 1.0 / machine.fmas);
  }
  double cycles = 0;
  if (is_contraction(stage)) {
    cycles = std::max({unrolled / machine.fmas, loads,
                       in_flight(machine.fmas) / machine.fmas * unrolled / std::max(accumulators, 1.0)});
    if (accumulators > machine.registers - 2) cycles += 2 * (accumulators - machine.registers + 2);  // spills
  } else {
    cycles = std::max({unrolled * std::max(arithmetic, 1.0) * 0.5 / machine.fmas, loads * 0.5,
                       stage.is_reduction() ? 4 * unrolled / std::max(accumulators, 1.0) : 0.0});
  }
  return turns * cycles + overhead;
}

}  // namespace

double predict_ms(const Kernel& kernel, const Schedule& schedule, const Machine& machine) {
  double total = 0;
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const auto& stage = kernel.stages[s];
    if (reads_only_constants(kernel, stage) &&
        kernel.buffers[static_cast<size_t>(stage.buffer)].role == Role::temporary)
      continue;
    const Nest nest = nest_of(kernel, schedule, static_cast<int>(s));
    double tasks = 1;
    for (const auto& loop : nest.loops)
      if (loop.kind == LoopKind::parallel) tasks *= static_cast<double>(loop.turns);
    const double rounds = std::ceil(tasks / machine.threads);
    const double share = rounds / tasks;  // of the work, that the busiest thread does
    const double cores = 1 / share;
    const std::array<double, 3> capacity = {static_cast<double>(machine.l1), static_cast<double>(machine.l2),
                                            static_cast<double>(machine.l3)};
    double memory = 0;
    for (size_t level = 0; level < capacity.size(); ++level) {
      const double rate =
          level == 2 ? kBytesPerCycle[2] * std::min(cores, kMemoryShare) : kBytesPerCycle[level] * cores;
      memory = std::max(memory, traffic(kernel, stage, nest, 0.8 * capacity[level]) / rate);
    }
    const double compute = compute_cycles(stage, nest, machine) * share;
    total += std::max(compute, memory) + 0.2 * std::min(compute, memory);
    if (schedule.stages[s].at_stage < 0) total += machine.threads > 1 ? kTask : 0;
  }
  return total / kClock * 1e3;
}

}  // namespace rooftune::tune
