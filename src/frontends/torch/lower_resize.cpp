// Resizing images and sampling them at given places.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

std::string_view input_name(const Context& c) { return c.has("self") ? "self" : "input"; }

/// The factors that were given, by list or per axis; empty where the size alone decides.
std::vector<float> given_factors(Context& c, size_t dims) {
  std::vector<float> factors;
  if (c.has("scale_factors")) {
    const auto* list = std::get_if<std::vector<Number>>(&c.argument("scale_factors"));
    if (list == nullptr || list->size() != dims) c.fail(fmt::format("scale_factors must be {} numbers", dims));
    for (const Number& n : *list) factors.push_back(static_cast<float>(n.real));
    return factors;
  }
  constexpr std::string_view kNames[] = {"scales_d", "scales_h", "scales_w"};
  for (size_t i = 0; i < dims; ++i) {
    std::string_view name = kNames[3 - dims + i];
    if (dims == 1) name = "scales";
    if (c.has(name)) factors.push_back(static_cast<float>(c.real(name, 1)));
  }
  if (factors.size() != dims) factors.clear();
  return factors;
}

Lowering resize(size_t dims, const Attributes& fixed) {
  return [dims, fixed](Context& c) {
    const std::string_view name = input_name(c);
    const ValueId x = c.tensor(name);
    const ir::Shape &from = c.shape_of_argument(name), &to = c.result().shape;
    if (from.size() != dims + 2) c.fail(fmt::format("the input must have rank {}", dims + 2));
    Attributes attributes = fixed;
    if (c.flag("align_corners", false)) attributes["coordinate_transformation_mode"] = std::string("align_corners");
    const std::vector<float> factors = given_factors(c, dims);
    if (!factors.empty()) {
      std::vector<float> scales(2, 1.0F);
      scales.insert(scales.end(), factors.begin(), factors.end());
      const auto rank = static_cast<int64_t>(scales.size());
      const ValueId all = c.constant(ir::Tensor::of<float>(DType::f32, {rank}, scales));
      return c.give(c.op("Resize", {x, kNone, all}, std::move(attributes)));
    }
    std::vector<Size> sizes = c.Builder::shape_of(x);
    sizes.erase(sizes.begin() + 2, sizes.end());
    std::vector<Size> wanted;
    if (!ir::is_static(to)) wanted = c.sizes("output_size");
    for (size_t i = 0; i < dims; ++i) sizes.push_back(to[i + 2].is_static() ? Size(to[i + 2].value()) : wanted.at(i));
    c.give(c.op("Resize", {x, kNone, kNone, c.Builder::sizes(sizes)}, std::move(attributes)));
  };
}

void grid_sample(Context& c) {
  constexpr std::string_view kModes[] = {"linear", "nearest", "cubic"}, kPadding[] = {"zeros", "border", "reflection"};
  const int64_t mode = c.integer("interpolation_mode"), padding = c.integer("padding_mode");
  if (mode < 0 || mode > 2 || padding < 0 || padding > 2) c.fail("interpolation_mode or padding_mode is out of range");
  c.give(c.op("GridSample", {c.tensor("input"), c.tensor("grid")},
              {{"mode", std::string(kModes[mode])},
               {"padding_mode", std::string(kPadding[padding])},
               {"align_corners", int64_t{c.flag("align_corners", false)}}}));
}

void affine_grid(Context& c) {
  const ValueId theta = c.tensor("theta");
  c.give(c.op("AffineGrid", {theta, c.Builder::sizes(c.sizes("size"))},
              {{"align_corners", int64_t{c.flag("align_corners", false)}}}));
}

}  // namespace

void register_resize(Lowerings& t) {
  const auto modes = [](const char* mode, const char* coordinates) {
    return Attributes{{"mode", std::string(mode)}, {"coordinate_transformation_mode", std::string(coordinates)}};
  };
  Attributes nearest = modes("nearest", "asymmetric"), exact = modes("nearest", "half_pixel");
  nearest["nearest_mode"] = std::string("floor");
  exact["nearest_mode"] = std::string("round_prefer_ceil");
  const Attributes linear = modes("linear", "half_pixel");
  Attributes cubic = modes("cubic", "half_pixel");
  cubic["cubic_coeff_a"] = -0.75F;
  const auto add = [&](const std::string& target, size_t dims, const Attributes& attributes) {
    for (const char* overload : {"default", "vec"})
      t.add(fmt::format("aten.{}.{}", target, overload), resize(dims, attributes));
  };
  for (size_t dims = 1; dims <= 3; ++dims) {
    add(fmt::format("upsample_nearest{}d", dims), dims, nearest);
    add(fmt::format("_upsample_nearest_exact{}d", dims), dims, exact);
  }
  add("upsample_linear1d", 1, linear);
  add("upsample_bilinear2d", 2, linear);
  add("upsample_trilinear3d", 3, linear);
  add("upsample_bicubic2d", 2, cubic);
  Attributes smooth = linear, smooth_cubic = cubic;
  smooth["antialias"] = smooth_cubic["antialias"] = int64_t{1};
  smooth["exclude_outside"] = smooth_cubic["exclude_outside"] = int64_t{1};
  smooth_cubic["cubic_coeff_a"] = -0.5F;
  add("_upsample_bilinear2d_aa", 2, smooth);
  add("_upsample_bicubic2d_aa", 2, smooth_cubic);
  t.add({"aten.grid_sampler.default", "aten.grid_sampler_2d.default", "aten.grid_sampler_3d.default"}, grid_sample);
  t.add("aten.affine_grid_generator.default", affine_grid);
}

}  // namespace rooftune::frontends::torch_format
