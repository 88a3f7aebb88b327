#include "passes/layout.h"

#include "ops/op.h"
#include "passes/edit.h"

namespace rooftune::passes {
namespace {

using Shape4 = std::vector<int64_t>;  // N, C, H, W

/// What a group wants of the 4-dim values around it.
enum class Role {
  blocked,      // convolutions, pools, Resize: vectors of channels
  transparent,  // element-wise and Concat of whole blocks: works in either, best if all its values agree
  movement,     // copies once, from any layout
  contraction,  // MatMul: reads its input many times, wants it row-major
  row_major,    // anything else
};

bool one_of(const Node& node, std::initializer_list<std::string_view> ops) {
  return std::any_of(ops.begin(), ops.end(), [&](std::string_view op) { return is_op(node, op); });
}

bool is_rank4(const Graph& graph, ValueId value) {
  const Type& type = graph.type(value);
  return type.is_static() && type.rank() == 4 && (is_float(type.dtype()) || ir::bit_width(type.dtype()) == 8);
}

bool is_region_anchor(const Graph& graph, const Node& node) {
  return one_of(node, {"Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool",
                       "GlobalAveragePool", "GlobalMaxPool", "Resize"}) &&
         is_rank4(graph, node.inputs[0]);
}

class Chooser {
 public:
  Chooser(const Graph& graph, const ir::Partition& partition, int lanes, bool tiles)
      : graph_(graph), partition_(partition), lanes_(lanes), tiles_(tiles) {
    class_of_.resize(graph.value_capacity());
    for (size_t i = 0; i < class_of_.size(); ++i) class_of_[i] = static_cast<int>(i);
    for (const ir::Group& group : partition.groups) roles_.push_back(role(group));
  }

  std::map<ValueId, kernel::Layout> choose() {
    for (size_t g = 0; g < roles_.size(); ++g)
      if (roles_[g] == Role::transparent) tie(partition_.groups[g]);
    for (size_t g = 0; g < roles_.size(); ++g) vote(partition_.groups[g], roles_[g]);
    std::map<ValueId, kernel::Layout> layouts;
    for (const ir::Group& group : partition_.groups) {
      for (ValueId value : group.outputs) {
        if (!can_be_blocked(value) || !is_4d_result(group, value)) continue;
        const auto [blocked, row_major] = votes_[find(value)];
        if (blocked <= row_major) continue;
        layouts.emplace(value, layout_of(value));
      }
    }
    return layouts;
  }

  Role role_of(size_t group) const { return roles_[group]; }

 private:
  struct Votes {
    double blocked = 0, row_major = 0;  // bytes that would be read or written in the layout that suits
  };

  kernel::Layout layout_of(ValueId value) const {
    constexpr int64_t kTileBytes = 64;  // of a row
    const Shape4 dims = shape(value);
    const int64_t bytes = ir::bit_width(graph_.type(value).dtype()) / 8;
    const bool rows = tiles_ && (bytes == 1 || graph_.type(value).dtype() == ir::DType::bf16);
    if (!rows) return kernel::Layout::blocked(dims, {0, 1, 2, 3}, {{1, lanes_}});
    if (dims[1] % (kTileBytes / bytes) != 0) return kernel::Layout::blocked(dims, {0, 2, 3, 1}, {});
    return kernel::Layout::blocked(dims, {0, 1, 2, 3}, {{1, kTileBytes / bytes}});
  }

  Shape4 shape(ValueId value) const { return ir::static_values(graph_.type(value).shape()); }

  /// Activations with some extent in space, and channels that fill more than half of a block: else padding moves more
  /// bytes than blocking saves.
  bool can_be_blocked(ValueId value) const {
    if (!is_rank4(graph_, value) || graph_.constant(value) || graph_.is_input(value) || graph_.is_output(value))
      return false;
    const Shape4 dims = shape(value);
    return dims[2] * dims[3] > 1 && 2 * dims[1] > lanes_;
  }

  Role role(const ir::Group& group) const {
    bool maps = true, moves = true, contraction = false;
    for (NodeId id : group.nodes) {
      const Node& node = graph_.node(id);
      if (is_region_anchor(graph_, node)) return Role::blocked;
      const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
      const ops::Pattern pattern = def ? def->pattern : ops::Pattern::opaque;
      contraction |= pattern == ops::Pattern::contraction;
      maps &= pattern == ops::Pattern::elementwise;
      moves &= pattern == ops::Pattern::injective;
    }
    if (contraction) return Role::contraction;
    if (maps) return Role::transparent;
    if (group.nodes.size() == 1 && joins_blocks(graph_.node(group.nodes[0]))) return Role::transparent;
    const bool concat = is_op(graph_.node(group.nodes[0]), "Concat");  // of broken blocks: element by element
    return moves && !concat ? Role::movement : Role::row_major;
  }

