#include "kernel/interpreter.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"

namespace rooftune::kernel {
namespace {

using ir::Tensor;

Tensor random_tensor(std::vector<int64_t> shape, uint32_t seed) {
  Tensor t(DType::f32, std::move(shape));
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> value(-1, 1);
  for (int64_t i = 0; i < t.size(); i++) t.data<float>()[i] = value(random);
  return t;
}

/// A kernel of one stage that maps one value per input to y.
template <typename F>
Tensor map_values(DType out, const std::vector<Tensor>& inputs, F&& expression) {
  Kernel k{.name = "map"};
  std::vector<Tensor> tensors = inputs;
  int64_t n = inputs[0].size();
  for (const Tensor& t : inputs) k.add_buffer("x", t.dtype(), {n}, Role::input);
  int y = k.add_buffer("y", out, {n}, Role::output);
  tensors.emplace_back();
  StageBuilder s(k, "y", {{"i", n}});
  std::vector<int> loads;
  for (size_t i = 0; i < inputs.size(); i++) loads.push_back(s.load(static_cast<int>(i), {s.axis(0)}));
  s.finish(expression(s, loads), Reduction::none, y);
  verify(k);
  return interpret(k, tensors)[0];
}

TEST(Interpreter, MatMulWithEpilogueAgainstLoops) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{3, 300, 7}, {2, 3, 700}, {1, 1, 1}, {300, 2, 3}}) {
    Kernel kernel{.name = "gemm"};
    int x = kernel.add_buffer("x", DType::f32, {m, k}, Role::input);
    int w = kernel.add_buffer("w", DType::f32, {k, n}, Role::constant);
    int y = kernel.add_buffer("y", DType::f32, {m, n}, Role::output);
    StageBuilder s(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
    int acc = s.finish(s.mul(s.load(x, {s.axis(0), s.axis(2)}), s.load(w, {s.axis(2), s.axis(1)})), Reduction::sum);
    StageBuilder t(kernel, "y", {{"m", m}, {"n", n}});
    t.finish(t.max(t.load(acc, {t.axis(0), t.axis(1)}), t.constant(0)), Reduction::none, y);
    verify(kernel);
    Tensor tx = random_tensor({m, k}, 1), tw = random_tensor({k, n}, 2);
    Tensor out = interpret(kernel, {tx, tw, {}, {}})[0];
    for (int64_t i = 0; i < m; i++) {
      for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++) sum += double{tx.data<float>()[i * k + l]} * tw.data<float>()[l * n + j];
        ASSERT_NEAR(out.data<float>()[i * n + j], std::max(sum, 0.0), 1e-5) << m << " " << n << " " << k;
      }
    }
  }
}

/// A padded, strided convolution: guarded loads in every position.
TEST(Interpreter, PaddedConvolutionAgainstLoops) {
  const int64_t c = 3, h = 9, w = 11, o = 4, stride = 2, oh = 5, ow = 6;
  Kernel kernel{.name = "conv"};
  int x = kernel.add_buffer("x", DType::f32, {c, h, w}, Role::input);
  int f = kernel.add_buffer("f", DType::f32, {o, c, 3, 3}, Role::constant);
  int y = kernel.add_buffer("y", DType::f32, {o, oh, ow}, Role::output);
  StageBuilder s(kernel, "y", {{"o", o}, {"y", oh}, {"x", ow}}, {{"c", c}, {"fy", 3}, {"fx", 3}});
  Index iy = s.axis(1) * stride + s.axis(4) - 1, ix = s.axis(2) * stride + s.axis(5) - 1;
  int v = s.load(x, {s.axis(3), iy, ix}, {iy, Index(h - 1) - iy, ix, Index(w - 1) - ix});
  s.finish(s.mul(v, s.load(f, {s.axis(0), s.axis(3), s.axis(4), s.axis(5)})), Reduction::sum, y);
  verify(kernel);
  Tensor tx = random_tensor({c, h, w}, 3), tf = random_tensor({o, c, 3, 3}, 4);
  Tensor out = interpret(kernel, {tx, tf, {}})[0];
  for (int64_t i = 0; i < out.size(); i++) {
    int64_t xo = i % ow, yo = i / ow % oh, oo = i / ow / oh;
    double sum = 0;
    for (int64_t cc = 0; cc < c; cc++)
      for (int64_t fy = 0; fy < 3; fy++)
        for (int64_t fx = 0; fx < 3; fx++) {
          int64_t yy = yo * stride + fy - 1, xx = xo * stride + fx - 1;
          if (yy < 0 || yy >= h || xx < 0 || xx >= w) continue;
          sum += double{tx.data<float>()[(cc * h + yy) * w + xx]} * tf.data<float>()[((oo * c + cc) * 3 + fy) * 3 + fx];
        }
    ASSERT_NEAR(out.data<float>()[i], sum, 1e-5);
  }
}

