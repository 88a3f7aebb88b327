#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ir/graph.h"
#include "ir/random_graph.h"

namespace rooftune::ir {
namespace {

RC_GTEST_PROP(Text, RandomGraphsParseBack, (uint64_t seed)) {
  const Graph g = test::RandomGraph(seed).make();
  verify(g);
  const size_t limit = seed % 20;
  const std::string text = print(g, limit);
  const Graph again = parse(text, collect_constants(g).tensors);
  verify(again);
  const bool same_text = print(again, limit) == text;
  RC_ASSERT(same_text);
  // Everything inline: the text alone says it all, so equal texts are equal graphs.
  const std::string all = print(g, 1000000);
  const bool same = print(again, 1000000) == all && print(parse(all), 1000000) == all;
  RC_ASSERT(same);
}

RC_GTEST_PROP(Text, BrokenTextIsAnInputErrorOrParses, (uint64_t seed)) {
  std::string text = print(test::RandomGraph(seed).make(1), 1000000);
  const auto at = *rc::gen::inRange<size_t>(0, text.size());
  switch (*rc::gen::inRange(0, 3)) {
    case 0: text.resize(at); break;
    case 1: text[at] = *rc::gen::arbitrary<char>(); break;
    default: text.erase(at, *rc::gen::inRange<size_t>(1, 10)); break;
  }
  try {
    verify(parse(text));
  } catch (const InputError&) {
  }
}

constexpr const char* kMlp = R"(graph "mlp" {
  opset "" 17
  metadata "author" = "me"
  input %x: f32[N,4]
  constant %w: f32[4,2] = {1, 2.5, -3, 4, inf, 6, 7, 8}
  constant %big: f32[3,4] = hash 0123456789abcdef
  %h: f32[N,2] = MatMul@13(%x, %w) "fc1"
  %"the y": f32[N,2], _ = my.domain::Act@1(%h, _, %h) "act" {alpha = float 0.1, shape = [1, -1], then = graph "body" {
    capture %outer: f32[N,2] = %h
    output %outer
  }}
  output %"the y", %big
}
)";

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

TEST(Text, ReadsAsDocumented) {
  std::string text = kMlp;
  const Tensor big = Tensor::of<float>(DType::f32, {3, 4}, std::vector<float>(12, 0.25f));
  EXPECT_NE(error_of(text).find("the constant 'big' is not given"), std::string::npos);
  EXPECT_THROW(parse(text, {{"big", big}}), InputError);  // another hash
  const auto at = text.find("0123456789abcdef");
  text.replace(at, 16, fmt::format("{:016x}", content_hash(big)));
  const Graph g = parse(text, {{"big", big}});
  verify(g);
  const Node& act = g.node(g.order()[1]);
  EXPECT_EQ(act.domain, "my.domain");
  EXPECT_EQ(act.inputs, (std::vector<ValueId>{*g.find_value("h"), kNone, *g.find_value("h")}));
  EXPECT_EQ(act.attr_float("alpha", 0), 0.1f);
  EXPECT_EQ(act.attr_graph("then")->captures_outer[0], *g.find_value("h"));
  EXPECT_EQ(g.constant(*g.find_value("w"))->as_double(1), 2.5);
  EXPECT_EQ(print(g), text);
}

TEST(Text, ErrorsNameThePlace) {
  const auto with = [](const std::string& line) {
    return "graph \"g\" {\n  input %x: f32[2]\n" + line + "\n  output %x\n}";
  };
  EXPECT_EQ(error_of(with("")), "");
  EXPECT_NE(error_of(with("  %y: f32[2] = Relu@6(%z) \"r\"")).find("line 3"), std::string::npos);
  EXPECT_NE(error_of(with("  %y: f32[2] = Relu@6(%z) \"r\"")).find("'z' is not defined"), std::string::npos);
  EXPECT_NE(error_of(with("  %x: f32[2] = Relu@6(%x) \"r\"")).find("'x' is defined twice"), std::string::npos);
  EXPECT_NE(error_of(with("  constant %c: f32[N] = {1}")).find("static shape"), std::string::npos);
  EXPECT_NE(error_of(with("  constant %c: i8[1] = {1000}")).find("1000 does not fit a i8"), std::string::npos);
  EXPECT_NE(error_of(with("  constant %c: f32[99999999,99999999,9999] = {1}")).find("too large"), std::string::npos);
  EXPECT_NE(error_of(with("  constant %c: f32[9999999,999] = {1}")).find("expected ','"), std::string::npos);
  EXPECT_NE(error_of(with("  capture %c: f32[1] = %x")).find("body"), std::string::npos);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "graph \"g\" { = A@1() \"a\" {b = ";
  EXPECT_NE(error_of(deep).find("nested too deeply"), std::string::npos);
}

}  // namespace
}  // namespace rooftune::ir
