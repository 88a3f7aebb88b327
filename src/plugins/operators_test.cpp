// What callbacks can ask and answer, and that whatever they do wrong is a message that names the node.
#include <cmath>

#include "ops/op.h"
#include "passes/partition.h"
#include "passes/testing.h"
#include "plugins/testing.h"

namespace rooftune::plugins {
namespace {

using ir::DType;
using ir::Graph;
using ir::Tensor;

/// As the text of a graph has them.
std::string braced(const std::string& attributes) { return attributes.empty() ? "" : " {" + attributes + "}"; }

class Operators : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    load(built("plugin_odd"));
    load(built("example_operators"));
  }
  /// x → op → y, types inferred.
  static Graph one(const std::string& op, const std::string& attributes = "", const std::string& type = "f32[2,6]",
                   const std::string& more = "", const std::string& arguments = "%x") {
    Graph graph =
        ir::parse(fmt::format("graph \"g\" {{\n  opset \"\" 17\n  opset \"com.test\" 2\n  input %x: {}\n{}"
                              "  %y: ? = com.test::{}@2({}) \"the node\"{}\n  output %y\n}}",
                              type, more, op, arguments, braced(attributes)));
    ops::infer_types(graph);
    return graph;
  }
  static Tensor ramp() {
    Tensor x(DType::f32, {2, 6});
    for (int64_t i = 0; i < x.size(); ++i) x.set_double(i, std::sin(static_cast<double>(i) + 1));
    return x;
  }
  static std::string when_run(const std::string& op) {
    return message_of<InputError>([&] { ops::evaluate(one(op), {ramp()}); });
  }
};

TEST_F(Operators, StringsGoThrough) {
  const Tensor x = Tensor::of_strings({3}, {"abc", "", std::string("a\0b", 3)});
  const auto y = ops::evaluate(one("Reverse", "", "string[3]"), {x});
  EXPECT_EQ(y[0].strings(), (std::vector<std::string>{"cba", "", std::string("b\0a", 3)}));
}

TEST_F(Operators, AttributesOfEveryKind) {
  const auto values = [](const Graph& graph) {
    const auto y = ops::evaluate(graph, {ramp()});
    return std::vector<float>(y[0].data<float>(), y[0].data<float>() + 7);
  };
  EXPECT_EQ(values(one("Attributes", "i = 5, f = float 2.5, s = \"four\", is = [7, -8, 9], fs = floats[0.5, -1.5]")),
            (std::vector<float>{5, 2.5, 4, 3, -8, 2, -1.5}));
  EXPECT_EQ(values(one("Attributes")), (std::vector<float>{-1, -2, 0, -1, -5, -1, -7}));
  expect_has(message_of<InputError>([&] { values(one("Attributes", "i = \"text\"")); }), "'the node'");
}

TEST_F(Operators, ShapesMayHoldSymbolsAndComeFromConstants) {
  const std::string k = "  constant %k: i64[] = {3}\n";
  const Graph dynamic = one("Window", "", "f32[2,N]", k, "%x, %k");
  const auto& shape = dynamic.type(dynamic.outputs[0]).shape();
  EXPECT_EQ(shape[0], (ir::Dim::symbol("N") - 2) * 2) << shape[0].to_string();
  EXPECT_FALSE(shape[1].is_static());
  const Graph fixed = one("Window", "", "f32[2,6]", k, "%x, %k");
  EXPECT_EQ(fixed.type(fixed.outputs[0]).shape()[0].value(), 8);
  expect_has(message_of<InputError>([] { one("Window"); }), "node 'the node' (Window): k must be a constant");
}

