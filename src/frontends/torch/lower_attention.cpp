// Scaled dot-product attention, as the products and the softmax that the fusion of attention knows.
#include <cmath>
#include <limits>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

/// Each head of k and v serves several of q: it is repeated, as torch.repeat_interleave does.
ValueId repeat_heads(Context& c, ValueId x, int64_t times) {
  const std::vector<Size> shape = c.Builder::shape_of(x);  // [batch, heads, length, size]
  if (shape.size() != 4 || !shape[1].known()) c.fail("enable_gqa takes operands of rank 4 with known heads");
  const ValueId wide = c.expand(c.unsqueeze(x, {2}), {shape[0], shape[1], times, shape[2], shape[3]});
  return c.reshape_to(wide, std::vector<Size>{shape[0], shape[1].value * times, shape[2], shape[3]});
}

/// Keys that come after the query are masked: bool[queries, keys].
ValueId causal_mask(Context& c, ValueId q, ValueId k) {
  const Size queries = c.size_of(q, c.rank(q) - 2), keys = c.size_of(k, c.rank(k) - 2);
  constexpr int64_t kMostKept = int64_t{1} << 24;
  if (queries.known() && keys.known() && queries.value * keys.value <= kMostKept) {
    ir::Tensor mask(DType::boolean, {queries.value, keys.value});
    for (int64_t i = 0; i < queries.value; ++i)
      for (int64_t j = 0; j < keys.value; ++j) mask.data<uint8_t>()[i * keys.value + j] = j <= i;
    return c.constant(std::move(mask));
  }
  const auto count = [&](const Size& n) {
    return c.op_as(DType::i64, "Range", {c.integer(DType::i64, 0), c.scalar_of(n), c.integer(DType::i64, 1)});
  };
  return c.op_as(DType::boolean, "LessOrEqual", {count(keys), c.unsqueeze(count(queries), {1})});
}

void attention(Context& c) {
  const ValueId q = c.tensor("query");
  ValueId k = c.tensor("key"), v = c.tensor("value");
  const DType dtype = c.dtype(q);
  if (c.real("dropout_p", 0) > 0) c.fail("it drops at random: export the model after eval()");
  const ir::Shape &q_shape = c.shape_of_argument("query"), &k_shape = c.shape_of_argument("key");
  if (q_shape.size() < 2 || k_shape.size() != q_shape.size()) c.fail("query and key must have equal rank, at least 2");
  if (c.flag("enable_gqa", false) && q_shape.size() == 4 && !(q_shape[1] == k_shape[1])) {
    if (!q_shape[1].is_static() || !k_shape[1].is_static() || k_shape[1].value() < 1 ||
        q_shape[1].value() % k_shape[1].value() != 0)
      c.fail("the heads of query must be a multiple of those of key and value");
    const int64_t times = q_shape[1].value() / k_shape[1].value();
    k = repeat_heads(c, k, times);
    v = repeat_heads(c, v, times);
  }
  if (!c.has("scale") && !q_shape.back().is_static()) c.fail("the size of a head depends on the inputs");
  const double scale = c.has("scale") ? c.real("scale", 1) : 1 / std::sqrt(static_cast<double>(q_shape.back().value()));
  const auto rank = static_cast<int64_t>(q_shape.size());
  std::vector<int64_t> swapped = range(rank);
  std::swap(swapped[static_cast<size_t>(rank - 1)], swapped[static_cast<size_t>(rank - 2)]);
  ValueId scores = c.op("MatMul", {q, c.transpose(k, swapped)});
  if (scale != 1) scores = c.op("Mul", {scores, c.scalar(dtype, scale)});
  ValueId mask = kNone;
  if (c.flag("is_causal", false)) mask = causal_mask(c, q, k);
  const bool given = c.has("attn_mask");
  if (given) mask = c.tensor("attn_mask");
  if (mask != kNone && c.dtype(mask) == DType::boolean)
    scores = c.op_as(dtype, "Where", {mask, scores, c.scalar(dtype, kMasked)});
  else if (mask != kNone) scores = c.op("Add", {scores, c.cast(mask, dtype)});
  ValueId weights = c.op("Softmax", {scores}, {{"axis", int64_t{-1}}});
  if (given) {  // queries whose keys are all masked give zeros
    const ValueId undefined = c.op_as(DType::boolean, "IsNaN", {weights});
    weights = c.op_as(dtype, "Where", {undefined, c.scalar(dtype, 0), weights});
  }
  c.give(c.op("MatMul", {weights, v}));
}

}  // namespace

void register_attention(Lowerings& t) {
  t.add({"aten.scaled_dot_product_attention.default", "aten._scaled_dot_product_flash_attention_for_cpu.default",
         "aten._scaled_dot_product_attention_math.default"},
        attention);
}

}  // namespace rooftune::frontends::torch_format
