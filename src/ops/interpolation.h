// How each output position of a resized axis is made of input positions: the part of Resize that is arithmetic on
// coordinates, axis by axis, since all its modes are separable.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/op.h"

namespace rooftune::ops {

/// One weighted input position of an output position.
struct Tap {
  int64_t position = 0;
  float weight = 1;
};

/// One axis of a Resize.
struct ResizeAxis {
  int64_t input = 1, output = 1;
  float scale = 1;                   // output / input as the model says it (output is rounded)
  float roi_start = 0, roi_end = 1;  // of tf_crop_and_resize
};

struct ResizeMode {
  std::string mode, coordinates, nearest, policy;
  float cubic_a = -0.75F, extrapolation = 0;
  bool antialias = false, exclude_outside = false;
};

/// Reads the attributes of Resize; InputError naming the node where one has no meaning.
ResizeMode read_resize_mode(const ir::Node& node);

/// The input coordinate of output position `at`.
float original_coordinate(const ResizeMode& mode, const ResizeAxis& axis, int64_t at);
/// The input position of each output position in mode nearest; -1 where the value is the extrapolation value.
std::vector<int64_t> nearest_positions(const ResizeMode& mode, const ResizeAxis& axis);
/// The taps of each output position in modes linear and cubic; none where the value is the extrapolation value.
std::vector<std::vector<Tap>> interpolation_taps(const ResizeMode& mode, const ResizeAxis& axis);

/// position = floor(factor · output + offset) / divisor) as integers.
struct AffineMap {
  int64_t factor = 1, offset = 0, divisor = 1;
};
/// The integer form of a list of positions, where there is one.
std::optional<AffineMap> affine_form(const std::vector<int64_t>& positions, const ResizeAxis& axis);
/// The input coordinate as the fraction (factor · output + offset) / divisor, where the mode is exactly that.
std::optional<AffineMap> coordinate_form(const ResizeMode& mode, const ResizeAxis& axis);

}  // namespace rooftune::ops