TEST_F(Operators, WhatGoesWrongNamesTheNode) {
  EXPECT_EQ(when_run("SaysWhy"), "node 'the node' (SaysWhy): element 3 is negative");
  expect_has(when_run("SaysNothing"),
             "node 'the node' (SaysNothing): plug-in odd 0.1 (libplugin_odd.so) failed and gave no reason");
  expect_has(when_run("GivesNothing"), "(GivesNothing): plug-in odd 0.1 (libplugin_odd.so) gave no output 0");
  expect_has(when_run("GivesF64"), "gave f64[2,6] for output 0, but inferred f32[2,6]");
  expect_has(when_run("InfersNothing"), "does not say the type of output 0");
  expect_has(when_run("Careless"), "node 'the node' (Careless)");
  expect_has(when_run("AsksTooLate"), "(AsksTooLate)");
  expect_has(message_of<InputError>([] { one("Reverse", "", "f32[2]", "", "%x, %x, %x"); }), "must have 1 to 2");
}

TEST_F(Operators, AnOlderVersionOfTheDomainIsRefused) {
  Graph graph =
      ir::parse("graph \"g\" {\n  input %x: f32[2]\n  %y: ? = com.test::Scaled@1(%x) \"old\"\n  output %y\n}");
  expect_has(message_of<InputError>([&] { ops::infer_types(graph); }),
             "opset 1 is too old: Scaled is supported from opset 2");
}

std::string operators_of(const Graph& graph) {
  std::string names;
  for (ir::NodeId id : graph.order()) names += (names.empty() ? "" : " ") + graph.node(id).op;
  return names;
}

TEST_F(Operators, AnExpansionTakesTheNodesPlace) {
  const Graph before = one("Scaled", "k = 4");
  Graph after = before.clone();
  EXPECT_TRUE(passes::run_pass(after, "expand_operators"));
  EXPECT_EQ(operators_of(after), "Mul Add Clip");
  EXPECT_EQ(after.value(after.outputs[0]).name, "y");
  EXPECT_EQ(after.node(after.order()[0]).name, "the node/Mul");
  EXPECT_EQ(after.node(after.order()[0]).since_version, 13);
  const auto expected = ops::evaluate(before, {ramp()}), got = ops::evaluate(after, {ramp()});
  for (int64_t i = 0; i < 12; ++i) EXPECT_FLOAT_EQ(got[0].data<float>()[i], expected[0].data<float>()[i]);
}

TEST_F(Operators, AnExpansionMayUseOtherDomains) {
  Graph graph = one("Foreign");
  EXPECT_TRUE(passes::run_pass(graph, "expand_operators"));
  const auto got = ops::evaluate(graph, {ramp()});
  for (int64_t i = 0; i < 12; ++i) {
    const double x = ramp().as_double(i),
                 y = 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    EXPECT_NEAR(got[0].as_double(i), y, 1e-6);
  }
}

TEST_F(Operators, ExpandsInBodiesToo) {
  Graph graph = ir::parse(R"(graph "g" {
  opset "" 17
  input %x: f32[2,6]
  input %c: bool[]
  %y: ? = If@17(%c) "if" {then_branch = graph "then" {
    capture %in: ? = %x
    %t: ? = com.test::Scaled@2(%in) "inside"
    output %t
  }, else_branch = graph "else" {
    capture %same: ? = %x
    %e: ? = Identity@17(%same) "identity"
    output %e
  }}
  output %y
})");
  ops::infer_types(graph);
  Graph after = graph.clone();
  passes::run_pass(after, "expand_operators");
  const auto then = after.node(after.order()[0]).attr_graph("then_branch");
  EXPECT_EQ(operators_of(*then), "Mul Add Clip");
  for (const bool taken : {true, false}) {
    const Tensor c = Tensor::of<uint8_t>(DType::boolean, {}, {static_cast<uint8_t>(taken)});
    const auto expected = ops::evaluate(graph, {ramp(), c}), got = ops::evaluate(after, {ramp(), c});
    for (int64_t i = 0; i < 12; ++i) EXPECT_FLOAT_EQ(got[0].data<float>()[i], expected[0].data<float>()[i]);
  }
}

