// reduce_window as pooling, or as a running sum where the window holds everything before an element.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"
#include "frontends/stablehlo/reducers.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::ValueId;
using Ints = std::vector<int64_t>;

struct Window {
  Ints size, strides, base_dilation, dilation, low, high;  // by dimension
};

Window window(Lowering& l, size_t rank) {
  const auto values = [&](const char* name, size_t n, int64_t otherwise, int64_t least) {
    const Ints v = l.ints({name}, Ints(n, otherwise));
    if (v.size() != n) l.fail(fmt::format("'{}' has {} values; expected {}", name, v.size(), n));
    for (const int64_t x : v)
      if (x < least || x > INT32_MAX || x < -INT32_MAX)
        l.fail(fmt::format("'{}' holds {}, which is out of range", name, x));
    return v;
  };
  if (!l.has({"window_dimensions"})) l.fail("attribute 'window_dimensions' is missing");
  Window w{values("window_dimensions", rank, 1, 1),
           values("window_strides", rank, 1, 1),
           values("base_dilations", rank, 1, 1),
           values("window_dilations", rank, 1, 1),
           {},
           {}};
  const Ints pads = values("padding", 2 * rank, 0, -INT32_MAX);
  for (size_t i = 0; i < rank; ++i) w.low.push_back(pads[2 * i]), w.high.push_back(pads[2 * i + 1]);
  return w;
}

bool is_one(const Window& w, size_t d) {
  return w.size[d] == 1 && w.strides[d] == 1 && w.base_dilation[d] == 1 && w.low[d] == 0 && w.high[d] == 0;
}

/// The axis of a running sum, and whether it runs backwards; nothing where the window is another.
std::optional<std::pair<int64_t, bool>> running(const Window& w, const ir::Shape& shape) {
  std::optional<std::pair<int64_t, bool>> out;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (is_one(w, d)) continue;
    const bool plain = w.strides[d] == 1 && w.base_dilation[d] == 1 && w.dilation[d] == 1 && shape[d].is_static() &&
                       w.size[d] == shape[d].value();
    const bool forward = w.low[d] == w.size[d] - 1 && w.high[d] == 0;
    const bool backward = w.low[d] == 0 && w.high[d] == w.size[d] - 1;
    if (!plain || out || (!forward && !backward)) return std::nullopt;
    out = {static_cast<int64_t>(d), backward};
  }
  return out;
}

/// Elements along a dimension once it is dilated and padded.
int64_t padded_extent(const Lowering& l, const Window& w, const Ints& shape, size_t d) {
  const int64_t dilated = shape[d] == 0 ? 0 : product(l, {shape[d] - 1, w.base_dilation[d]}) + 1;
  return dilated + w.low[d] + w.high[d];
}

/// The dimensions that a window moves along come last, after two others: (N, C, …).
struct Arrangement {
  Ints perm, spatial, shape;  // shape: of what is pooled; result: of what comes out of it, before it is turned back
  Ints result;
};

Arrangement arrange(Lowering& l, const Window& w, const Ints& in, const Ints& out) {
  Arrangement a;
  Ints still;
  for (size_t d = 0; d < in.size(); ++d) (is_one(w, d) ? still : a.spatial).push_back(static_cast<int64_t>(d));
  a.perm = still;
  a.perm.insert(a.perm.end(), a.spatial.begin(), a.spatial.end());
  for (const int64_t d : a.perm) a.shape.push_back(in[static_cast<size_t>(d)]);
  for (const int64_t d : a.perm) a.result.push_back(out[static_cast<size_t>(d)]);
  if (still.size() != 2) {
    const Ints stay(a.shape.begin(), a.shape.begin() + static_cast<std::ptrdiff_t>(still.size()));
    a.shape.erase(a.shape.begin(), a.shape.begin() + static_cast<std::ptrdiff_t>(still.size()));
    a.shape.insert(a.shape.begin(), {product(l, stay), 1});
  }
  return a;
}

Ints chosen(const Ints& v, const Ints& axes) {
  Ints out;
  for (const int64_t a : axes) out.push_back(v[static_cast<size_t>(a)]);
  return out;
}

