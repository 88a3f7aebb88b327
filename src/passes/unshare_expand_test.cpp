#include "passes/testing.h"

namespace rooftune::passes {
namespace {

TEST(UnshareExpand, EveryScatterHasItsOwn) {
  Model m;
  const ValueId edges = m.ints({2, 0, 2, -1, 1});
  const ValueId index = m.op("Expand", {m.op("Unsqueeze", {edges, m.ints({1})}), m.ints({5, 3})});
  const Attributes add = {{"axis", int64_t{0}}, {"reduction", std::string("add")}};
  const ValueId first = m.op("ScatterElements", {m.input("x", {4, 3}), index, m.input("a", {5, 3})}, add);
  m.output(m.op("ScatterElements", {first, index, m.input("b", {5, 3})}, add));
  EXPECT_EQ(operators(rewritten(m.graph, "unshare_expand", 0)),
            "Unsqueeze Expand Expand ScatterElements ScatterElements");
}

TEST(UnshareExpand, LeavesTheOnlyReaderAndOtherReaders) {
  Model m;
  const ValueId index = m.op("Expand", {m.ints({1, 0}), m.ints({3, 2})});
  const ValueId x = m.input("x", {3, 4});
  m.output(m.op("ScatterElements", {x, index, m.input("a", {3, 2})}, {{"axis", int64_t{1}}}));
  const ValueId other = m.op("Expand", {m.ints({1, 2}), m.ints({3, 2})});
  m.output(m.op("GatherElements", {x, other}, {{"axis", int64_t{1}}}));
  m.output(m.op("GatherElements", {x, other}, {{"axis", int64_t{1}}}));
  EXPECT_EQ(operators(rewritten(m.graph, "unshare_expand", 0)), operators(m.graph));
}

}  // namespace
}  // namespace rooftune::passes
