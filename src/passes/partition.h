// Groups the nodes of a graph for kernels: what one group holds is computed by one kernel, and values inside it never
// reach memory. Nodes stay as they are, so export is untouched. Stands after all rewriting passes, which bring models
// to the forms that the rules below know; layouts are chosen for the values between groups.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace rooftune::passes {

/// What a group is built around.
enum class GroupKind : uint8_t {
  contraction,  // MatMul, Conv, … with what follows it
  attention,    // MatMul → (scale, mask) → Softmax → MatMul and the index maps around them
  reduction,    // LayerNormalization, Softmax, pooling, … with element-wise neighbours
  elementwise,  // a chain or web of element-wise nodes of one shape
  movement,     // Concat, Slice, Transpose, …
  single,       // any other node that has a lowering
  reference,    // a node that runs its reference implementation
};
std::string_view name(GroupKind kind);

struct GroupInfo {
  GroupKind kind = GroupKind::single;
  ir::NodeId anchor = ir::kNone;     // the node that the group was built around
  std::vector<std::string> reasons;  // what was not fused into it and why; of a reference: why it has no kernel
};

struct Partitioned {
  ir::Partition partition;
  std::vector<GroupInfo> info;  // of each group
};

struct PartitionOptions {
  bool fuse = true;  // false: every node is a group of its own
  /// Bytes of a core's cache: a chain of contractions whose intermediate values would not stay in it is one group. 0: none.
  int64_t cache = 0;
  /// Why code cannot be generated for the node's element types (…), empty where it can. The default knows the types
  /// that every code generator of ours has.
  std::function<std::string(const ir::Graph& graph, const ir::Node& node)> why_unsupported;
};

/// Every node in exactly one group; groups in an order in which they can run.
Partitioned partition(const ir::Graph& graph, const PartitionOptions& options = {});

/// InternalError where a partition does not cover the graph once, states wrong inputs or outputs, or is not in an order
/// in which its groups can run.
void verify(const ir::Graph& graph, const ir::Partition& partition);

/// Why the node has no kernel ("Conv: no lowering"), empty where it has one.
std::string why_no_kernel(const ir::Graph& graph, const ir::Node& node);

}  // namespace rooftune::passes
