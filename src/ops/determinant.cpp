// Det: the determinant of each square matrix of a batch; Inverse, of com.microsoft: its inverse.
#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/dispatch.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

void infer_det(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 2);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape = ctx.shape(0);
  const Dim columns = shape.back();
  shape.pop_back();
  if (columns.is_static() && shape.back().is_static() && !(columns == shape.back()))
    ctx.fail(fmt::format("input 0 has shape {}, but its matrices must be square", to_string(ctx.shape(0))));
  shape.pop_back();
  ctx.set_output(0, dtype, std::move(shape));
}

/// By elimination, each time with the largest pivot of the column; `m` [n, n] is spoilt.
double determinant(std::vector<double>& m, int64_t n) {
  const auto at = [&](int64_t r, int64_t c) -> double& { return m[static_cast<size_t>(r * n + c)]; };
  double det = 1;
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t r = k + 1; r < n; ++r) {
      if (std::abs(at(r, k)) > std::abs(at(pivot, k))) pivot = r;
    }
    if (at(pivot, k) == 0) return 0;
    if (pivot != k) {
      for (int64_t c = k; c < n; ++c) std::swap(at(k, c), at(pivot, c));
      det = -det;
    }
    det *= at(k, k);
    for (int64_t r = k + 1; r < n; ++r) {
      const double factor = at(r, k) / at(k, k);
      for (int64_t c = k + 1; c < n; ++c) at(r, c) -= factor * at(k, c);
    }
  }
  return det;
}

void evaluate_det(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t n = x.dim(-1);
  if (x.dim(-2) != n) ctx.fail(fmt::format("matrices of {} by {} are not square", x.dim(-2), n));
  Tensor out(x.dtype(), {x.shape().begin(), x.shape().end() - 2});
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> matrix(static_cast<size_t>(n * n));
    for (int64_t i = 0; i < out.size(); ++i) {
      std::copy_n(x.data<T>() + i * n * n, n * n, matrix.begin());
      out.data<T>()[i] = static_cast<T>(determinant(matrix, n));
    }
  });
  ctx.set_output(0, std::move(out));
}

void infer_inverse(InferContext& ctx) {
  require(ctx, 0, kFloats);
  require_rank(ctx, 0, 2);
  if (ctx.has_shape(0)) {
    const Shape& shape = ctx.shape(0);
    const Dim &rows = shape[shape.size() - 2], &columns = shape.back();
    if (rows.is_static() && columns.is_static() && !(rows == columns))
      ctx.fail(fmt::format("input 0 has shape {}, but its matrices must be square", to_string(shape)));
  }
  ctx.set_output(0, ctx.input(0));
}

/// By elimination in the rows of [m | 1], each time with the largest pivot; `m` [n, n] becomes its inverse, infinite or
/// NaN where it has none.
void invert(std::vector<double>& m, int64_t n) {
  const int64_t width = 2 * n;
  std::vector<double> rows(static_cast<size_t>(n * width), 0);
  const auto at = [&](int64_t r, int64_t c) -> double& { return rows[static_cast<size_t>(r * width + c)]; };
  for (int64_t r = 0; r < n; ++r) {
    std::copy_n(m.begin() + r * n, n, rows.begin() + r * width);
    at(r, n + r) = 1;
  }
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t r = k + 1; r < n; ++r) {
      if (std::abs(at(r, k)) > std::abs(at(pivot, k))) pivot = r;
    }
    for (int64_t c = 0; pivot != k && c < width; ++c) std::swap(at(k, c), at(pivot, c));
    const double head = at(k, k);
    for (int64_t c = 0; c < width; ++c) at(k, c) /= head;
    for (int64_t r = 0; r < n; ++r) {
      const double factor = r == k ? 0 : at(r, k);
      for (int64_t c = 0; factor != 0 && c < width; ++c) at(r, c) -= factor * at(k, c);
    }
  }
  for (int64_t r = 0; r < n; ++r) std::copy_n(rows.begin() + r * width + n, n, m.begin() + r * n);
}

void evaluate_inverse(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t n = x.dim(-1);
  if (x.dim(-2) != n) ctx.fail(fmt::format("matrices of {} by {} are not square", x.dim(-2), n));
  Tensor out(x.dtype(), x.shape());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> matrix(static_cast<size_t>(n * n));
    for (int64_t i = 0; n > 0 && i < x.size(); i += n * n) {
      std::copy_n(x.data<T>() + i, n * n, matrix.begin());
      invert(matrix, n);
      std::transform(matrix.begin(), matrix.end(), out.data<T>() + i, [](double v) { return static_cast<T>(v); });
    }
  });
  ctx.set_output(0, std::move(out));
}

/// `of_n`: operations for each element, by the size of the matrix.
std::function<Cost(const CostContext&)> cost_by_size(double of_n) {
  return [of_n](const CostContext& ctx) {
    const auto n = static_cast<double>(ctx.input(0).shape().back().value());
    return Cost{of_n * n * static_cast<double>(elements(ctx.input(0))), bytes_touched(ctx)};
  };
}

}  // namespace

void register_determinant(Catalogue& c) {
  c.add({.name = "Det",
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_det,
         .cost = cost_by_size(2.0 / 3),
         .evaluate = widened(evaluate_det)});
  c.add({.name = "Inverse",
         .domain = "com.microsoft",
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_inverse,
         .cost = cost_by_size(2),
         .evaluate = widened(evaluate_inverse)});
}

}  // namespace rooftune::ops
