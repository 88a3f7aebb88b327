#include "passes/testing.h"

namespace rooftune::passes {
namespace {

using Ints = std::vector<int64_t>;

ValueId conv(Model& m, ValueId x, Attributes attributes = {}) {
  return m.op("Conv", {x, m.weight({4, 3, 3, 3}), m.weight({4})}, std::move(attributes));
}

TEST(FoldPad, IntoConvolutions) {
  const auto folded = [](Attributes attributes, const Ints& pads, bool axes, const Ints& wanted) {
    Model m;
    const ValueId x = m.input("x", {2, 3, 7, 6});
    const std::vector<ValueId> inputs = {x, m.ints(pads), m.number(0), axes ? m.ints({-1, 2}) : kNone};
    m.output(conv(m, m.op("Pad", inputs), std::move(attributes)));
    const Graph after = rewritten(m.graph, "fold_pad", 0);
    ASSERT_EQ(operators(after), "Conv");
    EXPECT_EQ(after.node(after.order()[0]).attr_ints("pads"), wanted);
  };
  folded({}, {0, 0, 1, 2, 0, 0, 3, 0}, false, {1, 2, 3, 0});
  folded({{"strides", Ints{2, 2}}, {"pads", Ints{1, 0, 0, 5}}}, {0, 0, 0, 0, 0, 0, 1, 1}, false, {1, 0, 1, 6});
  folded({{"auto_pad", "VALID"}}, {0, 0, 0, 4, 0, 0, 0, 0}, false, {0, 4, 0, 0});
  folded({}, {1, 2, 3, 4}, true, {2, 1, 4, 3});  // of the last axis first
}

TEST(FoldPad, IntoAverages) {
  for (const int64_t counts : {0, 1}) {
    Model m;
    const ValueId x = m.op("Pad", {m.input("x", {2, 3, 7}), m.ints({0, 0, 1, 0, 0, 2})});
    Attributes attributes = {{"kernel_shape", Ints{4}}, {"strides", Ints{2}}, {"count_include_pad", counts}};
    if (counts) attributes["pads"] = Ints{1, 1};
    m.output(m.op("AveragePool", {x}, attributes));
    EXPECT_EQ(operators(rewritten(m.graph, "fold_pad", 1e-6)), "AveragePool");
  }
}

TEST(FoldPad, ThroughTwoPadsAndForTwoReaders) {
  Model m;
  const Ints one = {0, 0, 1, 1, 0, 0, 1, 1};
  const ValueId x = m.op("Pad", {m.op("Pad", {m.input("x", {1, 3, 5, 5}), m.ints(one)}), m.ints(one)});
  m.output(m.op("Add", {conv(m, x), conv(m, x)}));
  EXPECT_EQ(operators(rewritten(m.graph, "fold_pad", 0)), "Conv Conv Add");
}

TEST(FoldPad, LeavesWhatIsNoPaddingWithZeros) {
  const Ints one = {0, 0, 1, 1, 0, 0, 1, 1};
  const auto unchanged = [](const char* what, const Ints& pads, double value, Attributes pad, Attributes reader,
                            const char* op = "Conv") {
    SCOPED_TRACE(what);
    Model m;
    const ValueId x = m.op("Pad", {m.input("x", {2, 3, 7, 6}), m.ints(pads), m.number(value)}, std::move(pad));
    m.output(op == std::string("Conv") ? conv(m, x, std::move(reader)) : m.op(op, {x}, std::move(reader)));
    EXPECT_EQ(operators(rewritten(m.graph, "fold_pad", 0)), std::string("Pad ") + op);
  };
  unchanged("another number", one, 0.5, {}, {});
  unchanged("reflection", one, 0, {{"mode", "reflect"}}, {});
  unchanged("cuts", {0, 0, -1, 0, 0, 0, 1, 1}, 0, {}, {});
  unchanged("more images", {1, 0, 0, 0, 0, 0, 0, 0}, 0, {}, {});
  unchanged("automatic padding", one, 0, {}, {{"auto_pad", "SAME_UPPER"}, {"strides", Ints{2, 2}}});
  const Ints three = {3, 3}, own = {1, 1, 1, 1};
  unchanged("a maximum", one, 0, {}, {{"kernel_shape", three}}, "MaxPool");
  unchanged("does not count its own", one, 0, {}, {{"kernel_shape", three}, {"pads", own}}, "AveragePool");
  unchanged("rounds up", one, 0, {}, {{"kernel_shape", three}, {"ceil_mode", int64_t{1}}}, "AveragePool");
  unchanged("wide", {0, 0, 3, 0, 0, 0, 0, 0}, 0, {}, {{"kernel_shape", three}}, "AveragePool");
  {
    Model m;  // pads that are known at run time only
    m.output(conv(m, m.op("Pad", {m.input("x", {2, 3, 7, 6}), m.input("pads", {8}, ir::DType::i64)})));
    Graph after = m.graph.clone();
    EXPECT_FALSE(run_pass(after, "fold_pad"));
  }
  {
    Model m;  // the padded tensor is needed all the same
    const ValueId x = m.op("Pad", {m.input("x", {2, 3, 7, 6}), m.ints(one)});
    m.output(x);
    m.output(conv(m, x));
    EXPECT_EQ(operators(rewritten(m.graph, "fold_pad", 0)), "Pad Conv");
  }
}

}  // namespace
}  // namespace rooftune::passes
