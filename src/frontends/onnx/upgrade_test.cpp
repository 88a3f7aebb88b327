// Operators of old opsets are read as what they have become since.
#include <gtest/gtest.h>

#include "frontends/onnx/testing.h"

namespace rooftune::frontends {
namespace {

using ir::DType;
using ir::Graph;
using ir::Node;

onnx::AttributeProto ints(const std::string& name, const std::vector<int64_t>& values) {
  onnx::AttributeProto a;
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INTS);
  for (const int64_t v : values) a.add_ints(v);
  return a;
}

TEST(OnnxUpgrade, AttributesBecomeInputs) {
  Model m(9);
  auto& slice = m.node("Slice", {"x"}, {"s"});
  slice.set_name("cut");
  *slice.add_attribute() = ints("starts", {0});
  *slice.add_attribute() = ints("ends", {2});
  auto& clip = m.node("Clip", {"s"}, {"y"});
  auto* max = clip.add_attribute();
  max->set_name("max");
  max->set_type(onnx::AttributeProto::FLOAT);
  max->set_f(6);
  const Graph g = m.load();
  EXPECT_EQ(g.opsets.at(""), 13);
  const Node& s = g.node(g.order()[0]);
  EXPECT_EQ(s.since_version, 13);
  EXPECT_TRUE(s.attributes.empty());
  EXPECT_EQ(g.constant(s.input(1))->as_ints(), std::vector<int64_t>{0});
  EXPECT_EQ(g.constant(s.input(2))->as_ints(), std::vector<int64_t>{2});
  const Node& c = g.node(g.order()[1]);
  EXPECT_EQ(c.input(1), ir::kNone);
  EXPECT_EQ(g.constant(c.input(2))->as_double(0), 6);
  EXPECT_EQ(g.constant(c.input(2))->rank(), 0);
  *m.graph.mutable_node(0)->add_attribute() = ints("axes", {1});
  m.graph.mutable_node(0)->add_input("");
  m.graph.mutable_node(0)->add_input("");
  m.graph.mutable_node(0)->add_input("x");
  expect_has(m.error(), "node 'cut' (Slice): 'axes' is given as an attribute and as an input");
}

TEST(OnnxUpgrade, SoftmaxOverSeveralAxesIsFlattened) {
  Model m(11);
  m.node("Softmax", {"x"}, {"y"});  // x has rank 2: axis 1 is the last
  EXPECT_EQ(m.load().order().size(), 1u);
  Model::tensor_type(*m.graph.mutable_input(0), "x", 1, {2, 3, 4});
  const Graph g = m.load();
  std::vector<std::string> ops;
  for (const ir::NodeId n : g.order()) ops.push_back(g.node(n).op);
  EXPECT_EQ(ops, (std::vector<std::string>{"Shape", "Flatten", "Softmax", "Reshape"}));
  EXPECT_EQ(g.node(g.order()[1]).attr_int("axis", 0), 1);
  EXPECT_EQ(g.value(g.node(g.order()[3]).outputs[0]).name, "y");
}

TEST(OnnxUpgrade, ABroadcastAtAnAxisBecomesTrailingDims) {
  Model m(6);
  Model::tensor_type(*m.graph.mutable_input(0), "x", 1, {2, 3, 4});
  m.raw("b", 1, {3}, bytes_of<float>({1, 2, 3}));
  auto& node = m.node("Add", {"x", "b"}, {"y"});
  for (const char* name : {"axis", "broadcast"}) {
    auto* a = node.add_attribute();
    a->set_name(name);
    a->set_type(onnx::AttributeProto::INT);
    a->set_i(1);
  }
  const Graph g = m.load();
  const Node& unsqueeze = g.node(g.order()[0]);
  EXPECT_EQ(unsqueeze.op, "Unsqueeze");
  EXPECT_EQ(g.value(unsqueeze.input(0)).name, "b");
  EXPECT_EQ(g.constant(unsqueeze.input(1))->as_ints(), std::vector<int64_t>{1});
  const Node& add = g.node(g.order()[1]);
  EXPECT_EQ(add.input(1), unsqueeze.outputs[0]);
  EXPECT_TRUE(add.attributes.empty());
  m.graph.mutable_node(0)->mutable_attribute(0)->set_i(3);
  expect_has(m.error(), "axis is 3, but the operands have ranks 3 and 1");
}

TEST(OnnxUpgrade, OldSlopesAreOnePerChannel) {
  Model m(6);
  Model::tensor_type(*m.graph.mutable_input(0), "x", 1, {2, 3, 4});
  m.raw("s", 1, {3}, bytes_of<float>({1, 2, 3}));
  m.node("PRelu", {"x", "s"}, {"y"});
  const Graph g = m.load();
  EXPECT_EQ(g.node(g.order()[0]).op, "Unsqueeze");
  EXPECT_EQ(g.constant(g.node(g.order()[0]).input(1))->as_ints(), std::vector<int64_t>{1});
}

TEST(OnnxUpgrade, WhatNeverChangedIsReadFromTheFirstOpset) {
  Model m(1);
  m.node("Transpose", {"x"}, {"y"});
  const Graph g = m.load();
  EXPECT_EQ(g.node(g.order()[0]).op, "Transpose");
  EXPECT_EQ(g.node(g.order()[0]).since_version, 13);
}

TEST(OnnxUpgrade, ResizeKeepsItsOldCoordinates) {
  Model m(10);
  m.raw("scales", 1, {2}, bytes_of<float>({1, 2}));
  m.node("Resize", {"x", "scales"}, {"y"});
  const Graph g = m.load();
  const Node& n = g.node(g.order()[0]);
  EXPECT_EQ(n.input(1), ir::kNone);
  EXPECT_EQ(g.value(n.input(2)).name, "scales");
  EXPECT_EQ(n.attr_string("coordinate_transformation_mode", ""), "asymmetric");
  EXPECT_EQ(n.attr_string("nearest_mode", ""), "floor");
}

TEST(OnnxUpgrade, WhatCannotBeKeptIsRefused) {
  Model m(8);
  m.node("Scan", {"", "x"}, {"y"});
  expect_has(m.error(), "its body is missing");
  Model upsample(6);
  upsample.node("Upsample", {"x"}, {"y"});
  expect_has(upsample.error(), "Upsample is supported from opset 7 on");
  Model clip(8);
  Model::tensor_type(*clip.graph.mutable_input(0), "x", onnx::TensorProto::STRING, {2});
  auto* max = clip.node("Clip", {"x"}, {"y"}).add_attribute();
  max->set_name("max");
  max->set_type(onnx::AttributeProto::FLOAT);
  expect_has(clip.error(), "attribute 'max' is a number, its data are string");
}

}  // namespace
}  // namespace rooftune::frontends
