#include <algorithm>
#include <numeric>

#include "exporters/stablehlo/spelling.h"
#include "ops/window.h"

namespace rooftune::exporters::stablehlo {
namespace {

using ir::DType;

Ints range(int64_t from, int64_t to) {
  Ints out;
  for (int64_t i = from; i < to; ++i) out.push_back(i);
  return out;
}

/// Dimensions of both: batch ones first, in order.
Val dot(Spelling& s, const Val& a, const Val& b, int64_t batch, int64_t a_contract, int64_t b_contract, Ints shape) {
  return s.lines().op(
      "stablehlo.dot_general", {a, b}, a.dtype, std::move(shape),
      fmt::format(
          "dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = {0}, rhs_batching_dimensions = {0}, "
          "lhs_contracting_dimensions = [{1}], rhs_contracting_dimensions = [{2}]>, "
          "precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]",
          list(range(0, batch)), a_contract, b_contract));
}

/// Vectors become matrices of one row or column; leading dimensions are brought to one shape, but where only the left
/// has some, they are rows.
void matmul(Spelling& s) {
  Val a = s.in(0), b = s.in(1);
  const Ints out = s.out_shape();
  if (a.rank() == 1) a = s.lines().reshape(a, {1, a.shape[0]});
  if (b.rank() == 1) b = s.lines().reshape(b, {b.shape[0], 1});
  if (b.rank() == 2) {
    Ints shape(a.shape.begin(), a.shape.end() - 1);
    shape.push_back(b.shape[1]);
    return s.set(s.lines().reshape(dot(s, a, b, 0, a.rank() - 1, 0, shape), out));
  }
  const auto batch = static_cast<size_t>(std::max(a.rank(), b.rank()) - 2);
  Ints leading(batch, 1);
  for (const Val* v : {&a, &b})
    for (size_t i = 0; i + 2 < v->shape.size(); ++i) {
      int64_t& d = leading[batch + 2 - v->shape.size() + i];
      d = d == 1 ? v->shape[i] : d;
    }
  const auto with_batch = [&](const Val& v) {
    Ints shape = leading;
    shape.insert(shape.end(), v.shape.end() - 2, v.shape.end());
    return s.lines().broadcast(v, shape);
  };
  a = with_batch(a), b = with_batch(b);
  Ints shape = leading;
  shape.push_back(a.shape[batch]), shape.push_back(b.shape[batch + 1]);
  const auto n = static_cast<int64_t>(batch);
  s.set(s.lines().reshape(dot(s, a, b, n, n + 1, n, shape), out));
}

Val scaled(Spelling& s, const Val& v, float factor) {
  return factor == 1 ? v : s.lines().same("stablehlo.multiply", {v, s.lines().splat(v.dtype, v.shape, factor)});
}

void gemm(Spelling& s) {
  const bool a_turned = s.node().attr_int("transA", 0) != 0, b_turned = s.node().attr_int("transB", 0) != 0;
  const Ints out = s.out_shape();
  Val y = dot(s, s.in(0), s.in(1), 0, a_turned ? 0 : 1, b_turned ? 1 : 0, out);
  y = scaled(s, y, s.node().attr_float("alpha", 1));
  if (s.has(2))
    y = s.lines().same("stablehlo.add",
                       {y, scaled(s, s.lines().broadcast(s.in(2), out), s.node().attr_float("beta", 1))});
  s.set(y);
}

struct Conv {
  Ints strides, low, high, base_dilation, dilation;
  bool reversed = false;
  int64_t group = 1;
};

Val convolution(Spelling& s, const Val& x, const Val& w, const Conv& c, Ints shape) {
  std::string image = "b, f", kernel = "o, i", flags;
  std::vector<std::string> pads;
  for (size_t i = 0; i < c.strides.size(); ++i) {
    image += fmt::format(", {}", i), kernel += fmt::format(", {}", i);
    pads.push_back(fmt::format("[{}, {}]", c.low[i], c.high[i]));
    flags += fmt::format("{}{}", i == 0 ? " " : ", ", c.reversed ? "true" : "false");
  }
  return s.lines().op(
      "stablehlo.convolution", {x, w}, x.dtype, std::move(shape),
      fmt::format(
          "dimension_numbers = #stablehlo.conv<[{0}]x[{1}]->[{0}]>, window_strides = {2}, padding = dense<[{3}]> : "
          "tensor<{4}x2xi64>, lhs_dilation = {5}, rhs_dilation = {6}, window_reversal = array<i1:{7}>, "
          "feature_group_count = {8} : i64, batch_group_count = 1 : i64, "
          "precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]",
          image, kernel, array(c.strides), fmt::join(pads, ", "), pads.size(), array(c.base_dilation),
          array(c.dilation), flags, c.group));
}

Val with_bias(Spelling& s, const Val& y) {
  if (!s.has(2)) return y;
  return s.lines().same("stablehlo.add", {y, s.lines().broadcast(s.in(2), y.shape, {1})});
}

void conv(Spelling& s) {
  const Val x = s.in(0), w = s.in(1);
  ops::Window window = ops::read_window(s.node(), Ints(w.shape.begin() + 2, w.shape.end()));
  window.resolve(Ints(x.shape.begin() + 2, x.shape.end()));
  const Conv c{window.strides,
               window.begin,
               window.end,
               Ints(window.rank(), 1),
               window.dilations,
               false,
               s.node().attr_int("group", 1)};
  s.set(with_bias(s, convolution(s, x, w, c, s.out_shape())));
}

/// A convolution over the input with strides - 1 zeros between its elements, with the kernel turned around.
void conv_transpose(Spelling& s) {
  const Val x = s.in(0);
  Val w = s.in(1);
  const Ints out = s.out_shape(), kernel(w.shape.begin() + 2, w.shape.end()), ones(kernel.size(), 1);
  Conv c;
  c.strides = ones;
  c.base_dilation = s.node().attr_ints("strides", ones);
  c.dilation = s.node().attr_ints("dilations", ones);
  c.reversed = true;
  c.group = s.node().attr_int("group", 1);
  // (C, M / g, k…) → (M, C / g, k…)
  const int64_t in_features = w.shape[0] / c.group, out_features = w.shape[1];
  Ints split = {c.group, in_features, out_features}, perm = {0, 2, 1}, joined = {c.group * out_features, in_features};
  for (size_t i = 0; i < kernel.size(); ++i) {
    split.push_back(kernel[i]), joined.push_back(kernel[i]);
    perm.push_back(static_cast<int64_t>(3 + i));
  }
  w = s.lines().reshape(s.lines().transpose(s.lines().reshape(w, split), perm), joined);
  const std::string automatic = s.node().attr_string("auto_pad", "NOTSET");
  const Ints pads = s.node().attr_ints("pads", Ints(2 * kernel.size(), 0));
  const Ints extra = s.node().attr_ints("output_padding", Ints(kernel.size(), 0));
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t reach = (kernel[i] - 1) * c.dilation[i],
                  whole = (x.shape[2 + i] - 1) * c.base_dilation[i] + 1 + reach;
    int64_t begin = pads[i];
    if (automatic != "NOTSET" || s.node().has("output_shape")) {
      const int64_t total = std::max<int64_t>(0, whole + extra[i] - out[2 + i]);
      begin = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
    }
    c.low.push_back(reach - begin);
    c.high.push_back(out[2 + i] - (whole - reach) + reach - c.low[i]);  // what the output's extent leaves
  }
  s.set(with_bias(s, convolution(s, x, w, c, out)));
}

}  // namespace

void add_contractions(Table& table) {
  table["MatMul"] = matmul;
  table["Gemm"] = gemm;
  table["Conv"] = conv;
  table["ConvTranspose"] = conv_transpose;
}

}  // namespace rooftune::exporters::stablehlo
