// Which part of a temporary its consumers need when it is computed inside one of their loops, and how that part is
// stored. Pure index arithmetic: no LLVM here.
#pragma once
#include <vector>

#include "kernel/kernel.h"
#include "kernel/schedule.h"

namespace rooftune::codegen {

using ir::DType;
using kernel::Index;

/// A box: per dim (or axis) a lower corner, symbolic in loop variables, and a constant extent.
struct Region {
  std::vector<Index> base;
  std::vector<int64_t> extent;
};

/// Loop variables of the code being generated, with their ranges.
class Variables {
 public:
  static constexpr int kLane = 0;  // the position within a vector
  static constexpr int kDot = 1;   // the position within a word of a dot loop
  static constexpr int kRow = 2;   // the row of a tile
  Variables() : ranges_(3) {}
  /// The kernel's parameters are variables here, too: which one, of kParameterVariable + p.
  int of_parameter(int variable) const {
    return parameters_[static_cast<size_t>(variable - kernel::kParameterVariable)];
  }
  void add_parameter(kernel::Range range) { parameters_.push_back(add(range)); }
  int add(kernel::Range range) {
    ranges_.push_back(range);
    return static_cast<int>(ranges_.size()) - 1;
  }
  void set_range(int variable, kernel::Range range) { ranges_[static_cast<size_t>(variable)] = range; }
  kernel::Range range(int variable) const { return ranges_[static_cast<size_t>(variable)]; }
  kernel::RangeOf range_of() const {
    return [this](int v) { return range(v); };
  }

 private:
  std::vector<kernel::Range> ranges_;
  std::vector<int> parameters_;
};

/// Adds to `needed` what `stage`, restricted to `axes` (its own axes' region), reads of `buffer`. Dims where the bounds
/// are not a linear function of the loop variables are taken whole.
void add_reads(const kernel::Kernel& kernel, const kernel::Stage& stage, const Region& axes, int buffer,
               Variables& variables, Region& needed);

}  // namespace rooftune::codegen
