// Moving elements without looking at them: Transpose, Slice, Gather and their kin only decide which element goes where,
// so they work on "cells" of bytes whatever the element type. Strings and packed 4-bit elements have no address of
// their own; for them the positions are moved (as i64 cells) and the elements fetched at the end.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ir/tensor.h"

namespace rooftune::ops {

struct Moving {
  std::vector<const uint8_t*> sources;  // one per input, dense row-major
  size_t cell = 0;                      // bytes of one element
  uint8_t* target = nullptr;            // dense row-major, not initialised
};

/// A tensor of `shape` whose elements all come from `inputs` (of one dtype; each at least a scalar), as `body` moves
/// them. `body` must write every cell.
ir::Tensor rearrange(const std::vector<const ir::Tensor*>& inputs, std::vector<int64_t> shape,
                     const std::function<void(const Moving&)>& body);

/// target[i0, i1, …] = source[Σ i · stride]; strides in cells, may be 0 (broadcast) or negative.
void copy_strided(const uint8_t* source, size_t cell, uint8_t* target, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides);

/// target[i0, i1, …] = source[maps[0][i0], maps[1][i1], …], or `fill` (one cell) where a map says -1.
void copy_grid(const uint8_t* source, size_t cell, uint8_t* target, const std::vector<int64_t>& source_shape,
               const std::vector<std::vector<int64_t>>& maps, const uint8_t* fill = nullptr);

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape);
int64_t product(std::span<const int64_t> values);
/// 0, 1, …, n-1.
std::vector<int64_t> iota(int64_t n);

/// Steps `index` to the next point of `shape` in row-major order; false after the last one.
bool next_index(std::vector<int64_t>& index, const std::vector<int64_t>& shape);

}  // namespace rooftune::ops
