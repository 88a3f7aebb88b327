#include <fstream>

#include "base/error.h"
#include "passes/testing.h"

namespace rooftune::passes {
namespace {

/// y = (x + 0.5) - 0.25, with a dead square.
Graph small_model() {
  Model m;
  const ValueId x = m.input("x", {2, 3});
  m.op("Mul", {x, x});
  m.output(m.op("Sub", {m.op("Add", {x, m.number(0.5)}), m.number(0.25)}));
  return std::move(m.graph);
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(PassManager, RecordsEveryPass) {
  Graph graph = small_model();
  const Graph before = graph.clone();
  std::vector<std::string> started;
  const auto records = run_passes(graph, {.progress = [&](const std::string& name, double done) {
                                    started.push_back(name);
                                    EXPECT_LT(done, 1);
                                  }});
  ASSERT_EQ(records.size(), all_passes().size());
  EXPECT_EQ(started.size(), records.size());
  EXPECT_EQ(records[0].name, "dead_code");
  EXPECT_TRUE(records[0].changed);
  EXPECT_EQ(records[0].nodes_before, 3);
  EXPECT_EQ(records[0].nodes_after, 2);
  EXPECT_GE(records[0].ms, 0);
  expect_same_results(before, graph, 0);
}

TEST(PassManager, DisablesByName) {
  Graph graph = small_model();
  const auto records = run_passes(graph, {.disabled = {"dead_code", "simplify_arithmetic"}});
  for (const PassRecord& record : records)
    EXPECT_TRUE(record.name != "dead_code" && record.name != "simplify_arithmetic");
  EXPECT_NE(operators(graph).find("Sub"), std::string::npos);
}

TEST(PassManager, NamesThePassesWhenOneIsUnknown) {
  Graph graph = small_model();
  const std::string error = error_of([&] { run_passes(graph, {.disabled = {"fold_everything"}}); });
  EXPECT_NE(error.find("unknown pass 'fold_everything'"), std::string::npos) << error;
  EXPECT_NE(error.find("constant_fold"), std::string::npos) << error;
  EXPECT_THROW(run_pass(graph, "nothing"), InputError);
}

TEST(PassManager, DumpsReadableGraphs) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "pass_dumps" / "deep";
  std::filesystem::remove_all(folder);
  Graph graph = small_model();
  run_passes(graph, {.dump_dir = folder});
  std::ifstream file(folder / "00_input.txt");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(operators(ir::parse(text)), "Mul Add Sub");
  std::ifstream after(folder / "01_dead_code.txt");
  const std::string reduced((std::istreambuf_iterator<char>(after)), {});
  EXPECT_EQ(operators(ir::parse(reduced)), "Add Sub");
}

TEST(PassManager, SaysWhereDumpsCannotBeWritten) {
  Graph graph = small_model();
  EXPECT_THROW(run_passes(graph, {.dump_dir = "/proc/none"}), EnvironmentError);
}

TEST(PassManager, StopsBetweenPasses) {
  Graph graph = small_model();
  Cancelled cancelled;
  const auto records = run_passes(
      graph, {.progress = [&](const std::string&, double) { cancelled.request(); }, .cancelled = &cancelled});
  EXPECT_EQ(records.size(), 1U);
  ir::verify(graph);
}

TEST(PassManager, WorksInBodies) {
  const auto body = [](ValueId captured, const std::function<ValueId(Model&, ValueId)>& write) {
    Model inner;
    const ValueId x = inner.graph.add_value("x_inside", Type::tensor(ir::DType::f32, ir::Shape{2, 3}));
    inner.graph.captures_inner = {x};
    inner.graph.captures_outer = {captured};
    inner.output(write(inner, x));
    return std::make_shared<Graph>(std::move(inner.graph));
  };
  Model m;
  const ValueId x = m.input("x", {2, 3}), which = m.input("which", {}, ir::DType::boolean);
  const auto yes = body(x, [](Model& b, ValueId v) { return b.op("Identity", {b.relu(b.op("Identity", {v}))}); });
  const auto no = body(x, [](Model& b, ValueId v) {
    const ValueId e = b.op("Erf", {b.op("Div", {v, b.number(1.4142135623730951)})});
    return b.op("Mul", {b.op("Mul", {v, b.op("Add", {e, b.number(1)})}), b.number(0.5)});
  });
  m.output(m.op("If", {which}, {{"then_branch", yes}, {"else_branch", no}}));
  Graph after = m.graph.clone();
  run_passes(after);
  expect_same_results(m.graph, after, 1e-6);
  EXPECT_EQ(operators(*after.node(after.order()[0]).attr_graph("then_branch")), "Relu");
  EXPECT_EQ(operators(*after.node(after.order()[0]).attr_graph("else_branch")), "Gelu");
  EXPECT_EQ(after.opsets.at(""), 20);
}

TEST(PassManager, BlamesThePassThatBreaksTheGraph) {
  Graph graph = small_model();
  const Pass breaks{"breaks_order", [](Graph& g, PassContext&) {
                      g.node(g.order().front()).inputs[0] = g.outputs[0];
                      return true;
                    }};
  const std::string error = error_of([&] { run_passes(graph, {breaks}); });
  EXPECT_NE(error.find("pass breaks_order left an invalid graph"), std::string::npos) << error;
}

TEST(PassManager, BlamesThePassThatBreaksTypes) {
  Graph graph = small_model();
  const Pass breaks{"breaks_types", [](Graph& g, PassContext&) {
                      g.value(g.outputs[0]).type = Type::tensor(ir::DType::f32, ir::Shape{5});
                      return true;
                    }};
  EXPECT_THROW(run_passes(graph, {breaks}), InternalError);
}

}  // namespace
}  // namespace rooftune::passes
