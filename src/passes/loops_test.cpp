#include "passes/loops.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "base/error.h"
#include "ops/loop_borders.h"
#include "passes/partition.h"

namespace rooftune::passes {
namespace {

ir::Graph parse(const std::string& body) {
  ir::Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
  ops::infer_types(graph);
  return graph;
}

std::vector<ir::Tensor> random_inputs(const ir::Graph& graph) {
  std::mt19937 random(std::random_device{}());
  std::normal_distribution<double> normal;
  std::vector<ir::Tensor> inputs;
  for (ir::ValueId v : graph.inputs) {
    inputs.emplace_back(graph.type(v).dtype(), ir::static_values(graph.type(v).shape()));
    for (int64_t i = 0; i < inputs.back().size(); ++i) inputs.back().set_double(i, normal(random));
  }
  return inputs;
}

void expect_same(const std::vector<ir::Tensor>& a, const std::vector<ir::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t o = 0; o < a.size(); ++o) {
    ASSERT_EQ(a[o].shape(), b[o].shape());
    for (int64_t i = 0; i < a[o].size(); ++i) EXPECT_NEAR(a[o].as_double(i), b[o].as_double(i), 1e-5);
  }
}

// A part that nobody asks for, an input that nobody reads, axes that are not the first, a branch that captures.
const char* const kScan = R"(  input %x: f32[3,7,4]
  input %unread: f32[7,2]
  input %start: f32[3,4]
  input %outside: f32[4]
  %w: ? = Exp@18(%outside) "exp"
  %end: ?, %all: ?, %nobody: ?, %back: ? = Scan@18(%start, %x, %unread) "scan" {
    num_scan_inputs = 2, scan_input_axes = [-2, 0], scan_output_axes = [1, 0, -1],
    scan_input_directions = [1, 0], scan_output_directions = [0, 1, 1], body = graph "body" {
    capture %factor: f32[4] = %w
    input %sum: f32[3,4]
    input %slice: f32[3,4]
    input %other: f32[2]
    %scaled: ? = Mul@18(%slice, %factor) "mul"
    %next: ? = Add@18(%sum, %scaled) "add"
    %again: ? = Neg@18(%next) "neg"
    output %next, %next, %scaled, %again
  }}
  %wider: ? = Mul@18(%w, %w) "square"
  %shifted: ? = Add@18(%all, %wider) "last"
  output %end, %shifted, %back)";

TEST(FlattenLoops, AFlatLoopIsAScanAgain) {
  const ir::Graph graph = parse(kScan);
  ir::Graph flat = graph.clone();
  flatten_loops(flat);
  ir::verify(flat);
  ASSERT_EQ(ops::flat_loops(flat).size(), 1u);
  EXPECT_EQ(flat.outputs.size(), graph.outputs.size());
  for (size_t o = 0; o < flat.outputs.size(); ++o)
    EXPECT_EQ(flat.value(flat.outputs[o]).name, graph.value(graph.outputs[o]).name);
  restore_scans(flat);
  ir::verify(flat);
  ops::infer_types(flat);
  EXPECT_TRUE(ops::flat_loops(flat).empty());
  const auto inputs = random_inputs(graph);
  expect_same(ops::evaluate(flat, inputs), ops::evaluate(graph, inputs));
}

// "exp" is read inside, "square" is not: it could be fused with "exp" or stand between what the loop does.
TEST(FlattenLoops, GroupsOfALoopStandTogether) {
  ir::Graph graph = parse(kScan);
  flatten_loops(graph);
  const auto parts = partition(graph).partition.groups;
  const auto loop = ops::flat_loops(graph).front();
  const std::set<ir::NodeId> inside(loop.nodes.begin(), loop.nodes.end());
  int changes = 0;
  bool in = false;
  for (const auto& group : parts) {
    const bool now = inside.contains(group.nodes.front());
    for (ir::NodeId id : group.nodes) EXPECT_EQ(inside.contains(id), now);
    changes += now != in ? 1 : 0;
    in = now;
  }
  EXPECT_EQ(changes, 2);
}

TEST(FlattenLoops, BordersThatDoNotPairAreAnError) {
  const auto spoiled = [](const std::function<void(ir::Node&, ir::Node&)>& spoil) {
    ir::Graph graph = parse(kScan);
    flatten_loops(graph);
    const auto loop = ops::flat_loops(graph).front();
    spoil(graph.node(loop.begin), graph.node(loop.end));
    ops::infer_types(graph);
    ops::flat_loops(graph);
  };
  spoiled([](ir::Node&, ir::Node&) {});
  EXPECT_THROW(spoiled([](ir::Node& begin, ir::Node&) { begin.op = "LoopEnd"; }), InputError);
  EXPECT_THROW(spoiled([](ir::Node&, ir::Node& end) { end.op = "LoopBegin"; }), InputError);
  EXPECT_THROW(spoiled([](ir::Node& begin, ir::Node&) { begin.attributes["states"] = int64_t{7}; }), InputError);
  EXPECT_THROW(spoiled([](ir::Node&, ir::Node& end) { end.attributes["states"] = int64_t{0}; }), InputError);
  EXPECT_THROW(spoiled([](ir::Node& begin, ir::Node&) { begin.attributes.erase("reversed"); }), InputError);
}

TEST(FlattenLoops, SaysWhyNot) {
  ir::Graph graph = parse(R"(  input %x: f32[3,4]
  input %start: f32[4]
  %end: ?, %found: ? = Scan@18(%start, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %sum: f32[4]
    input %slice: f32[4]
    %next: ? = Add@18(%sum, %slice) "add"
    %where: ? = NonZero@18(%next) "where"
    %count: ? = Shape@18(%where) "count"
    output %next, %count
  }}
  output %end, %found)");
  EXPECT_NE(why_no_kernel(graph, graph.node(graph.order()[0])).find("'where' has no static shape"), std::string::npos);
  flatten_loops(graph);
  EXPECT_TRUE(ops::flat_loops(graph).empty());
}

}  // namespace
}  // namespace rooftune::passes
