// Inference of the operators that change shapes, on symbolic dims, and what they say about models that are wrong.
#include "ops/shapes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ops/cells.h"

namespace rooftune::ops {
namespace {

Graph inferred(const std::string& body) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + body + "\n}");
  infer_types(graph);
  return graph;
}

/// Type of the output "y" of `call` on the given inputs.
std::string type_of(const std::string& inputs, const std::string& call) {
  const size_t brace = std::min(call.find(" {"), call.size());
  const Graph g =
      inferred(inputs + "\n  %y: ? = " + call.substr(0, brace) + " \"n\"" + call.substr(brace) + "\n  output %y");
  return g.type(*g.find_value("y")).to_string();
}

void expect_error(const std::string& inputs, const std::string& call, const std::string& part) {
  std::string error = "no error";
  try {
    type_of(inputs, call);
  } catch (const InputError& e) {
    error = e.what();
  }
  EXPECT_NE(error.find(part), std::string::npos) << call << ": " << error;
  EXPECT_NE(error.find("node 'n'"), std::string::npos) << error;
}

TEST(Shapes, AreFollowedSymbolically) {
  EXPECT_EQ(type_of("  input %x: f32[N,C,H,W]\n  input %w: f32[8,3,3,3]", "Conv@18(%x, %w) {pads = [1, 1, 1, 1]}"),
            "f32[N,8,H,W]");
  EXPECT_EQ(type_of("  input %x: f32[N,4,H,8]", "MaxPool@18(%x) {kernel_shape = [2, 2], strides = [2, 2]}"),
            "f32[N,4,floordiv(H, 2),4]");
  EXPECT_EQ(type_of("  input %x: f32[N,4,H,8]", "MaxPool@18(%x) {kernel_shape = [1, 1], auto_pad = \"SAME_UPPER\"}"),
            "f32[N,4,H,8]");
  EXPECT_EQ(
      type_of("  input %x: f32[N,4,H,5]\n  input %w: f32[4,2,2,2]", "ConvTranspose@18(%x, %w) {strides = [2, 2]}"),
      "f32[N,2,2*H,10]");
  EXPECT_EQ(type_of("  input %x: f32[B,S,768]\n  constant %s: i64[4] = {0, -1, 12, 64}", "Reshape@18(%x, %s)"),
            "f32[B,S,12,64]");
  EXPECT_EQ(type_of("  input %x: f32[B,S,12]\n  constant %s: i64[2] = {-1, 6}", "Reshape@18(%x, %s)"), "f32[2*B*S,6]");
  EXPECT_EQ(type_of("  input %x: f32[B,S + 1]\n  constant %s: i64[1] = {1}\n  constant %e: i64[1] = "
                    "{9223372036854775807}\n  constant %a: i64[1] = {1}",
                    "Slice@18(%x, %s, %e, %a)"),
            "f32[B,S]");
  EXPECT_EQ(type_of("  input %x: f32[N,C,H,W]\n  constant %s: f32[4] = {1, 1, 2, 0.5}", "Resize@18(%x, _, %s)"),
            "f32[N,C,2*H,floordiv(W, 2)]");
  EXPECT_EQ(type_of("  input %x: f32[N,C]\n  constant %p: i64[4] = {0, 1, 0, 2}", "Pad@18(%x, %p)"), "f32[N,C + 3]");
  EXPECT_EQ(type_of("  input %x: f32[N,C]\n  input %z: f32[N,4]", "Concat@18(%x, %z) {axis = 1}"), "f32[N,C + 4]");
}

TEST(Shapes, MistakesAreNamed) {
  expect_error("  input %x: f32[3,4]\n  input %w: f32[5,6]", "MatMul@18(%x, %w)", "inner dims differ");
  expect_error("  input %x: f32[1,4,5,5]\n  input %w: f32[8,3,3,3]", "Conv@18(%x, %w)", "wants 3");
  expect_error("  input %x: f32[1,3,5,5]\n  input %w: f32[8,3,7,3]", "Conv@18(%x, %w)", "larger than the padded input");
  expect_error("  input %x: f32[1,3,5,5]\n  input %w: f32[8,3,3,3]", "Conv@18(%x, %w) {strides = [0, 1]}",
               "'strides' holds 0");
  expect_error("  input %x: f32[1,3,5,5]\n  input %w: f32[8,3,3,3]", "Conv@18(%x, %w) {pads = [1]}",
               "'pads' has 1 values, must have 4");
  expect_error("  input %x: f32[1,3,5,5]\n  input %w: f32[8,3,3,3]", "Conv@18(%x, %w) {auto_pad = \"HALF\"}",
               "auto_pad 'HALF'");
  expect_error("  input %x: f32[1,3,5,5]", "MaxPool@18(%x) {kernel_shape = [2]}", "kernel_shape has 1 values");
  expect_error("  input %x: f32[3,4]\n  constant %s: i64[2] = {5, -1}", "Reshape@18(%x, %s)",
               "cannot reshape [3,4] to [5,-1]");
  expect_error("  input %x: f32[3,4]\n  constant %s: i64[2] = {-1, -1}", "Reshape@18(%x, %s)", "-1 twice");
  expect_error("  input %x: f32[3,4]", "Transpose@18(%x) {perm = [0, 0]}", "not a permutation");
  expect_error("  input %x: f32[3,4]\n  constant %a: i64[1] = {0}", "Squeeze@18(%x, %a)", "cannot squeeze axis 0");
  expect_error("  input %x: f32[3,4]\n  input %z: f32[2,4]", "Concat@18(%x, %z) {axis = 1}", "does not fit");
  expect_error("  input %x: f32[3,4]\n  input %z: i64[3,4]", "Concat@18(%x, %z) {axis = 1}", "same element type");
  expect_error("  input %x: f32[3,4]\n  constant %i: i64[1] = {0}", "Gather@18(%x, %i) {axis = 2}",
               "axis 2 is out of range");
  expect_error("  input %x: f32[3,4]\n  constant %p: i64[3] = {0, 1, 0}", "Pad@18(%x, %p)", "pads has 3 values");
  expect_error("  input %x: f32[3,4]\n  constant %k: i64[1] = {9}", "TopK@18(%x, %k)", "K is [9]");
  expect_error("  input %x: f32[3,4]\n  input %z: f32[4,5]", "Einsum@18(%x, %z) {equation = \"ij,jk,kl->il\"}",
               "3 terms, the node 2 inputs");
  expect_error("  input %x: f32[1,1,3,4]\n  constant %s: f32[2] = {1, 2}", "Resize@18(%x, _, %s)",
               "scales has 2 values, must have 4");
  expect_error("  input %x: f32[2,3,4]\n  input %w: f32[1,8,4]\n  input %r: f32[1,8,2]",
               "LSTM@18(%x, %w, %r) {hidden_size = 2, direction = \"up\"}", "direction 'up'");
  expect_error("  input %x: f32[2,3,4]", "Attention@23(%x, %x, %x)", "q_num_heads and kv_num_heads must be given");
}

