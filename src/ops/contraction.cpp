// Dense products of two matrices: MatMul and Gemm.
#include "ops/contraction.h"

#include "ops/cells.h"
#include "ops/dense.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {

using kernel::Reduction;

namespace {

constexpr DTypeSet kMatMulTypes = kFloats | set_of({DType::i32, DType::i64, DType::u32, DType::u64});

}  // namespace

// --- MatMul

Shape matmul_shape(const Node& node, Shape a, Shape b) {
  if (a.empty() || b.empty()) fail(node, "operands must have at least one dim");
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), Dim(1));
  if (column) b.push_back(Dim(1));
  if (!may_equal(a.back(), b[b.size() - 2])) {
    fail(node, fmt::format("cannot multiply {} by {}: the inner dims differ", to_string(a), to_string(b)));
  }
  Shape out = broadcast(node, Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (!row) out.push_back(a[a.size() - 2]);
  if (!column) out.push_back(b.back());
  return out;
}

namespace {

void infer_matmul(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 1, kMatMulTypes);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  ctx.set_output(0, dtype, matmul_shape(ctx.node(), ctx.shape(0), ctx.shape(1)));
}

Cost cost_matmul(const CostContext& ctx) {
  const double inner = static_cast<double>(ctx.input(0).shape().back().value());
  return {2 * inner * static_cast<double>(elements(ctx.output(0))), bytes_touched(ctx)};
}

template <typename T>
void multiply(const Tensor& a, const Tensor& b, Tensor& out) {
  using W = Modular<T>;
  const int64_t k = a.shape().back(), m = a.rank() == 1 ? 1 : a.dim(-2), n = b.rank() == 1 ? 1 : b.dim(-1);
  std::vector<int64_t> batch_a(a.shape()), batch_b(b.shape());
  batch_a.resize(static_cast<size_t>(std::max(0, a.rank() - 2)));
  batch_b.resize(static_cast<size_t>(std::max(0, b.rank() - 2)));
  const W *pa = a.data<W>(), *pb = b.data<W>();
  W* po = out.data<W>();
  if (out.size() == 0) return;
  if (batch_b.empty()) return matrix_product<W>(product(batch_a) * m, n, k, {pa, k}, {pb, n}, po, n);

  std::vector<int64_t> batch(out.shape().begin(), out.shape().end() - (a.rank() > 1 ? 1 : 0) - 1);
  auto offset = [&](const std::vector<int64_t>& index, const std::vector<int64_t>& shape) {
    const std::vector<int64_t> strides = row_major_strides(shape);
    int64_t at = 0;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] != 1) at += strides[i] * index[index.size() - shape.size() + i];
    }
    return at;
  };
  std::vector<int64_t> index(batch.size(), 0);
  do {
    matrix_product<W>(m, n, k, {pa + offset(index, batch_a) * m * k, k}, {pb + offset(index, batch_b) * k * n, n}, po,
                      n);
    po += m * n;
  } while (next_index(index, batch));
}

}  // namespace

Tensor matmul(const Node& node, const Tensor& a, const Tensor& b) {
  Tensor out(a.dtype(), ir::static_values(matmul_shape(node, ir::to_shape(a.shape()), ir::to_shape(b.shape()))));
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t>(
      node, a.dtype(), [&](auto tag) { multiply<typename decltype(tag)::type>(a, b, out); });
  return out;
}

