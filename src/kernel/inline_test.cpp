#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>

#include "kernel/interpreter.h"
#include "kernel/kernel.h"

namespace rooftune::kernel {
namespace {

using ir::Tensor;

std::vector<std::string> stage_names(const Kernel& k) {
  std::vector<std::string> names;
  for (const Stage& s : k.stages) names.push_back(s.name);
  return names;
}

/// A stage name(i:m, j:n) = f(builder, its load of buffer at [i,j]).
template <typename F>
int map(Kernel& k, const std::string& name, int64_t m, int64_t n, int buffer, F&& f, int out = -1) {
  StageBuilder s(k, name, {{"i", m}, {"j", n}});
  return s.finish(f(s, s.load(buffer, {s.axis(0), s.axis(1)})), Reduction::none, out);
}

int matmul(Kernel& k, const std::string& name, int64_t m, int64_t n, int64_t depth, int a, int b, int out = -1) {
  StageBuilder s(k, name, {{"i", m}, {"j", n}}, {{"k", depth}});
  return s.finish(s.mul(s.load(a, {s.axis(0), s.axis(2)}), s.load(b, {s.axis(2), s.axis(1)})), Reduction::sum, out);
}

struct Example {
  Kernel kernel{.name = "k"};
  int x = kernel.add_buffer("x", DType::f32, {6, 8}, Role::input);
  int w = kernel.add_buffer("w", DType::f32, {8, 5}, Role::constant);
  int y = kernel.add_buffer("out", DType::f32, {6, 5}, Role::output);
};

// An index per edge, expanded over the features: the scatter reads it once per edge, and in vectors along the features.
TEST(InlineMaps, IndicesAndMessagesGoIntoAScatter) {
  Kernel k{.name = "k"};
  const int target = k.add_buffer("target", DType::i64, {9}, Role::input);
  const int x = k.add_buffer("x", DType::f32, {9, 4}, Role::input);
  const int y = k.add_buffer("y", DType::f32, {5, 4}, Role::output);
  StageBuilder expand(k, "expand", {{"e", 9}, {"f", 4}});
  const int index = expand.finish(expand.load(target, {expand.axis(0)}));
  const int twice = map(k, "twice", 9, 4, x, [](StageBuilder& s, int v) { return s.add(v, v); });
  const int start = map(k, "start", 5, 4, x, [](StageBuilder& s, int v) { return s.mul(v, v); });
  map(k, "begin", 5, 4, start, [](StageBuilder&, int v) { return v; }, y);
  StageBuilder s(k, "meet", {{"f", 4}}, {{"e", 9}});
  const Index row = s.value_index(s.load(index, {s.axis(1), s.axis(0)}));
  s.finish_scatter(s.load(twice, {s.axis(1), s.axis(0)}), Reduction::sum, y, {row, s.axis(0)});
  verify(k);
  const Kernel before = k;
  inline_maps(k);
  verify(k);
  EXPECT_EQ(stage_names(k), (std::vector<std::string>{"begin", "meet"})) << print(k);
  EXPECT_EQ(k.stages[1].nodes[0].indices, std::vector<Index>{Index::variable(1)}) << print(k);
  std::vector<Tensor> tensors(before.buffers.size());
  tensors[0] = Tensor::of<int64_t>(DType::i64, {9}, {0, 4, 2, 2, 7, 0, -1, 2, 3});
  tensors[1] = Tensor(DType::f32, {9, 4});
  for (int64_t i = 0; i < 36; i++) tensors[1].data<float>()[i] = std::sin(static_cast<float>(i));
  const Tensor wanted = interpret(before, tensors)[0], got = interpret(k, tensors)[0];
  EXPECT_EQ(std::memcmp(wanted.raw(), got.raw(), got.bytes()), 0);
}

TEST(InlineMaps, EpilogueChainBecomesOneStage) {
  Example e;
  int acc = matmul(e.kernel, "acc", 6, 5, 8, e.x, e.w);
  int a = map(e.kernel, "bias", 6, 5, acc, [](StageBuilder& s, int v) { return s.add(v, s.constant(0.25)); });
  int b = map(e.kernel, "gelu", 6, 5, a, [](StageBuilder& s, int v) { return s.mul(v, s.unary(Op::erf, v)); });
  map(e.kernel, "twice", 6, 5, b, [](StageBuilder& s, int v) { return s.add(v, v); }, e.y);
  inline_maps(e.kernel);
  verify(e.kernel);
  EXPECT_EQ(stage_names(e.kernel), (std::vector<std::string>{"acc", "twice"}));
  EXPECT_EQ(e.kernel.stages[1].nodes.size(), 6u);  // acc, 0.25, +, erf, ·, +
}

TEST(InlineMaps, ArithmeticIsNotRepeatedInAContraction) {
  Example e;
  int a = map(e.kernel, "relu", 6, 8, e.x, [](StageBuilder& s, int v) { return s.max(v, s.constant(0)); });
  matmul(e.kernel, "acc", 6, 5, 8, a, e.w, e.y);
  inline_maps(e.kernel);
  EXPECT_EQ(stage_names(e.kernel), (std::vector<std::string>{"relu", "acc"}));
}

TEST(InlineMaps, MovementGoesIntoAContraction) {
  Example e;
  int flat_input = e.kernel.add_buffer("flat", DType::f32, {48}, Role::input);
  StageBuilder r(e.kernel, "reshape", {{"i", 6}, {"j", 8}});
  int shaped = r.finish(r.load(flat_input, {r.axis(0) * 8 + r.axis(1)}));
  matmul(e.kernel, "acc", 6, 5, 8, shaped, e.w, e.y);
  inline_maps(e.kernel);
  EXPECT_EQ(print(e.kernel).substr(print(e.kernel).find("stage")),
            "stage acc(i:6, j:5 | k:8) -> out[i,j] = sum flat[8*i+k] * w[k,j]\n");
}

TEST(InlineMaps, ExpensiveMapsWithTwoReadersStay) {
  Example e;
  int ex = map(e.kernel, "e", 6, 8, e.x, [](StageBuilder& s, int v) { return s.unary(Op::exp, v); });
  StageBuilder s(e.kernel, "z", {{"i", 6}}, {{"j", 8}});
  int z = s.finish(s.load(ex, {s.axis(0), s.axis(1)}), Reduction::sum);
  int y = e.kernel.add_buffer("y", DType::f32, {6, 8}, Role::output);
  StageBuilder t(e.kernel, "y", {{"i", 6}, {"j", 8}});
  t.finish(t.div(t.load(ex, {t.axis(0), t.axis(1)}), t.load(z, {t.axis(0)})), Reduction::none, y);
  Kernel before = e.kernel;
  inline_maps(e.kernel);
  EXPECT_EQ(hash(e.kernel), hash(before));
  // With one reader the exponential moves into the sum.
  before.stages.pop_back();
  before.buffers.pop_back();
  before.buffers[static_cast<size_t>(z)].role = Role::output;
  inline_maps(before);
  EXPECT_EQ(stage_names(before), (std::vector<std::string>{"z"}));
}

TEST(InlineMaps, CheapBroadcastsAreRepeatedExpensiveOnesNot) {
  for (bool cheap : {true, false}) {
    Example e;
    StageBuilder s(e.kernel, "scale", {{"i", 6}});
    int v = s.load(e.x, {s.axis(0), 0});
    int scale = s.finish(cheap ? s.mul(v, s.constant(0.125)) : s.unary(Op::sqrt, v));
    StageBuilder t(e.kernel, "y", {{"i", 6}, {"j", 5}});
    t.finish(t.mul(t.load(scale, {t.axis(0)}), t.load(e.w, {t.axis(0), t.axis(1)})), Reduction::none, e.y);
    inline_maps(e.kernel);
    EXPECT_EQ(e.kernel.stages.size(), cheap ? 1u : 2u);
  }
}

TEST(InlineMaps, OutputsAndMultiplyWrittenBuffersStay) {
  Example e;
  e.kernel.buffers[static_cast<size_t>(e.y)].shape = {6, 8};
  int a = map(e.kernel, "a", 6, 8, e.x, [](StageBuilder& s, int v) { return s.unary(Op::neg, v); }, e.y);
  int both = e.kernel.add_buffer("both", DType::f32, {6, 16}, Role::temporary);
  for (int half : {0, 1}) {
    StageBuilder s(e.kernel, "half", {{"i", 6}, {"j", 8}});
    s.finish(s.load(half ? a : e.x, {s.axis(0), s.axis(1)}), Reduction::none, both, {s.axis(0), s.axis(1) + half * 8});
  }
  int y = e.kernel.add_buffer("y", DType::f32, {6, 16}, Role::output);
  map(e.kernel, "y", 6, 16, both, [](StageBuilder& s, int v) { return s.unary(Op::abs, v); }, y);
  uint64_t before = hash(e.kernel);
  inline_maps(e.kernel);
  EXPECT_EQ(hash(e.kernel), before);
}

TEST(InlineMaps, PaddedMapIsChosenBySelectAndItsLoadsAreGuarded) {
  Example e;
  int a = map(e.kernel, "sigma", 6, 8, e.x,
              [](StageBuilder& s, int v) { return s.add(s.unary(Op::exp, v), s.constant(1)); });
  int y = e.kernel.add_buffer("y", DType::f32, {6, 4}, Role::output);
  StageBuilder s(e.kernel, "y", {{"i", 6}, {"j", 4}});
  Index at = s.axis(1) * 2 - 1;
  s.finish(s.load(a, {s.axis(0), at}, {at}, -7), Reduction::none, y);
  e.kernel.buffers[static_cast<size_t>(e.y)].role = Role::temporary;
  inline_maps(e.kernel);
  EXPECT_EQ(print(e.kernel).substr(print(e.kernel).find("stage")),
            "stage y(i:6, j:4) = select(0:i32 <= index_i32(2*j-1), exp(x[i,2*j-1 where 2*j-1 >= 0 else 0]) + 1, -7)\n");
}

TEST(InlineMaps, PaddedMovementNeedsNoSelect) {
  Example e;
  int a = map(e.kernel, "moved", 6, 8, e.x, [](StageBuilder&, int v) { return v; });
  int y = e.kernel.add_buffer("y", DType::f32, {6, 9}, Role::output);
  StageBuilder s(e.kernel, "y", {{"i", 6}, {"j", 9}});
  Index at = s.axis(1) - 1;
  s.finish(s.load(a, {s.axis(0), at}, {at}, -7), Reduction::none, y);
  e.kernel.buffers[static_cast<size_t>(e.y)].role = Role::temporary;
  inline_maps(e.kernel);
  EXPECT_EQ(print(e.kernel).substr(print(e.kernel).find("stage")),
            "stage y(i:6, j:9) = x[i,j-1 where j-1 >= 0 else -7]\n");
}

TEST(InlineMaps, GuardedIntegerDivisionStays) {
  Kernel k{.name = "k"};
  int x = k.add_buffer("x", DType::i32, {8}, Role::input);
  int y = k.add_buffer("out", DType::i32, {9}, Role::output);
  StageBuilder s(k, "q", {{"i", 8}});
  int q = s.finish(s.div(s.constant(100, DType::i32), s.load(x, {s.axis(0)})));
  StageBuilder t(k, "y", {{"i", 9}});
  t.finish(t.load(q, {t.axis(0) - 1}, {t.axis(0) - 1}), Reduction::none, y);
  inline_maps(k);
  EXPECT_EQ(k.stages.size(), 2u);
}

// --- random kernels: inlining changes no bit of any output

class RandomKernel {
 public:
  Kernel build() {
    kernel_.name = "random";
    floats_.push_back(kernel_.add_buffer("x", DType::f32, {5, 7}, Role::input));
    floats_.push_back(kernel_.add_buffer("c", DType::f32, {7}, Role::constant));
    ids_ = kernel_.add_buffer("ids", DType::i32, {6}, Role::input);
    int stages = below(7) + 2;
    for (int i = 0; i < stages; i++) add_stage(i + 1 == stages || below(5) == 0);
    return std::move(kernel_);
  }

