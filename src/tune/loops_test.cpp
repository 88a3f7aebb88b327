// Scans and recurrent operators from the graph to a program that runs, beside their references.
#include <gtest/gtest.h>

#include "ops/op.h"
#include "tune/testing.h"
#include "verify/inputs.h"

namespace rooftune::tune {
namespace {

class Loops : public ::testing::Test {
 protected:
  runtime::Program compile(const Workload& work) {
    std::vector<Choice> choices;
    for (const auto& task : work.tasks) choices.push_back(first_choice(task, machine));
    return assemble(work, choices, *codegen);
  }

  static ir::Graph parse(const std::string& body) {
    ir::Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
    ops::infer_types(graph);
    return graph;
  }

  void expect_right(const ir::Graph& graph, const runtime::Program& program, const std::vector<ir::Tensor>& inputs) {
    const auto wanted = ops::evaluate(graph, inputs);
    const runtime::Executable executable(program);
    for (int threads : {1, 2}) {
      const auto context = executable.make_context(threads);
      context->litter();
      for (int run = 0; run < 2; ++run) {
        std::vector<ir::Tensor> got;
        executable.run(*context, inputs, got);
        ASSERT_EQ(got.size(), wanted.size());
        for (size_t o = 0; o < got.size(); ++o) {
          ASSERT_EQ(got[o].shape(), wanted[o].shape());
          for (int64_t e = 0; e < got[o].size(); ++e)
            ASSERT_NEAR(got[o].as_double(e), wanted[o].as_double(e), 1e-4) << "output " << o << " at " << e;
        }
      }
    }
  }

  /// The program of a graph, found to be right; its reference steps must be these.
  runtime::Program check(const ir::Graph& graph, const std::vector<std::string>& references = {}) {
    runtime::Program program = compile(make_workload(graph.clone(), machine));
    expect_right(graph, program, verify::InputGenerator(graph, 1).next());
    std::vector<std::string> found;
    for (const auto& step : program.steps)
      if (step.kind == runtime::Step::Kind::reference) found.push_back(step.name);
    EXPECT_EQ(found, references);
    return program;
  }

  kernel::Machine machine = small_machine(2);
  std::unique_ptr<codegen::Codegen> codegen = codegen::cpu_codegen(testing::host_target());
};

// Axes that are not the first, both directions, a value from outside, a state that is no output.
const char* const kScan = R"(  input %x: f32[3,7,4]
  input %start: f32[3,4]
  input %outside: f32[4]
  %doubled: ? = Add@18(%outside, %outside) "double"
  %end: ?, %all: ?, %back: ? = Scan@18(%start, %x) "scan" {
    num_scan_inputs = 1, scan_input_axes = [-2], scan_output_axes = [1, 0],
    scan_input_directions = [1], scan_output_directions = [0, 1], body = graph "body" {
    capture %w: f32[4] = %doubled
    input %sum: f32[3,4]
    input %slice: f32[3,4]
    %scaled: ? = Mul@18(%slice, %w) "mul"
    %next: ? = Add@18(%sum, %scaled) "add"
    %again: ? = Neg@18(%next) "neg"
    output %next, %next, %again
  }}
  %shifted: ? = Add@18(%all, %doubled) "unrelated"
  output %end, %shifted, %back)";

TEST_F(Loops, AScanIsALoopOfKernels) {
  const auto program = check(parse(kScan));
  ASSERT_EQ(program.loops.size(), 1u);
  EXPECT_EQ(program.loops[0].trips.value(), 7);
}

TEST_F(Loops, StatesThatChangePlacesAndStatesThatStay) {
  check(parse(R"(  input %x: f32[5,2,3]
  input %a: f32[2,3]
  input %b: f32[2,3]
  input %c: f32[2,3]
  %p: ?, %q: ?, %r: ?, %old: ?, %xs: ? = Scan@18(%a, %b, %c, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %u: f32[2,3]
    input %v: f32[2,3]
    input %s: f32[2,3]
    input %x: f32[2,3]
    %sum: ? = Add@18(%u, %x) "add"
    output %v, %sum, %s, %u, %x
  }}
  output %p, %q, %r, %old, %xs)"));
}

TEST_F(Loops, StatesChangePlacesInABodyWithoutNodes) {
  check(parse(R"(  input %x: f32[5,6]
  input %a: f32[6]
  input %b: f32[6]
  %p: ?, %q: ?, %xs: ? = Scan@18(%a, %b, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %u: f32[6]
    input %v: f32[6]
    input %x: f32[6]
    output %v, %u, %x
  }}
  output %p, %q, %xs)"));
}

TEST_F(Loops, TwoThatShareWhatIsAroundThem) {
  const std::string scan = R"( = Scan@18(%start, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    capture %w: f32[4] = %factor
    input %sum: f32[4]
    input %slice: f32[4]
    %scaled: ? = Mul@18(%slice, %w) "mul"
    %next: ? = Add@18(%sum, %scaled) "add"
    output %next, %next
  }}
)";
  std::string second = scan;
  second.replace(second.find("%start, %x"), 10, "%one, %bent");
  second.replace(second.find("\"scan\""), 6, "\"again\"");
  const auto program = check(
      parse("  input %x: f32[6,4]\n  input %start: f32[4]\n  %factor: ? = Exp@18(%start) \"exp\"\n  %one: ?, %all: ?" +
            scan + "  %bent: ? = Tanh@18(%all) \"tanh\"\n  %two: ?, %more: ?" + second +
            "  %y: ? = Mul@18(%more, %factor) \"last\"\n  output %two, %y"));
  EXPECT_EQ(program.loops.size(), 2u);
}

