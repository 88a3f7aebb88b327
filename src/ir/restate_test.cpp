#include "ir/restate.h"

#include <gtest/gtest.h>

namespace rooftune::ir {
namespace {

/// The text of the only node of a graph after it was brought to `version`.
std::string restated(const std::string& body, int version) {
  Graph g = parse("graph \"g\" {\n  opset \"\" 13\n  input %x: f32[2,4]\n" + body + "\n  output %y\n}\n");
  const NodeId id = g.order()[0];
  EXPECT_TRUE(can_restate(g.node(id), version));
  restate(g, id, version);
  const std::string text = print(g);
  const size_t at = text.find("  %y");
  return text.substr(at + 2, text.find('\n', at) - at - 2);
}

TEST(Restate, SpellsWhatChanged) {
  EXPECT_EQ(restated("  %y: ? = Relu@13(%x) \"r\"", 20), "%y: ? = Relu@20(%x) \"r\"");
  EXPECT_EQ(restated("  %y: ? = ReduceMax@13(%x) \"r\" {axes = [1], keepdims = 0}", 18),
            "%y: ? = ReduceMax@18(%x, %r_axes) \"r\" {keepdims = 0}");
  EXPECT_EQ(restated("  %y: ? = ReduceMax@13(%x) \"r\" {axes = [1]}", 17),
            "%y: ? = ReduceMax@17(%x) \"r\" {axes = [1]}");
  EXPECT_EQ(restated("  %y: ?, _ = Split@13(%x) \"s\"", 18), "%y: ?, _ = Split@18(%x) \"s\" {num_outputs = 2}");
  EXPECT_EQ(restated("  %y: ? = GridSample@16(%x, %x) \"g\"", 20),
            "%y: ? = GridSample@20(%x, %x) \"g\" {mode = \"linear\"}");
  // Its default was renamed when another became the default.
  EXPECT_EQ(restated("  %y: ? = RoiAlign@13(%x, %x, %x) \"a\"", 16),
            "%y: ? = RoiAlign@16(%x, %x, %x) \"a\" {coordinate_transformation_mode = \"output_half_pixel\"}");
  EXPECT_EQ(restated("  %y: ? = RoiAlign@16(%x, %x, %x) \"a\"", 22), "%y: ? = RoiAlign@22(%x, %x, %x) \"a\"");
  EXPECT_EQ(restated("  %y: ? = Relu@20(%x) \"r\"", 13), "%y: ? = Relu@20(%x) \"r\"");
}

TEST(Restate, KnowsWhatCannotBeSaid) {
  Node node{.name = "n", .op = "GroupNormalization", .since_version = 18};
  EXPECT_TRUE(can_restate(node, 20));
  EXPECT_FALSE(can_restate(node, 21));
  node.since_version = 21;
  EXPECT_TRUE(can_restate(node, 23));
}

}  // namespace
}  // namespace rooftune::ir
