// Every lowering computes what the reference does: single nodes, lowered into a kernel, verified and interpreted on
// random values. tests/ops does the same on many more cases, with onnxruntime as judge of the references.
#include "ops/lowering.h"

#include <gtest/gtest.h>

#include <random>

#include "kernel/interpreter.h"
#include "ops/half.h"

namespace rooftune::ops {
namespace {

Tensor random_tensor(const Type& type, std::mt19937& random) {
  Tensor t(type.dtype(), static_values(type.shape()));
  std::normal_distribution<double> normal(0, 2);
  for (int64_t i = 0; i < t.size(); ++i) {
    const double v = normal(random);
    t.set_double(i, type.dtype() == DType::boolean ? v > 0
                    : ir::is_integer(type.dtype()) ? std::abs(std::trunc(v * 3)) + 1
                                                   : v);
  }
  return t;
}

struct Lowered {
  std::string rejection;
  std::vector<Tensor> outputs;
};

Lowered lower_and_interpret(const Graph& graph, const std::vector<Tensor>& inputs) {
  kernel::Kernel k;
  k.name = "k";
  std::map<ir::ValueId, int> buffers;
  std::vector<Tensor> tensors;
  const auto add = [&](ir::ValueId v, const Tensor& t, kernel::Role role) {
    buffers[v] = k.add_buffer(graph.value(v).name, t.dtype(), t.shape(), role);
    tensors.push_back(t);
  };
  for (size_t i = 0; i < inputs.size(); ++i) add(graph.inputs[i], inputs[i], kernel::Role::input);
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    if (const Tensor* constant = graph.constant(static_cast<ir::ValueId>(v)))
      add(static_cast<ir::ValueId>(v), *constant, kernel::Role::constant);
  }
  const Node& node = graph.node(graph.order().at(0));
  std::vector<int> from;
  for (ir::ValueId v : node.inputs) from.push_back(v == ir::kNone ? -1 : buffers.at(v));
  const LoweredNode lowered = lower_node(graph, node, k, from);
  if (!lowered.rejection.empty()) return {lowered.rejection, {}};
  for (size_t i = 0; i < lowered.outputs.size(); ++i) {
    const int stored = rounded(k, lowered.outputs[i], graph.type(node.outputs[i]).dtype());
    k.buffers[static_cast<size_t>(stored)].role = kernel::Role::output;
  }
  tensors.resize(k.buffers.size());
  kernel::verify(k);
  return {"", kernel::interpret(k, tensors)};
}

struct LoweringCase {
  std::string inputs;  // lines of the text form
  std::string node;    // "Relu@18(%x)", attributes included
};

void PrintTo(const LoweringCase& c, std::ostream* out) { *out << c.node; }

class Lowering : public testing::TestWithParam<LoweringCase> {};

Graph parsed(const std::string& inputs, const std::string& call) {
  const size_t brace = std::min(call.find(" {"), call.size());
  return ir::parse("graph \"g\" {\n  opset \"\" 18\n" + inputs + "\n  %y: ? = " + call.substr(0, brace) + " \"n\"" +
                   call.substr(brace) + "\n  output %y\n}");
}

TEST_P(Lowering, ComputesWhatTheReferenceDoes) {
  Graph graph = parsed(GetParam().inputs, GetParam().node);
  infer_types(graph);
  std::mt19937 random(7);
  for (int round = 0; round < 3; ++round) {
    std::vector<Tensor> inputs;
    for (ir::ValueId v : graph.inputs) inputs.push_back(random_tensor(graph.type(v), random));
    const Tensor expected = evaluate(graph, inputs)[0];
    const Lowered lowered = lower_and_interpret(graph, inputs);
    ASSERT_EQ(lowered.rejection, "");
    const Tensor& got = lowered.outputs.at(0);
    ASSERT_EQ(got.dtype(), expected.dtype());
    ASSERT_EQ(got.shape(), expected.shape());
    for (int64_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got.as_double(i), expected.as_double(i), 1e-5 * std::max(1.0, std::abs(expected.as_double(i))))
          << "element " << i;
  }
}

/// The same operators on 16-bit floats: computed in f32, and rounded once.
TEST_P(Lowering, RoundsWhereThereAre16Bits) {
  for (const auto& [name, unit] : {std::pair{"f16", 0x1p-10}, std::pair{"bf16", 0x1p-7}}) {
    std::string inputs = GetParam().inputs;
    for (size_t at = 0; (at = inputs.find("f32[", at)) != std::string::npos; ++at) inputs.replace(at, 3, name);
    Graph graph = parsed(inputs, GetParam().node);
    try {
      infer_types(graph);
    } catch (const InputError&) {
      continue;  // the operator takes no such floats
    }
    std::mt19937 random(7);
    std::vector<Tensor> tensors;
    for (ir::ValueId v : graph.inputs) tensors.push_back(random_tensor(graph.type(v), random));
    const Tensor expected = evaluate(graph, tensors)[0];
    const Lowered lowered = lower_and_interpret(graph, tensors);
    ASSERT_EQ(lowered.rejection, "");
    const Tensor& got = lowered.outputs.at(0);
    ASSERT_EQ(got.dtype(), expected.dtype());
    ASSERT_EQ(got.shape(), expected.shape());
    double most = 1;
    for (int64_t i = 0; i < got.size(); ++i) most = std::max(most, std::abs(expected.as_double(i)));
    for (int64_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got.as_double(i), expected.as_double(i), unit * std::max(0.1 * most, std::abs(expected.as_double(i))))
          << name << " element " << i;
  }
}

std::vector<LoweringCase> unary_cases() {
  std::vector<LoweringCase> cases;
  for (const char* op :
       {"Abs",       "Neg",      "Sign",     "Exp",  "Erf",       "Floor", "Ceil", "Round",           "Sin",
        "Cos",       "Tanh",     "Sigmoid",  "Relu", "LeakyRelu", "Elu",   "Selu", "ThresholdedRelu", "HardSigmoid",
        "HardSwish", "Softplus", "Softsign", "Gelu", "Mish",      "Swish", "Cosh", "Identity",        "IsNaN",
        "IsInf",     "Dropout"})
    cases.push_back({"  input %x: f32[2,3,5]", fmt::format("{}@23(%x)", op)});
  for (const char* op : {"Softmax", "LogSoftmax", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1",
                         "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ArgMax", "ArgMin", "LpNormalization"})
    cases.push_back({"  input %x: f32[4,3,5]", fmt::format("{}@17(%x)", op)});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Unary, Lowering, testing::ValuesIn(unary_cases()));

const std::string kChannels =
    "  input %x: f32[2,4,3,3]\n  input %a: f32[4]\n  input %b: f32[4]\n  input %c: f32[4]\n  constant %v: f32[4] = "
    "{0.5, 1, 2, 0.1}";
INSTANTIATE_TEST_SUITE_P(
    Others, Lowering,
    testing::Values(
        LoweringCase{"  input %x: f32[2,3,5]\n  input %z: f32[3,1]", "Add@18(%x, %z)"},
        LoweringCase{"  input %x: i64[2,3]\n  input %z: i64[1,3]", "Mod@18(%x, %z)"},
        LoweringCase{"  input %x: f32[2,3]\n  constant %z: f32[] = {2.5}", "Max@18(%x, %z)"},
        LoweringCase{"  input %x: f32[2,3]\n  constant %z: f32[] = {3}", "Pow@18(%x, %z)"},
        LoweringCase{"  input %x: f32[4]\n  input %z: f32[3,1]", "Less@18(%x, %z)"},
        LoweringCase{"  input %c: bool[2,1]\n  input %x: f32[3]\n  input %z: f32[2,3]", "Where@18(%c, %x, %z)"},
        LoweringCase{"  input %x: f32[2,3]\n  constant %h: f32[] = {0.7}", "Clip@18(%x, _, %h)"},
        LoweringCase{"  input %x: f32[2,3]", "Cast@18(%x) {to = 7}"},
        LoweringCase{"  input %x: f32[2,4,6]\n  constant %k: i64[] = {1}", "Trilu@18(%x, %k)"},
        LoweringCase{"  input %x: f32[3,4,5]", "ReduceSum@11(%x) {axes = [0, 2], keepdims = 0}"},
        LoweringCase{"  input %x: f32[3,4,5]", "Softmax@13(%x) {axis = 1}"},
        LoweringCase{"  input %x: f32[3,4,5]\n  input %s: f32[4,5]\n  input %b: f32[4,5]",
                     "LayerNormalization@17(%x, %s, %b) {axis = 1}"},
        LoweringCase{"  input %x: f32[3,4,5]\n  input %s: f32[5]", "RMSNormalization@23(%x, %s)"},
        LoweringCase{kChannels, "GroupNormalization@21(%x, %a, %b) {num_groups = 2}"},
        LoweringCase{kChannels, "InstanceNormalization@18(%x, %a, %b)"},
        LoweringCase{kChannels, "BatchNormalization@15(%x, %a, %b, %c, %v)"},
        LoweringCase{kChannels, "MeanVarianceNormalization@13(%x)"},
        LoweringCase{kChannels, "LRN@13(%x) {size = 3, alpha = float 0.2}"},
        LoweringCase{
            "  input %x: u8[2,4]\n  constant %s: f32[4] = {0.5, 1, 2, 0.25}\n  constant %z: u8[4] = {1, 2, 3, 4}",
            "DequantizeLinear@21(%x, %s, %z) {axis = 1}"},
        LoweringCase{"  input %x: f32[2,4]\n  constant %s: f32[2,2] = {0.5, 1, 2, 0.25}",
                     "QuantizeLinear@21(%x, %s) {axis = 1, block_size = 2}"}));

const std::string kImage = "  input %x: f32[2,4,7,6]\n  input %w: f32[6,4,3,2]\n  input %b: f32[6]";
INSTANTIATE_TEST_SUITE_P(
    Contractions, Lowering,
    testing::Values(
        LoweringCase{"  input %x: f32[2,1,5,4]\n  input %w: f32[3,4,6]", "MatMul@18(%x, %w)"},
        LoweringCase{"  input %x: f32[4]\n  input %w: f32[3,4,6]", "MatMul@18(%x, %w)"},
        LoweringCase{"  input %x: f32[5,3]\n  input %w: f32[4,5]\n  input %c: f32[4]",
                     "Gemm@18(%x, %w, %c) {transA = 1, transB = 1, alpha = float 0.5, beta = float 2}"},
        LoweringCase{"  input %x: f32[2,3,4]\n  input %w: f32[2,5,4]",
                     "Einsum@18(%x, %w) {equation = \"bik,bjk->bij\"}"},
        LoweringCase{"  input %x: u8[3,4]\n  input %w: i8[4,5]\n  constant %z: u8[] = {3}\n  constant %v: i8[] = {-2}",
                     "MatMulInteger@18(%x, %w, %z, %v)"},
        LoweringCase{kImage, "Conv@18(%x, %w, %b) {pads = [1, 0, 1, 1], strides = [2, 1], dilations = [1, 2]}"},
        LoweringCase{kImage, "Conv@18(%x, %w) {auto_pad = \"SAME_UPPER\"}"},
        LoweringCase{"  input %x: f32[2,4,7]\n  input %w: f32[6,2,3]", "Conv@18(%x, %w) {group = 2}"},
        LoweringCase{"  input %x: f32[2,4,7]\n  input %w: f32[4,1,3]", "Conv@18(%x, %w) {group = 4, pads = [1, 1]}"},
        LoweringCase{"  input %x: f32[1,2,3]\n  input %w: f32[2,2,1]", "Conv@18(%x, %w) {pads = [1, 2]}"},
        LoweringCase{"  input %x: f32[2,4,3,5]\n  input %w: f32[4,3,2,2]\n  input %b: f32[3]",
                     "ConvTranspose@18(%x, %w, %b) {strides = [2, 2]}"},
        LoweringCase{
            "  input %x: f32[1,4,3,5]\n  input %w: f32[4,3,3,3]",
            "ConvTranspose@18(%x, %w) {strides = [2, 1], group = 2, pads = [1, 0, 0, 1], output_padding = [1, 0]}"},
        LoweringCase{"  input %x: f32[2,6,4]\n  input %k: f32[2,5,4]\n  input %v: f32[2,5,6]\n  input %m: f32[6,5]",
                     "Attention@23(%x, %k, %v, %m) {q_num_heads = 2, kv_num_heads = 2, is_causal = 1}"},
        LoweringCase{"  input %x: f32[2,4,3,8]\n  input %k: f32[2,2,5,8]\n  input %v: f32[2,2,5,6]",
                     "Attention@23(%x, %k, %v) {softcap = float 2}"},
        LoweringCase{"  input %x: f32[2,3,4,6]\n  input %c: f32[2,4,2]\n  input %s: f32[2,4,2]",
                     "RotaryEmbedding@23(%x, %c, %s) {rotary_embedding_dim = 4, interleaved = 1}"}));

INSTANTIATE_TEST_SUITE_P(
    Windows, Lowering,
    testing::Values(
        LoweringCase{"  input %x: f32[2,3,7,6]",
                     "MaxPool@18(%x) {kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1]}"},
        LoweringCase{"  input %x: f32[2,3,7,6]",
                     "AveragePool@18(%x) {kernel_shape = [3, 2], pads = [1, 0, 1, 1], ceil_mode = 1}"},
        LoweringCase{
            "  input %x: f32[2,3,7,6]",
            "AveragePool@18(%x) {kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1], count_include_pad = 1}"},
        LoweringCase{"  input %x: f32[2,3,7]", "LpPool@18(%x) {kernel_shape = [2], p = 3}"},
        LoweringCase{"  input %x: f32[2,3,7,6]", "GlobalAveragePool@18(%x)"},
        LoweringCase{"  input %x: f32[2,3,7,6]", "GlobalMaxPool@18(%x)"},
        LoweringCase{"  input %x: f32[2,3,7,6]", "GlobalLpPool@18(%x)"}));

INSTANTIATE_TEST_SUITE_P(
    Moves, Lowering,
    testing::Values(
        LoweringCase{"  input %x: f32[4,6]\n  constant %s: i64[3] = {2, -1, 4}", "Reshape@18(%x, %s)"},
        LoweringCase{"  input %x: f32[2,3,4]", "Flatten@18(%x) {axis = 2}"},
        LoweringCase{"  input %x: f32[2,3,4]", "Transpose@18(%x) {perm = [2, 0, 1]}"},
        LoweringCase{"  input %x: i64[2,1,4]\n  constant %s: i64[4] = {3, 1, 5, 4}", "Expand@18(%x, %s)"},
        LoweringCase{"  input %x: f32[2,3]\n  constant %s: i64[2] = {2, 3}", "Tile@18(%x, %s)"},
        LoweringCase{"  input %x: f32[5,6]\n  constant %s: i64[2] = {-1, 1}\n  constant %e: i64[2] = {-6, 99}\n  "
                     "constant %a: i64[2] = {1, 0}\n  constant %t: i64[2] = {-2, 1}",
                     "Slice@18(%x, %s, %e, %a, %t)"},
        LoweringCase{"  input %x: f32[2,3]\n  input %z: f32[2,4]", "Concat@18(%x, %z, %x) {axis = 1}"},
        LoweringCase{"  input %x: f32[2,3]\n  constant %p: i64[4] = {1, 0, -1, 2}\n  constant %v: f32[] = {1.5}",
                     "Pad@18(%x, %p, %v)"},
        LoweringCase{"  input %x: f32[1,8,2,3]", "DepthToSpace@18(%x) {blocksize = 2}"},
        LoweringCase{"  input %x: f32[1,2,4,6]", "SpaceToDepth@18(%x) {blocksize = 2}"},
        LoweringCase{"  input %x: f32[9,3]\n  constant %i: i64[2,2] = {0, -1, 8, 3}", "Gather@18(%x, %i)"},
        LoweringCase{"  input %x: f32[3,99]\n  input %i: i64[4]", "Gather@18(%x, %i) {axis = 1}"},
        LoweringCase{
            "  input %x: f32[1,2,3,4]\n  constant %s: f32[4] = {1, 1, 2, 3}",
            "Resize@18(%x, _, %s) {coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"}"},
        LoweringCase{"  input %x: f32[1,2,3,4]\n  constant %s: i64[4] = {1, 2, 6, 3}",
                     "Resize@18(%x, _, _, %s) {mode = \"linear\"}"}));

std::string rejection(const std::string& inputs, const std::string& node) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n" + inputs + "\n  %y: ? = " + node + "\n  output %y\n}");
  infer_types(graph);
  std::mt19937 random(7);
  std::vector<Tensor> tensors;
  for (ir::ValueId v : graph.inputs) tensors.push_back(random_tensor(graph.type(v), random));
  return lower_and_interpret(graph, tensors).rejection;
}

