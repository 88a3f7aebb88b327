// What detection heads are made of: NonMaxSuppression, RoiAlign, MaxRoiPool.
#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

// --- NonMaxSuppression

struct Box {
  float y1, x1, y2, x2;
  float area() const { return (y2 - y1) * (x2 - x1); }
};

/// Box `p` as corners in order; `centred`: it is given as centre and size.
Box read_box(const float* p, bool centred) {
  if (centred) return {p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
  return {std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])};
}

bool overlaps(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1), width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return false;
  const float shared = height * width;
  return shared / (a.area() + b.area() - shared) > threshold;
}

void infer_nms(InferContext& ctx) {
  for (int i : {0, 1}) {
    require(ctx, i, bit(DType::f32));
    require_rank(ctx, i, 3, 3);
  }
  int64_t most = Dim::kUnbounded;
  if (ctx.has_shape(1) && ir::is_static(ctx.shape(1))) most = ir::element_count(ctx.shape(1));
  ctx.set_output(0, DType::i64, {ctx.unknown_dim(0, 0, 0, most), 3});
}

void evaluate_nms(EvalContext& ctx) {
  const Tensor &boxes = ctx.input(0), &scores = ctx.input(1);
  const int64_t images = boxes.dim(0), count = boxes.dim(1), classes = scores.dim(1);
  if (boxes.dim(2) != 4 || scores.dim(0) != images || scores.dim(2) != count)
    ctx.fail("boxes [B,N,4] and scores [B,C,N] do not fit");
  const int64_t most = ctx.has_input(2) ? ctx.input(2).as_int(0) : 0;
  const float iou = ctx.has_input(3) ? static_cast<float>(ctx.input(3).as_double(0)) : 0;
  const bool centred = ctx.node().attr_int("center_point_box", 0) != 0;
  std::vector<int64_t> result;
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t c = 0; c < classes; ++c) {
      const float* score = scores.data<float>() + (image * classes + c) * count;
      std::vector<int64_t> order;
      for (int64_t i = 0; i < count; ++i) {
        if (!ctx.has_input(4) || score[i] > static_cast<float>(ctx.input(4).as_double(0))) order.push_back(i);
      }
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score[a] > score[b]; });
      std::vector<Box> kept;
      for (int64_t i : order) {
        if (static_cast<int64_t>(kept.size()) >= most) break;
        const Box box = read_box(boxes.data<float>() + (image * count + i) * 4, centred);
        if (std::any_of(kept.begin(), kept.end(), [&](const Box& k) { return overlaps(box, k, iou); })) continue;
        kept.push_back(box);
        result.insert(result.end(), {image, c, i});
      }
    }
  }
  const auto rows = static_cast<int64_t>(result.size()) / 3;
  ctx.set_output(0, Tensor::of<int64_t>(DType::i64, {rows, 3}, result));
}

// --- RoiAlign, MaxRoiPool

void infer_roi(InferContext& ctx) {
  const bool align = ctx.node().op == "RoiAlign";
  const DType dtype = require_same(ctx, 0, 1, kFloats);
  if (align) require(ctx, 2, bit(DType::i64));
  require_rank(ctx, 0, 4, 4);
  require_rank(ctx, 1, 2, 2);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  std::vector<int64_t> size = {ctx.node().attr_int("output_height", 1), ctx.node().attr_int("output_width", 1)};
  if (!align) size = ctx.node().attr_ints("pooled_shape");
  if (size.size() != 2 || size[0] < 1 || size[1] < 1)
    ctx.fail("the output's height and width must be given, and at least 1");
  const Shape& rois = ctx.shape(1);
  if (!may_equal(rois[1], align ? 4 : 5))
    ctx.fail(fmt::format("rois is {}, must be [N,{}]", to_string(rois), align ? 4 : 5));
  ctx.set_output(0, dtype, {rois[0], ctx.shape(0)[1], size[0], size[1]});
}

/// The four neighbours of a point and their weights.
struct Corners {
  int64_t at[4];
  double weight[4];
};

