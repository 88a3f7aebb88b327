#include "ir/dim.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "ir/type.h"

namespace rooftune::ir {
namespace {

const Dim N = Dim::symbol("N", 1, 64), H = Dim::symbol("H", 1, 4096), W = Dim::symbol("W", 1, 4096);

/// An expression tree kept beside the Dim, evaluated on its own: the independent expectation.
struct Sample {
  Dim dim;
  std::function<int64_t(const std::map<std::string, int64_t>&)> evaluate;
};

int64_t floor_division(int64_t a, int64_t b) {
  return static_cast<int64_t>(std::floor(static_cast<long double>(a) / static_cast<long double>(b)));
}

Sample random_sample(int depth) {
  const int choice = *rc::gen::inRange(0, depth == 0 ? 2 : 9);
  if (choice == 0) {
    const int64_t c = *rc::gen::inRange<int64_t>(-8, 9);
    return {Dim(c), [c](const auto&) { return c; }};
  }
  if (choice == 1) {
    const std::string name = *rc::gen::element<std::string>("N", "H", "W");
    return {name == "N" ? N : name == "H" ? H : W, [name](const auto& v) { return v.at(name); }};
  }
  const Sample a = random_sample(depth - 1);
  const auto fa = a.evaluate;
  if (choice == 2 || choice == 3) {  // division wants a positive divisor
    const int64_t c = *rc::gen::inRange<int64_t>(1, 7);
    if (choice == 2) return {floordiv(a.dim, c), [=](const auto& v) { return floor_division(fa(v), c); }};
    return {mod(a.dim, c), [=](const auto& v) { return fa(v) - c * floor_division(fa(v), c); }};
  }
  const Sample b = random_sample(depth - 1);
  const auto fb = b.evaluate;
  switch (choice) {
    case 4: return {a.dim + b.dim, [=](const auto& v) { return fa(v) + fb(v); }};
    case 5: return {a.dim - b.dim, [=](const auto& v) { return fa(v) - fb(v); }};
    case 6: return {a.dim * b.dim, [=](const auto& v) { return fa(v) * fb(v); }};
    case 7: return {max(a.dim, b.dim), [=](const auto& v) { return std::max(fa(v), fb(v)); }};
    default: return {min(a.dim, b.dim), [=](const auto& v) { return std::min(fa(v), fb(v)); }};
  }
}

RC_GTEST_PROP(Dim, SimplifiedExpressionsKeepTheirValue, ()) {
  const Sample s = random_sample(3);
  for (int i = 0; i < 4; ++i) {
    const std::map<std::string, int64_t> at = {{"N", *rc::gen::inRange<int64_t>(1, 65)},
                                               {"H", *rc::gen::inRange<int64_t>(1, 50)},
                                               {"W", *rc::gen::inRange<int64_t>(1, 50)}};
    const std::map<std::string, Dim> values(at.begin(), at.end());
    const int64_t expected = s.evaluate(at);
    RC_ASSERT(s.dim.substitute(values).value() == expected);
    RC_ASSERT(s.dim.min() <= expected);
    RC_ASSERT(s.dim.max() >= expected);
  }
}

RC_GTEST_PROP(Dim, TextParsesBack, ()) {
  const Dim d = random_sample(3).dim;
  const Dim again = Dim::parse(d.to_string());
  RC_ASSERT(again == d);
  RC_ASSERT(again.to_string() == d.to_string());
  RC_ASSERT(again.hash() == d.hash());
}

RC_GTEST_PROP(Dim, TheOrderOfAdditionDoesNotMatter, ()) {
  const Dim a = random_sample(2).dim, b = random_sample(2).dim, c = random_sample(2).dim;
  RC_ASSERT((a + b) + c == c + (b + a));
  RC_ASSERT(a * (b + c) == c * a + a * b);
  RC_ASSERT((a * b) * c == b * (c * a));
  RC_ASSERT(a - a == Dim(0));
}

TEST(Dim, FoldsAndPrints) {
  EXPECT_EQ((N + 1 + N).to_string(), "2*N{1..64} + 1");
  const Dim s = Dim::symbol("seq");
  EXPECT_EQ((Dim(4) * s - 3).to_string(), "4*seq - 3");
  EXPECT_EQ((Dim(0) - s).to_string(), "-seq");
  EXPECT_EQ(floordiv(s + 1, 2).to_string(), "floordiv(seq + 1, 2)");
  EXPECT_EQ(Dim::symbol("past len").to_string(), "\"past len\"");
  EXPECT_EQ(Dim::parse("2 * (seq+1) -2"), s * 2);
  EXPECT_TRUE((s - s).is_static());
}

TEST(Dim, DividesExactly) {
  const Dim s = Dim::symbol("s"), t = Dim::symbol("t");
  EXPECT_EQ(floordiv(s * 12, 3), s * 4);
  EXPECT_EQ(floordiv(s * t * 6, t * 2), s * 3);  // what Reshape computes for -1
  EXPECT_EQ(floordiv(s * (t + 1), t + 1), s);
  EXPECT_EQ(floordiv(s * 4 + 6, 4), s + 1);  // whole multiples come out
  EXPECT_EQ(floordiv(floordiv(s + 1, 2) + 1, 2), floordiv(s + 3, 4));
  EXPECT_EQ(mod(s * 8 + 3, 4), Dim(3));
  EXPECT_EQ(ceildiv(s * 8, 4), s * 2);
  EXPECT_EQ(ceildiv(Dim(7), Dim(2)).value(), 4);
  EXPECT_EQ(floordiv(Dim(-7), Dim(2)).value(), -4);
  EXPECT_EQ(mod(Dim(-7), Dim(2)).value(), 1);
}

TEST(Dim, ExtremesUseBounds) {
  EXPECT_EQ(max(N, Dim(1)), N);
  EXPECT_EQ(min(N, Dim(64)), N);
  EXPECT_EQ(max(H, H + 2), H + 2);
  EXPECT_EQ(min(N, Dim(0)), Dim(0));
  EXPECT_EQ(max(N, H), max(H, N));
}

TEST(Dim, BoundsSaturate) {
  const Dim s = Dim::symbol("s");
  EXPECT_EQ(s.min(), 0);
  EXPECT_EQ((s * s * 4 + 1).max(), Dim::kUnbounded);
  EXPECT_EQ((s * s * 4 + 1).min(), 1);
  EXPECT_EQ((Dim(0) - s).max(), 0);
  EXPECT_EQ((N * 2 + 1).max(), 129);
  EXPECT_EQ(floordiv(N, 4).max(), 16);
  EXPECT_EQ(mod(s, 4).max(), 3);
}

TEST(Dim, ASymbolIsKnownByItsName) {
  EXPECT_EQ(Dim::symbol("N"), N);
  EXPECT_EQ(Dim::symbol("N").hash(), N.hash());
  EXPECT_EQ(N - Dim::symbol("N"), Dim(0));
  EXPECT_EQ((N * H).symbols(), (std::vector<std::string>{"H", "N"}));
  EXPECT_EQ(Dim::symbol("one", 5, 5), Dim(5));
}

TEST(Dim, RejectsWhatIsMalformedOrTooLarge) {
  EXPECT_THROW(Dim::parse("2 +"), InputError);
  EXPECT_THROW(Dim::parse("a b"), InputError);
  EXPECT_THROW(Dim::parse("floordiv(a, 0)"), InputError);
  EXPECT_THROW(Dim::parse("99999999999999999999"), InputError);
  EXPECT_THROW(Dim::parse(std::string(10000, '(')), InputError);
  EXPECT_THROW(Dim::symbol("e", 3, 2), InputError);
  EXPECT_THROW(Dim(INT64_MAX) + Dim(1), InputError);
  EXPECT_THROW(Dim(INT64_MAX) * Dim(3), InputError);
  EXPECT_THROW(N.value(), InternalError);
  const auto grow = [] {
    Dim d(1);
    for (int i = 0; i < 30; ++i) d = d * (Dim::symbol("s" + std::to_string(i)) + 1);
  };
  EXPECT_THROW(grow(), InputError);
  const auto nest = [] {
    Dim d = Dim::symbol("s");
    for (int i = 0; i < 10000; ++i) d = max(d * 3, Dim::symbol("t")) - Dim::symbol("u");
  };
  EXPECT_THROW(nest(), InputError);
}

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({}), 1);
  EXPECT_FALSE(is_static(Shape{1, N}));
  EXPECT_EQ(to_string(Shape{1, 3, Dim::symbol("H"), Dim::symbol("W") * 2}), "[1,3,H,2*W]");
}

TEST(Type, PrintsAndParsesBack) {
  const Type types[] = {Type(),
                        Type::tensor(DType::f32, Shape{1, 3, Dim::symbol("H") + 1}),
                        Type::tensor(DType::i4),
                        Type::tensor(DType::i64, Shape{}),
                        Type::sequence(Type::tensor(DType::string, Shape{2})),
                        Type::optional(Type::sequence(Type::tensor(DType::f8e4m3fn)))};
  for (const Type& t : types) {
    EXPECT_EQ(Type::parse(t.to_string()), t) << t.to_string();
    for (const Type& other : types) EXPECT_EQ(t == other, t.to_string() == other.to_string());
  }
  EXPECT_EQ(types[1].to_string(), "f32[1,3,H + 1]");
  EXPECT_EQ(types[5].to_string(), "optional(seq(f8e4m3fn[*]))");
  for (const char* bad : {"f33[1]", "f32", "f32[1", "seq(f32[])x", "f32[1,]", ""})
    EXPECT_THROW(Type::parse(bad), InputError) << bad;
}

}  // namespace
}  // namespace rooftune::ir
