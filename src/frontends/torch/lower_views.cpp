// Other shapes, orders and parts of the same elements.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

void same(Context& c) { c.give(c.tensor(c.has("self") ? "self" : "input")); }

void view(Context& c) {
  std::vector<Size> wanted;
  const bool sized = c.has("size") || c.has("shape");
  const TensorMeta &from = c.meta("self"), &to = c.result();
  if (!ir::is_static(to.shape) && sized) wanted = c.sizes(c.has("size") ? "size" : "shape");
  c.give(reshape_like_result(c, c.tensor("self"), from, to, wanted));
}

void view_like(Context& c) { c.give(reshape_as(c, c.tensor("self"), c.tensor("other"))); }

void view_as_type(Context& c) {
  const DType to = c.dtype_argument("dtype", c.result().dtype);
  if (to == c.meta("self").dtype) return same(c);
  if (ir::bit_width(to) != ir::bit_width(c.meta("self").dtype)) c.fail("only types of the same width are supported");
  c.give(c.op_as(to, "BitCast", {c.tensor("self")}, {{"to", static_cast<int64_t>(to)}}));
}

/// flatten(start, end) and unflatten(dim, sizes): the sizes that no number says are read off the input.
void flatten(Context& c) {
  const int64_t rank = c.rank_of("self");
  const ValueId x = c.tensor("self");
  if (rank == 0) return c.give(c.reshape(x, {1}));
  const int64_t start = c.axis(c.integer("start_dim", 0), rank), end = c.axis(c.integer("end_dim", -1), rank);
  if (start > end) c.fail(fmt::format("start_dim {} lies behind end_dim {}", start, end));
  if (ir::is_static(c.result().shape)) return c.give(reshape_like_result(c, x, c.meta("self"), c.result(), {}));
  std::vector<Size> sizes;
  for (int64_t i = 0; i < rank; ++i) {
    if (i == start) sizes.emplace_back(-1);
    else if (i < start || i > end) sizes.push_back(c.size_of(x, i));
  }
  c.give(reshape_like_result(c, x, c.meta("self"), c.result(), sizes));
}

void unflatten(Context& c) {
  const int64_t rank = c.rank_of("self"), axis = c.axis(c.integer("dim"), rank);
  const ValueId x = c.tensor("self");
  std::vector<Size> sizes;
  for (int64_t i = 0; i < rank; ++i) {
    if (i != axis) sizes.push_back(c.size_of(x, i));
    else
      for (const Size& s : c.sizes("sizes")) sizes.push_back(s);
  }
  c.give(reshape_like_result(c, x, c.meta("self"), c.result(), sizes));
}

void unsqueeze(Context& c) {
  c.give(c.Builder::unsqueeze(c.tensor("self"), {c.axis(c.integer("dim"), c.rank_of("self") + 1)}));
}

void squeeze(Context& c) {
  const ir::Shape& shape = c.shape_of_argument("self");
  const auto rank = static_cast<int64_t>(shape.size());
  const std::vector<int64_t> asked = c.has("dim") ? c.axes(c.integers("dim"), rank) : range(rank);
  std::vector<int64_t> axes;
  for (const int64_t a : asked)
    if (rank > 0 && shape[static_cast<size_t>(a)] == ir::Dim(1)) axes.push_back(a);
  c.give(c.Builder::squeeze(c.tensor("self"), axes));
}

void expand(Context& c) {
  const ValueId x = c.tensor("self");
  if (c.meta("self").shape == c.result().shape) return c.give(x);
  const bool like = c.has("other");
  std::vector<Size> sizes = like ? c.Builder::shape_of(c.tensor("other")) : c.sizes("size");
  const auto& shape = c.result().shape;
  if (sizes.size() != shape.size()) c.fail("size has another rank than the result");
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (shape[i].is_static()) sizes[i] = shape[i].value();
    else if (sizes[i].known() && sizes[i].value == -1) sizes[i] = 1;  // ONNX's Expand keeps what meets a 1
  }
  c.give(c.Builder::expand(x, sizes));
}

void permute(Context& c) { c.give(c.transpose(c.tensor("self"), permutation(c))); }

void part(Context& c) { c.give(take(c, c.tensor("self"), part_of(c, 0))); }