TEST(Interpreter, SoftmaxWithCausalMask) {
  const int64_t n = 40;
  Kernel kernel{.name = "softmax"};
  int x = kernel.add_buffer("x", DType::f32, {n, n}, Role::input);
  int y = kernel.add_buffer("y", DType::f32, {n, n}, Role::output);
  std::vector<Axis> rows = {{"r", n}}, both = {{"r", n}, {"c", n}};
  StageBuilder a(kernel, "hi", rows, {{"c", n}});
  a.where(a.axis(0) - a.axis(1));
  int hi = a.finish(a.load(x, {a.axis(0), a.axis(1)}), Reduction::max);
  StageBuilder b(kernel, "e", both);
  b.where(b.axis(0) - b.axis(1));
  int e = b.finish(b.unary(Op::exp, b.sub(b.load(x, {b.axis(0), b.axis(1)}), b.load(hi, {b.axis(0)}))));
  StageBuilder c(kernel, "z", rows, {{"c", n}});
  c.where(c.axis(0) - c.axis(1));
  int z = c.finish(c.load(e, {c.axis(0), c.axis(1)}), Reduction::sum);
  StageBuilder d(kernel, "y", both);
  int ratio = d.div(d.load(e, {d.axis(0), d.axis(1)}, {d.axis(0) - d.axis(1)}), d.load(z, {d.axis(0)}));
  d.finish(ratio, Reduction::none, y);
  verify(kernel);
  Tensor tx = random_tensor({n, n}, 5);
  Tensor out = interpret(kernel, {tx, {}, {}, {}, {}})[0];
  for (int64_t r = 0; r < n; r++) {
    double sum = 0;
    for (int64_t j = 0; j <= r; j++) sum += std::exp(double{tx.data<float>()[r * n + j]});
    for (int64_t j = 0; j < n; j++) {
      double expected = j <= r ? std::exp(double{tx.data<float>()[r * n + j]}) / sum : 0;
      ASSERT_NEAR(out.data<float>()[r * n + j], expected, 1e-6);
    }
  }
}

TEST(Interpreter, GatherByNodeValue) {
  Kernel kernel{.name = "gather"};
  int ids = kernel.add_buffer("ids", DType::i32, {5}, Role::input);
  int table = kernel.add_buffer("table", DType::f32, {10, 3}, Role::constant);
  int y = kernel.add_buffer("y", DType::f32, {5, 3}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 5}, {"j", 3}});
  int id = s.load(ids, {s.axis(0)});
  int below = s.node(Op::lt, DType::boolean, id, s.constant(0, DType::i32));
  int wrapped = s.select(below, s.add(id, s.constant(10, DType::i32)), id);
  s.finish(s.load(table, {s.value_index(wrapped), s.axis(1)}), Reduction::none, y);
  verify(kernel);
  Tensor tt = random_tensor({10, 3}, 6);
  std::vector<int32_t> id_values = {3, -1, 0, 9, -10};
  Tensor out = interpret(kernel, {Tensor::of<int32_t>(DType::i32, {5}, id_values), tt, {}})[0];
  for (int64_t i = 0; i < 5; i++) {
    int64_t row = id_values[static_cast<size_t>(i)] < 0 ? id_values[static_cast<size_t>(i)] + 10
                                                        : id_values[static_cast<size_t>(i)];
    for (int64_t j = 0; j < 3; j++) EXPECT_EQ(out.data<float>()[i * 3 + j], tt.data<float>()[row * 3 + j]);
  }
  // An id outside of the table is found, not read.
  EXPECT_THROW(interpret(kernel, {Tensor::of<int32_t>(DType::i32, {5}, {3, 1, 0, 10, 2}), tt, {}}), InternalError);
}

