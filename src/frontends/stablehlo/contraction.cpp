// dot_general as MatMul, convolution as Conv or ConvTranspose, with the transposes that bring their dimensions there.
#include <algorithm>
#include <numeric>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;
using Ints = std::vector<int64_t>;

bool contains(const Ints& v, int64_t x) { return std::find(v.begin(), v.end(), x) != v.end(); }

Ints concat(std::initializer_list<const Ints*> parts) {
  Ints out;
  for (const Ints* p : parts) out.insert(out.end(), p->begin(), p->end());
  return out;
}

Ints gathered(const Ints& shape, const Ints& axes) {
  Ints out;
  for (const int64_t a : axes) out.push_back(shape[static_cast<size_t>(a)]);
  return out;
}

Ints others(int rank, const Ints& a, const Ints& b) {
  Ints out;
  for (int64_t d = 0; d < rank; ++d)
    if (!contains(a, d) && !contains(b, d)) out.push_back(d);
  return out;
}

struct DotDims {
  Ints left_batch, right_batch, left_contract, right_contract;
};

DotDims dot_dims(Lowering& l) {
  DotDims d;
  const auto pair = [&](const char* name, Ints& left, Ints& right) {
    const mlir::Attribute* a = l.find({name});
    if (!a) return;
    if (a->items.size() != 2) l.fail(fmt::format("'{}' must be [left] x [right]", name));
    left = l.to_ints(a->items[0], name);
    right = l.to_ints(a->items[1], name);
  };
  if (const mlir::Attribute* a = l.find({"dot_dimension_numbers"})) {
    const auto field = [&](const char* name, Ints& out) {
      if (const auto it = a->fields.find(name); it != a->fields.end()) out = l.to_ints(it->second, name);
    };
    field("lhs_batching_dimensions", d.left_batch);
    field("rhs_batching_dimensions", d.right_batch);
    field("lhs_contracting_dimensions", d.left_contract);
    field("rhs_contracting_dimensions", d.right_contract);
  } else {
    pair("batching_dims", d.left_batch, d.right_batch);
    pair("contracting_dims", d.left_contract, d.right_contract);
  }
  l.check_axes(concat({&d.left_batch, &d.left_contract}), l.rank(0), "dimensions of the left operand");
  l.check_axes(concat({&d.right_batch, &d.right_contract}), l.rank(1), "dimensions of the right operand");
  if (d.left_batch.size() != d.right_batch.size() || d.left_contract.size() != d.right_contract.size())
    l.fail("the operands must have as many batching and as many contracting dimensions");
  for (size_t side = 0; side < 2; ++side) {
    const Ints &left = side == 0 ? d.left_batch : d.left_contract,
               &right = side == 0 ? d.right_batch : d.right_contract;
    for (size_t i = 0; i < left.size(); ++i)
      if (!(l.type(0).shape()[static_cast<size_t>(left[i])] == l.type(1).shape()[static_cast<size_t>(right[i])]))
        l.fail(fmt::format("dimension {} of {} and {} of {} differ", left[i], mlir::text_of(l.type(0)), right[i],
                           mlir::text_of(l.type(1))));
  }
  return d;
}

/// MatMul of (batch…, M, K) and (batch…, K, N). What has one dimension of each kind needs no Reshape, so that symbolic
/// sizes pass; nor have the free dimensions of the left where there is no batch.
void dot(Lowering& l, const DotDims& d) {
  const Ints left_free = others(l.rank(0), d.left_batch, d.left_contract);
  const Ints right_free = others(l.rank(1), d.right_batch, d.right_contract);
  ValueId left = l.id(0), right = l.id(1);
  const DType dtype = l.result().dtype();
  if (l.dtype(0) != dtype) left = l.cast(left, dtype);
  if (l.dtype(1) != dtype) right = l.cast(right, dtype);
  left = l.transpose(left, concat({&d.left_batch, &left_free, &d.left_contract}));
  right = l.transpose(right, concat({&d.right_batch, &d.right_contract, &right_free}));
  const bool one_contract = d.left_contract.size() == 1;
  const bool left_fits = one_contract && (left_free.size() == 1 || (d.left_batch.empty() && !left_free.empty()));
  const bool right_fits = one_contract && right_free.size() == 1;
  if (!left_fits) {
    const Ints shape = l.shape(0);
    Ints to = gathered(shape, d.left_batch);
    to.push_back(product(l, gathered(shape, left_free)));
    to.push_back(product(l, gathered(shape, d.left_contract)));
    left = l.reshape(left, to);
  }
  if (!right_fits) {
    const Ints shape = l.shape(1);
    Ints to = gathered(shape, d.right_batch);
    to.push_back(product(l, gathered(shape, d.right_contract)));
    to.push_back(product(l, gathered(shape, right_free)));
    right = l.reshape(right, to);
  }
  const ValueId out = l.emit("MatMul", {left, right});
  l.set(left_fits && right_fits ? out : l.reshape(out, l.result_shape()));
}

