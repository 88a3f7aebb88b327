// What becomes of sequences; onnx's own test suite says what they compute.
#include <gtest/gtest.h>

#include "ops/testing.h"

namespace rooftune::ops {
namespace {

using testing::expect_error;
using testing::inferred;

Tensor ramp(int64_t rows, int64_t columns) {
  Tensor t(DType::f32, {rows, columns});
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = static_cast<float>(i * i % 17) - 3;
  return t;
}

TEST(Sequences, AreFollowedToTheirTensors) {
  const Graph g = inferred(R"(  input %x: f32[5,2]
  constant %two: i64[] = {2}
  constant %last: i64[] = {-1}
  %s: ? = SplitToSequence@18(%x, %two) "split" {axis = 0}
  %n: ? = SequenceLength@18(%s) "length"
  %a: ? = SequenceAt@18(%s, %last) "tail"
  %e: ? = SequenceErase@18(%s, %last) "erase"
  %i: ? = SequenceInsert@18(%e, %x) "insert"
  %y: ? = ConcatFromSequence@18(%i) "join" {axis = 0}
  output %n, %a, %y)");
  for (ir::NodeId id : g.order()) EXPECT_EQ(g.node(id).op.find("Sequence"), std::string::npos) << g.node(id).op;
  const Tensor x = ramp(5, 2);
  const auto out = evaluate(g, {x});
  EXPECT_EQ(out[0].as_int(0), 3);
  ASSERT_EQ(out[1].shape(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(out[1].as_double(1), x.as_double(9));
  ASSERT_EQ(out[2].shape(), (std::vector<int64_t>{9, 2}));
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(out[2].as_double(i), x.as_double(i));
  for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(out[2].as_double(8 + i), x.as_double(i));
}

TEST(Sequences, DropTheSplitAxisAndStackAgain) {
  const Graph g = inferred(R"(  input %x: f32[3,2]
  %s: ? = SplitToSequence@18(%x) "split" {axis = 1, keepdims = 0}
  %y: ? = ConcatFromSequence@18(%s) "join" {axis = 1, new_axis = 1}
  output %y)");
  const Tensor x = ramp(3, 2), y = evaluate(g, {x})[0];
  ASSERT_EQ(y.shape(), x.shape());
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(y.as_double(i), x.as_double(i));
}

TEST(Sequences, ThatCannotBeFollowedAreRefusedByName) {
  expect_error(R"(  input %x: f32[3,2]
  %s: ? = SequenceConstruct@18(%x, %x) "made"
  output %s)",
               "the sequence 's' is handed to others");
  expect_error(R"(  input %x: f32[3,2]
  input %i: i64[]
  %s: ? = SequenceConstruct@18(%x, %x) "made"
  %y: ? = SequenceAt@18(%s, %i) "at"
  output %y)",
               "its position must be integers that are known");
  expect_error(R"(  input %x: f32[3,2]
  constant %i: i64[] = {2}
  %s: ? = SequenceConstruct@18(%x, %x) "made"
  %y: ? = SequenceAt@18(%s, %i) "at"
  output %y)",
               "outside a sequence of 2 tensors");
  expect_error(R"(  input %x: f32[N,2]
  %s: ? = SplitToSequence@18(%x) "split"
  %n: ? = SequenceLength@18(%s) "length"
  output %n)",
               "the extent that it splits must be known");
  expect_error(R"(  input %x: seq(f32[2])
  %n: ? = SequenceLength@18(%x) "length"
  output %n)",
               "what the sequence 'x' holds is not known");
}

}  // namespace
}  // namespace rooftune::ops
