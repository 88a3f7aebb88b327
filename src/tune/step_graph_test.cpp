#include "tune/step_graph.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/op.h"
#include "tune/testing.h"

namespace rooftune::tune {
namespace {

StepGraph graph_of(const std::string& nodes, const std::string& outputs) {
  ir::Graph graph =
      ir::parse("graph \"g\" {\n  opset \"\" 18\n  input %x: f32[64,64]\n" + nodes + "  output " + outputs + "\n}");
  ops::infer_types(graph);
  const auto machine = small_machine();
  const Workload work = make_workload(std::move(graph), machine);
  std::vector<Choice> choices;
  for (const Task& task : work.tasks) choices.push_back(first_choice(task, machine));
  return step_graph(work, choices, guidance_for(machine).target);
}

float feature(const StepGraph& graph, size_t step, const std::string& name) {
  const auto& names = step_feature_names();
  const auto at = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  EXPECT_LT(at, names.size()) << name;
  return graph.features.values[step * names.size() + at];
}

TEST(StepGraph, EveryStepHasARowAndEveryReadAnEdge) {
  const auto graph = graph_of(
      "  %a: ? = Softmax@13(%x) \"a\" { axis = -1 }\n  %b: ? = Softmax@13(%a) \"b\" { axis = 0 }\n"
      "  %c: ? = MatMul@13(%a, %b) \"c\"\n",
      "%c");
  ASSERT_EQ(graph.names.size(), 3u);
  EXPECT_EQ(graph.features.rows(), 3u);
  EXPECT_EQ(graph.features.columns, step_feature_names().size());
  EXPECT_EQ(graph.edges, (std::vector<std::pair<int, int>>{{0, 1}, {0, 2}, {1, 2}}));
  for (const double ms : graph.rough_ms) EXPECT_GT(ms, 0);
  EXPECT_EQ(feature(graph, 0, "readers"), 2);
  EXPECT_EQ(feature(graph, 0, "values_read"), 14);  // 64 x 64 floats
  EXPECT_EQ(feature(graph, 2, "values_read"), 15);
  EXPECT_EQ(feature(graph, 2, "values_written"), 14);
  // The product reads a, since which b was computed: 2^14 bytes of a by b, as many of b, and a as it was made.
  EXPECT_GT(feature(graph, 2, "since_made"), feature(graph, 1, "since_made"));
}

TEST(StepGraph, WhatHasNoKernelIsToldApart) {
  const auto graph = graph_of(
      "  %a: ? = NonZero@13(%x) \"a\"\n  %b: ? = Exp@13(%x) \"b\"\n  %c: ? = Transpose@13(%b) \"c\"\n"
      "  %d: ? = Softmax@13(%c) \"d\" { axis = 0 }\n",
      "%a, %d");
  const auto step = [&](const std::string& name) {
    return static_cast<size_t>(std::find(graph.names.begin(), graph.names.end(), name) - graph.names.begin());
  };
  ASSERT_LT(step("a"), graph.names.size());
  EXPECT_EQ(feature(graph, step("a"), "has_kernel"), 0);
  EXPECT_EQ(feature(graph, step("a"), "operations"), 0);
  EXPECT_EQ(feature(graph, step("d"), "has_kernel"), 1);
  EXPECT_GT(feature(graph, step("d"), "operations"), 0);
}

}  // namespace
}  // namespace rooftune::tune
