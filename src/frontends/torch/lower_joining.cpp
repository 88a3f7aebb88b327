// Joining and repeating tensors, and the reorderings that are made of that.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

std::vector<ValueId> operands(Context& c) {
  std::vector<ValueId> values;
  for (const ValueId v : c.tensors("tensors")) values.push_back(c.cast(v, c.result().dtype));
  return values;
}

void cat(Context& c) {
  std::vector<ValueId> values = operands(c), kept;
  const auto rank = static_cast<int64_t>(c.result().shape.size());
  for (const ValueId v : values)  // PyTorch lets empty vectors stand among tensors of any rank
    if (c.rank(v) == rank) kept.push_back(v);
  if (kept.empty()) c.fail("there is nothing to join");
  c.give(c.concat(kept, c.axis(c.integer(c.has("axis") ? "axis" : "dim", 0), rank)));
}

void stack(Context& c) {
  const auto rank = static_cast<int64_t>(c.result().shape.size());
  const int64_t axis = c.axis(c.integer("dim", 0), rank);
  std::vector<ValueId> values;
  for (const ValueId v : operands(c)) values.push_back(c.unsqueeze(v, {axis}));
  if (values.empty()) c.fail("there is nothing to join");
  c.give(c.concat(values, axis));
}

/// hstack, vstack, …: at least `rank` axes each, then joined along `axis`.
Lowering join_along(int64_t least_rank, int64_t axis) {
  return [least_rank, axis](Context& c) {
    std::vector<ValueId> values;
    for (ValueId v : operands(c)) {
      if (c.rank(v) == 0) v = c.reshape(v, std::vector<int64_t>(static_cast<size_t>(least_rank), 1));
      else if (c.rank(v) < least_rank) v = c.unsqueeze(v, {0});
      values.push_back(v);
    }
    if (values.empty()) c.fail("there is nothing to join");
    const bool vectors = axis == 1 && c.result().shape.size() == 1;
    c.give(c.concat(values, vectors ? 0 : axis));
  };
}

/// repeat(sizes) and tile(dims): where one has fewer axes than the other, axes of 1 are put in front.
void repeat(Context& c) {
  std::vector<Size> times = c.sizes(c.has("repeats") ? "repeats" : "dims");
  ValueId x = c.tensor("self");
  const auto missing = static_cast<int64_t>(times.size()) - c.rank_of("self");
  if (missing > 0) x = c.unsqueeze(x, range(missing));
  if (missing < 0) times.insert(times.begin(), static_cast<size_t>(-missing), Size(1));
  const bool once = std::all_of(times.begin(), times.end(), [](const Size& s) { return s.known() && s.value == 1; });
  c.give(once ? x : c.op("Tile", {x, c.sizes(times)}));
}

/// Each element `repeats` times in a row.
void repeat_interleave(Context& c) {
  ValueId x = c.tensor("self");
  int64_t rank = c.rank_of("self"), axis = 0;
  if (c.has("dim")) {
    axis = c.axis(c.integer("dim"), rank);
  } else {
    x = c.reshape(x, {-1});
    rank = 1;
  }
  const int64_t times = c.integer("repeats");
  std::vector<int64_t> repeats(static_cast<size_t>(rank + 1), 1), shape(static_cast<size_t>(rank), 0);
  repeats[static_cast<size_t>(axis + 1)] = times;
  const ValueId wide = c.op("Tile", {c.unsqueeze(x, {axis + 1}), c.ints(repeats)});
  shape[static_cast<size_t>(axis)] = -1;
  // After the axis, the sizes stand one place further in `wide`, so 0 ("as in the input") would take the wrong ones.
  std::vector<Size> sizes;
  for (int64_t i = 0; i < rank; ++i) {
    const ir::Dim& d = c.result().shape.at(static_cast<size_t>(i));
    if (d.is_static()) sizes.emplace_back(d.value());
    else if (i == axis) sizes.emplace_back(-1);
    else sizes.push_back(c.size_of(c.tensor("self"), i));
  }
  c.give(c.reshape_to(wide, sizes));
}

void flip(Context& c) {
  ValueId x = c.tensor("self");
  const std::vector<int64_t> axes = c.has("dims") ? c.axes(c.integers("dims"), c.rank_of("self"))
                                    : c.call().target.starts_with("aten.fliplr") ? std::vector<int64_t>{1}
                                                                                 : std::vector<int64_t>{0};
  if (axes.empty()) return c.give(x);
  const size_t n = axes.size();
  c.give(c.op("Slice", {x, c.ints(std::vector<int64_t>(n, -1)), c.ints(std::vector<int64_t>(n, INT64_MIN)),
                        c.ints(axes), c.ints(std::vector<int64_t>(n, -1))}));
}

