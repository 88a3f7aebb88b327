// Runs nodes and whole graphs by their references. A tensor is dropped after its last use.
#include <algorithm>

#include "ops/common.h"

namespace rooftune::ops {
namespace {

constexpr int64_t kMaxKnownElements = 1024;  // values that inference may look at

void check_against(const Type& type, const Tensor& tensor, const auto& disagree) {
  if (!type.is_tensor()) return;
  bool agrees = type.dtype() == DType::undefined || tensor.dtype() == type.dtype();
  if (type.has_rank()) {
    agrees = agrees && tensor.rank() == type.rank();
    for (int d = 0; agrees && d < tensor.rank(); ++d) {
      const Dim& dim = type.shape()[static_cast<size_t>(d)];
      agrees = !dim.is_static() || dim.value() == tensor.dim(d);
    }
  }
  if (!agrees) disagree(fmt::format("{}[{}]", ir::name(tensor.dtype()), fmt::join(tensor.shape(), ",")));
}

std::vector<Tensor> run(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<Tensor>& captured) {
  std::vector<Tensor> values(graph.value_capacity());
  std::vector<int> uses(graph.value_capacity(), 0);
  for (ir::NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (ir::ValueId v : node.inputs) {
      if (v != ir::kNone) ++uses[static_cast<size_t>(v)];
    }
    for (ir::ValueId v : captured_values(node)) ++uses[static_cast<size_t>(v)];
  }
  for (ir::ValueId v : graph.outputs) ++uses[static_cast<size_t>(v)];

  for (size_t i = 0; i < graph.inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
  for (size_t i = 0; i < captured.size(); ++i) values[static_cast<size_t>(graph.captures_inner[i])] = captured[i];
  const auto take = [&](ir::ValueId v) -> Tensor {
    if (v == ir::kNone) return {};
    if (const Tensor* constant = graph.constant(v)) return *constant;
    Tensor& value = values[static_cast<size_t>(v)];
    return --uses[static_cast<size_t>(v)] == 0 ? std::move(value) : value;
  };
  for (ir::NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    std::vector<Tensor> arguments;
    for (ir::ValueId v : node.inputs) arguments.push_back(take(v));
    for (ir::ValueId v : captured_values(node)) arguments.push_back(take(v));
    std::vector<Tensor> results = evaluate(graph, node, std::move(arguments));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ir::ValueId v = node.outputs[i];
      if (v != ir::kNone && uses[static_cast<size_t>(v)] > 0) values[static_cast<size_t>(v)] = std::move(results[i]);
    }
  }
  std::vector<Tensor> outputs;
  for (ir::ValueId v : graph.outputs) {
    const Tensor* constant = graph.constant(v);
    outputs.push_back(constant != nullptr ? *constant : values[static_cast<size_t>(v)]);
  }
  return outputs;
}

/// Whether the model's types already say all there is to know of this run's shapes.
bool says_all(const Graph& graph, const Node& node, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == ir::kNone) continue;
    const Type& type = graph.type(node.inputs[i]);
    if (!type.is_static() || static_values(type.shape()) != inputs[i].shape()) return false;
  }
  return std::all_of(node.outputs.begin(), node.outputs.end(),
                     [&](ir::ValueId v) { return v == ir::kNone || graph.type(v).is_static(); });
}

/// Inference checks that operands fit each other, but only as far as it knows their shapes. So where data decides a
/// shape or holds one, it is asked again with what this run brought, before a reference relies on it. (Bodies are
/// asked node by node when they run.)
void check_operands(const Graph& graph, const Node& node, const OpDef& def, const std::vector<Tensor>& inputs) {
  if (inputs.size() != node.inputs.size() || !ir::bodies(node).empty() || says_all(graph, node, inputs)) return;
  Graph alone;
  alone.opsets = graph.opsets;
  Node copy = node;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == ir::kNone) continue;
    if (!inputs[i]) fail(node, fmt::format("input {} is missing", i));
    copy.inputs[i] = alone.add_value(graph.value(node.inputs[i]).name,
                                     Type::tensor(inputs[i].dtype(), ir::to_shape(inputs[i].shape())));
  }
  for (ir::ValueId& v : copy.outputs) {
    if (v != ir::kNone) v = alone.add_value(graph.value(v).name, {});
  }
  KnownValues known;
  known.ints.resize(alone.value_capacity());
  known.tensors.resize(alone.value_capacity());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (copy.inputs[i] != ir::kNone && inputs[i].size() <= kMaxKnownElements)
      known.tensors[static_cast<size_t>(copy.inputs[i])] = inputs[i];
  }
  Node& lone = alone.node(alone.add_node(std::move(copy)));
  InferContext ctx(alone, lone, known);
  try {
    def.infer(ctx);
  } catch (const InputError& e) {
    if (std::string_view(e.what()).find("node '") != std::string_view::npos) throw;
    fail(node, e.what());
  }
}

}  // namespace

std::vector<ir::ValueId> captured_values(const Node& node) {
  std::vector<ir::ValueId> values;
  const auto add = [&](const std::shared_ptr<Graph>& body) {
    values.insert(values.end(), body->captures_outer.begin(), body->captures_outer.end());
  };
  for (const auto& [key, attribute] : node.attributes) {
    if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute)) add(*body);
  }
  return values;
}

std::vector<Tensor> evaluate(const Graph& graph, const Node& node, std::vector<Tensor> inputs) {
  const OpDef& def = Catalogue::instance().at(node);
  check_operands(graph, node, def, inputs);
  EvalContext ctx(node, std::move(inputs));
  def.evaluate(ctx);
  std::vector<Tensor> outputs = std::move(ctx.outputs());
  outputs.resize(node.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (node.outputs[i] == ir::kNone) continue;
    if (!outputs[i] && !def.plugin.empty()) fail(node, fmt::format("{} gave no output {}", def.plugin, i));
    RT_CHECK(outputs[i], "{}: the reference of {} gave no output {}", node.name, node.op, i);
    const Type& type = graph.type(node.outputs[i]);
    check_against(type, outputs[i], [&](const std::string& got) {
      if (!def.plugin.empty())
        fail(node, fmt::format("{} gave {} for output {}, but inferred {}", def.plugin, got, i, type.to_string()));
      throw InternalError("{}: the reference of {} gave {} for output {}, inferred was {}", node.name, node.op, got, i,
                          type.to_string());
    });
  }
  return outputs;
}

std::vector<Tensor> evaluate_body(const Graph& body, const std::vector<Tensor>& inputs,
                                  const std::vector<Tensor>& captured) {
  RT_CHECK(inputs.size() == body.inputs.size() && captured.size() == body.captures_inner.size());
  return run(body, inputs, captured);
}

std::vector<Tensor> evaluate(const Graph& graph, const std::vector<Tensor>& inputs) {
  if (inputs.size() != graph.inputs.size())
    throw InputError("the model has {} inputs, {} were given", graph.inputs.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& value = graph.value(graph.inputs[i]);
    check_against(value.type, inputs[i], [&](const std::string& got) {
      throw InputError("input '{}' is {}, but must be {}", value.name, got, value.type.to_string());
    });
  }
  return run(graph, inputs, {});
}

}  // namespace rooftune::ops
