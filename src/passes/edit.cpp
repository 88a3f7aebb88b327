#include "passes/edit.h"

#include <cmath>

namespace rooftune::passes {

bool is_op(const Node& node, std::string_view op) { return node.domain.empty() && node.op == op; }

const Node* maker(const Graph& graph, ValueId value, std::string_view op) {
  if (value == kNone || graph.value(value).producer == kNone) return nullptr;
  const Node& node = graph.node(graph.value(value).producer);
  return op.empty() || is_op(node, op) ? &node : nullptr;
}

ValueId only_output(const Node& node) {
  ValueId found = kNone;
  for (ValueId output : node.outputs) {
    if (output == kNone) continue;
    if (found != kNone) return kNone;
    found = output;
  }
  return found;
}

int use_count(const Graph& graph, ValueId value) {
  int uses = static_cast<int>(std::count(graph.outputs.begin(), graph.outputs.end(), value));
  for (NodeId id : graph.consumers(value)) {
    const Node& node = graph.node(id);
    const auto reads = std::count(node.inputs.begin(), node.inputs.end(), value);
    uses += std::max(1, static_cast<int>(reads));  // none: a body captures it
  }
  return uses;
}

bool single_use(const Graph& graph, ValueId value) { return only_consumer(graph, value) != kNone; }

NodeId only_consumer(const Graph& graph, ValueId value) {
  if (value == kNone || use_count(graph, value) != 1) return kNone;
  const std::vector<NodeId> readers = graph.consumers(value);
  if (readers.empty()) return kNone;  // only a graph output
  const Node& reader = graph.node(readers.front());
  const bool direct = std::find(reader.inputs.begin(), reader.inputs.end(), value) != reader.inputs.end();
  return direct ? readers.front() : kNone;
}

std::optional<double> scalar(const Graph& graph, ValueId value) {
  const Tensor* tensor = graph.constant(value);
  if (!tensor || tensor->size() != 1 || bit_width(tensor->dtype()) == 0) return std::nullopt;
  return tensor->as_double(0);
}

std::optional<double> uniform(const Graph& graph, ValueId value) {
  const Tensor* tensor = graph.constant(value);
  if (!tensor || tensor->size() < 1 || tensor->size() > 4096 || bit_width(tensor->dtype()) == 0) return std::nullopt;
  const double first = tensor->as_double(0);
  for (int64_t i = 1; i < tensor->size(); ++i) {
    const double other = tensor->as_double(i);
    if (other != first || std::signbit(other) != std::signbit(first)) return std::nullopt;
  }
  return first;
}

std::optional<std::vector<int64_t>> int_constant(const Graph& graph, ValueId value) {
  const Tensor* tensor = graph.constant(value);
  if (!tensor || !is_integer(tensor->dtype())) return std::nullopt;
  return tensor->as_ints();
}

bool near(double a, double b, double relative) { return std::abs(a - b) <= relative * std::abs(b); }

std::optional<std::vector<int64_t>> static_shape(const Graph& graph, ValueId value) {
  if (value == kNone || !graph.type(value).is_static()) return std::nullopt;
  return ir::static_values(graph.type(value).shape());
}

std::optional<std::vector<int64_t>> axes_of(const Graph& graph, const Node& node, bool attribute_only) {
  const Type& type = graph.type(node.inputs.at(0));
  if (!type.is_tensor() || !type.has_rank()) return std::nullopt;
  std::vector<int64_t> axes = node.attr_ints("axes");
  if (!attribute_only && node.input(1) != kNone) {
    const auto given = int_constant(graph, node.input(1));
    if (!given) return std::nullopt;
    axes = *given;
  }
  if (axes.empty())
    for (int i = 0; i < type.rank(); ++i) axes.push_back(i);
  for (int64_t& axis : axes) axis += axis < 0 ? type.rank() : 0;
  std::sort(axes.begin(), axes.end());
  return axes;
}

ValueId add_scalar(Graph& graph, std::string name, ir::DType dtype, double value) {
  Tensor tensor(dtype, {});
  tensor.set_double(0, value);
  return graph.add_constant(std::move(name), std::move(tensor));
}

ValueId add_ints(Graph& graph, std::string name, const std::vector<int64_t>& values) {
  return graph.add_constant(std::move(name), Tensor::of(ir::DType::i64, {static_cast<int64_t>(values.size())}, values));
}

ValueId insert(Graph& graph, NodeId before, std::string op, std::vector<ValueId> inputs, Type type,
               Attributes attributes) {
  const Node& place = graph.node(before);
  Node node{.name = place.name + "_" + op,
            .op = std::move(op),
            .since_version = place.since_version,
            .inputs = std::move(inputs),
            .attributes = std::move(attributes)};
  const ValueId output = graph.add_value(node.name, std::move(type));
  node.outputs = {output};
  graph.add_node(std::move(node), before);
  return output;
}

void replace_node(Graph& graph, NodeId id, std::string op, std::vector<ValueId> inputs, Attributes attributes) {
  Node& node = graph.node(id);
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (ValueId& output : node.outputs) {
    if (output == kNone || use_count(graph, output) > 0) continue;
    graph.value(output).producer = kNone;
    graph.remove_value(std::exchange(output, kNone));
  }
  while (!node.outputs.empty() && node.outputs.back() == kNone) node.outputs.pop_back();
}

namespace {

/// Bodies inside the moved nodes capture values that are now those of the graph around them.
void recapture(ir::Attribute& attribute, const std::map<ValueId, ValueId>& moved) {
  const auto renamed = [&](const std::shared_ptr<Graph>& body) {
    auto copy = std::make_shared<Graph>(body->clone());
    for (ValueId& v : copy->captures_outer) v = moved.at(v);
    return copy;
  };
  if (auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute)) *body = renamed(*body);
  if (auto* several = std::get_if<std::vector<std::shared_ptr<Graph>>>(&attribute))
    for (auto& body : *several) body = renamed(body);
}

}  // namespace

