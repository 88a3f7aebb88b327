#include "passes/grouping.h"

#include <queue>

#include "ops/loop_borders.h"

namespace rooftune::passes {

Grouping::Grouping(const Graph& graph, const PartitionOptions& options)
    : graph_(graph),
      options_(options),
      pattern_(graph.node_capacity(), ops::Pattern::opaque),
      no_kernel_(graph.node_capacity()),
      group_of_(graph.node_capacity()),
      members_(graph.node_capacity()),
      kind_(graph.node_capacity(), kFree),
      reasons_(graph.node_capacity()),
      consumers_(graph.consumer_table()),
      position_(graph.node_capacity(), 0),
      loop_(graph.node_capacity(), kNone) {
  for (const ops::FlatLoop& loop : ops::flat_loops(graph))
    for (NodeId id : loop.nodes) loop_[static_cast<size_t>(id)] = loop.begin;
  int position = 0;
  for (NodeId id : graph.order()) {
    const auto i = static_cast<size_t>(id);
    group_of_[i] = id;
    members_[i] = {id};
    position_[i] = position++;
    no_kernel_[i] = why_no_kernel(graph, graph.node(id));
    if (no_kernel_[i].empty() && options.why_unsupported)
      no_kernel_[i] = options.why_unsupported(graph, graph.node(id));
    if (no_kernel_[i].empty()) pattern_[i] = ops::Catalogue::instance().at(graph.node(id)).pattern;
  }
}

bool Grouping::feeds_only(NodeId id, int group) const {
  for (ValueId output : node(id).outputs) {
    if (output == kNone) continue;
    if (graph_.is_output(output)) return false;
    for (NodeId reader : consumers(output))
      if (this->group(reader) != group) return false;
  }
  return true;
}

bool Grouping::same_shape(ValueId a, ValueId b) const {
  const Type &s = graph_.type(a), &t = graph_.type(b);
  return s.is_tensor() && t.is_tensor() && s.has_rank() && t.has_rank() && s.shape() == t.shape();
}

bool Grouping::is_free_map(NodeId id, ValueId like) const {
  if (id == kNone || !is_free(id) || pattern(id) != ops::Pattern::elementwise) return false;
  const ValueId output = only_output(node(id));
  return output != kNone && same_shape(output, like);
}

void Grouping::start(NodeId id, GroupKind kind) {
  RT_CHECK(is_free(id), "{}", node(id).name);
  kind_[static_cast<size_t>(id)] = kind;
}

bool Grouping::join(int group, const std::vector<NodeId>& nodes) {
  for (NodeId id : nodes) RT_CHECK(is_free(id), "{}", node(id).name);
  if (!can_join(group, nodes)) return false;
  for (NodeId id : nodes) {
    group_of_[static_cast<size_t>(id)] = group;
    members_[static_cast<size_t>(id)].clear();
    members_[static_cast<size_t>(group)].push_back(id);
  }
  return true;
}

bool Grouping::in_one_loop(int group, const std::vector<NodeId>& nodes) const {
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    return loop_[static_cast<size_t>(id)] == loop_[static_cast<size_t>(members(group).front())];
  });
}

void Grouping::explain(int group, std::string reason) {
  reasons_[static_cast<size_t>(group)].push_back(std::move(reason));
}

/// Whether a path leaves group ∪ nodes and comes back: then the kernel would need its own result.
bool Grouping::would_cycle(int group, const std::vector<NodeId>& nodes) const {
  std::set<NodeId> together(members(group).begin(), members(group).end());
  together.insert(nodes.begin(), nodes.end());
  std::vector<bool> seen(members_.size(), false);  // by group outside
  std::vector<int> stack;
  const auto visit = [&](NodeId id) {  // false where it leads back
    for (ValueId output : node(id).outputs) {
      if (output == kNone) continue;
      for (NodeId reader : consumers(output)) {
        const auto next = static_cast<size_t>(this->group(reader));
        if (together.count(reader)) {
          if (together.count(id)) continue;  // an edge inside
          return false;
        }
        if (!seen[next]) stack.push_back(static_cast<int>(next));
        seen[next] = true;
      }
    }
    return true;
  };
  for (NodeId id : together) visit(id);
  while (!stack.empty()) {
    const int next = stack.back();
    stack.pop_back();
    for (NodeId id : members(next))
      if (!visit(id)) return true;
  }
  return false;
}