  /// A Concat along channels whose parts are whole blocks (the last may be short) is a copy of blocks.
  bool joins_blocks(const Node& node) const {
    if (!is_op(node, "Concat") || !is_rank4(graph_, node.outputs[0])) return false;
    const int64_t axis = node.attr_int("axis", 0);
    if (axis != 1 && axis != -3) return false;
    return std::all_of(node.inputs.begin(), node.inputs.end() - 1,
                       [&](ValueId v) { return shape(v)[1] % lanes_ == 0; });
  }

  /// The value that a Reshape or Transpose inside the group makes is no plain activation any more.
  bool is_4d_result(const ir::Group& group, ValueId value) const {
    const Node* node = maker(graph_, value);
    const bool moved = one_of(*node, {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"});
    return !moved || group.nodes.size() == 1;
  }

  size_t find(ValueId value) {
    auto i = static_cast<size_t>(value);
    while (class_of_[i] != static_cast<int>(i))
      i = static_cast<size_t>(class_of_[i] = class_of_[static_cast<size_t>(class_of_[i])]);
    return i;
  }

  /// The values around a transparent group that have the size of its result share one layout.
  void tie(const ir::Group& group) {
    const ValueId result = group.outputs.empty() ? kNone : group.outputs[0];
    if (result == kNone || !can_be_blocked(result)) return;
    const bool concat = is_op(graph_.node(group.nodes[0]), "Concat");
    for (const auto* values : {&group.inputs, &group.outputs})
      for (ValueId value : *values)
        if (can_be_blocked(value) && (concat || shape(value) == shape(result)))
          class_of_[find(value)] = static_cast<int>(find(result));
  }

  void vote(const ir::Group& group, Role role) {
    if (role == Role::transparent) return;
    for (const auto* values : {&group.inputs, &group.outputs}) {
      for (ValueId value : *values) {
        if (!can_be_blocked(value)) continue;
        const bool output = values == &group.outputs;
        const bool region = role == Role::blocked && (!output || is_4d_result(group, value));
        const double bytes = static_cast<double>(element_count(graph_.type(value).shape()));
        Votes& votes = votes_[find(value)];
        if (region) votes.blocked += bytes;
        else votes.row_major += role == Role::movement && !output ? bytes / 2 : bytes;
      }
    }
  }

  const Graph& graph_;
  const ir::Partition& partition_;
  int lanes_;
  bool tiles_;
  std::vector<Role> roles_;        // by group
  std::vector<int> class_of_;      // by value, a union-find forest
  std::map<size_t, Votes> votes_;  // by class
};

}  // namespace

std::map<ValueId, kernel::Layout> choose_layouts(const Graph& graph, const ir::Partition& partition, int vector_lanes,
                                                 bool tiles) {
  return Chooser(graph, partition, vector_lanes, tiles).choose();
}

int insert_conversions(Graph& graph, ir::Partition& partition, const std::map<ValueId, kernel::Layout>& layouts) {
  const Chooser chooser(graph, partition, 1, false);
  std::map<ValueId, ValueId> converted;  // blocked → row-major
  std::vector<ir::Group> groups;
  for (size_t g = 0; g < partition.groups.size(); ++g) {
    ir::Group group = partition.groups[g];
    for (ValueId& input : group.inputs) {
      if (chooser.role_of(g) != Role::contraction || !layouts.count(input)) continue;
      auto [found, fresh] = converted.emplace(input, kNone);
      if (fresh) {
        found->second = insert(graph, graph.consumers(input).front(), "Identity", {input}, graph.type(input));
        const NodeId identity = graph.value(found->second).producer;
        groups.push_back({graph.node(identity).name, {identity}, {input}, {found->second}});
      }
      for (NodeId id : group.nodes)
        std::replace(graph.node(id).inputs.begin(), graph.node(id).inputs.end(), input, found->second);
      input = found->second;
    }
    groups.push_back(std::move(group));
  }
  partition.groups = std::move(groups);
  return static_cast<int>(converted.size());
}

}  // namespace rooftune::passes
