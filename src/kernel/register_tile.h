// What a register tile of a contraction costs; sketches choose their tiles by it.
#pragma once
#include <algorithm>
#include <cstdint>

namespace rooftune::kernel {

/// Multiply-adds in flight that hide their latency of four cycles, and some to spare, at `fmas` begun per cycle.
inline double in_flight(int fmas) { return fmas == 1 ? 8 : 10; }

/// Cycles per reduction step of a register tile of `rows` x `vectors`: multiply-adds (enough of them in flight), or
/// loads (a vector of the second operand each, half a cycle per broadcast row).
inline double step_cycles(int64_t rows, int64_t vectors, int fmas) {
  return std::max({static_cast<double>(rows * vectors) / fmas, in_flight(fmas) / fmas,
                   static_cast<double>(vectors) / fmas + 0.5 * static_cast<double>(rows)});
}

/// The same for a whole extent cut into tiles, remainders included.
inline double tiled_cycles(int64_t row_extent, int64_t vector_extent, int64_t rows, int64_t vectors, int fmas) {
  double total = 0;
  for (int64_t v = 0; v < vector_extent; v += vectors) {
    const int64_t nv = std::min(vectors, vector_extent - v);
    total += static_cast<double>(row_extent / rows) * step_cycles(rows, nv, fmas);
    if (row_extent % rows != 0) total += step_cycles(row_extent % rows, nv, fmas);
  }
  return total;
}

}  // namespace rooftune::kernel
