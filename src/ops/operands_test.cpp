// Operands that do not fit each other are refused with an error that names the node, wherever their shapes come from: no
// reference may read or write beside a tensor.
#include <gtest/gtest.h>

#include "ops/common.h"

namespace rooftune::ops {
namespace {

std::vector<Tensor> run(const std::string& body, const std::vector<Tensor>& inputs) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 23\n" + body + "\n}");
  infer_types(graph);
  return evaluate(graph, inputs);
}

void expect_refused(const std::string& body, const std::vector<Tensor>& inputs, const std::string& part) {
  try {
    run(body, inputs);
    ADD_FAILURE() << "accepted: " << body;
  } catch (const InputError& e) {
    const std::string said = e.what();
    EXPECT_NE(said.find("node '"), std::string::npos) << said;
    EXPECT_NE(said.find(part), std::string::npos) << said;
  }
}

Tensor floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  return Tensor::of(DType::f32, std::move(shape), values);
}
Tensor ones(std::vector<int64_t> shape, DType dtype = DType::f32) {
  Tensor t(dtype, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, 1);
  return t;
}

/// One node whose inputs have these types ("_": absent); run with ones where `with` is given.
void expect_node_refused(const std::string& op, const std::vector<std::string>& types, const std::string& attributes,
                         const std::string& part, int outputs = 1) {
  std::string body, arguments, results;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "_") {
      body += fmt::format("  input %i{}: {}\n", i, types[i]);
      const Type type = Type::parse(types[i]);
      inputs.push_back(ones(static_values(type.shape()), type.dtype()));
    }
    arguments += (i == 0 ? "" : ", ") + (types[i] == "_" ? "_" : fmt::format("%i{}", i));
  }
  for (int i = 0; i < outputs; ++i) results += fmt::format("{}%o{}: ?", i == 0 ? "" : ", ", i);
  body += fmt::format("  {} = {}@23({}) \"culprit\"{}\n  output %o0", results, op, arguments,
                      attributes.empty() ? "" : " {" + attributes + "}");
  expect_refused(body, inputs, part);
}

// --- shapes that only data decides

constexpr const char* kTwoLists = R"(  input %a: f32[6]
  input %b: f32[6]
  %na: ? = NonZero@23(%a) "na"
  %nb: ? = NonZero@23(%b) "nb"
  %ta: ? = Transpose@23(%na) "ta"
  %tb: ? = Transpose@23(%nb) "tb"
  %y: ? = Concat@23(%ta, %tb) "joined" {axis = 1}
  output %y)";

TEST(Operands, ThatOnlyDataShapesAreCompared) {
  const Tensor three = floats({6}, {0, 1, 0, 1, 0, 1}), same = floats({6}, {1, 0, 1, 0, 1, 0}), all = ones({6});
  const Tensor fits = run(kTwoLists, {three, same})[0];
  EXPECT_EQ(fits.as_ints(), (std::vector<int64_t>{1, 0, 3, 2, 5, 4}));
  expect_refused(kTwoLists, {floats({6}, {0, 0, 0, 0, 0, 1}), all}, "node 'joined' (Concat)");
  expect_refused(kTwoLists, {three, all}, "node 'joined' (Concat)");
}

TEST(Operands, ChannelsThatDataDecidesMustFitTheFilters) {
  constexpr const char* body = R"(  input %x: f32[1,4,3,3]
  input %keep: bool[4]
  input %w: f32[2,3,1,1]
  %part: ? = Compress@23(%x, %keep) "part" {axis = 1}
  %y: ? = Conv@23(%part, %w) "conv"
  output %y)";
  const Tensor x = ones({1, 4, 3, 3}), w = ones({2, 3, 1, 1});
  const auto keep = [](const std::vector<uint8_t>& v) { return Tensor::of(DType::boolean, {4}, v); };
  EXPECT_EQ(run(body, {x, keep({1, 0, 1, 1}), w})[0].as_double(0), 3);
  expect_refused(body, {x, keep({1, 0, 0, 1}), w}, "node 'conv' (Conv)");
  expect_refused(body, {x, keep({1, 1, 1, 1}), w}, "node 'conv' (Conv)");
}

