// Operators that give the same elements another shape or order: Reshape, Flatten, Squeeze, Unsqueeze, Transpose,
// Expand, Tile, DepthToSpace, SpaceToDepth.
#include "ops/cells.h"
#include "ops/common.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

void pass_ints(InferContext& ctx) {
  if (auto ints = ctx.ints(0)) ctx.set_output_ints(0, std::move(*ints));
}

// --- Reshape, Flatten, Squeeze, Unsqueeze

/// The shape that a Reshape target stands for: 0 copies (unless allowzero), -1 takes what is left.
Shape reshape_target(const Node& node, const Shape& in, const std::vector<Dim>& target) {
  const bool copy_zeros = node.attr_int("allowzero", 0) == 0;
  Shape out, rest;
  int free = -1;
  for (size_t i = 0; i < target.size(); ++i) {
    Dim d = target[i];
    if (d == Dim(-1)) {
      if (free >= 0) fail(node, "the shape holds -1 twice");
      free = static_cast<int>(i);
      out.push_back(1);
      continue;
    }
    if (d == Dim(0) && copy_zeros) {
      if (i >= in.size())
        fail(node, fmt::format("the shape holds 0 at position {}, but the input {} has {} dims", i, to_string(in),
                               in.size()));
      d = in[i];
    }
    if (d.max() < 0) fail(node, fmt::format("the shape holds {}", d.to_string()));
    out.push_back(d);
    rest.push_back(d);
  }
  const auto mismatch = [&] { fail(node, fmt::format("cannot reshape {} to {}", to_string(in), to_string(target))); };
  if (free >= 0) {
    if (ir::is_static(in) && ir::is_static(rest)) {
      const int64_t have = ir::element_count(in), fixed = ir::element_count(rest);
      if (fixed == 0 ? have != 0 : have % fixed != 0) mismatch();
    }
    out[static_cast<size_t>(free)] = quotient(in, rest);
  } else if (ir::is_static(in) && ir::is_static(out) && ir::element_count(in) != ir::element_count(out)) {
    mismatch();
  }
  return out;
}

void infer_reshape(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, bit(DType::i64));
  pass_ints(ctx);
  const auto target = ctx.ints(1);
  const bool needs_input =
      !target || std::any_of(target->begin(), target->end(), [](const Dim& d) { return d == Dim(0) || d == Dim(-1); });
  if (target && (ctx.has_shape(0) || !needs_input)) {
    return ctx.set_output(0, dtype, ctx.has_shape(0) ? reshape_target(ctx.node(), ctx.shape(0), *target) : *target);
  }
  const bool rank_known = ctx.has_shape(1) && ctx.shape(1).size() == 1 && ctx.shape(1)[0].is_static();
  ctx.set_output(
      0, rank_known ? Type::tensor(dtype, unknown_shape(ctx, 0, ctx.shape(1)[0].value())) : Type::tensor(dtype));
}

void evaluate_reshape(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> target = ctx.input(1).as_ints();
  const Shape shape = reshape_target(ctx.node(), ir::to_shape(x.shape()), {target.begin(), target.end()});
  ctx.set_output(0, x.reshaped(ir::static_values(shape)));
}

Shape flattened(const Node& node, const Shape& in) {
  const auto rank = static_cast<int64_t>(in.size());
  int64_t axis = node.attr_int("axis", 1);
  if (axis < -rank || axis > rank) fail(node, fmt::format("axis {} is out of range for rank {}", axis, rank));
  if (axis < 0) axis += rank;
  return {product(Shape(in.begin(), in.begin() + axis)), product(Shape(in.begin() + axis, in.end()))};
}

/// What Squeeze leaves of a shape; nothing where that depends on a symbolic extent.
std::optional<Shape> squeezed(const Node& node, const Shape& in, const std::optional<std::vector<int64_t>>& axes) {
  Shape out;
  if (!axes) {
    for (const Dim& d : in) {
      if (!d.is_static() && d.min() <= 1) return std::nullopt;
      if (d != Dim(1)) out.push_back(d);
    }
    return out;
  }
  const std::vector<int> gone = normalize_axes(node, *axes, static_cast<int>(in.size()));
  for (size_t i = 0; i < in.size(); ++i) {
    if (std::find(gone.begin(), gone.end(), static_cast<int>(i)) == gone.end()) out.push_back(in[i]);
    else if (!may_equal(in[i], 1)) fail(node, fmt::format("cannot squeeze axis {} of {}", i, to_string(in)));
  }
  return out;
}

Shape unsqueezed(const Node& node, const Shape& in, const std::vector<int64_t>& axes) {
  const std::vector<int> fresh = normalize_axes(node, axes, static_cast<int>(in.size() + axes.size()));
  Shape out = in;
  for (int a : fresh) out.insert(out.begin() + a, Dim(1));
  return out;
}

