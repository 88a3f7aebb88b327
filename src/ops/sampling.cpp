// Sampling images at given places and folding columns back: GridSample, AffineGrid, Col2Im.
#include "ops/cells.h"
#include "ops/columns.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

// --- GridSample

enum class Outside { zeros, border, reflection };

struct Sampler {
  std::string mode;  // nearest, linear, cubic
  Outside outside = Outside::zeros;
  bool align = false;
};

Sampler read_sampler(const Node& node) {
  Sampler s;
  s.mode = node.attr_string("mode", node.since_version >= 20 ? "linear" : "bilinear");
  if (s.mode == "bilinear") s.mode = "linear";
  if (s.mode == "bicubic") s.mode = "cubic";
  if (s.mode != "nearest" && s.mode != "linear" && s.mode != "cubic")
    fail(node, "mode '" + s.mode + "', must be nearest, linear (bilinear) or cubic (bicubic)");
  const std::string padding = node.attr_string("padding_mode", "zeros");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    fail(node, "padding_mode '" + padding + "', must be zeros, border or reflection");
  s.outside = padding == "zeros" ? Outside::zeros : padding == "border" ? Outside::border : Outside::reflection;
  s.align = node.attr_int("align_corners", 0) != 0;
  return s;
}

void infer_grid_sample(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require(ctx, 1, kFloats);
  const Sampler s = read_sampler(ctx.node());
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape &x = ctx.shape(0), &grid = ctx.shape(1);
  if (x.size() < 3 || grid.size() != x.size() || !may_equal(grid.back(), static_cast<int64_t>(x.size()) - 2)) {
    ctx.fail(fmt::format("X {} and grid {} do not fit: the grid must be [N,…,{}]", to_string(x), to_string(grid),
                         x.size() - 2));
  }
  if (s.mode == "cubic" && x.size() != 4) ctx.fail("mode cubic needs two spatial dims");
  Shape shape = {x[0], x[1]};
  shape.insert(shape.end(), grid.begin() + 1, grid.end() - 1);
  ctx.set_output(0, dtype, std::move(shape));
}

/// A coordinate mirrored at the borders [low, high].
template <typename T>
T reflected(T x, T low, T high) {
  const T range = high - low;
  if (range <= 0) return low;
  const T away = x < low ? low - x : x > high ? x - high : T{-1};
  if (away < 0) return x;
  const auto turns = static_cast<int64_t>(away / range);
  const T rest = away - static_cast<T>(turns) * range;
  const bool from_low = (x < low) == (turns % 2 == 0);
  return from_low ? low + rest : high - rest;
}

/// What one axis of the image does with coordinates.
template <typename T>
struct SampledAxis {
  int64_t extent;
  const Sampler& sampler;
  T low() const { return sampler.align ? T{0} : T(-0.5); }
  T high() const { return sampler.align ? static_cast<T>(extent - 1) : static_cast<T>(extent) - T(0.5); }

  T coordinate(T g) const {
    const auto n = static_cast<T>(extent);
    return sampler.align ? (g + 1) / 2 * (n - 1) : ((g + 1) * n - 1) / 2;
  }
  /// The position that a pixel stands for; -1: it reads as 0.
  int64_t pixel(int64_t p) const {
    if (p >= 0 && p < extent) return p;
    if (sampler.outside == Outside::zeros) return -1;
    if (sampler.outside == Outside::border) return std::clamp<int64_t>(p, 0, extent - 1);
    return std::clamp<int64_t>(static_cast<int64_t>(reflected(static_cast<T>(p), low(), high())), 0, extent - 1);
  }
};

template <typename T>
struct AxisTaps {
  int count = 0;
  int64_t position[4];
  T weight[4];
};