TEST(Operands, TileTakesOneNumberForEachAxis) {
  expect_node_refused("Tile", {"f32[2,3,4]", "i64[2]"}, "", "repeats is [2], must be [3]");
  constexpr const char* body = R"(  input %x: f32[2,2]
  input %r: i64[R]
  %y: ? = Tile@23(%x, %r) "tile"
  output %y)";
  const Tensor x = ones({2, 2});
  EXPECT_EQ(run(body, {x, Tensor::of<int64_t>(DType::i64, {2}, {2, 3})})[0].shape(), (std::vector<int64_t>{4, 6}));
  expect_refused(body, {x, Tensor::of<int64_t>(DType::i64, {1}, {2})}, "node 'tile' (Tile)");
  expect_refused(body, {x, Tensor::of<int64_t>(DType::i64, {2}, {2, -1})}, "node 'tile' (Tile)");
}

// --- indices

TEST(Operands, GatherNeedsIndicesThatFitTheData) {
  expect_node_refused("GatherND", {"f32[3,4]", "i64[2,1]"}, "batch_dims = 1", "batch dim 0 is 3");
  expect_node_refused("GatherND", {"f32[2,4]", "i64[5,1]"}, "batch_dims = 1", "batch dim 0 is 2");
  expect_node_refused("GatherElements", {"f32[2,2]", "i64[50,2]"}, "axis = 1", "longer than data [2,2]");
  expect_node_refused("GatherElements", {"f32[2,2]", "i64[2,3]"}, "axis = 0", "longer than data [2,2]");
}

// --- optional operands

TEST(Operands, OfRecurrentOperatorsHaveTheirShapesAndTypes) {
  const std::vector<std::string> good = {"f32[2,3,4]", "f32[1,20,4]", "f32[1,20,5]", "f32[1,40]",
                                         "i32[3]",     "f32[1,3,5]",  "f32[1,3,5]",  "f32[1,15]"};
  const auto broken = [&](size_t i, const std::string& type, const std::string& part, const std::string& attributes) {
    std::vector<std::string> types = good;
    types[i] = type;
    expect_node_refused("LSTM", types, attributes, part);
  };
  for (const std::string attributes : {"hidden_size = 5", ""}) {
    broken(3, "f32[1,20]", "B is [1,20], must be [1,40]", attributes);
    broken(4, "i32[2]", "sequence_lens is [2], must be [3]", attributes);
    broken(4, "i32[0]", "sequence_lens is [0], must be [3]", attributes);
    broken(4, "i64[3]", "input 4 is i64", attributes);
    broken(5, "f32[1,3,1]", "initial_h is [1,3,1], must be [1,3,5]", attributes);
    broken(5, "f64[1,3,5]", "inputs 0 and 5", attributes);
    broken(6, "f32[1,1,5]", "initial_c is [1,1,5], must be [1,3,5]", attributes);
    broken(6, "f16[1,3,5]", "inputs 0 and 6", attributes);
    broken(7, "f32[1,5]", "P is [1,5], must be [1,15]", attributes);
    broken(7, "f64[1,15]", "inputs 0 and 7", attributes);
  }
  expect_node_refused("GRU", {"f32[2,3,4]", "f32[1,15,4]", "f32[1,15,5]", "f64[1,30]"}, "", "inputs 0 and 3");
  expect_node_refused("RNN", {"f32[3,2,4]", "f32[1,5,4]", "f32[1,5,5]", "_", "_", "f32[1,3,5]"}, "layout = 1",
                      "initial_h is [1,3,5], must be [3,1,5]");
}

TEST(Operands, OfAttentionHaveTheirShapesAndTypes) {
  const std::vector<std::string> good = {"f32[1,2,3,4]", "f32[1,2,3,4]", "f32[1,2,3,5]", "_",
                                         "f32[1,2,6,4]", "f32[1,2,6,5]"};
  const auto broken = [&](size_t i, const std::string& type, const std::string& part) {
    std::vector<std::string> types = good;
    types[i] = type;
    expect_node_refused("Attention", types, "", part, 3);
  };
  broken(4, "f32[1,1,6,4]", "past_key is [1,1,6,4], must be [1,2,6,4]");
  broken(4, "f32[1,2,6,1]", "past_key is [1,2,6,1], must be [1,2,6,4]");
  broken(4, "f16[1,2,6,4]", "inputs 1 and 4");
  broken(5, "f32[1,2,2,5]", "past_value is [1,2,2,5], must be [1,2,6,5]");
  broken(5, "f64[1,2,6,5]", "inputs 2 and 5");
  broken(3, "f32[3,10]", "attn_mask is [3,10]");
  broken(3, "f32[2,9]", "attn_mask is [2,9]");
  broken(3, "bool[3,1,3,9]", "attn_mask is [3,1,3,9]");
}

