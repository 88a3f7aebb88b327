#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "estimate/analyze.h"
#include "estimate/characterize.h"
#include "estimate/work.h"
#include "ops/op.h"

namespace rooftune::estimate {
namespace {
using ir::DType;
using ir::Graph;
using ir::Tensor;
using ir::Type;

ir::ValueId add_op(Graph& graph, const std::string& op, std::vector<ir::ValueId> inputs, const std::string& name) {
  const ir::ValueId out = graph.add_value(name, Type());
  graph.add_node({.name = "n_" + name, .op = op, .since_version = 18, .inputs = std::move(inputs), .outputs = {out}});
  return out;
}

/// y = relu(x + w) + x, with x of [batch, 100]
Graph residual(const ir::Dim& batch) {
  Graph graph;
  graph.opsets[""] = 18;
  const auto x = graph.add_input("x", Type::tensor(DType::f32, ir::Shape{batch, 100}));
  const auto w = graph.add_constant("w", Tensor::of<float>(DType::f32, {100}, std::vector<float>(100, 0.5f)));
  const auto a = add_op(graph, "Add", {x, w}, "a");
  const auto r = add_op(graph, "Relu", {a}, "r");
  const auto y = add_op(graph, "Add", {r, x}, "y");
  graph.outputs = {y};
  ops::infer_types(graph);
  return graph;
}

hardware::Spec machine() {
  hardware::Spec spec;
  spec.name = "t";
  spec.kind = "cpu";
  spec.peak_flops = {{"f32", 1e9}, {"i8", 4e9}};
  spec.memory_bandwidth = 1e9;
  spec.compute_units = 2;
  spec.source = "made up";
  spec.measured = true;
  return spec;
}

std::string input_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no InputError";
}

TEST(Characterize, CountsByHand) {
  const Characterization facts = characterize(residual(3));
  EXPECT_EQ(facts.parameters, 100);
  EXPECT_EQ(facts.weight_bytes, 400);
  EXPECT_EQ(facts.flops, 900);  // three operators of one operation a point
  EXPECT_EQ(facts.bytes, (1200 + 400 + 1200) + (1200 + 1200) + 3 * 1200);
  EXPECT_EQ(facts.compulsory_bytes, 1200 + 400 + 1200);  // x, w, y
  EXPECT_EQ(facts.histogram, (std::map<std::string, int>{{"Add", 2}, {"Relu", 1}}));
  ASSERT_EQ(facts.operators.size(), 3u);
  EXPECT_EQ(facts.operators[1].name, "n_r");
  EXPECT_EQ(facts.operators[1].op, "Relu");
  EXPECT_DOUBLE_EQ(facts.operators[1].intensity(), 300. / 2400);
  EXPECT_EQ(facts.operators[1].outputs[0].to_string(), "f32[3,100]");
}

TEST(Characterize, MemoryTimeline) {
  const Characterization facts = characterize(residual(3));
  ASSERT_EQ(facts.memory.size(), 3u);
  EXPECT_EQ(facts.memory[0].live_bytes, 2400);  // x, a
  EXPECT_EQ(facts.memory[1].live_bytes, 3600);  // x, a, r
  EXPECT_EQ(facts.memory[2].live_bytes, 3600);  // x, r, y
  EXPECT_EQ(facts.peak_activation_bytes, 3600);
  EXPECT_EQ(facts.peak_node, "n_r");
  EXPECT_EQ(facts.peak_memory_bytes, 4000);
}

TEST(Characterize, GraphWithoutNodes) {
  Graph graph;
  const auto x = graph.add_input("x", Type::tensor(DType::f32, ir::Shape{2}));
  graph.outputs = {x};
  const Characterization facts = characterize(graph);
  EXPECT_EQ(facts.flops, 0);
  EXPECT_TRUE(facts.memory.empty());
}

TEST(Characterize, FreeDimensionIsNamed) {
  const std::string message = input_error([] { characterize(residual(ir::Dim::symbol("batch", 1, 64))); });
  EXPECT_NE(message.find("'x'"), std::string::npos) << message;
  EXPECT_NE(message.find("--dim batch="), std::string::npos) << message;
}

TEST(Characterize, JsonHasTheContractsKeys) {
  const Json json = to_json(characterize(residual(3)));
  for (const char* key : {"parameters", "flops", "bytes", "peak_memory_bytes", "histogram", "operators"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const char* key : {"name", "op", "flops", "bytes", "intensity", "outputs"})
    EXPECT_TRUE(json["operators"][0].contains(key)) << key;
  EXPECT_EQ(json["operators"][0]["outputs"].dump(), R"([{"shape":[3,100],"dtype":"f32"}])");
  EXPECT_EQ(json["histogram"]["Add"], 2);
}

TEST(Work, InsideOfAGroupIsFree) {
  const Graph graph = residual(3);
  const ir::Partition single = one_group_per_node(graph);
  ASSERT_EQ(single.groups.size(), 3u);
  EXPECT_EQ(group_work(graph, single.groups[0]).bytes, node_work(graph, graph.order()[0]).bytes);
  ir::Group all{.name = "all",
                .nodes = graph.order(),
                .inputs = {graph.inputs[0], *graph.find_value("w")},
                .outputs = graph.outputs};
  EXPECT_EQ(group_work(graph, all).bytes, 2800);
  EXPECT_EQ(group_work(graph, all).flops, 900);
  EXPECT_EQ(model_work(graph).bytes, 2800);
}

TEST(Work, ALookupTouchesItsRowsOnly) {
  Graph graph;
  graph.opsets[""] = 18;
  const auto table =
      graph.add_constant("table", Tensor::of<float>(DType::f32, {1000, 8}, std::vector<float>(8000, 0.25f)));
  const auto ids = graph.add_input("ids", Type::tensor(DType::i64, ir::Shape{2, 3}));
  const auto rows = add_op(graph, "Gather", {table, ids}, "rows");
  const auto y = add_op(graph, "Relu", {rows}, "y");
  graph.outputs = {y};
  ops::infer_types(graph);
  const double row_bytes = 6 * 8 * 4;
  EXPECT_EQ(node_work(graph, graph.order()[0]).bytes, row_bytes + 6 * 8 + row_bytes);  // read, indices, written
  EXPECT_EQ(model_work(graph).bytes, row_bytes + 6 * 8 + row_bytes);                   // written once, by Relu
  EXPECT_EQ(characterize(graph).operators[0].bytes, row_bytes + 6 * 8 + row_bytes);
}

TEST(Roofline, TheLargerSideDecides) {
  const hardware::Spec spec = machine();
  EXPECT_DOUBLE_EQ(roofline_ms({2e6, 1e6}, spec), 2);
  EXPECT_DOUBLE_EQ(roofline_ms({1e6, 3e6}, spec), 3);
  EXPECT_DOUBLE_EQ(roofline_ms({4e6, 1e6}, spec, "i8"), 1);
  EXPECT_FALSE(memory_bound({2e6, 1e6}, spec));
  EXPECT_TRUE(memory_bound({1e6, 3e6}, spec));
  EXPECT_EQ(roofline_ms({}, spec), 0);
}

RC_GTEST_PROP(Roofline, NeverAboveTheSumAndNeverBelowEitherSide, ()) {
  const Work work{1.0 * *rc::gen::inRange(0, 1000000), 1.0 * *rc::gen::inRange(0, 1000000)};
  const hardware::Spec spec = machine();
  const double ms = roofline_ms(work, spec);
  RC_ASSERT(ms >= 1e3 * work.flops / 1e9 * (1 - 1e-12));
  RC_ASSERT(ms >= 1e3 * work.bytes / 1e9 * (1 - 1e-12));
  RC_ASSERT(ms <= 1e3 * (work.flops + work.bytes) / 1e9 * (1 + 1e-12));
}

TEST(Analyze, EstimatesAreConsistent) {
  const Graph graph = residual(10000);
  const Analysis analysis = analyze(graph, machine(), {.batch = 10000});
  EXPECT_DOUBLE_EQ(analysis.roofline_ms, 1e3 * (2 * 4e6 + 400) / 1e9);  // x in, y out, w
  EXPECT_EQ(analysis.direct_roofline_ms, analysis.roofline_ms);
  ASSERT_EQ(analysis.operators.size(), 3u);
  double groups = 0;
  for (const GroupEstimate& row : analysis.operators) {
    EXPECT_GE(row.latency.value, row.roofline_ms);
    EXPECT_TRUE(row.memory_bound);
    groups += row.roofline_ms;
  }
  EXPECT_GE(groups, analysis.roofline_ms) << "what lies between groups is moved, too";
  EXPECT_GE(analysis.latency.value, groups);
  EXPECT_NEAR(analysis.throughput.value * analysis.latency.value, 1e3 * 10000, 1e-3);
  EXPECT_GT(analysis.utilization.value, 0);
  EXPECT_LT(analysis.utilization.value, 1);
  EXPECT_EQ(analysis.memory.value, 400 + 3 * 4e6);
  for (const Estimate* estimate :
       {&analysis.latency, &analysis.throughput, &analysis.utilization, &analysis.memory, &analysis.energy}) {
    EXPECT_GT(estimate->value, 0);
    EXPECT_GT(estimate->error_bound_pct, 0);
    EXPECT_GT(estimate->confidence, 0);
    EXPECT_LE(estimate->confidence, 1);
    EXPECT_FALSE(estimate->unit.empty());
    EXPECT_FALSE(estimate->calibration_source.empty());
  }
}

TEST(Analyze, OneGroupBeatsThree) {
  const Graph graph = residual(10000);
  ir::Partition fused;
  fused.groups.push_back({.name = "all",
                          .nodes = graph.order(),
                          .inputs = {graph.inputs[0], *graph.find_value("w")},
                          .outputs = graph.outputs});
  const Analysis one = analyze(graph, fused, machine());
  EXPECT_LT(one.latency.value, analyze(graph, machine()).latency.value);
  EXPECT_EQ(one.operators[0].op, "Add + Relu + Add");
  EXPECT_EQ(one.operators[0].nodes, (std::vector<std::string>{"n_a", "n_r", "n_y"}));
}

TEST(Analyze, PrecisionAndTarget) {
  const Graph graph = residual(10000);
  EXPECT_LT(analyze(graph, machine(), {.precision = "i8"}).latency.value, analyze(graph, machine()).latency.value);
  EXPECT_NE(input_error([&] { analyze(graph, machine(), {.precision = "f31"}); }).find("f31"), std::string::npos);
  const Analysis gpu = analyze(graph, hardware::load_spec("nvidia_h200_sxm"), {.precision = "f16"});
  EXPECT_GT(gpu.latency.error_bound_pct, analyze(graph, machine()).latency.error_bound_pct);
  EXPECT_NE(gpu.latency.calibration_source.find("NVIDIA"), std::string::npos);
}

TEST(Analyze, JsonHasTheContractsKeys) {
  const Json json = to_json(analyze(residual(3), machine()));
  for (const char* key : {"latency", "throughput", "utilization", "memory", "energy"})
    for (const char* part : {"value", "unit", "confidence", "calibration_source", "error_bound_pct"})
      EXPECT_TRUE(json[key].contains(part)) << key << "." << part;
  EXPECT_TRUE(json.contains("roofline_ms") && json.contains("direct_roofline_ms"));
  EXPECT_EQ(json["operators"].size(), 3u);
  EXPECT_TRUE(json["operators"][0]["latency"].contains("value"));
}

}  // namespace
}  // namespace rooftune::estimate
