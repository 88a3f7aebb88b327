// Quantised operators of com.microsoft, as onnxruntime's quantiser writes them: element-wise ones become
// DequantizeLinear, the operator, QuantizeLinear (which fuse into one kernel); products stay sums of integers; weights
// of fewer bits become the 4-bit numbers of ai.onnx by operators that constant folding runs once.
#include "ops/common.h"
#include "ops/contrib.h"
#include "ops/families.h"

namespace rooftune::ops {

ir::ValueId integer_product(FunctionBuilder& ctx, const IntegerProduct& p) {
  const ir::ValueId sums = ctx.add("MatMulInteger", {p.a, p.b, p.a_zero, p.b_zero});
  return ctx.add("Mul", {ctx.cast(sums, ctx.dtype(p.a_scale)), ctx.add("Mul", {p.a_scale, p.b_scale})});
}

namespace {

using Value = FunctionBuilder::Value;
using Values = FunctionBuilder::Values;
using Attributes = FunctionBuilder::Attributes;
using ir::kNone;

Value dequantized(FunctionBuilder& ctx, Value x, Value scale, Value zero, const Attributes& attributes = {}) {
  return ctx.add("DequantizeLinear", {x, scale, zero}, attributes);
}

/// Output 0: `y` in the element type of `like` where it has no zero point.
void quantize(FunctionBuilder& ctx, Value y, Value scale, Value zero, Value like) {
  ctx.output(0, "QuantizeLinear", {y, scale, zero != kNone ? zero : ctx.scalar(ctx.dtype(like), 0)});
}

// --- element-wise: x, its scale and zero point, …, the result's scale and zero point

void write_binary(FunctionBuilder& ctx, const char* op) {
  const Value a = dequantized(ctx, ctx.input(0), ctx.input(1), ctx.input(2));
  const Value b = dequantized(ctx, ctx.input(3), ctx.input(4), ctx.input(5));
  quantize(ctx, ctx.add(op, {a, b}), ctx.input(6), ctx.input(7), ctx.input(0));
}

/// `make` gives the result of the dequantised input.
void write_unary(FunctionBuilder& ctx, const std::function<Value(Value)>& make) {
  const Value x = dequantized(ctx, ctx.input(0), ctx.input(1), ctx.input(2));
  quantize(ctx, make(x), ctx.input(3), ctx.input(4), ctx.input(0));
}

void write_leaky_relu(FunctionBuilder& ctx) {
  write_unary(ctx, [&](Value x) { return ctx.add("LeakyRelu", {x}, ctx.attributes({"alpha"})); });
}

void write_sigmoid(FunctionBuilder& ctx) {
  write_unary(ctx, [&](Value x) { return ctx.add("Sigmoid", {x}); });
}

/// Before opset 13 all axes from `axis` on are one.
void write_softmax(FunctionBuilder& ctx) {
  write_unary(ctx, [&](Value x) {
    const bool old = ctx.node().attr_int("opset", 0) < 13;
    const int64_t axis = ctx.node().attr_int("axis", old ? 1 : -1);
    if (!old || axis == -1 || axis == ctx.rank(x) - 1) return ctx.add("Softmax", {x}, {{"axis", axis}});
    const Value y = ctx.add("Softmax", {ctx.add("Flatten", {x}, {{"axis", axis}})}, {{"axis", int64_t{-1}}});
    return ctx.add("Reshape", {y, ctx.add("Shape", {x})});
  });
}

void write_concat(FunctionBuilder& ctx) {
  const size_t count = ctx.node().inputs.size();
  if (count < 5 || (count - 2) % 3 != 0) ctx.fail("its inputs must be a tensor, a scale and a zero point each");
  Values parts;
  for (size_t i = 2; i < count; i += 3)
    parts.push_back(dequantized(ctx, ctx.input(i), ctx.input(i + 1), ctx.input(i + 2)));
  const Value all = ctx.add("Concat", parts, {{"axis", ctx.node().attr_int("axis", 0)}});
  quantize(ctx, all, ctx.input(0), ctx.input(1), ctx.input(2));
}

void write_where(FunctionBuilder& ctx) {
  const Value x = dequantized(ctx, ctx.input(1), ctx.input(2), ctx.input(3));
  const Value y = dequantized(ctx, ctx.input(4), ctx.input(5), ctx.input(6));
  quantize(ctx, ctx.add("Where", {ctx.input(0), x, y}), ctx.input(7), ctx.input(8), ctx.input(1));
}

// --- windows

/// `x` with its channels, which are the last axis, as the second one; and back.
Value channels_first(FunctionBuilder& ctx, Value x) {
  std::vector<int64_t> perm = {0, ctx.rank(x) - 1};
  for (int d = 1; d + 1 < ctx.rank(x); ++d) perm.push_back(d);
  return ctx.transpose(x, perm);
}

std::vector<int64_t> channels_last_perm(int rank) {
  std::vector<int64_t> perm = {0};
  for (int d = 2; d < rank; ++d) perm.push_back(d);
  perm.push_back(1);
  return perm;
}

void write_pool(FunctionBuilder& ctx, const char* op) {
  write_unary(ctx, [&](Value x) {
    const bool last = ctx.node().attr_int("channels_last", 0) != 0;
    if (ctx.rank(x) < 3) ctx.fail(fmt::format("its input has rank {}, which must be at least 3", ctx.rank(x)));
    const Value y =
        ctx.add(op, {last ? channels_first(ctx, x) : x},
                ctx.attributes({"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"}));
    return last ? ctx.transpose(y, channels_last_perm(ctx.rank(y))) : y;
  });
}

void write_conv(FunctionBuilder& ctx) {
  const bool last = ctx.node().attr_int("channels_last", 0) != 0;
  Values inputs = ctx.node().inputs;
  if (ctx.rank(inputs[0]) < 3)
    ctx.fail(fmt::format("its input has rank {}, which must be at least 3", ctx.rank(inputs[0])));
  const Attributes attributes = ctx.attributes({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"});
  if (last) inputs[0] = channels_first(ctx, inputs[0]);
  if (!last) ctx.output(0, "QLinearConv", inputs, attributes);
  else
    ctx.output(0, "Transpose", {ctx.add("QLinearConv", inputs, attributes)},
               {{"perm", channels_last_perm(ctx.rank(inputs[0]))}});
}

// --- products

void add_bias(FunctionBuilder& ctx, Value product, Value bias) {
  if (bias == kNone) ctx.output(0, "Identity", {product});
  else ctx.output(0, "Add", {product, bias});
}

void write_dynamic_matmul(FunctionBuilder& ctx) {
  const Values a = ctx.add_many("DynamicQuantizeLinear", {ctx.input(0)}, 3);
  const Value product = integer_product(
      ctx,
      {.a = a[0], .b = ctx.input(1), .a_scale = a[1], .b_scale = ctx.input(2), .a_zero = a[2], .b_zero = ctx.input(3)});
  add_bias(ctx, product, ctx.input(4));
}

void write_matmul_to_float(FunctionBuilder& ctx) {
  const Value product = integer_product(ctx, {.a = ctx.input(0),
                                              .b = ctx.input(1),
                                              .a_scale = ctx.input(2),
                                              .b_scale = ctx.input(3),
                                              .a_zero = ctx.input(4),
                                              .b_zero = ctx.input(5)});
  add_bias(ctx, product, ctx.input(6));
}

/// C is an integer in units of a_scale · b_scale; without y_scale the result is in full precision.
void write_gemm(FunctionBuilder& ctx) {
  const auto matrix = [&](size_t i, const char* key) {
    const bool transposed = ctx.node().attr_int(key, 0) != 0;
    return transposed ? ctx.transpose(ctx.input(i), {1, 0}) : ctx.input(i);
  };
  Value sums = ctx.add("MatMulInteger", {matrix(0, "transA"), matrix(3, "transB"), ctx.input(2), ctx.input(5)});
  if (ctx.has_input(6)) sums = ctx.add("Add", {sums, ctx.input(6)});
  Value scale = ctx.add("Mul", {ctx.input(1), ctx.input(4)});
  if (const double alpha = ctx.node().attr_float("alpha", 1); alpha != 1)
    scale = ctx.add("Mul", {scale, ctx.scalar(DType::f32, alpha)});
  const Value product = ctx.add("Mul", {ctx.cast(sums, DType::f32), scale});
  if (ctx.has_input(7)) quantize(ctx, product, ctx.input(7), ctx.input(8), ctx.input(0));
  else ctx.output(0, "Identity", {product});
}

// --- weights of a few bits

/// Bytes [.., n] as the numbers of `bits` bits that they hold, the low ones first: [.., n · 8 / bits] in `dtype`.
Value unpacked(FunctionBuilder& ctx, Value bytes, int64_t bits, DType dtype) {
  if (bits == 8) return ctx.cast(bytes, dtype);
  Values parts;
  const Value mask = ctx.scalar(DType::u8, static_cast<double>((1 << bits) - 1));
  for (int64_t low = 0; low < 8; low += bits) {
    const Value shifted = low == 0 ? bytes
                                   : ctx.add("BitShift", {bytes, ctx.scalar(DType::u8, static_cast<double>(low))},
                                             {{"direction", std::string("RIGHT")}});
    parts.push_back(ctx.unsqueeze(ctx.cast(ctx.add_since(18, "BitwiseAnd", {shifted, mask}), dtype), {-1}));
  }
  std::vector<int64_t> shape(static_cast<size_t>(ctx.rank(bytes) - 1), 0);
  shape.push_back(-1);
  return ctx.reshape(ctx.add("Concat", parts, {{"axis", int64_t{-1}}}), shape);
}

int64_t bits_of(const FunctionBuilder& ctx) {
  const int64_t bits = ctx.node().attr_int("bits", 4);
  if (bits != 2 && bits != 4 && bits != 8) ctx.fail(fmt::format("bits is {}; 2, 4 and 8 are supported", bits));
  return bits;
}

void write_matmul_nbits(FunctionBuilder& ctx) {
  const int64_t bits = bits_of(ctx), block = ctx.node().attr_int("block_size", 0);
  const int64_t k = ctx.node().attr_int("K", 0), n = ctx.node().attr_int("N", 0);
  if (k < 1 || n < 1 || block < 8 / bits || k > INT32_MAX || n > INT32_MAX || block > INT32_MAX)
    ctx.fail(fmt::format("K={}, N={}, block_size={} are no sizes of a matrix in blocks", k, n, block));
  if (ctx.node().attr_int("weight_prepacked", 0) != 0) ctx.fail("weight_prepacked is not supported");
  const int64_t blocks = (k + block - 1) / block;
  const DType dtype = ctx.dtype(ctx.input(0));
  if (ctx.dtype(ctx.input(1)) != DType::u8) ctx.fail("B must hold bytes (u8)");
  const bool grouped = ctx.has_input(4);
  const bool whole_zeros = !ctx.has_input(3) || ctx.dtype(ctx.input(3)) == DType::u8;
  if (!grouped && whole_zeros) {  // as ai.onnx has it: the weights stay as narrow as they are
    const auto narrow = [&](Value numbers) {
      return bits == 8 ? numbers : ctx.add_since(21, "Cast", {numbers}, {{"to", static_cast<int64_t>(DType::u4)}});
    };
    // In whole blocks they lie as ai.onnx has them already.
    Value weights = bits == 4 ? ctx.nibbles(ctx.input(1), {n, k}) : ir::kNone;
    if (weights == ir::kNone) {
      const Value numbers = ctx.reshape(unpacked(ctx, ctx.reshape(ctx.input(1), {n, -1}), bits, DType::u8), {n, -1});
      weights = narrow(ctx.slice(numbers, 1, 0, k));
    }
    const Value zeros =
        ctx.has_input(3)
            ? ctx.slice(unpacked(ctx, ctx.reshape(ctx.input(3), {n, -1}), bits, DType::u8), 1, 0, blocks)
            : ctx.add("Expand", {ctx.scalar(DType::u8, static_cast<double>(1 << (bits - 1))), ctx.ints({n, blocks})});
    const Value matrix = ctx.add_since(
        21, "DequantizeLinear", {weights, ctx.reshape(ctx.cast(ctx.input(2), dtype), {n, blocks}), narrow(zeros)},
        {{"axis", int64_t{1}}, {"block_size", block}});
    return add_bias(ctx, ctx.add("MatMul", {ctx.input(0), ctx.transpose(matrix, {1, 0})}), ctx.input(5));
  }
  // [n, blocks, block] beside scales [n, blocks, 1]; with a group for each k [n, blocks · block] beside as many scales.
  const std::vector<int64_t> shape = grouped ? std::vector<int64_t>{n, -1} : std::vector<int64_t>{n, blocks, -1};
  const auto spread = [&](Value per_block) {
    const Value all = ctx.reshape(ctx.cast(per_block, dtype), {n, blocks});
    return grouped ? ctx.add("Gather", {all, ctx.input(4)}, {{"axis", int64_t{1}}}) : ctx.unsqueeze(all, {2});
  };
  const Value numbers = unpacked(ctx, ctx.reshape(ctx.input(1), shape), bits, dtype);
  Value zero = ctx.scalar(dtype, static_cast<double>(1 << (bits - 1)));
  if (ctx.has_input(3)) {
    zero = ctx.input(3);
    if (ctx.dtype(zero) == DType::u8)
      zero = ctx.slice(unpacked(ctx, ctx.reshape(zero, {n, -1}), bits, dtype), 1, 0, blocks);
    zero = spread(zero);
  }
  const Value weights = ctx.add("Mul", {ctx.add("Sub", {numbers, zero}), spread(ctx.input(2))});
  const Value matrix = ctx.transpose(ctx.slice(ctx.reshape(weights, {n, -1}), 1, 0, k), {1, 0});
  add_bias(ctx, ctx.add("MatMul", {ctx.input(0), matrix}), ctx.input(5));
}

void write_gather(FunctionBuilder& ctx) {
  Value data = ctx.input(0), zero = ctx.input(3);
  const int64_t block = ctx.node().attr_int("block_size", 128);
  int64_t axis = ctx.node().attr_int("quantize_axis", 1);
  if (ctx.dtype(data) == DType::u8) {
    const int64_t bits = bits_of(ctx);
    if (normalize_axis(ctx.node(), axis, ctx.rank(data)) != ctx.rank(data) - 1)
      ctx.fail("packed data must be quantised along its last axis");
    const DType u8 = DType::u8;
    data = unpacked(ctx, data, bits, u8);
    const int64_t blocks = ctx.static_dim(ctx.input(2), -1, "the number of blocks");
    if (zero != kNone) zero = ctx.slice(unpacked(ctx, zero, bits, u8), -1, 0, blocks);
    else
      zero =
          ctx.add("Expand", {ctx.scalar(u8, static_cast<double>(1 << (bits - 1))), ctx.add("Shape", {ctx.input(2)})});
  }
  const Value table =
      ctx.add_since(21, "DequantizeLinear", {data, ctx.input(2), zero}, {{"axis", axis}, {"block_size", block}});
  ctx.output(0, "Gather", {table, ctx.input(1)}, {{"axis", ctx.node().attr_int("gather_axis", 0)}});
}

/// Weights [directions, inputs, 4 · hidden] and their scales, one a direction or one for each of its columns. Where
/// onnxruntime quantises what it multiplies them with, this does not.
void write_lstm(FunctionBuilder& ctx) {
  const auto weights = [&](size_t i, size_t scale) {
    const auto per_column = [&](Value v) {
      return ctx.unsqueeze(v, ctx.rank(v) == 1 ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{1});
    };
    Value w = ctx.cast(ctx.input(i), DType::f32);
    if (ctx.has_input(scale + 1)) w = ctx.add("Sub", {w, per_column(ctx.cast(ctx.input(scale + 1), DType::f32))});
    return ctx.transpose(ctx.add("Mul", {w, per_column(ctx.input(scale))}), {0, 2, 1});
  };
  const Values inputs = {ctx.input(0), weights(1, 8), weights(2, 10), ctx.input(3),
                         ctx.input(4), ctx.input(5),  ctx.input(6),   ctx.input(7)};
  const Values all = ctx.add_many("LSTM", inputs, 3,
                                  ctx.attributes({"activation_alpha", "activation_beta", "activations", "clip",
                                                  "direction", "hidden_size", "input_forget"}));
  for (size_t i = 0; i < 3; ++i)
    if (ctx.has_output(i)) ctx.output(i, "Identity", {all[i]});
}

}  // namespace

void register_contrib_quantized(Catalogue& catalogue) {
  // Those of ai.onnx, which has had their types since.
  add_contrib(catalogue, "QuantizeLinear", 2, 3, 1, [](FunctionBuilder& ctx) {
    ctx.output(0, "QuantizeLinear", ctx.node().inputs, ctx.attributes({"axis"}), 21);
  });
  add_contrib(catalogue, "DequantizeLinear", 2, 3, 1, [](FunctionBuilder& ctx) {
    ctx.output(0, "DequantizeLinear", ctx.node().inputs, ctx.attributes({"axis"}), 21);
  });
  add_contrib(catalogue, "QLinearAdd", 2, 8, 1, [](FunctionBuilder& ctx) { write_binary(ctx, "Add"); });
  add_contrib(catalogue, "QLinearMul", 2, 8, 1, [](FunctionBuilder& ctx) { write_binary(ctx, "Mul"); });
  add_contrib(catalogue, "QLinearLeakyRelu", 2, 5, 1, write_leaky_relu);
  add_contrib(catalogue, "QLinearSigmoid", 2, 5, 1, write_sigmoid);
  add_contrib(catalogue, "QLinearSoftmax", 2, 5, 1, write_softmax);
  add_contrib(catalogue, "QLinearConcat", 5, -1, 1, write_concat);
  add_contrib(catalogue, "QLinearWhere", 9, 9, 1, write_where);
  add_contrib(catalogue, "QLinearAveragePool", 2, 5, 1, [](FunctionBuilder& ctx) { write_pool(ctx, "AveragePool"); });
  add_contrib(catalogue, "QLinearGlobalAveragePool", 2, 5, 1,
              [](FunctionBuilder& ctx) { write_pool(ctx, "GlobalAveragePool"); });
  add_contrib(catalogue, "QLinearConv", 8, 9, 1, write_conv);
  add_contrib(catalogue, "DynamicQuantizeMatMul", 3, 5, 1, write_dynamic_matmul);
  add_contrib(catalogue, "MatMulIntegerToFloat", 4, 7, 1, write_matmul_to_float);
  add_contrib(catalogue, "QGemm", 6, 9, 1, write_gemm);
  add_contrib(catalogue, "MatMulNBits", 3, 6, 1, write_matmul_nbits);
  add_contrib(catalogue, "GatherBlockQuantized", 3, 4, 1, write_gather);
  add_contrib(catalogue, "DynamicQuantizeLSTM", 3, 12, 3, write_lstm);
}

}  // namespace rooftune::ops
