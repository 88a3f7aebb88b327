#include "ops/function.h"

#include <algorithm>

#include "ops/cells.h"
#include "ops/common.h"

namespace rooftune::ops {
namespace {

/// Functions are written in the forms of this opset, which the ONNX frontend brings all older nodes to.
constexpr int kOpset = 13;

}  // namespace

FunctionBuilder::Attributes FunctionBuilder::attributes(std::initializer_list<std::string_view> keys) const {
  Attributes found;
  for (std::string_view key : keys)
    if (const auto it = node().attributes.find(std::string(key)); it != node().attributes.end()) found.insert(*it);
  return found;
}

void FunctionBuilder::fail(const std::string& what) const { ops::fail(node(), what); }

DType FunctionBuilder::dtype(Value v) const {
  if (v == ir::kNone) fail("an input that it cannot do without is missing");
  const Type& type = graph_.type(v);
  if (!type.is_tensor() || type.dtype() == DType::undefined)
    fail(fmt::format("'{}' must be a tensor, but it is {}", graph_.value(v).name, type.to_string()));
  return type.dtype();
}

Shape FunctionBuilder::shape(Value v) const {
  dtype(v);
  if (!graph_.type(v).has_rank()) fail(fmt::format("the rank of '{}' must be known", graph_.value(v).name));
  return graph_.type(v).shape();
}

int64_t FunctionBuilder::static_dim(Value v, int axis, std::string_view what) const {
  const Shape all = shape(v);
  const int at = axis < 0 ? axis + static_cast<int>(all.size()) : axis;
  if (at < 0 || at >= static_cast<int>(all.size()))
    fail(fmt::format("'{}' has shape {}, which has no axis {} for {}", graph_.value(v).name, to_string(all), axis,
                     what));
  const Dim dim = all[static_cast<size_t>(at)];
  if (!dim.is_static())
    fail(fmt::format("{} must be known: axis {} of '{}' is {}", what, at, graph_.value(v).name, dim.to_string()));
  return dim.value();
}

std::vector<int64_t> FunctionBuilder::known_ints(Value v, std::string_view what) const {
  const Tensor* tensor = graph_.constant(v);
  if (tensor == nullptr && static_cast<size_t>(v) < known_.tensors.size() && known_.tensors[static_cast<size_t>(v)])
    tensor = &known_.tensors[static_cast<size_t>(v)];
  if (tensor == nullptr || !contains(kIndices, tensor->dtype()))
    fail(fmt::format("{} must be integers that are known before the model runs", what));
  return tensor->as_ints();
}

const FunctionBuilder::Values& FunctionBuilder::sequence(Value v) const {
  const auto found = known_.sequences.find(v);
  if (found == known_.sequences.end())
    fail(
        fmt::format("what the sequence '{}' holds is not known; sequences are supported where one graph puts them "
                    "together and takes them apart",
                    v == ir::kNone ? "" : graph_.value(v).name));
  return found->second;
}

void FunctionBuilder::set_sequence(const Values& tensors) {
  const Value v = node().outputs.at(0);
  known_.sequences[v] = tensors;
  graph_.value(v).type = Type::sequence(tensors.empty() ? Type::tensor(DType::f32) : graph_.type(tensors[0]));
}

FunctionBuilder::Value FunctionBuilder::fresh(std::string_view op) {
  return graph_.add_value(fmt::format("{}/{}", node().name, op), Type());
}

FunctionBuilder::Values FunctionBuilder::make(std::string_view op, Values inputs, const Attributes& attributes,
                                              Values outputs, int version) {
  const OpDef* def = Catalogue::instance().find(op, "");
  RT_CHECK(def != nullptr && !def->function, "{} is written in {}, which is no operator of its own", node().label(),
           op);
  while (!inputs.empty() && inputs.back() == ir::kNone) inputs.pop_back();
  Node made;
  made.op = op;
  made.name = fmt::format("{}/{}", node().name, op);
  made.since_version = std::max({kOpset, def->since_version, version});
  made.inputs = std::move(inputs);
  made.outputs = outputs;
  made.attributes = attributes;
  infer_(graph_.add_node(std::move(made), id_));
  return outputs;
}

FunctionBuilder::Values FunctionBuilder::add_many(std::string_view op, const Values& inputs, size_t count,
                                                  const Attributes& attributes) {
  Values outputs;
  for (size_t i = 0; i < count; ++i) outputs.push_back(fresh(op));
  return make(op, inputs, attributes, std::move(outputs), 0);
}

FunctionBuilder::Value FunctionBuilder::output(size_t i, std::string_view op, const Values& inputs,
                                               const Attributes& attributes, int version) {
  return make(op, inputs, attributes, {has_output(i) ? node().outputs[i] : fresh(op)}, version).front();
}

FunctionBuilder::Value FunctionBuilder::scalar(DType dtype, double value) {
  if (!contains(kNumbers, dtype)) fail(fmt::format("it takes numbers, not {}", ir::name(dtype)));
  Tensor t(dtype, {});
  t.set_double(0, value);
  return graph_.add_constant(fmt::format("{}/constant", node().name), std::move(t));
}

FunctionBuilder::Value FunctionBuilder::ints(const std::vector<int64_t>& values) {
  return graph_.add_constant(fmt::format("{}/ints", node().name),
                             Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(values.size())}, values));
}

FunctionBuilder::Value FunctionBuilder::nibbles(Value bytes, const std::vector<int64_t>& shape) {
  const Tensor* constant = graph_.constant(bytes);
  if (constant == nullptr || constant->dtype() != DType::u8 || product(shape) != 2 * constant->size()) return ir::kNone;
  return graph_.add_constant(graph_.value(bytes).name,
                             Tensor(DType::u4, shape, constant->storage(), constant->offset()));
}

FunctionBuilder::Value FunctionBuilder::cast(Value x, DType to) {
  return dtype(x) == to ? x : add("Cast", {x}, {{"to", static_cast<int64_t>(to)}});
}

FunctionBuilder::Value FunctionBuilder::extent(Value x, int axis) {
  const Shape all = shape(x);
  const Dim dim = all.at(static_cast<size_t>(axis < 0 ? axis + static_cast<int>(all.size()) : axis));
  if (dim.is_static()) {
    const auto value = Tensor::of<int64_t>(DType::i64, {}, {dim.value()});
    return graph_.add_constant(fmt::format("{}/extent", node().name), value);
  }
  const Value index =
      graph_.add_constant(fmt::format("{}/axis", node().name), Tensor::of<int64_t>(DType::i64, {}, {axis}));
  return add("Gather", {add("Shape", {x}), index});
}

FunctionBuilder::Value FunctionBuilder::range(Value begin, Value end) {
  return add("Range", {begin, end, scalar(DType::i64, 1)});
}

}  // namespace rooftune::ops
