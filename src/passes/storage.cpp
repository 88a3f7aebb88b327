#include "passes/storage.h"

#include "ops/half.h"
#include "passes/edit.h"

namespace rooftune::passes {
namespace {

/// How often each element must be read for f32 to be worth twice the bytes. Depthwise convolutions read one nine times.
constexpr double kManyReads = 16;

class Readers {
 public:
  Readers(const Graph& graph, const Partitioned& parts, const MultipliesAsItIs& as_it_is)
      : graph_(graph), parts_(parts), as_it_is_(as_it_is) {}

  /// The 16-bit inputs of a group whose elements its contractions read `least` times or more.
  std::vector<ValueId> often_read(size_t g, double least) const {
    const ir::Group& group = parts_.partition.groups[g];
    const bool attention = parts_.info[g].kind == GroupKind::attention;
    std::vector<ValueId> found;
    if (parts_.info[g].kind == GroupKind::reference) return found;
    for (NodeId id : group.nodes) {
      const Node& node = graph_.node(id);
      const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
      if (def == nullptr || def->pattern != ops::Pattern::contraction) continue;
      for (size_t i = 0; i < std::min<size_t>(2, node.inputs.size()); ++i) {
        const ValueId value = source(group, node.inputs[i]);
        if (value == kNone || graph_.constant(value) || !ops::is_half(graph_.type(value).dtype())) continue;
        const bool by_weights = graph_.constant(node.input(1 - i)) != nullptr;  // which can be packed for it
        if (!attention && by_weights && as_it_is_(graph_.type(value).dtype())) continue;
        const auto elements = static_cast<double>(ir::element_count(graph_.type(value).shape()));
        if (ops::cost(graph_, node).flops >= 2 * elements * least) found.push_back(value);
      }
    }
    return found;
  }

 private:
  /// Where a value of the group comes from, through what only moves it; kNone where it is computed inside.
  ValueId source(const ir::Group& group, ValueId value) const {
    while (value != kNone && std::find(group.inputs.begin(), group.inputs.end(), value) == group.inputs.end()) {
      const Node* node = maker(graph_, value);
      const ops::OpDef* def = node ? ops::Catalogue::instance().find(node->op, node->domain) : nullptr;
      value = def != nullptr && def->pattern == ops::Pattern::injective ? node->input(0) : kNone;
    }
    return value;
  }

  const Graph& graph_;
  const Partitioned& parts_;
  const MultipliesAsItIs& as_it_is_;
};

}  // namespace

std::vector<ValueId> values_stored_wide(const Graph& graph, const Partitioned& parts,
                                        const std::vector<bool>& has_kernel, const MultipliesAsItIs& as_it_is) {
  const Readers readers(graph, parts, as_it_is);
  const auto& groups = parts.partition.groups;
  std::vector<bool> fixed(graph.value_capacity(), true);
  for (size_t g = 0; g < groups.size(); ++g)
    for (ValueId v : groups[g].outputs) fixed[static_cast<size_t>(v)] = !has_kernel[g] || graph.is_output(v);
  for (size_t g = 0; g < groups.size(); ++g)
    for (ValueId v : groups[g].inputs)
      if (!has_kernel[g]) fixed[static_cast<size_t>(v)] = true;
  std::vector<ValueId> wide;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!has_kernel[g]) continue;
    for (ValueId v : readers.often_read(g, kManyReads)) {
      if (fixed[static_cast<size_t>(v)]) continue;
      fixed[static_cast<size_t>(v)] = true;  // once
      wide.push_back(v);
    }
  }
  return wide;
}

int insert_widenings(Graph& graph, Partitioned& parts, const MultipliesAsItIs& as_it_is) {
  std::map<ValueId, ValueId> widened;
  Partitioned result;
  for (size_t g = 0; g < parts.partition.groups.size(); ++g) {
    ir::Group group = parts.partition.groups[g];
    // However often they are read: that may depend on the size of a model with free dimensions.
    for (ValueId value : Readers(graph, parts, as_it_is).often_read(g, 0)) {
      if (!graph.is_input(value)) continue;
      const auto [found, fresh] = widened.emplace(value, kNone);
      if (fresh) {
        const Type type = Type::tensor(ir::DType::f32, graph.type(value).shape());
        found->second = insert(graph, graph.consumers(value).front(), "Cast", {value}, type,
                               {{"to", static_cast<int64_t>(ir::DType::f32)}});
        const NodeId cast = graph.value(found->second).producer;
        result.partition.groups.push_back({graph.node(cast).name, {cast}, {value}, {found->second}});
        result.info.push_back({GroupKind::elementwise, cast, {}});
      }
      for (NodeId id : group.nodes)
        std::replace(graph.node(id).inputs.begin(), graph.node(id).inputs.end(), value, found->second);
      std::replace(group.inputs.begin(), group.inputs.end(), value, found->second);
    }
    result.partition.groups.push_back(std::move(group));
    result.info.push_back(std::move(parts.info[g]));
  }
  parts = std::move(result);
  return static_cast<int>(widened.size());
}

}  // namespace rooftune::passes
