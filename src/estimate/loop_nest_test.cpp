// Loops and regions of stages under a schedule, counted by hand.
#include "estimate/loop_nest.h"

#include <gtest/gtest.h>

#include "kernel/schedule.h"

namespace rooftune::estimate {
namespace {

using namespace kernel;

Index v(int i) { return Index::variable(i); }

/// y[r] = Σ_t a[2 r + t], a[i] = x[i]²: a row of y needs three of a, of which one was there before.
struct Windows {
  Kernel kernel;
  int a = 0, y = 0;  // stages
  Windows() {
    const int x = kernel.add_buffer("x", DType::f32, {33, 16}, Role::input);
    const int out = kernel.add_buffer("out", DType::f32, {16, 16}, Role::output);
    StageBuilder square(kernel, "a", {{"i", 33}, {"c", 16}});
    const int value = square.load(x, {v(0), v(1)});
    const int squares = square.finish(square.mul(value, value));
    StageBuilder sum(kernel, "y", {{"r", 16}, {"c", 16}}, {{"t", 3}});
    sum.finish(sum.load(squares, {v(0) * 2 + v(2), v(1)}), Reduction::sum, out);
    a = 0, y = 1;
  }
  Nest nest(const std::string& schedule, int stage) const {
    const Schedule parsed = parse_schedule(kernel, schedule);
    EXPECT_EQ(why_illegal(kernel, parsed), "");
    return nest_of(kernel, parsed, stage);
  }
};

TEST(LoopNest, AStageInsideComputesWhatItsReadersNeed) {
  const Windows w;
  const Nest nest = w.nest("a: @y.0 i c:v\ny: r/4 r t c:v\n", w.a);
  ASSERT_EQ(nest.outside, 1u);
  EXPECT_EQ(nest.loops[0].turns, 4);
  EXPECT_EQ(nest.extent, (std::vector<int64_t>{9, 16})) << "four rows of y: rows 0 to 8 of a, at every turn";
  EXPECT_EQ(nest.region.back(), (std::vector<int64_t>{1, 1}));
}

TEST(LoopNest, WhatSlidesComputesOnlyWhatIsNew) {
  const Windows w;
  const Nest nest = w.nest("a: @y.0 ~i i c:v\ny: r/4 r t c:v\n", w.a);
  EXPECT_EQ(nest.extent, (std::vector<int64_t>{8, 16}));
  EXPECT_EQ(w.nest("a: @y.0 ~i i c:v\ny: r t c:v\n", w.a).extent, (std::vector<int64_t>{2, 16}));
}

TEST(LoopNest, AtTheRootItIsTheWholeStage) {
  const Windows w;
  const Nest nest = w.nest("a: i c:v\ny: r/4 r t c:v\n", w.a);
  EXPECT_EQ(nest.outside, 0u);
  EXPECT_EQ(nest.extent, (std::vector<int64_t>{33, 16}));
}

TEST(LoopNest, FootprintsOfFusedPixelsAreNoMoreThanTheirPoints) {
  Kernel kernel;
  const int x = kernel.add_buffer("x", DType::f32, {8, 10, 12}, Role::input);
  const RangeOf range_of = [](int) { return Range{0, 119}; };
  ExprNode load;
  load.op = Op::load;
  load.buffer = x;
  load.indices = {v(1), floordiv(v(0), 12, range_of), mod(v(0), 12, range_of)};
  EXPECT_EQ(footprint(kernel, load, {7, 8}), 7 * 8 * 4) << "seven pixels, however many rows and columns they may touch";
  EXPECT_EQ(footprint(kernel, load, {120, 8}), 120 * 8 * 4);
}

}  // namespace
}  // namespace rooftune::estimate
