// Attention as one group: MatMul → (scale, mask) → Softmax → MatMul, with the reshapes and transposes that split q, k
// and v into heads and join the heads again. Then the scores never leave the cache, and neither q, k, v nor the result
// is ever copied: the kernel reads and writes them in place.
#include "passes/fusion_rules.h"

namespace rooftune::passes {
namespace {

/// Scores pass through a few nodes: scale, mask, guard.
constexpr int kMaxDepth = 6;

bool over_last_axis(const Grouping& g, const Node& softmax) {
  const Type& type = g.graph().type(softmax.inputs[0]);
  const int64_t axis = softmax.attr_int("axis", -1);
  return type.is_tensor() && type.has_rank() && (axis == -1 || axis == type.rank() - 1);
}

/// A product of two computed matrices (a constant one is a linear layer).
bool is_score_product(const Grouping& g, NodeId id) {
  const Node& node = g.node(id);
  return is_op(node, "MatMul") && g.is_free(id) && g.no_kernel(id).empty() && !g.graph().constant(node.inputs[0]) &&
         !g.graph().constant(node.inputs[1]);
}

/// The nodes from the product of q and k up to `value`, innermost first; empty where `value` is no such thing.
std::vector<NodeId> scores(const Grouping& g, ValueId value, int depth) {
  const NodeId id = g.producer(value);
  if (id == kNone || depth > kMaxDepth || !g.one_consumer(value)) return {};
  if (is_score_product(g, id)) return {id};
  if (!g.is_free_map(id, value)) return {};
  for (ValueId input : g.node(id).inputs) {
    if (input == kNone || !g.same_shape(input, value)) continue;
    std::vector<NodeId> found = scores(g, input, depth + 1);
    if (found.empty()) continue;
    found.push_back(id);
    return found;
  }
  return {};
}

/// The nodes from the softmax's result up to the product with v; empty where it is not used so.
std::vector<NodeId> weighting(const Grouping& g, ValueId value) {
  std::vector<NodeId> nodes;
  std::string why;
  while (true) {
    if (g.one_consumer(value)) {
      const NodeId next = g.consumers(value).front();
      const Node& node = g.node(next);
      if (is_op(node, "MatMul") && g.is_free(next) && g.no_kernel(next).empty() && node.inputs[0] == value &&
          node.inputs[1] != value) {
        nodes.push_back(next);
        return nodes;
      }
    }
    const Step step = next_map(g, value, why);
    if (step.nodes.empty()) return {};
    nodes.insert(nodes.end(), step.nodes.begin(), step.nodes.end());
    value = step.result;
  }
}

/// Index maps that feed only this group are done in its loads, those after it in its stores.
void absorb_index_maps(Grouping& g, int group) {
  for (bool again = true; again;) {
    again = false;
    for (NodeId member : std::vector<NodeId>(g.members(group))) {
      for (ValueId input : g.node(member).inputs) {
        const NodeId id = g.producer(input);
        if (is_index_map(g, id) && g.feeds_only(id, group)) again |= g.join(group, {id});
      }
    }
  }
}

void absorb_joined_heads(Grouping& g, int group, ValueId result) {
  while (g.one_consumer(result) && is_bijection(g, g.consumers(result).front())) {
    const NodeId next = g.consumers(result).front();
    if (!g.join(group, {next})) return;
    result = only_output(g.node(next));
  }
}

void group_around(Grouping& g, NodeId softmax) {
  const Node& node = g.node(softmax);
  if (!over_last_axis(g, node)) return;
  const std::vector<NodeId> before = scores(g, node.inputs[0], 0);
  const std::vector<NodeId> after = before.empty() ? before : weighting(g, node.outputs[0]);
  if (after.empty()) return;
  std::vector<NodeId> nodes = before;
  nodes.insert(nodes.end(), after.begin(), after.end());
  if (!g.can_join(softmax, nodes)) {
    g.explain(softmax, "no attention: one part of it is needed by another through nodes outside");
    return;
  }
  g.start(softmax, GroupKind::attention);
  g.join(softmax, nodes);
  absorb_joined_heads(g, softmax, only_output(g.node(after.back())));
  absorb_index_maps(g, softmax);
  absorb_dequantize(g, softmax);
  absorb_index_maps(g, softmax);
}

}  // namespace

void group_attention(Grouping& g) {
  for (NodeId id : g.graph().order())
    if (is_op(g.node(id), "Softmax") && g.is_free(id) && g.no_kernel(id).empty()) group_around(g, id);
}

}  // namespace rooftune::passes
