#include "ops/window.h"

#include "ops/cells.h"
#include "ops/common.h"

namespace rooftune::ops {

using ir::Dim;
using kernel::Index;

int64_t Window::volume() const { return product(kernel); }

Dim Window::output(size_t i, const Dim& input) const {
  const Dim stride = strides[i];
  if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") return ceildiv(input, stride);
  const Dim slack = input + Dim(begin[i] + end[i] - span(i));
  if (!ceil_mode) return floordiv(slack, stride) + 1;
  // A window may not start in the padding behind the input.
  return min(ceildiv(slack, stride) + 1, ceildiv(input + begin[i], stride));
}

std::vector<int64_t> Window::resolve(const std::vector<int64_t>& input) {
  std::vector<int64_t> out;
  for (size_t i = 0; i < rank(); ++i) {
    out.push_back(output(i, input[i]).value());
    if (auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER") continue;
    const int64_t total = std::max<int64_t>(0, (out[i] - 1) * strides[i] + span(i) - input[i]);
    begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
    end[i] = total - begin[i];
  }
  return out;
}

/// Of an extent, stride, dilation or pad: products of two can be computed with.
constexpr int64_t kMost = int64_t{1} << 31;

Window read_window(const ir::Node& node, std::vector<int64_t> kernel) {
  const size_t rank = kernel.size();
  auto list = [&](const char* key, size_t length, int64_t otherwise, int64_t smallest) {
    std::vector<int64_t> v = node.attr_ints(key, std::vector<int64_t>(length, otherwise));
    if (v.size() != length)
      fail(node, fmt::format("attribute '{}' has {} values, must have {}", key, v.size(), length));
    for (int64_t x : v) {
      if (x < smallest || x > kMost)
        fail(node, fmt::format("attribute '{}' holds {}, must be {} to {}", key, x, smallest, kMost));
    }
    return v;
  };
  double volume = 1;
  for (int64_t k : kernel) {
    if (k < 1 || k > kMost) fail(node, fmt::format("a kernel extent is {}, must be 1 to {}", k, kMost));
    volume *= static_cast<double>(k);
  }
  if (volume > kMostElements)
    fail(node, fmt::format("the kernel [{}] has more elements than any tensor", fmt::join(kernel, ",")));
  Window w;
  w.strides = list("strides", rank, 1, 1);
  w.dilations = list("dilations", rank, 1, 1);
  w.auto_pad = node.attr_string("auto_pad", "NOTSET");
  if (w.auto_pad.empty()) w.auto_pad = "NOTSET";
  if (w.auto_pad != "NOTSET" && w.auto_pad != "VALID" && w.auto_pad != "SAME_UPPER" && w.auto_pad != "SAME_LOWER") {
    fail(node, "auto_pad '" + w.auto_pad + "', must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  }
  const std::vector<int64_t> pads =
      w.auto_pad == "NOTSET" ? list("pads", 2 * rank, 0, 0) : std::vector<int64_t>(2 * rank, 0);
  w.begin.assign(pads.begin(), pads.begin() + static_cast<int64_t>(rank));
  w.end.assign(pads.begin() + static_cast<int64_t>(rank), pads.end());
  w.ceil_mode = node.attr_int("ceil_mode", 0) != 0;
  w.kernel = std::move(kernel);
  return w;
}

Index window_coordinate(kernel::StageBuilder& stage, const Window& w, size_t i, const Index& position,
                        const Index& offset, int64_t input, int64_t output, std::vector<Index>& load_where) {
  const Index at = position * w.strides[i] + offset * w.dilations[i] - w.begin[i];
  std::vector<Index> inside;
  if (w.begin[i] > 0) inside.push_back(at);
  // Also where this extent happens to need no padding at its end: kernels of other extents must look alike.
  if (w.end[i] > 0 || w.ceil_mode) inside.push_back(Index(input - 1) - at);
  bool always = true;  // every window holds an input element
  for (int64_t o = 0; o < output && always; ++o) {
    always = false;
    for (int64_t k = 0; k < w.kernel[i] && !always; ++k) {
      const int64_t x = o * w.strides[i] + k * w.dilations[i] - w.begin[i];
      always = x >= 0 && x < input;
    }
  }
  if (!always) load_where.insert(load_where.end(), inside.begin(), inside.end());
  for (const Index& condition : inside) {
    if (always) stage.where(condition);
  }
  return at;
}

std::vector<kernel::Axis> spatial_axes(const std::vector<int64_t>& extents, const std::string& prefix) {
  static const char* const names[] = {"z", "y", "x"};
  std::vector<kernel::Axis> axes;
  for (size_t i = 0; i < extents.size(); ++i) {
    const std::string name = extents.size() <= 3 ? names[3 - extents.size() + i] : fmt::format("s{}", i);
    axes.push_back({prefix + name, extents[i]});
  }
  return axes;
}

}  // namespace rooftune::ops
