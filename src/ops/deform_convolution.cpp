// DeformConv: a convolution in two spatial dims whose every window point is moved by an offset that is data, and read
// between pixels linearly; 0 outside.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/window.h"

namespace rooftune::ops {
namespace {

enum Input { kX, kWeights, kOffsets, kBias, kMask };

struct DeformSizes {
  int64_t group = 1, offset_group = 1;
  Window window;
};

DeformSizes deform_sizes(const Node& node, const std::vector<int64_t>& x, const std::vector<int64_t>& w) {
  DeformSizes s{node.attr_int("group", 1), node.attr_int("offset_group", 1), read_window(node, {w[2], w[3]})};
  if (s.group < 1 || s.offset_group < 1 || x[1] != w[1] * s.group || w[0] % s.group != 0 || x[1] % s.offset_group != 0)
    fail(node, fmt::format("X [{}] and W [{}] do not fit group {} and offset_group {}", fmt::join(x, ","),
                           fmt::join(w, ","), s.group, s.offset_group));
  return s;
}

void infer_deform(InferContext& ctx) {
  const DType dtype = require_same(ctx, kX, kMask, kFloats);
  for (int i : {kX, kWeights, kOffsets, kMask})
    if (ctx.has_input(i)) require_rank(ctx, i, 4, 4);
  const bool known = ctx.has_shape(kX) && ctx.has_shape(kWeights) && ir::is_static(ctx.shape(kX)) &&
                     ir::is_static(ctx.shape(kWeights));
  if (!known) return ctx.set_output(0, dtype, unknown_shape(ctx, 0, 4));
  const std::vector<int64_t> x = ir::static_values(ctx.shape(kX)), w = ir::static_values(ctx.shape(kWeights));
  DeformSizes s = deform_sizes(ctx.node(), x, w);
  const std::vector<int64_t> out = s.window.resolve({x[2], x[3]});
  const int64_t points = s.offset_group * w[2] * w[3];
  require_shape(ctx, kOffsets, "offset", {x[0], 2 * points, out[0], out[1]});
  require_shape(ctx, kMask, "mask", {x[0], points, out[0], out[1]});
  require_shape(ctx, kBias, "B", {w[0]});
  ctx.set_output(0, dtype, {x[0], w[0], out[0], out[1]});
}

/// The plane [height, width] at a point between its pixels.
template <typename T>
double between(const T* plane, int64_t height, int64_t width, double y, double x) {
  if (!(y > -1 && x > -1 && y < static_cast<double>(height) && x < static_cast<double>(width))) return 0;
  const auto top = static_cast<int64_t>(std::floor(y)), left = static_cast<int64_t>(std::floor(x));
  const double down = y - static_cast<double>(top), right = x - static_cast<double>(left);
  const auto at = [&](int64_t r, int64_t c) {
    return r < 0 || c < 0 || r >= height || c >= width ? 0.0 : static_cast<double>(plane[r * width + c]);
  };
  return (1 - down) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
         down * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1));
}

/// The moved window's pixels at one output point: [channels, kernel], each times its mask.
template <typename T>
void gather_window(const EvalContext& ctx, const DeformSizes& s, const std::vector<int64_t>& out, int64_t n, int64_t oy,
                   int64_t ox, std::vector<double>& pixels) {
  const Tensor& x = ctx.input(kX);
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), kw = s.window.kernel[1],
                kernel = s.window.kernel[0] * kw, places = out[0] * out[1], place = oy * out[1] + ox;
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t og = c / (channels / s.offset_group);
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t point = (n * s.offset_group + og) * kernel + k;
      const T* offset = ctx.input(kOffsets).data<T>() + 2 * point * places + place;
      const double y = static_cast<double>(oy * s.window.strides[0] - s.window.begin[0] +
                                           k / kw * s.window.dilations[0]) +
                       static_cast<double>(offset[0]),
                   at = static_cast<double>(ox * s.window.strides[1] - s.window.begin[1] +
                                            k % kw * s.window.dilations[1]) +
                        static_cast<double>(offset[places]);
      const double mask = ctx.has_input(kMask) ? ctx.input(kMask).data<T>()[point * places + place] : 1;
      pixels[static_cast<size_t>(c * kernel + k)] =
          mask * between(x.data<T>() + (n * channels + c) * height * width, height, width, y, at);
    }
  }
}

void evaluate_deform(EvalContext& ctx) {
  const Tensor &x = ctx.input(kX), &w = ctx.input(kWeights);
  DeformSizes s = deform_sizes(ctx.node(), x.shape(), w.shape());
  const std::vector<int64_t> out = s.window.resolve({x.dim(2), x.dim(3)});
  const int64_t places = out[0] * out[1], kernel = w.dim(2) * w.dim(3), filters = w.dim(0);
  const int64_t run = w.dim(1) * kernel, points = x.dim(0) * s.offset_group * kernel * places;
  if (ctx.input(kOffsets).size() != 2 * points || (ctx.has_input(kMask) && ctx.input(kMask).size() != points))
    ctx.fail("offset or mask has not the size that the output asks for");
  if (ctx.has_input(kBias) && ctx.input(kBias).size() != filters)
    ctx.fail(fmt::format("B has {} elements, but there are {} filters", ctx.input(kBias).size(), filters));
  Tensor y(x.dtype(), {x.dim(0), filters, out[0], out[1]});
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> pixels(static_cast<size_t>(x.dim(1) * kernel));
    for (int64_t n = 0; n < x.dim(0); ++n) {
      for (int64_t place = 0; place < places; ++place) {
        gather_window<T>(ctx, s, out, n, place / out[1], place % out[1], pixels);
        for (int64_t f = 0; f < filters; ++f) {
          const int64_t first = f / (filters / s.group) * run;
          double sum = ctx.has_input(kBias) ? ctx.input(kBias).data<T>()[f] : 0;
          for (int64_t i = 0; i < run; ++i)
            sum += pixels[static_cast<size_t>(first + i)] * static_cast<double>(w.data<T>()[f * run + i]);
          y.data<T>()[(n * filters + f) * places + place] = static_cast<T>(sum);
        }
      }
    }
  });
  ctx.set_output(0, std::move(y));
}

Cost cost_deform(const CostContext& ctx) {
  const std::vector<int64_t> w = ir::static_values(ctx.input(kWeights).shape());
  return {2 * static_cast<double>(elements(ctx.output(0))) * static_cast<double>(w[1] * w[2] * w[3]) +
              7 * static_cast<double>(elements(ctx.input(kOffsets))),
          bytes_touched(ctx)};
}

}  // namespace

void register_deform_convolution(Catalogue& c) {
  c.add({.name = "DeformConv",
         .since_version = 19,
         .min_inputs = 3,
         .max_inputs = 5,
         .infer = infer_deform,
         .cost = cost_deform,
         .evaluate = widened(evaluate_deform)});
}

}  // namespace rooftune::ops
