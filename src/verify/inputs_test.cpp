#include "verify/inputs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"

namespace rooftune::verify {
namespace {

using ir::DType;
using ir::Tensor;
using ir::Type;
using ir::ValueId;

struct Model {
  ir::Graph g;
  ValueId input(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    return g.add_input(name, Type::tensor(dtype, ir::to_shape(shape)));
  }
  ValueId table(int64_t rows, int64_t columns = 2) {
    return g.add_constant("table", Tensor(DType::f32, {rows, columns}));
  }
  ValueId scalar(int64_t value) { return g.add_constant("c", Tensor::of<int64_t>(DType::i64, {}, {value})); }
  ValueId node(const std::string& op, std::vector<ValueId> inputs,
               std::map<std::string, ir::Attribute> attributes = {}) {
    ir::Node n;
    n.op = op;
    n.name = op + std::to_string(g.order().size());
    n.inputs = std::move(inputs);
    n.outputs = {g.add_value("v", Type::tensor(DType::f32))};
    n.attributes = std::move(attributes);
    const ValueId out = n.outputs[0];
    g.add_node(std::move(n));
    return out;
  }
  InputRange range(ValueId v) const { return infer_range(g, v); }
};

void expect_integers(const InputRange& range, int64_t lo, int64_t hi) {
  EXPECT_EQ(range.kind, InputRange::Kind::integers);
  EXPECT_EQ(range.lo, lo);
  EXPECT_EQ(range.hi, hi);
}

TEST(Inputs, TokenIdsStayInsideOfTheirTable) {
  Model m;
  const ValueId ids = m.input("ids", DType::i64, {1, 8});
  m.node("Gather", {m.table(100), ids});
  expect_integers(m.range(ids), 0, 99);
  EXPECT_EQ(m.range(ids).why, "input 1 of 'Gather0' (Gather)");
}

TEST(Inputs, ThroughMovesAndAddedConstantsAndTheSmallestTable) {
  Model m;
  const ValueId ids = m.input("ids", DType::i64, {1, 8});
  const ValueId moved = m.node("Cast", {m.node("Reshape", {ids, m.scalar(0)})}, {{"to", int64_t{7}}});
  m.node("Gather", {m.table(100), moved});
  m.node("Gather", {m.table(50, 30), m.node("Add", {m.scalar(2), moved})});
  m.node("Gather", {m.table(60, 45), moved}, {{"axis", int64_t{1}}});
  m.node("Equal", {ids, m.scalar(1)});  // a comparison beside a table does not make a mask
  expect_integers(m.range(ids), 0, 44);
  const ValueId shifted = m.input("shifted", DType::i32, {3});
  m.node("Gather", {m.table(10), m.node("Sub", {shifted, m.scalar(3)})});
  expect_integers(m.range(shifted), 3, 12);
}

/// Right at every size: the least that there can be.
TEST(Inputs, IndicesIntoAFreeDimension) {
  Model m;
  const auto rows = [&](int64_t least) {
    return m.g.add_input("x", Type::tensor(DType::f32, ir::Shape{ir::Dim::symbol("rows", least, 9), ir::Dim(4)}));
  };
  const ValueId ids = m.input("ids", DType::i64, {8});
  m.node("Gather", {rows(3), ids});
  expect_integers(m.range(ids), 0, 2);
  const ValueId unknown = m.input("unknown", DType::i64, {8});
  m.node("Gather", {rows(0), unknown});
  expect_integers(m.range(unknown), 1, 8);
}

TEST(Inputs, BodiesOfControlFlowCount) {
  Model m;
  const ValueId ids = m.input("ids", DType::i64, {4}), condition = m.input("c", DType::boolean, {});
  auto body = std::make_shared<ir::Graph>();
  const ValueId inner = body->add_value("ids", Type::tensor(DType::i64, ir::to_shape({4})));
  body->captures_inner = {inner};
  body->captures_outer = {ids};
  ir::Node gather;
  gather.op = "Gather";
  gather.name = "g";
  gather.inputs = {body->add_constant("t", Tensor(DType::f32, {7})), inner};
  gather.outputs = {body->add_value("o", Type::tensor(DType::f32))};
  body->outputs = gather.outputs;
  body->add_node(std::move(gather));
  m.node("If", {condition}, {{"then_branch", body}});
  expect_integers(m.range(ids), 0, 6);
  EXPECT_EQ(m.range(condition).kind, InputRange::Kind::mask);
}

TEST(Inputs, MasksCountsLengthsPixelsAndTheRest) {
  Model m;
  const ValueId mask = m.input("mask", DType::i64, {1, 8});
  m.node("Cast", {m.node("Unsqueeze", {mask, m.scalar(1)})}, {{"to", int64_t{1}}});
  EXPECT_EQ(m.range(mask).kind, InputRange::Kind::mask);
  const ValueId image = m.input("image", DType::u8, {1, 3, 4, 4});
  m.node("Cast", {image}, {{"to", int64_t{1}}});
  expect_integers(m.range(image), 0, 255);
  const ValueId data = m.input("data", DType::f32, {5, 6}), k = m.input("k", DType::i64, {1});
  m.node("TopK", {data, k});
  expect_integers(m.range(k), 1, 6);
  EXPECT_EQ(m.range(data).kind, InputRange::Kind::normal);
  const ValueId x = m.input("x", DType::f32, {9, 1, 4}), lengths = m.input("lengths", DType::i32, {1});
  m.node("LSTM", {x, ir::kNone, ir::kNone, ir::kNone, lengths});
  expect_integers(m.range(lengths), 1, 9);
  const ValueId classes = m.input("classes", DType::i64, {3});
  m.node("OneHot", {classes, m.scalar(5), m.scalar(1)});
  expect_integers(m.range(classes), 0, 4);
  const ValueId tuples = m.input("tuples", DType::i64, {3, 2});
  m.node("GatherND", {m.table(30, 4), tuples});
  expect_integers(m.range(tuples), 0, 3);
  expect_integers(m.range(m.input("free", DType::i64, {2})), 1, 8);
  expect_integers(m.range(m.input("q", DType::i8, {2})), -128, 127);
  const ValueId float_ids = m.input("float_ids", DType::f32, {3});
  m.node("Gather", {m.table(11), m.node("Cast", {float_ids}, {{"to", int64_t{7}}})});
  expect_integers(m.range(float_ids), 0, 10);
}

TEST(Inputs, GeneratedTensorsKeepTheirRanges) {
  Model m;
  const ValueId ids = m.input("ids", DType::i64, {2, 500}), mask = m.input("mask", DType::i64, {40, 5});
  m.input("x", DType::f32, {2000});
  m.input("h", DType::bf16, {3});
  m.input("words", DType::string, {3});
  m.input("z", DType::c64, {3});
  m.node("Gather", {m.table(10), ids});
  m.node("Where", {mask, ids, ids});
  InputGenerator generator(m.g);
  const std::vector<Tensor> t = generator.next();
  ASSERT_EQ(t.size(), 6u);
  std::set<int64_t> seen;
  for (int64_t v : t[0].as_ints()) seen.insert(v);
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), 9);
  EXPECT_EQ(seen.size(), 10u);
  int64_t ones = 0;
  for (int64_t i = 0; i < t[1].size(); ++i) {
    const int64_t v = t[1].as_int(i);
    EXPECT_TRUE(v == 0 || v == 1);
    EXPECT_TRUE(i % 5 != 0 || v == 1);
    ones += v;
  }
  EXPECT_GT(ones, 60);
  EXPECT_LT(ones, 180);
  double sum = 0, squares = 0;
  for (float v : t[2].values<float>()) sum += v, squares += double(v) * v;
  EXPECT_LT(std::abs(sum / 2000), 0.15);
  EXPECT_NEAR(squares / 2000, 1, 0.25);
  EXPECT_NE(t[3].as_double(0), t[3].as_double(1));
  for (const std::string& s : t[4].strings()) EXPECT_FALSE(s.empty());
}

