#include <gtest/gtest.h>

#include "ops/common.h"

namespace rooftune::ops {
namespace {

std::vector<Tensor> run(const std::string& body, const std::vector<Tensor>& inputs) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
  infer_types(graph);
  return evaluate(graph, inputs);
}

Tensor floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  return Tensor::of(DType::f32, std::move(shape), values);
}
Tensor integer(int64_t value) { return Tensor::of<int64_t>(DType::i64, {}, {value}); }
Tensor boolean(bool value) { return Tensor::of<uint8_t>(DType::boolean, {}, {value}); }
std::vector<float> values(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.size()}; }

TEST(Evaluate, RunsAGraphWhoseValuesAreUsedSeveralTimes) {
  const auto out = run(R"(  input %x: f32[2]
  constant %c: f32[2] = {10, 20}
  %a: ? = Add@18(%x, %x) "double"
  %b: ? = Mul@18(%a, %a) "square"
  %d: ? = Sub@18(%b, %c) "minus"
  output %d, %a, %c)",
                       {floats({2}, {1, 3})});
  EXPECT_EQ(values(out[0]), (std::vector<float>{-6, 16}));
  EXPECT_EQ(values(out[1]), (std::vector<float>{2, 6}));
  EXPECT_EQ(values(out[2]), (std::vector<float>{10, 20}));
}

TEST(Evaluate, ChecksInputs) {
  const std::string body = "  input %x: f32[2,N]\n  %y: ? = Relu@18(%x) \"relu\"\n  output %y";
  const auto error = [&](const std::vector<Tensor>& inputs) -> std::string {
    try {
      run(body, inputs);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error({floats({2, 5}, std::vector<float>(10, 1))}), "");
  EXPECT_EQ(error({floats({3, 1}, {1, 2, 3})}), "input 'x' is f32[3,1], but must be f32[2,N]");
  EXPECT_EQ(error({integer(1)}), "input 'x' is i64[], but must be f32[2,N]");
  EXPECT_EQ(error({}), "the model has 1 inputs, 0 were given");
}

// Integers beyond what their sums can hold: the results are numbers of the type, whichever.
TEST(Evaluate, ReductionsOfHugeIntegers) {
  constexpr int64_t huge = 3037000500;  // its square is just beyond 63 bits
  const Tensor x = Tensor::of<int64_t>(DType::i64, {2}, {huge, 3});
  for (const std::string op : {"ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean"}) {
    const auto out = run("  input %x: i64[2]\n  %y: ? = " + op + "@13(%x) \"r\" {keepdims = 0}\n  output %y", {x});
    EXPECT_EQ(out[0].dtype(), DType::i64) << op;
    if (op == "ReduceL2") EXPECT_EQ(out[0].as_int(0), std::numeric_limits<int64_t>::lowest());
    if (op == "ReduceMean") EXPECT_EQ(out[0].as_int(0), (huge + 3) / 2);
  }
}

constexpr const char* kIf = R"(  input %c: bool[]
  input %x: f32[2]
  %h: ? = Neg@18(%x) "neg"
  %y: ? = If@18(%c) "if" {then_branch = graph "then" {
    capture %hidden: f32[2] = %h
    %t: ? = Add@18(%hidden, %hidden) "twice"
    output %t
  }, else_branch = graph "else" {
    capture %same: f32[2] = %x
    %e: ? = Exp@18(%same) "exp"
    output %e
  }}
  output %y)";

TEST(Evaluate, IfTakesItsBranchWithCaptures) {
  const Tensor x = floats({2}, {1.5F, -2});
  EXPECT_EQ(values(run(kIf, {boolean(true), x})[0]), (std::vector<float>{-3, 4}));
  const auto other = values(run(kIf, {boolean(false), x})[0]);
  EXPECT_FLOAT_EQ(other[0], std::exp(1.5F));
  EXPECT_FLOAT_EQ(other[1], std::exp(-2.0F));
}

