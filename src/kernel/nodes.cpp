#include "kernel/nodes.h"

#include <algorithm>
#include <bit>

namespace rooftune::kernel {

bool same(const ExprNode& a, const ExprNode& b) {
  return a.op == b.op && a.type == b.type && a.a == b.a && a.b == b.b && a.c == b.c && a.buffer == b.buffer &&
         std::bit_cast<uint64_t>(a.value) == std::bit_cast<uint64_t>(b.value) && a.indices == b.indices &&
         a.where == b.where;
}

int intern(std::vector<ExprNode>& nodes, ExprNode node) {
  for (size_t i = 0; i < nodes.size(); i++) {
    if (same(nodes[i], node)) return static_cast<int>(i);
  }
  nodes.push_back(std::move(node));
  return static_cast<int>(nodes.size()) - 1;
}

std::vector<int> node_variables(const Index& e) {
  std::vector<int> used;
  e.collect_variables(used);
  std::erase_if(used, [](int variable) { return variable < kNodeVariable || variable >= kParameterVariable; });
  for (int& variable : used) variable -= kNodeVariable;
  return used;
}

bool uses_parameters(const Index& e) {
  std::vector<int> used;
  e.collect_variables(used);
  return std::any_of(used.begin(), used.end(), [](int variable) { return variable >= kParameterVariable; });
}

bool uses_parameters(const Stage& stage) {
  bool found = false;
  const auto look = [&](const Index& e) { found = found || uses_parameters(e); };
  for (const auto& node : stage.nodes) for_each_index(node, look);
  for (const auto& e : stage.where) look(e);
  for (const auto& e : stage.out_indices) look(e);
  return found;
}

Index renumber(const Index& e, const std::vector<int>& renumbered) {
  if (node_variables(e).empty()) return e;
  return e.substitute([&](int variable) {
    if (variable < kNodeVariable || variable >= kParameterVariable) return Index::variable(variable);
    return Index::variable(kNodeVariable + renumbered[static_cast<size_t>(variable - kNodeVariable)]);
  });
}

void keep_needed(Stage& stage, int value) {
  std::vector<int> renumbered(stage.nodes.size(), -1);
  std::vector<ExprNode> kept;
  auto keep = [&](auto& self, int n) -> void {
    if (renumbered[static_cast<size_t>(n)] >= 0) return;
    ExprNode node = stage.nodes[static_cast<size_t>(n)];
    for_each_index(node, [&](Index& e) {
      for (int v : node_variables(e)) self(self, v);
      e = renumber(e, renumbered);
    });
    for_each_argument(node, [&](int& a) {
      self(self, a);
      a = renumbered[static_cast<size_t>(a)];
    });
    renumbered[static_cast<size_t>(n)] = static_cast<int>(kept.size());
    kept.push_back(std::move(node));
  };
  for (auto* indices : {&stage.where, &stage.out_indices}) {
    for (Index& e : *indices) {
      for (int v : node_variables(e)) keep(keep, v);
      e = renumber(e, renumbered);
    }
  }
  keep(keep, value);
  // Where one of those needed the value it stands before others: it is then computed once more as the last.
  int last = renumbered[static_cast<size_t>(value)];
  if (static_cast<size_t>(last) + 1 != kept.size()) kept.push_back(ExprNode(kept[static_cast<size_t>(last)]));
  stage.nodes = std::move(kept);
}

std::vector<uint64_t> axis_dependence(const Stage& stage) {
  std::vector<uint64_t> depends(stage.nodes.size(), 0);
  for (size_t i = 0; i < stage.nodes.size(); i++) {
    const ExprNode& node = stage.nodes[i];
    for_each_argument(node, [&](int a) { depends[i] |= depends[static_cast<size_t>(a)]; });
    for_each_index(node, [&](const Index& e) {
      std::vector<int> used;
      e.collect_variables(used);
      for (int v : used)
        if (v < kParameterVariable)
          depends[i] |= v < kNodeVariable ? uint64_t{1} << v : depends[static_cast<size_t>(v - kNodeVariable)];
    });
  }
  return depends;
}

RangeOf axis_ranges(const Stage& stage) {
  return [&stage](int variable) {
    if (static_cast<size_t>(variable) >= stage.axes.size()) return Range{-kUnbounded, kUnbounded};
    return Range{0, stage.axes[static_cast<size_t>(variable)].extent - 1};
  };
}

std::vector<Index> needed_conditions(std::vector<Index> conditions, const RangeOf& ranges) {
  std::erase_if(conditions, [&](const Index& e) { return e.range(ranges).lo >= 0; });
  std::sort(conditions.begin(), conditions.end());
  conditions.erase(std::unique(conditions.begin(), conditions.end()), conditions.end());
  return conditions;
}

std::vector<int> canonical_buffers(const Kernel& kernel) {
  std::vector<int> number(kernel.buffers.size(), -1);
  for (size_t b = 0; b < number.size(); b++) {
    if (kernel.buffers[b].role != Role::temporary) number[b] = 0;
  }
  for (const Stage& stage : kernel.stages) number[static_cast<size_t>(stage.buffer)] = 0;
  int next = 0;
  for (int& n : number) {
    if (n == 0) n = next++;
  }
  return number;
}

bool writes_identity(const Stage& stage) {
  if (stage.out_indices.size() != static_cast<size_t>(stage.spatial)) return false;
  for (int i = 0; i < stage.spatial; i++) {
    if (!(stage.out_indices[static_cast<size_t>(i)] == Index::variable(i))) return false;
  }
  return true;
}

}  // namespace rooftune::kernel
