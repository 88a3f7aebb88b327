#include "ir/graph.h"

#include <algorithm>
#include <queue>

namespace rooftune::ir {
namespace {

std::string_view attribute_kind(const Attribute& a) {
  constexpr std::string_view kKinds[] = {
      "an integer",       "a float",           "a string",          "a tensor",         "a graph", "a list of integers",
      "a list of floats", "a list of strings", "a list of tensors", "a list of graphs", "a type"};
  static_assert(std::size(kKinds) == std::variant_size_v<Attribute>);
  return kKinds[a.index()];
}

/// The attribute as a T; null where it is absent.
template <typename T>
const T* find(const Node& node, std::string_view key) {
  const auto it = node.attributes.find(std::string(key));
  if (it == node.attributes.end()) return nullptr;
  const T* value = std::get_if<T>(&it->second);
  if (!value)
    throw InputError("{}: attribute '{}' must be {}, not {}", node.label(), key, attribute_kind(Attribute(T{})),
                     attribute_kind(it->second));
  return value;
}

template <typename T>
void erase_at(std::vector<T>& v, size_t i) {
  v.erase(v.begin() + static_cast<std::ptrdiff_t>(i));
}

Attribute clone_attribute(const Attribute& a) {
  if (const auto* g = std::get_if<std::shared_ptr<Graph>>(&a)) return std::make_shared<Graph>((*g)->clone());
  if (const auto* gs = std::get_if<std::vector<std::shared_ptr<Graph>>>(&a)) {
    std::vector<std::shared_ptr<Graph>> copies;
    for (const auto& g : *gs) copies.push_back(std::make_shared<Graph>(g->clone()));
    return copies;
  }
  return a;
}

}  // namespace

bool Node::has(std::string_view key) const { return attributes.count(std::string(key)) > 0; }

std::string Node::label() const {
  return fmt::format("node '{}' ({}{}{})", name, domain, domain.empty() ? "" : ".", op);
}

int64_t Node::attr_int(std::string_view key, int64_t otherwise) const {
  const auto* v = find<int64_t>(*this, key);
  return v ? *v : otherwise;
}

float Node::attr_float(std::string_view key, float otherwise) const {
  const auto* v = find<float>(*this, key);
  return v ? *v : otherwise;
}

std::string Node::attr_string(std::string_view key, std::string_view otherwise) const {
  const auto* v = find<std::string>(*this, key);
  return v ? *v : std::string(otherwise);
}

std::vector<int64_t> Node::attr_ints(std::string_view key, std::vector<int64_t> otherwise) const {
  const auto* v = find<std::vector<int64_t>>(*this, key);
  return v ? *v : std::move(otherwise);
}

std::vector<float> Node::attr_floats(std::string_view key, std::vector<float> otherwise) const {
  const auto* v = find<std::vector<float>>(*this, key);
  return v ? *v : std::move(otherwise);
}

const Tensor* Node::attr_tensor(std::string_view key) const { return find<Tensor>(*this, key); }

std::shared_ptr<Graph> Node::attr_graph(std::string_view key) const {
  const auto* v = find<std::shared_ptr<Graph>>(*this, key);
  return v ? *v : nullptr;
}

std::vector<std::shared_ptr<Graph>> bodies(const Node& node) {
  std::vector<std::shared_ptr<Graph>> out;
  for (const auto& [key, a] : node.attributes) {
    if (const auto* g = std::get_if<std::shared_ptr<Graph>>(&a)) out.push_back(*g);
    if (const auto* gs = std::get_if<std::vector<std::shared_ptr<Graph>>>(&a))
      out.insert(out.end(), gs->begin(), gs->end());
  }
  return out;
}

std::vector<ValueId> used_values(const Node& node) {
  std::vector<ValueId> out;
  for (const ValueId v : node.inputs)
    if (v != kNone) out.push_back(v);
  for (const auto& body : bodies(node)) out.insert(out.end(), body->captures_outer.begin(), body->captures_outer.end());
  return out;
}

// --- values

std::string Graph::unique_name(std::string wanted, bool of_node) {
  const auto taken = [&](const std::string& n) { return of_node ? node_names_.count(n) > 0 : by_name_.count(n) > 0; };
  if (!wanted.empty() && !taken(wanted)) return wanted;
  if (wanted.empty()) wanted = "v";
  int64_t& suffix = next_suffix_[(of_node ? "n " : "v ") + wanted];
  while (true) {
    std::string name = fmt::format("{}_{}", wanted, suffix++);
    if (!taken(name)) return name;
  }
}

ValueId Graph::add_value(std::string name, Type type) {
  const auto id = static_cast<ValueId>(values_.size());
  Value v;
  v.name = unique_name(std::move(name), false);
  v.type = std::move(type);
  by_name_[v.name] = id;
  values_.push_back(std::move(v));
  return id;
}

ValueId Graph::add_input(std::string name, Type type) {
  const ValueId id = add_value(std::move(name), std::move(type));
  inputs.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string name, Tensor tensor) {
  RT_CHECK(static_cast<bool>(tensor), "constant '{}' has no tensor", name);
  const ValueId id = add_value(std::move(name), Type::tensor(tensor.dtype(), to_shape(tensor.shape())));
  value(id).constant = std::move(tensor);
  return id;
}

const Tensor* Graph::constant(ValueId id) const {
  return id != kNone && value(id).constant ? &*value(id).constant : nullptr;
}

std::optional<ValueId> Graph::find_value(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? std::nullopt : std::optional(it->second);
}

void Graph::rename(ValueId id, std::string name) {
  if (value(id).name == name) return;
  by_name_.erase(value(id).name);
  value(id).name = unique_name(std::move(name), false);
  by_name_[value(id).name] = id;
}

void Graph::remove_value(ValueId id) {
  RT_CHECK(value_alive(id) && value(id).producer == kNone && !is_input(id) && !is_output(id) && consumers(id).empty(),
           "value {} is in use", id);
  by_name_.erase(value(id).name);
  value(id) = Value();
}

bool Graph::is_output(ValueId id) const { return std::find(outputs.begin(), outputs.end(), id) != outputs.end(); }
bool Graph::is_input(ValueId id) const { return std::find(inputs.begin(), inputs.end(), id) != inputs.end(); }

// --- nodes

NodeId Graph::add_node(Node node, NodeId before) {
  const auto id = static_cast<NodeId>(nodes_.size());
  if (node.name.empty()) node.name = fmt::format("{}_{}", node.op, id);
  node.name = unique_name(std::move(node.name), true);
  node_names_.insert(node.name);
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNone) continue;
    Value& v = value(node.outputs[i]);
    RT_CHECK(!v.constant, "the output '{}' of {} is a constant", v.name, node.label());
    v.producer = id;
    v.output_index = static_cast<int>(i);
  }
  nodes_.push_back(std::make_unique<Node>(std::move(node)));
  const auto at = before == kNone ? order_.end() : std::find(order_.begin(), order_.end(), before);
  RT_CHECK(before == kNone || at != order_.end(), "node {} to insert before does not exist", before);
  order_.insert(at, id);
  return id;
}

