// Steps that run several times: what an iteration takes, hands on and gives, and the memory in which it does.
#include <gtest/gtest.h>

#include <cmath>

#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "runtime/memory_plan.h"
#include "runtime/testing/programs.h"

namespace rooftune::runtime {
namespace {

using testing::Builder;
using testing::kColumns;
using testing::kRows;
using testing::random_matrix;
using testing::random_tensor;
using Tensors = std::vector<ir::Tensor>;

/// s' = 2 s + 1 - x w for each x, between two ordinary steps:
///   w = 2 · start + 1;  for x: a = 2 s + 1, b = a - x, s' = b - w;  end = 2 · s + 1
/// Outputs: end, every s', every x.
Program summing(int64_t most, bool reversed_in, bool reversed_out, ir::Dim trips) {
  Builder b;
  using Kind = Slot::Kind;
  const int xs = b.slot(Kind::input, {most, kRows, kColumns}), start = b.input();
  const int end = b.output(), all = b.slot(Kind::output, {most, kRows, kColumns});
  const int seen = b.slot(Kind::output, {most, kRows, kColumns});
  const int w = b.temporary(), state = b.temporary(), x = b.temporary(), grown = b.temporary(), less = b.temporary(),
            next = b.temporary(), last = b.temporary();
  if (!trips.is_static()) {
    b.program.symbols = {trips};
    b.program.units = {1};
    for (int s : {xs, all, seen}) b.program.slots[static_cast<size_t>(s)].dims = {trips, kRows, kColumns};
  }
  b.step(Builder::scale, {start, w});
  Loop loop;
  loop.name = "loop";
  loop.first = b.program.steps.size();
  b.step(Builder::scale, {state, grown});
  b.step(Builder::subtract, {grown, x, less});
  b.step(Builder::subtract, {less, w, next});
  loop.end = b.program.steps.size();
  loop.trips = trips;
  loop.states = {{start, state, next, last}};
  loop.taken = {{xs, x, reversed_in}};
  loop.given = {{all, next, reversed_out}, {seen, x, false}};
  b.program.loops = {loop};
  b.step(Builder::scale, {last, end});
  return b.build();
}

Tensors expected(const ir::Tensor& xs, const ir::Tensor& start, bool reversed_in, bool reversed_out) {
  const int64_t trips = xs.dim(0), size = start.size();
  Tensors out{ir::Tensor(ir::DType::f32, start.shape()), ir::Tensor(ir::DType::f32, xs.shape()),
              ir::Tensor(ir::DType::f32, xs.shape())};
  for (int64_t i = 0; i < size; ++i) {
    const float w = 2 * start.data<float>()[i] + 1;
    float s = start.data<float>()[i];
    for (int64_t t = 0; t < trips; ++t) {
      const float x = xs.data<float>()[(reversed_in ? trips - 1 - t : t) * size + i];
      s = 2 * s + 1 - x - w;
      out[1].data<float>()[(reversed_out ? trips - 1 - t : t) * size + i] = s;
      out[2].data<float>()[t * size + i] = x;
    }
    out[0].data<float>()[i] = 2 * s + 1;
  }
  return out;
}

void expect_equal(const Tensors& got, const Tensors& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t o = 0; o < got.size(); ++o) {
    ASSERT_EQ(got[o].shape(), wanted[o].shape());
    for (int64_t i = 0; i < got[o].size(); ++i)
      ASSERT_NEAR(got[o].data<float>()[i], wanted[o].data<float>()[i],
                  1e-4 * (1 + std::fabs(wanted[o].data<float>()[i])))
          << "output " << o << " at " << i;
  }
}

TEST(Loops, TakeHandOnAndGive) {
  for (int64_t trips : {0, 1, 2, 7})
    for (int reversed = 0; reversed < 4; ++reversed) {
      const bool in = (reversed & 1) != 0, out = (reversed & 2) != 0;
      const Executable executable(summing(trips, in, out, trips));
      for (int threads : {1, 3}) {
        const auto context = executable.make_context(threads);
        context->litter();
        for (int run = 0; run < 3; ++run) {
          const ir::Tensor xs = random_tensor({trips, kRows, kColumns}), start = random_matrix();
          Tensors outputs;
          if (run < 2) executable.run(*context, {xs, start}, outputs);
          else EXPECT_EQ(executable.profile(*context, {xs, start}, outputs).size(), 5u);
          expect_equal(outputs, expected(xs, start, in, out));
        }
      }
    }
}

TEST(Loops, GoRoundAsOftenAsTheInputsSay) {
  const Executable executable(summing(9, true, true, ir::Dim::symbol("steps", 0, 9)));
  const auto context = executable.make_context(2);
  context->litter();
  for (int64_t trips : {9, 1, 4, 0, 8}) {
    const ir::Tensor xs = random_tensor({trips, kRows, kColumns}), start = random_matrix();
    Tensors outputs;
    executable.run(*context, {xs, start}, outputs);
    expect_equal(outputs, expected(xs, start, true, true));
  }
}

TEST(Loops, AreStored) {
  const TempDirectory folder;
  const std::string path = folder.file("m.rt");
  save(summing(5, true, false, ir::Dim::symbol("steps", 0, 5)), path);
  const Executable executable(load(path, true));
  const auto context = executable.make_context(1);
  const ir::Tensor xs = random_tensor({4, kRows, kColumns}), start = random_matrix();
  Tensors outputs;
  executable.run(*context, {xs, start}, outputs);
  expect_equal(outputs, expected(xs, start, true, false));
}

// The next iteration reads it again, so nothing of this one may lie where it lies.
TEST(Loops, KeepWhatTheyReadUntilTheirEnd) {
  Program program = summing(3, false, false, 3);
  const auto pieces = lifetimes(program);
  const auto of = [&](int slot) {
    for (const Lifetime& piece : pieces)
      if (piece.slot == slot) return std::pair(piece.first, piece.last);
    return std::pair(-1, -1);
  };
  const Loop& loop = program.loops[0];
  EXPECT_EQ(of(program.steps[0].slots[1]), std::pair(0, 3));  // w, read by the last step only
  EXPECT_EQ(of(loop.states[0].input), std::pair(1, 3));       // read by the first step only
  EXPECT_EQ(of(loop.taken[0].inside), std::pair(1, 3));
  EXPECT_EQ(of(program.steps[1].slots[1]), std::pair(1, 2));  // within one iteration
  EXPECT_EQ(of(loop.states[0].result), std::pair(3, 4));
}

TEST(Loops, BadOnesAreRefused) {
  const auto refused = [](const std::function<void(Program&)>& spoil) {
    Program program = summing(3, false, false, 3);
    spoil(program);
    EXPECT_THROW(Executable{program}, InternalError);
  };
  refused([](Program& p) { p.loops[0].end = 9; });
  refused([](Program& p) { p.loops[0].first = 5; });
  refused([](Program& p) { p.loops.push_back(p.loops[0]); });
  refused([](Program& p) { p.loops[0].trips = 4; });  // beyond its slices
  refused([](Program& p) { p.loops[0].trips = ir::Dim::symbol("nobody", 0, 3); });
  refused([](Program& p) { p.loops[0].states[0].next = -1; });
  refused([](Program& p) { p.loops[0].states[0].initial = p.inputs[0]; });
  refused([](Program& p) {  // two states that change places
    auto other = p.loops[0].states[0];
    std::swap(other.input, other.next);
    p.loops[0].states.push_back(other);
  });
}

}  // namespace
}  // namespace rooftune::runtime
