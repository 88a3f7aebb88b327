#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "ops/common.h"

namespace rooftune::ops {
namespace {

Graph inferred(const std::string& body) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
  infer_types(graph);
  return graph;
}

std::string type_of(const Graph& graph, const std::string& value) {
  return graph.type(*graph.find_value(value)).to_string();
}

std::string error_of(const std::string& body) {
  try {
    inferred(body);
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

void expect_error(const std::string& body, const std::string& part) {
  const std::string error = error_of(body);
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(Infer, BroadcastsSymbolicDims) {
  const Graph g = inferred(R"(  input %x: f32[N,1,4]
  input %y: f32[3,4]
  %z: ? = Add@18(%x, %y) "add"
  output %z)");
  EXPECT_EQ(type_of(g, "z"), "f32[N,3,4]");
}

TEST(Infer, FollowsShapeArithmetic) {
  const Graph g = inferred(R"(  input %x: f32[N,6,4]
  constant %two: i64[] = {2}
  constant %fill: i64[1] = {-1}
  %s: ? = Shape@18(%x) "shape" {start = 0, end = 2}
  %d: ? = Mul@18(%s, %two) "double"
  %minus: ? = Equal@18(%d, %fill) "is_minus_one"
  %w: ? = Where@18(%minus, %s, %d) "where"
  %out: ? = ConstantOfShape@18(%w) "fill"
  output %out)");
  EXPECT_EQ(type_of(g, "out"), "f32[2*N,12]");
}

TEST(Infer, SplitsHeadsOfASymbolicBatchAndSequence) {  // as torch exports attention
  const Graph g = inferred(R"(  input %x: f32[batch,seq,768]
  constant %i0: i64[] = {0}
  constant %i1: i64[] = {1}
  constant %axis: i64[1] = {0}
  constant %heads: i64[1] = {12}
  constant %width: i64[1] = {64}
  constant %all: i64[1] = {768}
  %s: ? = Shape@18(%x) "shape"
  %b: ? = Gather@18(%s, %i0) "batch"
  %t: ? = Gather@18(%s, %i1) "seq"
  %b1: ? = Unsqueeze@18(%b, %axis) "b1"
  %t1: ? = Unsqueeze@18(%t, %axis) "t1"
  %to: ? = Concat@18(%b1, %t1, %heads, %width) "to" {axis = 0}
  %back: ? = Concat@18(%b1, %t1, %all) "back" {axis = 0}
  %h: ? = Reshape@18(%x, %to) "split"
  %p: ? = Transpose@18(%h) "transpose" {perm = [0, 2, 3, 1]}
  %q: ? = Transpose@18(%h) "queries" {perm = [0, 2, 1, 3]}
  %scores: ? = MatMul@18(%q, %p) "scores"
  %y: ? = Reshape@18(%h, %back) "merge"
  output %scores, %y)");
  EXPECT_EQ(type_of(g, "scores"), "f32[batch,12,seq,seq]");
  EXPECT_EQ(type_of(g, "y"), "f32[batch,seq,768]");
}

TEST(Infer, RangeHasTheLengthOfItsLimit) {
  const Graph g = inferred(R"(  input %x: f32[N,4]
  constant %zero: i64[] = {0}
  constant %one: i64[] = {1}
  constant %three: i64[] = {3}
  %n: ? = Size@18(%x) "size"
  %a: ? = Range@18(%zero, %n, %one) "range"
  %b: ? = Range@18(%one, %three, %one) "short"
  output %a, %b)");
  EXPECT_EQ(type_of(g, "a"), "i64[4*N]");
  EXPECT_EQ(type_of(g, "b"), "i64[2]");
}

TEST(Infer, ReducesKnownIntegers) {
  const Graph g = inferred(R"(  input %x: f32[N,6,4]
  %s: ? = Shape@18(%x) "shape"
  %n: ? = ReduceProd@18(%s) "product"
  %out: ? = ConstantOfShape@18(%n) "fill"
  output %out)");
  EXPECT_EQ(type_of(g, "out"), "f32[24*N]");
}

TEST(Infer, ComputesSmallConstantsThroughFloats) {
  const Graph g = inferred(R"(  input %x: f32[2,10]
  constant %half: f32[1] = {0.55}
  %s: ? = Shape@18(%x) "shape"
  %f: ? = Cast@18(%s) "to_float" {to = 1}
  %h: ? = Mul@18(%f, %half) "scale"
  %r: ? = Floor@18(%h) "floor"
  %i: ? = Cast@18(%r) "to_int" {to = 7}
  %out: ? = ConstantOfShape@18(%i) "fill"
  output %out)");
  EXPECT_EQ(type_of(g, "out"), "f32[1,5]");
}

TEST(Infer, KeepsTheMorePreciseOfStatedAndInferred) {
  const Graph g = inferred(R"(  input %x: f32[N,4]
  %y: f32[3,M] = Relu@18(%x) "relu"
  output %y)");
  EXPECT_EQ(type_of(g, "y"), "f32[3,4]");
}

TEST(Infer, NamesTheNodeThatIsWrong) {
  const std::string x = "  input %x: f32[2,3]\n  input %i: i64[2,3]\n  input %y: f32[4]\n  input %s: string[2]\n";
  expect_error(x + "  %z: ? = Frobnicate@18(%x) \"f\"\n  output %z",
               "node 'f' (Frobnicate): operator Frobnicate is not supported");
  expect_error(x + "  %z: ? = Add@18(%x) \"add\"\n  output %z", "node 'add' (Add): has 1 inputs, but must have 2");
  expect_error(x + "  %z: ? = Add@18(%x, _) \"add\"\n  output %z", "node 'add' (Add): has 1 inputs");
  expect_error(x + "  %z: ? = Add@18(%x, %i) \"add\"\n  output %z",
               "inputs 0 and 1 must have the same element type, but are f32 and i64");
  expect_error(x + "  %z: ? = Add@18(%x, %y) \"add\"\n  output %z", "dims 3 and 4 do not broadcast");
  expect_error(x + "  %z: ? = Add@18(%s, %s) \"add\"\n  output %z", "input 0 is string, but must be one of");
  expect_error(x + "  %z: f32[7] = Relu@18(%x) \"relu\"\n  output %z", "but the model states f32[7]");
  expect_error(x + "  %z: f32[2,5] = Relu@18(%x) \"relu\"\n  output %z",
               "output 'z' has a dim of 3, but the model states 5");
  expect_error(x + "  %z: ? = Softmax@18(%x) \"soft\" {axis = 2}\n  output %z", "axis 2 is out of range for rank 2");
  expect_error(x + "  %z: ? = ReduceMean@13(%x) \"mean\" {axes = [1, -1]}\n  output %z", "axis 1 appears twice");
  expect_error(x + "  %z: ? = LayerNormalization@11(%x, %y) \"norm\"\n  output %z", "opset 11 is too old");
  expect_error(x + "  %z: ? = Cast@18(%x) \"cast\" {to = 99}\n  output %z", "cannot cast to element type 99");
  expect_error(x + "  %z: ? = BatchNormalization@15(%x, %y, %y, %y, %y) \"bn\"\n  output %z",
               "input 1 has 4 elements, but there are 3 channels");
  expect_error(x + "  constant %big: i64[3] = {4611686018427387904, 4611686018427387904, 4}\n  %z: ? = "
                   "ConstantOfShape@18(%big) \"fill\"\n  output %z",
               "which is too large");
  expect_error(x + "  constant %k: i64[2] = {1, 2}\n  %z: ? = Trilu@18(%x, %k) \"tri\"\n  output %z",
               "input 1 must be a scalar, but has shape [2]");
  expect_error(x + "  constant %d: i64[] = {0}\n  %z: ? = Range@18(%d, %d, %d) \"range\"\n  output %z",
               "node 'range' (Range): delta must not be 0");
  expect_error(x + "  %z: ? = If@18(%x) \"if\"\n  output %z", "node 'if' (If)");
}

TEST(Infer, WidensWhatALoopChanges) {
  const Graph g = inferred(R"(  input %n: i64[]
  input %x: f32[2,3]
  %y: ?, %scan: ? = Loop@18(%n, _, %x) "loop" {body = graph "body" {
    input %i: i64[]
    input %go: bool[]
    input %state: ?
    %grown: ? = Concat@18(%state, %state) "grow" {axis = 0}
    %stop: ? = Identity@18(%go) "go_on"
    %half: ? = ReduceMean@13(%state) "mean" {axes = [0], keepdims = 0}
    output %stop, %grown, %half
  }}
  output %y, %scan)");
  const Type& y = g.type(*g.find_value("y"));
  EXPECT_EQ(y.rank(), 2);
  EXPECT_FALSE(y.shape()[0].is_static());
  EXPECT_EQ(y.shape()[1], Dim(3));
  EXPECT_EQ(g.type(*g.find_value("scan")).rank(), 2);
}

TEST(Infer, WidensWhatStatesHandOnToEachOther) {
  constexpr int states = 9;
  std::string body, starts, ins, outs, results;
  for (int s = 0; s < states; ++s) {
    starts += ", %x";
    ins += fmt::format("    input %s{}: ?\n", s);
    outs += s == 0 ? ", %grown" : fmt::format(", %s{}", s - 1);
    results += fmt::format("{}%y{}: ?", s == 0 ? "" : ", ", s);
  }
  const Graph g = inferred("  input %n: i64[]\n  input %x: f32[2]\n  " + results + " = Loop@18(%n, _" + starts +
                           ") \"loop\" {body = graph \"body\" {\n    input %i: i64[]\n    input %go: bool[]\n" + ins +
                           "    %grown: ? = Concat@18(%s0, %s0) \"grow\" {axis = 0}\n"
                           "    %on: ? = Identity@18(%go) \"on\"\n    output %on" +
                           outs + "\n  }}\n  output %y8");
  for (int s = 0; s < states; ++s) EXPECT_EQ(type_of(g, fmt::format("y{}", s)).find("f32[unknown_"), 0U) << s;
  Tensor x(DType::f32, {2});
  x.set_double(0, 1), x.set_double(1, 2);
  const auto run = [&](int64_t trips) { return evaluate(g, {Tensor::of<int64_t>(DType::i64, {}, {trips}), x})[0]; };
  EXPECT_EQ(run(8).size(), 2);
  EXPECT_EQ(run(10).size(), 8);
}

TEST(Infer, BroadcastPlanOfNothingHasNoRows) {
  const std::vector<int64_t> nothing = {int64_t{1} << 40, int64_t{1} << 40, 0, 3};
  EXPECT_EQ(plan_broadcast(nothing, {nothing, {3}}).rows, 0);
  EXPECT_THROW(plan_broadcast({int64_t{1} << 40, int64_t{1} << 40}, {{1}}), InputError);
}

RC_GTEST_PROP(Infer, BroadcastPlanReadsWhatBroadcastingSays, ()) {
  const auto dims = *rc::gen::container<std::vector<int64_t>>(*rc::gen::inRange(0, 5), rc::gen::inRange<int64_t>(1, 4));
  std::vector<std::vector<int64_t>> operands;
  for (int o = 0; o < 3; ++o) {
    std::vector<int64_t> own = dims;
    for (auto& d : own) d = *rc::gen::arbitrary<bool>() ? d : 1;
    own.erase(own.begin(), own.begin() + *rc::gen::inRange<int64_t>(0, static_cast<int64_t>(own.size()) + 1));
    operands.push_back(own);
  }
  const BroadcastPlan plan = plan_broadcast(dims, operands);
  int64_t next = 0;
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    RC_ASSERT(to == next);
    for (int64_t i = 0; i < plan.row; ++i, ++next) {
      for (size_t o = 0; o < operands.size(); ++o) {
        int64_t rest = next, offset = 0, stride = 1;  // the offset by the definition
        for (size_t d = dims.size(); d-- > 0; rest /= dims[d]) {
          const size_t missing = dims.size() - operands[o].size();
          if (d < missing) continue;
          const int64_t own = operands[o][d - missing];
          offset += (own == 1 ? 0 : rest % dims[d]) * stride;
          stride *= own;
        }
        RC_ASSERT(at[o] + i * plan.row_step[o] == offset);
      }
    }
  });
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  RC_ASSERT(next == count);
}

TEST(Infer, NothingWithANumberIsNothing) {
  const Graph g = inferred(R"(  constant %none: i64[0] = {}
  constant %one: i64[] = {1}
  %a: ? = Add@18(%none, %one) "a"
  %b: ? = Less@18(%one, %none) "b"
  output %a, %b)");
  EXPECT_EQ(type_of(g, "a"), "i64[0]");
  EXPECT_EQ(type_of(g, "b"), "bool[0]");
}

TEST(Infer, DimsThatDataDecidesAreTheirOwn) {
  std::set<std::string> symbols;
  for (const std::string value : {"a.b", "a_b", "a/b", "a_2eb", "a__b", "a", "a_1", "a_0", "\xc3\xa4"})
    for (int axis : {0, 1, 10}) {
      const Dim dim = unknown_dim(value, axis);
      EXPECT_TRUE(is_unknown(dim));
      EXPECT_TRUE(symbols.insert(dim.to_string()).second) << dim.to_string();
      EXPECT_EQ(ir::Type::parse("f32[" + dim.to_string() + "]").shape()[0], dim);
    }
}

constexpr const char* kSqueezeIfOne = R"(  input %x: f32[EXTENT,4]
  constant %zero: i64[] = {0}
  constant %one: i64[] = {1}
  constant %axes: i64[1] = {0}
  %shape: ? = Shape@18(%x) "shape"
  %dim: ? = Gather@18(%shape, %zero) "dim"
  %is_one: ? = Equal@18(%dim, %one) "is_one"
  %y: ? = If@18(%is_one) "if" {then_branch = graph "then" {
    capture %in: ? = %x
    capture %at: ? = %axes
    %t: ? = Squeeze@18(%in, %at) "squeeze"
    %n: ? = Neg@18(%t) "neg"
    output %n
  }, else_branch = graph "else" {
    capture %same: ? = %x
    %e: ? = Exp@18(%same) "exp"
    output %e
  }}
  output %y)";

TEST(Infer, ABranchThatIsNotTakenNeedNotFit) {
  const auto with = [](const std::string& extent) {
    std::string body = kSqueezeIfOne;
    return body.replace(body.find("EXTENT"), 6, extent);
  };
  const Graph three = inferred(with("3"));
  EXPECT_EQ(type_of(three, "y"), "f32[3,4]");
  EXPECT_EQ(cost(three, three.node(three.order().back())).flops, 12);  // of the Exp; nothing is known of the other
  EXPECT_EQ(type_of(inferred(with("1")), "y"), "f32[4]");
  Tensor x(DType::f32, {3, 4});
  for (int i = 0; i < 12; ++i) x.set_double(i, 0);
  EXPECT_EQ(evaluate(three, {x})[0].as_double(11), 1);
  std::string body = with("3");  // where the run decides, both must fit
  body = "  input %is_one: bool[]\n" + body.erase(body.find("  %is_one"), body.find("  %y") - body.find("  %is_one"));
  expect_error(body, "node 'squeeze' (Squeeze)");
}

}  // namespace
}  // namespace rooftune::ops
