#include "tests/support/sample_kernels.h"

#include <cmath>

#include "kernel/nodes.h"

namespace rooftune::testing {

using namespace kernel;

namespace {

Index v(int i) { return Index::variable(i); }

Layout channels_blocked(const std::vector<int64_t>& shape, int64_t block, bool last = false) {
  if (last) return Layout::blocked(shape, {0, 2, 3, 1}, {});
  return block > 0 ? Layout::blocked(shape, {0, 1, 2, 3}, {{1, block}}) : Layout::row_major(shape);
}

int relu(StageBuilder& b, int x) { return b.max(x, b.constant(0)); }

int output(Kernel& k, const std::string& name, std::vector<int64_t> shape) {
  return k.add_buffer(name, DType::f32, std::move(shape), Role::output);
}

}  // namespace

Kernel gemm(int64_t m, int64_t n, int64_t k, bool bias_relu) {
  Kernel kernel;
  kernel.name = "gemm";
  const int x = kernel.add_buffer("x", DType::f32, {m, k}, Role::input);
  const int w = kernel.add_buffer("w", DType::f32, {k, n}, Role::constant);
  StageBuilder acc(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
  const int product = acc.mul(acc.load(x, {v(0), v(2)}), acc.load(w, {v(2), v(1)}));
  if (!bias_relu) {
    acc.finish(product, Reduction::sum, output(kernel, "y", {m, n}));
    return kernel;
  }
  const int a = acc.finish(product, Reduction::sum);
  const int bias = kernel.add_buffer("b", DType::f32, {n}, Role::constant);
  StageBuilder y(kernel, "y", {{"m", m}, {"n", n}});
  y.finish(relu(y, y.add(y.load(a, {v(0), v(1)}), y.load(bias, {v(1)}))), Reduction::none, output(kernel, "y", {m, n}));
  return kernel;
}

namespace {

int widened(StageBuilder& b, int load) {
  return b.cast(load, b.type_of(load) == DType::bf16 ? DType::f32 : DType::i32);
}

DType sum_type(DType x) { return x == DType::bf16 ? DType::f32 : DType::i32; }

}  // namespace

Kernel dot_gemm(int64_t m, int64_t n, int64_t k, DType x_type, DType w_type, bool transposed) {
  Kernel kernel;
  kernel.name = "dot_gemm";
  const int x = kernel.add_buffer("x", x_type, {m, k}, Role::input);
  const int w = kernel.add_buffer("w", w_type, transposed ? std::vector<int64_t>{n, k} : std::vector<int64_t>{k, n},
                                  Role::constant);
  StageBuilder acc(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
  const int left = widened(acc, acc.load(x, {v(0), v(2)}));
  const int right =
      widened(acc, acc.load(w, transposed ? std::vector<Index>{v(1), v(2)} : std::vector<Index>{v(2), v(1)}));
  acc.finish(acc.mul(left, right), Reduction::sum, kernel.add_buffer("y", sum_type(x_type), {m, n}, Role::output));
  return kernel;
}

Kernel weight_only_gemm(int64_t m, int64_t n, int64_t k, int bits, int64_t block, bool zeros) {
  Kernel kernel;
  kernel.name = "weight_only_gemm";
  const int64_t blocks = block == 0 ? 1 : (k + block - 1) / block;
  const int x = kernel.add_buffer("x", DType::f32, {m, k}, Role::input);
  const int w = kernel.add_buffer("w", DType::u8, {n, bits == 4 ? k / 2 : k}, Role::constant);
  const int s = kernel.add_buffer("s", DType::f32, {n, blocks}, Role::constant);
  const int z = kernel.add_buffer("z", DType::u8, {n, blocks}, Role::constant);
  const int bias = kernel.add_buffer("b", DType::f32, {n}, Role::constant);
  StageBuilder d(kernel, "dequantize", {{"a0", n}, {"a1", k}});
  const auto ranges = [&](int a) { return Range{0, a == 0 ? n - 1 : k - 1}; };
  const Index of = block == 0 ? Index(0) : floordiv(v(1), block, ranges);
  int number = d.load(w, {v(0), bits == 4 ? floordiv(v(1), 2, ranges) : v(1)});
  if (bits == 4) {
    const int shift = d.index(mod(v(1), 2, ranges) * 4, DType::u8);
    number =
        d.node(Op::bit_and, DType::u8, d.node(Op::shift_right, DType::u8, number, shift), d.constant(15, DType::u8));
  }
  const int zero = zeros ? d.cast(d.load(z, {v(0), of}), DType::f32) : d.constant(bits == 4 ? 8 : 128);
  const int weights = d.finish(d.mul(d.sub(d.cast(number, DType::f32), zero), d.load(s, {v(0), of})));
  StageBuilder acc(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
  const int sum = acc.finish(acc.mul(acc.load(x, {v(0), v(2)}), acc.load(weights, {v(1), v(2)})), Reduction::sum);
  StageBuilder y(kernel, "y", {{"m", m}, {"n", n}});
  y.finish(y.add(y.load(sum, {v(0), v(1)}), y.load(bias, {v(1)})), Reduction::none,
           kernel.add_buffer("y", DType::f32, {m, n}, Role::output));
  return kernel;
}

Kernel dot_convolution(const ConvShape& s, DType x_type, DType w_type) {
  Kernel kernel = convolution(s);
  kernel.name = "dot_convolution";
  kernel.stages.resize(1);
  kernel.buffers.resize(4);  // x, w, b, acc
  auto& stage = kernel.stages[0];
  kernel.buffers[0].dtype = x_type;
  kernel.buffers[1].dtype = w_type;
  kernel.buffers[static_cast<size_t>(stage.buffer)].dtype = sum_type(x_type);
  kernel.buffers[static_cast<size_t>(stage.buffer)].role = Role::output;
  std::vector<ExprNode> nodes;
  for (ExprNode node : stage.nodes) {
    if (node.op != Op::load) continue;
    node.type = kernel.buffers[static_cast<size_t>(node.buffer)].dtype;
    nodes.push_back(node);
    nodes.push_back({Op::cast, sum_type(x_type), static_cast<int>(nodes.size()) - 1});
  }
  nodes.push_back({Op::mul, sum_type(x_type), 1, 3});
  stage.nodes = std::move(nodes);
  return kernel;
}

Kernel batched_gemm(int64_t batch, int64_t m, int64_t n, int64_t k, bool transposed) {
  Kernel kernel;
  kernel.name = "batched_gemm";
  const int x = kernel.add_buffer("x", DType::f32, {batch, m, k}, Role::input);
  const int w = kernel.add_buffer(
      "w", DType::f32, transposed ? std::vector<int64_t>{batch, n, k} : std::vector<int64_t>{batch, k, n}, Role::input);
  StageBuilder acc(kernel, "acc", {{"b", batch}, {"m", m}, {"n", n}}, {{"k", k}});
  const auto second = transposed ? std::vector<Index>{v(0), v(2), v(3)} : std::vector<Index>{v(0), v(3), v(2)};
  acc.finish(acc.mul(acc.load(x, {v(0), v(1), v(3)}), acc.load(w, second)), Reduction::sum,
             output(kernel, "y", {batch, m, n}));
  return kernel;
}

Kernel convolution(const ConvShape& s, bool residual) {
  Kernel kernel;
  kernel.name = "convolution";
  const int64_t oh = (s.height + 2 * s.pad - s.window) / s.stride + 1;
  const int64_t ow = (s.width + 2 * s.pad - s.window) / s.stride + 1;
  const int x = kernel.add_buffer("x", DType::f32, {1, s.channels, s.height, s.width}, Role::input);
  if (s.blocked_input)
    kernel.buffers[static_cast<size_t>(x)].layout =
        channels_blocked(kernel.buffers[static_cast<size_t>(x)].shape, s.block, s.channels_last);
  const int w =
      kernel.add_buffer("w", DType::f32, {s.outputs, s.depthwise ? 1 : s.channels, s.window, s.window}, Role::constant);
  const int bias = kernel.add_buffer("b", DType::f32, {s.outputs}, Role::constant);
  std::vector<Axis> reduction;
  if (!s.depthwise) reduction.push_back({"c", s.channels});
  reduction.push_back({"fy", s.window});
  reduction.push_back({"fx", s.window});
  StageBuilder acc(kernel, "acc", {{"n", 1}, {"o", s.outputs}, {"y", oh}, {"x", ow}}, reduction);
  const int fy = s.depthwise ? 4 : 5, fx = fy + 1;
  const Index iy = v(2) * s.stride + v(fy) - Index(s.pad);
  const Index ix = v(3) * s.stride + v(fx) - Index(s.pad);
  if (s.pad > 0)
    for (const auto& condition : {iy, Index(s.height - 1) - iy, ix, Index(s.width - 1) - ix}) acc.where(condition);
  const Index c = s.depthwise ? v(1) : v(4);
  const int product =
      acc.mul(acc.load(x, {v(0), c, iy, ix}), acc.load(w, {v(1), s.depthwise ? Index(0) : v(4), v(fy), v(fx)}));
  const int a = acc.finish(product, Reduction::sum);
  StageBuilder y(kernel, "y", {{"n", 1}, {"o", s.outputs}, {"y", oh}, {"x", ow}});
  int value = y.add(y.load(a, {v(0), v(1), v(2), v(3)}), y.load(bias, {v(1)}));
  if (residual) {
    const int r = kernel.add_buffer("r", DType::f32, {1, s.outputs, oh, ow}, Role::input);
    kernel.buffers[static_cast<size_t>(r)].layout = channels_blocked({1, s.outputs, oh, ow}, s.block, s.channels_last);
    value = y.add(value, y.load(r, {v(0), v(1), v(2), v(3)}));
  }
  const int out = output(kernel, "y", {1, s.outputs, oh, ow});
  kernel.buffers[static_cast<size_t>(out)].layout = channels_blocked({1, s.outputs, oh, ow}, s.block, s.channels_last);
  y.finish(relu(y, value), Reduction::none, out);
  return kernel;
}

Kernel transposed_convolution(int64_t channels, int64_t outputs, int64_t size, int64_t window, int64_t block) {
  Kernel kernel;
  kernel.name = "transposed_convolution";
  const std::vector<int64_t> shape = {1, outputs, size * window, size * window};
  const int x = kernel.add_buffer("x", DType::f32, {1, channels, size, size}, Role::input);
  kernel.buffers[static_cast<size_t>(x)].layout = channels_blocked({1, channels, size, size}, block);
  const int w = kernel.add_buffer("w", DType::f32, {channels, outputs, window, window}, Role::constant);
  const int bias = kernel.add_buffer("b", DType::f32, {outputs}, Role::constant);
  StageBuilder acc(kernel, "acc", {{"n", 1}, {"o", outputs}, {"y", size}, {"x", size}, {"fy", window}, {"fx", window}},
                   {{"c", channels}});
  const int product = acc.mul(acc.load(x, {v(0), v(6), v(2), v(3)}), acc.load(w, {v(6), v(1), v(4), v(5)}));
  const int a = kernel.add_buffer("acc", DType::f32, shape, Role::temporary);
  acc.finish(product, Reduction::sum, a, {v(0), v(1), v(2) * window + v(4), v(3) * window + v(5)});
  StageBuilder y(kernel, "y", {{"n", 1}, {"o", outputs}, {"y", shape[2]}, {"x", shape[3]}});
  const int out = output(kernel, "y", shape);
  kernel.buffers[static_cast<size_t>(out)].layout = channels_blocked(shape, block);
  y.finish(y.add(y.load(a, {v(0), v(1), v(2), v(3)}), y.load(bias, {v(1)})), Reduction::none, out);
  return kernel;
}

Kernel inverted_residual(int64_t channels, int64_t hidden, int64_t size, int64_t stride, bool expands) {
  Kernel kernel;
  kernel.name = "inverted_residual";
  const int64_t o = (size - 1) / stride + 1;
  const int x = kernel.add_buffer("x", DType::f32, {expands ? channels : hidden, size, size}, Role::input);
  if (!expands)
    kernel.buffers[static_cast<size_t>(x)].layout = Layout::blocked({hidden, size, size}, {0, 1, 2}, {{0, 16}});
  const int expand = expands ? kernel.add_buffer("we", DType::f32, {hidden, channels}, Role::constant) : -1;
  const int depthwise = kernel.add_buffer("wd", DType::f32, {hidden, 3, 3}, Role::constant);
  const int project = kernel.add_buffer("wp", DType::f32, {channels, hidden}, Role::constant);
  auto relu6 = [](StageBuilder& b, int value) { return b.min(relu(b, value), b.constant(6)); };
  const std::vector<Axis> wide = {{"c", hidden}, {"y", size}, {"x", size}};
  int expanded = x;
  if (expands) {
    StageBuilder ua(kernel, "ua", wide, {{"i", channels}});
    const int sum_u = ua.finish(ua.mul(ua.load(x, {v(3), v(1), v(2)}), ua.load(expand, {v(0), v(3)})), Reduction::sum);
    StageBuilder u(kernel, "u", wide);
    expanded = u.finish(relu6(u, u.load(sum_u, {v(0), v(1), v(2)})));
  }
  const std::vector<Axis> pixels = {{"c", hidden}, {"y", o}, {"x", o}};
  StageBuilder da(kernel, "da", pixels, {{"fy", 3}, {"fx", 3}});
  const Index iy = v(1) * stride + v(3) - Index(1), ix = v(2) * stride + v(4) - Index(1);
  for (const auto& condition : {iy, Index(size - 1) - iy, ix, Index(size - 1) - ix}) da.where(condition);
  const int sum_d =
      da.finish(da.mul(da.load(expanded, {v(0), iy, ix}), da.load(depthwise, {v(0), v(3), v(4)})), Reduction::sum);
  StageBuilder d(kernel, "d", pixels);
  const int filtered = d.finish(relu6(d, d.load(sum_d, {v(0), v(1), v(2)})));
  const std::vector<Axis> outputs = {{"o", channels}, {"y", o}, {"x", o}};
  StageBuilder pa(kernel, "pa", outputs, {{"c", hidden}});
  const int sum_p =
      pa.finish(pa.mul(pa.load(filtered, {v(3), v(1), v(2)}), pa.load(project, {v(0), v(3)})), Reduction::sum);
  StageBuilder y(kernel, "y", outputs);
  int value = y.load(sum_p, {v(0), v(1), v(2)});
  value = expands && stride == 1 ? y.add(value, y.load(x, {v(0), v(1), v(2)})) : relu(y, value);
  y.finish(value, Reduction::none, output(kernel, "y", {channels, o, o}));
  return kernel;
}

Kernel max_pool(int64_t channels, int64_t size, int64_t window, int64_t stride, int64_t pad, int64_t block) {
  Kernel kernel;
  kernel.name = "max_pool";
  const int64_t o = (size + 2 * pad - window) / stride + 1;
  const int x = kernel.add_buffer("x", DType::f32, {1, channels, size, size}, Role::input);
  kernel.buffers[static_cast<size_t>(x)].layout = channels_blocked({1, channels, size, size}, block);
  const int out = output(kernel, "y", {1, channels, o, o});
  kernel.buffers[static_cast<size_t>(out)].layout = channels_blocked({1, channels, o, o}, block);
  StageBuilder y(kernel, "y", {{"n", 1}, {"c", channels}, {"y", o}, {"x", o}}, {{"fy", window}, {"fx", window}});
  const Index iy = v(2) * stride + v(4) - Index(pad), ix = v(3) * stride + v(5) - Index(pad);
  for (const auto& condition : {iy, Index(size - 1) - iy, ix, Index(size - 1) - ix}) y.where(condition);
  y.finish(y.load(x, {v(0), v(1), iy, ix}), Reduction::max, out);
  return kernel;
}

Kernel softmax(int64_t rows, int64_t columns) {
  Kernel kernel;
  kernel.name = "softmax";
  const int x = kernel.add_buffer("x", DType::f32, {rows, columns}, Role::input);
  StageBuilder hi(kernel, "hi", {{"r", rows}}, {{"c", columns}});
  const int h = hi.finish(hi.load(x, {v(0), v(1)}), Reduction::max);
  StageBuilder e(kernel, "e", {{"r", rows}, {"c", columns}});
  const int ex = e.finish(e.unary(Op::exp, e.sub(e.load(x, {v(0), v(1)}), e.load(h, {v(0)}))));
  StageBuilder z(kernel, "z", {{"r", rows}}, {{"c", columns}});
  const int sum = z.finish(z.load(ex, {v(0), v(1)}), Reduction::sum);
  StageBuilder y(kernel, "y", {{"r", rows}, {"c", columns}});
  y.finish(y.div(y.load(ex, {v(0), v(1)}), y.load(sum, {v(0)})), Reduction::none, output(kernel, "y", {rows, columns}));
  return kernel;
}

Kernel layer_norm(int64_t rows, int64_t columns) {
  Kernel kernel;
  kernel.name = "layer_norm";
  const int x = kernel.add_buffer("x", DType::f32, {rows, columns}, Role::input);
  const int g = kernel.add_buffer("g", DType::f32, {columns}, Role::constant);
  const int b = kernel.add_buffer("b", DType::f32, {columns}, Role::constant);
  StageBuilder mean(kernel, "mean", {{"r", rows}}, {{"c", columns}});
  const int m = mean.finish(mean.mul(mean.load(x, {v(0), v(1)}), mean.constant(1.0 / static_cast<double>(columns))),
                            Reduction::sum);
  StageBuilder var(kernel, "variance", {{"r", rows}}, {{"c", columns}});
  const int d = var.sub(var.load(x, {v(0), v(1)}), var.load(m, {v(0)}));
  const int s = var.finish(var.mul(d, d), Reduction::sum);
  StageBuilder scale(kernel, "scale", {{"r", rows}});
  const int var_mean = scale.mul(scale.load(s, {v(0)}), scale.constant(1.0 / static_cast<double>(columns)));
  const int r =
      scale.finish(scale.div(scale.constant(1), scale.unary(Op::sqrt, scale.add(var_mean, scale.constant(1e-5)))));
  StageBuilder y(kernel, "y", {{"r", rows}, {"c", columns}});
  const int centred = y.sub(y.load(x, {v(0), v(1)}), y.load(m, {v(0)}));
  y.finish(y.add(y.mul(y.mul(centred, y.load(r, {v(0)})), y.load(g, {v(1)})), y.load(b, {v(1)})), Reduction::none,
           output(kernel, "y", {rows, columns}));
  return kernel;
}

Kernel attention(int64_t heads, int64_t queries, int64_t keys, int64_t depth, bool causal) {
  // Operands and result as projections leave them: [token][head * depth].
  Kernel kernel;
  kernel.name = "attention";
  const int64_t width = heads * depth;
  const int q = kernel.add_buffer("q", DType::f32, {queries, width}, Role::input);
  const int k = kernel.add_buffer("k", DType::f32, {keys, width}, Role::input);
  const int val = kernel.add_buffer("v", DType::f32, {keys, width}, Role::input);
  StageBuilder p(kernel, "p", {{"h", heads}, {"i", queries}, {"j", keys}}, {{"d", depth}});
  const int score =
      p.finish(p.mul(p.load(q, {v(1), v(0) * depth + v(3)}), p.load(k, {v(2), v(0) * depth + v(3)})), Reduction::sum);
  StageBuilder s(kernel, "s", {{"h", heads}, {"i", queries}, {"j", keys}});
  int scaled = s.mul(s.load(score, {v(0), v(1), v(2)}), s.constant(1 / std::sqrt(static_cast<double>(depth))));
  if (causal) {
    const int allowed =
        s.node(Op::le, DType::boolean, s.index(v(2), DType::i32), s.index(v(1) + Index(keys - queries), DType::i32));
    scaled = s.select(allowed, scaled, s.constant(-1e30));
  }
  const int sc = s.finish(scaled);
  StageBuilder hi(kernel, "hi", {{"h", heads}, {"i", queries}}, {{"j", keys}});
  const int m = hi.finish(hi.load(sc, {v(0), v(1), v(2)}), Reduction::max);
  StageBuilder e(kernel, "e", {{"h", heads}, {"i", queries}, {"j", keys}});
  const int ex = e.finish(e.unary(Op::exp, e.sub(e.load(sc, {v(0), v(1), v(2)}), e.load(m, {v(0), v(1)}))));
  StageBuilder z(kernel, "z", {{"h", heads}, {"i", queries}}, {{"j", keys}});
  const int sum = z.finish(z.load(ex, {v(0), v(1), v(2)}), Reduction::sum);
  StageBuilder o(kernel, "o", {{"h", heads}, {"i", queries}, {"d", depth}}, {{"j", keys}});
  const int acc =
      o.finish(o.mul(o.load(ex, {v(0), v(1), v(3)}), o.load(val, {v(3), v(0) * depth + v(2)})), Reduction::sum);
  StageBuilder y(kernel, "y", {{"h", heads}, {"i", queries}, {"d", depth}});
  y.finish(y.div(y.load(acc, {v(0), v(1), v(2)}), y.load(sum, {v(0), v(1)})), Reduction::none,
           output(kernel, "y", {queries, width}), {v(1), v(0) * depth + v(2)});
  return kernel;
}

Kernel transpose(int64_t a, int64_t b, int64_t c) {
  Kernel kernel;
  kernel.name = "transpose";
  const int x = kernel.add_buffer("x", DType::f32, {a, b, c}, Role::input);
  StageBuilder y(kernel, "y", {{"b", b}, {"c", c}, {"a", a}});
  y.finish(y.load(x, {v(2), v(0), v(1)}), Reduction::none, output(kernel, "y", {b, c, a}));
  return kernel;
}

Kernel elementwise(int64_t a, int64_t b) {
  Kernel kernel;
  kernel.name = "elementwise";
  const int x = kernel.add_buffer("x", DType::f32, {a, b}, Role::input);
  const int z = kernel.add_buffer("z", DType::f32, {a, b}, Role::input);
  StageBuilder y(kernel, "y", {{"a", a}, {"b", b}});
  const int sum = y.add(y.load(x, {v(0), v(1)}), y.load(z, {v(0), v(1)}));
  y.finish(y.mul(sum, y.unary(Op::tanh, sum)), Reduction::none, output(kernel, "y", {a, b}));
  return kernel;
}

Kernel scatter(int64_t batch, int64_t nodes, int64_t edges, int64_t width, Reduction combine, bool per_feature) {
  Kernel kernel;
  kernel.name = "scatter";
  const int x = kernel.add_buffer("x", DType::f32, {batch, edges, width}, Role::input);
  std::vector<int64_t> targets = {batch, edges};
  if (per_feature) targets.push_back(width);
  const int target = kernel.add_buffer("target", DType::i64, targets, Role::input);
  const int start = kernel.add_buffer("start", DType::f32, {batch, nodes, width}, Role::input);
  const int y = output(kernel, "y", {batch, nodes, width});
  StageBuilder begin(kernel, "begin", {{"b", batch}, {"n", nodes}, {"f", width}});
  begin.finish(begin.load(start, {v(0), v(1), v(2)}), Reduction::none, y);
  StageBuilder s(kernel, "meet", {{"b", batch}, {"f", width}}, {{"e", edges}});
  std::vector<Index> at = {v(0), v(2)};
  if (per_feature) at.push_back(v(1));
  const Index row = s.value_index(s.load(target, at));
  s.finish_scatter(s.load(x, {v(0), v(2), v(1)}), combine, y, {v(0), row, v(1)});
  return kernel;
}

Kernel mean_of_pixels(int64_t channels, int64_t size, int64_t block) {
  Kernel kernel;
  kernel.name = "mean";
  const int x = kernel.add_buffer("x", DType::f32, {1, channels, size, size}, Role::input);
  kernel.buffers[static_cast<size_t>(x)].layout = channels_blocked({1, channels, size, size}, block);
  StageBuilder sum(kernel, "sum", {{"n", 1}, {"c", channels}}, {{"y", size}, {"x", size}});
  const int s = sum.finish(sum.load(x, {v(0), v(1), v(2), v(3)}), Reduction::sum);
  StageBuilder y(kernel, "y", {{"n", 1}, {"c", channels}});
  y.finish(y.mul(y.load(s, {v(0), v(1)}), y.constant(1.0 / static_cast<double>(size * size))), Reduction::none,
           output(kernel, "y", {1, channels}));
  return kernel;
}

Kernel stored_as(Kernel kernel, ir::DType dtype) {
  std::vector<bool> stored;
  for (auto& b : kernel.buffers) {
    stored.push_back(b.role != Role::temporary && b.dtype == DType::f32);
    for (const Stage& s : kernel.stages)  // a sum is rounded by a stage of its own
      if (&kernel.buffers[static_cast<size_t>(s.buffer)] == &b && s.reduction != Reduction::none) stored.back() = false;
    if (stored.back()) b.dtype = dtype;
  }
  for (Stage& s : kernel.stages) {
    std::vector<ExprNode> nodes;
    std::vector<int> moved;
    for (ExprNode n : s.nodes) {
      for_each_argument(n, [&](int& a) { a = moved[static_cast<size_t>(a)]; });
      for_each_index(n, [&](Index& e) { e = renumber(e, moved); });
      if (n.op == Op::load && stored[static_cast<size_t>(n.buffer)]) {
        n.type = dtype;
        nodes.push_back(std::move(n));
        n = {Op::cast, DType::f32, static_cast<int>(nodes.size()) - 1};
      }
      nodes.push_back(std::move(n));
      moved.push_back(static_cast<int>(nodes.size()) - 1);
    }
    if (stored[static_cast<size_t>(s.buffer)]) nodes.push_back({Op::cast, dtype, static_cast<int>(nodes.size()) - 1});
    s.nodes = std::move(nodes);
    for (Index& e : s.out_indices) e = renumber(e, moved);
  }
  return kernel;
}

}  // namespace rooftune::testing
