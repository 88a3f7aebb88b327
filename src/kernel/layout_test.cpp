#include "kernel/layout.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace rooftune::kernel {
namespace {

Index v(int i) { return Index::variable(i); }
std::string text(const Index& e) {
  return e.to_string([](int i) { return std::string(1, static_cast<char>('a' + i)); });
}
RangeOf upto(std::vector<int64_t> extents) {
  return [=](int i) { return Range{0, extents[static_cast<size_t>(i)] - 1}; };
}
Range any(int) { return {-kUnbounded, kUnbounded}; }

TEST(Layout, RowMajorAddresses) {
  Layout l = Layout::row_major({4, 5, 6});
  EXPECT_EQ(l.size(), 120);
  EXPECT_EQ(l.strides(), (std::vector<int64_t>{30, 6, 1}));
  EXPECT_EQ(text(l.linearize({v(0), v(1), v(2)}, upto({4, 5, 6}))), "30*a+6*b+c");
  EXPECT_TRUE(l.is_row_major({4, 5, 6}));
  EXPECT_FALSE(l.is_row_major({5, 4, 6}));
  EXPECT_EQ(Layout::row_major({}).size(), 1);
  EXPECT_TRUE(Layout::row_major({}).is_row_major({}));
}

TEST(Layout, FlattenedIndexFoldsBack) {
  Layout l = Layout::row_major({12, 7});
  EXPECT_EQ(text(l.linearize({floordiv(v(0), 7, any), mod(v(0), 7, any)}, upto({84}))), "a");
  // Three dims taken out of one axis.
  Layout k = Layout::row_major({3, 4, 5});
  Index m = v(0);
  EXPECT_EQ(text(k.linearize({floordiv(m, 20, any), mod(floordiv(m, 5, any), 4, any), mod(m, 5, any)}, upto({60}))),
            "a");
  EXPECT_EQ(text(k.linearize({floordiv(m, 20, any), mod(floordiv(m, 5, any), 4, any), mod(m, 5, any)}, any, {3, 4, 5})),
            "a");
}

TEST(Layout, BlockedChannelsAreLinearInTheirParts) {
  Layout l = Layout::blocked({1, 64, 8, 9}, {0, 1, 2, 3}, {{1, 16}});
  EXPECT_EQ(l.to_string(), "(0,1,1)(1,16,4)(2,1,8)(3,1,9)(1,1,16)");
  Index c = v(0) * 16 + v(1);
  EXPECT_EQ(text(l.linearize({0, c, v(2), v(3)}, upto({4, 16, 8, 9}))), "1152*a+b+144*c+16*d");
  EXPECT_EQ(text(l.linearize({0, c, v(2), v(3)}, [](int i) { return i == 1 ? Range{0, 15} : any(i); }, {1, 64, 8, 9})),
            "1152*a+b+144*c+16*d");
  // A whole channel axis: quotient and remainder.
  EXPECT_EQ(text(l.linearize({0, v(0), 0, 0}, upto({64}))), "1152*(a/16)+a%16");
  // Consecutive parts of one dim fold.
  Layout consecutive = Layout::parse("(1,1,3)(0,16,4)(0,1,16)");
  EXPECT_EQ(text(consecutive.linearize({v(0), v(1)}, upto({64, 3}))), "a+64*b");
}

TEST(Layout, GuardedIndicesStayLinearWhenTheShapeIsGiven) {
  Layout l = Layout::row_major({8, 8});
  Index y = v(0) + v(1) - 1;  // from -1 to 8
  EXPECT_EQ(text(l.linearize({y, v(2)}, upto({8, 3, 8}), {8, 8})), "8*a+8*b+c-8");
}

TEST(Layout, RollingStorageWraps) {
  Layout l = Layout::parse("(0,1,3)(1,1,10)");  // three rows of a taller tensor
  EXPECT_EQ(text(l.linearize({v(0), v(1)}, upto({56, 10}), {56, 10})), "b+10*(a%3)");
  EXPECT_EQ(l.offset({7, 2}), 12);
}

TEST(Layout, NestedBlocksAndOrder) {
  Layout l = Layout::blocked({100, 70}, {1, 0}, {{0, 4}, {1, 8}, {0, 2}});
  EXPECT_EQ(l.to_string(), "(1,8,9)(0,8,13)(0,2,4)(1,1,8)(0,1,2)");
  EXPECT_EQ(l.size(), 9 * 13 * 4 * 8 * 2);
}

TEST(Layout, PaddingAddsToStrides) {
  Layout l = Layout::parse("(0,1,4,3)(1,1,10)");
  EXPECT_EQ(l.strides(), (std::vector<int64_t>{13, 1}));
  EXPECT_EQ(l.size(), 52);
  EXPECT_EQ(l.offset({2, 5}), 31);
  EXPECT_EQ(text(l.linearize({v(0), v(1)}, upto({4, 10}))), "13*a+b");
  EXPECT_FALSE(l.is_row_major({4, 10}));
  EXPECT_EQ(l.to_string(), "(0,1,4,3)(1,1,10)");
}

TEST(Layout, RowMajorIsRecognisedBehindOtherSpellings) {
  EXPECT_TRUE(Layout::parse("(0,16,4)(0,1,16)(1,1,5)").is_row_major({64, 5}));
  EXPECT_TRUE(Layout::parse("(0,1,1)(1,16,4)(2,1,1)(1,1,16)").is_row_major({1, 64, 1}));
  EXPECT_FALSE(Layout::parse("(0,16,4)(1,1,5)(0,1,16)").is_row_major({64, 5}));
  EXPECT_FALSE(Layout::parse("(0,1,16)(0,16,4)").is_row_major({64}));
  EXPECT_FALSE(Layout::parse("(0,16,4)(0,1,16)").is_row_major({60}));
  EXPECT_FALSE(Layout::row_major({4}).is_row_major({4, 5}));
}

TEST(Layout, AnEmptyTensorsLayoutParsesBack) {
  const Layout empty = Layout::row_major({2, 0, 3});
  EXPECT_EQ(Layout::parse(empty.to_string()), empty);
  EXPECT_EQ(empty.size(), 0);
}

TEST(Layout, MalformedTextSaysWhere) {
  for (const char* bad : {"(0,1", "(0,1)", "0,1,2", "(0,1,2)x", "(0,0,2)", "(0,1,-1)", "(-1,1,2)", "(0,1,2,3,4)",
                          "(a,1,2)", "(0,1,2,-1)"}) {
    try {
      Layout::parse(bad);
      FAIL() << bad;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("(dim,divisor,extent)"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(bad), std::string::npos) << e.what();
    }
  }
}

/// A random layout that holds every element of a random shape.
std::pair<std::vector<int64_t>, Layout> random_layout() {
  int rank = *rc::gen::inRange(1, 5);
  std::vector<int64_t> shape;
  for (int d = 0; d < rank; d++) shape.push_back(*rc::gen::inRange(1, 20));
  std::vector<int> order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; i--)
    std::swap(order[i - 1], order[static_cast<size_t>(*rc::gen::inRange(0, static_cast<int>(i)))]);
  std::vector<std::pair<int, int64_t>> blocks;
  for (int b = *rc::gen::inRange(0, 4); b > 0; b--)
    blocks.emplace_back(*rc::gen::inRange(0, rank), *rc::gen::element(1, 2, 3, 4, 16));
  std::vector<PhysicalAxis> axes = Layout::blocked(shape, order, blocks).axes();
  if (*rc::gen::inRange(0, 3) == 0)
    axes[static_cast<size_t>(*rc::gen::inRange<int>(0, static_cast<int>(axes.size())))].pad = *rc::gen::inRange(1, 9);
  return {shape, Layout(axes)};
}

