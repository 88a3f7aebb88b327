// Reductions, pooling, softmax and the norms.
#include <algorithm>
#include <numeric>

#include "exporters/stablehlo/spelling.h"
#include "ops/window.h"

namespace rooftune::exporters::stablehlo {
namespace {

using ir::DType;

int64_t product(const Ints& v) { return std::accumulate(v.begin(), v.end(), int64_t{1}, std::multiplies<>()); }
Val number(Spelling& s, const Val& like, double value) { return s.lines().splat(like.dtype, like.shape, value); }
Val op(Spelling& s, const char* name, const std::vector<Val>& in) {
  return s.lines().same(std::string("stablehlo.") + name, in);
}

/// What `reduced` lacks of `shape` put back: the axes, repeated.
Val repeated(Spelling& s, const Val& reduced, const Ints& shape, const Ints& axes) {
  Ints dims;
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) dims.push_back(i);
  return s.lines().broadcast(reduced, shape, dims);
}

int64_t extent(const Val& v, const Ints& axes) {
  int64_t n = 1;
  for (const int64_t a : axes) n *= v.shape[static_cast<size_t>(a)];
  return n;
}

Val mean(Spelling& s, const Val& v, const Ints& axes) {
  const Val sum = s.lines().reduce("add", v, axes);
  return op(s, "divide", {sum, number(s, sum, static_cast<double>(extent(v, axes)))});
}

Ints reduced_axes(Spelling& s, int rank) {
  Ints axes = s.has(1) ? s.ints(1, "axes") : s.node().attr_ints("axes");
  if (axes.empty() && s.node().attr_int("noop_with_empty_axes", 0) == 0)
    for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
  for (int64_t& a : axes) a = s.axis(a, rank);
  std::sort(axes.begin(), axes.end());
  return axes;
}

/// `compute` of the input and the axes; the result has them as extents of 1 where they are kept.
template <Val (*compute)(Spelling&, const Val&, const Ints&)>
void reduction(Spelling& s) {
  const Val x = s.in(0);
  s.set(s.lines().reshape(compute(s, x, reduced_axes(s, x.rank())), s.out_shape()));
}

Val sum(Spelling& s, const Val& x, const Ints& axes) { return s.lines().reduce("add", x, axes); }
Val maximum(Spelling& s, const Val& x, const Ints& axes) { return s.lines().reduce("maximum", x, axes); }
Val minimum(Spelling& s, const Val& x, const Ints& axes) { return s.lines().reduce("minimum", x, axes); }
Val multiplied(Spelling& s, const Val& x, const Ints& axes) { return s.lines().reduce("multiply", x, axes); }
Val sum_of_squares(Spelling& s, const Val& x, const Ints& axes) { return sum(s, op(s, "multiply", {x, x}), axes); }
Val root_of_squares(Spelling& s, const Val& x, const Ints& axes) { return op(s, "sqrt", {sum_of_squares(s, x, axes)}); }
Val sum_of_sizes(Spelling& s, const Val& x, const Ints& axes) { return sum(s, op(s, "abs", {x}), axes); }

/// exp(x - max), and its sum along the axis, repeated.
std::pair<Val, Val> exponentials(Spelling& s, const Val& shifted, const Ints& axes) {
  const Val e = op(s, "exponential", {shifted});
  return {e, repeated(s, s.lines().reduce("add", e, axes), e.shape, axes)};
}

template <bool logarithm>
void softmax(Spelling& s) {
  const Val x = s.in(0);
  const Ints axes = {s.axis(s.node().attr_int("axis", -1), x.rank())};
  const Val top = repeated(s, s.lines().reduce("maximum", x, axes), x.shape, axes);
  const Val shifted = op(s, "subtract", {x, top});
  const auto [e, total] = exponentials(s, shifted, axes);
  s.set(logarithm ? op(s, "subtract", {shifted, op(s, "log", {total})}) : op(s, "divide", {e, total}));
}

/// (x - mean) / sqrt(variance + epsilon) over these axes.
Val standardised(Spelling& s, const Val& x, const Ints& axes, double epsilon) {
  const Val centred = op(s, "subtract", {x, repeated(s, mean(s, x, axes), x.shape, axes)});
  const Val variance = mean(s, op(s, "multiply", {centred, centred}), axes);
  const Val factor = op(s, "rsqrt", {op(s, "add", {variance, number(s, variance, epsilon)})});
  return op(s, "multiply", {centred, repeated(s, factor, x.shape, axes)});
}

Ints axes_from(int64_t first, int rank) {
  Ints out;
  for (int64_t i = first; i < rank; ++i) out.push_back(i);
  return out;
}

void layer_normalization(Spelling& s) {
  s.require_one_output();
  const Val x = s.in(0), wide = s.lines().convert(x, x.dtype == DType::f64 ? DType::f64 : DType::f32);
  const Ints axes = axes_from(s.axis(s.node().attr_int("axis", -1), x.rank()), x.rank());
  Val y = s.lines().convert(standardised(s, wide, axes, s.node().attr_float("epsilon", 1e-5F)), x.dtype);
  y = op(s, "multiply", {y, s.lines().broadcast(s.in(1), x.shape)});
  if (s.has(2)) y = op(s, "add", {y, s.lines().broadcast(s.in(2), x.shape)});
  s.set(y);
}

void rms_normalization(Spelling& s) {
  const Val x = s.in(0), wide = s.lines().convert(x, x.dtype == DType::f64 ? DType::f64 : DType::f32);
  const Ints axes = axes_from(s.axis(s.node().attr_int("axis", -1), x.rank()), x.rank());
  const Val power = mean(s, op(s, "multiply", {wide, wide}), axes);
  const Val factor = op(s, "rsqrt", {op(s, "add", {power, number(s, power, s.node().attr_float("epsilon", 1e-5F))})});
  const Val y = s.lines().convert(op(s, "multiply", {wide, repeated(s, factor, x.shape, axes)}), x.dtype);
  s.set(op(s, "multiply", {y, s.lines().broadcast(s.in(1), x.shape)}));
}

/// By features: scale and shift have one value for each of dimension 1.
Val per_feature(Spelling& s, const Val& y, size_t scale, size_t shift) {
  const Val scaled = op(s, "multiply", {y, s.lines().broadcast(s.in(scale), y.shape, {1})});
  return op(s, "add", {scaled, s.lines().broadcast(s.in(shift), y.shape, {1})});
}

void instance_normalization(Spelling& s) {
  const Val x = s.in(0);
  s.set(per_feature(s, standardised(s, x, axes_from(2, x.rank()), s.node().attr_float("epsilon", 1e-5F)), 1, 2));
}

void group_normalization(Spelling& s) {
  const Val x = s.in(0);
  if (s.node().since_version < 21) s.fail("before opset 21 it cannot be written as StableHLO");
  const int64_t groups = s.node().attr_int("num_groups", 1);
  const Ints grouped = {x.shape[0], groups, product(x.shape) / (x.shape[0] * groups)};
  const Val y = standardised(s, s.lines().reshape(x, grouped), {2}, s.node().attr_float("epsilon", 1e-5F));
  s.set(per_feature(s, s.lines().reshape(y, x.shape), 1, 2));
}

void batch_normalization(Spelling& s) {
  s.require_one_output();
  const Val x = s.in(0), variance = s.in(4);
  const Val factor =
      op(s, "rsqrt", {op(s, "add", {variance, number(s, variance, s.node().attr_float("epsilon", 1e-5F))})});
  const Val centred = op(s, "subtract", {x, s.lines().broadcast(s.in(3), x.shape, {1})});
  s.set(per_feature(s, op(s, "multiply", {centred, s.lines().broadcast(factor, x.shape, {1})}), 1, 2));
}

// --- pooling

Ints with_two(int64_t first, const Ints& spatial) {
  Ints out = {first, first};
  out.insert(out.end(), spatial.begin(), spatial.end());
  return out;
}

/// A window over (N, C, …) with the padding that gives the output its extent: more than the node's own where it rounds up.
Val windowed(Spelling& s, const std::string& body, const Val& x, const ops::Window& w, const Ints& low) {
  const Ints out = s.out_shape();
  Ints high;
  for (size_t i = 0; i < w.rank(); ++i)
    high.push_back((out[2 + i] - 1) * w.strides[i] + w.span(i) - x.shape[2 + i] - low[i]);
  return s.lines().reduce_window(body, x, out, with_two(1, w.kernel), with_two(1, w.strides), with_two(1, w.dilations),
                                 with_two(0, low), with_two(0, high));
}

ops::Window pool_window(Spelling& s, const Val& x) {
  ops::Window w = ops::read_window(s.node(), s.node().attr_ints("kernel_shape"));
  w.resolve(Ints(x.shape.begin() + 2, x.shape.end()));
  return w;
}

void max_pool(Spelling& s) {
  s.require_one_output();
  const Val x = s.in(0);
  const ops::Window w = pool_window(s, x);
  s.set(windowed(s, "maximum", x, w, w.begin));
}

/// The sum over the window, by the number of elements that count: those of the input, with its padding where that counts.
void average_pool(Spelling& s) {
  const Val x = s.in(0);
  const ops::Window w = pool_window(s, x);
  Val counted = s.lines().splat(x.dtype, x.shape, 1);
  Ints low = w.begin;
  if (s.node().attr_int("count_include_pad", 0) != 0) {
    counted = s.lines().pad(counted, with_two(0, w.begin), with_two(0, w.end), s.lines().splat(x.dtype, {}, 1));
    low.assign(low.size(), 0);
  }
  const Val total = windowed(s, "add", x, w, w.begin);
  s.set(op(s, "divide", {total, windowed(s, "add", counted, w, low)}));
}

void global_average_pool(Spelling& s) {
  const Val x = s.in(0);
  s.set(s.lines().reshape(mean(s, x, axes_from(2, x.rank())), s.out_shape()));
}

void global_max_pool(Spelling& s) {
  const Val x = s.in(0);
  s.set(s.lines().reshape(maximum(s, x, axes_from(2, x.rank())), s.out_shape()));
}

}  // namespace

void add_reductions(Table& table) {
  table["ReduceSum"] = reduction<sum>;
  table["ReduceMean"] = reduction<mean>;
  table["ReduceMax"] = reduction<maximum>;
  table["ReduceMin"] = reduction<minimum>;
  table["ReduceProd"] = reduction<multiplied>;
  table["ReduceL1"] = reduction<sum_of_sizes>;
  table["ReduceL2"] = reduction<root_of_squares>;
  table["ReduceSumSquare"] = reduction<sum_of_squares>;
  table["Softmax"] = softmax<false>;
  table["LogSoftmax"] = softmax<true>;
  table["LayerNormalization"] = layer_normalization;
  table["RMSNormalization"] = rms_normalization;
  table["InstanceNormalization"] = instance_normalization;
  table["GroupNormalization"] = group_normalization;
  table["BatchNormalization"] = batch_normalization;
  table["MaxPool"] = max_pool;
  table["AveragePool"] = average_pool;
  table["GlobalAveragePool"] = global_average_pool;
  table["GlobalMaxPool"] = global_max_pool;
}

}  // namespace rooftune::exporters::stablehlo
