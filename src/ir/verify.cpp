// The structural verifier: what every edit of a graph must keep. Types of operators are checked in ops/.
#include <set>

#include "ir/graph.h"

namespace rooftune::ir {
namespace {

template <typename... A>
[[noreturn]] void fail(const Graph& g, fmt::format_string<A...> f, A&&... a) {
  throw InternalError("graph '{}': {}", g.name, fmt::format(f, std::forward<A>(a)...));
}

void verify_value(const Graph& g, ValueId id) {
  const Value& v = g.value(id);
  if (g.find_value(v.name) != id) fail(g, "the name '{}' is not that of value {}; use rename()", v.name, id);
  if (v.producer != kNone) {
    if (!g.alive(v.producer)) fail(g, "value '{}' has a producer that was removed", v.name);
    const Node& p = g.node(v.producer);
    const auto i = static_cast<size_t>(v.output_index);
    if (i >= p.outputs.size() || p.outputs[i] != id) fail(g, "value '{}' is not output {} of {}", v.name, i, p.label());
    if (v.constant) fail(g, "value '{}' is a constant and the output of {}", v.name, p.label());
  }
  if (!v.constant) return;
  const Tensor& t = *v.constant;
  if (!v.type.is_tensor() || v.type.dtype() != t.dtype() || !v.type.is_static() ||
      static_values(v.type.shape()) != t.shape())
    fail(g, "constant '{}' has the type {}, its tensor is {}[{}]", v.name, v.type.to_string(), name(t.dtype()),
         fmt::join(t.shape(), ","));
}

void verify_graph(const Graph& g);

/// Checks one node, given what is defined before it, and adds its outputs.
void verify_node(const Graph& g, NodeId id, std::vector<bool>& defined) {
  const Node& n = g.node(id);
  if (n.op.empty()) fail(g, "node '{}' has no operator", n.name);
  const auto check_use = [&](ValueId v, std::string_view how) {
    if (!g.value_alive(v)) fail(g, "{} {} value {}, which does not exist", n.label(), how, v);
    if (!defined[static_cast<size_t>(v)]) fail(g, "{} {} '{}' before it is defined", n.label(), how, g.value(v).name);
  };
  for (const ValueId v : n.inputs)
    if (v != kNone) check_use(v, "uses");
  for (const auto& body : bodies(n)) {
    if (!body) fail(g, "{} has a body that is null", n.label());
    if (body->captures_inner.size() != body->captures_outer.size())
      fail(g, "{}: a body has {} captures inside and {} outside", n.label(), body->captures_inner.size(),
           body->captures_outer.size());
    for (const ValueId v : body->captures_outer) check_use(v, "captures");
    verify_graph(*body);
  }
  for (const ValueId v : n.outputs) {
    if (v == kNone) continue;
    if (!g.value_alive(v)) fail(g, "{} has the output {}, which does not exist", n.label(), v);
    if (g.value(v).producer != id || defined[static_cast<size_t>(v)])
      fail(g, "'{}' is an output of {} and defined elsewhere too", g.value(v).name, n.label());
    defined[static_cast<size_t>(v)] = true;
  }
}

void verify_graph(const Graph& g) {
  std::vector<bool> defined(g.value_capacity(), false);
  const auto define = [&](const std::vector<ValueId>& ids, std::string_view what) {
    for (const ValueId v : ids) {
      if (!g.value_alive(v)) fail(g, "{} {} does not exist", what, v);
      if (g.value(v).producer != kNone || g.value(v).constant)
        fail(g, "{} '{}' is a constant or the output of a node", what, g.value(v).name);
      if (defined[static_cast<size_t>(v)]) fail(g, "{} '{}' stands twice", what, g.value(v).name);
      defined[static_cast<size_t>(v)] = true;
    }
  };
  define(g.inputs, "input");
  define(g.captures_inner, "capture");
  for (size_t i = 0; i < g.value_capacity(); ++i) {
    const auto id = static_cast<ValueId>(i);
    if (!g.value_alive(id)) continue;
    verify_value(g, id);
    if (g.value(id).constant) defined[i] = true;
  }
  std::set<std::string_view> names;
  std::vector<bool> seen(g.node_capacity(), false);
  for (const NodeId id : g.order()) {
    if (!g.alive(id)) fail(g, "the order holds node {}, which was removed", id);
    if (seen[static_cast<size_t>(id)]) fail(g, "{} stands twice in the order", g.node(id).label());
    seen[static_cast<size_t>(id)] = true;
    if (!names.insert(g.node(id).name).second) fail(g, "two nodes are named '{}'", g.node(id).name);
    verify_node(g, id, defined);
  }
  for (size_t i = 0; i < g.node_capacity(); ++i)
    if (g.alive(static_cast<NodeId>(i)) && !seen[i])
      fail(g, "{} is missing in the order", g.node(static_cast<NodeId>(i)).label());
  for (const ValueId v : g.outputs) {
    if (!g.value_alive(v)) fail(g, "output {} does not exist", v);
    if (!defined[static_cast<size_t>(v)]) fail(g, "output '{}' is never computed", g.value(v).name);
  }
}

}  // namespace

void verify(const Graph& graph) {
  if (!graph.captures_inner.empty() || !graph.captures_outer.empty())
    fail(graph, "it captures values, but there is no graph around it");
  verify_graph(graph);
}

}  // namespace rooftune::ir