void roll(Context& c) {
  const std::vector<int64_t> shifts = c.integers("shifts");
  std::vector<int64_t> axes = c.integers("dims", {});
  ValueId x = c.tensor("self");
  const bool flat = axes.empty();
  if (flat) {
    x = c.reshape(x, {-1});
    axes = {0};
  }
  if (shifts.size() != axes.size()) c.fail("shifts and dims must have as many numbers");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = flat ? 0 : c.axis(axes[i], c.rank_of("self"));
    int64_t shift = shifts[i];
    if (!flat)
      if (const ir::Dim& d = c.shape_of_argument("self")[static_cast<size_t>(axis)]; d.is_static() && d.value() > 0)
        shift %= d.value();  // else it must not be more than the axis
    if (shift == 0) continue;
    x = c.concat({c.slice(x, axis, -shift, INT64_MAX), c.slice(x, axis, 0, -shift)}, axis);
  }
  c.give(flat ? reshape_as(c, x, c.tensor("self")) : x);
}

void pixel_shuffle(Context& c) {
  const int64_t factor = c.integer("upscale_factor");
  if (c.rank_of("self") != 4) c.fail("only tensors of rank 4 are supported");
  c.give(c.op("DepthToSpace", {c.tensor("self")}, {{"blocksize", factor}, {"mode", std::string("CRD")}}));
}

/// [N, C, H·f, W·f] → [N, C·f·f, H, W]; the channel is the outermost of the three (unlike ONNX's SpaceToDepth).
void pixel_unshuffle(Context& c) {
  const int64_t factor = c.integer("downscale_factor");
  const ir::Shape &from = c.shape_of_argument("self"), &to = c.result().shape;
  if (from.size() != 4 || !ir::is_static(to)) c.fail("only tensors of rank 4 and static shape are supported");
  const auto out = ir::static_values(to), in = ir::static_values(from);
  const ValueId split = c.reshape(c.tensor("self"), {in[0], in[1], out[2], factor, out[3], factor});
  c.give(c.reshape(c.transpose(split, {0, 1, 3, 5, 2, 4}), out));
}

void channel_shuffle(Context& c) {
  const int64_t groups = c.integer("groups");
  const ir::Shape& shape = c.shape_of_argument("self");
  if (shape.size() < 2 || !ir::is_static(shape)) c.fail("only static shapes are supported");
  const auto sizes = ir::static_values(shape);
  if (groups < 1 || sizes[1] % groups != 0)
    c.fail(fmt::format("{} groups do not divide {} channels", groups, sizes[1]));
  std::vector<int64_t> split{sizes[0], groups, sizes[1] / groups, -1};
  c.give(c.reshape(c.transpose(c.reshape(c.tensor("self"), split), {0, 2, 1, 3}), sizes));
}

void meshgrid(Context& c) {
  const std::vector<ValueId> values = c.tensors("tensors");
  const bool swapped = c.text("indexing", "ij") == "xy" && values.size() > 1;
  std::vector<Size> shape;
  for (const ValueId v : values) shape.push_back(c.rank(v) == 0 ? Size(1) : c.size_of(v, 0));
  if (swapped) std::swap(shape[0], shape[1]);
  for (size_t i = 0; i < values.size(); ++i) {
    std::vector<int64_t> column(values.size(), 1);
    column[swapped && i < 2 ? 1 - i : i] = -1;
    c.give(i, c.expand(c.reshape(values[i], column), shape));
  }
}

void broadcast_tensors(Context& c) {
  const std::vector<ValueId> values = c.tensors("tensors");
  for (size_t i = 0; i < values.size(); ++i) {
    ValueId shape = kNone;
    if (ir::is_static(c.result(i).shape)) shape = c.ints(ir::static_values(c.result(i).shape));
    else c.fail("sizes that depend on the inputs are not supported");
    c.give(i, c.op("Expand", {values[i], shape}));
  }
}

}  // namespace

void register_joining(Lowerings& t) {
  t.add({"aten.cat.default", "aten.concat.default", "aten.concatenate.default"}, cat);
  t.add("aten.stack.default", stack);
  t.add("aten.hstack.default", join_along(1, 1));
  t.add({"aten.vstack.default", "aten.row_stack.default"}, join_along(2, 0));
  t.add({"aten.repeat.default", "aten.tile.default"}, repeat);
  t.add("aten.repeat_interleave.self_int", repeat_interleave);
  t.add({"aten.flip.default", "aten.fliplr.default", "aten.flipud.default"}, flip);
  t.add("aten.roll.default", roll);
  t.add("aten.pixel_shuffle.default", pixel_shuffle);
  t.add("aten.pixel_unshuffle.default", pixel_unshuffle);
  t.add({"aten.channel_shuffle.default", "aten.native_channel_shuffle.default"}, channel_shuffle);
  t.add({"aten.meshgrid.default", "aten.meshgrid.indexing"}, meshgrid);
  t.add("aten.broadcast_tensors.default", broadcast_tensors);
}

}  // namespace rooftune::frontends::torch_format
