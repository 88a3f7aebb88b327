#include "ops/interpolation.h"

#include <numeric>

#include "ops/common.h"

namespace rooftune::ops {
namespace {

void check_one_of(const Node& node, const char* key, const std::string& value,
                  std::initializer_list<const char*> allowed) {
  for (const char* a : allowed) {
    if (value == a) return;
  }
  fail(node, fmt::format("{} is '{}', must be one of {}", key, value, fmt::join(allowed, ", ")));
}

/// Keys' cubic kernel at distance x.
float cubic_kernel(float x, float a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

std::vector<Tap> linear_taps(float x, int64_t input) {
  x = std::clamp(x, 0.0F, static_cast<float>(input - 1));
  const int64_t first = std::min(static_cast<int64_t>(x), input - 1), second = std::min(first + 1, input - 1);
  const float part = x - static_cast<float>(first);
  if (first == second) return {{first, 1}};
  return {{first, 1 - part}, {second, part}};
}

/// Taps at integer positions [first, last], weighted by `kernel`. Positions outside the input are left out, the rest
/// being scaled to sum 1, or take the value at the border.
template <typename F>
std::vector<Tap> kernel_taps(int64_t first, int64_t last, int64_t input, bool exclude_outside, bool normalise,
                             F&& kernel) {
  std::vector<Tap> taps;
  float total = 0;
  for (int64_t p = first; p <= last; ++p) {
    const float weight = kernel(p);
    const int64_t inside = std::clamp<int64_t>(p, 0, input - 1);
    if (weight == 0 || (exclude_outside && inside != p)) continue;
    total += weight;
    if (!taps.empty() && taps.back().position == inside) taps.back().weight += weight;
    else taps.push_back({inside, weight});
  }
  if (normalise || exclude_outside) {
    for (Tap& t : taps) t.weight /= total;
  }
  return taps;
}

}  // namespace

ResizeMode read_resize_mode(const Node& node) {
  ResizeMode m;
  m.mode = node.attr_string("mode", "nearest");
  if (m.mode == "bilinear" || m.mode == "trilinear") m.mode = "linear";
  m.coordinates = node.attr_string("coordinate_transformation_mode", "half_pixel");
  m.nearest = node.attr_string("nearest_mode", "round_prefer_floor");
  m.policy = node.attr_string("keep_aspect_ratio_policy", "stretch");
  m.cubic_a = node.attr_float("cubic_coeff_a", -0.75F);
  m.extrapolation = node.attr_float("extrapolation_value", 0);
  m.antialias = node.attr_int("antialias", 0) != 0;
  m.exclude_outside = node.attr_int("exclude_outside", 0) != 0;
  check_one_of(node, "mode", m.mode, {"nearest", "linear", "cubic"});
  check_one_of(node, "coordinate_transformation_mode", m.coordinates,
               {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
                "tf_crop_and_resize"});
  check_one_of(node, "nearest_mode", m.nearest, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
  check_one_of(node, "keep_aspect_ratio_policy", m.policy, {"stretch", "not_larger", "not_smaller"});
  return m;
}

float original_coordinate(const ResizeMode& mode, const ResizeAxis& axis, int64_t at) {
  const auto x = static_cast<float>(at), input = static_cast<float>(axis.input),
             output = static_cast<float>(axis.output);
  const std::string& c = mode.coordinates;
  if (c == "tf_crop_and_resize") {
    if (axis.output == 1) return 0.5F * (axis.roi_start + axis.roi_end) * (input - 1);
    return axis.roi_start * (input - 1) + x * (axis.roi_end - axis.roi_start) * (input - 1) / (output - 1);
  }
  if (axis.scale == 1 && axis.input == axis.output) return x;
  if (c == "asymmetric") return x / axis.scale;
  if (c == "align_corners") return axis.output == 1 ? 0 : x * (input - 1) / (output - 1);
  if (c == "pytorch_half_pixel" && axis.output == 1) return 0;
  if (c != "half_pixel_symmetric") return (x + 0.5F) / axis.scale - 0.5F;
  const float adjustment = output / (axis.scale * input);
  return input / 2 * (1 - adjustment) + (x + 0.5F) / axis.scale - 0.5F;
}

std::vector<int64_t> nearest_positions(const ResizeMode& mode, const ResizeAxis& axis) {
  std::vector<int64_t> positions;
  for (int64_t o = 0; o < axis.output; ++o) {
    const float x = original_coordinate(mode, axis, o);
    if (mode.coordinates == "tf_crop_and_resize" && (x < 0 || x > static_cast<float>(axis.input - 1))) {
      positions.push_back(-1);
      continue;
    }
    float nearest = std::floor(x);
    if (mode.nearest == "ceil") nearest = std::ceil(x);
    else if (mode.nearest == "round_prefer_ceil") nearest = std::round(x);
    else if (mode.nearest == "round_prefer_floor") nearest = x - nearest == 0.5F ? nearest : std::round(x);
    positions.push_back(std::clamp<int64_t>(static_cast<int64_t>(nearest), 0, axis.input - 1));
  }
  return positions;
}

std::vector<std::vector<Tap>> interpolation_taps(const ResizeMode& mode, const ResizeAxis& axis) {
  std::vector<std::vector<Tap>> all;
  const bool linear = mode.mode == "linear";
  const float shrink = mode.antialias ? std::max(1.0F, 1 / axis.scale) : 1;
  for (int64_t o = 0; o < axis.output; ++o) {
    const float x = original_coordinate(mode, axis, o);
    if (mode.coordinates == "tf_crop_and_resize" && (x < 0 || x > static_cast<float>(axis.input - 1))) {
      all.emplace_back();
    } else if (mode.antialias) {
      const float support = (linear ? 1.0F : 2.0F) * shrink, center = x + 0.5F;
      const auto first = static_cast<int64_t>(std::floor(center - support + 0.5F)),
                 end = static_cast<int64_t>(std::floor(center + support + 0.5F));
      all.push_back(kernel_taps(first, end - 1, axis.input, mode.exclude_outside, true, [&](int64_t p) {
        const float distance = (static_cast<float>(p) - center + 0.5F) / shrink;
        return linear ? std::max(0.0F, 1 - std::fabs(distance)) : cubic_kernel(distance, mode.cubic_a);
      }));
    } else if (linear) {
      all.push_back(linear_taps(x, axis.input));
    } else {
      const auto base = static_cast<int64_t>(std::floor(x));
      all.push_back(kernel_taps(base - 1, base + 2, axis.input, mode.exclude_outside, false,
                                [&](int64_t p) { return cubic_kernel(x - static_cast<float>(p), mode.cubic_a); }));
    }
  }
  return all;
}

std::optional<AffineMap> affine_form(const std::vector<int64_t>& positions, const ResizeAxis& axis) {
  const int64_t common = std::gcd(axis.input, axis.output);
  // Half-pixel coordinates have twice the denominator; the offset is found by trying.
  for (const int64_t doubled : {1, 2}) {
    AffineMap map{doubled * axis.input / common, 0, doubled * axis.output / common};
    if (map.divisor > 4096) return std::nullopt;
    for (map.offset = -map.divisor; map.offset < map.factor + map.divisor; ++map.offset) {
      bool fits = true;
      for (size_t o = 0; fits && o < positions.size(); ++o) {
        const int64_t value = map.factor * static_cast<int64_t>(o) + map.offset;
        fits = positions[o] == (value >= 0 ? value / map.divisor : -((-value + map.divisor - 1) / map.divisor));
      }
      if (fits) return map;
    }
  }
  return std::nullopt;
}

std::optional<AffineMap> coordinate_form(const ResizeMode& mode, const ResizeAxis& axis) {
  const int64_t in = axis.input, out = axis.output;
  if (mode.coordinates == "align_corners") return out == 1 ? AffineMap{0, 0, 1} : AffineMap{in - 1, 0, out - 1};
  if (std::fabs(axis.scale * static_cast<float>(in) - static_cast<float>(out)) > 1e-4F) return std::nullopt;  // rounded
  if (mode.coordinates == "asymmetric") return AffineMap{in, 0, out};
  if (mode.coordinates == "tf_crop_and_resize") return std::nullopt;
  if (mode.coordinates == "pytorch_half_pixel" && out == 1) return AffineMap{0, 0, 1};
  return AffineMap{2 * in, in - out, 2 * out};
}

}  // namespace rooftune::ops