TEST_F(Operators, AnExpansionThatIsRefusedOrWrongLeavesTheNodeAndSaysWhy) {
  const auto reason = [](Graph graph) {
    EXPECT_FALSE(passes::run_pass(graph, "expand_operators"));
    EXPECT_EQ(graph.order().size(), 1u);
    return passes::partition(graph).info.at(0).reasons.at(0);
  };
  EXPECT_EQ(reason(one("Scaled", "k = 3")), "Scaled: not expanded: k is 3");
  expect_has(reason(one("Unknown")),
             "its expansion is wrong: node 'the node/Frobnicate' (Frobnicate): operator "
             "Frobnicate is not supported");
  expect_has(reason(one("OtherShape")), "its expansion gives f32[] for output 0, inferred was f32[2,6]");
  expect_has(reason(one("BadAttribute")), "the attributes of Softmax");
  expect_has(reason(one("ExpandsToNothing")), "its expansion gives no output 0");
  EXPECT_EQ(passes::partition(one("Reverse", "", "f32[2]")).info.at(0).reasons.at(0), "Reverse: no lowering");
  EXPECT_EQ(passes::partition(one("Scaled")).info.at(0).reasons.at(0),
            "Scaled: not expanded: the pass expand_operators did not run");
}

Graph swiglu(const std::string& shape, const std::string& attributes = "") {
  Graph graph =
      ir::parse(fmt::format("graph \"g\" {{\n  opset \"\" 17\n  input %x: f32{}\n"
                            "  %y: ? = com.example::SwiGLU@1(%x) \"gate\"{}\n  output %y\n}}",
                            shape, braced(attributes)));
  ops::infer_types(graph);
  return graph;
}

TEST_F(Operators, TheExampleComputesWhatItSays) {
  for (const double alpha : {1.0, 1.75}) {
    const Graph graph = swiglu("[2,3,8]", fmt::format("alpha = float {}", alpha));
    Graph expanded = graph.clone();
    passes::run_pass(expanded, "expand_operators");
    EXPECT_EQ(expanded.opsets.at(""), 18) << "which its Split needs";
    EXPECT_EQ(operators_of(expanded), alpha == 1 ? "Split Sigmoid Mul Mul" : "Split Mul Sigmoid Mul Mul");
    Tensor x(DType::f32, {2, 3, 8});
    for (int64_t i = 0; i < x.size(); ++i) x.set_double(i, 3 * std::sin(static_cast<double>(i * i) + 1));
    const auto got = ops::evaluate(graph, {x}), fast = ops::evaluate(expanded, {x});
    ASSERT_EQ(got[0].shape(), (std::vector<int64_t>{2, 3, 4}));
    for (int64_t i = 0; i < got[0].size(); ++i) {
      const double a = x.as_double(i / 4 * 8 + i % 4), b = x.as_double(i / 4 * 8 + i % 4 + 4);
      const double expected = a / (1 + std::exp(-alpha * a)) * b;
      EXPECT_NEAR(got[0].as_double(i), expected, 1e-6 * std::fabs(expected));
      EXPECT_NEAR(fast[0].as_double(i), expected, 1e-5 * std::fabs(expected));
    }
    EXPECT_EQ(ops::cost(graph, graph.node(graph.order()[0])).flops, 6 * 24);
    EXPECT_EQ(ops::cost(graph, graph.node(graph.order()[0])).bytes, 4 * (48 + 24));
  }
}

TEST_F(Operators, TheExampleSpeaksOfItsInput) {
  EXPECT_EQ(message_of<InputError>([] { swiglu("[2,7]"); }),
            "node 'gate' (SwiGLU): the last dimension of x is 7, but must be even");
  EXPECT_EQ(message_of<InputError>([] { swiglu("[]"); }),
            "node 'gate' (SwiGLU): x must have a last dimension to cut in two");
  const Graph dynamic = swiglu("[N,M]");
  EXPECT_EQ(dynamic.type(dynamic.outputs[0]).to_string(), "f32[N,floordiv(M, 2)]");
  const Graph empty = swiglu("[0,8]");
  EXPECT_EQ(ops::evaluate(empty, {Tensor(DType::f32, {0, 8})})[0].shape(), (std::vector<int64_t>{0, 4}));
}

}  // namespace
}  // namespace rooftune::plugins