/// All parts along an axis at once.
void split(Context& c) {
  const size_t count = c.result_count();
  const int64_t axis = c.axis(c.integer("dim", 0), c.rank_of("self"));
  const ValueId x = c.tensor("self");
  std::vector<int64_t> lengths;
  std::vector<DType> types(count, c.dtype(x));
  for (size_t i = 0; i < count; ++i) {
    const ir::Dim& d = c.result(i).shape.at(static_cast<size_t>(axis));
    if (!d.is_static()) c.fail(fmt::format("axis {} is split, but the sizes of its parts depend on the inputs", axis));
    lengths.push_back(d.value());
  }
  if (count == 1) return c.give(x);
  c.give_list(c.ops("Split", {x, c.ints(lengths)}, types, {{"axis", axis}}));
}

void unbind(Context& c) {
  const ValueId x = c.tensor("self");
  const size_t count = c.result_count();
  const int64_t axis = c.axis(c.integer("dim", 0), c.rank_of("self"));
  if (count == 1) return c.give(c.Builder::squeeze(x, {axis}));
  const std::vector<int64_t> ones(count, 1);
  const auto parts = c.ops("Split", {x, c.ints(ones)}, std::vector<DType>(count, c.dtype(x)), {{"axis", axis}});
  for (size_t i = 0; i < count; ++i) c.give(i, c.Builder::squeeze(parts[i], {axis}));
}

void part_scatter(Context& c) {
  const ValueId base = c.tensor("self");
  c.give(put(c, base, c.operand("src", c.dtype(base)), part_of(c, 0)));
}

/// Windows of an axis, which come to stand in a new last axis.
void unfold(Context& c) {
  const int64_t rank = c.rank_of("self"), axis = c.axis(c.integer("dimension"), rank);
  const int64_t size = c.integer("size"), step = c.integer("step");
  const ir::Dim& count = c.result().shape.at(static_cast<size_t>(axis));
  if (!count.is_static()) c.fail("the number of windows depends on the inputs");
  if (size < 0 || step < 1 || size > (int64_t{1} << 24) / std::max<int64_t>(count.value(), 1))
    c.fail(fmt::format("windows of {} with step {} are out of range", size, step));
  std::vector<int64_t> at;
  for (int64_t w = 0; w < count.value(); ++w)
    for (int64_t i = 0; i < size; ++i) at.push_back(w * step + i);
  const ValueId index = c.constant(ir::Tensor::of<int64_t>(DType::i64, {count.value(), size}, at));
  const ValueId windows = c.gather(c.tensor("self"), index, axis);  // […, windows, size, …]
  c.give(c.transpose(windows, moved(rank + 1, axis + 1, rank)));
}

/// diagonal(offset, dim1, dim2): the plane comes last, is flattened, and its elements are picked.
void diagonal(Context& c) {
  const int64_t rank = c.rank_of("self"), offset = c.integer("offset", 0);
  const int64_t a = c.axis(c.integer("dim1", 0), rank), b = c.axis(c.integer("dim2", 1), rank);
  const ir::Shape& shape = c.shape_of_argument("self");
  if (rank < 2 || a == b) c.fail("dim1 and dim2 must be two axes");
  const ir::Dim &rows = shape[static_cast<size_t>(a)], &columns = shape[static_cast<size_t>(b)];
  const ir::Dim& count = c.result().shape.back();
  if (!rows.is_static() || !columns.is_static() || !count.is_static()) c.fail("the plane's sizes depend on the inputs");
  std::vector<int64_t> order;
  for (int64_t i = 0; i < rank; ++i)
    if (i != a && i != b) order.push_back(i);
  std::vector<Size> flat;
  const ValueId x = c.tensor("self");
  for (const int64_t i : order) flat.push_back(c.size_of(x, i));
  order.insert(order.end(), {a, b});
  flat.emplace_back(rows.value() * columns.value());
  std::vector<int64_t> at;
  for (int64_t i = 0; i < count.value(); ++i)
    at.push_back((i + std::max<int64_t>(-offset, 0)) * columns.value() + i + std::max<int64_t>(offset, 0));
  c.give(c.gather(c.reshape_to(c.transpose(x, order), flat), c.ints(at), rank - 2));
}

