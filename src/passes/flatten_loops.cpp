#include "ops/loop_borders.h"
#include "passes/edit.h"
#include "passes/loops.h"
#include "passes/pass.h"

namespace rooftune::passes {

// In pass_list.cpp stand those of the graph that is exported, too.
bool canonicalise_matmul(Graph& graph, PassContext& context);
bool constant_fold(Graph& graph, PassContext& context);
bool expand_for_kernels(Graph& graph, PassContext& context);

namespace {

int axis_of(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

/// A value whose bytes a loop can copy.
std::string why_not_copied(const Graph& graph, ValueId value) {
  const Type& type = graph.type(value);
  if (!type.is_static()) return fmt::format("'{}' has no static shape ({})", graph.value(value).name, type.to_string());
  if (type.dtype() == ir::DType::string || bit_width(type.dtype()) < 8)
    return fmt::format("'{}' is of type {}", graph.value(value).name, name(type.dtype()));
  return "";
}

/// Takes the place of a Scan: its body with a border before and after it.
class Flattened {
 public:
  Flattened(Graph& graph, NodeId scan)
      : graph_(graph), scan_(graph.node(scan)), body_(scan_.attr_graph("body")->clone()) {
    plan_ = ops::scan_plan(scan_, body_);
    const std::vector<ValueId> inner = std::exchange(body_.inputs, {});
    for (size_t i = 0; i < body_.captures_inner.size(); ++i) known_[body_.captures_inner[i]] = body_.captures_outer[i];
    hand_over_states(inner);
    const NodeId first = body_.order().empty() ? kNone : body_.order().front();
    const ValueId counts = begin(inner, first);
    end(counts);
    replace_by_body(graph, scan, body_, std::move(known_), results_);
  }

 private:
  ValueId value(const ir::Value& like, Type type) { return body_.add_value(like.name, std::move(type)); }
  bool is_read(ValueId v) const { return use_count(body_, v) > 0; }

  /// States are copied one after the other: what is to become one must not be another's.
  void hand_over_states(const std::vector<ValueId>& inner) {
    for (size_t s = 0; s < plan_.states; ++s) {
      ValueId& next = body_.outputs[s];
      const auto state = std::find(inner.begin(), inner.begin() + static_cast<std::ptrdiff_t>(plan_.states), next);
      if (state == inner.begin() + static_cast<std::ptrdiff_t>(plan_.states) || *state == inner[s]) continue;
      Node copy{.name = scan_.name + "/next", .op = "Identity", .inputs = {next}};
      copy.outputs = {next = value(body_.value(next), body_.type(next))};
      body_.add_node(std::move(copy));
    }
  }

  /// The tensor with one of its axes moved.
  ValueId moved(ValueId v, int from, int to, NodeId before) {
    if (from == to) return v;
    const Type& type = body_.type(v);
    std::vector<int64_t> perm;
    for (int d = 0; d < type.rank(); ++d)
      if (d != from) perm.push_back(d);
    perm.insert(perm.begin() + to, from);
    ir::Shape shape;
    for (int64_t d : perm) shape.push_back(type.shape()[static_cast<size_t>(d)]);
    Node node{.name = scan_.name + "/Transpose", .op = "Transpose", .inputs = {v}, .attributes = {{"perm", perm}}};
    node.outputs = {value(body_.value(v), Type::tensor(type.dtype(), std::move(shape)))};
    const ValueId output = node.outputs[0];
    body_.add_node(std::move(node), before);
    return output;
  }

  ValueId begin(const std::vector<ValueId>& inner, NodeId first) {
    Node node{.name = scan_.name, .op = "LoopBegin", .domain = std::string(ops::kLoopDomain), .since_version = 1};
    for (size_t i = 0; i < inner.size(); ++i) {
      const ValueId outer = scan_.inputs[i];
      const ValueId v = value(graph_.value(outer), graph_.type(outer));
      known_[v] = outer;
      const bool state = i < plan_.states;
      node.inputs.push_back(
          state ? v : moved(v, axis_of(plan_.input_axes[i - plan_.states], body_.type(v).rank()), 0, first));
      if (state || is_read(inner[i])) node.outputs.push_back(inner[i]);
      else node.outputs.push_back(kNone), known_[inner[i]] = kNone;
    }
    node.attributes = {{"states", static_cast<int64_t>(plan_.states)}, {"reversed", plan_.input_reversed}};
    const ValueId counts = node.inputs[plan_.states];
    body_.add_node(std::move(node), first);
    return counts;
  }

  void end(ValueId counts) {
    Node node{.name = scan_.name, .op = "LoopEnd", .domain = std::string(ops::kLoopDomain), .since_version = 1};
    node.inputs = {counts};
    for (size_t i = 0; i < scan_.outputs.size(); ++i) {
      const ValueId outer = scan_.outputs[i];
      const bool wanted = outer != kNone && use_count(graph_, outer) > 0, state = i < plan_.states;
      node.inputs.push_back(state || wanted ? body_.outputs[i] : kNone);
      node.outputs.push_back(kNone);
      if (!wanted) continue;
      ir::Shape shape = body_.type(body_.outputs[i]).shape();
      if (!state) shape.insert(shape.begin(), body_.type(counts).shape()[0]);
      node.outputs.back() =
          value(graph_.value(outer), Type::tensor(body_.type(body_.outputs[i]).dtype(), std::move(shape)));
    }
    node.attributes = {{"states", static_cast<int64_t>(plan_.states)}, {"reversed", plan_.output_reversed}};
    results_ = node.outputs;
    body_.add_node(std::move(node));
    for (size_t i = plan_.states; i < results_.size(); ++i)
      if (results_[i] != kNone)
        results_[i] =
            moved(results_[i], 0, axis_of(plan_.output_axes[i - plan_.states], body_.type(results_[i]).rank()), kNone);
  }

  Graph& graph_;
  const Node& scan_;
  Graph body_;
  ops::ScanPlan plan_;
  std::map<ValueId, ValueId> known_;
  std::vector<ValueId> results_;
};

bool flatten_scans(Graph& graph, PassContext& context) {
  if (&graph != &context.model) return false;  // bodies that are left run by references
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    if (!is_op(graph.node(id), "Scan")) continue;
    if (const std::string why = why_not_flat(graph, graph.node(id)); !why.empty()) {
      context.notes.push_back(fmt::format("{}: not flattened: {}", graph.node(id).name, why));
      continue;
    }
    Flattened(graph, id);
    changed = true;
  }
  if (changed) graph.remove_dead();
  return changed;
}

/// The nodes of a flat loop as the body of a Scan.
class Restored {
 public:
  Restored(Graph& graph, const ops::FlatLoop& loop)
      : graph_(graph), begin_(graph.node(loop.begin)), end_(graph.node(loop.end)) {
    for (size_t i = 0; i < begin_.inputs.size(); ++i) add_input(i);
    for (NodeId id : loop.nodes)
      if (id != loop.begin && id != loop.end) add_node(graph.node(id));
    const auto states = static_cast<size_t>(begin_.attr_int("states", 0));
    const std::vector<int64_t> reversed = end_.attr_ints("reversed");
    std::vector<int64_t> backwards;
    Node scan{.name = begin_.name, .op = "Scan", .since_version = graph.opsets[""], .inputs = begin_.inputs};
    for (size_t i = 0; i < end_.outputs.size(); ++i) {
      if (end_.inputs[i + 1] == kNone) continue;  // a part that nobody asks for
      body_->outputs.push_back(inside(end_.inputs[i + 1]));
      scan.outputs.push_back(end_.outputs[i]);
      if (i >= states) backwards.push_back(reversed[i - states]);
    }
    scan.attributes = {{"body", body_},
                       {"num_scan_inputs", static_cast<int64_t>(begin_.inputs.size() - states)},
                       {"scan_input_directions", begin_.attr_ints("reversed")}};
    if (!backwards.empty()) scan.attributes["scan_output_directions"] = std::move(backwards);
    graph.add_node(std::move(scan), loop.begin);
    for (auto id = loop.nodes.rbegin(); id != loop.nodes.rend(); ++id) graph.remove_node(*id);
  }

