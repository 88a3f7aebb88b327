#include "frontends/torch/builder.h"

#include <algorithm>

namespace rooftune::frontends::torch_format {

ValueId Constants::add(ir::Tensor tensor) {
  const std::pair key(ir::content_hash(tensor), tensor.bytes());
  if (const auto it = small_.find(key); it != small_.end() && ir::same_content(*graph_.constant(it->second), tensor))
    return it->second;
  const ValueId id = graph_.add_constant("constant", std::move(tensor));
  small_[key] = id;
  return id;
}

std::vector<ValueId> Builder::ops(std::string_view op, std::vector<ValueId> inputs, const std::vector<DType>& results,
                                  Attributes attributes) {
  ir::Node node;
  node.op = op;
  node.since_version = op == "CumProd" || op == "BitCast" ? kNewestOpset : kOpset;
  int& stated = graph_.opsets[""];
  stated = std::max(stated, node.since_version);
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (const DType dtype : results)
    node.outputs.push_back(graph_.add_value("value", dtype == DType::undefined ? ir::Type() : ir::Type::tensor(dtype)));
  std::vector<ValueId> outputs = node.outputs;
  pending_.push_back(std::move(node));
  return outputs;
}

ValueId Builder::op_as(DType dtype, std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
  return ops(op, std::move(inputs), {dtype}, std::move(attributes))[0];
}

ValueId Builder::op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
  const DType dtype = this->dtype(inputs.at(0));
  return op_as(dtype, op, std::move(inputs), std::move(attributes));
}

ValueId Builder::scalar(DType dtype, double value) {
  ir::Tensor t(dtype, {});
  t.set_double(0, value);
  return constant(std::move(t));
}

ValueId Builder::integer(DType dtype, int64_t value) {
  if (dtype != DType::i64) return scalar(dtype, static_cast<double>(value));
  return constant(ir::Tensor::of<int64_t>(dtype, {}, {value}));
}

ValueId Builder::ints(const std::vector<int64_t>& values) {
  return constant(ir::Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(values.size())}, values));
}

ValueId Builder::sizes(const std::vector<Size>& sizes) {
  std::vector<ValueId> parts;
  std::vector<int64_t> run;  // of known ones
  const auto end_run = [&] {
    if (!run.empty()) parts.push_back(ints(run));
    run.clear();
  };
  for (const Size& s : sizes) {
    if (s.known()) {
      run.push_back(s.value);
    } else {
      end_run();
      parts.push_back(s.id);
    }
  }
  if (parts.empty()) return ints(run);
  end_run();
  return concat(parts, 0);
}

ValueId Builder::cast(ValueId value, DType dtype) {
  if (this->dtype(value) == dtype) return value;
  const ValueId result = op_as(dtype, "Cast", {value}, {{"to", static_cast<int64_t>(dtype)}});
  if (const ir::Type& type = graph_.type(value); type.has_rank())
    graph_.value(result).type = ir::Type::tensor(dtype, type.shape());
  return result;
}

ValueId Builder::reshape(ValueId value, const std::vector<int64_t>& shape) {
  return op("Reshape", {value, ints(shape)});
}

ValueId Builder::reshape_to(ValueId value, const std::vector<Size>& shape) {
  const bool empty = std::any_of(shape.begin(), shape.end(), [](const Size& s) { return s.known() && s.value == 0; });
  Attributes attributes;
  if (empty) attributes["allowzero"] = int64_t{1};
  return op("Reshape", {value, sizes(shape)}, std::move(attributes));
}

ValueId Builder::transpose(ValueId value, const std::vector<int64_t>& order) {
  if (std::is_sorted(order.begin(), order.end())) return value;
  return op("Transpose", {value}, {{"perm", order}});
}

ValueId Builder::unsqueeze(ValueId value, const std::vector<int64_t>& axes) {
  return axes.empty() ? value : op("Unsqueeze", {value, ints(axes)});
}

ValueId Builder::squeeze(ValueId value, const std::vector<int64_t>& axes) {
  return axes.empty() ? value : op("Squeeze", {value, ints(axes)});
}

ValueId Builder::slice(ValueId value, int64_t axis, const Size& start, const Size& end, int64_t step) {
  return op("Slice", {value, sizes({start}), sizes({end}), ints({axis}), ints({step})});
}

ValueId Builder::concat(const std::vector<ValueId>& values, int64_t axis) {
  return values.size() == 1 ? values[0] : op("Concat", values, {{"axis", axis}});
}

ValueId Builder::reduce(std::string_view op, ValueId value, const std::vector<int64_t>& axes, bool keep) {
  return this->op(op, {value, ints(axes)}, {{"keepdims", int64_t{keep}}});
}

ValueId Builder::full(const std::vector<Size>& shape, ir::Tensor value) {
  const DType dtype = value.dtype();
  return op_as(dtype, "ConstantOfShape", {sizes(shape)}, {{"value", value.reshaped({1})}});
}

Size Builder::size_of(ValueId value, int64_t axis) {
  if (const ir::Type& type = graph_.type(value); type.has_rank()) {
    if (axis < 0) axis += type.rank();
    if (const ir::Dim& d = type.shape().at(static_cast<size_t>(axis)); d.is_static()) return d.value();
  }
  Attributes range{{"start", axis}};
  if (axis != -1) range["end"] = axis + 1;
  return Size::computed(op_as(DType::i64, "Shape", {value}, std::move(range)));
}

std::vector<Size> Builder::shape_of(ValueId value) {
  std::vector<Size> sizes;
  for (int64_t i = 0; i < rank(value); ++i) sizes.push_back(size_of(value, i));
  return sizes;
}

ValueId Builder::scalar_of(const Size& size) {
  return size.known() ? integer(DType::i64, size.value) : op("Squeeze", {size.id, ints({0})});
}

bool Builder::made_here(ValueId value) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const ir::Node& n) {
    return std::find(n.outputs.begin(), n.outputs.end(), value) != n.outputs.end();
  });
}

void Builder::flush(const std::string& label) {
  const bool one = pending_.size() == 1;
  for (ir::Node& node : pending_) {
    node.name = one ? label : label + "/" + node.op;
    graph_.add_node(std::move(node));
  }
  pending_.clear();
}

}  // namespace rooftune::frontends::torch_format