void Graph::remove_node(NodeId id) {
  RT_CHECK(alive(id), "node {} is removed twice", id);
  for (const ValueId v : node(id).outputs) {
    if (v == kNone || value(v).producer != id) continue;
    RT_CHECK(!is_output(v) && consumers(v).empty(), "{} is removed while '{}' is used", node(id).label(),
             value(v).name);
    by_name_.erase(value(v).name);
    value(v) = Value();
  }
  node_names_.erase(node(id).name);
  nodes_[static_cast<size_t>(id)] = nullptr;
  order_.erase(std::find(order_.begin(), order_.end(), id));
}

// --- uses

std::vector<NodeId> Graph::consumers(ValueId id) const {
  std::vector<NodeId> out;
  for (const NodeId n : order_) {
    const Node& user = node(n);
    bool uses = std::find(user.inputs.begin(), user.inputs.end(), id) != user.inputs.end();
    if (!uses && !user.attributes.empty()) {
      for (const auto& body : bodies(user)) {
        const auto& outer = body->captures_outer;
        uses |= std::find(outer.begin(), outer.end(), id) != outer.end();
      }
    }
    if (uses) out.push_back(n);
  }
  return out;
}

std::vector<std::vector<NodeId>> Graph::consumer_table() const {
  std::vector<std::vector<NodeId>> table(values_.size());
  for (const NodeId n : order_) {
    for (const ValueId v : used_values(node(n))) {
      auto& users = table[static_cast<size_t>(v)];
      if (users.empty() || users.back() != n) users.push_back(n);
    }
  }
  return table;
}

