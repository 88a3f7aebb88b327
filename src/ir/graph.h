// The graph: SSA nodes with ONNX's operator vocabulary. Everything above this room reads and rewrites it.
//
// Nodes and values are named by dense integer ids that stay valid until `compact()`; removed ones leave holes. Node
// order is kept topological by every edit (`verify` checks it). Constants are values with a Tensor attached, so weights
// stay where they were mapped. If/Loop/Scan hold their bodies as Graph attributes; a body may use values of the graphs
// around it by name, which the importer turns into explicit `captures`.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "ir/tensor.h"
#include "ir/type.h"

namespace rooftune::ir {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNone = -1;  // an absent optional input or output; a value with no producer

class Graph;
using Attribute =
    std::variant<int64_t, float, std::string, Tensor, std::shared_ptr<Graph>, std::vector<int64_t>, std::vector<float>,
                 std::vector<std::string>, std::vector<Tensor>, std::vector<std::shared_ptr<Graph>>, Type>;

struct Value {
  std::string name;  // unique in its graph
  Type type;
  NodeId producer = kNone;  // kNone for graph inputs and constants
  int output_index = 0;
  std::optional<Tensor> constant;
};

struct Node {
  std::string name;              // unique in its graph; the importer names unnamed ones "<op>_<n>"
  std::string op;                // "Conv"
  std::string domain;            // "" is ai.onnx
  int since_version = 0;         // opset of the model that it was read with, so that semantics are exact
  std::vector<ValueId> inputs;   // kNone where an optional input is absent
  std::vector<ValueId> outputs;  // kNone where an optional output is not asked for
  std::map<std::string, Attribute> attributes;

  bool has(std::string_view key) const;
  std::string label() const;  // "node 'conv1' (Conv)", for messages
  // Typed access; the default where the attribute is absent, InputError naming the node where its type is another.
  int64_t attr_int(std::string_view key, int64_t otherwise) const;
  float attr_float(std::string_view key, float otherwise) const;
  std::string attr_string(std::string_view key, std::string_view otherwise) const;
  std::vector<int64_t> attr_ints(std::string_view key, std::vector<int64_t> otherwise = {}) const;
  std::vector<float> attr_floats(std::string_view key, std::vector<float> otherwise = {}) const;
  const Tensor* attr_tensor(std::string_view key) const;          // null where absent
  std::shared_ptr<Graph> attr_graph(std::string_view key) const;  // null where absent
  ValueId input(size_t i) const { return i < inputs.size() ? inputs[i] : kNone; }
};

/// The graphs among the node's attributes (bodies of If, Loop, Scan, …), in the order of the attributes' names.
std::vector<std::shared_ptr<Graph>> bodies(const Node& node);
/// What the node reads: its present inputs, then the values its bodies capture. May hold a value more than once.
std::vector<ValueId> used_values(const Node& node);

class Graph {
 public:
  std::string name;
  std::map<std::string, int> opsets;  // domain → version
  std::map<std::string, std::string> metadata;

  // --- values
  ValueId add_value(std::string name, Type type);  // the name is made unique if it is taken or empty
  ValueId add_input(std::string name, Type type);
  ValueId add_constant(std::string name, Tensor tensor);
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values_[static_cast<size_t>(id)]; }  // to change the name use rename()
  const Type& type(ValueId id) const { return value(id).type; }
  const Tensor* constant(ValueId id) const;  // null unless the value is a constant (or id is kNone)
  std::optional<ValueId> find_value(std::string_view name) const;
  void rename(ValueId id, std::string name);                // made unique if it is taken
  void remove_value(ValueId id);                            // must be unused, without a producer and no graph input
  size_t value_capacity() const { return values_.size(); }  // ids are below this
  bool value_alive(ValueId id) const {
    return id >= 0 && static_cast<size_t>(id) < values_.size() && !value(id).name.empty();
  }

