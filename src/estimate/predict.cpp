#include "estimate/predict.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "estimate/loop_nest.h"
#include "kernel/analysis.h"
#include "kernel/register_tile.h"

namespace rooftune::estimate {
namespace {

using namespace kernel;

// One core of a present-day server CPU; only ratios matter.
constexpr double kClock = 3e9;
constexpr std::array<double, 3> kBytesPerCycle = {32, 12, 5};  // from L2, from L3 (per core), from memory (of one core)
constexpr double kMemoryShare = 3;                             // cores that together draw all of the memory's bandwidth
constexpr double kTurn = 2;                                    // cycles of a loop's turn
constexpr double kTask = 300;                                  // cycles to hand a phase to the threads

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
  if (nest.tile) {
    constexpr double kProduct = 16, kLatency = 52;  // as many cycles as a tile has rows; until its sums can be added to
    cycles = std::max(kProduct, kLatency / std::max(accumulators, 1.0)) * unrolled;
  } else if (is_contraction(stage)) {
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

}  // namespace rooftune::estimate