template <typename T>
AxisTaps<T> axis_taps(const SampledAxis<T>& axis, T g) {
  AxisTaps<T> taps;
  auto add = [&](int64_t p, T weight) {
    taps.position[taps.count] = axis.pixel(p);
    taps.weight[taps.count++] = weight;
  };
  const T x = axis.coordinate(g);
  if (!(std::fabs(x) < T(1e15))) {  // infinite or no number
    add(-1, 0);
    return taps;
  }
  if (axis.sampler.mode == "nearest") {
    add(static_cast<int64_t>(std::nearbyint(x)), 1);
    return taps;
  }
  const T floor = std::floor(x), part = x - floor;
  const auto first = static_cast<int64_t>(floor);
  if (axis.sampler.mode == "linear") {
    add(first, 1 - part);
    add(first + 1, part);
    return taps;
  }
  constexpr T a = T(-0.75);
  auto far = [&](T d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  auto near = [&](T d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  add(first - 1, far(part + 1));
  add(first, near(part));
  add(first + 1, near(1 - part));
  add(first + 2, far(2 - part));
  return taps;
}

template <typename T>
T sample(const T* plane, const std::vector<AxisTaps<T>>& taps, const std::vector<int64_t>& extents, size_t axis,
         int64_t offset) {
  if (axis == taps.size()) return plane[offset];
  T sum = 0;
  for (int i = 0; i < taps[axis].count; ++i) {
    const int64_t p = taps[axis].position[i];
    if (p >= 0) sum += taps[axis].weight[i] * sample(plane, taps, extents, axis + 1, offset * extents[axis] + p);
  }
  return sum;
}

template <typename T>
void grid_sample(const Sampler& sampler, const Tensor& x, const Tensor& grid, Tensor& out) {
  const std::vector<int64_t> extents(x.shape().begin() + 2, x.shape().end());
  const size_t rank = extents.size();
  const int64_t plane = product(extents), channels = x.dim(1),
                points = out.dim(0) * channels == 0 ? 0 : out.size() / (out.dim(0) * channels);
  std::vector<AxisTaps<T>> taps(rank);
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t p = 0; p < points; ++p) {
      const T* at = grid.data<T>() + (n * points + p) * static_cast<int64_t>(rank);
      for (size_t i = 0; i < rank; ++i)
        taps[i] = axis_taps<T>({extents[i], sampler}, at[rank - 1 - i]);  // the grid names the last axis first
      for (int64_t c = 0; c < channels; ++c) {
        out.data<T>()[(n * channels + c) * points + p] =
            sample(x.data<T>() + (n * channels + c) * plane, taps, extents, 0, 0);
      }
    }
  }
}

void evaluate_grid_sample(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const Tensor grid = convert(ctx.input(1), x.dtype());
  if (grid.dim(0) != x.dim(0)) ctx.fail("X and grid have different batch sizes");
  std::vector<int64_t> shape = {x.dim(0), x.dim(1)};
  shape.insert(shape.end(), grid.shape().begin() + 1, grid.shape().end() - 1);
  Tensor out(x.dtype(), shape);
  dispatch_float(ctx.node(), x.dtype(),
                 [&](auto tag) { grid_sample<typename decltype(tag)::type>(read_sampler(ctx.node()), x, grid, out); });
  ctx.set_output(0, std::move(out));
}

// --- AffineGrid

void infer_affine_grid(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require(ctx, 1, bit(DType::i64));
  require_rank(ctx, 0, 3, 3);
  const auto size = ctx.ints(1);
  if (!size) return ctx.set_output(0, Type::tensor(dtype));
  if (size->size() != 4 && size->size() != 5)
    ctx.fail(fmt::format("size has {} values, must have 4 or 5", size->size()));
  Shape shape = {(*size)[0]};
  shape.insert(shape.end(), size->begin() + 2, size->end());
  shape.push_back(static_cast<int64_t>(size->size()) - 2);
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_affine_grid(EvalContext& ctx) {
  const Tensor& theta = ctx.input(0);
  const std::vector<int64_t> size = ctx.input(1).as_ints(), extents(size.begin() + 2, size.end());
  const auto rank = static_cast<int64_t>(extents.size());
  if (theta.dim(0) != size[0] || theta.dim(1) != rank || theta.dim(2) != rank + 1)
    ctx.fail(fmt::format("theta must be [{},{},{}]", size[0], rank, rank + 1));
  const bool align = ctx.node().attr_int("align_corners", 0) != 0;
  std::vector<int64_t> shape = {size[0]};
  shape.insert(shape.end(), extents.begin(), extents.end());
  shape.push_back(rank);
  Tensor out(theta.dtype(), shape);
  dispatch_float(ctx.node(), theta.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = out.data<T>();
    for (int64_t n = 0; n < size[0] && out.size() > 0; ++n) {
      const T* matrix = theta.data<T>() + n * rank * (rank + 1);
      std::vector<int64_t> at(extents.size(), 0);
      do {
        for (int64_t r = 0; r < rank; ++r) {
          T sum = matrix[r * (rank + 1) + rank];
          for (int64_t i = 0; i < rank; ++i) {  // the last axis comes first
            const auto axis = static_cast<size_t>(rank - 1 - i);
            const auto p = static_cast<T>(at[axis]), e = static_cast<T>(extents[axis]);
            const T where = align ? (extents[axis] == 1 ? T{0} : 2 * p / (e - 1) - 1) : (2 * p + 1) / e - 1;
            sum += matrix[r * (rank + 1) + i] * where;
          }
          *to++ = sum;
        }
      } while (next_index(at, extents));
    }
  });
  ctx.set_output(0, std::move(out));
}