TEST_F(Loops, ABodyWithoutKernelsAndOneThatIsPartlyByReference) {
  check(parse(R"(  input %x: f32[5,6]
  input %a: f32[6]
  %end: ?, %xs: ? = Scan@18(%a, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %u: f32[6]
    input %x: f32[6]
    output %x, %u
  }}
  output %end, %xs)"));
  check(parse(R"(  input %x: f32[5,3,3]
  input %a: f32[3,3]
  %end: ?, %dets: ? = Scan@18(%a, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %u: f32[3,3]
    input %x: f32[3,3]
    %next: ? = Sub@18(%x, %u) "sub"
    %det: ? = Det@18(%next) "det"
    output %next, %det
  }}
  output %end, %dets)"),
        {"det"});
}

TEST_F(Loops, NoIterationsGiveTheInitialStates) {
  const auto graph = parse(R"(  input %x: f32[0,4]
  input %a: f32[4]
  %end: ?, %all: ? = Scan@18(%a, %x) "scan" {
    num_scan_inputs = 1, body = graph "body" {
    input %u: f32[4]
    input %x: f32[4]
    %next: ? = Add@18(%u, %x) "add"
    output %next, %next
  }}
  output %end, %all)");
  check(graph);
}

/// y, h(, c) of an operator with constant weights, of these inputs' shape.
ir::Graph recurrent(const std::string& op, const ir::Shape& x, std::map<std::string, ir::Attribute> attributes,
                    int64_t hidden = 20) {
  ir::Graph graph;
  graph.opsets[""] = 18;
  const int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
  const int64_t directions = attributes.contains("direction") ? 2 : 1;
  const auto weight = [&](const std::vector<int64_t>& shape, double seed) {
    ir::Tensor t(ir::DType::f32, shape);
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, std::sin(static_cast<double>(i) * 12.9898 + seed) * 0.4);
    return graph.add_constant("w", std::move(t));
  };
  const int64_t inputs = x[2].value();
  ir::Node node{.name = "cell", .op = op, .since_version = 14, .attributes = std::move(attributes)};
  node.attributes["hidden_size"] = hidden;
  node.inputs = {graph.add_input("x", ir::Type::tensor(ir::DType::f32, x)),
                 weight({directions, gates * hidden, inputs}, 1), weight({directions, gates * hidden, hidden}, 2),
                 weight({directions, 2 * gates * hidden}, 3)};
  for (int i = 0; i < (op == "LSTM" ? 3 : 2); ++i) node.outputs.push_back(graph.add_value("y", {}));
  graph.outputs = node.outputs;
  graph.add_node(std::move(node));
  ops::infer_types(graph);
  return graph;
}

TEST_F(Loops, RecurrentOperatorsAreKernels) {
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    check(recurrent(op, {6, 3, 5}, {}));
    const auto both = check(recurrent(op, {6, 3, 5}, {{"direction", "bidirectional"}, {"layout", int64_t{1}}}));
    EXPECT_EQ(both.loops.size(), 2u);
  }
  const auto late = check(recurrent("GRU", {6, 3, 5}, {{"linear_before_reset", int64_t{1}}}));
  EXPECT_EQ(late.loops[0].end - late.loops[0].first, 2u);  // a product and a map
}

TEST_F(Loops, TheBaselineRunsThemByReference) {
  const Workload work = make_workload(recurrent("LSTM", {6, 3, 5}, {}), machine, false);
  EXPECT_TRUE(work.tasks.empty());
}

TEST_F(Loops, CountEveryIteration) {
  const Workload work = make_workload(recurrent("RNN", {9, 2, 5}, {}), machine);
  double runs = 0;
  for (const auto& task : work.tasks) runs = std::max(runs, task.runs);
  EXPECT_EQ(runs, 9);
  const auto program = compile(work);
  const auto& step = program.steps[program.loops[0].first];
  EXPECT_GE(step.flops, 9 * 2.0 * 2 * 20 * 20);
}

TEST_F(Loops, FreeDimensions) {
  const auto steps = ir::Dim::symbol("steps", 1, 12), batch = ir::Dim::symbol("batch", 1, 5);
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    const ir::Graph graph = recurrent(op, {steps, batch, 5}, {{"direction", "bidirectional"}});
    const auto sizes = sizes_of(graph);
    std::vector<ir::Graph> graphs;
    for (const auto& size : sizes.at)
      graphs.push_back(recurrent(op, {size.at("steps"), size.at("batch"), 5}, {{"direction", "bidirectional"}}));
    const Workload work = make_workload(std::move(graphs), sizes, machine);
    const auto program = compile(work);
    EXPECT_EQ(program.loops.size(), 2u);
    const runtime::Executable executable(program);
    const auto context = executable.make_context(2);
    context->litter();
    for (auto [s, b] : {std::pair{12, 5}, {1, 1}, {7, 2}, {12, 1}, {2, 5}}) {
      const ir::Graph fixed = recurrent(op, {s, b, 5}, {{"direction", "bidirectional"}});
      const auto inputs = verify::InputGenerator(fixed, 2).next();
      const auto wanted = ops::evaluate(fixed, inputs);
      std::vector<ir::Tensor> got;
      executable.run(*context, inputs, got);
      for (size_t o = 0; o < wanted.size(); ++o) {
        ASSERT_EQ(got[o].shape(), wanted[o].shape());
        for (int64_t e = 0; e < got[o].size(); ++e)
          ASSERT_NEAR(got[o].as_double(e), wanted[o].as_double(e), 1e-4) << op << " at " << s << " x " << b;
      }
    }
  }
}

}  // namespace
}  // namespace rooftune::tune
