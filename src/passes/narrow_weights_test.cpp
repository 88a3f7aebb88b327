#include "passes/partition.h"
#include "passes/testing.h"

namespace rooftune::passes {
namespace {

using ir::DType;

struct Network : Model {
  Network() : Model(21) {}
  ValueId numbers(DType dtype, const std::vector<int64_t>& shape) {
    Tensor tensor(dtype, shape);
    for (size_t i = 0; i < tensor.bytes(); ++i) tensor.raw()[i] = static_cast<uint8_t>(random());
    return graph.add_constant("n", std::move(tensor));
  }
  std::mt19937 random{5};
};

const Tensor& weights_of(const Graph& graph) {
  for (NodeId id : graph.order())
    if (is_op(graph.node(id), "DequantizeLinear")) return *graph.constant(graph.node(id).inputs[0]);
  throw InternalError("no weights");
}

TEST(NarrowWeights, BecomeUnsignedAndLieAlongWhatIsSummed) {
  for (DType dtype : {DType::u4, DType::i4, DType::i8})
    for (bool zeros : {false, true}) {
      Network m;
      std::vector<ValueId> inputs = {m.numbers(dtype, {32, 6}), m.positive({2, 6}, 0.01, 0.03)};
      if (zeros) inputs.push_back(m.numbers(dtype, {2, 6}));
      const ValueId w = m.op("DequantizeLinear", inputs, {{"axis", int64_t{-2}}, {"block_size", int64_t{16}}});
      m.output(m.op("MatMul", {m.input("x", {3, 32}), w}));
      const Graph after = rewritten(m.graph, "narrow_weights", 1e-6);
      const bool half = dtype != DType::i8;
      EXPECT_EQ(operators(after), half ? "DequantizeLinear Transpose MatMul" : "DequantizeLinear MatMul");
      EXPECT_EQ(weights_of(after).dtype(), half ? DType::u4 : DType::u8);
      EXPECT_EQ(weights_of(after).shape(), half ? (std::vector<int64_t>{6, 32}) : (std::vector<int64_t>{32, 6}));
    }
}

TEST(NarrowWeights, PerColumnOrTransposedByTheProduct) {
  Network m;
  const ValueId column =
      m.op("DequantizeLinear", {m.numbers(DType::i4, {16, 5}), m.positive({5}, 0.01, 0.03)}, {{"axis", int64_t{1}}});
  const ValueId h = m.op("MatMul", {m.input("x", {3, 16}), column});
  const ValueId row = m.op("DequantizeLinear", {m.numbers(DType::i4, {7, 5}), m.number(0.02)});
  m.output(m.op("Gemm", {h, row}, {{"transB", int64_t{1}}}));
  const Graph after = rewritten(m.graph, "narrow_weights", 1e-6);
  EXPECT_EQ(operators(after), "DequantizeLinear Transpose MatMul DequantizeLinear Gemm");
}

TEST(NarrowWeights, WhatIsReadOtherwiseStays) {
  Network m;
  const ValueId w = m.op("DequantizeLinear", {m.numbers(DType::i4, {16, 4}), m.number(0.02)});
  m.output(m.op("MatMul", {m.input("x", {3, 16}), w}));
  m.output(m.relu(w));
  EXPECT_EQ(weights_of(rewritten(m.graph, "narrow_weights", 1e-6)).dtype(), DType::i4);
}

TEST(NarrowWeights, AreOneKernelWithTheirProduct) {
  Network m;
  const ValueId w = m.op("DequantizeLinear",
                         {m.numbers(DType::u4, {6, 32}), m.positive({6, 2}, 0.01, 0.03), m.numbers(DType::u4, {6, 2})},
                         {{"axis", int64_t{1}}, {"block_size", int64_t{16}}});
  m.output(m.relu(m.op("MatMul", {m.input("x", {3, 32}), m.transpose(w, {1, 0})})));
  EXPECT_EQ(partition(m.graph).partition.groups.size(), 1U);
}

}  // namespace
}  // namespace rooftune::passes
