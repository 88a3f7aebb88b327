// The rules by which nodes are grouped, strongest first; each takes free nodes only, so what a rule has claimed is
// settled for those after it.
#pragma once
#include "passes/grouping.h"

namespace rooftune::passes {

void apply_fusion_rules(Grouping& grouping);

/// The element-wise nodes that take `value` further: its one consumer, or (x · sigmoid(x)) several that meet again in
/// one value. Empty where there are none; `why` then says what stands in the way.
struct Step {
  std::vector<NodeId> nodes;
  ValueId result = kNone;
};
Step next_map(const Grouping& grouping, ValueId value, std::string& why);

/// Attention: see attention_rule.cpp.
void group_attention(Grouping& grouping);

/// DequantizeLinear nodes that feed nothing but the group join it.
void absorb_dequantize(Grouping& grouping, int group);

/// Whether the node only renames or permutes the indices of its first input, so that a kernel can do it in the address.
bool is_index_map(const Grouping& grouping, NodeId id);
/// An index map that keeps every element (Reshape, Transpose), so that it can also be done where a result is stored.
bool is_bijection(const Grouping& grouping, NodeId id);

}  // namespace rooftune::passes