 private:
  void add_input(size_t i) {
    const ValueId outer = begin_.outputs[i];
    const bool state = i < static_cast<size_t>(begin_.attr_int("states", 0));
    if (outer != kNone) {
      known_[outer] = body_->add_input(graph_.value(outer).name, graph_.type(outer));
      return;
    }
    const Type& type = graph_.type(begin_.inputs[i]);
    ir::Shape shape = type.shape();
    if (!state) shape.erase(shape.begin());
    body_->add_input("unused", Type::tensor(type.dtype(), std::move(shape)));
  }

  ValueId inside(ValueId outer) {
    if (outer == kNone) return kNone;
    const auto [found, fresh] = known_.try_emplace(outer, kNone);
    if (!fresh) return found->second;
    found->second = body_->add_value(graph_.value(outer).name, graph_.type(outer));
    body_->captures_inner.push_back(found->second);
    body_->captures_outer.push_back(outer);
    return found->second;
  }

  void add_node(const Node& node) {
    Node copy = node;
    for (ValueId& v : copy.inputs) v = inside(v);
    for (auto& [key, attribute] : copy.attributes)
      if (auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        *body = std::make_shared<Graph>((*body)->clone());
        for (ValueId& v : (*body)->captures_outer) v = inside(v);
      }
    for (ValueId& v : copy.outputs)
      if (v != kNone) v = known_[v] = body_->add_value(graph_.value(v).name, graph_.type(v));
    body_->add_node(std::move(copy));
  }

