#include "ops/op.h"

#include <algorithm>

#include "ops/half.h"

namespace rooftune::ops {
namespace {

constexpr size_t kMaxKnownInts = 1024;

const Type& type_of(const Graph& graph, const Node& node, const std::vector<ir::ValueId>& ids, int i,
                    const char* what) {
  if (static_cast<size_t>(i) >= ids.size() || ids[static_cast<size_t>(i)] == ir::kNone)
    fail(node, fmt::format("{} {} is missing", what, i));
  return graph.type(ids[static_cast<size_t>(i)]);
}

// Takes from two descriptions of one dim the one that says more. `stated` comes from the model or an earlier inference.
Dim merge_dim(const Node& node, const std::string& value, const Dim& inferred, const Dim& stated) {
  if (inferred == stated) return inferred;
  if (inferred.is_static()) {
    if (stated.is_static() || inferred.value() < stated.min() || inferred.value() > stated.max())
      fail(node, fmt::format("output '{}' has a dim of {}, but the model states {}", value, inferred.to_string(),
                             stated.to_string()));
    return inferred;
  }
  if (stated.is_static()) {
    if (stated.value() < inferred.min() || stated.value() > inferred.max())
      fail(node, fmt::format("output '{}' has a dim of {}, but the model states {}", value, inferred.to_string(),
                             stated.to_string()));
    return stated;
  }
  return is_unknown(inferred) ? stated : inferred;
}

Type merge(const Node& node, const std::string& value, const Type& inferred, const Type& stated) {
  if (stated.kind() == Type::Kind::none) return inferred;
  if (inferred.kind() == Type::Kind::none) return stated;
  const auto disagree = [&]() {
    fail(node,
         fmt::format("output '{}' is {}, but the model states {}", value, inferred.to_string(), stated.to_string()));
  };
  if (inferred.kind() != stated.kind()) disagree();
  if (inferred.kind() == Type::Kind::sequence)
    return Type::sequence(merge(node, value, inferred.element(), stated.element()));
  if (inferred.kind() == Type::Kind::optional)
    return Type::optional(merge(node, value, inferred.element(), stated.element()));
  if (stated.dtype() != DType::undefined && inferred.dtype() != stated.dtype()) disagree();
  if (!stated.has_rank()) return inferred;
  if (!inferred.has_rank()) return Type::tensor(inferred.dtype(), stated.shape());
  if (inferred.rank() != stated.rank()) disagree();
  Shape shape;
  for (size_t d = 0; d < inferred.shape().size(); ++d)
    shape.push_back(merge_dim(node, value, inferred.shape()[d], stated.shape()[d]));
  return Type::tensor(inferred.dtype(), std::move(shape));
}

// Fails for a negative dim and for a tensor that no machine holds, before anybody computes with its size.
void check_size(const Node& node, int output, const Shape& shape) {
  double count = 1;
  for (const Dim& d : shape) {
    if (d.max() < 0)
      fail(node, fmt::format("output {} would have shape {} with a negative dim", output, to_string(shape)));
    if (d.is_static()) count *= static_cast<double>(d.value());
  }
  if (ir::is_static(shape) && count > kMostElements)
    fail(node, fmt::format("output {} would have shape {}, which is too large", output, to_string(shape)));
}

}  // namespace

// --- inference

bool InferContext::has_input(int i) const { return node_.input(static_cast<size_t>(i)) != ir::kNone; }

bool InferContext::has_output(int i) const {
  return static_cast<size_t>(i) < node_.outputs.size() && node_.outputs[static_cast<size_t>(i)] != ir::kNone;
}

const Type& InferContext::input(int i) const {
  const Type& type = type_of(graph_, node_, node_.inputs, i, "input");
  if (type.kind() == Type::Kind::none)
    fail(fmt::format("the type of input '{}' is not known", graph_.value(node_.input(static_cast<size_t>(i))).name));
  return type;
}

DType InferContext::dtype(int i) const {
  const Type& type = input(i);
  if (!type.is_tensor()) fail(fmt::format("input {} must be a tensor, but it is {}", i, type.to_string()));
  return type.dtype();
}

bool InferContext::has_shape(int i) const { return input(i).is_tensor() && input(i).has_rank(); }

const Shape& InferContext::shape(int i) const {
  dtype(i);
  if (!input(i).has_rank()) fail(fmt::format("the rank of input {} must be known", i));
  return input(i).shape();
}

const Tensor* InferContext::constant(int i) const {
  const ir::ValueId id = node_.input(static_cast<size_t>(i));
  if (id == ir::kNone) return nullptr;
  if (const Tensor* constant = graph_.constant(id)) return constant;
  const Tensor& known = known_.tensors[static_cast<size_t>(id)];
  return known ? &known : nullptr;
}

std::optional<std::vector<Dim>> InferContext::ints(int i) const {
  const ir::ValueId id = node_.input(static_cast<size_t>(i));
  if (id == ir::kNone) return std::nullopt;
  if (const Tensor* tensor = constant(i)) {
    const bool integral = is_integer(tensor->dtype()) || tensor->dtype() == DType::boolean;
    if (!integral || static_cast<size_t>(tensor->size()) > kMaxKnownInts) return std::nullopt;
    const std::vector<int64_t> values = tensor->as_ints();
    return std::vector<Dim>(values.begin(), values.end());
  }
  return known_.ints[static_cast<size_t>(id)];
}

void InferContext::set_output(int i, Type type) {
  if (!has_output(i)) return;
  if (type.is_tensor() && type.has_rank()) check_size(node_, i, type.shape());
  ir::Value& value = graph_.value(node_.outputs[static_cast<size_t>(i)]);
  value.type = merge(node_, value.name, type, value.type);
}

void InferContext::set_output_ints(int i, std::vector<Dim> values) {
  if (has_output(i) && values.size() <= kMaxKnownInts)
    known_.ints[static_cast<size_t>(node_.outputs[static_cast<size_t>(i)])] = std::move(values);
}

Dim InferContext::unknown_dim(int i, int axis, int64_t min, int64_t max) const {
  return ops::unknown_dim(has_output(i) ? graph_.value(node_.outputs[static_cast<size_t>(i)]).name : node_.name, axis,
                          min, max);
}

void InferContext::fail(const std::string& what) const { ops::fail(node_, what); }

// --- cost

bool CostContext::has_input(int i) const { return node.input(static_cast<size_t>(i)) != ir::kNone; }
const Type& CostContext::input(int i) const { return type_of(graph, node, node.inputs, i, "input"); }
const Type& CostContext::output(int i) const { return type_of(graph, node, node.outputs, i, "output"); }

// --- evaluation

const Tensor& EvalContext::input(int i) const {
  if (!has_input(i)) fail(fmt::format("input {} is missing", i));
  return inputs_[static_cast<size_t>(i)];
}

void EvalContext::set_output(int i, Tensor tensor) {
  if (outputs_.size() <= static_cast<size_t>(i)) outputs_.resize(static_cast<size_t>(i) + 1);
  outputs_[static_cast<size_t>(i)] = std::move(tensor);
}

void EvalContext::fail(const std::string& what) const { ops::fail(node_, what); }

// --- lowering

std::vector<int64_t> LowerContext::shape(int i) const {
  return static_values(type_of(graph_, node_, node_.inputs, i, "input").shape());
}

std::vector<int64_t> LowerContext::output_shape(int i) const {
  return static_values(type_of(graph_, node_, node_.outputs, i, "output").shape());
}

DType LowerContext::dtype(int i) const { return computed_in(type_of(graph_, node_, node_.inputs, i, "input").dtype()); }

const Tensor* LowerContext::constant(int i) const { return graph_.constant(node_.input(static_cast<size_t>(i))); }

void LowerContext::set_output(int i, int buffer) {
  if (outputs_.size() <= static_cast<size_t>(i)) outputs_.resize(static_cast<size_t>(i) + 1, -1);
  outputs_[static_cast<size_t>(i)] = buffer;
}

}  // namespace rooftune::ops