namespace {

/// Values that a group reads from outside and that others read from it, each in order of first appearance.
void find_interface(const Graph& graph, const std::vector<std::vector<NodeId>>& consumers, ir::Group& group) {
  const std::set<NodeId> inside(group.nodes.begin(), group.nodes.end());
  std::set<ValueId> seen;
  for (NodeId id : group.nodes) {
    for (ValueId value : ir::used_values(graph.node(id)))
      if (!inside.count(graph.value(value).producer) && seen.insert(value).second) group.inputs.push_back(value);
    for (ValueId value : graph.node(id).outputs) {
      if (value == kNone) continue;
      const auto& readers = consumers[static_cast<size_t>(value)];
      const bool outside = std::any_of(readers.begin(), readers.end(), [&](NodeId r) { return !inside.count(r); });
      if (outside || graph.is_output(value)) group.outputs.push_back(value);
    }
  }
}

}  // namespace

Partitioned Grouping::finish() const {
  // Kahn's algorithm over groups; among those that can run, the one whose last node stands first in the graph.
  std::vector<std::set<int>> users(members_.size());
  std::vector<int> waiting(members_.size(), 0), last(members_.size(), 0);
  const auto before = [&](NodeId a, NodeId b) {
    if (group(a) != group(b) && users[static_cast<size_t>(group(a))].insert(group(b)).second)
      ++waiting[static_cast<size_t>(group(b))];
  };
  for (NodeId id : graph_.order()) {
    last[static_cast<size_t>(group(id))] = position_[static_cast<size_t>(id)];
    // The groups of a flat loop stand together: it begins once all is there that its groups read from outside.
    const NodeId begin = loop_[static_cast<size_t>(id)];
    if (begin != kNone) before(begin, id);
    for (ValueId value : ir::used_values(node(id))) {
      const NodeId from = producer(value);
      if (from == kNone) continue;
      before(from, id);
      if (begin != kNone && loop_[static_cast<size_t>(from)] != begin) before(from, begin);
    }
  }
  using Ready = std::pair<int, int>;  // position, group
  std::priority_queue<Ready, std::vector<Ready>, std::greater<>> ready;
  for (NodeId id : graph_.order())
    if (group(id) == id && waiting[static_cast<size_t>(id)] == 0) ready.emplace(last[static_cast<size_t>(id)], id);

  Partitioned result;
  size_t placed = 0;
  while (!ready.empty()) {
    const int g = ready.top().second;
    ready.pop();
    ir::Group made;
    made.nodes = members(g);
    std::sort(made.nodes.begin(), made.nodes.end(), [&](NodeId a, NodeId b) {
      return position_[static_cast<size_t>(a)] < position_[static_cast<size_t>(b)];
    });
    made.name = node(g).name;
    if (made.nodes.size() > 1) made.name += fmt::format("+{}", made.nodes.size() - 1);
    find_interface(graph_, consumers_, made);
    placed += made.nodes.size();
    result.partition.groups.push_back(std::move(made));
    result.info.push_back({kind_[static_cast<size_t>(g)], g, reasons_[static_cast<size_t>(g)]});
    for (int user : users[static_cast<size_t>(g)])
      if (--waiting[static_cast<size_t>(user)] == 0) ready.emplace(last[static_cast<size_t>(user)], user);
  }
  RT_CHECK(placed == graph_.order().size(), "groups depend on each other in a cycle");
  return result;
}

}  // namespace rooftune::passes