int add_matmul_stage(LowerContext& ctx, const std::string& name, const std::vector<int64_t>& a,
                     const std::vector<int64_t>& b, const MatMulSummand& value) {
  const std::vector<int64_t> out = ir::static_values(matmul_shape(ctx.node(), ir::to_shape(a), ir::to_shape(b)));
  const bool row = a.size() == 1, column = b.size() == 1;
  const size_t batch = out.size() - (row ? 0 : 1) - (column ? 0 : 1);
  std::vector<kernel::Axis> axes = axes_of({out.begin(), out.begin() + static_cast<int64_t>(batch)}, "b");
  if (!row) axes.push_back({"m", a[a.size() - 2]});
  if (!column) axes.push_back({"n", b.back()});
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), name), axes, {{"k", a.back()}});
  const Index inner = stage.axis(static_cast<int>(axes.size()));
  const std::vector<Index> at = axes_from(0, batch);
  auto batch_index = [&](const std::vector<int64_t>& shape) {
    return shape.size() < 2 ? std::vector<Index>{} : broadcast_indices({shape.begin(), shape.end() - 2}, at);
  };
  std::vector<Index> left = batch_index(a), right = batch_index(b);
  if (!row) left.push_back(stage.axis(static_cast<int>(batch)));
  left.push_back(inner);
  right.push_back(inner);
  if (!column) right.push_back(stage.axis(static_cast<int>(axes.size()) - 1));
  return stage.finish(value(stage, left, right), Reduction::sum);
}

namespace {

void evaluate_matmul(EvalContext& ctx) { ctx.set_output(0, matmul(ctx.node(), ctx.input(0), ctx.input(1))); }

void lower_matmul(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1})) return;
  ctx.set_output(0,
                 add_matmul_stage(ctx, "matmul", ctx.shape(0), ctx.shape(1),
                                  [&](StageBuilder& stage, const std::vector<Index>& a, const std::vector<Index>& b) {
                                    return stage.mul(stage.load(ctx.input(0), a), stage.load(ctx.input(1), b));
                                  }));
}

// --- Gemm

struct GemmSizes {
  bool trans_a, trans_b;
  Dim m, n, k;
};

GemmSizes gemm_sizes(const Node& node, const Shape& a, const Shape& b) {
  if (a.size() != 2 || b.size() != 2) fail(node, "A and B must be matrices");
  GemmSizes s{node.attr_int("transA", 0) != 0, node.attr_int("transB", 0) != 0, 0, 0, 0};
  s.m = a[s.trans_a ? 1 : 0];
  s.k = a[s.trans_a ? 0 : 1];
  s.n = b[s.trans_b ? 0 : 1];
  if (!may_equal(s.k, b[s.trans_b ? 1 : 0])) {
    fail(node, fmt::format("cannot multiply A {} by B {} (transA={}, transB={}): the inner dims differ", to_string(a),
                           to_string(b), s.trans_a, s.trans_b));
  }
  return s;
}

void infer_gemm(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 2, kMatMulTypes);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  const GemmSizes s = gemm_sizes(ctx.node(), ctx.shape(0), ctx.shape(1));
  if (ctx.has_input(2) && ctx.has_shape(2)) {
    const Shape out = broadcast(ctx.node(), {s.m, s.n}, ctx.shape(2));
    if (out.size() > 2 || !may_equal(out[0], s.m) || !may_equal(out[1], s.n)) {
      ctx.fail(
          fmt::format("C {} does not broadcast to [{},{}]", to_string(ctx.shape(2)), s.m.to_string(), s.n.to_string()));
    }
  }
  ctx.set_output(0, dtype, {s.m, s.n});
}

Cost cost_gemm(const CostContext& ctx) {
  const double out = static_cast<double>(elements(ctx.output(0)));
  const GemmSizes s = gemm_sizes(ctx.node, ctx.input(0).shape(), ctx.input(1).shape());
  return {out * (2 * static_cast<double>(s.k.value()) + (ctx.has_input(2) ? 1 : 0)), bytes_touched(ctx)};
}

