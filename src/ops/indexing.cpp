// Reading at indices that are data: Gather, GatherElements, GatherND.
#include "ops/cells.h"
#include "ops/common.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

/// `index` counted from the front; fails for one outside [-extent, extent).
int64_t checked(const EvalContext& ctx, int64_t index, int64_t extent) {
  if (index < -extent || index >= extent)
    ctx.fail(fmt::format("index {} is outside [{}, {}]", index, -extent, extent - 1));
  return index < 0 ? index + extent : index;
}

// --- Gather

void infer_gather(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, kIndices);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape &data = ctx.shape(0), &indices = ctx.shape(1);
  if (data.empty()) ctx.fail("data must have at least one dim");
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(data.size()));
  Shape shape(data.begin(), data.begin() + axis);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), data.begin() + axis + 1, data.end());
  ctx.set_output(0, dtype, std::move(shape));
  const auto values = ctx.ints(0);
  const auto chosen = static_ints(ctx, 1);
  if (!values || !chosen || data.size() != 1) return;
  std::vector<Dim> ints;
  for (int64_t i : *chosen) {
    const auto count = static_cast<int64_t>(values->size());
    if (i < -count || i >= count) ctx.fail(fmt::format("index {} is outside [{}, {}]", i, -count, count - 1));
    ints.push_back((*values)[static_cast<size_t>(i < 0 ? i + count : i)]);
  }
  ctx.set_output_ints(0, std::move(ints));
}

void evaluate_gather(EvalContext& ctx) {
  const Tensor &x = ctx.input(0), &indices = ctx.input(1);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank());
  const auto split = x.shape().begin() + axis;
  std::vector<int64_t> shape(x.shape().begin(), split), rows = indices.as_ints();
  shape.insert(shape.end(), indices.shape().begin(), indices.shape().end());
  shape.insert(shape.end(), split + 1, x.shape().end());
  for (int64_t& r : rows) r = checked(ctx, r, x.dim(axis));
  const std::vector<int64_t> inner(split + 1, x.shape().end());
  const int64_t outer = product({x.shape().data(), static_cast<size_t>(axis)});
  ctx.set_output(0, rearrange({&x}, shape, [&](const Moving& m) {
                   copy_grid(m.sources[0], m.cell, m.target, {outer, x.dim(axis), product(inner)},
                             {iota(outer), rows, iota(product(inner))});
                 }));
}

/// The row that element `at` of the indices names, as an index of the stage: negative ones count from the end, and what
/// lies outside is brought inside, for a stage cannot fail.
Index gathered_row(LowerContext& ctx, StageBuilder& stage, const std::vector<Index>& at, int64_t extent) {
  const Tensor* constant = ctx.constant(1);
  if (constant != nullptr && constant->size() == 1) {
    const int64_t row = constant->as_int(0);
    return std::clamp<int64_t>(row < 0 ? row + extent : row, 0, extent - 1);
  }
  int row = stage.load(ctx.input(1), at);
  const DType type = stage.type_of(row);
  const std::vector<int64_t> known = constant != nullptr ? constant->as_ints() : std::vector<int64_t>{-1};
  if (std::any_of(known.begin(), known.end(), [&](int64_t i) { return i < 0 || i >= extent; })) {
    const int zero = stage.constant(0, type);
    row = stage.select(stage.node(Op::lt, DType::boolean, row, zero),
                       stage.add(row, stage.constant(static_cast<double>(extent), type)), row);
    row = stage.max(stage.min(row, stage.constant(static_cast<double>(extent - 1), type)), zero);
  }
  return stage.value_index(row);
}

void lower_gather(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1})) return;
  const std::vector<int64_t> x = ctx.shape(0), indices = ctx.shape(1), shape = ctx.output_shape(0);
  const auto axis =
      static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(x.size())));
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "gather"), axes_of(shape));
  const Index row = gathered_row(ctx, stage, axes_from(static_cast<int>(axis), indices.size()), x[axis]);
  std::vector<Index> from = axes_from(0, axis);
  from.push_back(row);
  for (const Index& i : axes_from(static_cast<int>(axis + indices.size()), x.size() - axis - 1)) from.push_back(i);
  ctx.set_output(0, stage.finish(stage.load(ctx.input(0), from)));
}

// --- GatherElements

void infer_gather_elements(InferContext& ctx) {
  require(ctx, 1, kIndices);
  if (ctx.has_shape(0) && ctx.has_shape(1)) {
    const Shape &data = ctx.shape(0), &indices = ctx.shape(1);
    const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(data.size()));
    if (data.size() != indices.size())
      ctx.fail(fmt::format("data {} and indices {} must have the same rank", to_string(data), to_string(indices)));
    for (size_t d = 0; d < data.size(); ++d) {
      if (static_cast<int>(d) != axis && indices[d].min() > data[d].max())
        ctx.fail(fmt::format("indices {} must not be longer than data {} but on axis {}", to_string(indices),
                             to_string(data), axis));
    }
  }
  ctx.set_output(0, ctx.has_shape(1) ? Type::tensor(ctx.dtype(0), ctx.shape(1)) : Type::tensor(ctx.dtype(0)));
}