/// Of a point in an image of h by w; all weights are 0 for one that lies more than a pixel outside.
Corners corners_of(double y, double x, int64_t h, int64_t w) {
  if (y < -1 || y > static_cast<double>(h) || x < -1 || x > static_cast<double>(w)) return {};
  y = std::max(y, 0.0);
  x = std::max(x, 0.0);
  auto y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(x);
  if (y0 >= h - 1) y = static_cast<double>(y0 = h - 1);
  if (x0 >= w - 1) x = static_cast<double>(x0 = w - 1);
  const int64_t y1 = std::min(y0 + 1, h - 1), x1 = std::min(x0 + 1, w - 1);
  const double dy = y - static_cast<double>(y0), dx = x - static_cast<double>(x0);
  return {{y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1},
          {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx}};
}

template <typename T>
void roi_align(EvalContext& ctx, Tensor& out) {
  const Tensor &x = ctx.input(0), &rois = ctx.input(1);
  const Node& node = ctx.node();
  const int64_t h = x.dim(2), w = x.dim(3), oh = out.dim(2), ow = out.dim(3), channels = x.dim(1);
  const double scale = node.attr_float("spatial_scale", 1);
  const std::string how =
      node.attr_string("coordinate_transformation_mode", node.since_version >= 16 ? "half_pixel" : "output_half_pixel");
  const double shift = how == "half_pixel" ? 0.5 : 0;
  const bool max_mode = node.attr_string("mode", "avg") == "max";
  const int64_t ratio = node.attr_int("sampling_ratio", 0);
  T* to = out.data<T>();
  for (int64_t r = 0; r < rois.dim(0); ++r) {
    const T* roi = rois.data<T>() + r * 4;
    const int64_t image = ctx.input(2).as_int(r);
    if (image < 0 || image >= x.dim(0)) ctx.fail(fmt::format("batch index {} is outside [0, {}]", image, x.dim(0) - 1));
    const double left = roi[0] * scale - shift, top = roi[1] * scale - shift;
    double width = roi[2] * scale - shift - left, height = roi[3] * scale - shift - top;
    if (shift == 0) {
      width = std::max(width, 1.0);
      height = std::max(height, 1.0);
    }
    const double bin_h = height / static_cast<double>(oh), bin_w = width / static_cast<double>(ow);
    const int64_t ny = ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(bin_h)),
                  nx = ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(bin_w));
    std::vector<Corners> samples;  // of all bins, row-major
    for (int64_t by = 0; by < oh; ++by) {
      for (int64_t bx = 0; bx < ow; ++bx) {
        for (int64_t sy = 0; sy < ny; ++sy) {
          for (int64_t sx = 0; sx < nx; ++sx) {
            const double y =
                top + (static_cast<double>(by) + (static_cast<double>(sy) + 0.5) / static_cast<double>(ny)) * bin_h;
            const double px =
                left + (static_cast<double>(bx) + (static_cast<double>(sx) + 0.5) / static_cast<double>(nx)) * bin_w;
            samples.push_back(corners_of(y, px, h, w));
          }
        }
      }
    }
    const int64_t per_bin = std::max<int64_t>(0, ny * nx);
    for (int64_t c = 0; c < channels; ++c) {
      const T* plane = x.data<T>() + (image * channels + c) * h * w;
      const Corners* sample = samples.data();
      for (int64_t bin = 0; bin < oh * ow; ++bin) {
        double sum = 0, best = 0;
        for (int64_t s = 0; s < per_bin; ++s, ++sample) {
          double value = 0, highest = 0;
          for (int k = 0; k < 4; ++k) {
            const double part = sample->weight[k] * static_cast<double>(plane[sample->at[k]]);
            value += part;
            highest = k == 0 ? part : std::max(highest, part);
          }
          sum += value;
          best = s == 0 ? highest : std::max(best, highest);  // the standard takes the highest weighted neighbour
        }
        *to++ = static_cast<T>(max_mode ? best : sum / static_cast<double>(std::max<int64_t>(1, per_bin)));
      }
    }
  }
}