TEST(Interpreter, DivModIndicesAndScatteredOutput) {
  Kernel kernel{.name = "transpose"};
  int x = kernel.add_buffer("x", DType::f32, {6, 35}, Role::input);
  int y = kernel.add_buffer("y", DType::f32, {7, 30}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 210}});
  RangeOf ranges = [](int) { return Range{0, 209}; };
  int v = s.load(x, {floordiv(s.axis(0), 35, ranges), mod(s.axis(0), 35, ranges)});
  s.finish(v, Reduction::none, y, {mod(s.axis(0), 7, ranges), floordiv(s.axis(0), 7, ranges)});
  verify(kernel);
  Tensor tx = random_tensor({6, 35}, 7);
  Tensor out = interpret(kernel, {tx, {}})[0];
  for (int64_t i = 0; i < 210; i++) EXPECT_EQ(out.data<float>()[i % 7 * 30 + i / 7], tx.data<float>()[i]);
}

template <typename T>
void check_scatter(DType type, Reduction combine, int64_t batch, int64_t rows, int64_t width, uint32_t seed) {
  constexpr int64_t kNodes = 4;
  std::mt19937 random(seed);
  Kernel k{.name = "k"};
  const int target = k.add_buffer("target", DType::i32, {batch, rows}, Role::input);
  const int x = k.add_buffer("x", type, {batch, rows, width}, Role::input);
  const int start = k.add_buffer("start", type, {batch, kNodes, width}, Role::input);
  const int y = k.add_buffer("y", type, {batch, kNodes, width}, Role::output);
  StageBuilder begin(k, "begin", {{"b", batch}, {"n", kNodes}, {"f", width}});
  begin.finish(begin.load(start, {begin.axis(0), begin.axis(1), begin.axis(2)}), Reduction::none, y);
  StageBuilder s(k, "meet", {{"b", batch}, {"f", width}}, {{"r", rows}});
  const Index to = s.value_index(s.load(target, {s.axis(0), s.axis(2)}));
  s.finish_scatter(s.load(x, {s.axis(0), s.axis(2), s.axis(1)}), combine, y, {s.axis(0), to, s.axis(1)});
  verify(k);
  std::vector<Tensor> tensors(4);
  for (int b = 0; b < 3; b++) {
    tensors[static_cast<size_t>(b)] =
        Tensor(k.buffers[static_cast<size_t>(b)].dtype, k.buffers[static_cast<size_t>(b)].shape);
    Tensor& t = tensors[static_cast<size_t>(b)];
    for (int64_t i = 0; i < t.size(); i++)
      t.set_double(
          i, b == 0 ? static_cast<double>(random() % 7) - 2 : std::round(static_cast<double>(random() % 200)) - 100);
  }
  if (type == DType::f32) tensors[1].data<float>()[0] = NAN;
  std::vector<T> wanted(tensors[2].data<T>(), tensors[2].data<T>() + tensors[2].size());
  for (int64_t b = 0; b < batch; b++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t f = 0; f < width; f++) {
        const int64_t n = tensors[0].data<int32_t>()[b * rows + r];
        if (n < 0 || n >= kNodes) continue;
        T& to_here = wanted[static_cast<size_t>((b * kNodes + n) * width + f)];
        const T v = tensors[1].data<T>()[(b * rows + r) * width + f];
        switch (combine) {
          case Reduction::none: to_here = v; break;
          case Reduction::sum: to_here = static_cast<T>(to_here + v); break;
          case Reduction::product: to_here = static_cast<T>(to_here * v); break;
          case Reduction::max: to_here = std::max(to_here, v); break;
          case Reduction::min: to_here = std::min(to_here, v); break;
        }
      }
  const Tensor got = interpret(k, tensors)[0];
  for (size_t i = 0; i < wanted.size(); i++) {
    const T value = got.data<T>()[i];
    ASSERT_TRUE(value == wanted[i] || (value != value && wanted[i] != wanted[i])) << i << "\n" << print(k);
  }
}