/// MaxPool, or AveragePool times the size of the window, of (N, C, …).
ValueId pooled(Lowering& l, const std::string& body, ValueId x, const Window& w, const Arrangement& a, Ints pads) {
  const Ints kernel = chosen(w.size, a.spatial);
  Lowering::Attributes attributes = {{"kernel_shape", kernel},
                                     {"strides", chosen(w.strides, a.spatial)},
                                     {"dilations", chosen(w.dilation, a.spatial)},
                                     {"pads", std::move(pads)}};
  if (body == "maximum") return l.emit("MaxPool", {x}, attributes);
  if (body == "minimum") return l.emit("Neg", {l.emit("MaxPool", {l.emit("Neg", {x})}, attributes)});
  attributes["count_include_pad"] = int64_t{1};
  const ValueId mean = l.emit("AveragePool", {x}, attributes);
  return l.emit("Mul", {mean, l.scalar(l.dtype(0), static_cast<double>(product(l, kernel)))});
}

void pool(Lowering& l, const std::string& body, const Window& w) {
  const Ints in = l.shape(0), out = l.result_shape();
  if (in.size() != out.size()) l.fail("operand and result must have one rank");
  const Arrangement a = arrange(l, w, in, out);
  ValueId x = l.transpose(l.id(0), a.perm);
  if (a.shape.size() != a.perm.size() || a.shape != chosen(in, a.perm)) x = l.reshape(x, a.shape);
  // Pooling pads by less than a window; more is padded before. With what, where the initial value counts in every
  // window, is told one way by the specification and another by XLA.
  const bool neutral = is_neutral(l.constant(1), body);
  bool explicit_pad = false;
  for (const int64_t d : a.spatial) {
    const auto i = static_cast<size_t>(d);
    if (!neutral && (w.low[i] > 0 || w.high[i] > 0 || w.base_dilation[i] != 1))
      l.fail("padding or dilation with an initial value that is not neutral (0 for add, -inf for maximum)");
    explicit_pad |= w.low[i] < 0 || w.high[i] < 0 || w.low[i] >= w.size[i] || w.high[i] >= w.size[i] ||
                    w.base_dilation[i] != 1 || w.dilation[i] != 1;
    if (padded_extent(l, w, in, i) < (w.size[i] - 1) * w.dilation[i] + 1)
      l.fail(fmt::format("a window of {} does not fit dimension {} of {}", w.size[i], i, mlir::text_of(l.type(0))));
  }
  const bool moves = !a.spatial.empty();
  Ints low = chosen(w.low, a.spatial), high = chosen(w.high, a.spatial);
  if (explicit_pad && moves) {
    Ints before(2, 0), after(2, 0), between(2, 0);
    before.insert(before.end(), low.begin(), low.end());
    after.insert(after.end(), high.begin(), high.end());
    for (const int64_t d : a.spatial) between.push_back(w.base_dilation[static_cast<size_t>(d)] - 1);
    x = l.pad(x, a.shape, before, after, between, l.id(1));
    low.assign(low.size(), 0), high.assign(high.size(), 0);
  }
  low.insert(low.end(), high.begin(), high.end());
  ValueId y = moves ? pooled(l, body, x, w, a, low) : x;
  if (!neutral) y = combine(l, body, l.dtype(0), y, l.id(1));
  if (a.shape.size() != a.perm.size() || a.shape != chosen(in, a.perm)) y = l.reshape(y, a.result);
  Ints back(a.perm.size());
  for (size_t i = 0; i < a.perm.size(); ++i) back[static_cast<size_t>(a.perm[i])] = static_cast<int64_t>(i);
  l.set(l.transpose(y, back));
}

void reduce_window(Lowering& l) {
  if (l.count() != 2 || l.op().regions.size() != 1) l.fail("supported with one operand, its initial value and a body");
  if (l.rank(1) != 0 || l.dtype(1) != l.dtype(0) || l.result().dtype() != l.dtype(0))
    l.fail("expected a scalar of the operand's type as initial value, and a result of that type");
  const Window w = window(l, static_cast<size_t>(l.rank(0)));
  const std::string body = simple_body(l, l.op().regions[0]);
  if (const auto run = running(w, l.type(0).shape()); run && body == "add" && is_neutral(l.constant(1), body)) {
    const ValueId axis = l.constant(ir::Tensor::of<int64_t>(ir::DType::i64, {}, {run->first}));
    return l.set(l.emit("CumSum", {l.id(0), axis}, {{"reverse", int64_t{run->second}}}));
  }
  if (body != "add" && body != "maximum" && body != "minimum")
    l.fail("its body is not one that is supported: add, maximum or minimum of the two arguments");
  if (!ir::is_float(l.dtype(0)))
    l.fail(fmt::format("over {} is not supported; over floating-point numbers it is", mlir::text_of(l.type(0))));
  pool(l, body, w);
}

}  // namespace

void add_windows(Table& table) { table["reduce_window"] = reduce_window; }

}  // namespace rooftune::frontends::stablehlo
