// What the analytical schedules look like, and what makes a schedule illegal. That all of them compute the right thing is
// tested beside the emitter.
#include <gtest/gtest.h>

#include "kernel/algorithms.h"
#include "kernel/space.h"
#include "tests/support/sample_kernels.h"

namespace rooftune::kernel {
namespace {

int stage_named(const Kernel& kernel, const std::string& name) {
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    if (kernel.stages[s].name == name) return static_cast<int>(s);
  ADD_FAILURE() << "no stage " << name << " in\n" << print(kernel);
  return 0;
}

/// The name of the axis that a stage's vectors lie along.
std::string vector_axis(const Kernel& kernel, const Schedule& schedule, const std::string& stage) {
  const int s = stage_named(kernel, stage);
  for (const auto& loop : schedule.stages[static_cast<size_t>(s)].loops)
    if (loop.kind == LoopKind::vector)
      return kernel.stages[static_cast<size_t>(s)].axes[static_cast<size_t>(loop.axis)].name;
  return "";
}

/// Vectors of accumulators of a stage: copies by unrolled loops over its spatial axes.
int64_t accumulators(const Kernel& kernel, const Schedule& schedule, const std::string& stage) {
  const int s = stage_named(kernel, stage);
  const auto& plan = schedule.stages[static_cast<size_t>(s)];
  std::vector<Loop> around;
  if (plan.at_stage >= 0) {
    const auto& root = schedule.stages[static_cast<size_t>(plan.at_stage)].loops;
    around.assign(root.begin(), root.begin() + plan.at_loop + 1);
  }
  int64_t count = 1;
  for (const auto& loop : plan.loops) {
    if (loop.kind == LoopKind::serial) around.push_back(loop);
    if (loop.kind != LoopKind::unrolled || loop.axis >= kernel.stages[static_cast<size_t>(s)].spatial) continue;
    for (size_t i = around.size(); i-- > 0;)
      if (around[i].axis == loop.axis) {
        count *= around[i].step / loop.step;
        break;
      }
  }
  return count;
}

Kernel normalised(Kernel kernel, const Machine& machine) {
  normalise(kernel, machine);
  return kernel;
}

/// What a stage is unrolled to is its tile inside another stage, however long the axis is that the tile is cut from.
TEST(Legality, LongAxesHaveAllTiles) {
  const Machine machine;
  const auto kernel = normalised(testing::gemm(20000, 64, 32), machine);
  for (const int64_t rows : {1, 2, 6, 12})
    for (const int64_t unroll : {1, 8}) {
      const auto schedule =
          make_schedule(kernel, machine, {{"acc.rows", rows}, {"acc.vectors", 2}, {"acc.unroll", unroll}});
      EXPECT_EQ(why_illegal(kernel, schedule), "") << print(kernel, schedule);
      EXPECT_EQ(accumulators(kernel, schedule, "acc"), 2 * rows);
    }
}

TEST(Sketch, TilesKeepTheMultipliersBusyAndFitTheRegisters) {
  for (int fmas : {1, 2}) {
    Machine machine;
    machine.fmas = fmas;
    for (const auto& shape :
         {std::array<int64_t, 3>{128, 768, 768}, {128, 384, 384}, {64, 3072, 768}, {197, 1000, 2048}}) {
      const auto kernel = normalised(testing::gemm(shape[0], shape[1], shape[2]), machine);
      const auto schedule = make_schedule(kernel, machine);
      const int64_t in_flight = accumulators(kernel, schedule, "acc");
      EXPECT_GE(in_flight, fmas == 1 ? 8 : 10) << print(kernel, schedule);
      EXPECT_LE(in_flight, machine.registers - 3) << print(kernel, schedule);
    }
  }
}

TEST(Sketch, BlockedInputsOfConvolutionsAreReadAsTheyLie) {
  const Machine machine;
  for (int64_t size : {7, 14, 56})
    for (int64_t stride : {1, 2}) {
      const auto kernel = normalised(testing::convolution({64, 32, size, size, 1, stride, 0}), machine);
      EXPECT_EQ(kernel.stages.size(), 2u) << print(kernel);
      EXPECT_EQ(vector_axis(kernel, make_schedule(kernel, machine), "acc"), "o");
    }
}

TEST(Sketch, LargeBlockedInputsAreLeftToTheProcessorsPrefetchers) {
  const Machine machine;
  const auto large = normalised(testing::convolution({256, 64, 56, 56, 1, 1, 0}), machine);
  EXPECT_TRUE(make_schedule(large, machine).prefetch.empty());
  const auto asked = make_schedule(large, machine, {{"acc.ahead", 1}}).prefetch;
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(large.buffers[static_cast<size_t>(asked[0].buffer)].name, "x");
}

TEST(Sketch, RowsOfAWindowLeaveRoomForWhatTheyShare) {
  const Machine machine;
  testing::ConvShape stem{3, 64, 224, 224, 7, 2, 3};
  stem.blocked_input = false;
  const auto kernel = normalised(testing::convolution(stem), machine);
  const auto found = decisions(kernel, machine);
  const auto start = [&](const std::string& name) {
    return std::find_if(found.begin(), found.end(), [&](const Decision& d) { return d.name == name; })->start;
  };
  const int64_t rows = start("acc.rows"), vectors = start("acc.vectors");
  EXPECT_LE(rows * vectors + vectors + 2 * (rows - 1) + 7, machine.registers);
  EXPECT_GE(rows * vectors, 8) << "and enough sums hide the latency of each";
}

TEST(Sketch, TheNextPanelOfWeightsIsAskedForByTheRowsOfThisOne) {
  const Machine machine;
  const auto kernel = normalised(testing::gemm(128, 3072, 768), machine);
  const auto schedule = make_schedule(kernel, machine);
  ASSERT_EQ(schedule.prefetch.size(), 1u);
  const auto& next = schedule.prefetch[0];
  EXPECT_EQ(kernel.buffers[static_cast<size_t>(next.buffer)].role, Role::constant);
  EXPECT_EQ(next.turns, (128 + next.shared_step - 1) / next.shared_step);
  EXPECT_TRUE(make_schedule(normalised(testing::gemm(128, 64, 64), machine), machine).prefetch.empty());
}

TEST(Sketch, LongProductsAreSummedInBlocks) {
  const Machine machine;
  const auto kernel = normalised(testing::gemm(128, 768, 3072), machine);
  const int acc = stage_named(kernel, "acc");
  const auto schedule = make_schedule(kernel, machine);
  const auto& plan = schedule.stages[static_cast<size_t>(acc)];
  EXPECT_EQ(plan.at_stage, -1);
  EXPECT_EQ(plan.loops[0].axis, 2);
  EXPECT_GT(plan.loops[0].step, 200);
  const auto whole = make_schedule(kernel, machine, {{"acc.depth", 0}});
  EXPECT_GE(whole.stages[static_cast<size_t>(acc)].at_stage, 0);
  const auto short_one = normalised(testing::gemm(128, 768, 768), machine);
  EXPECT_GE(make_schedule(short_one, machine).stages[0].at_stage, 0);
}

TEST(Sketch, InvertedResidualsRoll) {
  Machine machine;
  machine.threads = 2;
  for (const bool expands : {true, false}) {
    const auto kernel = normalised(testing::inverted_residual(24, 96, 28, 2, expands), machine);
    const auto schedule = make_schedule(kernel, machine);
    const int root = stage_named(kernel, "y");
    for (const char* name : {"u", "d"}) {
      if (!expands && std::string(name) == "u") continue;
      const int s = stage_named(kernel, name);
      EXPECT_EQ(schedule.stages[static_cast<size_t>(s)].at_stage, root);
      EXPECT_EQ(schedule.stages[static_cast<size_t>(s)].slide_axis, std::string(name) == "u" ? 1 : -1);
    }
    EXPECT_EQ(schedule.stages[static_cast<size_t>(root)].loops[0], (Loop{1, 7, LoopKind::parallel}))
        << print(kernel, schedule);
    EXPECT_EQ(schedule.stages[static_cast<size_t>(stage_named(kernel, "d"))].at_loop, 1);
  }
}

TEST(Sketch, TransposedConvolutionsShareTilesWithTheirBias) {
  const Machine machine;
  const auto kernel = normalised(testing::transposed_convolution(64, 32, 16, 2, 16), machine);
  const auto schedule = make_schedule(kernel, machine);
  EXPECT_EQ(vector_axis(kernel, schedule, "acc"), "o");
  EXPECT_EQ(schedule.stages[static_cast<size_t>(stage_named(kernel, "acc"))].at_stage, stage_named(kernel, "y"));
}

TEST(Sketch, AttentionReadsTemporariesAlongTheirVectors) {
  const Machine machine;
  const auto kernel = normalised(testing::attention(12, 128, 128, 64, false), machine);
  const auto schedule = make_schedule(kernel, machine);
  EXPECT_EQ(vector_axis(kernel, schedule, "p"), "j");
  EXPECT_EQ(vector_axis(kernel, schedule, "hi"), "j");
  EXPECT_EQ(vector_axis(kernel, schedule, "e"), "j");
  EXPECT_EQ(vector_axis(kernel, schedule, "o"), "d");
}

TEST(Sketch, WinogradReadsWeightsOnceWhereTilesAreFew) {
  const Machine machine;
  for (const auto& algorithm : algorithms()) {
    if (algorithm.name != "winograd4") continue;
    const auto kernel = algorithm.rewrite(testing::convolution({256, 256, 14, 14, 3, 1, 1}), machine);
    ASSERT_TRUE(kernel);
    const auto schedule =
        algorithm.sketch(*kernel, machine, [](const auto&, const auto&, int64_t start) { return start; });
    const auto& root = schedule.stages[static_cast<size_t>(stage_named(*kernel, "wino_y"))].loops;
    EXPECT_TRUE(root[0].axis != 0 || root[0].step >= 16) << print(*kernel, schedule);
  }
}

TEST(Sketch, WinogradSplitsStrideTwoByParity) {
  const Machine machine;
  const auto rewritten = [&](const std::string& name, const testing::ConvShape& shape) {
    for (const auto& algorithm : algorithms())
      if (algorithm.name == name) return algorithm.rewrite(testing::convolution(shape), machine);
    return std::optional<Kernel>();
  };
  const testing::ConvShape shape{32, 32, 28, 28, 3, 2, 1};
  const auto kernel = rewritten("winograd2", shape);
  ASSERT_TRUE(kernel);
  // 25 products instead of 36 for four outputs, and few additions.
  const double direct = cost(testing::convolution(shape)).operations;
  EXPECT_LT(kernel->operations, 0.85 * direct);
  EXPECT_GT(kernel->operations, 25.0 / 36 * 0.95 * direct);
  EXPECT_FALSE(rewritten("winograd4", shape));
  EXPECT_FALSE(rewritten("winograd2", {32, 32, 28, 28, 3, 3, 1}));
}

TEST(Sketch, ScattersInVectorsAlongWhatTheIndicesDoNotKnow) {
  Machine machine;
  machine.threads = 4;
  auto schedule_of = [&](const Kernel& kernel) { return make_schedule(kernel, machine).stages[1].loops; };
  using Loops = std::vector<Loop>;
  const int b = 0, f = 1, e = 2;
  const auto rows = normalised(testing::scatter(1, 100, 300, 256, Reduction::sum), machine);
  EXPECT_EQ(schedule_of(rows), (Loops{{f, 64, LoopKind::parallel},
                                      {e, 1, LoopKind::serial},
                                      {f, 16, LoopKind::unrolled},
                                      {f, 1, LoopKind::vector}}))
      << print(rows, make_schedule(rows, machine));
  const auto elements = normalised(testing::scatter(8, 100, 300, 40, Reduction::sum, true), machine);
  EXPECT_EQ(schedule_of(elements),
            (Loops{{b, 1, LoopKind::parallel}, {e, 1, LoopKind::serial}, {f, 1, LoopKind::serial}}))
      << print(elements, make_schedule(elements, machine));
}

TEST(Sketch, BytesAreMultipliedInWords) {
  const Machine machine;
  auto loops_of = [&](const Kernel& original) {
    const auto kernel = normalised(original, machine);
    return print(kernel, make_schedule(kernel, machine));
  };
  const auto gemm = loops_of(testing::dot_gemm(32, 96, 64, DType::u8, DType::i8));
  EXPECT_NE(gemm.find("k/4:u"), std::string::npos) << gemm;
  EXPECT_NE(gemm.find("n:v k:d\n"), std::string::npos) << gemm;
  EXPECT_NE(gemm.find(")(0,1,4)\n"), std::string::npos) << gemm;  // the words of a vector's lanes lie together
  const auto halves = loops_of(testing::dot_gemm(32, 96, 64, DType::bf16, DType::bf16));
  EXPECT_NE(halves.find(")(0,1,2)\n"), std::string::npos) << halves;
  // Pixels of a row lie together where channels do not.
  testing::ConvShape stem{3, 32, 17, 17, 7, 2, 3};
  stem.blocked_input = false;
  EXPECT_NE(loops_of(testing::dot_convolution(stem)).find("fx:d\n"), std::string::npos);
  EXPECT_NE(loops_of(testing::dot_convolution({32, 32, 14, 14, 3, 1, 1})).find("c:d\n"), std::string::npos);
  EXPECT_EQ(loops_of(testing::gemm(32, 96, 64)).find(":d"), std::string::npos);
}

TEST(Legality, OfADotLoop) {
  const auto kernel = testing::dot_gemm(8, 32, 16, DType::u8, DType::i8);
  auto why = [](const Kernel& k, const char* text) { return why_illegal(k, parse_schedule(k, text)); };
  EXPECT_EQ(why(kernel, "acc: m k/4 n/16 n:v k:d"), "");
  EXPECT_EQ(why(kernel, "acc: m n k/4 k:d"), "");
  auto rejects = [&](const Kernel& k, const char* text, const char* part) {
    EXPECT_NE(why(k, text).find(part), std::string::npos) << part << " is not in: " << why(k, text);
  };
  rejects(kernel, "acc: m k/8 n/16 n:v k:d", "8 elements of axis k of stage acc are more than the 4 of a word");
  rejects(kernel, "acc: m k/4 k:d n/16 n:v", "must be innermost");
  rejects(kernel, "acc: k m/4 n/16 n:v m:d", "m is no reduction axis");
  rejects(testing::gemm(8, 32, 16, false), "acc: m k/4 n/16 n:v k:d", "no sum of products");
}

TEST(Legality, OfAScatter) {
  const Machine machine;
  const auto kernel = testing::scatter(2, 5, 30, 8, Reduction::sum, true);
  const Schedule good = make_schedule(kernel, machine);
  ASSERT_EQ(why_illegal(kernel, good), "");
  auto rejects = [&](const char* part, std::vector<Loop> loops) {
    Schedule bad = good;
    bad.stages[1].loops = std::move(loops);
    EXPECT_NE(why_illegal(kernel, bad).find(part), std::string::npos) << why_illegal(kernel, bad);
  };
  rejects("parallel: e is a reduction axis",
          {{2, 1, LoopKind::parallel}, {0, 1, LoopKind::serial}, {1, 1, LoopKind::serial}});
  rejects("points along axis e of stage meet may meet",
          {{0, 1, LoopKind::serial}, {1, 1, LoopKind::serial}, {2, 1, LoopKind::vector}});
  rejects("read from memory along axis f",
          {{0, 1, LoopKind::serial}, {2, 1, LoopKind::serial}, {1, 1, LoopKind::vector}});
  // Two axes along which points meet keep their order.
  Kernel grid = testing::scatter(1, 5, 30, 8, Reduction::sum);
  auto& stage = grid.stages[1];
  stage.axes = {{"b", 1}, {"f", 8}, {"e", 5}, {"g", 6}};
  for (auto& node : stage.nodes)
    for (auto& index : node.indices)
      if (index.uses(2)) index = Index::variable(2) * 6 + Index::variable(3);
  verify(grid);
  Schedule order = make_schedule(grid, machine);
  ASSERT_EQ(why_illegal(grid, order), "") << print(grid, order);
  order.stages[1].loops = {{3, 1, LoopKind::serial}, {2, 1, LoopKind::serial}, {1, 1, LoopKind::serial}};
  EXPECT_NE(why_illegal(grid, order).find("must walk e outside of g"), std::string::npos) << why_illegal(grid, order);
}

/// The loops of a kernel's only stage that are tiles, as axis names.
std::string tile_axes(const Kernel& kernel, const Schedule& schedule) {
  std::string text;
  for (const auto& loop : schedule.stages[0].loops)
    if (loop.kind == LoopKind::tile) text += kernel.stages[0].axes[static_cast<size_t>(loop.axis)].name;
  return text;
}

TEST(Sketch, ProductsOfTilesWhereTheMachineHasThem) {
  Machine machine;
  machine.tiles = true;
  auto axes_of = [&](const Kernel& original, const Point& point = {}) {
    const auto kernel = normalised(original, machine);
    const auto schedule = make_schedule(kernel, machine, point);
    EXPECT_EQ(why_illegal(kernel, schedule), "") << print(kernel, schedule);
    return tile_axes(kernel, schedule);
  };
  using enum DType;
  EXPECT_EQ(axes_of(testing::dot_gemm(128, 384, 384, bf16, bf16)), "mnk");
  EXPECT_EQ(axes_of(testing::dot_gemm(128, 384, 384, u8, i8)), "mnk");
  EXPECT_EQ(axes_of(testing::dot_gemm(128, 384, 384, u8, i8), {{"acc.tiles", 0}}), "");
  EXPECT_EQ(axes_of(testing::dot_gemm(2, 384, 384, u8, i8)), "");  // too few rows, but they may be tried
  EXPECT_EQ(axes_of(testing::dot_gemm(2, 384, 384, u8, i8), {{"acc.tiles", 1}}), "mnk");
  EXPECT_EQ(axes_of(testing::dot_gemm(128, 384, 381, u8, i8), {{"acc.tiles", 1}}), "");  // no whole words
  EXPECT_EQ(axes_of(testing::gemm(128, 384, 384, false)), "");
  machine.tiles = false;
  EXPECT_EQ(axes_of(testing::dot_gemm(128, 384, 384, u8, i8), {{"acc.tiles", 1}}), "");
}

TEST(Legality, SaysWhatIsWrongWithTiles) {
  Machine machine;
  machine.tiles = true;
  const auto kernel = normalised(testing::dot_gemm(64, 96, 128, DType::u8, DType::i8), machine);
  const Schedule good = make_schedule(kernel, machine);
  ASSERT_EQ(why_illegal(kernel, good), "");
  ASSERT_EQ(tile_axes(kernel, good), "mnk") << print(kernel, good);
  auto rejects = [&](const char* part, const std::function<void(std::vector<Loop>&)>& change) {
    Schedule bad = good;
    change(bad.stages[0].loops);
    EXPECT_NE(why_illegal(kernel, bad).find(part), std::string::npos)
        << part << " is not in: " << why_illegal(kernel, bad);
  };
  rejects("must be one of three, innermost", [](auto& loops) { loops.pop_back(); });
  rejects("must be one of three, innermost", [](auto& loops) { loops.push_back({2, 1, LoopKind::serial}); });
  rejects("must be one of three, innermost", [](auto& loops) { loops.back().step = 2; });
  rejects("must be over rows, columns and what is summed up",
          [](auto& loops) { std::swap(loops.back(), loops[loops.size() - 2]); });
  rejects("128 elements of axis k", [](auto& loops) {
    std::erase_if(loops, [](const Loop& l) { return l.axis == 2 && l.kind != LoopKind::tile; });
  });
  const auto floats = normalised(testing::gemm(64, 96, 128, false), machine);
  Schedule wrong = make_schedule(floats, machine);
  wrong.stages[0].loops = good.stages[0].loops;
  EXPECT_NE(why_illegal(floats, wrong).find("no sum of products"), std::string::npos) << why_illegal(floats, wrong);
}

TEST(Legality, SaysWhatIsWrong) {
  const Machine machine;
  const auto kernel = normalised(testing::gemm(32, 64, 48), machine);
  const Schedule good = make_schedule(kernel, machine);
  ASSERT_EQ(why_illegal(kernel, good), "");
  const auto acc = static_cast<size_t>(stage_named(kernel, "acc")), y = static_cast<size_t>(stage_named(kernel, "y"));
  auto rejects = [&](const char* part, const std::function<void(Schedule&)>& change) {
    Schedule bad = good;
    change(bad);
    EXPECT_NE(why_illegal(kernel, bad).find(part), std::string::npos)
        << part << " is not in: " << why_illegal(kernel, bad);
  };
  rejects("stages", [&](Schedule& s) { s.stages.pop_back(); });
  rejects("no axis 9", [&](Schedule& s) { s.stages[y].loops[0].axis = 9; });
  rejects("not positive", [&](Schedule& s) { s.stages[y].loops[0].step = 0; });
  rejects("outermost", [&](Schedule& s) { s.stages[y].loops.push_back({0, 1, LoopKind::parallel}); });
  rejects("inside another", [&](Schedule& s) { s.stages[acc].loops[0].kind = LoopKind::parallel; });
  rejects("two vector loops", [&](Schedule& s) { s.stages[y].loops.push_back({0, 1, LoopKind::vector}); });
  rejects("in steps of 1", [&](Schedule& s) { s.stages[y].loops.pop_back(); });
  rejects("copies", [&](Schedule& s) {
    s.stages[y].loops = {{0, 1, LoopKind::unrolled}, {1, 1, LoopKind::unrolled}, {0, 1, LoopKind::unrolled}};
    for (int i = 0; i < 3; ++i) s.stages[acc].loops.insert(s.stages[acc].loops.begin(), {i, 1, LoopKind::unrolled});
  });
  rejects("cannot be computed inside", [&](Schedule& s) { s.stages[acc].at_stage = static_cast<int>(acc); });
  rejects("has no loop 40", [&](Schedule& s) { s.stages[acc].at_loop = 40; });
  rejects("slide", [&](Schedule& s) { s.stages[y].slide_axis = 0; });
  rejects("only constants", [&](Schedule& s) { s.prepared.emplace_back(0, Layout::row_major({32, 48})); });
  rejects("prefetch: there is no stage", [&](Schedule& s) { s.prefetch.push_back({7, 0, 0, 0, 1}); });
  rejects("prefetch: stage acc has no loop",
          [&](Schedule& s) { s.prefetch.push_back({static_cast<int>(acc), 0, 40, 0, 1}); });
  rejects("prefetch: stage acc has no axis",
          [&](Schedule& s) { s.prefetch.push_back({static_cast<int>(acc), 0, 0, 9, 1}); });
  rejects("prefetch: stage acc has no 0 turns",
          [&](Schedule& s) { s.prefetch.push_back({static_cast<int>(acc), 0, 0, 0, 1, 0, 1, 0}); });
  rejects("prefetch: stage y does not read",
          [&](Schedule& s) { s.prefetch.push_back({static_cast<int>(y), 0, 0, 0, 1}); });
}

}  // namespace
}  // namespace rooftune::kernel