// state ← state · x + i, until it passes a limit or the trips are used up; scan output: state before.
constexpr const char* kLoop = R"(  input %n: i64[]
  input %go: bool[]
  input %start: f32[1]
  input %x: f32[1]
  constant %limit: f32[1] = {100}
  constant %none: i64[0] = {}
  %y: ?, %before: ? = Loop@18(%n, %go, %start) "loop" {body = graph "body" {
    input %i: i64[]
    input %cond: bool[]
    input %state: f32[1]
    capture %factor: f32[1] = %x
    capture %most: f32[1] = %limit
    capture %shape: i64[0] = %none
    %p: ? = Mul@18(%state, %factor) "mul"
    %f: ? = Cast@18(%i) "cast" {to = 1}
    %next: ? = Add@18(%p, %f) "add"
    %small: ? = Less@18(%next, %most) "less"
    %on: ? = Reshape@18(%small, %shape) "scalar"
    output %on, %next, %state
  }}
  output %y, %before)";

TEST(Evaluate, LoopCarriesStateAndStops) {
  const auto out = run(kLoop, {integer(3), boolean(true), floats({1}, {1}), floats({1}, {2})});
  EXPECT_EQ(values(out[0]), (std::vector<float>{12}));  // 1·2+0, 2·2+1, 5·2+2
  EXPECT_EQ(values(out[1]), (std::vector<float>{1, 2, 5}));
  EXPECT_EQ(out[1].shape(), (std::vector<int64_t>{3, 1}));
  const auto limited = run(kLoop, {integer(1000), boolean(true), floats({1}, {1}), floats({1}, {10})});
  EXPECT_EQ(values(limited[0]), (std::vector<float>{101}));  // 10, 101
  const auto none = run(kLoop, {integer(5), boolean(false), floats({1}, {7}), floats({1}, {10})});
  EXPECT_EQ(values(none[0]), (std::vector<float>{7}));
  EXPECT_EQ(none[1].shape(), (std::vector<int64_t>{0, 1}));
}

TEST(Evaluate, ScanWalksAxesInBothDirections) {
  const std::string body = R"(  input %start: f32[2]
  input %x: f32[2,3]
  %end: ?, %sums: ?, %back: ? = Scan@18(%start, %x) "scan" {
    num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1, 0],
    scan_input_directions = [1], scan_output_directions = [0, 1], body = graph "body" {
    input %sum: f32[2]
    input %slice: f32[2]
    %next: ? = Add@18(%sum, %slice) "add"
    %copy: ? = Identity@18(%next) "copy"
    %again: ? = Neg@18(%next) "neg"
    output %next, %copy, %again
  }}
  output %end, %sums, %back)";
  const auto out = run(body, {floats({2}, {100, 200}), floats({2, 3}, {1, 2, 3, 4, 5, 6})});
  EXPECT_EQ(values(out[0]), (std::vector<float>{106, 215}));
  EXPECT_EQ(out[1].shape(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(values(out[1]), (std::vector<float>{103, 105, 106, 206, 211, 215}));
  EXPECT_EQ(values(out[2]), (std::vector<float>{-106, -215, -105, -211, -103, -206}));
}

TEST(Evaluate, RandomNumbersComeAgainAndHaveTheirMoments) {
  const std::string body = R"(  %n: ? = RandomNormal@18() "normal" {shape = [20000], mean = float 3, scale = float 2}
  %u: ? = RandomUniform@18() "uniform" {shape = [20000], low = float -1, high = float 4, seed = float 5}
  %p: ? = RandomUniform@18() "p" {shape = [20000]}
  %b: ? = Bernoulli@18(%p) "coin"
  output %n, %u, %b)";
  const auto first = run(body, {}), second = run(body, {});
  const auto mean_and_deviation = [](const Tensor& t) {
    double sum = 0, squares = 0;
    for (float v : values(t)) sum += v, squares += double(v) * v;
    const double n = static_cast<double>(t.size());
    return std::pair(sum / n, std::sqrt(squares / n - sum / n * sum / n));
  };
  EXPECT_EQ(values(first[0]), values(second[0]));
  EXPECT_NEAR(mean_and_deviation(first[0]).first, 3, 0.06);
  EXPECT_NEAR(mean_and_deviation(first[0]).second, 2, 0.06);
  EXPECT_NEAR(mean_and_deviation(first[1]).first, 1.5, 0.05);
  EXPECT_NEAR(mean_and_deviation(first[1]).second, 5 / std::sqrt(12.0), 0.05);
  EXPECT_NEAR(mean_and_deviation(first[2]).first, 0.5, 0.02);
}

