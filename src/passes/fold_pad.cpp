// A Pad with zeros before a convolution, or before an average that counts its padding, becomes the padding of that
// operator: its kernel reads zeros there anyway, and the padded copy is never made. Exporters write such pairs where
// padding is asymmetric or a module of its own. After constant folding, which makes the pads constants.
#include <numeric>

#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

using Pads = std::vector<int64_t>;  // before each spatial axis, then after each, as operators have them

/// What a Pad adds around the spatial axes; nothing where it does anything else.
std::optional<Pads> zeros_around(const Graph& graph, const Node& pad) {
  const Type& type = graph.type(pad.inputs[0]);
  const auto amounts = int_constant(graph, pad.input(1));
  if (!type.is_tensor() || !type.has_rank() || type.rank() < 3 || !amounts) return std::nullopt;
  if (pad.attr_string("mode", "constant") != "constant") return std::nullopt;
  if (pad.input(2) != kNone && scalar(graph, pad.input(2)) != 0.0) return std::nullopt;
  std::vector<int64_t> axes(static_cast<size_t>(type.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  if (pad.input(3) != kNone) {
    const auto given = int_constant(graph, pad.input(3));
    if (!given) return std::nullopt;
    axes = *given;
  }
  const size_t spatial = static_cast<size_t>(type.rank()) - 2;
  Pads pads(2 * spatial);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i] + (axes[i] < 0 ? type.rank() : 0);
    const int64_t before = amounts->at(i), after = amounts->at(axes.size() + i);
    if (before < 0 || after < 0 || (axis < 2 && (before > 0 || after > 0))) return std::nullopt;
    if (axis < 2) continue;
    pads[static_cast<size_t>(axis) - 2] = before;
    pads[static_cast<size_t>(axis) - 2 + spatial] = after;
  }
  return pads;
}

/// The padding that the operator has itself; nothing where more cannot be added to it.
std::optional<Pads> own_pads(const Node& node, size_t count) {
  const std::string automatic = node.attr_string("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") return std::nullopt;  // depends on the padded extents
  return automatic == "VALID" ? Pads(count) : node.attr_ints("pads", Pads(count));
}

/// Whether the average stays what it was when these pads (the Pad's and its own) are its own. Runtimes want every window
/// to be larger than the padding.
bool average_may_pad(const Node& node, const Pads& own, const Pads& pads) {
  const bool counts = node.attr_int("count_include_pad", 0) != 0;
  if (!counts && own != Pads(own.size())) return false;
  if (node.attr_int("ceil_mode", 0) != 0) return false;  // windows that reach beyond the padding count differently
  const std::vector<int64_t> kernel = node.attr_ints("kernel_shape");
  for (size_t i = 0; i < pads.size(); ++i)
    if (pads[i] >= kernel.at(i % kernel.size())) return false;
  return true;
}

bool fold(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool average = is_op(node, "AveragePool");
  if (!average && !is_op(node, "Conv")) return false;
  const Node* pad = maker(graph, node.inputs[0], "Pad");
  const auto around = pad ? zeros_around(graph, *pad) : std::nullopt;
  const auto own = around ? own_pads(node, around->size()) : std::nullopt;
  if (!own) return false;
  Pads pads = *own;
  for (size_t i = 0; i < pads.size(); ++i) pads[i] += around->at(i);
  if (average && !average_may_pad(node, *own, pads)) return false;

  Attributes attributes = node.attributes;
  attributes.erase("auto_pad");
  attributes["pads"] = pads;
  if (average) attributes["count_include_pad"] = int64_t{1};
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = pad->inputs[0];
  replace_node(graph, id, node.op, std::move(inputs), std::move(attributes));
  return true;
}

}  // namespace

bool fold_pad(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, fold);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
