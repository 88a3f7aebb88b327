// Computes every expression once: nodes of the same operator, attributes and inputs become one, and so do equal
// constants. After canonicalisation, which spells equal things alike, and before patterns are recognised, since
// exporters compute x - mean(x) or a mask twice.
#include <cstring>

#include "ops/op.h"
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// Larger constants are merged only where they share their bytes (tied weights), so that nothing big is read here.
constexpr size_t kCompareLimit = 4096;

std::string key(const Tensor& tensor) {
  const std::string head = fmt::format("{}[{}]", name(tensor.dtype()), fmt::join(tensor.shape(), ","));
  if (tensor.dtype() == ir::DType::string) return fmt::format("{}{}", head, fmt::join(tensor.strings(), "\x1f"));
  if (tensor.bytes() > kCompareLimit) return fmt::format("{}@{}", head, static_cast<const void*>(tensor.raw()));
  return head + std::string(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
}

struct KeyOf {
  std::string operator()(int64_t v) const { return fmt::format("i{}", v); }
  std::string operator()(float v) const { return fmt::format("f{}", std::bit_cast<uint32_t>(v)); }
  std::string operator()(const std::string& v) const { return "s" + v; }
  std::string operator()(const Tensor& v) const { return "t" + key(v); }
  std::string operator()(const std::vector<int64_t>& v) const { return fmt::format("I{}", fmt::join(v, ",")); }
  std::string operator()(const std::vector<float>& v) const {
    std::string text = "F";
    for (float x : v) text += (*this)(x);
    return text;
  }
  std::string operator()(const std::vector<std::string>& v) const { return fmt::format("S{}", fmt::join(v, "\x1f")); }
  std::string operator()(const std::vector<Tensor>& v) const {
    std::string text = "T";
    for (const Tensor& x : v) text += key(x) + "\x1f";
    return text;
  }
  std::string operator()(const Type& v) const { return "y" + v.to_string(); }
  std::string operator()(const std::shared_ptr<Graph>& v) const {
    return fmt::format("g{}", static_cast<const void*>(v.get()));
  }
  std::string operator()(const std::vector<std::shared_ptr<Graph>>& v) const {
    std::string text = "G";
    for (const auto& x : v) text += (*this)(x);
    return text;
  }
};

/// Two nodes with the same key compute the same. Outputs that are not asked for are part of it.
std::string key(const Node& node) {
  std::string text = fmt::format("{}:{}:{}:{}", node.domain, node.op, node.since_version, fmt::join(node.inputs, ","));
  for (ValueId output : node.outputs) text += output == kNone ? "-" : "+";
  for (const auto& [name, attribute] : node.attributes) text += "\x1e" + name + "=" + std::visit(KeyOf{}, attribute);
  return text;
}

bool merge_constants(Graph& graph) {
  bool changed = false;
  std::map<std::string, ValueId> first;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const ValueId id = static_cast<ValueId>(i);
    const Tensor* tensor = graph.constant(id);
    if (!tensor || graph.is_output(id) || graph.consumers(id).empty()) continue;
    const auto [found, fresh] = first.emplace(key(*tensor), id);
    if (fresh) continue;
    graph.replace_uses(id, found->second);
    changed = true;
  }
  return changed;
}

/// Whether every output of `node` can be read from the equal node instead (a graph output keeps its own name).
bool replaceable(const Graph& graph, const Node& node) {
  return std::none_of(node.outputs.begin(), node.outputs.end(),
                      [&](ValueId output) { return output != kNone && graph.is_output(output); });
}

bool merge_nodes(Graph& graph) {
  bool changed = false;
  std::map<std::string, NodeId> first;
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    if (!ops::Catalogue::instance().at(graph.node(id)).deterministic) continue;
    const auto [found, fresh] = first.emplace(key(graph.node(id)), id);
    if (fresh || !replaceable(graph, graph.node(id))) continue;
    const std::vector<ValueId> from = graph.node(id).outputs, to = graph.node(found->second).outputs;
    for (size_t i = 0; i < from.size(); ++i)
      if (from[i] != kNone) graph.replace_uses(from[i], to[i]);
    graph.remove_node(id);
    changed = true;
  }
  return changed;
}

}  // namespace

bool common_subexpression(Graph& graph, PassContext&) {
  const bool constants = merge_constants(graph);  // first: nodes are equal only if their inputs are
  return merge_nodes(graph) || constants;
}

}  // namespace rooftune::passes
