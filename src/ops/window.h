// The sliding window that convolutions and pools share: kernel, strides, dilations, padding (explicit or automatic),
// rounding of the output extent; and the stage conditions that keep a window inside its input.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "kernel/kernel.h"

namespace rooftune::ops {

struct Window {
  std::vector<int64_t> kernel, strides, dilations, begin, end;  // one per spatial axis; begin/end: padding
  std::string auto_pad = "NOTSET";
  bool ceil_mode = false;

  size_t rank() const { return kernel.size(); }
  /// Elements that the dilated window spans on axis i.
  int64_t span(size_t i) const { return (kernel[i] - 1) * dilations[i] + 1; }
  /// Elements in one window.
  int64_t volume() const;
  /// Output extent for an input extent; symbolic extents allowed.
  ir::Dim output(size_t i, const ir::Dim& input) const;
  /// Output extents for static inputs; also turns auto_pad SAME_* and VALID into begin and end.
  std::vector<int64_t> resolve(const std::vector<int64_t>& input);
};

/// Reads strides, dilations, pads, auto_pad, ceil_mode of `node` for a `kernel` of known extents. InputError naming the
/// node where a list has a wrong length or a value is out of range.
Window read_window(const ir::Node& node, std::vector<int64_t> kernel);

/// The input coordinate of window point `offset` at output point `position` on spatial axis `i`. Conditions that skip
/// points in the padding, where there can be such points, become conditions of the stage. But where some window lies
/// wholly in the padding they are given in `load_where`: a stage writes no point all of whose summands it skips.
kernel::Index window_coordinate(kernel::StageBuilder& stage, const Window& window, size_t i,
                                const kernel::Index& position, const kernel::Index& offset, int64_t input,
                                int64_t output, std::vector<kernel::Index>& load_where);

/// Axes of a stage by their usual names: "x"; "y", "x"; "z", "y", "x" (and with an "f" before them in the window).
std::vector<kernel::Axis> spatial_axes(const std::vector<int64_t>& extents, const std::string& prefix = "");

}  // namespace rooftune::ops
