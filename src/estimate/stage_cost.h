// What a scheduled stage costs, taken apart: cycles of its arithmetic, loads, latencies and loops, and bytes through each
// cache level. The parts follow from its loop nest (estimate/loop_nest.h) and are right to a factor of two or so; the
// learned cost model (estimate/cost_model.h) is what makes a time of them.
#pragma once
#include <array>

#include "estimate/loop_nest.h"
#include "hardware/spec.h"
#include "kernel/space.h"

namespace rooftune::estimate {

/// What kernels run on, and beside what.
struct CostTarget {
  kernel::Machine machine;
  hardware::Spec spec;       // with as many compute units as there are threads
  double model_weights = 0;  // bytes of constants of the whole model: decides from where a kernel's come

  double cycles_per_second() const;  // that the measured peak corresponds to
};

struct StageCost {
  // Cycles of all its work on one thread:
  double arithmetic = 0;  // vector instructions, by the ports that they have
  double loads = 0;       // of contiguous vectors and of single elements for all lanes
  double gathers = 0;     // of vectors whose lanes lie apart
  double latency = 0;     // of the longest chain of accumulations
  double compute = 0;     // the longest of these, register tile by register tile
  double spills = 0;
  double stores = 0;
  double loops = 0;                  // counting and jumping
  std::array<double, 3> seconds{};   // all threads: what comes from beyond L1, L2, L3
  std::array<double, 3> repeated{};  // … and how often, on average, each byte comes from there
  double cold = 0;                   // seconds of the model's constants, each once, from where they lie
  double share = 1;                  // of the work, that the busiest thread has
  double tasks = 1;                  // that threads share
  double time = 0;                   // seconds, from all of these

  // Its register tile:
  double bodies = 0;               // times that the innermost, unrolled part runs
  double accumulators = 1;         // vector registers that hold results
  double vectors = 1;              // … along the vector axis
  double chain = 1;                // reduction steps in one body
  double instructions = 0;         // of one body
  double fill = 1;                 // of vector lanes, in use
  double tails = 0;                // share of the work in tiles that are not whole
  double per_load = 0;             // arithmetic per loaded vector
  int strided = 0;                 // loads of a body whose lanes lie apart
  double reduced = 1;              // extent of the reduction
  std::array<double, 3> region{};  // bytes of what the innermost body and the two loops around it touch
  double inner_turns = 1;          // of the innermost loop around a body
  bool inner_reduces = false;
  int depth = 0, parallel = 0;  // loops
  bool tile = false;            // a body's instructions are products of tiles
  double narrow = 4;            // bytes of the smallest element that it loads
};

/// Of every stage that a run computes; what is prepared once costs nothing.
std::vector<StageCost> stage_costs(const kernel::Kernel& kernel, const kernel::Schedule& schedule,
                                   const CostTarget& target);

}  // namespace rooftune::estimate