/// The axes operand of Squeeze and Unsqueeze: an input since opset 13.
std::optional<std::vector<int64_t>> axes_operand(const EvalContext& ctx) {
  if (ctx.has_input(1)) return ctx.input(1).as_ints();
  return std::nullopt;
}

void infer_flatten(InferContext& ctx) {
  pass_ints(ctx);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(ctx.dtype(0)));
  ctx.set_output(0, ctx.dtype(0), flattened(ctx.node(), ctx.shape(0)));
}

void infer_squeeze(InferContext& ctx) {
  pass_ints(ctx);
  const auto axes = static_ints(ctx, 1);
  std::optional<Shape> shape;
  if (ctx.has_shape(0) && (axes || !ctx.has_input(1))) shape = squeezed(ctx.node(), ctx.shape(0), axes);
  ctx.set_output(0, Type::tensor(ctx.dtype(0), shape));
}

void infer_unsqueeze(InferContext& ctx) {
  pass_ints(ctx);
  const auto axes = static_ints(ctx, 1);
  std::optional<Shape> shape;
  if (ctx.has_shape(0) && axes) shape = unsqueezed(ctx.node(), ctx.shape(0), *axes);
  ctx.set_output(0, Type::tensor(ctx.dtype(0), shape));
}

void evaluate_flatten(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  ctx.set_output(0, x.reshaped(ir::static_values(flattened(ctx.node(), ir::to_shape(x.shape())))));
}
void evaluate_squeeze(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  ctx.set_output(0, x.reshaped(ir::static_values(*squeezed(ctx.node(), ir::to_shape(x.shape()), axes_operand(ctx)))));
}
void evaluate_unsqueeze(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  ctx.set_output(0, x.reshaped(ir::static_values(unsqueezed(ctx.node(), ir::to_shape(x.shape()), *axes_operand(ctx)))));
}

/// Index into a tensor of shape `in` for the index `out` into the same elements seen as `shape`. Runs of dims with the
/// same number of elements on both sides are dealt with on their own, so that most dims map to themselves.
std::vector<Index> reshaped_index(const std::vector<int64_t>& in, const std::vector<int64_t>& shape,
                                  const std::vector<Index>& out, const kernel::RangeOf& ranges) {
  std::vector<Index> source;
  size_t i = 0, o = 0;
  while (i < in.size() || o < shape.size()) {
    size_t i_end = i, o_end = o;
    int64_t have = 1, want = 1;
    if (i_end < in.size()) have = in[i_end++];
    if (o_end < shape.size()) want = shape[o_end++];
    while (have != want) {
      if (have < want) have *= in.at(i_end++);
      else want *= shape.at(o_end++);
    }
    std::vector<Index> at;  // without dims of one element, whose strides are other dims' extents: those may be free
    std::vector<int64_t> extents;
    for (; o < o_end; ++o)
      if (shape[o] != 1) at.push_back(out[o]), extents.push_back(shape[o]);
    for (const Index& x :
         split_index(linear_index(at, extents),
                     {in.begin() + static_cast<int64_t>(i), in.begin() + static_cast<int64_t>(i_end)}, ranges))
      source.push_back(x);
    i = i_end;
  }
  return source;
}

void lower_reshape(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const std::vector<int64_t> in = ctx.shape(0), shape = ctx.output_shape(0);
  ctx.set_output(0, add_move(ctx, "reshape", ctx.input(0), shape,
                             [&](const std::vector<Index>& out, const kernel::RangeOf& ranges) {
                               return reshaped_index(in, shape, out, ranges);
                             }));
}

// --- Transpose

std::vector<int64_t> permutation(const Node& node, size_t rank) {
  std::vector<int64_t> order = iota(static_cast<int64_t>(rank));
  std::reverse(order.begin(), order.end());
  const std::vector<int64_t> perm = node.attr_ints("perm", order);
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != iota(static_cast<int64_t>(rank)))
    fail(node, fmt::format("perm [{}] is not a permutation of the {} axes", fmt::join(perm, ","), rank));
  return perm;
}

void infer_transpose(InferContext& ctx) {
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(ctx.dtype(0)));
  Shape shape;
  for (int64_t p : permutation(ctx.node(), ctx.shape(0).size())) shape.push_back(ctx.shape(0)[static_cast<size_t>(p)]);
  ctx.set_output(0, ctx.dtype(0), std::move(shape));
}

void evaluate_transpose(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> from = row_major_strides(x.shape());
  std::vector<int64_t> shape, strides;
  for (int64_t p : permutation(ctx.node(), x.shape().size())) {
    shape.push_back(x.shape()[static_cast<size_t>(p)]);
    strides.push_back(from[static_cast<size_t>(p)]);
  }
  ctx.set_output(0, rearrange({&x}, shape,
                              [&](const Moving& m) { copy_strided(m.sources[0], m.cell, m.target, shape, strides); }));
}

