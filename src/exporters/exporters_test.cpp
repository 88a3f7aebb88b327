#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "exporters/exporter.h"
#include "exporters/onnx/onnx.h"
#include "exporters/onnx/opset.h"
#include "frontends/frontend.h"

namespace rooftune::exporters {
namespace {

using ir::Graph;

/// Writes and reads again.
Graph round_trip(const Graph& g, const OnnxOptions& options = {}) {
  const TempDirectory folder;
  write_onnx(g, folder.file("m.onnx"), options);
  return frontends::load_model(folder.file("m.onnx"));
}

std::string all(const Graph& g) { return ir::print(g, 1 << 20); }

// In the order in which a reader numbers values, so that equal graphs print alike.
constexpr const char* kGraph = R"(graph "g" {
  opset "" 18
  opset "my.domain" 3
  metadata "author" = "me"
  metadata "producer_name" = "rooftune"
  input %x: f32[N,4]
  input %tokens: seq(i64[*])
  constant %w: f32[4] = {1, 2.5, -inf, #7fc00001}
  constant %q: i4[3] = {-8, 7, 1}
  constant %s: string[2] = {"a", "b\n"}
  constant %c: bool[] = {1}
  constant %e: f32[0] = {}
  %h: f32[N,4] = Add@18(%x, %w) "add"
  %t: f32[N,4], _, %u: f32[N,4] = my.domain::Thing@3(%h, _, %q, %s, %tokens) "thing" {a = 3, b = float 0.1, c = "text", d = [1, -2], e = floats [0.5, inf], f = strings ["x", "\xff\x00"], g = tensor f16[2] {1, 65504}, h = tensors [i8[1] {1}, string[1] {"s"}], i = type optional(f32[2,K])}
  %y: f32[N,4] = If@18(%c) "if" {else_branch = graph "e" {
    capture %h: f32[N,4] = %h
    %r: f32[N,4] = Neg@18(%h) "neg"
    output %r
  }, then_branch = graph "t" {
    capture %u: f32[N,4] = %u
    capture %c: bool[] = %c
    constant %k: f32[4] = {1, 1, 1, 1}
    %o: f32[N,4] = Mul@18(%u, %k) "mul"
    %r2: f32[N,4] = If@18(%c) "inner" {then_branch = graph "tt" {
      capture %o: f32[N,4] = %o
      %p: f32[N,4] = Exp@18(%o) "exp"
      output %p
    }}
    output %r2
  }}
  output %y, %t
}
)";

TEST(OnnxExporter, WhatIsWrittenReadsBack) {
  const Graph g = ir::parse(kGraph);
  EXPECT_EQ(all(round_trip(g)), kGraph);
}

TEST(OnnxExporter, LargeModelsKeepTheirWeightsBeside) {
  Graph g = ir::parse(kGraph);
  ir::Tensor big(ir::DType::f32, {33, 100});
  for (int64_t i = 0; i < big.size(); ++i) big.set_double(i, static_cast<double>(i));
  g.add_constant("big", big);
  g.add_constant("bigger", big.reshaped({3300}));
  const TempDirectory folder;
  std::filesystem::create_directory(folder.file("d"));
  const std::string path = folder.file("d/m.onnx");
  write_onnx(g, path, {.most_inline_bytes = 1000});
  EXPECT_TRUE(std::filesystem::exists(path + ".data"));
  // The model that is there keeps its data until the new one is in its place, and then they go.
  write_onnx(g, path, {.most_inline_bytes = 1000});
  EXPECT_FALSE(std::filesystem::exists(path + ".data"));
  EXPECT_TRUE(std::filesystem::exists(path + ".2.data"));
  EXPECT_NE(read_file(path).find("m.onnx.2.data"), std::string::npos);
  EXPECT_LT(std::filesystem::file_size(path), 6000u);
  std::filesystem::rename(folder.file("d"), folder.file("moved"));  // the location is relative
  const Graph again = frontends::load_model(folder.file("moved/m.onnx"));
  EXPECT_EQ(ir::collect_constants(again).tensors.size(), ir::collect_constants(g).tensors.size());
  for (const char* name : {"big", "bigger"}) {
    const ir::Tensor& t = *again.constant(*again.find_value(name));
    EXPECT_TRUE(ir::same_content(t, *g.constant(*g.find_value(name))));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 4096, 0u);
  }
}