bool Graph::can_take_name(ValueId from, ValueId to) const {
  return from == to || !is_output(from) || (value(to).producer != kNone && !is_output(to));
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  for (const NodeId n : order_) {
    std::replace(node(n).inputs.begin(), node(n).inputs.end(), from, to);
    for (const auto& body : bodies(node(n)))
      std::replace(body->captures_outer.begin(), body->captures_outer.end(), from, to);
  }
  if (!is_output(from)) return;
  if (can_take_name(from, to)) {
    const std::string kept = value(from).name, given_up = value(to).name;
    rename(from, "");
    rename(to, kept);
    rename(from, given_up);
    std::replace(outputs.begin(), outputs.end(), from, to);
    return;
  }
  const std::string kept = value(from).name;
  rename(from, "");
  const ValueId named = add_value(kept, value(to).type);
  Node identity;
  identity.op = "Identity";
  identity.since_version = opsets.count("") ? opsets.at("") : 0;
  identity.inputs = {to};
  identity.outputs = {named};
  add_node(std::move(identity));
  std::replace(outputs.begin(), outputs.end(), from, named);
}

int Graph::remove_dead() {
  int removed = 0;
  std::vector<bool> needed(values_.size(), false);
  for (const ValueId v : outputs) needed[static_cast<size_t>(v)] = true;
  const std::vector<NodeId> order = order_;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = node(*it);
    const bool used = std::any_of(n.outputs.begin(), n.outputs.end(), [&](ValueId v) {
      return v != kNone && value(v).producer == *it && needed[static_cast<size_t>(v)];
    });
    if (!used) continue;
    for (const auto& body : bodies(n)) removed += body->remove_dead();
    for (const ValueId v : used_values(n)) needed[static_cast<size_t>(v)] = true;
  }
  for (size_t i = order.size(); i-- > 0;) {
    const Node& n = node(order[i]);
    bool keep = false;
    for (const ValueId v : n.outputs)
      keep |= v != kNone && value(v).producer == order[i] && needed[static_cast<size_t>(v)];
    if (keep) continue;
    for (const ValueId v : n.outputs) {
      if (v == kNone || value(v).producer != order[i]) continue;
      by_name_.erase(value(v).name);
      value(v) = Value();
    }
    node_names_.erase(n.name);
    nodes_[static_cast<size_t>(order[i])] = nullptr;
    ++removed;
  }
  std::erase_if(order_, [this](NodeId n) { return !alive(n); });
  for (size_t i = captures_inner.size(); i-- > 0;) {
    if (needed[static_cast<size_t>(captures_inner[i])]) continue;
    by_name_.erase(value(captures_inner[i]).name);
    value(captures_inner[i]) = Value();
    erase_at(captures_inner, i);
    erase_at(captures_outer, i);
  }
  for (size_t v = 0; v < values_.size(); ++v) {
    if (needed[v] || values_[v].name.empty() || values_[v].producer != kNone || is_input(static_cast<ValueId>(v)))
      continue;
    by_name_.erase(values_[v].name);
    values_[v] = Value();
  }
  return removed;
}