TEST(Operands, OfAttentionMayDifferInType) {
  constexpr const char* body = R"(  input %q: f32[1,1,2,2]
  input %k: f32[1,1,2,2]
  input %v: f64[1,1,2,2]
  input %mask: f64[2,2]
  %y: ?, %keys: ?, %values: ? = Attention@23(%q, %k, %v, %mask) "attention"
  output %y, %values)";
  Tensor v(DType::f64, {1, 1, 2, 2}), mask(DType::f64, {2, 2});
  for (int i = 0; i < 4; ++i) {
    v.data<double>()[i] = i;
    mask.data<double>()[i] = i % 3 == 0 ? 0 : -1e9;  // each row sees its own key
  }
  const auto out = run(body, {ones({1, 1, 2, 2}), ones({1, 1, 2, 2}), v, mask});
  ASSERT_EQ(out[0].dtype(), DType::f32);
  ASSERT_EQ(out[1].dtype(), DType::f64);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(out[0].as_double(i), i, 1e-6);
    EXPECT_EQ(out[1].as_double(i), i);
  }
}

TEST(Operands, ScalesAndZeroPointsHaveOneElementOrOneForEachChannel) {
  expect_node_refused("MatMulInteger", {"u8[2,3]", "u8[3,4]", "u8[0]"}, "", "a_zero_point (input 2) has shape [0]");
  expect_node_refused("MatMulInteger", {"u8[2,3]", "u8[3,4]", "u8[3]"}, "", "must have one element or shape [2]");
  expect_node_refused("MatMulInteger", {"u8[2,3]", "u8[3,4]", "_", "u8[3]"}, "", "must have one element or shape [4]");
  const std::vector<std::string> good = {"u8[2,3]", "f32[]", "u8[]", "u8[3,4]", "f32[4]", "u8[4]", "f32[]", "u8[]"};
  const auto broken = [&](size_t i, const std::string& type, const std::string& part) {
    std::vector<std::string> types = good;
    types[i] = type;
    expect_node_refused("QLinearMatMul", types, "", part);
  };
  broken(1, "f32[2]", "a_scale (input 1) has shape [2], but must have one element");
  broken(1, "f32[0]", "a_scale (input 1) has shape [0]");
  broken(1, "i32[]", "input 1 is i32");
  broken(4, "f32[2]", "b_scale (input 4) has shape [2]");
  broken(5, "u8[3]", "b_zero_point (input 5) has shape [3]");
  broken(6, "f32[4]", "y_scale (input 6) has shape [4]");
  broken(7, "u8[0]", "y_zero_point (input 7) has shape [0]");
  const std::vector<std::string> conv = {"u8[1,2,4,4]", "f32[]", "u8[]",  "u8[3,2,1,1]",
                                         "f32[3]",      "u8[]",  "f32[]", "u8[]"};
  for (const auto& [bias, part] :
       {std::pair("i32[2]", "B is [2], must be [3]"), std::pair("f32[3]", "input 8 is f32")}) {
    std::vector<std::string> types = conv;
    types.emplace_back(bias);
    expect_node_refused("QLinearConv", types, "", part);
  }
}

TEST(Operands, BlocksAndDepthsAreChecked) {
  for (const char* op : {"DepthToSpace", "SpaceToDepth"}) {
    expect_node_refused(op, {"f32[1,4,4,4]"}, "blocksize = 4294967296", "blocksize is 4294967296");
    expect_node_refused(op, {"f32[1,4,4,4]"}, "blocksize = 0", "blocksize is 0");
  }
  expect_node_refused("OneHot", {"i64[3]", "i64[0]", "f32[2]"}, "", "input 1 must be a scalar");
  expect_node_refused("OneHot", {"i64[3]", "i64[]", "f32[3]"}, "", "values is [3], must be [2]");
  expect_refused(
      "  input %i: i64[3]\n  constant %d: i64[0] = {}\n  input %v: f32[2]\n"
      "  %y: ? = OneHot@23(%i, %d, %v) \"hot\"\n  output %y",
      {ones({3}, DType::i64), ones({2})}, "input 1 must be a scalar");
}

TEST(Operands, WindowsHaveExtentsThatCanBeComputedWith) {
  expect_node_refused("MaxPool", {"f32[1,1,8]"}, "kernel_shape = [8589934593], dilations = [2147483648]",
                      "a kernel extent is 8589934593, must be 1 to 2147483648");
  expect_node_refused("AveragePool", {"f32[1,1,8,8,8]"}, "kernel_shape = [2147483648, 2147483648, 2147483648]",
                      "more elements than any tensor");
  expect_node_refused("MaxPool", {"f32[1,1,8]"}, "kernel_shape = [2], strides = [4294967296]",
                      "'strides' holds 4294967296");
}

}  // namespace
}  // namespace rooftune::ops
