// Pooling: by windows, and to a given size ("adaptive").
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

struct Pool {
  size_t dims;
  std::vector<int64_t> kernel, stride, pads, dilation;
  bool ceil;
};

Pool read_pool(Context& c, size_t dims) {
  Pool p{dims, c.integers("kernel_size", dims, 1), {}, {}, c.integers("dilation", dims, 1), c.flag("ceil_mode", false)};
  p.stride = c.integers("stride", {}).empty() ? p.kernel : c.integers("stride", dims, 1);
  p.pads = c.integers("padding", dims, 0);
  p.pads.insert(p.pads.end(), p.pads.begin(), p.pads.begin() + static_cast<int64_t>(dims));
  return p;
}

/// [C, …] is one image; `pool` gets a batch.
template <typename F>
void batched(Context& c, size_t dims, F pool) {
  ValueId x = c.tensor("self");
  const bool one_image = c.rank_of("self") == static_cast<int64_t>(dims) + 1;
  if (one_image) x = c.unsqueeze(x, {0});
  for (size_t i = 0; const ValueId y : pool(x)) c.give(i++, one_image ? c.squeeze(y, {0}) : y);
}

Lowering max_pool(size_t dims, bool with_indices) {
  return [=](Context& c) {
    const Pool p = read_pool(c, dims);
    const Attributes attributes{{"kernel_shape", p.kernel},
                                {"strides", p.stride},
                                {"pads", p.pads},
                                {"dilations", p.dilation},
                                {"ceil_mode", int64_t{p.ceil}}};
    batched(c, dims, [&](ValueId x) -> std::vector<ValueId> {
      const ValueId y = c.op("MaxPool", {x}, attributes);
      if (!with_indices) return {y};
      // A node of its own, which goes where nobody asks for the indices. PyTorch counts within one channel.
      const ir::Shape& shape = c.shape_of_argument("self");
      int64_t plane = 1;
      for (size_t i = shape.size() - dims; i < shape.size(); ++i) {
        if (!shape[i].is_static()) return {y};
        plane *= shape[i].value();
      }
      const ValueId at = c.ops("MaxPool", {x}, {c.dtype(x), DType::i64}, attributes)[1];
      return {y, c.op("Mod", {at, c.integer(DType::i64, plane)})};
    });
  };
}

Lowering average_pool(size_t dims) {
  return [=](Context& c) {
    const Pool p = read_pool(c, dims);
    const bool divides = c.has("divisor_override");
    const bool count_pads = divides || c.flag("count_include_pad", true);
    batched(c, dims, [&](ValueId x) -> std::vector<ValueId> {
      const ValueId y = c.op("AveragePool", {x},
                             {{"kernel_shape", p.kernel},
                              {"strides", p.stride},
                              {"pads", p.pads},
                              {"ceil_mode", int64_t{p.ceil}},
                              {"count_include_pad", int64_t{count_pads}}});
      if (!divides) return {y};
      double elements = 1;
      for (const int64_t k : p.kernel) elements *= static_cast<double>(k);
      if (p.ceil) c.fail("divisor_override with ceil_mode is not supported");
      return {c.op("Mul", {y, c.scalar(c.dtype(x), elements / c.real("divisor_override", 1))})};
    });
  };
}

// --- adaptive: output i covers the inputs from ⌊i·in/out⌋ to ⌈(i+1)·in/out⌉

int64_t first(int64_t i, int64_t in, int64_t out) { return i * in / out; }
int64_t last(int64_t i, int64_t in, int64_t out) { return ((i + 1) * in + out - 1) / out; }

/// Along one axis, by a matrix with the weight of each input in each output.
ValueId average_axis(Context& c, ValueId x, int64_t rank, int64_t axis, int64_t in, int64_t out) {
  ir::Tensor weights(c.dtype(x), {in, out});
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) {
      const int64_t a = first(o, in, out), b = last(o, in, out);
      weights.set_double(i * out + o, i >= a && i < b ? 1.0 / static_cast<double>(b - a) : 0.0);
    }
  const std::vector<int64_t> to_back = moved(rank, axis, rank - 1);
  const ValueId y = c.op("MatMul", {c.transpose(x, to_back), c.constant(std::move(weights))});
  return c.transpose(y, inverse(to_back));
}

ValueId max_axis(Context& c, ValueId x, int64_t axis, int64_t in, int64_t out) {
  std::vector<ValueId> parts;
  for (int64_t o = 0; o < out; ++o)
    parts.push_back(c.reduce("ReduceMax", c.slice(x, axis, first(o, in, out), last(o, in, out)), {axis}, true));
  return c.concat(parts, axis);
}

Lowering adaptive(size_t dims, bool average) {
  return [=](Context& c) {
    constexpr int64_t kMostWeights = int64_t{1} << 24;
    ValueId x = c.tensor("self");
    const ir::Shape &from = c.shape_of_argument("self"), &to = c.result().shape;
    const auto rank = static_cast<int64_t>(from.size());
    std::vector<int64_t> whole, kernel;
    bool even = true, to_one = true;
    for (size_t i = from.size() - dims; i < from.size(); ++i) {
      if (!to[i].is_static()) c.fail("output_size depends on the inputs");
      const bool one = to[i].value() == 1;
      to_one = to_one && one;
      if (!from[i].is_static() && !one) c.fail("the size of the input must be known, or output_size be 1");
      whole.push_back(static_cast<int64_t>(i));
      even = even && from[i].is_static() && to[i].value() > 0 && from[i].value() % to[i].value() == 0;
      if (even) kernel.push_back(from[i].value() / to[i].value());
    }
    if (to_one) return c.give(c.reduce(average ? "ReduceMean" : "ReduceMax", x, whole, true));
    if (even) {
      const Attributes attributes{{"kernel_shape", kernel}, {"strides", kernel}};
      return batched(c, dims, [&](ValueId v) -> std::vector<ValueId> {
        return {c.op(average ? "AveragePool" : "MaxPool", {v}, attributes)};
      });
    }
    for (const int64_t axis : whole) {
      const int64_t in = from[static_cast<size_t>(axis)].value(), out = to[static_cast<size_t>(axis)].value();
      if (in == out) continue;
      if (in < 1 || out < 1 || in > kMostWeights / out)
        c.fail(fmt::format("{} to {} elements are out of range", in, out));
      x = average ? average_axis(c, x, rank, axis, in, out) : max_axis(c, x, axis, in, out);
    }
    c.give(x);
  };
}

}  // namespace

void register_pooling(Lowerings& t) {
  for (size_t dims = 1; dims <= 3; ++dims) {
    t.add(fmt::format("aten.max_pool{}d.default", dims), max_pool(dims, false));
    t.add(fmt::format("aten.max_pool{}d_with_indices.default", dims), max_pool(dims, true));
    t.add(fmt::format("aten.avg_pool{}d.default", dims), average_pool(dims));
    t.add(fmt::format("aten.adaptive_avg_pool{}d.default", dims), adaptive(dims, true));
    if (dims > 1) t.add(fmt::format("aten._adaptive_avg_pool{}d.default", dims), adaptive(dims, true));
    t.add(fmt::format("aten.adaptive_max_pool{}d.default", dims), adaptive(dims, false));
  }
}

}  // namespace rooftune::frontends::torch_format