// --- Col2Im

void infer_col2im(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 3, 3);
  const auto image = ctx.ints(1);
  const auto block = static_ints(ctx, 2);
  if (!image || !ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape = {ctx.shape(0)[0], ctx.unknown_dim(0, 1)};
  if (block) {
    constexpr int64_t kMost = int64_t{1} << 31;
    int64_t volume = 1;
    for (int64_t extent : *block) {
      if (extent < 1 || extent > kMost / volume)
        ctx.fail(fmt::format("a block of [{}] is not possible; it has between 1 and {} elements",
                             fmt::join(*block, ","), kMost));
      volume *= extent;
    }
    if (block->size() != image->size()) ctx.fail("image_shape and block_shape must have the same length");
    if (ctx.shape(0)[1].is_static() && ctx.shape(0)[1].value() % volume != 0)
      ctx.fail(fmt::format("dim 1 of {} must be a multiple of {}", to_string(ctx.shape(0)), volume));
    shape[1] = floordiv(ctx.shape(0)[1], volume);
  }
  shape.insert(shape.end(), image->begin(), image->end());
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_col2im(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> image = ctx.input(1).as_ints();
  Window window = read_window(ctx.node(), ctx.input(2).as_ints());
  if (window.rank() != image.size()) ctx.fail("image_shape and block_shape must have the same length");
  const std::vector<int64_t> positions = window.resolve(image);
  const int64_t volume = window.volume(), channels = x.dim(1) / volume, plane = product(image),
                count = product(positions);
  if (x.dim(1) % volume != 0 || x.dim(2) != count)
    ctx.fail(fmt::format("the input must be [N, C*{}, {}]", volume, count));
  std::vector<int64_t> shape = {x.dim(0), channels};
  shape.insert(shape.end(), image.begin(), image.end());
  Tensor out(x.dtype(), shape);
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::fill_n(out.data<T>(), out.size(), T{0});
    const T* from = x.data<T>();
    for (int64_t i = 0; i < x.dim(0) * channels; ++i) {
      std::vector<int64_t> point(window.rank(), 0);
      do {
        fold(window, positions, image, point, from, out.data<T>() + i * plane);
        from += count;
      } while (next_index(point, window.kernel));
    }
  });
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_sampling(Catalogue& catalogue) {
  catalogue.add({.name = "GridSample",
                 .since_version = 16,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_grid_sample,
                 .cost = cost_per_output(8),
                 .evaluate = widened(evaluate_grid_sample)});
  catalogue.add({.name = "AffineGrid",
                 .since_version = 20,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_affine_grid,
                 .cost = cost_per_output(6),
                 .evaluate = widened(evaluate_affine_grid)});
  catalogue.add({.name = "Col2Im",
                 .since_version = 18,
                 .min_inputs = 3,
                 .max_inputs = 3,
                 .infer = infer_col2im,
                 .cost = cost_per_input(1),
                 .evaluate = widened(evaluate_col2im)});
}

}  // namespace rooftune::ops