void lower_transpose(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const std::vector<int64_t> perm = permutation(ctx.node(), ctx.shape(0).size());
  ctx.set_output(0, add_move(ctx, "transpose", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf&) {
                               std::vector<Index> source(perm.size());
                               for (size_t i = 0; i < perm.size(); ++i) source[static_cast<size_t>(perm[i])] = out[i];
                               return source;
                             }));
}

// --- Expand, Tile

void infer_expand(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, bit(DType::i64));
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const auto target = ctx.ints(1);
  if (!target) {
    if (!ctx.has_shape(1) || ctx.shape(1).size() != 1 || !ctx.shape(1)[0].is_static())
      return ctx.set_output(0, Type::tensor(dtype));
    const int64_t rank = std::max<int64_t>(ctx.shape(1)[0].value(), static_cast<int64_t>(ctx.shape(0).size()));
    return ctx.set_output(0, dtype, unknown_shape(ctx, 0, rank));
  }
  const Shape shape = broadcast(ctx.node(), ctx.shape(0), *target);
  ctx.set_output(0, dtype, shape);
  const auto ints = ctx.ints(0);
  if (ints && ints->size() == 1 && ir::is_static(shape) && ir::element_count(shape) <= 1024) {
    ctx.set_output_ints(0, std::vector<Dim>(static_cast<size_t>(ir::element_count(shape)), (*ints)[0]));
  }
}

void evaluate_expand(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> shape = broadcast(ctx.node(), x.shape(), ctx.input(1).as_ints());
  std::vector<int64_t> strides = row_major_strides(x.shape());
  for (size_t i = 0; i < strides.size(); ++i) strides[i] = x.shape()[i] == 1 ? 0 : strides[i];
  strides.insert(strides.begin(), shape.size() - strides.size(), 0);
  ctx.set_output(0, rearrange({&x}, shape,
                              [&](const Moving& m) { copy_strided(m.sources[0], m.cell, m.target, shape, strides); }));
}

void lower_expand(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  ctx.set_output(0, add_move(ctx, "expand", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf&) {
                               return broadcast_indices(ctx.shape(0), out);
                             }));
}

void infer_tile(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, bit(DType::i64));
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape& in = ctx.shape(0);
  const auto repeats = ctx.ints(1);
  if (!repeats) {
    require_shape(ctx, 1, "repeats", {Dim(static_cast<int64_t>(in.size()))});
    return ctx.set_output(0, dtype, unknown_shape(ctx, 0, static_cast<int64_t>(in.size())));
  }
  if (repeats->size() != in.size())
    ctx.fail(fmt::format("repeats has {} values, the input {} has {} dims", repeats->size(), to_string(in), in.size()));
  Shape shape;
  for (size_t i = 0; i < in.size(); ++i) {
    if ((*repeats)[i].max() < 0) ctx.fail("repeats holds a negative number");
    shape.push_back(in[i] * (*repeats)[i]);
  }
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_tile(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> repeats = ctx.input(1).as_ints();
  std::vector<int64_t> shape;
  std::vector<std::vector<int64_t>> maps(x.shape().size());
  for (size_t i = 0; i < maps.size(); ++i) {
    shape.push_back(x.shape()[i] * repeats[i]);
    for (int64_t j = 0; j < shape[i]; ++j) maps[i].push_back(j % x.shape()[i]);
  }
  ctx.set_output(
      0, rearrange({&x}, shape, [&](const Moving& m) { copy_grid(m.sources[0], m.cell, m.target, x.shape(), maps); }));
}

void lower_tile(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const std::vector<int64_t> in = ctx.shape(0);
  ctx.set_output(0, add_move(ctx, "tile", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf& ranges) {
                               std::vector<Index> source;
                               for (size_t i = 0; i < in.size(); ++i) source.push_back(mod(out[i], in[i], ranges));
                               return source;
                             }));
}

// --- DepthToSpace, SpaceToDepth

int64_t block_size(const Node& node) {
  const int64_t block = node.attr_int("blocksize", 0);
  constexpr int64_t most = int64_t{1} << 23;  // a block of its square is as large as a tensor can be
  if (block < 1 || block > most) fail(node, fmt::format("blocksize is {}, must be 1 to {}", block, most));
  return block;
}

/// Both take [N,C,H,W]; `to_space` says which way.
void infer_blocks(InferContext& ctx, bool to_space) {
  require_rank(ctx, 0, 4, 4);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(ctx.dtype(0)));
  const int64_t b = block_size(ctx.node());
  const Shape& x = ctx.shape(0);
  auto divides = [&](int axis, int64_t by) {
    const Dim& d = x[static_cast<size_t>(axis)];
    if (d.is_static() && d.value() % by != 0)
      ctx.fail(fmt::format("dim {} of {} must be a multiple of {}", axis, to_string(x), by));
  };
  if (to_space) {
    divides(1, b * b);
    ctx.set_output(0, ctx.dtype(0), {x[0], floordiv(x[1], b * b), x[2] * Dim(b), x[3] * Dim(b)});
  } else {
    divides(2, b);
    divides(3, b);
    ctx.set_output(0, ctx.dtype(0), {x[0], x[1] * Dim(b * b), floordiv(x[2], b), floordiv(x[3], b)});
  }
}

