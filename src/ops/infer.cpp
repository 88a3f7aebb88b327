// Type inference over a graph and its bodies. Beside types it follows small values: what can be computed from constants
// is computed (by the reference), so a Reshape's target is known even where nothing has been folded yet.
#include <algorithm>

#include "ops/common.h"
#include "ops/function.h"

namespace rooftune::ops {
namespace {

constexpr int64_t kMaxKnownElements = 1024;

void check_schema(const Graph& graph, const Node& node, const OpDef& def) {
  const auto count = [&](const std::vector<ir::ValueId>& ids, int min, int max, const char* what) {
    size_t given = ids.size();
    while (given > 0 && ids[given - 1] == ir::kNone) --given;
    if (static_cast<int>(given) < min || (max >= 0 && static_cast<int>(given) > max))
      fail(node, fmt::format("has {} {}, but must have {}", given, what,
                             max < 0      ? fmt::format("at least {}", min)
                             : min == max ? fmt::format("{}", min)
                                          : fmt::format("{} to {}", min, max)));
    for (int i = 0; i < min; ++i) {
      if (ids[static_cast<size_t>(i)] == ir::kNone && std::string_view(what) == "inputs")
        fail(node, fmt::format("input {} must be given", i));
    }
  };
  count(node.inputs, def.min_inputs, def.max_inputs, "inputs");
  count(node.outputs, def.min_outputs, def.max_outputs, "outputs");
  for (ir::ValueId id : node.inputs) {
    if (id != ir::kNone && graph.type(id).kind() == Type::Kind::none)
      fail(node, fmt::format("the type of input '{}' is not known", graph.value(id).name));
  }
}

bool small(const Type& type) { return type.is_static() && element_count(type.shape()) <= kMaxKnownElements; }

// Computes the node's outputs where all inputs are known and small.
void try_compute(const Graph& graph, const Node& node, const OpDef& def, KnownValues& known) {
  if (!def.deterministic || !captured_values(node).empty()) return;
  for (const auto& [key, attribute] : node.attributes) {
    if (std::holds_alternative<std::shared_ptr<Graph>>(attribute)) return;
  }
  for (ir::ValueId id : node.outputs) {
    if (id != ir::kNone && !small(graph.type(id))) return;
  }
  std::vector<Tensor> inputs;
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNone) {
      inputs.emplace_back();
      continue;
    }
    const Tensor* constant = graph.constant(id);
    const Tensor& value = constant != nullptr ? *constant : known.tensors[static_cast<size_t>(id)];
    if (!value || value.size() > kMaxKnownElements) return;
    inputs.push_back(value);
  }
  std::vector<Tensor> outputs = evaluate(graph, node, std::move(inputs));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != ir::kNone) known.tensors[static_cast<size_t>(node.outputs[i])] = std::move(outputs[i]);
  }
}

// Integers that turned out static are a tensor like any other, so that references can go on from them.
void keep_static_ints(const Graph& graph, const Node& node, KnownValues& known) {
  for (ir::ValueId id : node.outputs) {
    if (id == ir::kNone) continue;
    const auto& ints = known.ints[static_cast<size_t>(id)];
    Tensor& tensor = known.tensors[static_cast<size_t>(id)];
    const Type& type = graph.type(id);
    if (!ints || tensor || !type.is_static() || !ir::is_static(*ints)) continue;
    if (element_count(type.shape()) != static_cast<int64_t>(ints->size())) continue;
    if (type.dtype() == DType::i64) {
      tensor = Tensor(DType::i64, static_values(type.shape()));
      for (size_t i = 0; i < ints->size(); ++i) tensor.data<int64_t>()[i] = (*ints)[i].value();
    } else {
      tensor = Tensor(type.dtype(), static_values(type.shape()));
      for (size_t i = 0; i < ints->size(); ++i)
        tensor.set_double(static_cast<int64_t>(i), static_cast<double>((*ints)[i].value()));
    }
  }
}