void evaluate_roi_align(EvalContext& ctx) {
  const Tensor& rois = ctx.input(1);
  Tensor out(ctx.input(0).dtype(), {rois.dim(0), ctx.input(0).dim(1), ctx.node().attr_int("output_height", 1),
                                    ctx.node().attr_int("output_width", 1)});
  if (ctx.input(2).size() != rois.dim(0)) ctx.fail("batch_indices must have one entry per roi");
  dispatch_float(ctx.node(), out.dtype(), [&](auto tag) { roi_align<typename decltype(tag)::type>(ctx, out); });
  ctx.set_output(0, std::move(out));
}

template <typename T>
void max_roi_pool(EvalContext& ctx, Tensor& out) {
  const Tensor &x = ctx.input(0), &rois = ctx.input(1);
  const int64_t h = x.dim(2), w = x.dim(3), oh = out.dim(2), ow = out.dim(3), channels = x.dim(1);
  const float scale = ctx.node().attr_float("spatial_scale", 1);
  T* to = out.data<T>();
  for (int64_t r = 0; r < rois.dim(0); ++r) {
    const T* roi = rois.data<T>() + r * 5;
    const auto image = static_cast<int64_t>(roi[0]);
    if (image < 0 || image >= x.dim(0)) ctx.fail(fmt::format("batch index {} is outside [0, {}]", image, x.dim(0) - 1));
    auto corner = [&](int i) { return static_cast<int64_t>(std::round(static_cast<float>(roi[i]) * scale)); };
    const int64_t left = corner(1), top = corner(2), width = std::max<int64_t>(corner(3) - left + 1, 1),
                  height = std::max<int64_t>(corner(4) - top + 1, 1);
    auto bounds = [](int64_t bin, int64_t bins, int64_t extent, int64_t first, int64_t limit) {
      const float size = static_cast<float>(extent) / static_cast<float>(bins);
      const auto from = static_cast<int64_t>(std::floor(static_cast<float>(bin) * size)) + first,
                 end = static_cast<int64_t>(std::ceil(static_cast<float>(bin + 1) * size)) + first;
      return std::pair(std::clamp<int64_t>(from, 0, limit), std::clamp<int64_t>(end, 0, limit));
    };
    for (int64_t c = 0; c < channels; ++c) {
      const T* plane = x.data<T>() + (image * channels + c) * h * w;
      for (int64_t by = 0; by < oh; ++by) {
        for (int64_t bx = 0; bx < ow; ++bx) {
          const auto [y0, y1] = bounds(by, oh, height, top, h);
          const auto [x0, x1] = bounds(bx, ow, width, left, w);
          T best = y0 >= y1 || x0 >= x1 ? T{0} : std::numeric_limits<T>::lowest();
          for (int64_t y = y0; y < y1; ++y) {
            for (int64_t px = x0; px < x1; ++px) best = std::max(best, plane[y * w + px]);
          }
          *to++ = best;
        }
      }
    }
  }
}

void evaluate_max_roi_pool(EvalContext& ctx) {
  const std::vector<int64_t> size = ctx.node().attr_ints("pooled_shape");
  Tensor out(ctx.input(0).dtype(), {ctx.input(1).dim(0), ctx.input(0).dim(1), size.at(0), size.at(1)});
  dispatch_float(ctx.node(), out.dtype(), [&](auto tag) { max_roi_pool<typename decltype(tag)::type>(ctx, out); });
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_detection(Catalogue& catalogue) {
  catalogue.add({.name = "NonMaxSuppression",
                 .since_version = 10,
                 .min_inputs = 2,
                 .max_inputs = 5,
                 .infer = infer_nms,
                 .evaluate = evaluate_nms});
  catalogue.add({.name = "RoiAlign",
                 .since_version = 10,
                 .min_inputs = 3,
                 .max_inputs = 3,
                 .infer = infer_roi,
                 .cost = cost_per_output(16),
                 .evaluate = widened(evaluate_roi_align)});
  catalogue.add({.name = "MaxRoiPool",
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_roi,
                 .cost = cost_per_input(1),
                 .evaluate = widened(evaluate_max_roi_pool)});
}

}  // namespace rooftune::ops
