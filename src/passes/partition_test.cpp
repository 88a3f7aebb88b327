#include "passes/partition.h"

#include <rapidcheck/gtest.h>

#include "passes/testing_networks.h"

namespace rooftune::passes {
namespace {

/// One line a group: "contraction: Conv Relu".
std::string describe(const Graph& graph, const Partitioned& p) {
  std::string text;
  for (size_t g = 0; g < p.partition.groups.size(); ++g) {
    text += std::string(name(p.info[g].kind)) + ":";
    for (NodeId id : p.partition.groups[g].nodes) text += " " + graph.node(id).op;
    text += "\n";
  }
  return text;
}

/// All passes, the check that they kept the results, and the partition.
std::string describe(const Graph& network, double tolerance = 1e-5) {
  Graph graph = network.clone();
  run_passes(graph);
  expect_same_results(network, graph, tolerance);
  const Partitioned p = partition(graph);
  verify(graph, p.partition);
  return describe(graph, p);
}

std::string grouped(const Model& m) { return describe(m.graph, partition(m.graph)); }

/// All reasons of all groups.
std::string reasons(const Model& m) {
  std::string text;
  for (const GroupInfo& info : partition(m.graph).info)
    for (const std::string& reason : info.reasons) text += reason + "\n";
  return text;
}

TEST(Partition, ResNet) {
  EXPECT_EQ(describe(resnet()),
            "contraction: Conv Relu\n"
            "reduction: MaxPool\n"
            "contraction: Conv\n"
            "contraction: Conv Relu\n"
            "contraction: Conv Relu\n"
            "contraction: Conv Add Relu\n"
            "contraction: Conv Relu\n"
            "contraction: Conv Relu\n"
            "contraction: Conv Add Relu\n"
            "reduction: GlobalAveragePool\n"
            "movement: Reshape\n"
            "contraction: MatMul Add\n");
}

TEST(Partition, MobileNet) {
  const std::string block = "contraction: Conv Clip\ncontraction: Conv Clip\ncontraction: Conv Add\n";
  EXPECT_EQ(describe(mobilenet()), "contraction: Conv Clip\n" + block + block);
}

/// Two layers of messages along edges, the index expanded over the features once for both.
TEST(Partition, GraphNetwork) {
  Model m;
  const int64_t nodes = 7, edges = 30, width = 5;
  std::vector<int64_t> from(static_cast<size_t>(edges)), to(from);
  for (size_t e = 0; e < from.size(); ++e) from[e] = static_cast<int64_t>(e * e) % nodes, to[e] = 6 - from[e] / 2;
  const ValueId x = m.input("x", {nodes, width}), weight = m.input("weight", {edges, 1});
  const ValueId target = m.op("Add", {m.input("shift", {edges}, ir::DType::i64), m.ints(to)});
  const ValueId index = m.op("Expand", {m.op("Unsqueeze", {target, m.ints({1})}), m.ints({edges, width})});
  ValueId h = x;
  for (int layer = 0; layer < 2; ++layer) {
    const ValueId message = m.op("Mul", {m.op("Gather", {h, m.ints(from)}), weight});
    const ValueId none = m.op("Mul", {h, m.number(0.5)});
    h = m.op("ScatterElements", {none, index, message}, {{"axis", int64_t{0}}, {"reduction", std::string("add")}});
  }
  m.output(h);
  Graph graph = m.graph.clone();
  run_passes(graph);
  const Partitioned p = partition(graph);
  verify(graph, p.partition);
  EXPECT_EQ(describe(graph, p),
            "elementwise: Add\n"
            "movement: Reshape\n"
            "elementwise: Mul\n"
            "single: Gather Mul Expand ScatterElements\n"
            "elementwise: Mul\n"
            "single: Expand Gather Mul ScatterElements\n");
}

TEST(Partition, UNet) {
  EXPECT_EQ(describe(unet()),
            "contraction: Conv Relu\n"
            "contraction: Conv Relu\n"
            "reduction: MaxPool\n"
            "contraction: Conv Relu\n"
            "contraction: ConvTranspose\n"
            "movement: Concat\n"
            "contraction: Conv Relu\n"
            "contraction: Conv\n");
}

TEST(Partition, SqueezeAndExcite) {
  EXPECT_EQ(describe(squeeze_excite()),
            "contraction: Conv Sigmoid Mul\n"
            "contraction: Conv Sigmoid Mul\n"
            "reduction: ReduceMean\n"
            "contraction: Conv Sigmoid Mul\n"
            "contraction: Conv Sigmoid\n"
            "elementwise: Mul\n"
            "contraction: Conv\n");
}

TEST(Partition, Bert) {
  const std::string layer =
      "contraction: MatMul Add\n"
      "contraction: MatMul Add\n"
      "contraction: MatMul Add\n"
      "attention: Reshape Transpose Reshape Transpose Reshape Transpose MatMul Mul Add Softmax MatMul Transpose "
      "Reshape\n"
      "contraction: MatMul Add Add\n"
      "reduction: LayerNormalization\n"
      "contraction: MatMul Add Gelu\n"
      "contraction: MatMul Add Add\n"
      "reduction: LayerNormalization\n";
  for (const bool split_scale : {false, true})
    for (const bool written_out : {false, true})
      EXPECT_EQ(describe(bert(split_scale, written_out)), "elementwise: Cast Reshape Sub Mul\n" + layer + layer);
}

TEST(Partition, Gpt2) {
  const std::string layer =
      "reduction: LayerNormalization\n"
      "contraction: MatMul Add\n"
      "attention: Split Reshape Transpose Reshape Transpose MatMul Mul Where Softmax Reshape Transpose MatMul "
      "Transpose Reshape\n"
      "contraction: MatMul Add Add\n"
      "reduction: LayerNormalization\n"
      "contraction: MatMul Add Gelu\n"
      "contraction: MatMul Add Add\n";
  EXPECT_EQ(describe(gpt2()), layer + layer + "reduction: LayerNormalization\n");
}

TEST(Partition, SymbolicBatchAndSequence) {
  // An attention block whose reshapes are computed from shapes, as exporters write models with dynamic axes.
  Model m;
  const ir::Dim batch = ir::Dim::symbol("batch"), sequence = ir::Dim::symbol("sequence");
  const ValueId x = m.graph.add_input("x", Type::tensor(ir::DType::f32, ir::Shape{batch, sequence, 32}));
  const auto dim = [&](int64_t i) {
    return m.op("Unsqueeze",
                {m.op("Gather", {m.op("Shape", {x}), m.number(static_cast<double>(i), ir::DType::i64)}), m.ints({0})});
  };
  const auto heads = [&](const std::vector<int64_t>& perm) {
    const ValueId shape = m.op("Concat", {dim(0), dim(1), m.ints({4}), m.ints({8})}, {{"axis", int64_t{0}}});
    return m.transpose(m.op("Reshape", {m.linear(x, 32), shape}), perm);
  };
  ValueId s = m.op("Div", {m.op("MatMul", {heads({0, 2, 1, 3}), heads({0, 2, 3, 1})}), m.number(std::sqrt(8.0))});
  s = m.transpose(m.op("MatMul", {m.op("Softmax", {s}, {{"axis", int64_t{-1}}}), heads({0, 2, 1, 3})}), {0, 2, 1, 3});
  const ValueId joined = m.op("Concat", {dim(0), dim(1), m.ints({32})}, {{"axis", int64_t{0}}});
  m.output(layer_norm(m, m.op("Add", {m.linear(m.op("Reshape", {s, joined}), 32), x}), true));
  Graph after = m.graph.clone();
  run_passes(after);
  expect_same_results(m.graph, after, 1e-5);
  EXPECT_EQ(operators(after).find("ReduceMean"), std::string::npos);
  EXPECT_EQ(operators(after).find("Div"), std::string::npos);
  const Partitioned p = partition(after);
  for (size_t g = 0; g < p.info.size(); ++g) {  // what depends on the batch has no kernel until it is known
    const bool known = after.type(p.partition.groups[g].outputs[0]).is_static();
    EXPECT_TRUE(known || p.info[g].kind == GroupKind::reference);
  }
}

TEST(Partition, ResidualSumBeforeANormIsStoredOnTheWay) {
  Model m;
  const ValueId sum = m.op("Add", {m.input("a", {2, 8}), m.input("b", {2, 8})});
  m.output(m.op("Add", {m.relu(layer_norm(m, sum, false)), sum}));
  const Partitioned p = partition(m.graph);
  EXPECT_EQ(describe(m.graph, p), "reduction: Add LayerNormalization Relu Add\n");

  Model n;
  const ValueId both = n.op("Add", {n.input("a", {2, 8}), n.input("b", {2, 8})});
  n.output(layer_norm(n, both, false));
  n.output(n.op("MatMul", {both, n.weight({8, 4})}));
  const Partitioned q = partition(n.graph);
  EXPECT_EQ(describe(n.graph, q), "reduction: Add LayerNormalization\ncontraction: MatMul\n");
  EXPECT_EQ(q.partition.groups[0].outputs.size(), 2U);
}

TEST(Partition, InvertedResidualsThatTheCacheDoesNotHoldAreOneGroup) {
  Graph graph = mobilenet();
  run_passes(graph);
  const auto groups = [&](int64_t cache) { return partition(graph, {.cache = cache}).partition.groups.size(); };
  EXPECT_EQ(groups(0), 7U);
  EXPECT_EQ(groups(1 << 20), 7U);
  EXPECT_EQ(groups(8 << 10), 3U);  // 24 KB of the 96 channels
}

TEST(Partition, RefusesCycles) {
  // y = conv(x); z = y + pool(y): the sum needs what is computed from the group.
  Model m;
  const ValueId y = m.conv(m.input("x", {1, 3, 6, 6}), 4, 3);
  const ValueId pooled =
      m.op("MaxPool", {y}, {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  m.output(m.op("Add", {y, pooled}));
  EXPECT_EQ(grouped(m), "contraction: Conv\nreduction: MaxPool Add\n");
  EXPECT_NE(reasons(m).find("is needed in several places"), std::string::npos) << reasons(m);
}

TEST(Partition, WebsOfMapsAreOneGroup) {
  Model m;
  const ValueId x = m.input("x", {4, 5});
  const ValueId a = m.op("Exp", {x}), b = m.op("Tanh", {x});
  m.output(m.op("Mul", {m.op("Add", {a, b}), m.op("Sub", {a, m.transpose(m.input("t", {5, 4}), {1, 0})})}));
  EXPECT_EQ(grouped(m), "elementwise: Exp Tanh Add Transpose Sub Mul\n");
}

TEST(Partition, BroadcastsEndAGroup) {
  Model m;
  const ValueId row = m.op("MatMul", {m.input("x", {1, 4}), m.weight({4, 8})});
  m.output(m.op("Add", {m.relu(row), m.input("y", {3, 8})}));
  EXPECT_EQ(grouped(m), "contraction: MatMul Relu\nelementwise: Add\n");
  EXPECT_NE(reasons(m).find("broadcasts"), std::string::npos) << reasons(m);
}

TEST(Partition, NodesWithoutAKernelRunTheirReference) {
  Model m;
  m.output(m.relu(m.op("RandomNormal", {}, {{"shape", std::vector<int64_t>{2, 3}}})));
  m.output(m.relu(m.graph.add_input("x", Type::tensor(ir::DType::f32, ir::Shape{ir::Dim::symbol("batch"), 3}))));
  EXPECT_EQ(grouped(m), "reference: RandomNormal\nelementwise: Relu\nreference: Relu\n");
  EXPECT_NE(reasons(m).find("RandomNormal: no lowering"), std::string::npos) << reasons(m);
  EXPECT_NE(reasons(m).find("f32[batch,3], which is not static"), std::string::npos) << reasons(m);
}

TEST(Partition, AsksTheCodeGenerator) {
  Model m;
  m.output(m.relu(m.op("Exp", {m.input("x", {2, 3})})));
  const Partitioned p = partition(m.graph, {.why_unsupported = [](const Graph&, const Node& node) {
                                    return node.op == "Exp" ? std::string("Exp: no exponentials here") : "";
                                  }});
  EXPECT_EQ(describe(m.graph, p), "reference: Exp\nelementwise: Relu\n");
  EXPECT_EQ(p.info[0].reasons, std::vector<std::string>{"Exp: no exponentials here"});
  EXPECT_EQ(describe(m.graph, partition(m.graph, {.fuse = false})), "elementwise: Exp\nelementwise: Relu\n");
}

TEST(Partition, VerifierFindsWrongPartitions) {
  Model m;
  m.output(m.relu(m.op("Exp", {m.input("x", {2, 3})})));
  const ir::Partition good = partition(m.graph, {.fuse = false}).partition;
  verify(m.graph, good);
  ir::Partition swapped = good, missing = good, twice = good, interface = good;
  std::swap(swapped.groups[0], swapped.groups[1]);
  missing.groups.pop_back();
  twice.groups[1].nodes.push_back(twice.groups[0].nodes[0]);
  interface.groups[0].outputs.clear();
  for (const ir::Partition& bad : {swapped, missing, twice, interface})
    EXPECT_THROW(verify(m.graph, bad), InternalError);
}

/// A random graph of maps, products, reductions, moves and pairs of outputs over tensors of [4, 4].
Graph random_graph() {
  Model m(18, *rc::gen::arbitrary<unsigned>());
  std::vector<ValueId> values = {m.input("a", {4, 4}), m.input("b", {4, 4})};
  const auto any = [&] { return values[*rc::gen::inRange<size_t>(0, values.size())]; };
  const int count = *rc::gen::inRange(1, 25);
  for (int i = 0; i < count; ++i) {
    switch (*rc::gen::inRange(0, 12)) {
      case 0: values.push_back(m.op("Add", {any(), any()})); break;
      case 1: values.push_back(m.op("Mul", {any(), m.op("Sigmoid", {any()})})); break;
      case 2: values.push_back(m.relu(any())); break;
      case 3: values.push_back(m.linear(any(), 4)); break;
      case 4: values.push_back(m.op("MatMul", {m.op("Tanh", {any()}), any()})); break;
      case 5: values.push_back(m.op("Softmax", {any()}, {{"axis", int64_t{-1}}})); break;
      case 6: values.push_back(layer_norm(m, any(), *rc::gen::arbitrary<bool>())); break;
      case 7: values.push_back(m.transpose(any(), {1, 0})); break;
      case 8: values.push_back(m.reshape(m.relu(m.reshape(any(), {2, 8})), {4, 4})); break;
      case 9: {
        const auto parts = m.ops("Split", {any(), m.ints({1, 3})}, 2, {{"axis", int64_t{0}}});
        values.push_back(m.op("Concat", {parts[1], parts[0]}, {{"axis", int64_t{0}}}));
        break;
      }
      case 10: values.push_back(m.op("Sub", {any(), m.op("Identity", {m.number(0.5)})})); break;
      default:
        values.push_back(m.op("Add", {any(), m.op("ReduceMean", {any(), m.ints({0})}, {{"keepdims", int64_t{1}}})}));
        break;
    }
  }
  m.output(values.back());
  if (const ValueId other = any(); other != values.back() && m.graph.value(other).producer != kNone) m.output(other);
  return std::move(m.graph);
}

// `partition` verifies what it made: each node once, an order in which groups can run, so no cycles between them.
RC_GTEST_PROP(Partition, CoversRandomGraphs, ()) {
  const Graph graph = random_graph();
  verify(graph, partition(graph).partition);
}

RC_GTEST_PROP(Passes, KeepResultsOfRandomGraphs, ()) {
  const Graph graph = random_graph();
  Graph after = graph.clone();
  run_passes(after);
  expect_same_results(graph, after, 1e-4);
  RC_ASSERT(!testing::Test::HasFailure());
  verify(after, partition(after).partition);
}

}  // namespace
}  // namespace rooftune::passes
