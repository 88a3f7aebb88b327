// The passes that quantised models go through: sink_dequantize, integer_contractions, unshare_dequantize.
#include "passes/partition.h"
#include "passes/testing.h"

namespace rooftune::passes {
namespace {

using ir::DType;

struct Network : Model {
  ValueId bytes(DType dtype, const std::vector<int64_t>& shape) {
    Tensor tensor(dtype, shape);
    for (int64_t i = 0; i < tensor.size(); ++i) tensor.raw()[i] = static_cast<uint8_t>(random());
    return graph.add_constant("bytes", std::move(tensor));
  }
  ValueId scales(int64_t count) { return count == 0 ? number(0.02) : positive({count}, 0.01, 0.03); }
  ValueId quantise(ValueId x, double zero = 100, DType dtype = DType::u8, double scale = 0.05) {
    return op("QuantizeLinear", {x, number(scale), number(zero, dtype)});
  }
  ValueId dequantise(ValueId x, double zero = 100, DType dtype = DType::u8, double scale = 0.05) {
    return op("DequantizeLinear", {x, number(scale), number(zero, dtype)});
  }
  ValueId through(ValueId x, double zero = 100, double scale = 0.05) {
    return dequantise(quantise(x, zero, DType::u8, scale), zero, DType::u8, scale);
  }
  /// Dequantised weights, a scale for each index of `axis` (-1: one for all).
  ValueId weights(const std::vector<int64_t>& shape, int64_t axis) {
    const int64_t count = axis < 0 ? 0 : shape[static_cast<size_t>(axis)];
    return op("DequantizeLinear", {bytes(DType::i8, shape), scales(count)}, {{"axis", std::max<int64_t>(axis, 0)}});
  }
  std::mt19937 random{5};
};

TEST(IntegerContractions, Convolution) {
  for (int64_t axis : {-1, 0}) {
    Network m;
    const ValueId x = m.through(m.input("x", {1, 4, 6, 6}));
    m.output(m.op("Conv", {x, m.weights({5, 4, 3, 3}, axis), m.weight({5})},
                  {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"strides", std::vector<int64_t>{2, 2}}}));
    EXPECT_EQ(operators(rewritten(m.graph, "integer_contractions")), "QuantizeLinear Reshape ConvInteger Cast Mul Add");
  }
}

TEST(IntegerContractions, ProductsAndGemm) {
  Network m;
  const ValueId x = m.through(m.input("x", {2, 3, 8}));
  m.output(m.op("MatMul", {x, m.weights({8, 5}, 1)}));
  const ValueId row = m.through(m.input("row", {3, 8}), 0);
  m.output(m.op("Gemm", {row, m.weights({6, 8}, 0), m.weight({6})}, {{"transB", int64_t{1}}}));
  const Graph after = rewritten(m.graph, "integer_contractions");
  EXPECT_EQ(operators(after),
            "QuantizeLinear MatMulInteger Cast Mul QuantizeLinear Transpose MatMulInteger Cast Mul Add");
  EXPECT_EQ(after.node(after.order()[1]).inputs.size(), 3U);
  EXPECT_EQ(after.node(after.order()[6]).inputs.size(), 2U);  // a zero point of 0 is none
}

TEST(IntegerContractions, WhatIsNotQuantisedSoStays) {
  Network m;
  const ValueId x = m.input("x", {3, 8});
  m.output(m.op("MatMul", {x, m.weights({8, 5}, 1)}));                        // weights only
  m.output(m.op("MatMul", {m.through(x), m.weights({8, 5}, 0)}));             // scales along what is summed
  m.output(m.op("MatMul", {m.through(x), m.weight({8, 5})}));                 // activations only
  m.output(m.op("MatMul", {m.through(x), m.through(m.input("y", {8, 2}))}));  // two activations
  EXPECT_EQ(operators(rewritten(m.graph, "integer_contractions", 0)), operators(m.graph));
}

TEST(SinkDequantize, MovesBytes) {
  Network m;
  const ValueId x = m.dequantise(m.input("x", {1, 4, 6, 6}, DType::u8), 3);
  const ValueId pooled = m.op("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  const ValueId again = m.through(pooled, 3);  // the same scale and zero point: goes
  m.output(m.relu(m.reshape(m.transpose(again, {0, 2, 3, 1}), {25, 4})));
  EXPECT_EQ(operators(rewritten(m.graph, "sink_dequantize", 0)), "MaxPool Transpose Reshape DequantizeLinear Relu");
}

TEST(SinkDequantize, KeepsWhatQuantisesAnew) {
  Network m;
  const ValueId x = m.dequantise(m.input("x", {8}, DType::u8), 3);
  m.output(m.relu(m.through(x, 4)));
  m.output(m.relu(m.through(x, 3, 0.1)));
  m.output(m.relu(m.dequantise(m.quantise(x, 3, DType::i8), 3, DType::i8)));
  EXPECT_EQ(operators(rewritten(m.graph, "sink_dequantize", 0)), operators(m.graph));
}

TEST(UnshareDequantize, EveryReaderReadsBytes) {
  Network m;
  const ValueId x = m.dequantise(m.input("x", {8}, DType::u8));
  m.output(m.relu(x));
  m.output(m.op("Sigmoid", {x}));
  EXPECT_EQ(operators(rewritten(m.graph, "unshare_dequantize", 0)), "DequantizeLinear Relu DequantizeLinear Sigmoid");
}

/// Between two contractions there are bytes only, whatever is computed in floats on the way.
TEST(Quantised, GroupsExchangeBytes) {
  Network m;
  ValueId x = m.quantise(m.input("x", {1, 16, 8, 8}));
  auto conv = [&](ValueId bytes, int64_t kernel) {
    return m.op("Conv", {m.dequantise(bytes), m.weights({16, 16, kernel, kernel}, 0), m.weight({16})},
                {{"pads", std::vector<int64_t>{kernel / 2, kernel / 2, kernel / 2, kernel / 2}}});
  };
  const ValueId a = m.quantise(m.relu(conv(x, 1)));
  const ValueId b = m.quantise(conv(a, 3), 100, DType::u8, 0.2);
  const ValueId sum = m.quantise(m.relu(m.op("Add", {m.dequantise(b, 100, DType::u8, 0.2), m.dequantise(a)})));
  m.output(m.op("GlobalAveragePool", {m.dequantise(sum)}));
  run_passes(m.graph);
  const auto groups = partition(m.graph).partition.groups;
  std::string types;
  for (const auto& group : groups)
    for (ValueId v : group.outputs) types += std::string(ir::name(m.graph.type(v).dtype())) + " ";
  EXPECT_EQ(types, "u8 u8 u8 f32 ") << ir::print(m.graph);
}

}  // namespace
}  // namespace rooftune::passes
