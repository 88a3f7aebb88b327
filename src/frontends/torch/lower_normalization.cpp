// Normalization and softmax.
#include <algorithm>
#include <limits>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

/// A vector of `size` equal numbers, for a weight or bias that is not given.
ValueId uniform(Context& c, DType dtype, const std::vector<int64_t>& shape, double value) {
  ir::Tensor t(dtype, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, value);
  return c.constant(std::move(t));
}

int64_t channels(Context& c) {
  const ir::Shape& shape = c.shape_of_argument("input");
  if (shape.size() < 2 || !shape[1].is_static()) c.fail("the number of channels (axis 1) must be known");
  return shape[1].value();
}

ValueId given_or(Context& c, std::string_view name, const std::vector<int64_t>& shape, double otherwise) {
  return c.has(name) ? c.tensor(name) : uniform(c, c.result().dtype, shape, otherwise);
}

/// Per channel over all other axes of this batch.
void normalize_batch(Context& c, double epsilon) {
  const ValueId x = c.tensor("input");
  const int64_t rank = c.rank_of("input");
  const DType dtype = c.dtype(x);
  std::vector<int64_t> axes{0}, column{channels(c)};
  for (int64_t i = 2; i < rank; ++i) axes.push_back(i);
  column.resize(static_cast<size_t>(rank - 1), 1);
  const ValueId centred = c.op("Sub", {x, c.reduce("ReduceMean", x, axes, true)});
  const ValueId variance = c.reduce("ReduceMean", c.op("Mul", {centred, centred}), axes, true);
  ValueId y = c.op("Div", {centred, c.op("Sqrt", {c.op("Add", {variance, c.scalar(dtype, epsilon)})})});
  if (c.has("weight")) y = c.op("Mul", {y, c.reshape(c.tensor("weight"), column)});
  if (c.has("bias")) y = c.op("Add", {y, c.reshape(c.tensor("bias"), column)});
  c.give(y);
}

void batch_norm(Context& c) {
  const double epsilon = c.real("eps", 1e-5);
  if (c.flag("training", false) || c.flag("train", false) || !c.has("running_mean")) {
    if (c.has("running_mean")) c.fail("it updates its running statistics: export the model after eval()");
    return normalize_batch(c, epsilon);
  }
  const std::vector<int64_t> per_channel{channels(c)};
  const ValueId scale = given_or(c, "weight", per_channel, 1), bias = given_or(c, "bias", per_channel, 0);
  c.give(c.op("BatchNormalization", {c.tensor("input"), scale, bias, c.tensor("running_mean"), c.tensor("running_var")},
              {{"epsilon", static_cast<float>(epsilon)}}));
}

void instance_norm(Context& c) {
  if (!c.flag("use_input_stats", true)) return batch_norm(c);
  const std::vector<int64_t> per_channel{channels(c)};
  const ValueId scale = given_or(c, "weight", per_channel, 1), bias = given_or(c, "bias", per_channel, 0);
  c.give(c.op("InstanceNormalization", {c.tensor("input"), scale, bias},
              {{"epsilon", static_cast<float>(c.real("eps", 1e-5))}}));
}

std::vector<int64_t> normalized_shape(Context& c) {
  const std::vector<int64_t> shape = c.integers("normalized_shape");
  if (shape.empty() || static_cast<int64_t>(shape.size()) > c.rank_of("input"))
    c.fail("normalized_shape does not fit the input");
  return shape;
}

void layer_norm(Context& c) {
  const ValueId x = c.tensor("input");
  const std::vector<int64_t> shape = normalized_shape(c);
  std::vector<ValueId> inputs{x, given_or(c, "weight", shape, 1)};
  if (c.has("bias")) inputs.push_back(c.tensor("bias"));
  const Attributes attributes{{"axis", -static_cast<int64_t>(shape.size())},
                              {"epsilon", static_cast<float>(c.real("eps", 1e-5))}};
  c.give(c.op("LayerNormalization", inputs, attributes));
  if (c.result_count() < 3) return;
  // Mean and inverse deviation by a node of their own, which goes where nobody asks for them.
  const auto all = c.ops("LayerNormalization", inputs, {c.dtype(x), DType::f32, DType::f32}, attributes);
  c.give(1, all[1]);
  c.give(2, all[2]);
}