 private:
  static int below(int n) { return *rc::gen::resize(100, rc::gen::inRange(0, n)); }

  /// An index into a dim of `extent`, guarded where it may be outside.
  Index random_index(StageBuilder& s, int64_t extent, std::vector<Index>& guards) {
    if (below(12) == 0) {
      int axis = below(static_cast<int>(axes_.size()));
      int id = s.load(ids_, {s.axis(axis)}, {Index(5) - s.axis(axis)});
      return guarded(s.value_index(id), extent, guards);
    }
    int axis = below(static_cast<int>(axes_.size()));
    Index e = s.axis(axis);
    if (below(3) == 0) e = e * (1 + below(2)) + (below(5) - 2);
    if (below(6) == 0) {
      RangeOf ranges = [this](int i) { return Range{0, axes_[static_cast<size_t>(i)].extent - 1}; };
      e = below(2) ? mod(e, extent, ranges) : floordiv(e, 2, ranges);
    }
    Range r = e.range([this](int i) { return Range{0, axes_[static_cast<size_t>(i)].extent - 1}; });
    return r.lo >= 0 && r.hi < extent ? e : guarded(e, extent, guards);
  }

  static Index guarded(const Index& e, int64_t extent, std::vector<Index>& guards) {
    guards.push_back(e);
    guards.push_back(Index(extent - 1) - e);
    return e;
  }