template <typename F>
void for_each_index(const std::vector<int64_t>& shape, F&& f) {
  std::vector<int64_t> index(shape.size(), 0);
  while (true) {
    f(index);
    size_t d = shape.size();
    while (d-- > 0 && ++index[d] == shape[d]) index[d] = 0;
    if (d == SIZE_MAX) return;
  }
}

RC_GTEST_PROP(Layout, TextParsesBack, ()) {
  auto [shape, layout] = random_layout();
  RC_ASSERT(Layout::parse(layout.to_string()) == layout);
}

RC_GTEST_PROP(Layout, LinearizeAgreesWithOffset, ()) {
  auto [shape, layout] = random_layout();
  std::vector<Index> index;
  for (size_t d = 0; d < shape.size(); d++) index.push_back(v(static_cast<int>(d)));
  for (bool with_shape : {false, true}) {
    Index address = layout.linearize(index, upto(shape), with_shape ? shape : std::vector<int64_t>{});
    for_each_index(shape, [&](const std::vector<int64_t>& at) {
      RC_ASSERT(address.evaluate([&](int i) { return at[static_cast<size_t>(i)]; }) == layout.offset(at));
    });
  }
  if (layout.is_row_major(shape)) RC_ASSERT(layout.offset(shape) >= 0);
  bool same = true;
  Layout plain = Layout::row_major(shape);
  for_each_index(shape, [&](const std::vector<int64_t>& at) { same = same && plain.offset(at) == layout.offset(at); });
  RC_ASSERT((same && layout.size() == plain.size()) == layout.is_row_major(shape));
}

