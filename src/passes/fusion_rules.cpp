#include "passes/fusion_rules.h"

namespace rooftune::passes {
namespace {

/// A web of element-wise nodes that is absorbed at once stays small enough to be one expression.
constexpr size_t kMaxStep = 12;

bool one_of(const Node& node, std::initializer_list<std::string_view> ops) {
  return std::any_of(ops.begin(), ops.end(), [&](std::string_view op) { return is_op(node, op); });
}

/// Pools compute windows that overlap, so what stands before them would be computed several times.
bool is_pool(const Node& node) {
  return one_of(node, {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"});
}

std::string describe(const Grouping& g, NodeId id) { return fmt::format("{} '{}'", g.node(id).op, g.node(id).name); }

/// Why a node cannot take a value further inside the value's group.
std::string why_not_map(const Grouping& g, NodeId id, ValueId value) {
  if (!g.no_kernel(id).empty()) return fmt::format("{} has no kernel ({})", describe(g, id), g.no_kernel(id));
  if (!g.is_free(id) && g.group(id) != id)
    return fmt::format("{} belongs to the group of '{}'", describe(g, id), g.node(g.group(id)).name);
  if (g.pattern(id) != ops::Pattern::elementwise || !g.is_free(id))
    return fmt::format("{} starts a group of its own", describe(g, id));
  const ValueId output = only_output(g.node(id));
  if (output == kNone) return fmt::format("{} has several outputs", describe(g, id));
  if (!g.same_shape(output, value))
    return fmt::format("{} broadcasts '{}'", describe(g, id), g.graph().value(value).name);
  return "";
}

/// Takes element-wise nodes (and, where `moves`, reshapes and transposes) after `value` into the group while each
/// intermediate value is needed nowhere else, so nothing inside has to be stored.
void extend_forward(Grouping& g, int group, ValueId value, bool moves) {
  while (value != kNone) {
    std::string why;
    Step step = next_map(g, value, why);
    if (step.nodes.empty() && moves && g.one_consumer(value) && is_bijection(g, g.consumers(value).front())) {
      step.nodes = {g.consumers(value).front()};
      step.result = only_output(g.node(step.nodes[0]));
    }
    if (step.nodes.empty()) {
      if (!why.empty()) g.explain(group, "ends here: " + why);
      return;
    }
    // Bytes leave the group as such, unless what they stand for is computed with here.
    if (step.nodes.size() == 1 && is_op(g.node(step.nodes[0]), "DequantizeLinear")) {
      const Step more = next_map(g, step.result, why);
      if (more.nodes.empty()) return g.explain(group, "ends here: what follows wants bytes");
      step.nodes.insert(step.nodes.end(), more.nodes.begin(), more.nodes.end());
      step.result = more.result;
    }
    if (!g.join(group, step.nodes)) {
      g.explain(group, fmt::format("ends here: {} also needs what is computed from this group",
                                   describe(g, step.nodes.back())));
      return;
    }
    value = step.result;
  }
}

bool is_pointwise(const Grouping& g, NodeId id) {
  if (id == kNone || !is_op(g.node(id), "Conv") || g.pattern(id) != ops::Pattern::contraction) return false;
  const Type& w = g.graph().type(g.node(id).inputs[1]);
  if (!w.is_static() || w.rank() != 4) return false;
  const auto shape = static_values(w.shape());
  const auto strides = g.node(id).attr_ints("strides", {1, 1}), pads = g.node(id).attr_ints("pads", {0, 0, 0, 0});
  return shape[2] * shape[3] == 1 && g.node(id).attr_int("group", 1) == 1 &&
         std::all_of(strides.begin(), strides.end(), [](int64_t s) { return s == 1; }) &&
         std::all_of(pads.begin(), pads.end(), [](int64_t s) { return s == 0; });
}

bool is_depthwise(const Grouping& g, NodeId id) {
  if (id == kNone || !is_op(g.node(id), "Conv") || g.pattern(id) != ops::Pattern::contraction) return false;
  const Type& w = g.graph().type(g.node(id).inputs[1]);
  if (!w.is_static() || w.rank() != 4) return false;
  const auto shape = static_values(w.shape());
  return shape[1] == 1 && g.node(id).attr_int("group", 1) == shape[0] && shape[2] <= 7 && shape[3] <= 7;
}

/// The functions of one tensor whose chain ends in `value`, and the value that it begins with. Each is needed once.
std::vector<NodeId> maps_before(const Grouping& g, ValueId& value) {
  std::vector<NodeId> maps;
  while (g.one_consumer(value) && g.is_free_map(g.producer(value), value)) {
    const auto& inputs = g.node(g.producer(value)).inputs;
    if (std::any_of(inputs.begin() + 1, inputs.end(),
                    [&](ValueId v) { return v != kNone && g.graph().constant(v) == nullptr; }))
      break;
    maps.push_back(g.producer(value));
    value = inputs[0];
  }
  return maps;
}

/// An inverted residual (pointwise, depthwise, pointwise convolution; the first may be missing) whose wide tensors would not
/// stay in the cache is one group: of them only a few rows exist then at a time.
void take_inverted_residual(Grouping& g, int group) {
  if (g.options().cache == 0 || !is_pointwise(g, group)) return;
  std::vector<NodeId> chain;
  ValueId value = g.node(group).inputs[0];
  int64_t widest = 0;
  for (const auto is_next : {is_depthwise, is_pointwise}) {
    const Type& type = g.graph().type(value);
    if (!type.is_static() || type.rank() != 4 || type.dtype() != ir::DType::f32 || static_values(type.shape())[0] != 1)
      return;
    const auto bytes = static_cast<int64_t>(byte_size(type.dtype(), static_cast<size_t>(element_count(type.shape()))));
    const auto maps = maps_before(g, value);
    const NodeId next = g.producer(value);
    if (next == kNone || !g.is_free(next) || !g.one_consumer(value) || !is_next(g, next)) {
      if (chain.empty()) return;
      break;
    }
    chain.insert(chain.end(), maps.begin(), maps.end());
    chain.push_back(next);
    widest = std::max(widest, bytes);
    value = g.node(next).inputs[0];
  }
  if (widest > g.options().cache * 3 / 4) (void)g.join(group, chain);
}

/// Bias, activation, residual sum and reshape are applied while a contraction's result is still in registers. From the
/// last contraction backwards, so that a sum of two results joins the later one, whose partner is ready by then.
void group_contractions(Grouping& g) {
  const std::vector<NodeId>& order = g.graph().order();
  for (size_t i = order.size(); i-- > 0;) {
    const NodeId id = order[i];
    if (!g.is_free(id) || g.pattern(id) != ops::Pattern::contraction) continue;
    g.start(id, GroupKind::contraction);
    extend_forward(g, id, only_output(g.node(id)), true);
    absorb_dequantize(g, id);
    take_inverted_residual(g, id);
  }
}

/// The element-wise node before a row-wise reduction joins it. A residual sum may be needed elsewhere too: it is then
/// stored on the way, which still saves reading it back.
void extend_backward(Grouping& g, int group, ValueId value) {
  while (true) {
    const NodeId id = g.producer(value);
    if (!g.is_free_map(id, value)) return;
    const bool needed_elsewhere = !g.feeds_only(id, group);
    if (needed_elsewhere && !is_op(g.node(id), "Add")) {
      g.explain(group, fmt::format("starts here: {} is needed elsewhere", describe(g, id)));
      return;
    }
    if (!g.join(group, {id})) {
      g.explain(group, fmt::format("starts here: what needs {} is needed by this group", describe(g, id)));
      return;
    }
    ValueId next = kNone;  // the operand along which the chain goes on
    for (ValueId input : g.node(id).inputs)
      if (input != kNone && g.same_shape(input, value) && g.is_free_map(g.producer(input), value)) next = input;
    if (needed_elsewhere || next == kNone) return;
    value = next;
  }
}

/// LayerNormalization, Softmax, ReduceSum, pooling: they stream over their input anyway, so maps before (but for pools)
/// and after it come along.
void group_reductions(Grouping& g) {
  for (NodeId id : g.graph().order()) {
    if (!g.is_free(id) || g.pattern(id) != ops::Pattern::reduction) continue;
    g.start(id, GroupKind::reduction);
    if (!is_pool(g.node(id)) && g.node(id).input(0) != kNone) extend_backward(g, id, g.node(id).inputs[0]);
    extend_forward(g, id, only_output(g.node(id)), false);
    absorb_dequantize(g, id);
  }
}

/// Resize computes each output point once, so what follows it per point is free.
void group_resizes(Grouping& g) {
  for (NodeId id : g.graph().order()) {
    if (!g.is_free(id) || !g.no_kernel(id).empty() || !is_op(g.node(id), "Resize")) continue;
    g.start(id, GroupKind::single);
    extend_forward(g, id, only_output(g.node(id)), false);
  }
}

/// As many elements as `shape`: then each is computed once, also behind a Reshape.
bool is_free_map_of_size(const Grouping& g, NodeId id, ValueId shape) {
  const auto elements = [&](ValueId v) { return element_count(g.graph().type(v).shape()); };
  const ValueId output = only_output(g.node(id));
  return output != kNone && g.is_free_map(id, output) && elements(output) == elements(shape);
}

/// Gather of whole rows, as many elements as `shape`.
bool is_free_gather_of_size(const Grouping& g, NodeId id, ValueId shape) {
  if (id == kNone || !g.is_free(id) || !g.no_kernel(id).empty() || !is_op(g.node(id), "Gather")) return false;
  const auto rank = static_cast<int64_t>(g.graph().type(g.node(id).inputs[0]).shape().size());
  const int64_t axis = g.node(id).attr_int("axis", 0);
  const auto elements = [&](ValueId v) { return element_count(g.graph().type(v).shape()); };
  return (axis < 0 ? axis + rank : axis) + 1 < rank && elements(only_output(g.node(id))) == elements(shape);
}

/// Everything that feeds only the group and either has the size of `shape` and is element-wise (or, where `gathers`, a
/// Gather), or is an index map that a load can do, joins it.
void absorb_producers(Grouping& g, int group, ValueId shape, bool gathers = false) {
  for (bool again = true; again;) {
    again = false;
    for (NodeId member : std::vector<NodeId>(g.members(group))) {
      for (ValueId input : g.node(member).inputs) {
        const NodeId id = g.producer(input);
        if (id == kNone || !g.is_free(id) || !g.feeds_only(id, group)) continue;
        if (!is_free_map_of_size(g, id, shape) && !is_index_map(g, id) &&
            !(gathers && is_free_gather_of_size(g, id, shape)))
          continue;
        again |= g.join(group, {id});
      }
    }
  }
}

/// A scatter reads each index and each update once, so what makes them of others on the way (an Expand of the indices; the
/// messages of a graph network: rows of its nodes, times a weight) joins it.
void group_scatters(Grouping& g) {
  for (NodeId id : g.graph().order()) {
    if (!g.is_free(id) || !g.no_kernel(id).empty() || !one_of(g.node(id), {"ScatterElements", "ScatterND"})) continue;
    g.start(id, GroupKind::single);
    absorb_producers(g, id, g.node(id).inputs[2], true);
  }
}

/// Chains and webs of element-wise nodes of one shape: one pass over memory. From the last node backwards, so that a
/// web is entered where its results leave it.
void group_maps(Grouping& g) {
  const std::vector<NodeId>& order = g.graph().order();
  for (size_t i = order.size(); i-- > 0;) {
    const NodeId id = order[i];
    if (!g.is_free(id) || g.pattern(id) != ops::Pattern::elementwise) continue;
    g.start(id, GroupKind::elementwise);
    if (const ValueId output = only_output(g.node(id)); output != kNone) absorb_producers(g, id, output);
  }
}

/// A chain of reshapes and transposes is one copy.
void group_moves(Grouping& g) {
  for (NodeId id : g.graph().order()) {
    if (!g.is_free(id) || g.pattern(id) != ops::Pattern::injective) continue;
    g.start(id, GroupKind::movement);
    if (!is_bijection(g, id)) continue;
    for (ValueId value = only_output(g.node(id)); g.one_consumer(value);) {
      const NodeId next = g.consumers(value).front();
      if (!g.is_free(next) || !is_bijection(g, next) || !g.join(id, {next})) break;
      value = only_output(g.node(next));
    }
  }
}

}  // namespace

/// What is dequantised only for this group is read as it is: a quarter or an eighth of the bytes. Weights may be transposed
/// on the way.
void absorb_dequantize(Grouping& g, int group) {
  for (NodeId member : std::vector<NodeId>(g.members(group)))
    for (ValueId input : g.node(member).inputs) {
      NodeId id = g.producer(input);
      if (id == kNone || !g.feeds_only(id, group)) continue;
      std::vector<NodeId> chain;
      while (is_bijection(g, id) && g.one_consumer(g.node(id).inputs[0])) {
        chain.push_back(id);
        id = g.producer(g.node(id).inputs[0]);
      }
      if (id == kNone || !g.is_free(id) || !g.no_kernel(id).empty() || !is_op(g.node(id), "DequantizeLinear") ||
          (!chain.empty() && !g.graph().constant(g.node(id).inputs[0])))
        continue;
      chain.push_back(id);
      g.join(group, chain);
    }
}

bool is_bijection(const Grouping& g, NodeId id) {
  return id != kNone && g.is_free(id) && g.pattern(id) == ops::Pattern::injective &&
         one_of(g.node(id), {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"});
}

bool is_index_map(const Grouping& g, NodeId id) {
  if (is_bijection(g, id)) return true;
  return id != kNone && g.is_free(id) && g.pattern(id) == ops::Pattern::injective &&
         one_of(g.node(id), {"Slice", "Split", "Expand"});
}

Step next_map(const Grouping& g, ValueId value, std::string& why) {
  if (g.graph().is_output(value)) {
    why = fmt::format("'{}' is an output of the model", g.graph().value(value).name);
    return {};
  }
  Step step;
  std::set<ValueId> open = {value};  // values whose consumers are not all in the step yet
  std::set<NodeId> taken;
  while (taken.size() < kMaxStep) {
    // The consumer that comes first is taken: those behind it may read its result.
    std::vector<NodeId> readers;
    for (ValueId v : open)
      for (NodeId reader : g.consumers(v))
        if (!taken.count(reader)) readers.push_back(reader);
    if (readers.empty()) return {};
    const auto& order = g.graph().order();
    const NodeId next = readers.size() == 1
                            ? readers[0]
                            : *std::find_first_of(order.begin(), order.end(), readers.begin(), readers.end());
    if (why = why_not_map(g, next, value); !why.empty()) {
      if (!g.one_consumer(value)) why = fmt::format("'{}' is needed in several places", g.graph().value(value).name);
      return {};
    }
    taken.insert(next);
    step.nodes.push_back(next);
    const ValueId output = only_output(g.node(next));
    open.insert(output);
    for (auto v = open.begin(); v != open.end();) {
      const auto& users = g.consumers(*v);
      const bool closed = *v != output && !g.graph().is_output(*v) &&
                          std::all_of(users.begin(), users.end(), [&](NodeId u) { return taken.count(u) > 0; });
      v = closed ? open.erase(v) : std::next(v);
    }
    if (open.size() == 1 && *open.begin() == output) {
      step.result = output;
      return step;
    }
  }
  why = fmt::format("'{}' is needed in several places", g.graph().value(value).name);
  return {};
}

void apply_fusion_rules(Grouping& g) {
  group_attention(g);     // first: it also claims the index maps of q, k and v, which then need no copy
  group_contractions(g);  // before reductions: a residual sum after a contraction costs one read there, two elsewhere
  group_reductions(g);
  group_resizes(g);
  group_scatters(g);
  group_maps(g);
  group_moves(g);
}

}  // namespace rooftune::passes
