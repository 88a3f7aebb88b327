// The schedule space of a kernel: typed decisions with their legal values and an analytical start. A strategy in
// search/ sees only the decisions; a point (one value per decision) makes a Schedule. The sketch (sketch.h) is the one
// place that asks for decisions: a new one is one more `choose` there.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel/schedule.h"

namespace rooftune::kernel {

/// What schedules are made for.
struct Machine {
  int lanes = 16;         // f32 lanes of a vector register
  int registers = 32;     // vector registers
  int fmas = 1;           // vector multiply-adds that start per cycle, and loads of whole vectors
  int64_t l1 = 32 << 10;  // bytes, per core
  int64_t l2 = 1 << 20;   // bytes, per core
  int64_t l3 = 32 << 20;  // bytes, shared
  int threads = 1;
  bool tiles = false;  // products of tiles (LoopKind::tile) are instructions
};

struct Decision {
  std::string name;             // "acc.rows"
  std::vector<int64_t> values;  // legal ones, ascending
  int64_t start = 0;            // the analytical choice
};

using Point = std::map<std::string, int64_t>;  // decisions that are not named take their start

/// The decisions as met when `point` is followed (a decision may depend on those before it).
std::vector<Decision> decisions(const Kernel& kernel, const Machine& machine, const Point& point = {});
/// The schedule at `point`; a value that is not legal there is replaced by the nearest one that is.
Schedule make_schedule(const Kernel& kernel, const Machine& machine, const Point& point = {});

/// Brings a kernel into the form that sketches expect: mathematics expanded, maps inlined, dead stages gone, contiguous
/// axes fused, operands of contractions packed where they could not be read as vectors.
void normalise(Kernel& kernel, const Machine& machine);

}  // namespace rooftune::kernel