  int random_value(StageBuilder& s, int depth) {
    int kind = below(depth == 0 ? 2 : 8);
    if (kind <= 1) {
      int b = floats_[static_cast<size_t>(below(static_cast<int>(floats_.size())))];
      std::vector<Index> indices, guards;
      for (int64_t extent : std::vector<int64_t>(kernel_.buffers[static_cast<size_t>(b)].shape))
        indices.push_back(random_index(s, extent, guards));
      return s.load(b, indices, guards, below(3) - 1);
    }
    int a = random_value(s, depth - 1);
    switch (kind) {
      case 2: return s.unary(Op::neg, a);
      case 3: return s.unary(Op::tanh, a);
      case 4: return s.add(a, s.cast(s.index(s.axis(0) * 2 - 1, DType::i32), DType::f32));
      case 5: return s.mul(a, s.constant(0.75));
      case 6: return s.max(a, random_value(s, depth - 1));
      default: return s.sub(a, random_value(s, depth - 1));
    }
  }

  void add_stage(bool output) {
    static const std::vector<int64_t> kExtents = {3, 5, 7, 12};
    std::vector<Axis> spatial, reduction;
    std::vector<int64_t> shape;
    for (int i = below(2) + 1; i > 0; i--) {
      shape.push_back(kExtents[static_cast<size_t>(below(4))]);
      spatial.push_back({fmt::format("a{}", i), shape.back()});
    }
    if (below(3) == 0) reduction.push_back({"r", kExtents[static_cast<size_t>(below(4))]});
    axes_ = spatial;
    axes_.insert(axes_.end(), reduction.begin(), reduction.end());
    StageBuilder s(kernel_, "s", spatial, reduction);
    int value = random_value(s, below(4));
    int out = output ? kernel_.add_buffer("o", DType::f32, shape, Role::output) : -1;
    floats_.push_back(s.finish(value,
                               reduction.empty() ? Reduction::none
                               : below(2)        ? Reduction::sum
                                                 : Reduction::max,
                               out));
  }