void Graph::sort() {
  // Kahn's algorithm; among the ready nodes the one that stood first comes first.
  std::vector<size_t> position(nodes_.size(), 0);
  for (size_t i = 0; i < order_.size(); ++i) position[static_cast<size_t>(order_[i])] = i;
  std::vector<std::vector<NodeId>> users(nodes_.size());
  std::vector<int> waiting(nodes_.size(), 0);
  for (const NodeId n : order_) {
    for (const ValueId v : used_values(node(n))) {
      const NodeId p = value(v).producer;
      if (p == kNone) continue;
      users[static_cast<size_t>(p)].push_back(n);
      ++waiting[static_cast<size_t>(n)];
    }
  }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (const NodeId n : order_)
    if (waiting[static_cast<size_t>(n)] == 0) ready.push(position[static_cast<size_t>(n)]);
  std::vector<NodeId> sorted;
  while (!ready.empty()) {
    const NodeId n = order_[ready.top()];
    ready.pop();
    sorted.push_back(n);
    for (const NodeId u : users[static_cast<size_t>(n)])
      if (--waiting[static_cast<size_t>(u)] == 0) ready.push(position[static_cast<size_t>(u)]);
  }
  if (sorted.size() < order_.size()) {
    // What still waits either lies on a cycle or behind one; walking back along waiting producers ends on a cycle.
    NodeId n =
        *std::find_if(order_.begin(), order_.end(), [&](NodeId x) { return waiting[static_cast<size_t>(x)] > 0; });
    for (size_t step = 0; step < order_.size(); ++step) {
      for (const ValueId v : used_values(node(n))) {
        const NodeId p = value(v).producer;
        if (p == kNone || waiting[static_cast<size_t>(p)] == 0) continue;
        n = p;
        break;
      }
    }
    throw InputError("{} is part of a cycle: its inputs depend on its own output", node(n).label());
  }
  order_ = std::move(sorted);
}

void Graph::compact() {
  std::vector<ValueId> new_value(values_.size(), kNone);
  std::vector<Value> values;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].name.empty()) continue;
    new_value[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(values_[i]));
  }
  std::vector<NodeId> new_node(nodes_.size(), kNone);
  std::vector<std::unique_ptr<Node>> nodes;
  for (const NodeId n : order_) {
    new_node[static_cast<size_t>(n)] = static_cast<NodeId>(nodes.size());
    nodes.push_back(std::move(nodes_[static_cast<size_t>(n)]));
  }
  const auto renumber = [&](std::vector<ValueId>& ids) {
    for (ValueId& v : ids)
      if (v != kNone) v = new_value[static_cast<size_t>(v)];
  };
  values_ = std::move(values);
  nodes_ = std::move(nodes);
  for (Value& v : values_)
    if (v.producer != kNone) v.producer = new_node[static_cast<size_t>(v.producer)];
  for (const auto& n : nodes_) {
    renumber(n->inputs);
    renumber(n->outputs);
    for (const auto& body : bodies(*n)) renumber(body->captures_outer);
  }
  renumber(inputs);
  renumber(outputs);
  renumber(captures_inner);
  for (auto& [name, id] : by_name_) id = new_value[static_cast<size_t>(id)];
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<NodeId>(i);
}

Graph Graph::clone() const {
  Graph g;
  g.name = name;
  g.opsets = opsets;
  g.metadata = metadata;
  g.inputs = inputs;
  g.outputs = outputs;
  g.captures_inner = captures_inner;
  g.captures_outer = captures_outer;
  g.values_ = values_;
  g.order_ = order_;
  g.by_name_ = by_name_;
  g.node_names_ = node_names_;
  g.next_suffix_ = next_suffix_;
  for (const auto& n : nodes_) {
    g.nodes_.push_back(n ? std::make_unique<Node>(*n) : nullptr);
    if (!n) continue;
    for (auto& [key, a] : g.nodes_.back()->attributes) a = clone_attribute(a);
  }
  return g;
}

}  // namespace rooftune::ir
