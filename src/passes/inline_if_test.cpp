#include "passes/testing.h"

namespace rooftune::passes {
namespace {

/// Parsed, with types inferred.
Graph parsed(const std::string& body) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
  ops::infer_types(graph);
  return graph;
}

/// As torch exports squeeze(0): for an input of which only the run says that its first axis is 1.
std::string squeeze_if_one(int64_t extent) {
  return fmt::format(R"(  input %x: f32[{},4]
  constant %zero: i64[] = {{0}}
  constant %one: i64[] = {{1}}
  %shape: ? = Shape@18(%x) "shape"
  %dim: ? = Gather@18(%shape, %zero) "dim"
  %is_one: ? = Equal@18(%dim, %one) "is_one"
  %s: ? = If@18(%is_one) "if" {{then_branch = graph "then" {{
    capture %in: ? = %x
    constant %at: i64[1] = {{0}}
    %t: ? = Squeeze@18(%in, %at) "squeeze"
    output %t
  }}, else_branch = graph "else" {{
    capture %same: ? = %x
    %e: ? = Identity@18(%same) "identity"
    output %e
  }}}}
  %y: ? = Relu@18(%s) "relu"
  output %y)",
                     extent);
}

TEST(InlineIf, TakesTheBranchThatTheShapesChoose) {
  for (const auto& [extent, expected] : {std::pair(1, "Squeeze Relu"), std::pair(3, "Identity Relu")}) {
    const Graph before = parsed(squeeze_if_one(extent));
    Graph after = before.clone();
    run_pass(after, "constant_fold");
    run_pass(after, "inline_if");
    EXPECT_EQ(operators(after), expected);
    expect_same_results(before, after, 0);
    Graph all = before.clone();
    run_passes(all);
    EXPECT_EQ(operators(all), extent == 1 ? "Reshape Relu" : "Relu");
    expect_same_results(before, all, 0);
  }
}

TEST(InlineIf, KeepsConstantsBodiesAndOutputNames) {
  const Graph before = parsed(R"(  input %x: f32[2]
  constant %yes: bool[] = {1}
  input %maybe: bool[]
  %a: ?, %b: ? = If@18(%yes) "outer" {then_branch = graph "then" {
    capture %in: ? = %x
    capture %unsure: ? = %maybe
    constant %c: f32[2] = {3, 4}
    %sum: ? = Add@18(%in, %c) "sum"
    %t: ? = If@18(%unsure) "inner" {then_branch = graph "t" {
      capture %s: ? = %sum
      %n: ? = Neg@18(%s) "neg"
      output %n
    }, else_branch = graph "e" {
      capture %k: ? = %c
      %m: ? = Exp@18(%k) "exp"
      output %m
    }}
    output %t, %in
  }, else_branch = graph "else" {
    capture %same: ? = %x
    %e: ? = Abs@18(%same) "abs"
    output %e, %e
  }}
  output %a, %b)");
  const Graph after = rewritten(before, "inline_if", 0);
  EXPECT_EQ(operators(after), "Add If Identity");  // b is the input itself, under another name
}

TEST(InlineIf, LeavesWhatTheRunDecides) {
  const Graph before = parsed(R"(  input %x: f32[2]
  input %c: bool[]
  %y: ? = If@18(%c) "if" {then_branch = graph "then" {
    capture %p: ? = %x
    %t: ? = Neg@18(%p) "neg"
    output %t
  }, else_branch = graph "else" {
    capture %q: ? = %x
    %e: ? = Exp@18(%q) "exp"
    output %e
  }}
  output %y)");
  EXPECT_EQ(operators(rewritten(before, "inline_if", 0)), "If");
}

}  // namespace
}  // namespace rooftune::passes