template <typename T>
void gemm(EvalContext& ctx, const GemmSizes& s, Tensor& out) {
  using W = Modular<T>;
  const int64_t m = s.m.value(), n = s.n.value(), k = s.k.value();
  const W *a = ctx.input(0).data<W>(), *b = ctx.input(1).data<W>();
  matrix_product<W>(m, n, k, s.trans_a ? MatrixView<W>{a, 1, m} : MatrixView<W>{a, k, 1},
                    s.trans_b ? MatrixView<W>{b, 1, k} : MatrixView<W>{b, n, 1}, out.data<W>(), n);
  const float alpha = ctx.node().attr_float("alpha", 1), beta = ctx.node().attr_float("beta", 1);
  T* y = out.data<T>();
  if (alpha != 1) {
    for (int64_t i = 0; i < m * n; ++i) y[i] = static_cast<T>(static_cast<T>(alpha) * y[i]);
  }
  if (!ctx.has_input(2)) return;
  const Tensor& c = ctx.input(2);
  const BroadcastPlan plan = plan_broadcast(out.shape(), {c.shape()});
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    for (int64_t i = 0; i < plan.row; ++i) {
      y[to + i] = static_cast<T>(y[to + i] + static_cast<T>(beta) * c.data<T>()[at[0] + i * plan.row_step[0]]);
    }
  });
}

void evaluate_gemm(EvalContext& ctx) {
  const GemmSizes s = gemm_sizes(ctx.node(), ir::to_shape(ctx.input(0).shape()), ir::to_shape(ctx.input(1).shape()));
  Tensor out(ctx.input(0).dtype(), {s.m.value(), s.n.value()});
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t>(
      ctx.node(), out.dtype(), [&](auto tag) { gemm<typename decltype(tag)::type>(ctx, s, out); });
  ctx.set_output(0, std::move(out));
}

void lower_gemm(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1, 2})) return;
  const GemmSizes s = gemm_sizes(ctx.node(), ir::to_shape(ctx.shape(0)), ir::to_shape(ctx.shape(1)));
  const std::vector<kernel::Axis> axes = {{"m", s.m.value()}, {"n", s.n.value()}};
  kernel::Kernel& k = ctx.kernel();
  StageBuilder stage(k, stage_name(k, "gemm"), axes, {{"k", s.k.value()}});
  const Index m = stage.axis(0), n = stage.axis(1), inner = stage.axis(2);
  const int left = stage.load(ctx.input(0), s.trans_a ? std::vector<Index>{inner, m} : std::vector<Index>{m, inner});
  const int right = stage.load(ctx.input(1), s.trans_b ? std::vector<Index>{n, inner} : std::vector<Index>{inner, n});
  const int acc = stage.finish(stage.mul(left, right), Reduction::sum);

  const float alpha = ctx.node().attr_float("alpha", 1), beta = ctx.node().attr_float("beta", 1);
  if (alpha == 1 && !ctx.has_input(2)) return ctx.set_output(0, acc);
  StageBuilder scale(k, stage_name(k, "gemm_add"), axes);
  const std::vector<Index> at = axes_from(0, 2);
  int value = scale.load(acc, at);
  if (alpha != 1) value = scale.mul(value, scale.constant(alpha, scale.type_of(value)));
  if (ctx.has_input(2)) {
    int c = scale.load(ctx.input(2), broadcast_indices(ctx.shape(2), at));
    if (beta != 1) c = scale.mul(c, scale.constant(beta, scale.type_of(c)));
    value = scale.add(value, c);
  }
  ctx.set_output(0, scale.finish(value));
}

}  // namespace

void register_contraction(Catalogue& catalogue) {
  catalogue.add({.name = "MatMul",
                 .since_version = 13,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .pattern = Pattern::contraction,
                 .infer = infer_matmul,
                 .cost = cost_matmul,
                 .evaluate = widened(evaluate_matmul),
                 .lower = lower_matmul});
  catalogue.add({.name = "Gemm",
                 .since_version = 13,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .pattern = Pattern::contraction,
                 .infer = infer_gemm,
                 .cost = cost_gemm,
                 .evaluate = widened(evaluate_gemm),
                 .lower = lower_gemm});
}

}  // namespace rooftune::ops
