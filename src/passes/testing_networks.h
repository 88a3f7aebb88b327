// Small networks as exporters write them, for this room's tests.
#pragma once
#include "passes/testing.h"

namespace rooftune::passes {

inline ValueId conv_bn(Model& m, ValueId x, int64_t outputs, int64_t kernel, int64_t stride = 1, int64_t groups = 1) {
  return m.batch_norm(m.conv(x, outputs, kernel, stride, groups));
}

/// Two ResNet bottlenecks (the first with a projection), global pooling and a classifier.
inline Graph resnet(int64_t width = 16) {
  Model m;
  ValueId x = m.relu(conv_bn(m, m.input("image", {1, 3, 16, 16}), width, 7, 2));
  x = m.op("MaxPool", {x},
           {{"kernel_shape", std::vector<int64_t>{3, 3}},
            {"strides", std::vector<int64_t>{2, 2}},
            {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  for (const bool projection : {true, false}) {
    const ValueId skip = projection ? conv_bn(m, x, 4 * width, 1) : x;
    ValueId y = m.relu(conv_bn(m, x, width, 1));
    y = m.relu(conv_bn(m, y, width, 3));
    x = m.relu(m.op("Add", {conv_bn(m, y, 4 * width, 1), skip}));
  }
  x = m.op("Flatten", {m.op("GlobalAveragePool", {x})});
  m.output(m.op("Gemm", {x, m.weight({10, 4 * width}), m.weight({10})}, {{"transB", int64_t{1}}}));
  return std::move(m.graph);
}

/// Two inverted residuals, ReLU6 as Clip.
inline Graph mobilenet() {
  Model m;
  const auto relu6 = [&](ValueId x) { return m.op("Clip", {x, m.number(0), m.number(6)}); };
  ValueId x = relu6(conv_bn(m, m.input("image", {1, 3, 16, 16}), 24, 3, 2));
  for (int i = 0; i < 2; ++i) {
    ValueId y = relu6(conv_bn(m, x, 96, 1));
    y = relu6(conv_bn(m, y, 96, 3, 1, 96));
    x = m.op("Add", {x, conv_bn(m, y, 24, 1)});
  }
  m.output(x);
  return std::move(m.graph);
}

/// One level of a U-Net: down, up by ConvTranspose, Concat with the skip, a head of 2 channels.
inline Graph unet() {
  Model m;
  const ValueId x = m.input("image", {1, 3, 16, 16});
  const ValueId skip = m.relu(conv_bn(m, m.relu(conv_bn(m, x, 32, 3)), 32, 3));
  ValueId y =
      m.op("MaxPool", {skip}, {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}});
  y = m.relu(conv_bn(m, y, 64, 3));
  y = m.op("ConvTranspose", {y, m.weight({64, 32, 2, 2}), m.weight({32})}, {{"strides", std::vector<int64_t>{2, 2}}});
  y = m.op("Concat", {skip, y}, {{"axis", int64_t{1}}});
  y = m.relu(conv_bn(m, y, 32, 3));
  m.output(m.conv(y, 2, 1, 1, 1, true));
  return std::move(m.graph);
}

/// Squeeze-and-excite with SiLU, as in EfficientNet.
inline Graph squeeze_excite() {
  Model m;
  const auto silu = [&](ValueId x) { return m.op("Mul", {x, m.op("Sigmoid", {x})}); };
  ValueId x = silu(conv_bn(m, m.input("image", {1, 3, 12, 12}), 32, 3));
  x = silu(conv_bn(m, x, 32, 3, 1, 32));
  ValueId s = m.op("ReduceMean", {x, m.ints({2, 3})}, {{"keepdims", int64_t{1}}});
  s = m.op("Sigmoid", {m.conv(silu(m.conv(s, 8, 1, 1, 1, true)), 32, 1, 1, 1, true)});
  m.output(conv_bn(m, m.op("Mul", {x, s}), 16, 1));
  return std::move(m.graph);
}

struct Heads {
  int64_t sequence = 8, heads = 4, size = 8;
  int64_t hidden() const { return heads * size; }
};

inline ValueId gelu_erf(Model& m, ValueId x) {
  const ValueId e = m.op("Erf", {m.op("Div", {x, m.number(1.4142135623730951)})});
  return m.op("Mul", {m.op("Mul", {x, m.op("Add", {e, m.number(1)})}), m.number(0.5)});
}

inline ValueId gelu_tanh(Model& m, ValueId x) {
  const ValueId cubic = m.op("Mul", {m.op("Pow", {x, m.number(3)}), m.number(0.044715)});
  const ValueId t = m.op("Tanh", {m.op("Mul", {m.op("Add", {x, cubic}), m.number(0.7978845608028654)})});
  return m.op("Mul", {m.op("Mul", {x, m.number(0.5)}), m.op("Add", {t, m.number(1)})});
}

/// Written out (opset 13 to 16) or as the operator.
inline ValueId layer_norm(Model& m, ValueId x, bool written_out) {
  const int64_t hidden = m.graph.type(x).shape().back().value();
  if (!written_out)
    return m.op("LayerNormalization", {x, m.positive({hidden}), m.weight({hidden})}, {{"epsilon", 1e-5F}});
  const auto mean = [&](ValueId v) { return m.op("ReduceMean", {v, m.ints({-1})}, {{"keepdims", int64_t{1}}}); };
  const ValueId d = m.op("Sub", {x, mean(x)});
  const ValueId v = m.op("Add", {mean(m.op("Pow", {d, m.number(2)})), m.number(1e-5)});
  return m.op("Add", {m.op("Mul", {m.op("Div", {d, m.op("Sqrt", {v})}), m.positive({hidden})}), m.weight({hidden})});
}

/// Two post-norm encoder layers. `split_scale`: q and kᵀ are scaled by √s each, as torch's SDPA is decomposed.
inline Graph bert(bool split_scale, bool written_out) {
  Model m;
  const Heads h;
  ValueId x = m.input("x", {1, h.sequence, h.hidden()});
  const ValueId given = m.op("Cast", {m.input("mask", {1, h.sequence}, ir::DType::i64)}, {{"to", int64_t{1}}});
  const ValueId mask =
      m.op("Mul", {m.op("Sub", {m.number(1), m.op("Unsqueeze", {given, m.ints({1, 2})})}), m.number(-10000)});
  const double scale = 1 / std::sqrt(static_cast<double>(h.size));
  for (int layer = 0; layer < 2; ++layer) {
    const auto heads = [&](const std::vector<int64_t>& perm) {
      return m.transpose(m.reshape(m.linear(x, h.hidden()), {1, h.sequence, h.heads, h.size}), perm);
    };
    ValueId q = heads({0, 2, 1, 3}), k = heads({0, 2, 3, 1}), v = heads({0, 2, 1, 3});
    if (split_scale) q = m.op("Mul", {q, m.number(std::sqrt(scale))}), k = m.op("Mul", {k, m.number(std::sqrt(scale))});
    ValueId s = m.op("MatMul", {q, k});
    if (!split_scale) s = m.op("Div", {s, m.number(1 / scale)});
    s = m.op("Softmax", {m.op("Add", {s, mask})}, {{"axis", int64_t{-1}}});
    const ValueId joined = m.reshape(m.transpose(m.op("MatMul", {s, v}), {0, 2, 1, 3}), {1, h.sequence, h.hidden()});
    x = layer_norm(m, m.op("Add", {m.linear(joined, h.hidden()), x}), written_out);
    const ValueId up = gelu_erf(m, m.linear(x, 2 * h.hidden()));
    x = layer_norm(m, m.op("Add", {m.linear(up, h.hidden()), x}), written_out);
  }
  m.output(x);
  return std::move(m.graph);
}

/// Two pre-norm decoder layers: Gemm on flattened rows, Split into q, k and v, a causal mask by Where.
inline Graph gpt2() {
  Model m;
  const Heads h;
  ValueId x = m.input("x", {1, h.sequence, h.hidden()});
  const auto conv1d = [&](ValueId v, int64_t outputs) {
    const int64_t inputs = ir::static_values(m.graph.type(v).shape()).back();
    const ValueId flat =
        m.op("Gemm", {m.reshape(v, {-1, inputs}), m.weight({inputs, outputs}, 0.2), m.weight({outputs})});
    return m.reshape(flat, {1, h.sequence, outputs});
  };
  const ValueId ones = m.op("ConstantOfShape", {m.ints({h.sequence, h.sequence})},
                            {{"value", Tensor::of<int64_t>(ir::DType::i64, {1}, {1})}});
  const ValueId causal =
      m.op("Cast", {m.op("Unsqueeze", {m.op("Trilu", {ones}, {{"upper", int64_t{0}}}), m.ints({0, 1})})},
           {{"to", int64_t{9}}});
  for (int layer = 0; layer < 2; ++layer) {
    const auto parts =
        m.ops("Split", {conv1d(layer_norm(m, x, false), 3 * h.hidden()), m.ints({h.hidden(), h.hidden(), h.hidden()})},
              3, {{"axis", int64_t{2}}});
    const auto heads = [&](ValueId part, const std::vector<int64_t>& perm) {
      return m.transpose(m.reshape(part, {1, h.sequence, h.heads, h.size}), perm);
    };
    ValueId s = m.op("MatMul", {heads(parts[0], {0, 2, 1, 3}), heads(parts[1], {0, 2, 3, 1})});
    s = m.op("Where", {causal, m.op("Div", {s, m.number(std::sqrt(8.0))}), m.number(-3.4028234663852886e38)});
    s = m.op("Softmax", {s}, {{"axis", int64_t{-1}}});
    const ValueId joined = m.reshape(m.transpose(m.op("MatMul", {s, heads(parts[2], {0, 2, 1, 3})}), {0, 2, 1, 3}),
                                     {1, h.sequence, h.hidden()});
    x = m.op("Add", {conv1d(joined, h.hidden()), x});
    x = m.op("Add", {x, conv1d(gelu_tanh(m, conv1d(layer_norm(m, x, false), 2 * h.hidden())), h.hidden())});
  }
  m.output(layer_norm(m, x, false));
  return std::move(m.graph);
}

}  // namespace rooftune::passes