// What a dimension's arithmetic refuses (overflow, say) does not know the node; the message names it all the same.
void infer_node(Graph& graph, Node& node, KnownValues& known) {
  const OpDef& def = Catalogue::instance().at(node);
  check_schema(graph, node, def);
  InferContext ctx(graph, node, known);
  try {
    def.infer(ctx);
    try_compute(graph, node, def, known);
    keep_static_ints(graph, node, known);
  } catch (const InputError& e) {
    if (std::string_view(e.what()).find("node '") != std::string_view::npos) throw;
    fail(node, e.what());
  }
}

void make_room(const Graph& graph, KnownValues& known) {
  known.ints.resize(graph.value_capacity());
  known.tensors.resize(graph.value_capacity());
}

/// Puts what the operator stands for in the node's place; its nodes are inferred one by one as they are made, so that
/// the function can ask for the types of what it has made.
void write_function(Graph& graph, ir::NodeId id, const OpDef& def, KnownValues& known) {
  check_schema(graph, graph.node(id), def);
  FunctionBuilder ctx(graph, id, known, [&](ir::NodeId made) {
    make_room(graph, known);
    infer_node(graph, graph.node(made), known);
  });
  def.function(ctx);
  if (!graph.node(id).outputs.empty() && known.sequences.contains(graph.node(id).outputs[0])) return;  // see below
  for (ir::ValueId output : graph.node(id).outputs)
    if (output != ir::kNone && graph.value(output).producer == id)
      fail(graph.node(id), fmt::format("its output '{}' is not supported", graph.value(output).name));
  graph.remove_node(id);
}

/// Nodes that make sequences stay until all who read these have been written; nobody must be left.
void remove_sequences(Graph& graph, KnownValues& known) {
  const std::vector<ir::NodeId> order = graph.order();
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    if (!graph.alive(*id)) continue;
    const Node& node = graph.node(*id);
    if (node.outputs.empty() || !known.sequences.contains(node.outputs[0])) continue;
    if (graph.is_output(node.outputs[0]) || !graph.consumers(node.outputs[0]).empty())
      fail(node, fmt::format("the sequence '{}' is handed to others; sequences are supported where one graph puts them "
                             "together and takes them apart",
                             graph.value(node.outputs[0]).name));
    graph.remove_node(*id);
  }
}

void infer_graph(Graph& graph, KnownValues& known) {
  make_room(graph, known);
  const std::vector<ir::NodeId> order = graph.order();  // functions change the graph's own
  for (ir::NodeId id : order) {
    Node& node = graph.node(id);
    const OpDef& def = Catalogue::instance().at(node);
    if (def.function) write_function(graph, id, def, known);
    else infer_node(graph, node, known);
  }
  if (!known.sequences.empty()) remove_sequences(graph, known);
}

}  // namespace

void InferContext::infer_body(Graph& body) {
  KnownValues inner;
  inner.ints.resize(body.value_capacity());
  inner.tensors.resize(body.value_capacity());
  for (size_t c = 0; c < body.captures_inner.size(); ++c) {
    const auto to = static_cast<size_t>(body.captures_inner[c]);
    const auto from = static_cast<size_t>(body.captures_outer[c]);
    body.value(body.captures_inner[c]).type = graph_.type(body.captures_outer[c]);
    inner.ints[to] = known_.ints[from];
    const Tensor* constant = graph_.constant(body.captures_outer[c]);
    if (constant == nullptr) inner.tensors[to] = known_.tensors[from];
    else if (constant->size() <= kMaxKnownElements) inner.tensors[to] = *constant;
  }
  infer_graph(body, inner);
}

namespace {

/// Before anybody computes with an input's size.
void check_inputs(const Graph& graph) {
  for (ir::ValueId id : graph.inputs) {
    const Type& type = graph.type(id);
    if (!type.is_tensor() || !type.is_static()) continue;
    double count = 1;
    for (const Dim& d : type.shape()) count *= static_cast<double>(d.value());
    if (count > kMostElements)
      throw InputError("input '{}' has shape {}, which is too large", graph.value(id).name, to_string(type.shape()));
  }
}

}  // namespace

void infer_types(Graph& graph) {
  check_inputs(graph);
  KnownValues known;
  infer_graph(graph, known);
}

}  // namespace rooftune::ops
