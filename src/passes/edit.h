// How passes look at a graph and change it, so that each pass file holds nothing but its own idea.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace rooftune::passes {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::Tensor;
using ir::Type;
using ir::ValueId;
using Attributes = std::map<std::string, ir::Attribute>;

// --- looking
/// Whether the node is this operator of the default domain.
bool is_op(const Node& node, std::string_view op);
/// The node that makes `value` if it is this operator (of any kind where `op` is empty), else null.
const Node* maker(const Graph& graph, ValueId value, std::string_view op = {});
/// The only value that a node makes, or kNone where it makes none or several.
ValueId only_output(const Node& node);
/// How often the value is read: by node inputs, by bodies that capture it, as a graph output.
int use_count(const Graph& graph, ValueId value);
/// Read exactly once, by a node.
bool single_use(const Graph& graph, ValueId value);
/// The one node that reads a single-use value, else kNone.
NodeId only_consumer(const Graph& graph, ValueId value);
/// The elements of a numeric constant with one element.
std::optional<double> scalar(const Graph& graph, ValueId value);
/// The number that every element of a constant (of at most 4096) holds.
std::optional<double> uniform(const Graph& graph, ValueId value);
/// The integers of a constant.
std::optional<std::vector<int64_t>> int_constant(const Graph& graph, ValueId value);
bool near(double a, double b, double relative = 1e-4);
/// The static dims of a value's type, nothing where it is not a tensor of static shape.
std::optional<std::vector<int64_t>> static_shape(const Graph& graph, ValueId value);
/// Axes of an operator that has them as an attribute or as its input 1, made non-negative; nothing where they are not
/// known. `all` where they are absent.
std::optional<std::vector<int64_t>> axes_of(const Graph& graph, const Node& node, bool attribute_only = false);

// --- changing
/// A scalar (rank 0) constant of the given type.
ValueId add_scalar(Graph& graph, std::string name, ir::DType dtype, double value);
ValueId add_ints(Graph& graph, std::string name, const std::vector<int64_t>& values);

/// Adds a node with one new output of the given type before node `before`. Returns the output.
ValueId insert(Graph& graph, NodeId before, std::string op, std::vector<ValueId> inputs, Type type,
               Attributes attributes = {});
/// Turns a node into another operator; its outputs stay the same values (unused ones are dropped).
void replace_node(Graph& graph, NodeId id, std::string op, std::vector<ValueId> inputs, Attributes attributes = {});
/// Puts the nodes of `body` in the node's place. `known`: values of the body that are values of the graph already (its
/// inputs and captures); `outputs`: the body's values that take the place of the node's outputs.
void replace_by_body(Graph& graph, NodeId id, const Graph& body, std::map<ValueId, ValueId> known,
                     const std::vector<ValueId>& outputs);
/// Makes readers of the node's first output (the only one in use) read `value` instead and removes the node. A graph
/// output keeps its name: where that is impossible (the value is a graph input, a constant or another output) the node
/// becomes an Identity. Returns false where nothing changed (it was such an Identity already).
bool forward(Graph& graph, NodeId id, ValueId value);
/// Puts an operator of the same type between a value (no graph output) and all that read it. Returns its output.
ValueId insert_after(Graph& graph, ValueId value, std::string op, std::vector<ValueId> others);
/// Turns a value that a node makes into a constant of the same name; the node must be removed if nothing else needs it.
void make_constant(Graph& graph, ValueId value, Tensor tensor);

/// Calls `rewrite` on every live node, in order, until no call returns true. Nodes that a call adds are visited too.
bool rewrite_nodes(Graph& graph, const std::function<bool(Graph&, NodeId)>& rewrite);
/// The same in reverse order, so that the outermost node of a pattern comes first.
bool rewrite_nodes_backward(Graph& graph, const std::function<bool(Graph&, NodeId)>& rewrite);

}  // namespace rooftune::passes
