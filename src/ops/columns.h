// Convolution as a matrix product over unfolded windows ("im2col"), some output rows at a time so that the unfolded
// matrix stays in cache. Behind the references of Conv, ConvInteger and QLinearConv; and its adjoint, behind
// ConvTranspose and Col2Im.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/window.h"

namespace rooftune::ops {

struct ConvSizes {
  int64_t images = 0, groups = 1, in_channels = 0, out_channels = 0;
  std::vector<int64_t> input, output;  // spatial extents
  Window window;                       // resolved
};

/// out[n,o,…] = bias[o] + Σ x[n,c,…] · w[o,c,…]; dense row-major; bias may be null. For float, double, uint32_t.
template <typename T>
void convolve(const ConvSizes& sizes, const T* x, const T* w, const T* bias, T* out);

/// The adjoint of unfolding: adds a plane of values, one for each window position (extents `input`), to the image
/// (extents `output`) where window point `point` of that position lies; what lies in the padding is dropped. For float
/// and double.
template <typename T>
void fold(const Window& window, const std::vector<int64_t>& input, const std::vector<int64_t>& output,
          const std::vector<int64_t>& point, const T* from, T* to);

}  // namespace rooftune::ops