  // --- nodes
  /// Appends a node (or inserts it before `before`) and makes it the producer of its outputs. Its name is made unique
  /// if it is taken; without one it becomes "<op>_<n>".
  NodeId add_node(Node node, NodeId before = kNone);
  /// Its outputs must be unused; they go with it, unless another node has become their producer.
  void remove_node(NodeId id);
  const Node& node(NodeId id) const { return *nodes_[static_cast<size_t>(id)]; }
  Node& node(NodeId id) { return *nodes_[static_cast<size_t>(id)]; }
  bool alive(NodeId id) const {
    return id >= 0 && static_cast<size_t>(id) < nodes_.size() && nodes_[static_cast<size_t>(id)] != nullptr;
  }
  const std::vector<NodeId>& order() const { return order_; }  // topological
  size_t node_capacity() const { return nodes_.size(); }

  // --- uses
  /// In order, each once; includes nodes whose body captures it. Looks through the whole graph: a pass that asks for
  /// many values takes consumer_table() once.
  std::vector<NodeId> consumers(ValueId id) const;
  std::vector<std::vector<NodeId>> consumer_table() const;  // by ValueId; as of now, edits do not show in it
  /// In nodes, their bodies' captures and graph outputs. A graph output keeps its name: `to` takes it over; where `to`
  /// cannot (see can_take_name) an Identity node is put between, so a pass that removes Identity asks first.
  void replace_uses(ValueId from, ValueId to);
  /// Whether replace_uses(from, to) needs no Identity: `from` is no graph output, or `to` is the output of a node and
  /// not a graph output itself.
  bool can_take_name(ValueId from, ValueId to) const;
  bool is_output(ValueId id) const;
  bool is_input(ValueId id) const;

  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<ValueId> captures_inner;  // of a body: its own values that stand for …
  std::vector<ValueId> captures_outer;  // … these values of the graph around it (same length)

  /// Removes nodes, constants and captures that no output needs, in bodies too. Returns how many nodes went.
  int remove_dead();
  /// Sorts nodes topologically, keeping the order where it is free; InputError naming a node on the cycle if there is one.
  void sort();
  /// Renumbers ids so that removed nodes and values leave no holes. All ids held outside become invalid.
  void compact();
  Graph clone() const;  // constants are shared, bodies are cloned

 private:
  std::string unique_name(std::string wanted, bool of_node);
  std::vector<Value> values_;  // a removed value has no name
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<NodeId> order_;
  std::map<std::string, ValueId, std::less<>> by_name_;
  std::set<std::string, std::less<>> node_names_;
  std::map<std::string, int64_t> next_suffix_;  // by wanted name; spares trying all that are taken
};

/// Checks structure: ids, producers, order, unique names, captures, types of constants; bodies included. InternalError
/// that names the node or value.
void verify(const Graph& graph);

/// Every tensor that a graph holds (constants, tensor attributes, those of bodies) under a key that is unique in the
/// whole graph: the value's name, and "<node>#<attribute>", "<node>#<attribute>#<key in the body>" below the top.
struct ConstantTable {
  std::map<std::string, Tensor> tensors;
  std::unordered_map<const Tensor*, std::string> key_of;  // by the address of the graph's own Tensor
};
ConstantTable collect_constants(const Graph& graph);

/// Readable text that parses back (constants over `inline_limit` elements are printed by shape and hash and are then
/// found in `constants` by their key (ConstantTable) when parsing).
std::string print(const Graph& graph, size_t inline_limit = 8);
/// InputError with line and column for text that is malformed, or names a constant that is missing or another.
Graph parse(std::string_view text, const std::map<std::string, Tensor>& constants = {});

/// A partition groups unchanged nodes; each group becomes one kernel (or one reference call). Groups are in an order
/// in which they can run.
struct Group {
  std::string name;
  std::vector<NodeId> nodes;     // in topological order
  std::vector<ValueId> inputs;   // values from outside, constants included
  std::vector<ValueId> outputs;  // values used outside the group or by the graph
};
struct Partition {
  std::vector<Group> groups;
};

}  // namespace rooftune::ir
