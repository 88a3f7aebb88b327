// The state that the rules of partitioning work on: which nodes are together, and whether two groups may be joined.
#pragma once
#include <set>

#include "ops/op.h"
#include "passes/edit.h"
#include "passes/partition.h"

namespace rooftune::passes {

class Grouping {
 public:
  Grouping(const Graph& graph, const PartitionOptions& options);

  const Graph& graph() const { return graph_; }
  const Node& node(NodeId id) const { return graph_.node(id); }

  // --- looking
  const PartitionOptions& options() const { return options_; }
  /// The catalogue's pattern, opaque for nodes that have no kernel.
  ops::Pattern pattern(NodeId id) const { return pattern_[static_cast<size_t>(id)]; }
  /// Why the node has no kernel, empty where it has one.
  const std::string& no_kernel(NodeId id) const { return no_kernel_[static_cast<size_t>(id)]; }
  /// No rule has claimed the node yet.
  bool is_free(NodeId id) const { return kind_[static_cast<size_t>(group(id))] == kFree; }
  int group(NodeId id) const { return group_of_[static_cast<size_t>(id)]; }
  const std::vector<NodeId>& members(int group) const { return members_[static_cast<size_t>(group)]; }
  const std::vector<NodeId>& consumers(ValueId value) const { return consumers_[static_cast<size_t>(value)]; }
  NodeId producer(ValueId value) const { return value == kNone ? kNone : graph_.value(value).producer; }
  /// Read by one node (however often) and no graph output.
  bool one_consumer(ValueId value) const { return consumers(value).size() == 1 && !graph_.is_output(value); }
  /// All that read the node's outputs are in the group, and none of them is a graph output.
  bool feeds_only(NodeId id, int group) const;
  bool same_shape(ValueId a, ValueId b) const;
  /// A free element-wise node whose one output has the shape of `like`.
  bool is_free_map(NodeId id, ValueId like) const;

  /// Whether the group could take these free nodes: it must not depend on itself then, must stand in one flat loop or
  /// in none, and must stay of a size that code can be generated for in reasonable time.
  bool can_join(int group, const std::vector<NodeId>& nodes) const {
    return members(group).size() + nodes.size() <= kMostNodes && in_one_loop(group, nodes) &&
           !would_cycle(group, nodes);
  }

  // --- changing
  void start(NodeId id, GroupKind kind);  // claims a free node as the anchor of a group
  /// Joins free nodes to a group, all or none; refused (false) where it cannot take them.
  bool join(int group, const std::vector<NodeId>& nodes);
  void explain(int group, std::string reason);

  Partitioned finish() const;

 private:
  static constexpr size_t kMostNodes = 100;
  static constexpr GroupKind kFree = static_cast<GroupKind>(255);
  bool would_cycle(int group, const std::vector<NodeId>& nodes) const;
  bool in_one_loop(int group, const std::vector<NodeId>& nodes) const;

  const Graph& graph_;
  const PartitionOptions options_;
  std::vector<ops::Pattern> pattern_;              // by node
  std::vector<std::string> no_kernel_;             // by node
  std::vector<int> group_of_;                      // by node; a group is named by its anchor
  std::vector<std::vector<NodeId>> members_;       // by group
  std::vector<GroupKind> kind_;                    // by group
  std::vector<std::vector<std::string>> reasons_;  // by group
  std::vector<std::vector<NodeId>> consumers_;     // by value
  std::vector<int> position_;                      // by node, in the graph's order
  std::vector<NodeId> loop_;  // by node: the LoopBegin of the flat loop that it stands in, or kNone
};

}  // namespace rooftune::passes
