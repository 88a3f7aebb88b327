// The loops around a stage's statements under a schedule, and what their data take of the caches: what every prediction of
// a scheduled kernel's time is made from.
#pragma once
#include <vector>

#include "kernel/schedule.h"

namespace rooftune::estimate {

/// A loop around a stage's statements, on an axis of the stage (-1: an axis that it does not have).
struct Around {
  int axis = -1;
  int64_t turns = 1;
  int64_t step = 1;
  kernel::LoopKind kind = kernel::LoopKind::serial;
};

struct Nest {
  std::vector<Around> loops;                 // outermost first
  std::vector<std::vector<int64_t>> region;  // before each loop: what is left of each axis; one more at the end
  std::vector<int64_t> dots;                 // per axis: elements that one instruction multiplies and sums
  bool tile = false;                         // that instruction is a product of tiles
  std::vector<int64_t> extent;  // per axis: what the loops over it walk in all, once per turn of all others
  size_t outside = 0;           // so many of the loops are those of stages that it is computed in
};

/// Those of the stage that it is computed in included, outside of its own.
Nest nest_of(const kernel::Kernel& kernel, const kernel::Schedule& schedule, int stage);

/// Bytes of what a load touches in a region of the stage's axes.
double footprint(const kernel::Kernel& kernel, const kernel::ExprNode& load, const std::vector<int64_t>& region);

/// One load of every buffer that the stage reads: of several that read one buffer, the first of those that touch most.
std::vector<const kernel::ExprNode*> operands(const kernel::Kernel& kernel, const kernel::Stage& stage);

bool uses(const kernel::ExprNode& node, int axis);

/// Number of the outermost loop inside of which what these loads touch fits into `capacity` bytes; the number of loops
/// where none does.
size_t fitting_loop(const kernel::Kernel& kernel, const std::vector<const kernel::ExprNode*>& loads, const Nest& nest,
                    double capacity);

/// Bytes that must come from beyond a cache that the data of loop `fits` and all inside of it fit into: those once; loops
/// further out repeat them unless they do not touch the operand and it stayed.
double traffic(const kernel::Kernel& kernel, const kernel::ExprNode& load, const Nest& nest, size_t fits);
/// Of all operands, where the cache has `capacity` bytes.
double traffic(const kernel::Kernel& kernel, const kernel::Stage& stage, const Nest& nest, double capacity);

}  // namespace rooftune::estimate