TEST(Inputs, SeedsReplayAndFreshOnesDiffer) {
  Model m;
  m.input("x", DType::f32, {4});
  const auto first = [&](uint64_t seed) { return InputGenerator(m.g, seed).next()[0].data<float>()[0]; };
  EXPECT_EQ(first(7), first(7));
  EXPECT_NE(first(7), first(8));
  EXPECT_NE(first(0), first(0));
  InputGenerator fresh(m.g);
  EXPECT_NE(fresh.seed(), 0u);
  const Tensor a = fresh.next()[0], b = fresh.next()[0];
  EXPECT_NE(a.data<float>()[0], b.data<float>()[0]);
  EXPECT_EQ(first(fresh.seed()), a.data<float>()[0]);
}

TEST(Inputs, FreeDimensionsAndSequencesAreNamed) {
  Model m;
  m.g.add_input("x", Type::tensor(DType::f32, ir::Shape{ir::Dim(1), ir::Dim::symbol("seq")}));
  const auto message = [](const ir::Graph& g) -> std::string {
    try {
      InputGenerator generator(g);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message(m.g),
            "input 'x' is f32[1,seq]: random inputs need every dimension fixed or bounded (--dim name=n or lo..hi)");
  Model s;
  s.g.add_input("list", Type::sequence(Type::tensor(DType::f32)));
  EXPECT_NE(message(s.g).find("input 'list'"), std::string::npos);
}

TEST(Inputs, FreeDimensionsHaveTheirLargestSizeUntilOthersAreDrawn) {
  const auto batch = ir::Dim::symbol("batch", 2, 5), seq = ir::Dim::symbol("seq", 1, 64);
  Model m;
  m.g.add_input("x", Type::tensor(DType::f32, ir::Shape{batch, seq, ir::Dim(3)}));
  m.g.add_input("y", Type::tensor(DType::f32, ir::Shape{seq * 2, batch}));
  InputGenerator generator(m.g);
  EXPECT_EQ(generator.next()[0].shape(), (std::vector<int64_t>{5, 64, 3}));
  std::set<int64_t> lengths;
  for (int i = 0; i < 40; ++i) {
    generator.draw_sizes();
    const auto tensors = generator.next();
    const auto &x = tensors[0].shape(), &y = tensors[1].shape();
    EXPECT_TRUE(x[0] >= 2 && x[0] <= 5 && x[1] >= 1 && x[1] <= 64 && x[2] == 3);
    EXPECT_EQ(y, (std::vector<int64_t>{2 * x[1], x[0]}));
    lengths.insert(x[1]);
  }
  EXPECT_GT(lengths.size(), 5u);
  EXPECT_LT(*lengths.begin(), 8);  // small ones are as likely as large ones
  generator.set_sizes({{"seq", 7}});
  EXPECT_EQ(generator.next()[0].shape(), (std::vector<int64_t>{5, 7, 3}));
}

TEST(Inputs, LengthsAndPositionsStayInside) {
  Model m;
  const ValueId x = m.input("x", DType::f32, {7, 3, 2}), lengths = m.input("lengths", DType::i64, {3});
  m.node("ReverseSequence", {x, lengths});
  expect_integers(m.range(lengths), 1, 7);
  const ValueId swapped = m.input("swapped", DType::i64, {7});
  m.node("ReverseSequence", {x, swapped}, {{"time_axis", int64_t{1}}, {"batch_axis", int64_t{0}}});
  expect_integers(m.range(swapped), 1, 3);
  const ValueId q = m.input("q", DType::f32, {1, 2, 5, 4}), at = m.input("at", DType::i64, {1, 5});
  m.node("RotaryEmbedding", {q, m.table(50), m.table(50), at});
  expect_integers(m.range(at), 0, 49);
}

}  // namespace
}  // namespace rooftune::verify