void replace_by_body(Graph& graph, NodeId id, const Graph& body, std::map<ValueId, ValueId> known,
                     const std::vector<ValueId>& outputs) {
  auto& moved = known;
  moved[kNone] = kNone;
  for (size_t v = 0; v < body.value_capacity(); ++v) {
    const auto inner = static_cast<ValueId>(v);
    if (!body.value_alive(inner) || moved.contains(inner)) continue;
    const ir::Value& value = body.value(inner);
    moved[inner] =
        value.constant ? graph.add_constant(value.name, *value.constant) : graph.add_value(value.name, value.type);
  }
  for (NodeId inner : body.order()) {
    Node copy = body.node(inner);
    for (ValueId& v : copy.inputs) v = moved.at(v);
    for (ValueId& v : copy.outputs) v = moved.at(v);
    for (auto& [key, attribute] : copy.attributes) recapture(attribute, moved);
    graph.add_node(std::move(copy), id);
  }
  const std::vector<ValueId> replaced = graph.node(id).outputs;
  for (size_t i = 0; i < replaced.size(); ++i)
    if (replaced[i] != kNone) graph.replace_uses(replaced[i], moved.at(outputs[i]));
  graph.remove_node(id);
}

bool forward(Graph& graph, NodeId id, ValueId value) {
  const ValueId output = graph.node(id).outputs.at(0);
  if (graph.can_take_name(output, value)) {
    graph.replace_uses(output, value);
    graph.remove_node(id);
    return true;
  }
  if (is_op(graph.node(id), "Identity")) return false;
  replace_node(graph, id, "Identity", {value});
  return true;
}

ValueId insert_after(Graph& graph, ValueId value, std::string op, std::vector<ValueId> others) {
  const std::vector<NodeId> readers = graph.consumers(value);
  const Type type = graph.type(value);
  Node node{.name = graph.value(value).name + "_" + op, .op = std::move(op), .inputs = {value}};
  if (const Node* from = maker(graph, value)) node.since_version = from->since_version;
  node.inputs.insert(node.inputs.end(), others.begin(), others.end());
  const ValueId output = graph.add_value(node.name, type);
  node.outputs = {output};
  graph.replace_uses(value, output);
  graph.add_node(std::move(node), readers.empty() ? kNone : readers.front());
  return output;
}

void make_constant(Graph& graph, ValueId value, Tensor tensor) {
  const NodeId producer = graph.value(value).producer;
  if (producer != kNone) {
    Node& node = graph.node(producer);
    std::replace(node.outputs.begin(), node.outputs.end(), value, kNone);
  }
  graph.value(value).producer = kNone;
  graph.value(value).output_index = 0;
  graph.value(value).type = Type::tensor(tensor.dtype(), ir::to_shape(tensor.shape()));
  graph.value(value).constant = std::move(tensor);
}

namespace {

bool rewrite_in(Graph& graph, bool backward, const std::function<bool(Graph&, NodeId)>& rewrite) {
  bool changed = false;
  for (bool again = true; again;) {
    again = false;
    std::vector<NodeId> order = graph.order();
    if (backward) std::reverse(order.begin(), order.end());
    for (NodeId id : order)
      if (graph.alive(id) && rewrite(graph, id)) again = true;
    changed |= again;
  }
  return changed;
}

}  // namespace

bool rewrite_nodes(Graph& graph, const std::function<bool(Graph&, NodeId)>& rewrite) {
  return rewrite_in(graph, false, rewrite);
}

bool rewrite_nodes_backward(Graph& graph, const std::function<bool(Graph&, NodeId)>& rewrite) {
  return rewrite_in(graph, true, rewrite);
}

}  // namespace rooftune::passes
