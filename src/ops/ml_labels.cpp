// LabelEncoder of ai.onnx.ml, which runs its reference only, and two operators that are functions of ai.onnx's:
// ArrayFeatureExtractor and Binarizer.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/function.h"

namespace rooftune::ops {
namespace {

using Strings = std::vector<std::string>;

/// The list that `prefix`tensor, `prefix`strings, `prefix`int64s or `prefix`floats holds, as a tensor.
Tensor list_of(const Node& node, const std::string& prefix) {
  if (const Tensor* tensor = node.attr_tensor(prefix + "tensor")) return *tensor;
  if (const auto at = node.attributes.find(prefix + "strings"); at != node.attributes.end()) {
    const auto* strings = std::get_if<Strings>(&at->second);
    if (strings == nullptr) fail(node, fmt::format("{}strings must be a list of strings", prefix));
    Tensor t(DType::string, {static_cast<int64_t>(strings->size())});
    for (size_t i = 0; i < strings->size(); ++i) t.strings()[i] = (*strings)[i];
    return t;
  }
  if (node.has(prefix + "int64s")) {
    const auto values = node.attr_ints(prefix + "int64s");
    return Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(values.size())}, values);
  }
  if (node.has(prefix + "floats")) {
    const auto values = node.attr_floats(prefix + "floats");
    return Tensor::of<float>(DType::f32, {static_cast<int64_t>(values.size())}, values);
  }
  fail(node, fmt::format("it needs one of {0}tensor, {0}strings, {0}int64s and {0}floats", prefix));
}

/// What stands for elements that are no key: one element of the values' type.
Tensor default_of(const Node& node, DType dtype) {
  if (const Tensor* tensor = node.attr_tensor("default_tensor")) {
    if (tensor->dtype() != dtype || tensor->size() != 1)
      fail(node, fmt::format("default_tensor must hold one {}", ir::name(dtype)));
    return *tensor;
  }
  Tensor t(dtype, {1});
  if (dtype == DType::string) t.strings()[0] = node.attr_string("default_string", "_Unused");
  else if (is_integer(dtype)) t.set_double(0, static_cast<double>(node.attr_int("default_int64", -1)));
  else t.set_double(0, node.attr_float("default_float", -0.0F));
  return t;
}

constexpr DTypeSet kLabels = kString | kNumbers;

std::pair<Tensor, Tensor> labels_of(const Node& node) {
  Tensor keys = list_of(node, "keys_"), values = list_of(node, "values_");
  if (keys.size() != values.size()) fail(node, fmt::format("it has {} keys and {} values", keys.size(), values.size()));
  if (!contains(kLabels, keys.dtype()) || !contains(kLabels, values.dtype()))
    fail(node, "keys and values must be numbers or strings");
  return {std::move(keys), std::move(values)};
}

void infer_labels(InferContext& ctx) {
  const auto [keys, values] = labels_of(ctx.node());
  require(ctx, 0, bit(keys.dtype()));
  default_of(ctx.node(), values.dtype());
  ctx.set_output(0, ctx.has_shape(0) ? Type::tensor(values.dtype(), ctx.shape(0)) : Type::tensor(values.dtype()));
}

void copy_element(const Tensor& from, int64_t i, Tensor& to, int64_t j) {
  if (from.dtype() == DType::string) {
    to.strings()[static_cast<size_t>(j)] = from.strings()[static_cast<size_t>(i)];
    return;
  }
  const auto bytes = static_cast<int64_t>(ir::bit_width(from.dtype()) / 8);
  std::copy_n(from.raw() + i * bytes, bytes, to.raw() + j * bytes);
}

void evaluate_labels(EvalContext& ctx) {
  const auto [keys, values] = labels_of(ctx.node());
  const Tensor otherwise = default_of(ctx.node(), values.dtype());
  const Tensor& x = ctx.input(0);
  Tensor out(values.dtype(), x.shape());
  const auto map = [&](auto key_of) {  // the last of equal keys counts
    std::unordered_map<decltype(key_of(keys, 0)), int64_t> places;
    for (int64_t i = 0; i < keys.size(); ++i) places[key_of(keys, i)] = i;
    for (int64_t i = 0; i < x.size(); ++i) {
      const auto at = places.find(key_of(x, i));
      if (at == places.end()) copy_element(otherwise, 0, out, i);
      else copy_element(values, at->second, out, i);
    }
  };
  if (keys.dtype() == DType::string) {
    map([](const Tensor& t, int64_t i) { return t.strings()[static_cast<size_t>(i)]; });
  } else if (is_integer(keys.dtype())) {
    map([](const Tensor& t, int64_t i) { return t.as_int(i); });
  } else {
    map([](const Tensor& t, int64_t i) {  // any NaN is the same key, and so are both zeros
      const double value = t.as_double(i);
      return std::bit_cast<uint64_t>(std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value + 0.0);
    });
  }
  ctx.set_output(0, std::move(out));
}

/// Columns of the last axis; a vector counts as one row.
void write_extractor(FunctionBuilder& ctx) {
  ir::ValueId x = ctx.input(0);
  if (ctx.rank(x) == 1) x = ctx.unsqueeze(x, {0});
  ctx.output(0, "Gather", {x, ctx.reshape(ctx.input(1), {-1})}, {{"axis", int64_t{-1}}});
}

void write_binarizer(FunctionBuilder& ctx) {
  const ir::ValueId x = ctx.input(0);
  const DType dtype = ctx.dtype(x);
  const ir::ValueId above = ctx.add("Greater", {x, ctx.scalar(dtype, ctx.node().attr_float("threshold", 0))});
  ctx.output(0, "Cast", {above}, {{"to", static_cast<int64_t>(dtype)}});
}

}  // namespace

void register_ml_labels(Catalogue& catalogue) {
  catalogue.add({.name = "LabelEncoder",
                 .domain = "ai.onnx.ml",
                 .since_version = 2,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .infer = infer_labels,
                 .evaluate = evaluate_labels});
  catalogue.add({.name = "ArrayFeatureExtractor",
                 .domain = "ai.onnx.ml",
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .function = write_extractor});
  catalogue.add(
      {.name = "Binarizer", .domain = "ai.onnx.ml", .min_inputs = 1, .max_inputs = 1, .function = write_binarizer});
}

}  // namespace rooftune::ops