TEST(Interpreter, ScatterAgainstLoops) {
  for (const auto combine : {Reduction::none, Reduction::sum, Reduction::product, Reduction::max, Reduction::min})
    for (const auto [batch, rows, width] : {std::array<int64_t, 3>{1, 9, 5}, {3, 300, 2}, {2, 7, 300}, {4, 1, 1}}) {
      check_scatter<float>(DType::f32, combine, batch, rows, width, 1);
      check_scatter<int8_t>(DType::i8, combine, batch, rows, width, 2);
      check_scatter<uint8_t>(DType::u8, combine, batch, rows, width, 3);
      check_scatter<int64_t>(DType::i64, combine, batch,
                             combine == Reduction::product ? std::min<int64_t>(rows, 9) : rows, width, 4);
    }
}

TEST(Interpreter, ReductionsOfEveryKind) {
  Kernel kernel{.name = "reduce"};
  int x = kernel.add_buffer("x", DType::f32, {4, 9}, Role::input);
  int xi = kernel.add_buffer("xi", DType::i32, {4, 9}, Role::input);
  for (Reduction r : {Reduction::sum, Reduction::max, Reduction::min, Reduction::product}) {
    for (int b : {x, xi}) {
      int y = kernel.add_buffer("y", kernel.buffers[static_cast<size_t>(b)].dtype, {4}, Role::output);
      StageBuilder s(kernel, "y", {{"i", 4}}, {{"j", 9}});
      s.finish(s.load(b, {s.axis(0), s.axis(1)}), r, y);
    }
  }
  verify(kernel);
  Tensor tx = random_tensor({4, 9}, 8), ti(DType::i32, {4, 9});
  for (int64_t i = 0; i < 36; i++) ti.data<int32_t>()[i] = static_cast<int32_t>(tx.data<float>()[i] * 9) | 1;
  std::vector<Tensor> tensors(kernel.buffers.size());
  tensors[0] = tx, tensors[1] = ti;
  auto out = interpret(kernel, tensors);
  for (int64_t i = 0; i < 4; i++) {
    double sum = 0, hi = -9, lo = 9, product = 1;
    int64_t isum = 0, ihi = -99, ilo = 99, iproduct = 1;
    for (int64_t j = i * 9; j < i * 9 + 9; j++) {
      double v = tx.data<float>()[j];
      int64_t w = ti.data<int32_t>()[j];
      sum += v, hi = std::max(hi, v), lo = std::min(lo, v), product *= v;
      isum += w, ihi = std::max(ihi, w), ilo = std::min(ilo, w), iproduct *= w;
    }
    EXPECT_NEAR(out[0].data<float>()[i], sum, 1e-6);
    EXPECT_EQ(out[1].data<int32_t>()[i], isum);
    EXPECT_EQ(out[2].data<float>()[i], static_cast<float>(hi));
    EXPECT_EQ(out[3].data<int32_t>()[i], ihi);
    EXPECT_EQ(out[4].data<float>()[i], static_cast<float>(lo));
    EXPECT_EQ(out[5].data<int32_t>()[i], ilo);
    EXPECT_NEAR(out[6].data<float>()[i], product, 1e-6);
    EXPECT_EQ(out[7].data<int32_t>()[i], static_cast<int32_t>(iproduct));
  }
}

TEST(Interpreter, EmptyReductionsAndEmptyTensors) {
  Kernel kernel{.name = "empty"};
  int x = kernel.add_buffer("x", DType::f32, {3, 0}, Role::input);
  int y = kernel.add_buffer("y", DType::f32, {3}, Role::output);
  int z = kernel.add_buffer("z", DType::f32, {3, 0}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 3}}, {{"j", 0}});
  s.finish(s.load(x, {s.axis(0), s.axis(1)}), Reduction::sum, y);
  StageBuilder t(kernel, "z", {{"i", 3}, {"j", 0}});
  t.finish(t.load(x, {t.axis(0), t.axis(1)}), Reduction::none, z);
  verify(kernel);
  auto out = interpret(kernel, {Tensor(DType::f32, {3, 0}), {}, {}});
  EXPECT_EQ(out[0].data<float>()[2], 0);
  EXPECT_EQ(out[1].size(), 0);
}