TEST(LoweringRejects, SaysWhy) {
  EXPECT_EQ(rejection("  input %x: f32[2,0]", "Relu@18(%x) \"n\""), "lower: 'x' is empty");
  EXPECT_EQ(rejection("  input %x: f64[2]", "Exp@18(%x) \"n\""), "lower: 'x' is f64, Exp is lowered for f32");
  EXPECT_EQ(rejection("  input %x: f32[2,3]\n  input %a: i64[1]", "ReduceSum@18(%x, %a) \"n\""),
            "lower: 'y' is f32[unknown_y_0,unknown_y_1], not a tensor of static shape");
  EXPECT_EQ(rejection("  input %x: f32[2,3]\n  input %k: i64[]", "Trilu@18(%x, %k) \"n\""),
            "lower: Trilu is lowered for a constant k");
  EXPECT_EQ(rejection("  input %x: f32[2,3]\n  input %s: f32[3]", "LayerNormalization@18(%x, %s) \"n\""), "");
}

TEST(LoweringNames, AreUniqueAndIndependentOfNodes) {
  kernel::Kernel k;
  const int x = k.add_buffer("x", DType::f32, {4}, kernel::Role::input);
  EXPECT_EQ(lower_case("HardSwish"), "hard_swish");
  for (const char* expected : {"relu", "relu_2", "relu_3"}) {
    EXPECT_EQ(stage_name(k, "relu"), expected);
    StageBuilder s(k, stage_name(k, "relu"), axes_of({4}));
    s.finish(s.load(x, axis_indices(1)));
  }
}

}  // namespace
}  // namespace rooftune::ops
