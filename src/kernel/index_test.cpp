#include "kernel/index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"

namespace rooftune::kernel {
namespace {

Index v(int i) { return Index::variable(i); }
std::string text(const Index& e) {
  return e.to_string([](int i) { return std::string(1, static_cast<char>('a' + i)); });
}
Range any(int) { return {-kUnbounded, kUnbounded}; }
RangeOf upto(std::vector<int64_t> extents) {
  return [=](int i) { return Range{0, extents[static_cast<size_t>(i)] - 1}; };
}

TEST(Index, LinearFormIsCanonical) {
  EXPECT_EQ(text(v(1) * 3 + v(0) - v(1) * 2 + 5), "a+b+5");
  EXPECT_EQ(v(0) + v(1), v(1) + v(0));
  EXPECT_EQ(v(0) - v(0), Index(0));
  EXPECT_TRUE((v(0) * 2 - v(0) * 2 + 3).is_constant());
  EXPECT_EQ(text(v(0) * -2 - 7), "-2*a-7");
  EXPECT_EQ(text(Index(0)), "0");
  EXPECT_EQ((v(2) * 5 + v(1)).coefficient(2), 5);
  EXPECT_EQ((v(2) * 5 + v(1)).coefficient(0), 0);
}

TEST(Index, QuotientsAreTakenApartWhereRangesProveIt) {
  Index e = v(0) * 16 + v(1);
  EXPECT_EQ(text(floordiv(e, 16, upto({9, 16}))), "a");
  EXPECT_EQ(text(mod(e, 16, upto({9, 16}))), "b");
  EXPECT_EQ(text(floordiv(e, 16, upto({9, 17}))), "a+b/16");
  EXPECT_EQ(text(floordiv(e, 64, upto({9, 16}))), "a/4");
  EXPECT_EQ(text(mod(e, 64, upto({9, 16}))), "b+16*(a%4)");
  EXPECT_EQ(text(floordiv(e, 8, upto({9, 8}))), "2*a");
  EXPECT_EQ(text(mod(v(0) * 64 + v(1) * 16 + v(2), 64, upto({4, 4, 16}))), "16*b+c");
  EXPECT_EQ(text(floordiv(v(0) + 35, 16, any)), "(a+3)/16+2");
  EXPECT_EQ(text(mod(v(0) - 1, 16, any)), "(a+15)%16");
  EXPECT_EQ(text(mod(v(0) - 1, 16, [](int) { return Range{1, 16}; })), "a-1");
  EXPECT_EQ(text(floordiv(v(0), 100, upto({100}))), "0");
  EXPECT_EQ(text(floordiv(v(0), 1, any)), "a");
  EXPECT_EQ(text(mod(v(0), 1, any)), "0");
}

TEST(Index, QuotientsNest) {
  EXPECT_EQ(text(floordiv(floordiv(v(0), 4, any), 8, any)), "a/32");
  EXPECT_EQ(text(mod(mod(v(0), 64, any), 16, any)), "a%16");
  EXPECT_EQ(text(floordiv(mod(v(0), 64, any), 16, any)), "(a/16)%4");
  EXPECT_EQ(text(mod(mod(v(0), 16, any), 64, any)), "a%16");
  EXPECT_EQ(text(floordiv(v(0) * 4, 16, any)), "a/4");
}

TEST(Index, SumFoldsQuotientAndRemainder) {
  Index m = v(0) * 3 + v(1);
  EXPECT_EQ(floordiv(m, 7, any) * 7 + mod(m, 7, any), m);
  EXPECT_EQ(mod(m, 7, any) * 5 + v(2) + floordiv(m, 7, any) * 35, m * 5 + v(2));
  EXPECT_EQ(floordiv(v(0), 64, any) * 64 + mod(floordiv(v(0), 16, any), 4, any) * 16 + mod(v(0), 16, any), v(0));
  EXPECT_EQ(
      mod(v(0), 16, any) + floordiv(floordiv(v(0), 16, any), 4, any) * 64 + mod(floordiv(v(0), 16, any), 4, any) * 16,
      v(0));
  EXPECT_EQ(text(mod(floordiv(v(0), 16, any), 4, any) * 16 + mod(v(0), 16, any)), "a%64");
  EXPECT_EQ(text(floordiv(v(0), 7, any) * 6 + mod(v(0), 7, any)), "6*(a/7)+a%7");  // not a multiple: stays
}

TEST(Index, SubstitutionSimplifiesAgain) {
  Index e = floordiv(v(0), 16, any) * 100 + mod(v(0), 16, any);
  Index s = e.substitute([](int) { return v(1) * 16; });
  EXPECT_EQ(text(s), "100*b");
  s = e.substitute([](int) { return v(1) * 16 + v(2); });
  EXPECT_EQ(text(simplify(s, upto({1, 8, 16}))), "100*b+c");
  EXPECT_EQ(text(simplify(v(0) + v(1), upto({1, 8}))), "b");  // an axis of extent 1 is 0
}

TEST(Index, UsesAndVariables) {
  Index e = v(3) * 2 + floordiv(v(1) + v(3), 5, any);
  EXPECT_TRUE(e.uses(1));
  EXPECT_TRUE(e.appears_inside(3));
  EXPECT_EQ(e.coefficient(3), 2);
  EXPECT_EQ(e.coefficient(1), 0);
  EXPECT_FALSE(e.uses(0));
  std::vector<int> used;
  e.collect_variables(used);
  std::sort(used.begin(), used.end());
  EXPECT_EQ(used, (std::vector<int>{1, 3}));
}

TEST(Index, RangesOfUnboundedVariablesStayUnbounded) {
  Range r = (v(0) * 3 - v(1) + 5).range([](int i) { return i == 0 ? Range{0, kUnbounded} : Range{2, 4}; });
  EXPECT_EQ(r.lo, 1);
  EXPECT_GE(r.hi, kUnbounded);
  r = (v(0) - v(1)).range(any);
  EXPECT_LE(r.lo, -kUnbounded);
  EXPECT_GE(r.hi, kUnbounded);
}

TEST(Index, DivisionByZeroIsOurBug) {
  EXPECT_THROW(floordiv(v(0), 0, any), InternalError);
  EXPECT_THROW(mod(v(0), -3, any), InternalError);
}

/// An expression built twice: as an Index and as a plain function.
struct Twin {
  Index index;
  std::function<int64_t(const std::vector<int64_t>&)> plain;
};

int64_t floor_div(int64_t a, int64_t b) {
  return static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
}

Twin random_twin(const RangeOf& ranges, int depth) {
  int kind = depth == 0 ? *rc::gen::inRange(0, 2) : *rc::gen::inRange(0, 7);
  if (kind == 0) {
    int64_t c = *rc::gen::inRange(-40, 40);
    return {c, [=](auto&) { return c; }};
  }
  if (kind == 1) {
    int i = *rc::gen::inRange(0, 3);
    return {v(i), [=](auto& x) { return x[static_cast<size_t>(i)]; }};
  }
  Twin a = random_twin(ranges, depth - 1);
  if (kind <= 3) {
    Twin b = random_twin(ranges, depth - 1);
    if (kind == 2) return {a.index + b.index, [=](auto& x) { return a.plain(x) + b.plain(x); }};
    return {a.index - b.index, [=](auto& x) { return a.plain(x) - b.plain(x); }};
  }
  int64_t c = *rc::gen::element(1, 2, 3, 4, 8, 16, 24, 48);
  if (kind == 4) return {a.index * c, [=](auto& x) { return a.plain(x) * c; }};
  if (kind == 5) return {floordiv(a.index, c, ranges), [=](auto& x) { return floor_div(a.plain(x), c); }};
  return {mod(a.index, c, ranges), [=](auto& x) { return a.plain(x) - c * floor_div(a.plain(x), c); }};
}

RC_GTEST_PROP(Index, EveryFormHasTheSameValue, ()) {
  std::vector<Range> range(3);
  for (Range& r : range) {
    r.lo = *rc::gen::inRange(-20, 20);
    r.hi = r.lo + *rc::gen::inRange(0, 60);
  }
  RangeOf ranges = [&](int i) { return range[static_cast<size_t>(i)]; };
  Twin t = random_twin(ranges, *rc::gen::inRange(1, 6));
  Index simpler = simplify(t.index, ranges);
  Index moved = t.index.substitute([](int i) { return Index::variable(2 - i) * 2 + 1; });
  Range enclosure = t.index.range(ranges);
  for (int repeat = 0; repeat < 20; repeat++) {
    std::vector<int64_t> x(3);
    for (size_t i = 0; i < 3; i++) x[i] = *rc::gen::inRange(range[i].lo, range[i].hi + 1);
    auto at = [&](int i) { return x[static_cast<size_t>(i)]; };
    int64_t expected = t.plain(x);
    RC_ASSERT(t.index.evaluate(at) == expected);
    RC_ASSERT(simpler.evaluate(at) == expected);
    RC_ASSERT(enclosure.lo <= expected && expected <= enclosure.hi);
    std::vector<int64_t> y(3);  // moved(y) = index(x): x_i = 2 y_(2-i) + 1, where x is odd
    bool odd = true;
    for (size_t i = 0; i < 3; i++) odd = odd && (x[i] & 1), y[2 - i] = (x[i] - 1) / 2;
    if (odd) RC_ASSERT(moved.evaluate([&](int i) { return y[static_cast<size_t>(i)]; }) == expected);
  }
}

/// Digits of a linear expression in mixed radix, put together again in any order, are the expression (where a variable
/// stands alone; common factors may leave a longer form).
RC_GTEST_PROP(Index, DigitsAlwaysFold, ()) {
  Index e = v(0) + *rc::gen::inRange(-40, 40);
  for (int i = 1; i < 3; i++) e = e + v(i) * *rc::gen::inRange(-40, 40);
  std::vector<Index> parts;
  int64_t weight = 1;
  Index rest = e;
  for (int digits = *rc::gen::inRange(1, 4); digits > 0; digits--) {
    int64_t radix = *rc::gen::inRange(2, 20);
    parts.push_back(mod(rest, radix, any) * weight);
    rest = floordiv(rest, radix, any);
    weight *= radix;
  }
  parts.push_back(rest * weight);
  Index sum;
  while (!parts.empty()) {
    auto next = parts.begin() + *rc::gen::inRange<int>(0, static_cast<int>(parts.size()));
    sum = sum + *next;
    parts.erase(next);
  }
  RC_LOG() << text(e) << " became " << text(sum);
  RC_ASSERT(sum == e);
}

}  // namespace
}  // namespace rooftune::kernel
