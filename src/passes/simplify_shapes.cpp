// One spelling for what only moves or renames axes: Squeeze, Unsqueeze and Flatten become Reshape with a constant
// target, chains of Reshapes or Transposes become one, and a Transpose that moves no element becomes a Reshape. After
// constant folding, which makes targets constant; before patterns are recognised, so that they need to know one
// spelling only.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// The constant target that gives this shape: one unknown dim may be left to Reshape. A 0 would mean "copy".
std::optional<std::vector<int64_t>> reshape_target(const Type& type) {
  if (!type.is_tensor() || !type.has_rank()) return std::nullopt;
  std::vector<int64_t> target;
  int unknown = 0;
  for (const ir::Dim& dim : type.shape()) {
    target.push_back(dim.is_static() ? dim.value() : -1);
    unknown += dim.is_static() ? 0 : 1;
    if (dim.is_static() && dim.value() == 0) return std::nullopt;
  }
  if (unknown > 1) return std::nullopt;
  return target;
}

bool is_reshape_like(const Node& node) {
  return is_op(node, "Squeeze") || is_op(node, "Unsqueeze") || is_op(node, "Flatten");
}

/// Whether the Transpose leaves the order of all dims that are not 1 as it was.
bool moves_nothing(const Graph& graph, const Node& node) {
  const auto shape = static_shape(graph, node.inputs[0]);
  if (!shape) return false;
  std::vector<int64_t> perm = node.attr_ints("perm");
  if (perm.empty())
    for (size_t i = shape->size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  int64_t last = -1;
  for (int64_t axis : perm) {
    if ((*shape)[static_cast<size_t>(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

/// Squeeze & co, a Reshape whose target is computed, a Transpose that moves nothing: a Reshape with a constant target.
/// A Reshape of a Reshape reads the first one's input.
bool to_reshape(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool reshape = is_op(node, "Reshape");
  if (!reshape && !is_reshape_like(node) && !(is_op(node, "Transpose") && moves_nothing(graph, node))) return false;
  const Node* inner = maker(graph, node.inputs[0], "Reshape");
  if (reshape && !inner && graph.constant(node.inputs[1])) return false;
  const auto target = reshape_target(graph.type(node.outputs[0]));
  if (!target) return false;
  const ValueId from = inner ? inner->inputs[0] : node.inputs[0];
  const ValueId shape = add_ints(graph, node.name + "_shape", *target);
  replace_node(graph, id, "Reshape", {from, shape});
  return true;
}

bool merge_transposes(Graph& graph, NodeId id) {
  const Node& outer = graph.node(id);
  if (!is_op(outer, "Transpose")) return false;
  const Node* inner = maker(graph, outer.inputs[0], "Transpose");
  if (!inner || !inner->has("perm") || !outer.has("perm")) return false;
  const std::vector<int64_t> first = inner->attr_ints("perm"), second = outer.attr_ints("perm");
  std::vector<int64_t> both;
  for (int64_t axis : second) both.push_back(first.at(static_cast<size_t>(axis)));
  replace_node(graph, id, "Transpose", {inner->inputs[0]}, {{"perm", both}});
  return true;
}

/// Writes the default permutation out.
bool spell_permutation(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (!is_op(node, "Transpose") || node.has("perm") || !graph.type(node.inputs[0]).has_rank()) return false;
  std::vector<int64_t> perm;
  for (int i = graph.type(node.inputs[0]).rank(); i-- > 0;) perm.push_back(i);
  node.attributes["perm"] = perm;
  return true;
}

}  // namespace

bool simplify_shapes(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, [](Graph& g, NodeId id) {
    return spell_permutation(g, id) || merge_transposes(g, id) || to_reshape(g, id);
  });
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