void dot_general(Lowering& l) {
  l.require_operands(2);
  dot(l, dot_dims(l));
}

/// The last dimension of the left with the first of the right.
void plain_dot(Lowering& l) {
  l.require_operands(2);
  if (l.rank(0) < 1 || l.rank(1) < 1 || l.rank(0) > 2 || l.rank(1) > 2) l.fail("expected vectors or matrices");
  if (!(l.type(0).shape().back() == l.type(1).shape()[0])) l.fail("the contracted dimensions differ");
  dot(l, {{}, {}, {l.rank(0) - 1}, {0}});
}

// --- convolution

struct Window {
  Ints strides, low, high, base_dilation, dilation, reversed;  // by spatial dimension
};

/// Where batch (or output feature), feature and the spatial dimensions stand.
struct Layout {
  int64_t first = -1, second = -1;
  Ints spatial;
};

/// Of three lists like [b, 0, 1, f]: `first` and `second` name the two that are not spatial.
Layout layout(Lowering& l, const mlir::Attribute& list, const char* first, const char* second) {
  Layout out;
  const auto rank = static_cast<int64_t>(list.items.size());
  out.spatial.assign(static_cast<size_t>(std::max<int64_t>(0, rank - 2)), -1);
  for (int64_t i = 0; i < rank; ++i) {
    const mlir::Attribute& a = list.items[static_cast<size_t>(i)];
    if (a.text == first) {
      out.first = i;
    } else if (a.text == second) {
      out.second = i;
    } else {
      const int64_t s = l.to_int(a, "dim_numbers");
      l.check_axes({s}, static_cast<int>(out.spatial.size()), "dim_numbers");
      out.spatial[static_cast<size_t>(s)] = i;
    }
  }
  if (out.first < 0 || out.second < 0 || contains(out.spatial, -1))
    l.fail(fmt::format("'dim_numbers' must name '{}', '{}' and every spatial dimension once", first, second));
  return out;
}

Ints order(const Layout& layout) {
  Ints out = {layout.first, layout.second};
  out.insert(out.end(), layout.spatial.begin(), layout.spatial.end());
  return out;
}

Ints inverse(const Ints& perm) {
  Ints out(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) out[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return out;
}

/// Of the pretty form's `window = {…}` or of the attributes of the generic form.
Window window(Lowering& l, size_t spatial) {
  Window w;
  const mlir::Attribute* pretty = l.find({"window"});
  const auto values = [&](const char* key, const char* name, size_t n, int64_t otherwise, int64_t least) {
    Ints v(n, otherwise);
    if (pretty) {
      if (const auto it = pretty->fields.find(key); it != pretty->fields.end()) v = l.to_ints(it->second, key);
    } else {
      v = l.ints({name}, v);
    }
    if (v.size() != n) l.fail(fmt::format("'{}' has {} values; expected {}", pretty ? key : name, v.size(), n));
    for (const int64_t x : v)
      if (x < least || std::abs(std::max<int64_t>(x, -INT32_MAX)) >= INT32_MAX)
        l.fail(fmt::format("'{}' holds {}, which is out of range", pretty ? key : name, x));
    return v;
  };
  w.strides = values("stride", "window_strides", spatial, 1, 1);
  w.base_dilation = values("lhs_dilate", "lhs_dilation", spatial, 1, 1);
  w.dilation = values("rhs_dilate", "rhs_dilation", spatial, 1, 1);
  w.reversed = values("reverse", "window_reversal", spatial, 0, 0);
  const Ints pads = values("pad", "padding", 2 * spatial, 0, INT64_MIN);
  for (size_t i = 0; i < spatial; ++i) w.low.push_back(pads[2 * i]), w.high.push_back(pads[2 * i + 1]);
  return w;
}

ValueId flipped(Lowering& l, ValueId v, const Ints& axes) {
  if (axes.empty()) return v;
  const Ints first(axes.size(), -1), last(axes.size(), INT64_MIN), step(axes.size(), -1);
  return l.emit("Slice", {v, l.list(first), l.list(last), l.list(axes), l.list(step)});
}

Ints spatial_axes(size_t n, const Ints& chosen) {  // of (N, C, spatial…), those that `chosen` marks
  Ints out;
  for (size_t i = 0; i < n; ++i)
    if (chosen[i] != 0) out.push_back(static_cast<int64_t>(i) + 2);
  return out;
}

/// The same convolution as a ConvTranspose with stride `base_dilation`; kNone where that cannot be said.
ValueId as_transposed(Lowering& l, ValueId x, ValueId w, const Ints& kernel, const Window& v, int64_t group) {
  Ints pads_begin, pads_end, extra;
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t reach = (kernel[i] - 1) * v.dilation[i], begin = reach - v.low[i], end = reach - v.high[i];
    if (v.strides[i] != 1 || begin < 0 || (end < 0 && -end >= std::max(v.base_dilation[i], v.dilation[i])))
      return ir::kNone;
    pads_begin.push_back(begin);
    pads_end.push_back(std::max<int64_t>(0, end));
    extra.push_back(std::max<int64_t>(0, -end));
  }
  if (group != 1) return ir::kNone;
  Ints perm(kernel.size() + 2);
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[0], perm[1]);  // (O, I, …) → (I, O, …), turned around
  const ValueId turned = flipped(l, l.transpose(w, perm), spatial_axes(kernel.size(), Ints(kernel.size(), 1)));
  pads_begin.insert(pads_begin.end(), pads_end.begin(), pads_end.end());
  return l.emit(
      "ConvTranspose", {x, turned},
      {{"strides", v.base_dilation}, {"dilations", v.dilation}, {"pads", pads_begin}, {"output_padding", extra}});
}

