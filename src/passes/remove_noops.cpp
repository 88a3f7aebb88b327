// Removes nodes whose output is bit for bit one of their inputs: Identity, Dropout at inference, Cast to the same type,
// Reshape, Expand, Slice, Pad, Tile … that change nothing. Before every pass that looks for patterns, since exporters
// sprinkle these between the nodes of one; again at the end, for those that folding uncovers.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// Every dim is known or the same expression on both sides.
bool same_type(const Graph& graph, ValueId a, ValueId b) {
  return graph.type(a).is_tensor() && graph.type(a).has_rank() && graph.type(a) == graph.type(b);
}

bool inference_dropout(const Graph& graph, const Node& node) {
  if (node.outputs.size() > 1 && node.outputs[1] != kNone && use_count(graph, node.outputs[1]) > 0) return false;
  return node.input(2) == kNone || scalar(graph, node.input(2)) == 0.0;
}

bool identity_permutation(const Node& node) {
  const std::vector<int64_t> perm = node.attr_ints("perm");
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return !perm.empty();
}

/// A slice of the full size goes through all elements; it keeps their order if it steps forward.
bool forward_steps(const Graph& graph, const Node& node) {
  return node.input(4) == kNone || uniform(graph, node.input(4)) == 1.0;
}

/// An elementwise operation of two operands that gives back the one beside `neutral`. Sums of floats are left alone:
/// -0 + 0 is +0 (but x - 0 and x + -0 are exact).
ValueId beside_neutral(const Graph& graph, const Node& node) {
  const auto is = [&](size_t i, double neutral) {
    const auto number = uniform(graph, node.input(i));
    return number && *number == neutral && std::signbit(*number) == std::signbit(neutral);
  };
  const bool integer = graph.type(node.inputs[0]).is_tensor() && is_integer(graph.type(node.inputs[0]).dtype());
  const double zero = integer ? 0.0 : -0.0;
  if (is_op(node, "Mul")) return is(1, 1) ? node.inputs[0] : is(0, 1) ? node.inputs[1] : kNone;
  if (is_op(node, "Add")) return is(1, zero) ? node.inputs[0] : is(0, zero) ? node.inputs[1] : kNone;
  if (is_op(node, "Div") || is_op(node, "Pow")) return is(1, 1) ? node.inputs[0] : kNone;
  if (is_op(node, "Sub")) return is(1, 0) ? node.inputs[0] : kNone;
  return kNone;
}

/// A choice that a constant condition has made.
ValueId chosen(const Graph& graph, const Node& node) {
  const auto condition = uniform(graph, node.input(0));
  return condition ? node.inputs[*condition != 0 ? 1 : 2] : kNone;
}

bool zero_pads(const Graph& graph, const Node& node) { return uniform(graph, node.input(1)) == 0.0; }

/// The input that the node gives back unchanged, or kNone.
ValueId unchanged_input(const Graph& graph, const Node& node) {
  if (node.inputs.empty() || node.inputs[0] == kNone) return kNone;
  const ValueId x = node.inputs[0];
  if (is_op(node, "Identity")) return x;
  const bool one_input = node.inputs.size() == 1;
  if (one_input && (is_op(node, "Sum") || is_op(node, "Max") || is_op(node, "Min") || is_op(node, "Mean"))) return x;
  if (is_op(node, "Dropout")) return inference_dropout(graph, node) ? x : kNone;

  const ValueId output = only_output(node);
  if (output == kNone) return kNone;
  const bool same = same_type(graph, x, output);
  if (is_op(node, "Transpose")) return identity_permutation(node) ? x : kNone;
  if (is_op(node, "Cast") || is_op(node, "CastLike"))
    return graph.type(x).is_tensor() && graph.type(output).is_tensor() &&
                   graph.type(x).dtype() == graph.type(output).dtype()
               ? x
               : kNone;
  if (is_op(node, "Reshape") || is_op(node, "Expand") || is_op(node, "Tile") || is_op(node, "Flatten") ||
      is_op(node, "Squeeze") || is_op(node, "Unsqueeze"))
    return same ? x : kNone;
  if (is_op(node, "Concat")) return one_input ? x : kNone;
  if (is_op(node, "Split")) return same ? x : kNone;
  if (is_op(node, "Slice")) return same && forward_steps(graph, node) ? x : kNone;
  if (is_op(node, "Pad")) return same && zero_pads(graph, node) ? x : kNone;
  const ValueId kept = is_op(node, "Where") ? chosen(graph, node) : beside_neutral(graph, node);
  return kept != kNone && same_type(graph, kept, output) ? kept : kNone;
}

}  // namespace

bool remove_noops(Graph& graph, PassContext&) {
  return rewrite_nodes(graph, [](Graph& g, NodeId id) {
    const ValueId value = unchanged_input(g, g.node(id));
    return value != kNone && forward(g, id, value);
  });
}

}  // namespace rooftune::passes