template <typename T>
void check_pack(const std::vector<int64_t>& shape, const Layout& layout) {
  std::vector<T> plain(static_cast<size_t>(Layout::row_major(shape).size()));
  for (size_t i = 0; i < plain.size(); i++) std::memset(&plain[i], static_cast<int>(i % 251) + 1, sizeof(T));
  for (size_t i = 0; i < plain.size(); i++) std::memcpy(&plain[i], &i, std::min<size_t>(sizeof(T), 4));
  std::vector<T> expected(static_cast<size_t>(layout.size()), T{}), packed = plain, back(plain.size());
  Layout row_major = Layout::row_major(shape);
  for_each_index(shape, [&](const std::vector<int64_t>& at) {
    expected[static_cast<size_t>(layout.offset(at))] = plain[static_cast<size_t>(row_major.offset(at))];
  });
  packed.assign(expected.size(), T{1});
  pack(plain.data(), shape, layout, sizeof(T), packed.data());
  RC_ASSERT(packed == expected);
  unpack(packed.data(), shape, layout, sizeof(T), back.data());
  RC_ASSERT(back == plain);
}

RC_GTEST_PROP(Layout, PackPutsElementsAtTheirOffsets, ()) {
  auto [shape, layout] = random_layout();
  check_pack<uint8_t>(shape, layout);
  check_pack<uint16_t>(shape, layout);
  check_pack<uint32_t>(shape, layout);
  check_pack<uint64_t>(shape, layout);
  check_pack<std::array<uint64_t, 2>>(shape, layout);
}

TEST(Layout, PackRejectsLayoutsThatLoseElements) {
  std::vector<float> data(64, 1);
  EXPECT_THROW(pack(data.data(), {8, 8}, Layout::parse("(0,1,3)(1,1,8)"), 4, data.data()), InternalError);
  EXPECT_THROW(pack(data.data(), {8, 8}, Layout::parse("(0,4,2)(1,1,8)"), 4, data.data()), InternalError);
}

TEST(Layout, EmptyTensorsPack) {
  float nothing = 0;
  pack(&nothing, {0, 4}, Layout::row_major({0, 4}), 4, &nothing);
  unpack(&nothing, {0, 4}, Layout::row_major({0, 4}), 4, &nothing);
}

}  // namespace
}  // namespace rooftune::kernel