void rms_norm(Context& c) {
  const ValueId x = c.tensor("input");
  const std::vector<int64_t> shape = normalized_shape(c);
  const DType dtype = c.dtype(x);
  const double least = dtype == DType::f16    ? 9.765625e-4
                       : dtype == DType::bf16 ? 7.8125e-3
                       : dtype == DType::f64  ? std::numeric_limits<double>::epsilon()
                                              : std::numeric_limits<float>::epsilon();
  c.give(c.op("RMSNormalization", {x, given_or(c, "weight", shape, 1)},
              {{"axis", -static_cast<int64_t>(shape.size())}, {"epsilon", static_cast<float>(c.real("eps", least))}}));
}

void group_norm(Context& c) {
  const int64_t groups = c.integer(c.has("num_groups") ? "num_groups" : "group");
  const std::vector<int64_t> per_channel{channels(c)};
  const ValueId scale = given_or(c, "weight", per_channel, 1), bias = given_or(c, "bias", per_channel, 0);
  c.give(c.op("GroupNormalization", {c.tensor("input"), scale, bias},
              {{"num_groups", groups}, {"epsilon", static_cast<float>(c.real("eps", 1e-5))}}));
}

Lowering softmax(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId x = c.cast(c.tensor("self"), c.result().dtype);
    if (c.rank_of("self") == 0) return c.give(c.squeeze(c.op(op, {c.unsqueeze(x, {0})}, {{"axis", int64_t{0}}}), {0}));
    c.give(c.op(op, {x}, {{"axis", c.axis(c.integer("dim"), c.rank_of("self"))}}));
  };
}

/// Rows in which nothing is finite give zeros.
void safe_softmax(Context& c) {
  const ValueId x = c.cast(c.tensor("self"), c.result().dtype);
  const int64_t axis = c.axis(c.integer("dim"), c.rank_of("self"));
  const ValueId y = c.op("Softmax", {x}, {{"axis", axis}});
  const ValueId undefined = c.op_as(DType::boolean, "IsNaN", {y});
  c.give(c.op_as(c.dtype(x), "Where", {undefined, c.scalar(c.dtype(x), 0), y}));
}

void cosine_similarity(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId a = c.operand("x1", dtype), b = c.operand("x2", dtype);
  const int64_t rank = std::max(c.rank_of("x1"), c.rank_of("x2"));
  const int64_t axis = c.axis(c.integer("dim", 1), rank);
  const ValueId least = c.scalar(dtype, c.real("eps", 1e-8));
  const auto length = [&](ValueId v) { return c.op("Max", {c.reduce("ReduceL2", v, {axis - rank}, false), least}); };
  const ValueId product = c.reduce("ReduceSum", c.op("Mul", {a, b}), {axis - rank}, false);
  c.give(c.op("Div", {product, c.op("Mul", {length(a), length(b)})}));
}

}  // namespace

void register_normalization(Lowerings& t) {
  t.add({"aten.batch_norm.default", "aten._native_batch_norm_legit_no_training.default",
         "aten._native_batch_norm_legit.default", "aten._native_batch_norm_legit.no_stats",
         "aten.native_batch_norm.default"},
        batch_norm);
  t.add("aten.instance_norm.default", instance_norm);
  t.add({"aten.layer_norm.default", "aten.native_layer_norm.default"}, layer_norm);
  t.add({"aten.rms_norm.default", "aten._fused_rms_norm.default"}, rms_norm);
  t.add({"aten.group_norm.default", "aten.native_group_norm.default"}, group_norm);
  t.add({"aten.softmax.int", "aten._softmax.default"}, softmax("Softmax"));
  t.add({"aten.log_softmax.int", "aten._log_softmax.default"}, softmax("LogSoftmax"));
  t.add("aten._safe_softmax.default", safe_softmax);
  t.add("aten.cosine_similarity.default", cosine_similarity);
}

}  // namespace rooftune::frontends::torch_format