TEST(Interpreter, ScalarStage) {
  Kernel kernel{.name = "scalar"};
  int x = kernel.add_buffer("x", DType::f64, {}, Role::input);
  int y = kernel.add_buffer("y", DType::f64, {}, Role::output);
  StageBuilder s(kernel, "y", {});
  s.finish(s.unary(Op::sqrt, s.load(x, {})), Reduction::none, y);
  verify(kernel);
  EXPECT_EQ(interpret(kernel, {Tensor::of<double>(DType::f64, {}, {2.0}), {}})[0].data<double>()[0], std::sqrt(2.0));
}

TEST(Interpreter, UnwrittenFloatsAreNaNAndSkippedPointsAreNotStored) {
  Kernel kernel{.name = "skip"};
  int x = kernel.add_buffer("x", DType::f32, {10, 4}, Role::input);
  int y = kernel.add_buffer("y", DType::f32, {10}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 10}}, {{"j", 4}});
  s.where(s.axis(0) - 6);
  s.finish(s.load(x, {s.axis(0), s.axis(1)}), Reduction::sum, y);
  Tensor out = interpret(kernel, {random_tensor({10, 4}, 9), {}})[0];
  EXPECT_TRUE(std::isnan(out.data<float>()[5]));
  EXPECT_FALSE(std::isnan(out.data<float>()[6]));
}

TEST(Interpreter, IntegersWrapAndDivideAsSpecified) {
  Tensor a = Tensor::of<int32_t>(DType::i32, {6}, {7, -7, 7, -7, INT32_MAX, 5});
  Tensor b = Tensor::of<int32_t>(DType::i32, {6}, {2, 2, -2, -2, 1, 0});
  auto op = [&](Op o) {
    return map_values(DType::i32, {a, b},
                      [&](StageBuilder& s, std::vector<int> v) { return s.node(o, DType::i32, v[0], v[1]); });
  };
  auto values = [](const Tensor& t) { return std::vector<int32_t>(t.data<int32_t>(), t.data<int32_t>() + t.size()); };
  EXPECT_EQ(values(op(Op::div)), (std::vector<int32_t>{3, -3, -3, 3, INT32_MAX, 0}));
  EXPECT_EQ(values(op(Op::mod)), (std::vector<int32_t>{1, 1, -1, -1, 0, 0}));
  EXPECT_EQ(values(op(Op::add))[4], INT32_MIN);
  EXPECT_EQ(values(op(Op::shift_left)), (std::vector<int32_t>{28, -28, 0, 0, -2, 5}));
  EXPECT_EQ(values(op(Op::shift_right)), (std::vector<int32_t>{1, -2, 0, 0, INT32_MAX / 2, 5}));
  EXPECT_EQ(values(op(Op::min)), (std::vector<int32_t>{2, -7, -2, -7, 1, 0}));
}

TEST(Interpreter, CastsAndRounding) {
  Tensor x = Tensor::of<float>(DType::f32, {7}, {2.5f, 3.5f, -2.5f, -1.7f, 300.25f, 0.1f, NAN});
  auto values = [](const Tensor& t) {
    std::vector<double> v;
    for (int64_t i = 0; i < t.size(); i++) v.push_back(t.as_double(i));
    return v;
  };
  auto unary = [&](Op o) {
    return map_values(DType::f32, {x}, [&](StageBuilder& s, std::vector<int> v) { return s.unary(o, v[0]); });
  };
  auto cast = [&](DType type) {
    return map_values(type, {x}, [&](StageBuilder& s, std::vector<int> v) { return s.cast(v[0], type); });
  };
  auto rounded = values(unary(Op::round));
  rounded.pop_back();
  EXPECT_EQ(rounded, (std::vector<double>{2, 4, -2, -2, 300, 0}));
  auto truncated = values(cast(DType::i64));
  truncated.pop_back();
  EXPECT_EQ(truncated, (std::vector<double>{2, 3, -2, -1, 300, 0}));
  EXPECT_EQ(values(cast(DType::u8))[4], 44);
  EXPECT_EQ(values(cast(DType::boolean))[5], 1);
  EXPECT_EQ(values(cast(DType::bf16))[5], 0.10009765625);
  EXPECT_EQ(values(cast(DType::f16))[5], 0.0999755859375);
  EXPECT_TRUE(std::isnan(values(cast(DType::f64))[6]));
}