  Graph& graph_;
  const Node &begin_, &end_;
  std::shared_ptr<Graph> body_ = std::make_shared<Graph>();
  std::map<ValueId, ValueId> known_;  // outside → in the body
};

}  // namespace

void restore_scans(Graph& graph) {
  for (const ops::FlatLoop& loop : ops::flat_loops(graph)) Restored(graph, loop);
}

namespace {

/// Whether a state, or a stack that somebody reads, follows from some input of the body: the border at which a loop begins
/// would be dead code otherwise.
bool needs_its_inputs(const Graph& graph, const Node& scan, const Graph& body) {
  const size_t states = scan.inputs.size() - static_cast<size_t>(scan.attr_int("num_scan_inputs", 0));
  std::vector<bool> needed(body.value_capacity(), false);
  for (size_t i = 0; i < body.outputs.size(); ++i)
    if (i < states || (scan.outputs[i] != kNone && use_count(graph, scan.outputs[i]) > 0))
      needed[static_cast<size_t>(body.outputs[i])] = true;
  for (auto id = body.order().rbegin(); id != body.order().rend(); ++id) {
    const Node& node = body.node(*id);
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId v) { return v != kNone && needed[static_cast<size_t>(v)]; }))
      continue;
    for (ValueId v : ir::used_values(node)) needed[static_cast<size_t>(v)] = true;
  }
  return std::any_of(body.inputs.begin(), body.inputs.end(), [&](ValueId v) { return needed[static_cast<size_t>(v)]; });
}

}  // namespace

std::string why_not_flat(const Graph& graph, const Node& scan) {
  const auto body = scan.attr_graph("body");
  if (!body) return "it has no body";
  for (ValueId v : ir::used_values(scan))
    if (const std::string why = why_not_copied(graph, v); !why.empty()) return why;
  for (size_t v = 0; v < body->value_capacity(); ++v)
    if (const auto inner = static_cast<ValueId>(v); body->value_alive(inner))
      if (const std::string why = why_not_copied(*body, inner); !why.empty()) return why;
  return needs_its_inputs(graph, scan, *body) ? "" : "what its body gives does not depend on the loop";
}

void flatten_loops(Graph& graph) {
  const auto run = [&](const char* name, bool (*pass)(Graph&, PassContext&)) {
    return run_passes(graph, {{name, pass}}).front().changed;
  };
  if (run("expand_for_kernels", expand_for_kernels)) run("constant_fold", constant_fold);
  if (!run("flatten_scans", flatten_scans)) return;
  run("canonicalise_matmul", canonicalise_matmul);  // what a body captured was no constant to it
  run("constant_fold", constant_fold);
}

}  // namespace rooftune::passes
