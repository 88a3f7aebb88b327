// What is read of StableHLO text, by evaluating what comes out of it, and what the messages say of text that is wrong.
// That real programs compute the same as in jax is tested in tests/stablehlo.
#include <gtest/gtest.h>

#include "frontends/stablehlo/stablehlo.h"
#include "ops/op.h"

namespace rooftune::frontends {
namespace {

using ir::DType;
using ir::Tensor;

/// A main function with these lines; %x is a tensor<2x3xf32>.
std::string module(const std::string& lines, const std::string& result = "tensor<2x3xf32>") {
  return "func.func @main(%x: tensor<2x3xf32>) -> " + result + " {\n" + lines + "\n}\n";
}

std::vector<Tensor> evaluate(const std::string& text, const std::vector<Tensor>& inputs) {
  ir::Graph g = load_stablehlo(text, "m");
  ops::infer_types(g);
  return ops::evaluate(g, inputs);
}

Tensor floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  return Tensor::of<float>(DType::f32, std::move(shape), values);
}

const Tensor kX = floats({2, 3}, {1, -2, 3, 0.5, -0.25, 8});

std::string error(const std::string& text) {
  try {
    ir::Graph g = load_stablehlo(text, "m");
    ops::infer_types(g);
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

void expect_error(const std::string& text, const std::string& part) {
  const std::string what = error(text);
  EXPECT_NE(what.find(part), std::string::npos) << "expected: " << part << "\n" << what;
}

/// The constant of a module that returns just that.
Tensor constant(const std::string& literal, const std::string& type) {
  return evaluate("func.func @main() -> " + type + " {\n %c = stablehlo.constant dense<" + literal + "> : " + type +
                      "\n return %c : " + type + "\n}",
                  {})[0];
}

TEST(StablehloLiterals, OfEveryKind) {
  EXPECT_EQ(constant("[[1, 2], [-3, 4]]", "tensor<2x2xi32>").as_ints(), (std::vector<int64_t>{1, 2, -3, 4}));
  EXPECT_EQ(constant("7", "tensor<2x2xi64>").as_ints(), (std::vector<int64_t>{7, 7, 7, 7}));
  EXPECT_EQ(constant("255", "tensor<3xui8>").as_ints(), (std::vector<int64_t>{255, 255, 255}));
  EXPECT_EQ(constant("[true, false, true]", "tensor<3xi1>").as_ints(), (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(constant("\"0x05\"", "tensor<3xi1>").as_ints(), (std::vector<int64_t>{1, 0, 1}));  // packed bits
  EXPECT_EQ(constant("\"0x010001\"", "tensor<3xi1>").as_ints(), (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(constant("[-8, 7, 3]", "tensor<3xi4>").as_ints(), (std::vector<int64_t>{-8, 7, 3}));
  EXPECT_EQ(constant("\"0x0000803F000000C0\"", "tensor<2xf32>").as_double(1), -2);
  EXPECT_EQ(constant("\"0x0000803F\"", "tensor<5xf32>").as_double(4), 1);  // one for all
  EXPECT_EQ(constant("[1.5, 2.000000e+00, -3.25e-1]", "tensor<3xbf16>").as_double(2), -0.32421875);
  EXPECT_EQ(constant("[1.5, 65504.0]", "tensor<2xf16>").as_double(1), 65504);
  EXPECT_EQ(constant("0xFF800000", "tensor<f32>").as_double(0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(constant("0x7E00", "tensor<f16>").as_double(0) != 0, true);
  EXPECT_EQ(constant("-1.0e-30", "tensor<f64>").as_double(0), -1e-30);
  EXPECT_EQ(constant("1.5", "tensor<2x0xf32>").size(), 0);
  EXPECT_EQ(constant("", "tensor<0xf32>").size(), 0);
  EXPECT_EQ(constant("1.0", "tensor<100x100xf32>").as_double(9999), 1);  // repeated by a node
}

TEST(StablehloLiterals, ErrorsSayWhere) {
  const auto what = [](const std::string& literal, const std::string& type) {
    return error("func.func @main() -> " + type + " {\n  %c = stablehlo.constant dense<" + literal + "> : " + type +
                 "\n  return %c : " + type + "\n}");
  };
  EXPECT_EQ(what("[1, 256]", "tensor<2xui8>"), "m: line 2, column 37: '256' is no value of tensor<ui8>");
  EXPECT_EQ(what("[1, -129]", "tensor<2xi8>"), "m: line 2, column 37: '-129' is no value of tensor<i8>");
  EXPECT_EQ(what("[1, true]", "tensor<2xi8>"), "m: line 2, column 37: 'true' is no value of tensor<i8>");
  EXPECT_EQ(what("[1, 2, 3]", "tensor<2xi8>"), "m: line 2, column 32: a literal of shape [3] for a tensor<2xi8>");
  EXPECT_EQ(what("[[1, 2], [3]]", "tensor<2x2xi8>"), "m: line 2, column 42: a list of 1 elements beside one of 2");
  EXPECT_EQ(what("[[1, 2], 3]", "tensor<2x2xi8>"),
            "m: line 2, column 42: the lists of a literal differ in depth, not '3'");
  EXPECT_EQ(what("\"0x0102\"", "tensor<2xf32>"), "m: line 2, column 32: 2 bytes for a tensor<2xf32>, which takes 8");
  EXPECT_EQ(what("\"0x01G2\"", "tensor<2xi8>"), "m: line 2, column 32: expected hexadecimal digits after \"0x\"");
  EXPECT_EQ(what("0x1FFFFFFFF", "tensor<f32>"), "m: line 2, column 33: '0x1FFFFFFFF' is no value of tensor<f32>");
}

TEST(StablehloText, GenericAndPrettyFormsAreOne) {
  const char* pretty = R"(
    %c = stablehlo.constant dense<2.0> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
    %1 = stablehlo.multiply %x, %0 : tensor<2x3xf32>
    %2 = stablehlo.transpose %1, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>
    %3 = stablehlo.slice %2 [0:3:2, 1:2] : (tensor<3x2xf32>) -> tensor<2x1xf32>
    %4 = stablehlo.compare LT, %3, %3, FLOAT : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xi1>
    %5 = stablehlo.select %4, %3, %3 : tensor<2x1xi1>, tensor<2x1xf32>
    return %5 : tensor<2x1xf32>)";
  const char* generic = R"(
    %c = "stablehlo.constant"() {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
    %0 = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x3xf32>
    %1 = "mhlo.multiply"(%x, %0) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    %2 = "stablehlo.transpose"(%1) {permutation = dense<[1, 0]> : tensor<2xi64>} : (tensor<2x3xf32>) -> tensor<3x2xf32>
    %3 = "stablehlo.slice"(%2) <{start_indices = array<i64: 0, 1>, limit_indices = array<i64: 3, 2>,
         strides = array<i64: 2, 1>}> : (tensor<3x2xf32>) -> tensor<2x1xf32>
    %4 = "stablehlo.compare"(%3, %3) <{comparison_direction = #stablehlo<comparison_direction LT>,
         compare_type = #stablehlo<comparison_type FLOAT>}> : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xi1>
    %5 = "stablehlo.select"(%4, %3, %3) : (tensor<2x1xi1>, tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>
    "func.return"(%5) : (tensor<2x1xf32>) -> ())";
  for (const char* lines : {pretty, generic}) {
    const Tensor y = evaluate(module(lines, "tensor<2x1xf32>"), {kX})[0];
    EXPECT_EQ(y.as_double(0), 1);
    EXPECT_EQ(y.as_double(1), 16);
  }
}

TEST(StablehloText, WholeModules) {
  const std::string inside =
      "func.func @main(%x: tensor<2xf32> loc(\"weights\"(#loc2))) -> (tensor<2xf32> {jax.result_info = "
      "\"y\"}) {\n  return %x : tensor<2xf32> loc(#loc1)\n } loc(unknown)";
  const ir::Graph g = load_stablehlo(
      "#map = dense<1> : tensor<i32>\n#loc = loc(unknown)\n// a comment\nmodule @m attributes {mhlo.num_partitions = 1 "
      ": i32} {\n" +
          inside + "\n} loc(#loc)\n#loc1 = loc(callsite(\"f\"(#loc2) at #loc))\n#loc2 = loc(\"a.py\":3:4 to :9)\n",
      "m");
  EXPECT_EQ(g.name, "m");
  EXPECT_EQ(g.value(g.inputs[0]).name, "weights");
  EXPECT_EQ(g.value(g.outputs[0]).name, "y");
  EXPECT_EQ(g.node(g.order()[0]).op, "Identity");
}

TEST(StablehloText, ResourcesStandAtTheEnd) {
  const std::string text =
      "func.func @main() -> tensor<2xf32> {\n %c = stablehlo.constant dense_resource<w> : tensor<2xf32>\n return %c : "
      "tensor<2xf32>\n}\n";
  const Tensor t = evaluate(
      text + "{-#\n dialect_resources: {\n builtin: {\n w: \"0x040000000000803F00000040\"\n }\n }\n#-}\n", {})[0];
  EXPECT_EQ(t.as_double(1), 2);
  expect_error(text, "line 2, column 41: there is no resource 'w' in the text");
}

TEST(StablehloErrors, SayWhereAndWhatWouldBeAccepted) {
  expect_error("", "line 1, column 1: a module without functions; expected 'func.func', not the end of the text");
  expect_error("hello", "line 1, column 1: expected 'module', 'func.func' or an alias, not 'hello'");
  expect_error("ML\xefR\x01", "MLIR bytecode; the text form is accepted");
  expect_error(module(" return %y : tensor<2x3xf32>"),
               "line 2, column 2: '%y' is not defined before its use in '@main'");
  expect_error(module(" %0 = stablehlo.add %x : tensor<2x3xf32>\n return %0 : tensor<2x3xf32>"),
               "line 2, column 7: stablehlo.add: has 1 operands; expected 2");
  expect_error(module(" %0 = stablehlo.negate %x : tensor<3x2xf32>\n return %0 : tensor<3x2xf32>"),
               "line 2, column 7: stablehlo.negate: operand '%x' is tensor<2x3xf32>, stated is tensor<3x2xf32>");
  expect_error(module(" %0 = stablehlo.negate %x : tuple<f32>\n"), "line 2, column 29: expected a type tensor<…>");
  expect_error(module(" %0 = stablehlo.negate %x : tensor<2xf31>\n"),
               "line 2, column 38: expected an element type (f32,");
  expect_error(module(" %0 = stablehlo.transpose %x, dims = [0, 2] : (tensor<2x3xf32>) -> tensor<3x2xf32>\n"),
               "'dims' names dimension 2 of a tensor of rank 2");
  expect_error(module(" return %x, %x : tensor<2x3xf32>, tensor<2x3xf32>"), "'@main' returns 2 values and states 1");
  expect_error(module(" %0 = call @f(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>"), "there is no function '@f'");
  expect_error(module(" %0 = call @main(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>\n return %0 : tensor<2x3xf32>"),
               "calls and regions are nested more than 60 deep");
  expect_error(module(" %0 = stablehlo.reshape %x : (tensor<2x3xf32>) -> tensor<7xf32>"),
               "stablehlo.reshape: tensor<2x3xf32> has not as many elements as tensor<7xf32>");
  expect_error(module(" %0 = stablehlo.slice %x [0:3, 0:1] : (tensor<2x3xf32>) -> tensor<3x1xf32>"),
               "range 0:3:1 of dimension 0 of tensor<2x3xf32>");
  expect_error(module(" %0 = stablehlo.dot_general %x, %x, contracting_dims = [1] x [0] : (tensor<2x3xf32>, "
                      "tensor<2x3xf32>) -> tensor<2x3xf32>"),
               "dimension 1 of tensor<2x3xf32> and 0 of tensor<2x3xf32> differ");
}

TEST(StablehloErrors, UnknownOperationsAreNamedTogether) {
  const std::string what =
      error(module(R"( %0 = stablehlo.fft %x, type = RFFT, length = [3] : (tensor<2x3xf32>) -> tensor<2x3xf32>
 %1 = "my.op"(%0) {a = #my.attr<"x", [1, 2]>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
 %2 = stablehlo.fft %1, type = RFFT, length = [3] : (tensor<2x3xf32>) -> tensor<2x3xf32>
 return %2 : tensor<2x3xf32>)"));
  EXPECT_NE(what.find("operations that are not supported:\n  line 3, column 7: my.op (1 time)\n"
                      "  line 2, column 7: stablehlo.fft (2 times)\nsupported are: abs, add,"),
            std::string::npos)
      << what;
}

TEST(StablehloErrors, ReducersThatAreNotKnown) {
  expect_error(module(R"( %c = stablehlo.constant dense<0.0> : tensor<f32>
 %0 = stablehlo.reduce(%x init: %c) across dimensions = [1] : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
  reducer(%a: tensor<f32>, %b: tensor<f32>) {
   %1 = stablehlo.subtract %a, %b : tensor<f32>
   stablehlo.return %1 : tensor<f32>
  }
 return %0 : tensor<2xf32>)",
                      "tensor<2xf32>"),
               "line 3, column 7: stablehlo.reduce: its body is not one that is supported: add, multiply, maximum");
}

TEST(StablehloErrors, SizesAreChecked) {
  expect_error("func.func @main(%x: tensor<99999999999999x99999999999999xf32>) {}",
               "line 1, column 21: a tensor of shape");
  expect_error("func.func @main(%x: tensor<99999999999999999999xf32>) {}", "a dimension beyond 64 bits");
  expect_error(module(" %c = stablehlo.constant dense<0.0> : tensor<f32>\n %0 = stablehlo.pad %x, %c, low = [0, "
                      "9223372036854775807], "
                      "high = [0, 0], interior = [0, 0] : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>"),
               "padding of dimension 1 is out of range");
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "[";
  expect_error("func.func @main() attributes {a = " + deep, "nested too deeply");
}

TEST(StablehloText, ALoopCapturesWhatStandsAround) {
  const Tensor y = evaluate(R"(func.func @main(%n: tensor<i32>, %x: tensor<2xf32>) -> tensor<2xf32> {
  %one = stablehlo.constant dense<1> : tensor<i32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %twice = stablehlo.add %x, %x : tensor<2xf32>
  %0:2 = stablehlo.while(%i = %zero, %v = %x) : tensor<i32>, tensor<2xf32>
   cond {
    %c = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %c : tensor<i1>
  } do {
    %a = stablehlo.add %v, %twice : tensor<2xf32>
    %b = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %b, %a : tensor<i32>, tensor<2xf32>
  }
  return %0#1 : tensor<2xf32>
})",
                            {Tensor::of<int32_t>(DType::i32, {}, {3}), floats({2}, {1, 10})})[0];
  EXPECT_EQ(y.as_double(0), 7);
  EXPECT_EQ(y.as_double(1), 70);
}

TEST(StablehloDimensions, UnknownOnesAreNamedAfterTheirInput) {
  const ir::Graph g = load_stablehlo(
      "func.func @main(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {\n %0 = stablehlo.tanh %x : "
      "tensor<?x3xf32>\n return %0 : tensor<?x3xf32>\n}",
      "m");
  EXPECT_EQ(g.type(g.inputs[0]).to_string(), "f32[x_0,3]");
  expect_error(
      "func.func @main(%x: tensor<?x3xf32>) -> tensor<?xf32> {\n %0 = stablehlo.reshape %x : (tensor<?x3xf32>) -> "
      "tensor<?xf32>\n return %0 : tensor<?xf32>\n}",
      "line 2, column 7: stablehlo.reshape: result 0 is tensor<?xf32>: this operation is supported with static");
}

TEST(StablehloDimensions, OneThatIsSaidToEqualItself) {
  const ir::Graph g = load_stablehlo(R"(func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> {
  %n = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?xf32>) -> tensor<i32>
  %e = stablehlo.compare EQ, %n, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
  stablehlo.custom_call @shape_assertion(%e, %n) {has_side_effect = true} : (tensor<i1>, tensor<i32>) -> ()
  %0 = stablehlo.tanh %x : tensor<?xf32>
  return %0 : tensor<?xf32>
})",
                                     "m");
  EXPECT_EQ(g.type(g.inputs[0]).to_string(), "f32[x_0]");
}

TEST(StablehloText, NamesAreUtf8OrLeftOut) {
  const ir::Graph g = load_stablehlo(
      "func.func @main(%x: tensor<f32> loc(\"\\FF\")) -> (tensor<f32> {jax.result_info = "
      "\"\\FE\"}) {\n %0 = stablehlo.tanh %x : tensor<f32> loc(\"\\C3\\A9\")\n "
      "return %0 : tensor<f32>\n}",
      "m");
  EXPECT_EQ(g.value(g.inputs[0]).name, "x");
  EXPECT_EQ(g.value(g.outputs[0]).name, "result");
  EXPECT_EQ(g.node(g.order()[0]).name, "\xc3\xa9");
  expect_error("func.func @\"\\FF\"() -> tensor<f32> {}", "a name that is not UTF-8");
}

}  // namespace
}  // namespace rooftune::frontends