TEST(OnnxExporter, BodiesGetNamesOfTheirOwn) {
  // Names that collide between a body and the graphs around it, a capture under another name, an output that the body
  // does not compute.
  const Graph g = ir::parse(R"(graph "g" {
  opset "" 18
  input %x: f32[2]
  constant %c: bool[] = {1}
  %y: f32[2] = If@18(%c) "if" {else_branch = graph "e" {
    capture %c: f32[2] = %x
    output %c
  }, then_branch = graph "t" {
    capture %y: f32[2] = %x
    %x: f32[2] = Neg@18(%y) "neg"
    output %x
  }}
  output %y
}
)");
  const Graph again = round_trip(g);
  const ir::Node& node = again.node(again.order()[0]);
  const auto then_branch = node.attr_graph("then_branch"), else_branch = node.attr_graph("else_branch");
  ASSERT_EQ(then_branch->captures_outer.size(), 1u);
  EXPECT_EQ(again.value(then_branch->captures_outer[0]).name, "x");
  EXPECT_EQ(then_branch->node(then_branch->order()[0]).op, "Neg");
  ASSERT_EQ(else_branch->order().size(), 1u);
  EXPECT_EQ(else_branch->node(else_branch->order()[0]).op, "Identity");
  EXPECT_EQ(again.value(else_branch->captures_outer[0]).name, "x");
}

TEST(OnnxExporter, BoundsStayBehindAndExpressionsAreText) {
  const Graph g = ir::parse(R"(graph "g" {
  opset "" 18
  input %x: f32[N{1..8},2*"my dim"{1..} + 1,3*N{1..8} - 2]
  %y: f32[N{1..8}] = F@18(%x) "f"
  output %y
}
)");
  const Graph again = round_trip(g);
  EXPECT_EQ(again.type(again.inputs[0]).shape()[0], ir::Dim::symbol("N"));
  EXPECT_EQ(again.type(again.inputs[0]).shape()[0].max(), ir::Dim::kUnbounded);
  EXPECT_EQ(again.type(again.inputs[0]).shape()[1], ir::Dim::symbol("2*\"my dim\" + 1"));  // "my dim" is no input's own
  EXPECT_EQ(again.type(again.inputs[0]).shape()[2], ir::Dim::symbol("N") * 3 - 2);
}

TEST(OnnxExporter, NodesAreBroughtToOneOpset) {
  Graph g = ir::parse(R"(graph "g" {
  opset "" 13
  input %x: f32[2,4]
  %m: f32[2,1] = ReduceMean@13(%x) "mean" {axes = [1]}
  %a: f32[2,2], %b: f32[2,2] = Split@13(%x) "split" {axis = 1}
  %n: f32[2,4] = LayerNormalization@17(%x, %m) "norm"
  %z: f32[2,4] = Relu@20(%n) "relu"
  output %z, %a, %m
}
)");
  EXPECT_EQ(onnx_format::target_opset(g), 20);
  const Graph again = round_trip(g);
  EXPECT_EQ(again.opsets.at(""), 20);
  const ir::Node& mean = again.node(again.order()[0]);
  EXPECT_FALSE(mean.has("axes"));
  EXPECT_EQ(again.constant(mean.input(1))->as_ints(), std::vector<int64_t>{1});
  EXPECT_EQ(again.node(again.order()[1]).attr_int("num_outputs", 0), 2);
  EXPECT_TRUE(g.node(g.order()[0]).has("axes"));  // the caller's graph is left alone

  g.node(g.order()[0]).op = "GroupNormalization";
  g.node(g.order()[3]).since_version = 21;
  try {
    round_trip(g);
    ADD_FAILURE();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("node 'mean' (GroupNormalization)"), std::string::npos) << e.what();
  }
}

TEST(OnnxExporter, LeavesNothingWhereItFails) {
  const TempDirectory folder;
  const Graph untyped = ir::parse("graph \"g\" {\n  input %x: f32[2]\n  %y: ? = F@18(%x) \"f\"\n  output %y\n}\n");
  EXPECT_THROW(write_onnx(untyped, folder.file("m.onnx")), InternalError);
  EXPECT_THROW(write_onnx(ir::parse(kGraph), folder.file("no/such/folder/m.onnx")), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Exporters, AreFoundByName) {
  EXPECT_EQ(find("onnx").extension(), ".onnx");
  try {
    find("abc");
    ADD_FAILURE();
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(), "there is no exporter 'abc'; known are: onnx, stablehlo");
  }
}

TEST(OnnxExporter, RoisKeepTheirMeaning) {
  const Graph g = ir::parse(R"(graph "g" {
  opset "" 13
  input %x: f32[1,2,8,8]
  input %rois: f32[3,4]
  input %images: i64[3]
  %a: f32[3,2,1,1] = RoiAlign@13(%x, %rois, %images) "align"
  %y: f32[3,2,1,1] = Gelu@20(%a) "gelu"
  output %y
}
)");
  const Graph again = round_trip(g);
  EXPECT_EQ(again.node(again.order()[0]).attr_string("coordinate_transformation_mode", ""), "output_half_pixel");
}

}  // namespace
}  // namespace rooftune::exporters