TEST(Shapes, IndicesOutsideAreNamedAtRunTime) {
  const Graph g = inferred("  input %x: f32[3]\n  input %i: i64[1]\n  %y: ? = Gather@18(%x, %i) \"n\"\n  output %y");
  const Tensor x = Tensor::of<float>(DType::f32, {3}, {1, 2, 3});
  EXPECT_EQ(evaluate(g, {x, Tensor::of<int64_t>(DType::i64, {1}, {-3})})[0].as_double(0), 1);
  EXPECT_THROW(evaluate(g, {x, Tensor::of<int64_t>(DType::i64, {1}, {3})}), InputError);
}

RC_GTEST_PROP(Cells, StridedAndGridCopiesAgreeWithTheirDefinition, ()) {
  const auto rank = *rc::gen::inRange<size_t>(1, 5);
  std::vector<int64_t> shape, strides;
  std::vector<std::vector<int64_t>> maps(rank);
  for (size_t i = 0; i < rank; ++i) shape.push_back(*rc::gen::inRange<int64_t>(1, 6));
  const std::vector<int64_t> dense = row_major_strides(shape);
  std::vector<int64_t> extents;
  for (size_t i = 0; i < rank; ++i) {
    extents.push_back(*rc::gen::inRange<int64_t>(1, 6));
    for (int64_t j = 0; j < extents[i]; ++j) maps[i].push_back(*rc::gen::inRange<int64_t>(-1, shape[i]));
  }
  const Tensor x = Tensor::of<int64_t>(DType::i64, shape, iota(product(shape)));
  const int64_t fill = -7;
  std::vector<int64_t> out(static_cast<size_t>(product(extents)), 0);
  copy_grid(x.raw(), 8, reinterpret_cast<uint8_t*>(out.data()), shape, maps, reinterpret_cast<const uint8_t*>(&fill));
  std::vector<int64_t> at(rank, 0);
  for (int64_t value : out) {
    int64_t from = 0;
    bool hole = false;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t p = maps[i][static_cast<size_t>(at[i])];
      hole = hole || p < 0;
      from += p * dense[i];
    }
    RC_ASSERT(value == (hole ? fill : from));
    next_index(at, extents);
  }
  std::vector<int64_t> order(rank), turned;
  for (size_t i = 0; i < rank; ++i) order[i] = static_cast<int64_t>((i + 1) % rank);
  for (int64_t o : order) {
    turned.push_back(shape[static_cast<size_t>(o)]);
    strides.push_back(dense[static_cast<size_t>(o)]);
  }
  std::vector<int64_t> moved(static_cast<size_t>(product(shape)));
  copy_strided(x.raw(), 8, reinterpret_cast<uint8_t*>(moved.data()), turned, strides);
  std::fill(at.begin(), at.end(), 0);
  for (int64_t value : moved) {
    int64_t from = 0;
    for (size_t i = 0; i < rank; ++i) from += at[i] * strides[i];
    RC_ASSERT(value == from);
    next_index(at, turned);
  }
}

TEST(Cells, StringsAndHalfBytesMoveToo) {
  const Graph g = inferred("  input %x: string[2,3]\n  %y: ? = Transpose@21(%x) \"n\"\n  output %y");
  const Tensor y = evaluate(g, {Tensor::of_strings({2, 3}, {"a", "b", "c", "d", "e", "f"})})[0];
  EXPECT_EQ(y.strings(), (std::vector<std::string>{"a", "d", "b", "e", "c", "f"}));
  const Graph h = inferred("  input %x: i4[2,3]\n  %y: ? = Transpose@21(%x) \"n\"\n  output %y");
  Tensor x(DType::i4, {2, 3});
  for (int64_t i = 0; i < 6; ++i) x.set_double(i, static_cast<double>(i - 3));
  EXPECT_EQ(evaluate(h, {x})[0].as_ints(), (std::vector<int64_t>{-3, 0, -2, 1, -1, 2}));
}

TEST(Quotient, CancelsCommonFactors) {
  const Dim b = Dim::symbol("b"), s = Dim::symbol("s");
  EXPECT_EQ(quotient({b, s, 768}, {b, 12}), s * Dim(64));
  EXPECT_EQ(quotient({b, s, 768}, {s, b, 768}), Dim(1));
  EXPECT_EQ(quotient({b, 3}, {2}), floordiv(b * Dim(3), 2));
}

}  // namespace
}  // namespace rooftune::ops
