// What functions do to a graph, and what they refuse; what they compute is compared with onnxruntime by tests/ops.
#include "ops/function.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/testing.h"

namespace rooftune::ops {
namespace {

using testing::expect_error;
using testing::inferred;

std::vector<std::string> operators(const Graph& graph) {
  std::vector<std::string> names;
  for (ir::NodeId id : graph.order()) names.push_back(graph.node(id).domain + graph.node(id).op);
  return names;
}

TEST(Function, PutsNodesInThePlaceOfOne) {
  const Graph g = inferred(R"(  input %x: f32[N,8]
  input %b: f32[8]
  %h: ? = Relu@18(%x) "before"
  %y: ? = "com.microsoft"::BiasGelu@1(%h, %b) "n"
  %z: ? = Neg@18(%y) "after"
  output %z, %y)");
  EXPECT_EQ(operators(g), (std::vector<std::string>{"Relu", "Add", "Gelu", "Neg"}));
  EXPECT_EQ(g.type(*g.find_value("y")).to_string(), "f32[N,8]");  // the output keeps its name
  EXPECT_EQ(g.node(g.order()[2]).name, "n/Gelu");
  EXPECT_EQ(g.node(g.order()[2]).since_version, 20);
}

TEST(Function, HappensInBodies) {
  const Graph g = inferred(R"(  input %c: bool[]
  input %x: f32[4]
  %y: ? = If@18(%c) "n" {else_branch = graph "e" {
    capture %u: f32[4] = %x
    %v: ? = "com.microsoft"::QuickGelu@1(%u) "inner"
    output %v
  }, then_branch = graph "t" {
    capture %u: f32[4] = %x
    %v: ? = Identity@18(%u) "same"
    output %v
  }}
  output %y)");
  const auto body = g.node(g.order()[0]).attr_graph("else_branch");
  EXPECT_EQ(operators(*body), (std::vector<std::string>{"Mul", "Sigmoid", "Mul"}));
}

TEST(Function, ChecksStatedTypes) {
  expect_error(R"(  input %x: f32[2,8]
  %y: f32[2,9] = "com.microsoft"::Gelu@1(%x) "n"
  output %y)",
               "the model states");
}

TEST(Function, NamesWhatIsMissingOrUnsupported) {
  expect_error(R"(  input %x: f32[2,8]
  %y: ? = "com.microsoft"::BiasGelu@1(%x) "n"
  output %y)",
               "has 1 inputs, but must have 2");
  expect_error(R"(  input %q: f32[1,3,8]
  %y: ? = "com.microsoft"::MultiHeadAttention@1(%q, %q, %q) "n"
  output %y)",
               "num_heads must be given");
  expect_error(R"(  input %q: f32[1,3,8]
  %y: ? = "com.microsoft"::MultiHeadAttention@1(%q) "n" {num_heads = 2}
  output %y)",
               "packed queries, keys and values are not supported");
  expect_error(R"(  input %q: f32[1,3,8]
  %y: ?, %k: ?, %v: ?, %s: ? = "com.microsoft"::MultiHeadAttention@1(%q, %q, %q) "n" {num_heads = 2}
  output %y, %s)",
               "its output 's' is not supported");
  expect_error(R"(  input %x: f32[1,3,8]
  input %w: f32[8,24]
  input %m: i32[5]
  %y: ? = "com.microsoft"::Attention@1(%x, %w, _, %m) "n" {num_heads = 2}
  output %y)",
               "a mask of shape [5] is not supported");
  expect_error(R"(  input %x: f32[1,3,8]
  input %w: f32[8,24]
  %y: ? = "com.microsoft"::Attention@1(%x, %w) "n" {num_heads = 3}
  output %y)",
               "must be three multiples of the 3 heads");
  expect_error(R"(  input %x: f32[1,3,8]
  input %l: i32[1]
  %y: ? = "com.microsoft"::GroupQueryAttention@1(%x, %x, %x, _, _, %l, %l) "n" {num_heads = 3, kv_num_heads = 2}
  output %y)",
               "num_heads 3 must be a multiple of kv_num_heads 2");
  expect_error(R"(  input %x: f32[1,8]
  input %b: u8[4,1,8]
  input %s: f32[4,1]
  %y: ? = "com.microsoft"::MatMulNBits@1(%x, %b, %s) "n" {K = 8, N = 4, bits = 3, block_size = 16}
  output %y)",
               "bits is 3; 2, 4 and 8 are supported");
  expect_error(R"(  input %x: f32[1,8]
  %y: ? = "com.microsoft"::FusedConv@1(%x, %x) "n" {activation = "Relu"}
  output %y)",
               "Conv");
}

TEST(Function, FollowsSymbolicShapes) {
  const Graph g = inferred(R"(  input %x: f32[batch,seq,8]
  input %w: f32[8,24]
  input %past: f32[2,batch,2,before,4]
  %y: ?, %p: ? = "com.microsoft"::Attention@1(%x, %w, _, _, %past) "n" {num_heads = 2, unidirectional = 1}
  output %y, %p)");
  EXPECT_EQ(g.type(*g.find_value("y")).to_string(), "f32[batch,seq,8]");
  EXPECT_EQ(g.type(*g.find_value("p")).shape()[3].substitute({{"before", 3}, {"seq", 5}}), Dim(8));
}

}  // namespace
}  // namespace rooftune::ops
