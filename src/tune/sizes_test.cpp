#include "tune/sizes.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace rooftune::tune {
namespace {

using ir::Dim;

const Dim kBatch = Dim::symbol("batch", 1, 8), kSeq = Dim::symbol("seq", 1, 384);

ir::Graph model(const ir::Shape& shape) {
  ir::Graph graph;
  graph.add_input("x", ir::Type::tensor(ir::DType::f32, shape));
  return graph;
}

std::vector<int64_t> at(const Sizes& sizes, const Dim& dim) {
  std::vector<int64_t> values;
  for (const auto& size : sizes.at) values.push_back(dim.substitute(size).value());
  return values;
}

TEST(Sizes, BeginWithTheLargestAndTellSymbolsApart) {
  for (const int64_t unit : {1, 2, 32}) {
    const auto sizes = sizes_of(model({kBatch, kSeq, Dim(7)}), {{"seq", unit}});
    EXPECT_EQ(sizes.symbols.size(), 2u);
    EXPECT_EQ(at(sizes, kBatch)[0], 8);
    EXPECT_EQ(at(sizes, kSeq)[0], 384);
    for (const Dim& dim : {kBatch, kSeq, kBatch * kSeq, kSeq * 12, kBatch * kSeq * 3, kSeq + Dim(1), kSeq * 2 - Dim(5),
                           Dim(384), Dim(1)}) {
      const auto solved = sizes.solve(at(sizes, dim));
      ASSERT_TRUE(solved) << dim.to_string();
      EXPECT_EQ(*solved, dim);
    }
    EXPECT_FALSE(sizes.solve({100, 3, 77, 5, 41}));
    EXPECT_EQ(sizes.units, (std::vector<int64_t>{1, unit}));
    for (int64_t value : at(sizes, kSeq)) EXPECT_EQ((384 - value) % unit, 0) << value;
  }
}

TEST(Sizes, KnowExpressionsThatTheModelHolds) {
  auto graph = model({kSeq});
  const Dim half = floordiv(kSeq + Dim(1), Dim(2));
  graph.add_value("y", ir::Type::tensor(ir::DType::f32, ir::Shape{half}));
  const auto sizes = sizes_of(graph);
  EXPECT_EQ(sizes.solve(at(sizes, half)), half);
}

// The last of the elements that a cache and what is new have together.
TEST(Sizes, KnowWhatLiesBesideWhatTheModelHolds) {
  auto graph = model({kBatch, kSeq});
  graph.add_value("y", ir::Type::tensor(ir::DType::f32, ir::Shape{kBatch + kSeq}));
  const auto sizes = sizes_of(graph);
  EXPECT_EQ(sizes.solve(at(sizes, kBatch + kSeq - Dim(1))), kBatch + kSeq - Dim(1));
}

// How many pixels a mean is taken of; height and width that were halved a few times are told apart.
TEST(Sizes, KnowProductsOfWhatTheModelHolds) {
  const Dim h = Dim::symbol("h", 64, 256), w = Dim::symbol("w", 64, 256);
  auto graph = model({Dim(1), Dim(3), h, w});
  const auto halved = [](Dim d) {
    for (int i = 0; i < 3; ++i) d = floordiv(d - Dim(1), Dim(2)) + Dim(1);
    return d;
  };
  graph.add_value("y", ir::Type::tensor(ir::DType::f32, ir::Shape{Dim(1), Dim(8), halved(h), halved(w)}));
  const auto sizes = sizes_of(graph);
  EXPECT_EQ(sizes.solve(at(sizes, halved(h))), halved(h));
  EXPECT_EQ(sizes.solve(at(sizes, halved(w))), halved(w));
  EXPECT_EQ(sizes.solve(at(sizes, halved(h) * halved(w))), halved(h) * halved(w));
}

// Two expressions that coincide at the sizes are not guessed between.
TEST(Sizes, DoNotGuess) {
  auto graph = model({kSeq});
  for (int64_t offset : {1, 2})
    graph.add_value("", ir::Type::tensor(ir::DType::f32, ir::Shape{floordiv(kSeq + Dim(offset), Dim(100))}));
  for (const int64_t unit : {1, 2}) {
    const auto sizes = sizes_of(graph, {{"seq", unit}});
    const Dim one = floordiv(kSeq + Dim(1), Dim(100)), two = floordiv(kSeq + Dim(2), Dim(100));
    if (at(sizes, one) == at(sizes, two)) EXPECT_FALSE(sizes.solve(at(sizes, one)));
    else EXPECT_EQ(sizes.solve(at(sizes, two)), two);
  }
}

TEST(Sizes, AModelWithoutFreeDimensionsHasOne) {
  const auto sizes = sizes_of(model({Dim(3), Dim(4)}));
  EXPECT_EQ(sizes.at.size(), 1u);
  EXPECT_EQ(sizes.solve({5}), Dim(5));
}

TEST(Sizes, NeverGoBelowTwo) {
  for (int64_t value : at(sizes_of(model({Dim::symbol("batch", 1, 2)})), Dim::symbol("batch", 1, 2)))
    EXPECT_GE(value, 2);
  EXPECT_THROW(sizes_of(model({Dim::symbol("one", 0, 1)})), InputError);
}

}  // namespace
}  // namespace rooftune::tune