TEST(Interpreter, HalfTypesRoundAfterEveryOperation) {
  Tensor a(DType::bf16, {1}), b(DType::bf16, {1});
  a.set_double(0, 256), b.set_double(0, 1);
  Tensor y = map_values(DType::bf16, {a, b},
                        [](StageBuilder& s, std::vector<int> v) { return s.sub(s.add(v[0], v[1]), v[0]); });
  EXPECT_EQ(y.as_double(0), 0);  // 257 is not a bf16
}

TEST(Interpreter, MinAndMaxGiveTheSecondForNaN) {
  Tensor a = Tensor::of<float>(DType::f32, {3}, {NAN, 1, 2}), b = Tensor::of<float>(DType::f32, {3}, {5, NAN, 3});
  for (Op o : {Op::min, Op::max}) {
    Tensor y = map_values(DType::f32, {a, b},
                          [&](StageBuilder& s, std::vector<int> v) { return s.node(o, DType::f32, v[0], v[1]); });
    EXPECT_EQ(y.data<float>()[0], 5);
    EXPECT_TRUE(std::isnan(y.data<float>()[1]));
  }
}

TEST(Interpreter, FmaRoundsOnce) {
  float x = 1 + 0x1p-12f;
  Tensor a = Tensor::of<float>(DType::f32, {1}, {x}), c = Tensor::of<float>(DType::f32, {1}, {-(1 + 0x1p-11f)});
  Tensor y = map_values(DType::f32, {a, c}, [](StageBuilder& s, std::vector<int> v) {
    return s.node(Op::fma, DType::f32, v[0], v[0], v[1]);
  });
  EXPECT_EQ(y.data<float>()[0], 0x1p-24f);
}

TEST(Interpreter, SelectCompareAndBits) {
  Tensor x = random_tensor({500}, 10);
  Tensor y = map_values(DType::f32, {x}, [](StageBuilder& s, std::vector<int> v) {
    int zero = s.constant(0);
    int inside = s.node(Op::logical_and, DType::boolean, s.node(Op::lt, DType::boolean, zero, v[0]),
                        s.node(Op::le, DType::boolean, v[0], s.constant(0.5)));
    int bits =
        s.node(Op::bit_and, DType::i32, s.node(Op::bitcast, DType::i32, v[0]), s.constant(0x7fffffff, DType::i32));
    return s.select(inside, v[0], s.node(Op::bitcast, DType::f32, bits));
  });
  for (int64_t i = 0; i < 500; i++) EXPECT_EQ(y.data<float>()[i], std::fabs(x.data<float>()[i]));
}

TEST(Interpreter, WideUnsignedIntegersCompareAndDivideUnsigned) {
  const uint64_t big = 0xfffffffffffffff0;
  Tensor a = Tensor::of<uint64_t>(DType::u64, {3}, {big, 7, big}),
         b = Tensor::of<uint64_t>(DType::u64, {3}, {3, big, big - 1});
  auto op = [&](Op o) {
    Tensor y = map_values(DType::u64, {a, b},
                          [&](StageBuilder& s, std::vector<int> v) { return s.node(o, DType::u64, v[0], v[1]); });
    return std::vector<uint64_t>(y.data<uint64_t>(), y.data<uint64_t>() + 3);
  };
  EXPECT_EQ(op(Op::div), (std::vector<uint64_t>{big / 3, 0, 1}));
  EXPECT_EQ(op(Op::mod), (std::vector<uint64_t>{big % 3, 7, 1}));
  EXPECT_EQ(op(Op::max), (std::vector<uint64_t>{big, big, big}));
  EXPECT_EQ(op(Op::min), (std::vector<uint64_t>{3, 7, big - 1}));
  Tensor y = map_values(DType::f64, {a}, [](StageBuilder& s, std::vector<int> v) { return s.cast(v[0], DType::f64); });
  EXPECT_EQ(y.data<double>()[0], static_cast<double>(big));
  Kernel k{.name = "reduce"};
  int x = k.add_buffer("x", DType::u64, {3}, Role::input);
  int hi = k.add_buffer("hi", DType::u64, {}, Role::output), lo = k.add_buffer("lo", DType::u64, {}, Role::output);
  for (int out : {hi, lo}) {
    StageBuilder s(k, "r", {}, {{"i", 3}});
    s.finish(s.load(x, {s.axis(0)}), out == hi ? Reduction::max : Reduction::min, out);
  }
  auto r = interpret(k, {a, {}, {}});
  EXPECT_EQ(r[0].data<uint64_t>()[0], big);
  EXPECT_EQ(r[1].data<uint64_t>()[0], 7u);
}