bool column_first(const Node& node) {
  const std::string mode = node.attr_string("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") fail(node, "mode '" + mode + "', must be DCR or CRD");
  return mode == "CRD";
}

void evaluate_depth_to_space(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t b = block_size(ctx.node()), n = x.dim(0), c = x.dim(1) / (b * b), h = x.dim(2), w = x.dim(3);
  const int64_t plane = h * w;
  const bool crd = column_first(ctx.node());
  // Target axes n, c, y, by, x, bx.
  const std::vector<int64_t> extents = {n, c, h, b, w, b};
  const int64_t sc = crd ? b * b * plane : plane, sy = crd ? b * plane : b * c * plane, sx = crd ? plane : c * plane;
  const std::vector<int64_t> strides = {x.dim(1) * plane, sc, w, sy, 1, sx};
  ctx.set_output(0, rearrange({&x}, {n, c, h * b, w * b}, [&](const Moving& m) {
                   copy_strided(m.sources[0], m.cell, m.target, extents, strides);
                 }));
}

void evaluate_space_to_depth(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t b = block_size(ctx.node()), n = x.dim(0), c = x.dim(1), h = x.dim(2) / b, w = x.dim(3) / b;
  const int64_t row = x.dim(3), plane = x.dim(2) * row;
  // Target axes n, by, bx, c, y, x.
  const std::vector<int64_t> extents = {n, b, b, c, h, w}, strides = {c * plane, row, 1, plane, b * row, b};
  ctx.set_output(0, rearrange({&x}, {n, c * b * b, h, w}, [&](const Moving& m) {
                   copy_strided(m.sources[0], m.cell, m.target, extents, strides);
                 }));
}

void lower_depth_to_space(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const int64_t b = block_size(ctx.node()), c = ctx.output_shape(0)[1];
  const bool crd = column_first(ctx.node());
  ctx.set_output(0, add_move(ctx, "depth_to_space", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf& ranges) {
                               const Index inside = mod(out[2], b, ranges) * b + mod(out[3], b, ranges);
                               const Index channel = crd ? out[1] * (b * b) + inside : inside * c + out[1];
                               return std::vector<Index>{out[0], channel, floordiv(out[2], b, ranges),
                                                         floordiv(out[3], b, ranges)};
                             }));
}

void lower_space_to_depth(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const int64_t b = block_size(ctx.node()), c = ctx.shape(0)[1];
  ctx.set_output(0, add_move(ctx, "space_to_depth", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf& ranges) {
                               const Index inside = floordiv(out[1], c, ranges);
                               return std::vector<Index>{out[0], mod(out[1], c, ranges),
                                                         out[2] * b + floordiv(inside, b, ranges),
                                                         out[3] * b + mod(inside, b, ranges)};
                             }));
}

}  // namespace

void register_movement(Catalogue& catalogue) {
  auto add = [&](const char* name, int since, int min, int max, auto infer, auto evaluate, auto lower) {
    catalogue.add({.name = name,
                   .since_version = since,
                   .min_inputs = min,
                   .max_inputs = max,
                   .pattern = Pattern::injective,
                   .infer = infer,
                   .evaluate = evaluate,
                   .lower = lower});
  };
  add("Reshape", 5, 2, 2, infer_reshape, evaluate_reshape, lower_reshape);
  add("Flatten", 9, 1, 1, infer_flatten, evaluate_flatten, lower_reshape);
  add("Squeeze", 13, 1, 2, infer_squeeze, evaluate_squeeze, lower_reshape);
  add("Unsqueeze", 13, 2, 2, infer_unsqueeze, evaluate_unsqueeze, lower_reshape);
  add("Transpose", 1, 1, 1, infer_transpose, evaluate_transpose, lower_transpose);
  add("Expand", 8, 2, 2, infer_expand, evaluate_expand, lower_expand);
  add("Tile", 6, 2, 2, infer_tile, evaluate_tile, lower_tile);
  add(
      "DepthToSpace", 11, 1, 1, [](InferContext& ctx) { infer_blocks(ctx, true); }, evaluate_depth_to_space,
      lower_depth_to_space);
  add(
      "SpaceToDepth", 1, 1, 1, [](InferContext& ctx) { infer_blocks(ctx, false); }, evaluate_space_to_depth,
      lower_space_to_depth);
}

}  // namespace rooftune::ops
