#include "runtime/memory_plan.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "base/error.h"

namespace rooftune::runtime {
namespace {

int add_slot(Program& program, size_t bytes, Slot::Kind kind = Slot::Kind::temporary, int alias_of = -1) {
  Slot slot;
  slot.name = "s" + std::to_string(program.slots.size());
  slot.kind = kind;
  slot.bytes = bytes;
  slot.alias_of = alias_of;
  program.slots.push_back(slot);
  return static_cast<int>(program.slots.size()) - 1;
}

void add_step(Program& program, std::vector<int> slots, size_t workspace = 0) {
  if (program.code.empty()) program.code.emplace_back();
  codegen::CompiledKernel kernel;
  kernel.workspace_bytes = workspace;
  program.code[0].kernels.push_back(kernel);
  Step step;
  step.kernel = static_cast<int>(program.code[0].kernels.size()) - 1;
  step.slots = std::move(slots);
  program.steps.push_back(step);
}

/// A random network: every step reads one to three earlier values (mostly recent ones) and writes one or two; some
/// values alias one that they read.
Program random_program() {
  Program program;
  std::vector<int> values{add_slot(program, 1024, Slot::Kind::input)};
  program.inputs = values;
  const int steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    std::vector<int> used;
    for (int r = *rc::gen::inRange(1, 4); r > 0; --r) {
      const int age = *rc::gen::inRange(0, *rc::gen::inRange(0, 4) == 0 ? 40 : 4);
      used.push_back(values[values.size() - 1 - std::min(values.size() - 1, static_cast<size_t>(age))]);
    }
    const int read = used.front();
    for (int w = *rc::gen::inRange(1, 3); w > 0; --w) {
      const bool alias = *rc::gen::inRange(0, 5) == 0;
      const size_t bytes = alias ? program.slots[static_cast<size_t>(read)].bytes : *rc::gen::inRange<size_t>(1, 5000);
      values.push_back(add_slot(program, bytes, Slot::Kind::temporary, alias ? read : -1));
      used.push_back(values.back());
    }
    if (*rc::gen::inRange(0, 3) == 0) used.push_back(-1);
    add_step(program, used, *rc::gen::inRange(0, 3) == 0 ? *rc::gen::inRange<size_t>(1, 3000) : 0);
  }
  program.outputs = {values.back()};
  return program;
}

/// An independent statement of what a plan must keep: walks the steps with a map of who owns which byte range.
void expect_sound(const Program& program) {
  const auto root = [&](int s) {
    while (program.slots[static_cast<size_t>(s)].alias_of >= 0) s = program.slots[static_cast<size_t>(s)].alias_of;
    return s;
  };
  std::map<int, int> last_use;  // by root
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (int s : program.steps[i].slots)
      if (s >= 0) last_use[root(s)] = static_cast<int>(i);
  for (int s : program.outputs) last_use[root(s)] = static_cast<int>(program.steps.size());
  std::map<int, bool> alive;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    for (int s : program.steps[i].slots)
      if (s >= 0 && program.slots[static_cast<size_t>(root(s))].kind == Slot::Kind::temporary) alive[root(s)] = true;
    std::vector<std::pair<size_t, size_t>> ranges;
    for (auto [s, is] : alive) {
      if (!is || last_use[s] < static_cast<int>(i)) continue;
      const Slot& slot = program.slots[static_cast<size_t>(s)];
      RC_ASSERT(slot.offset % kAlignment == 0);
      ranges.emplace_back(slot.offset, slot.offset + slot.bytes);
    }
    const size_t workspace = program.code[0].kernels[static_cast<size_t>(program.steps[i].kernel)].workspace_bytes;
    if (workspace) ranges.emplace_back(program.steps[i].workspace, program.steps[i].workspace + workspace);
    for (size_t a = 0; a < ranges.size(); ++a) {
      RC_ASSERT(ranges[a].second <= program.arena_bytes);
      for (size_t b = 0; b < a; ++b)
        RC_ASSERT(ranges[a].second <= ranges[b].first || ranges[b].second <= ranges[a].first);
    }
  }
  for (size_t s = 0; s < program.slots.size(); ++s)
    RC_ASSERT(program.slots[s].offset == program.slots[static_cast<size_t>(root(static_cast<int>(s)))].offset);
}

RC_GTEST_PROP(MemoryPlan, NothingAliveOverlaps, ()) {
  Program program = random_program();
  plan_memory(program);
  expect_sound(program);
  RC_ASSERT(program.arena_bytes >= arena_lower_bound(program));
}