void evaluate_gather_elements(EvalContext& ctx) {
  const Tensor &x = ctx.input(0), &indices = ctx.input(1);
  const auto axis = static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank()));
  const std::vector<int64_t> strides = row_major_strides(x.shape()), chosen = indices.as_ints();
  ctx.set_output(0, rearrange({&x}, indices.shape(), [&](const Moving& m) {
                   std::vector<int64_t> at(strides.size(), 0);
                   uint8_t* to = m.target;
                   for (int64_t index : chosen) {
                     int64_t from = 0;
                     for (size_t i = 0; i < at.size(); ++i)
                       from += strides[i] * (i == axis ? checked(ctx, index, x.shape()[i]) : at[i]);
                     std::memcpy(to, m.sources[0] + static_cast<size_t>(from) * m.cell, m.cell);
                     to += m.cell;
                     next_index(at, indices.shape());
                   }
                 }));
}

// --- GatherND

/// Shape of data[indices]: the indices' last dim says how many axes of the data (after the batch dims) are indexed.
template <typename D>
std::vector<D> gather_nd_shape(const Node& node, const std::vector<D>& data, const std::vector<D>& indices,
                               int64_t indexed) {
  const int64_t batch = node.attr_int("batch_dims", 0);
  const auto rank = static_cast<int64_t>(data.size());
  if (indices.empty() || batch < 0 || batch >= static_cast<int64_t>(indices.size()) || indexed < 1 ||
      batch + indexed > rank) {
    fail(node, fmt::format("indices of rank {} with a last dim of {} and batch_dims={} do not fit data of rank {}",
                           indices.size(), indexed, batch, rank));
  }
  for (size_t d = 0; d < static_cast<size_t>(batch); ++d) {
    if (!may_equal(Dim(data[d]), Dim(indices[d])))
      fail(node, fmt::format("batch dim {} is {} in the data and {} in the indices, but must be the same", d,
                             Dim(data[d]).to_string(), Dim(indices[d]).to_string()));
  }
  std::vector<D> shape(indices.begin(), indices.end() - 1);
  shape.insert(shape.end(), data.begin() + batch + indexed, data.end());
  return shape;
}

void infer_gather_nd(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, bit(DType::i64));
  if (!ctx.has_shape(0) || !ctx.has_shape(1) || ctx.shape(1).empty() || !ctx.shape(1).back().is_static())
    return ctx.set_output(0, Type::tensor(dtype));
  ctx.set_output(0, dtype, gather_nd_shape<Dim>(ctx.node(), ctx.shape(0), ctx.shape(1), ctx.shape(1).back().value()));
}

void evaluate_gather_nd(EvalContext& ctx) {
  const Tensor &x = ctx.input(0), &indices = ctx.input(1);
  const int64_t indexed = indices.dim(-1), batch = ctx.node().attr_int("batch_dims", 0);
  const std::vector<int64_t> shape = gather_nd_shape<int64_t>(ctx.node(), x.shape(), indices.shape(), indexed);
  const std::vector<int64_t> strides = row_major_strides(x.shape());
  const int64_t batches = product({x.shape().data(), static_cast<size_t>(batch)}), points = indices.size() / indexed;
  const int64_t run =
      product({x.shape().data() + batch + indexed, x.shape().size() - static_cast<size_t>(batch + indexed)});
  const int64_t per_batch = batches == 0 ? 0 : points / batches, batch_size = batches == 0 ? 0 : x.size() / batches;
  ctx.set_output(0, rearrange({&x}, shape, [&](const Moving& m) {
                   const size_t bytes = static_cast<size_t>(run) * m.cell;
                   for (int64_t p = 0; p < points; ++p) {
                     int64_t from = p / per_batch * batch_size;
                     for (int64_t i = 0; i < indexed; ++i) {
                       const auto axis = static_cast<size_t>(batch + i);
                       from += strides[axis] * checked(ctx, indices.as_int(p * indexed + i), x.shape()[axis]);
                     }
                     std::memcpy(m.target + static_cast<size_t>(p) * bytes,
                                 m.sources[0] + static_cast<size_t>(from) * m.cell, bytes);
                   }
                 }));
}

}  // namespace

void register_indexing(Catalogue& catalogue) {
  catalogue.add({.name = "Gather",
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .pattern = Pattern::injective,
                 .infer = infer_gather,
                 .evaluate = evaluate_gather,
                 .lower = lower_gather});
  catalogue.add({.name = "GatherElements",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_gather_elements,
                 .evaluate = evaluate_gather_elements});
  catalogue.add({.name = "GatherND",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_gather_nd,
                 .evaluate = evaluate_gather_nd});
}

}  // namespace rooftune::ops
