#include "estimate/characterize.h"

#include <algorithm>

#include "base/error.h"
#include "estimate/work.h"
#include "ops/op.h"

namespace rooftune::estimate {
namespace {

/// Calls visit(graph) for the graph and every body in it.
void for_each_graph(const ir::Graph& graph, const std::function<void(const ir::Graph&)>& visit) {
  visit(graph);
  for (ir::NodeId id : graph.order())
    for (const auto& [key, attribute] : graph.node(id).attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<ir::Graph>>(&attribute); body && *body)
        for_each_graph(**body, visit);
      if (const auto* bodies = std::get_if<std::vector<std::shared_ptr<ir::Graph>>>(&attribute))
        for (const auto& each : *bodies) for_each_graph(*each, visit);
    }
}

bool counts_as_parameter(ir::DType dtype) {
  return ir::is_float(dtype) || (ir::is_integer(dtype) && ir::bit_width(dtype) <= 8);
}

void count_constants(const ir::Graph& graph, Characterization& facts) {
  for_each_graph(graph, [&](const ir::Graph& each) {
    for (size_t i = 0; i < each.value_capacity(); ++i) {
      const auto& value = each.value(static_cast<ir::ValueId>(i));
      if (!value.constant) continue;
      facts.weight_bytes += static_cast<int64_t>(value.constant->bytes());
      if (counts_as_parameter(value.constant->dtype())) facts.parameters += value.constant->size();
    }
    for (ir::NodeId id : each.order()) ++facts.histogram[each.node(id).op];
  });
}

/// What lives while each node runs: a value from its producer (graph inputs: from the start) to its last consumer (graph
/// outputs: to the end).
void follow_memory(const ir::Graph& graph, Characterization& facts) {
  const auto& order = graph.order();
  std::vector<double> change(order.size() + 1, 0);  // exact below 2^53 bytes, and no overflow above
  std::vector<size_t> position(graph.node_capacity(), 0);
  for (size_t i = 0; i < order.size(); ++i) position[static_cast<size_t>(order[i])] = i;
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    const auto id = static_cast<ir::ValueId>(v);
    const ir::Value& value = graph.value(id);
    const bool is_input = std::find(graph.inputs.begin(), graph.inputs.end(), id) != graph.inputs.end();
    if (value.constant || (value.producer == ir::kNone && !is_input) || order.empty()) continue;
    const size_t birth = value.producer == ir::kNone ? 0 : position[static_cast<size_t>(value.producer)];
    size_t death = birth;
    if (graph.is_output(id)) death = order.size() - 1;
    else
      for (ir::NodeId consumer : graph.consumers(id)) death = std::max(death, position[static_cast<size_t>(consumer)]);
    const double bytes = value_bytes(graph, id);
    change[birth] += bytes;
    change[death + 1] -= bytes;
  }
  double sum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    sum += change[i];
    const auto live = static_cast<int64_t>(std::min(sum, 9e18));
    facts.memory.push_back({graph.node(order[i]).name, live});
    if (live > facts.peak_activation_bytes) {
      facts.peak_activation_bytes = live;
      facts.peak_node = graph.node(order[i]).name;
    }
  }
}

}  // namespace

double value_bytes(const ir::Graph& graph, ir::ValueId id) {
  const ir::Type& type = graph.type(id);
  if (!type.is_static()) return 0;
  return static_cast<double>(ir::byte_size(type.dtype(), static_cast<size_t>(ir::element_count(type.shape()))));
}

void require_static(const ir::Graph& graph) {
  const auto check = [&](ir::ValueId id) {
    if (id == ir::kNone || !graph.type(id).is_tensor() || graph.type(id).is_static()) return;
    const ir::Value& value = graph.value(id);
    if (!value.type.has_rank())
      throw InputError("value '{}' has no known shape: its operator's result depends on data", value.name);
    std::string symbols;
    for (const ir::Dim& dim : value.type.shape())
      for (const std::string& symbol : dim.symbols())
        symbols += fmt::format("{}--dim {}=…", symbols.empty() ? "" : " ", symbol);
    throw InputError("value '{}' has the shape {}: give its free dimensions a value ({})", value.name,
                     ir::to_string(value.type.shape()), symbols);
  };
  for (ir::ValueId id : graph.inputs) check(id);
  for (ir::NodeId id : graph.order())
    for (ir::ValueId output : graph.node(id).outputs) check(output);
}

Characterization characterize(const ir::Graph& graph) {
  require_static(graph);
  Characterization facts;
  count_constants(graph, facts);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    const ops::Cost cost = ops::cost(graph, node);
    OperatorFacts& row = facts.operators.emplace_back();
    row.name = node.name;
    row.op = node.op;
    row.flops = cost.flops;
    row.bytes = cost.bytes;
    for (ir::ValueId output : node.outputs)
      if (output != ir::kNone) row.outputs.push_back(graph.type(output));
    facts.flops += cost.flops;
    facts.bytes += cost.bytes;
  }
  facts.compulsory_bytes = model_work(graph).bytes;
  follow_memory(graph, facts);
  facts.peak_memory_bytes = static_cast<int64_t>(
      std::min(static_cast<double>(facts.weight_bytes) + static_cast<double>(facts.peak_activation_bytes), 9e18));
  return facts;
}

Json to_json(const Characterization& facts) {
  Json operators = Json::array(), memory = Json::array();
  for (const OperatorFacts& row : facts.operators) {
    Json outputs = Json::array();
    for (const ir::Type& type : row.outputs) {
      if (type.is_static())
        outputs.push_back({{"shape", ir::static_values(type.shape())}, {"dtype", ir::name(type.dtype())}});
      else outputs.push_back({{"type", type.to_string()}});
    }
    operators.push_back({{"name", row.name},
                         {"op", row.op},
                         {"flops", row.flops},
                         {"bytes", row.bytes},
                         {"intensity", row.intensity()},
                         {"outputs", std::move(outputs)}});
  }
  for (const MemoryPoint& point : facts.memory)
    memory.push_back({{"node", point.node}, {"live_bytes", point.live_bytes}});
  return {{"parameters", facts.parameters},
          {"weight_bytes", facts.weight_bytes},
          {"flops", facts.flops},
          {"bytes", facts.bytes},
          {"compulsory_bytes", facts.compulsory_bytes},
          {"peak_memory_bytes", facts.peak_memory_bytes},
          {"peak_activation_bytes", facts.peak_activation_bytes},
          {"peak_node", facts.peak_node},
          {"histogram", facts.histogram},
          {"operators", std::move(operators)},
          {"memory_timeline", std::move(memory)}};
}

}  // namespace rooftune::estimate