/// Any strides over a contiguous tensor of static shape: elements picked one by one from the flat tensor.
void as_strided(Context& c) {
  const TensorMeta& from = c.meta("self");
  const std::vector<int64_t> size = c.integers("size"), stride = c.integers("stride");
  if (!ir::is_static(from.shape) || !from.contiguous) c.fail("only contiguous tensors of static shape are supported");
  const int64_t count = ir::checked_element_count(size), all = ir::element_count(from.shape);
  if (size.size() != stride.size() || count > (int64_t{1} << 26)) c.fail("size and stride do not fit");
  std::vector<int64_t> at(static_cast<size_t>(count)), index(size.size());
  for (auto& place : at) {
    __int128 element = c.integer("storage_offset", 0);
    for (size_t d = 0; d < size.size(); ++d) element += static_cast<__int128>(index[d]) * stride[d];
    if (element < 0 || element >= all) c.fail("it reaches outside of the tensor");
    place = static_cast<int64_t>(element);
    for (size_t d = size.size(); d-- > 0 && ++index[d] == size[d];) index[d] = 0;
  }
  const ValueId flat = c.reshape(c.tensor("self"), {-1});
  c.give(c.gather(flat, c.constant(ir::Tensor::of<int64_t>(DType::i64, size, at)), 0));
}

void register_shapes(Lowerings& t) {
  t.add({"aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten._reshape_alias.default",
         "aten.ravel.default"},
        view);
  t.add({"aten.view_as.default", "aten.reshape_as.default"}, view_like);
  t.add("aten.view.dtype", view_as_type);
  t.add("aten.flatten.using_ints", flatten);
  t.add("aten.unflatten.int", unflatten);
  t.add("aten.unsqueeze.default", unsqueeze);
  t.add({"aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims"}, squeeze);
  t.add({"aten.expand.default", "aten.expand_as.default", "aten.broadcast_to.default"}, expand);
  t.add({"aten.permute.default", "aten.transpose.int", "aten.t.default", "aten.numpy_T.default", "aten.mT.default",
         "aten.adjoint.default", "aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int",
         "aten.moveaxis.intlist", "aten.swapaxes.default", "aten.swapdims.default"},
        permute);
}

}  // namespace

void register_views(Lowerings& t) {
  register_shapes(t);
  t.add({"aten.select.int", "aten.slice.Tensor", "aten.narrow.default"}, part);
  t.add({"aten.split.Tensor", "aten.split.sizes", "aten.split_with_sizes.default", "aten.chunk.default",
         "aten.split_with_sizes_copy.default"},
        split);
  t.add("aten.unbind.int", unbind);
  t.add({"aten.select_scatter.default", "aten.slice_scatter.default"}, part_scatter);
  t.add("aten.unfold.default", unfold);
  t.add("aten.diagonal.default", diagonal);
  t.add("aten.as_strided.default", as_strided);
  t.add({"aten.alias.default", "aten.clone.default", "aten.contiguous.default", "aten.detach.default",
         "aten.lift_fresh.default", "aten.lift_fresh_copy.default", "aten.lift.default", "aten.positive.default",
         "aten.resolve_conj.default", "aten.resolve_neg.default", "aten._to_copy.default", "aten.to.dtype",
         "aten.to.device", "aten.to.dtype_layout", "aten.to.other", "aten.type_as.default", "aten.alias_copy.default",
         "aten.detach_copy.default"},
        same);
  t.add({"aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default",
         "aten.feature_alpha_dropout.default"},
        [](Context& c) {
          if (c.flag("train", true) && c.real("p", 0.5) > 0)
            c.fail("it drops at random: export the model after eval()");
          same(c);
        });
  t.add("aten.native_dropout.default", [](Context& c) {
    if (c.flag("train", true) && c.real("p", 0.5) > 0) c.fail("it drops at random: export the model after eval()");
    const ValueId x = c.tensor("input");
    c.give(x);
    c.give(1, c.full(c.Builder::shape_of(x), ir::Tensor::of<uint8_t>(DType::boolean, {}, {1})));
  });
}

}  // namespace rooftune::frontends::torch_format