TEST(MemoryPlan, IsCloseToTheLowerBound) {
  double sum = 0, worst = 1;
  int count = 0;
  rc::check("quality", [&] {
    Program program = random_program();
    plan_memory(program);
    const size_t bound = arena_lower_bound(program);
    if (bound == 0) return;
    const double ratio = static_cast<double>(program.arena_bytes) / static_cast<double>(bound);
    sum += ratio;
    worst = std::max(worst, ratio);
    ++count;
  });
  ASSERT_GT(count, 50);
  RecordProperty("mean_over_lower_bound", std::to_string(sum / count));
  RecordProperty("worst_over_lower_bound", std::to_string(worst));
  EXPECT_LT(sum / count, 1.05);
  EXPECT_LT(worst, 1.5);
}

TEST(MemoryPlan, AChainNeedsItsTwoLargestNeighbours) {
  Program program;
  int previous = add_slot(program, 64, Slot::Kind::input);
  const std::vector<size_t> sizes{640, 1280, 6400, 3200, 64, 12800, 128};
  for (size_t bytes : sizes) {
    const int next = add_slot(program, bytes);
    add_step(program, {previous, next});
    previous = next;
  }
  const int output = add_slot(program, 128, Slot::Kind::output);
  add_step(program, {previous, output});
  program.outputs = {output};
  plan_memory(program);
  EXPECT_EQ(program.arena_bytes, 12800u + 128u);
  EXPECT_EQ(arena_lower_bound(program), program.arena_bytes);
}

TEST(MemoryPlan, PartsLieInTheWholeWhichLivesFromTheFirstOfThem) {
  Program program;
  const int x = add_slot(program, 64, Slot::Kind::input), a = add_slot(program, 256), b = add_slot(program, 512),
            whole = add_slot(program, 768), c = add_slot(program, 768), d = add_slot(program, 64);
  program.slots[static_cast<size_t>(a)].part_of = whole;
  program.slots[static_cast<size_t>(b)].part_of = whole;
  program.slots[static_cast<size_t>(b)].part_offset = 256;
  add_step(program, {x, a});
  add_step(program, {a, c});
  add_step(program, {c, b});
  add_step(program, {whole, d});
  plan_memory(program);
  const auto offset = [&](int s) { return program.slots[static_cast<size_t>(s)].offset; };
  EXPECT_EQ(offset(a), offset(whole));
  EXPECT_EQ(offset(b), offset(whole) + 256);
  EXPECT_TRUE(offset(c) >= offset(whole) + 768 || offset(c) + 768 <= offset(whole));
  EXPECT_EQ(program.arena_bytes, 1536u);
  program.slots[static_cast<size_t>(whole)].part_of = a;
  EXPECT_THROW(plan_memory(program), InternalError);
}

TEST(MemoryPlan, AliasesLiveAsLongAsTheLastOfThem) {
  Program program;
  const int x = add_slot(program, 64, Slot::Kind::input), a = add_slot(program, 256), b = add_slot(program, 256),
            view = add_slot(program, 256, Slot::Kind::temporary, a), c = add_slot(program, 256);
  add_step(program, {x, a});
  add_step(program, {x, b});
  add_step(program, {b, c});
  add_step(program, {view, c});
  plan_memory(program);
  const auto offset = [&](int s) { return program.slots[static_cast<size_t>(s)].offset; };
  EXPECT_EQ(offset(view), offset(a));
  EXPECT_NE(offset(b), offset(a));
  EXPECT_NE(offset(c), offset(a));
  EXPECT_EQ(program.arena_bytes, 3u * 256u);
}

TEST(MemoryPlan, OutputsThatAreTemporariesOutliveTheLastStep) {
  Program program;
  const int x = add_slot(program, 64, Slot::Kind::input), a = add_slot(program, 256), b = add_slot(program, 256);
  add_step(program, {x, a});
  add_step(program, {x, b});
  program.outputs = {a, b};
  plan_memory(program);
  EXPECT_NE(program.slots[static_cast<size_t>(a)].offset, program.slots[static_cast<size_t>(b)].offset);
}

TEST(MemoryPlan, EmptyProgramNeedsNothing) {
  Program program;
  plan_memory(program);
  EXPECT_EQ(program.arena_bytes, 0u);
  EXPECT_EQ(arena_lower_bound(program), 0u);
}

TEST(MemoryPlan, RefusesAliasCycles) {
  Program program;
  add_slot(program, 64, Slot::Kind::temporary, 1);
  add_slot(program, 64, Slot::Kind::temporary, 0);
  EXPECT_THROW(plan_memory(program), InternalError);
}

}  // namespace
}  // namespace rooftune::runtime