TEST(Evaluate, MultinomialDrawsByWeight) {
  const auto out = run(R"(  input %x: f32[1,3]
  %s: ? = Multinomial@18(%x) "draw" {sample_size = 30000, dtype = 7}
  output %s)",
                       {floats({1, 3}, {std::log(0.2F), std::log(0.5F), std::log(0.3F)})});
  std::vector<double> share(3, 0);
  for (int64_t v : out[0].values<int64_t>()) share.at(static_cast<size_t>(v)) += 1.0 / 30000;
  EXPECT_NEAR(share[0], 0.2, 0.02);
  EXPECT_NEAR(share[1], 0.5, 0.02);
  EXPECT_NEAR(share[2], 0.3, 0.02);
}

TEST(Evaluate, HalfPrecisionRoundsOnce) {
  Tensor a(DType::bf16, {3}), b(DType::bf16, {3});
  for (int i = 0; i < 3; ++i) a.set_double(i, 1.5 + i), b.set_double(i, 0.0078125 * (i + 1));
  const auto out =
      run("  input %a: bf16[3]\n  input %b: bf16[3]\n  %c: ? = Mul@18(%a, %b) \"mul\"\n  output %c", {a, b});
  Tensor expected(DType::bf16, {3});
  for (int i = 0; i < 3; ++i) expected.set_double(i, a.as_double(i) * b.as_double(i));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(out[0].as_double(i), expected.as_double(i));
}

TEST(Evaluate, CastReachesEveryTypeAndBack) {
  using enum DType;
  const Tensor x = floats({5}, {0, 1, 2, 3, 1});
  for (DType to : {f64, f16, bf16, i8, i16, i32, i64, u8, u16, u32, u64, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, u4,
                   i4, f4e2m1, string}) {
    const std::string text = fmt::format(
        "  input %x: f32[5]\n  %y: ? = Cast@18(%x) \"there\" {{to = {}}}\n  %z: ? = Cast@18(%y) \"back\" {{to = 1}}\n  "
        "output %y, %z",
        static_cast<int>(to));
    const auto out = run(text, {x});
    EXPECT_EQ(out[0].dtype(), to);
    EXPECT_EQ(values(out[1]), values(x)) << ir::name(to);
  }
}

TEST(Cost, CountsOperationsAndBytes) {
  Graph g = ir::parse(R"(graph "g" {
  opset "" 18
  input %x: f32[4,8]
  input %c: bool[]
  %y: ? = Softmax@18(%x) "softmax"
  %z: ? = Add@18(%y, %y) "add"
  %w: ? = If@18(%c) "if" {then_branch = graph "then" {
    capture %a: f32[4,8] = %z
    %t: ? = Exp@18(%a) "exp"
    output %t
  }, else_branch = graph "else" {
    capture %b: f32[4,8] = %z
    %e: ? = Identity@18(%b) "copy"
    output %e
  }}
  output %w
})");
  infer_types(g);
  const auto of = [&](size_t i) { return cost(g, g.node(g.order()[i])); };
  EXPECT_EQ(of(0).flops, 5 * 32);
  EXPECT_EQ(of(0).bytes, 2 * 32 * 4);
  EXPECT_EQ(of(1).flops, 32);
  EXPECT_EQ(of(1).bytes, 2 * 32 * 4);  // the same value twice is read once
  EXPECT_EQ(of(2).flops, 32);
}

}  // namespace
}  // namespace rooftune::ops