/// (N, C, …) → (N / groups, groups * C, …): the groups of the batch stand beside each other as groups of features.
ValueId batch_groups_to_features(Lowering& l, ValueId x, Ints& shape, int64_t groups) {
  if (shape[0] % groups != 0) l.fail(fmt::format("a batch of {} in {} groups", shape[0], groups));
  Ints split = shape, perm(shape.size() + 1);
  split[0] /= groups;
  split.insert(split.begin(), groups);
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[0], perm[1]);
  shape[0] /= groups;
  shape[1] = product(l, {shape[1], groups});
  return l.reshape(l.transpose(l.reshape(x, split), perm), shape);
}

void convolution(Lowering& l) {
  l.require_operands(2);
  const mlir::Attribute* dims = l.find({"dim_numbers", "dimension_numbers"});
  if (!dims || dims->items.size() != 3) l.fail("attribute 'dim_numbers' must be [b, …]x[…, i, o]->[b, …]");
  const Layout in = layout(l, dims->items[0], "b", "f"), kernel = layout(l, dims->items[1], "o", "i"),
               out = layout(l, dims->items[2], "b", "f");
  const size_t spatial = in.spatial.size();
  for (const auto& [layout, rank] : {std::pair{&in, l.rank(0)}, {&kernel, l.rank(1)}, {&out, l.result().rank()}})
    if (layout->spatial.size() + 2 != static_cast<size_t>(rank) || layout->spatial.size() != spatial)
      l.fail("'dim_numbers' must have as many dimensions as the operands and the result");
  if (spatial == 0) l.fail("a convolution without spatial dimensions is not supported; expected dot_general");
  const Window w = window(l, spatial);
  const int64_t batch_groups = l.integer({"batch_group_count"}, 1), features = l.integer({"feature_group_count"}, 1);
  if (batch_groups < 1 || features < 1 || (batch_groups > 1 && features > 1))
    l.fail("'feature_group_count' and 'batch_group_count' must be at least 1, and one of them 1");

  const DType dtype = l.result().dtype();
  ValueId x = l.dtype(0) == dtype ? l.id(0) : l.cast(l.id(0), dtype);
  ValueId k = l.dtype(1) == dtype ? l.id(1) : l.cast(l.id(1), dtype);
  x = l.transpose(x, order(in));
  k = flipped(l, l.transpose(k, order(kernel)), spatial_axes(spatial, w.reversed));
  const Ints kernel_shape = gathered(l.shape(1), kernel.spatial);
  if (contains(kernel_shape, 0)) l.fail("a kernel without elements");
  const Ints ones(spatial, 1);
  int64_t group = features;
  ValueId y = ir::kNone;
  const bool dilated = w.base_dilation != ones;
  if (dilated && batch_groups == 1) y = as_transposed(l, x, k, kernel_shape, w, group);
  if (y == ir::kNone) {
    const auto negative = [](int64_t p) { return p < 0; };
    Ints low = w.low, high = w.high;
    const bool explicit_pad =
        dilated || std::any_of(low.begin(), low.end(), negative) || std::any_of(high.begin(), high.end(), negative);
    if (explicit_pad || batch_groups > 1) {
      Ints shape = gathered(l.shape(0), order(in));
      if (batch_groups > 1) x = batch_groups_to_features(l, x, shape, batch_groups), group = batch_groups;
      if (explicit_pad) {
        Ints before(2, 0), after(2, 0), between(2, 0);
        before.insert(before.end(), low.begin(), low.end());
        after.insert(after.end(), high.begin(), high.end());
        for (const int64_t d : w.base_dilation) between.push_back(d - 1);
        x = l.pad(x, shape, before, after, between, l.scalar(dtype, 0));
        low.assign(spatial, 0), high.assign(spatial, 0);
      }
    }
    low.insert(low.end(), high.begin(), high.end());
    y = l.emit("Conv", {x, k}, {{"strides", w.strides}, {"dilations", w.dilation}, {"pads", low}, {"group", group}});
  }
  l.set(l.transpose(y, inverse(order(out))));
}

}  // namespace

void add_contractions(Table& table) {
  table["dot_general"] = dot_general;
  table["dot"] = plain_dot;
  table["convolution"] = convolution;
}

}  // namespace rooftune::frontends::stablehlo