  Kernel kernel_;
  std::vector<Axis> axes_;
  std::vector<int> floats_;
  int ids_ = -1;
};

RC_GTEST_PROP(InlineMaps, ChangesNoBit, ()) {
  Kernel kernel = RandomKernel().build();
  verify(kernel);
  std::vector<Tensor> tensors(kernel.buffers.size());
  for (size_t b = 0; b < tensors.size(); b++) {
    const Buffer& buffer = kernel.buffers[b];
    if (buffer.role != Role::input && buffer.role != Role::constant) continue;
    tensors[b] = Tensor(buffer.dtype, buffer.shape);
    for (int64_t i = 0; i < tensors[b].size(); i++) {
      int v = *rc::gen::resize(100, rc::gen::inRange(0, 1000));
      tensors[b].set_double(i, buffer.dtype == DType::f32 ? v / 250.0 - 2 : v % 14 - 1);
    }
  }
  Kernel inlined = kernel;
  inline_maps(inlined, *rc::gen::element(0, 4, 100));
  RC_LOG() << print(kernel) << "became\n" << print(inlined);
  verify(inlined);
  auto expected = interpret(kernel, tensors), got = interpret(inlined, tensors);
  RC_ASSERT(expected.size() == got.size());
  for (size_t o = 0; o < expected.size(); o++) {
    for (int64_t i = 0; i < expected[o].size(); i++) {
      float e = expected[o].data<float>()[i], g = got[o].data<float>()[i];
      RC_ASSERT(e == g || (std::isnan(e) && std::isnan(g)));
    }
  }
  std::vector<int> renumbered = compact_buffers(inlined);
  verify(inlined);
}

}  // namespace
}  // namespace rooftune::kernel
