#include "passes/layout.h"

#include "passes/lower_precision.h"
#include "passes/partition.h"
#include "passes/testing_networks.h"

namespace rooftune::passes {
namespace {

struct Chosen {
  Graph graph;
  ir::Partition partition;
  std::map<ValueId, kernel::Layout> layouts;

  /// "Conv:b MaxPool:b MatMul:r": the layout of the last output of each group.
  std::string text() const {
    std::string text;
    for (const ir::Group& group : partition.groups)
      text += fmt::format("{}{}:{}", text.empty() ? "" : " ", graph.node(group.nodes.front()).op,
                          layouts.count(group.outputs.back()) ? "b" : "r");
    return text;
  }
};

Chosen choose(const Graph& network, int lanes = 16) {
  Chosen chosen{.graph = network.clone()};
  run_passes(chosen.graph);
  chosen.partition = partition(chosen.graph).partition;
  chosen.layouts = choose_layouts(chosen.graph, chosen.partition, lanes);
  for (const auto& [value, layout] : chosen.layouts) {
    const auto shape = ir::static_values(chosen.graph.type(value).shape());
    EXPECT_EQ(layout, kernel::Layout::blocked(shape, {0, 1, 2, 3}, {{1, lanes}}));
    EXPECT_FALSE(chosen.graph.is_input(value) || chosen.graph.is_output(value) || chosen.graph.constant(value));
  }
  return chosen;
}

TEST(Layout, ResNet) {
  EXPECT_EQ(choose(resnet()).text(),
            "Conv:b MaxPool:b Conv:b Conv:b Conv:b Conv:b Conv:b Conv:b Conv:b GlobalAveragePool:r Reshape:r MatMul:r");
}

TEST(Layout, MobileNetPadsChannels) {
  const Chosen chosen = choose(mobilenet());
  EXPECT_EQ(chosen.text(), "Conv:b Conv:b Conv:b Conv:b Conv:b Conv:b Conv:r");  // the last one is the output
  const ValueId first = chosen.partition.groups[0].outputs[0];
  EXPECT_EQ(chosen.layouts.at(first).size(), 32 * 8 * 8);  // 24 channels
}

TEST(Layout, UNet) {
  EXPECT_EQ(choose(unet()).text(), "Conv:b Conv:b MaxPool:b Conv:b ConvTranspose:b Concat:b Conv:b Conv:r");
}

TEST(Layout, FewChannelsAreNotPadded) {
  Model m;
  const ValueId x = m.relu(m.conv(m.input("x", {1, 3, 8, 8}), 4, 3));
  m.output(m.conv(m.relu(m.conv(x, 12, 3)), 4, 3));
  EXPECT_EQ(choose(m.graph).text(), "Conv:r Conv:b Conv:r");
  EXPECT_EQ(choose(m.graph, 4).text(), "Conv:b Conv:b Conv:r");
}

TEST(Layout, SqueezeAndExcite) {
  // Pooled values have no extent in space and stay row-major; the element-wise product follows its convolutions.
  EXPECT_EQ(choose(squeeze_excite()).text(), "Conv:b Conv:b ReduceMean:r Conv:r Conv:r Mul:b Conv:r");
}

TEST(Layout, ConcatOfBrokenBlocksIsRowMajor) {
  const auto network = [](int64_t first) {
    Model m;
    const ValueId x = m.input("x", {1, 3, 8, 8});
    const ValueId a = m.relu(m.conv(x, first, 3)), b = m.relu(m.conv(x, 16, 3));
    m.output(m.conv(m.op("Concat", {a, b}, {{"axis", int64_t{1}}}), 8, 1));
    return std::move(m.graph);
  };
  EXPECT_EQ(choose(network(32)).text(), "Conv:b Conv:b Concat:b Conv:r");
  EXPECT_EQ(choose(network(24)).text(), "Conv:r Conv:r Concat:r Conv:r");
}

TEST(Layout, TransformersHaveNone) { EXPECT_TRUE(choose(bert(false, false)).layouts.empty()); }

TEST(Layout, TilesReadRowsOf64Bytes) {
  for (const auto& [dtype, block] : {std::pair(ir::DType::bf16, 32), std::pair(ir::DType::f32, 16)}) {
    Model m;
    const ValueId x = m.relu(m.conv(m.input("x", {1, 3, 8, 8}), 64, 3));
    m.output(m.conv(m.relu(m.conv(x, 24, 3)), 16, 3));
    Graph graph = std::move(m.graph);
    run_passes(graph);
    if (dtype != ir::DType::f32) lower_precision(graph, dtype);
    const auto parts = partition(graph).partition;
    const auto layouts = choose_layouts(graph, parts, 16, true);
    std::map<int64_t, kernel::Layout> of;  // by channels
    for (const auto& [value, layout] : layouts) of[graph.type(value).shape()[1].value()] = layout;
    ASSERT_TRUE(of.contains(64) && of.contains(24));
    EXPECT_EQ(of[64], kernel::Layout::blocked({1, 64, 8, 8}, {0, 1, 2, 3}, {{1, block}}));
    EXPECT_EQ(of[24], dtype == ir::DType::f32 ? kernel::Layout::blocked({1, 24, 8, 8}, {0, 1, 2, 3}, {{1, 16}})
                                              : kernel::Layout::blocked({1, 24, 8, 8}, {0, 2, 3, 1}, {}));
  }
}

TEST(Layout, ContractionsReadAConvertedCopy) {
  // Batched products read the blocked result of a convolution as it is.
  Model m;
  const ValueId x = m.relu(m.conv(m.input("x", {1, 3, 8, 8}), 16, 3));
  const ValueId y = m.relu(m.conv(x, 16, 3));
  m.output(m.conv(y, 16, 3));
  m.output(m.conv(x, 16, 5));
  m.output(m.op("MatMul", {x, m.weight({8, 8})}));
  m.output(m.op("MatMul", {m.weight({8, 8}), x}));
  Chosen chosen = choose(m.graph);
  const Graph before = chosen.graph.clone();
  ASSERT_EQ(chosen.text().substr(0, 14), "Conv:b Conv:b ");
  EXPECT_EQ(insert_conversions(chosen.graph, chosen.partition, chosen.layouts), 1);
  verify(chosen.graph, chosen.partition);
  expect_same_results(before, chosen.graph, 0);
}

}  // namespace
}  // namespace rooftune::passes