TEST(Interpreter, SmallTypesAreReadWrittenAndWrapped) {
  for (DType type : {DType::i4, DType::u4, DType::f8e4m3fn, DType::f8e5m2, DType::f16, DType::i8, DType::u8, DType::i16,
                     DType::u16}) {
    Tensor x(type, {6});
    for (int64_t i = 0; i < 6; i++)
      x.set_double(i, static_cast<double>(i) - (ir::is_signed(type) || ir::is_float(type) ? 3 : 0));
    auto twice = [](StageBuilder& s, std::vector<int> v) { return s.add(v[0], v[0]); };
    Tensor y = map_values(type, {x}, twice);
    for (int64_t i = 0; i < 6; i++) EXPECT_EQ(y.as_double(i), 2 * x.as_double(i)) << ir::name(type);
  }
  Tensor x(DType::i4, {2});
  x.set_double(0, 7), x.set_double(1, -8);
  Tensor y = map_values(DType::i4, {x}, [](StageBuilder& s, std::vector<int> v) { return s.add(v[0], v[0]); });
  EXPECT_EQ(y.as_int(0), -2);
  EXPECT_EQ(y.as_int(1), 0);
}

TEST(Interpreter, IntegerPowersAndRoundings) {
  Tensor a = Tensor::of<int64_t>(DType::i64, {5}, {3, -2, -1, 1, 5}),
         b = Tensor::of<int64_t>(DType::i64, {5}, {4, 3, -3, -7, -1});
  Tensor y = map_values(DType::i64, {a, b},
                        [](StageBuilder& s, std::vector<int> v) { return s.node(Op::pow, DType::i64, v[0], v[1]); });
  EXPECT_EQ(y.as_ints(), (std::vector<int64_t>{81, -8, -1, 1, 0}));
  y = map_values(DType::i64, {a}, [](StageBuilder& s, std::vector<int> v) {
    return s.unary(Op::abs, s.unary(Op::floor, s.unary(Op::neg, v[0])));
  });
  EXPECT_EQ(y.as_ints(), (std::vector<int64_t>{3, 2, 1, 1, 5}));
  Tensor f = Tensor::of<float>(DType::f32, {2}, {-1.5f, 2.25f});
  for (Op o : {Op::floor, Op::ceil}) {
    Tensor z = map_values(DType::f32, {f}, [&](StageBuilder& s, std::vector<int> v) { return s.unary(o, v[0]); });
    EXPECT_EQ(z.data<float>()[0], o == Op::floor ? -2.0f : -1.0f);
    EXPECT_EQ(z.data<float>()[1], o == Op::floor ? 2.0f : 3.0f);
  }
}

TEST(Interpreter, RejectsTensorsOfAnotherType) {
  Kernel k{.name = "k"};
  int x = k.add_buffer("x", DType::f32, {3}, Role::input);
  int y = k.add_buffer("y", DType::f32, {3}, Role::output);
  StageBuilder s(k, "y", {{"i", 3}});
  s.finish(s.load(x, {s.axis(0)}), Reduction::none, y);
  EXPECT_THROW(interpret(k, {Tensor(DType::f32, {4}), {}}), InternalError);
  EXPECT_THROW(interpret(k, {Tensor(DType::f32, {3})}), InternalError);
}

}  // namespace
}  // namespace rooftune::kernel
