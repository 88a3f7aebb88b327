// Small edits of a stage's expression DAG that every rewrite in this room is made of.
#pragma once
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::kernel {

/// Same operation, type, arguments and (bitwise) value: both compute the same.
bool same(const ExprNode& a, const ExprNode& b);

/// The node's position in `nodes`; appended unless an equal one is there.
int intern(std::vector<ExprNode>& nodes, ExprNode node);

/// Calls f(int&) for each argument that the node has.
template <typename Node, typename F>
void for_each_argument(Node& node, F&& f) {
  int arity = info(node.op).arity;
  if (arity > 0) f(node.a);
  if (arity > 1) f(node.b);
  if (arity > 2) f(node.c);
}

/// Calls f(Index&) for each index expression of the node: of a load its indices and conditions.
template <typename Node, typename F>
void for_each_index(Node& node, F&& f) {
  for (auto& e : node.indices) f(e);
  for (auto& e : node.where) f(e);
}

/// Nodes that stand in `e` as variables.
std::vector<int> node_variables(const Index& e);
/// Whether a parameter of the kernel stands in it.
bool uses_parameters(const Index& e);
bool uses_parameters(const Stage& stage);

/// Replaces node variables by those of `renumbered` (node n becomes renumbered[n]).
Index renumber(const Index& e, const std::vector<int>& renumbered);

/// Drops nodes that `value` and the stage's conditions and place do not need, makes `value` the last one and orders them as a
/// walk from the value meets them, so that equal expressions have equal nodes however they were built.
void keep_needed(Stage& stage, int value);

/// Per node, the axes that its value depends on, as bits.
std::vector<uint64_t> axis_dependence(const Stage& stage);

/// Where the index expressions' variables of a stage range: axes over their extents, nodes and parameters anywhere.
RangeOf axis_ranges(const Stage& stage);

/// The conditions without those that hold anyway, each once, in one order.
std::vector<Index> needed_conditions(std::vector<Index> conditions, const RangeOf& ranges);

/// Per buffer its number among those in use: -1 for temporaries that no stage writes.
std::vector<int> canonical_buffers(const Kernel& kernel);

/// Set where the stage writes point (i, j, …) to index (i, j, …) of its buffer.
bool writes_identity(const Stage& stage);

}  // namespace rooftune::kernel
