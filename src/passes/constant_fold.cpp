// Computes at compile time what does not depend on the model's inputs: Constant nodes, operators on constants, and
// integers that follow from shapes alone (Shape → Gather → Concat, the usual argument of a Reshape). Early, because the
// passes after it recognise constants; and again late, for what those leave.
#include "ops/op.h"
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// A folded tensor may be larger than what it was made of (Expand, Range) only up to this size.
constexpr size_t kGrowthLimit = size_t{1} << 20;

/// Bytes that the node's outputs take, nothing where a type is not a static tensor.
std::optional<size_t> output_bytes(const Graph& graph, const Node& node) {
  size_t bytes = 0;
  for (ValueId output : node.outputs) {
    if (output == kNone) continue;
    const Type& type = graph.type(output);
    if (!type.is_static()) return std::nullopt;
    bytes += byte_size(type.dtype(), static_cast<size_t>(element_count(type.shape())));
  }
  return bytes;
}

bool may_evaluate(const Graph& graph, const Node& node, const ops::OpDef& def) {
  if (!def.deterministic || !def.evaluate || !ir::bodies(node).empty()) return false;
  if (is_op(node, "DequantizeLinear")) return false;  // would undo a quantised weight
  size_t input_bytes = 0;
  for (ValueId input : node.inputs) {
    if (input == kNone) continue;
    const Tensor* constant = graph.constant(input);
    if (!constant) return false;
    input_bytes += constant->bytes();
  }
  if (is_op(node, "Constant")) return true;
  const auto bytes = output_bytes(graph, node);
  return bytes && *bytes <= std::max(input_bytes, kGrowthLimit);
}

bool evaluate_node(Graph& graph, NodeId id) {
  std::vector<Tensor> inputs;
  for (ValueId input : graph.node(id).inputs) inputs.push_back(input == kNone ? Tensor() : *graph.constant(input));
  std::vector<Tensor> results = ops::evaluate(graph, graph.node(id), std::move(inputs));
  const std::vector<ValueId> outputs = graph.node(id).outputs;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] != kNone) make_constant(graph, outputs[i], std::move(results.at(i)));
  graph.remove_node(id);
  return true;
}

/// The output as a constant where inference knows all of its integers.
bool fold_known_ints(Graph& graph, NodeId id, ops::KnownValues& known) {
  const ValueId output = only_output(graph.node(id));
  if (output == kNone || static_cast<size_t>(output) >= known.ints.size()) return false;
  const auto& ints = known.ints[static_cast<size_t>(output)];
  const Type& type = graph.type(output);
  if (!ints || !ir::is_static(*ints) || !type.is_static() || !is_integer(type.dtype())) return false;
  if (element_count(type.shape()) != static_cast<int64_t>(ints->size())) return false;
  Tensor tensor(type.dtype(), ir::static_values(type.shape()));
  for (size_t i = 0; i < ints->size(); ++i)
    tensor.set_double(static_cast<int64_t>(i), static_cast<double>((*ints)[i].value()));
  make_constant(graph, output, std::move(tensor));
  graph.remove_node(id);
  return true;
}

bool fold_node(Graph& graph, NodeId id, ops::KnownValues& known) {
  const ops::OpDef& def = ops::Catalogue::instance().at(graph.node(id));
  if (may_evaluate(graph, graph.node(id), def)) return evaluate_node(graph, id);
  if (!def.infer) return false;
  ops::InferContext inference(graph, graph.node(id), known);
  def.infer(inference);
  return fold_known_ints(graph, id, known);
}

}  // namespace

bool constant_fold(Graph& graph, PassContext&) {
  bool changed = false;
  ops::KnownValues known;
  known.ints.resize(graph.value_capacity());
  known.tensors.resize(graph.value_capacity());
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    try {
      changed |= fold_node(graph, id, known);
    } catch (const InputError&) {
      // Types were inferred before: what does not fit stands in a branch that is never taken, and stays as it is.
    }
  }
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
