// The operator catalogue. One file per family under ops/; each operator registers one OpDef and nothing else in the
// project names it: schema, shape inference, cost, reference and lowering stand together.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "kernel/kernel.h"

namespace rooftune::ops {

using ir::Dim;
using ir::DType;
using ir::Graph;
using ir::Node;
using ir::Shape;
using ir::Tensor;
using ir::Type;

/// What inference knows of values beyond their types, by value id: small tensors that can be computed from constants
/// alone, and small integer tensors that depend on symbolic dims; and which tensors a sequence holds.
struct KnownValues {
  std::vector<std::optional<std::vector<Dim>>> ints;
  std::vector<Tensor> tensors;
  std::map<ir::ValueId, std::vector<ir::ValueId>> sequences;
};

/// Shape inference of one node. Every getter throws InputError naming the node when the model breaks the schema.
class InferContext {
 public:
  InferContext(Graph& graph, Node& node, KnownValues& known) : graph_(graph), node_(node), known_(known) {}
  const Node& node() const { return node_; }
  Graph& graph() { return graph_; }
  int input_count() const { return static_cast<int>(node_.inputs.size()); }
  int output_count() const { return static_cast<int>(node_.outputs.size()); }
  bool has_input(int i) const;
  bool has_output(int i) const;
  const Type& input(int i) const;   // of a present input
  DType dtype(int i) const;         // of a tensor input
  bool has_shape(int i) const;      // known rank
  const Shape& shape(int i) const;  // InputError where the rank is unknown
  /// The input's value where it is a constant, or small and computed from constants; else null.
  const Tensor* constant(int i) const;
  /// The integers that input `i` is known to hold (a constant, or propagated through Shape/Gather/Concat/…, possibly
  /// symbolic). At most 1024 elements are tracked.
  std::optional<std::vector<Dim>> ints(int i) const;
  void set_output(int i, Type type);  // merges with a type the model states; InputError where they disagree
  void set_output(int i, DType dtype, Shape shape) { set_output(i, Type::tensor(dtype, std::move(shape))); }
  void set_output_ints(int i, std::vector<Dim> values);
  /// A dim that only the data decides (NonZero): a symbol named after output `i` and `axis`.
  Dim unknown_dim(int i, int axis, int64_t min = 0, int64_t max = Dim::kUnbounded) const;
  /// Infers a body whose inputs have their types; captured values get the types and values they have in this graph.
  void infer_body(Graph& body);
  [[noreturn]] void fail(const std::string& what) const;  // InputError "node 'x' (Conv): …"

 private:
  Graph& graph_;
  Node& node_;
  KnownValues& known_;
};

/// What one execution costs, from static types. Bytes count what it touches of its inputs and outputs, once.
struct Cost {
  double flops = 0;  // arithmetic operations; a multiply-add is two
  double bytes = 0;
};
struct CostContext {
  const Graph& graph;
  const Node& node;
  const Type& input(int i) const;
  const Type& output(int i) const;
  bool has_input(int i) const;
};

/// Runs the reference: right first, but never asymptotically slow (it also serves as the fallback at run time). The
/// inputs of a node with bodies are followed by `captured_values`.
class EvalContext {
 public:
  EvalContext(const Node& node, std::vector<Tensor> inputs) : node_(node), inputs_(std::move(inputs)) {}
  const Node& node() const { return node_; }
  bool has_input(int i) const { return static_cast<size_t>(i) < inputs_.size() && inputs_[static_cast<size_t>(i)]; }
  const Tensor& input(int i) const;  // InputError naming the node where it is absent
  int input_count() const { return static_cast<int>(inputs_.size()); }
  void set_output(int i, Tensor tensor);
  bool has_output(int i) const {
    return static_cast<size_t>(i) < node_.outputs.size() && node_.outputs[static_cast<size_t>(i)] != ir::kNone;
  }
  std::vector<Tensor>& outputs() { return outputs_; }
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const Node& node_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> outputs_;
};

/// Adds the stages of one node to a kernel under construction. Static shapes only. Inputs are buffers of that kernel
/// with the value's shape; the lowering adds its stages and names the output's buffer.
class LowerContext {
 public:
  LowerContext(const Graph& graph, const Node& node, kernel::Kernel& kernel, std::vector<int> inputs)
      : graph_(graph), node_(node), kernel_(kernel), inputs_(std::move(inputs)) {}
  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  kernel::Kernel& kernel() { return kernel_; }
  bool has_input(int i) const {
    return static_cast<size_t>(i) < inputs_.size() && inputs_[static_cast<size_t>(i)] >= 0;
  }
  int input(int i) const { return inputs_[static_cast<size_t>(i)]; }  // buffer
  std::vector<int64_t> shape(int i) const;
  std::vector<int64_t> output_shape(int i) const;
  DType dtype(int i) const;
  const Tensor* constant(int i) const;
  void set_output(int i, int buffer);  // a temporary; the caller turns it into an output where it must be one
  const std::vector<int>& outputs() const { return outputs_; }
  /// "lower: Conv with auto_pad=… is not supported"; the node then runs its reference, and --explain shows this.
  void reject(std::string why) { rejection_ = std::move(why); }
  const std::string& rejection() const { return rejection_; }

 private:
  const Graph& graph_;
  const Node& node_;
  kernel::Kernel& kernel_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  std::string rejection_;
};

/// Writes one node down as nodes of other operators: a graph of its own, with the node's inputs in their order.
class ExpandContext {
 public:
  ExpandContext(const Graph& graph, const Node& node);
  const Node& node() const { return node_; }
  Graph& body() { return body_; }
  const Graph& body() const { return body_; }
  const std::vector<ir::ValueId>& inputs() const { return inputs_; }    // values of the body; kNone where absent
  const std::vector<ir::ValueId>& outputs() const { return outputs_; }  // the same, of all that the node has
  void set_output(int i, ir::ValueId value) { outputs_.at(static_cast<size_t>(i)) = value; }
  /// The node stays as it is, and --explain shows why.
  void reject(std::string why) { rejection_ = std::move(why); }
  const std::string& rejection() const { return rejection_; }

 private:
  const Node& node_;
  Graph body_;
  std::vector<ir::ValueId> inputs_, outputs_;
  std::string rejection_;
};
class FunctionBuilder;

/// What fusion needs to know; refined by the stages themselves.
enum class Pattern : uint8_t {
  opaque,       // never fused
  elementwise,  // output point depends on one point of each input (broadcast allowed)
  injective,    // data movement: Transpose, Reshape, Slice, …
  reduction,    // reduces some axes
  contraction,  // MatMul, Gemm, Conv: a reduction worth tiling
};

struct OpDef {
  std::string name;
  std::string domain;                    // "" is ai.onnx
  int since_version = 1;                 // first opset with these semantics; later ones are handled inside
  int min_inputs = 0, max_inputs = 0;    // max -1: variadic
  int min_outputs = 1, max_outputs = 1;  // max -1: variadic
  Pattern pattern = Pattern::opaque;
  std::function<void(InferContext&)> infer;
  std::function<Cost(const CostContext&)> cost;  // empty: moves data only, see ops/cost.cpp
  std::function<void(EvalContext&)> evaluate;
  std::function<void(LowerContext&)> lower;  // empty: always runs its reference
  bool deterministic = true;                 // false: RandomNormal, …; never folded or shared
  // Of operators that plug-ins define (see plugins/):
  std::string plugin;                          // which one, for messages; empty: Rooftune itself
  std::function<void(ExpandContext&)> expand;  // in the place of `lower`: what it writes is fused and compiled
  int expand_opset = 0;                        // of ai.onnx, whose operators `expand` writes
  /// Of our own operators with an `expand` (LSTM): they stay in graphs and in what is exported of them, and are expanded
  /// only where kernels are made.
  bool expand_for_kernels = false;
  /// Of an operator that is a function of others: in the place of all these, see ops/function.h.
  std::function<void(FunctionBuilder&)> function;
};

/// Registration: `static const Registration r = {…}` does not survive static linking, so each family file has a
/// function `void register_<family>(Catalogue&)` and families.cpp calls them all (the one registration line).
class Catalogue {
 public:
  static const Catalogue& instance();
  void add(OpDef def);
  /// Adds the operators of a plug-in to the catalogue of this process, all or none; InputError naming one that is there
  /// already. Graphs may be worked on meanwhile.
  static void extend(std::vector<OpDef> defs);
  const OpDef* find(std::string_view op, std::string_view domain) const;  // null where unknown
  const OpDef& at(const Node& node) const;                                // InputError naming the node
  std::vector<const OpDef*> all() const;                                  // by domain and name

 private:
  static Catalogue& shared();
  std::map<std::pair<std::string, std::string>, OpDef, std::less<>> defs_;  // (domain, name); none is ever removed
  mutable std::shared_mutex mutex_;
};

/// "com.example.Crop"; the name alone in the default domain.
std::string qualified_name(const Node& node);

/// What the node's operator expands to, types inferred; a rejection where it does not, or where what it wrote is wrong or
/// of another type than the node.
ExpandContext expansion(const Graph& graph, const Node& node);

/// Infers every type in the graph (bodies included), and replaces the operators that are functions of others by these.
/// InputError naming the node where the model is wrong.
void infer_types(Graph& graph);
Cost cost(const Graph& graph, const Node& node);
/// Runs a whole graph by references; `inputs` in the order of graph.inputs. Control flow included.
std::vector<Tensor> evaluate(const Graph& graph, const std::vector<Tensor>& inputs);
/// Runs one node by its reference; `inputs` are the node's (empty tensors where absent), then its captured values.
std::vector<Tensor> evaluate(const Graph& graph, const Node& node, std::vector<Tensor> inputs);
/// Runs a body (If, Loop, Scan) with the values of its captures_outer, in their order.
std::vector<Tensor> evaluate_body(const Graph& body, const std::vector<Tensor>& inputs,
                                  const std::vector<Tensor>& captured);
/// The values of the graph around it that a node's bodies use: captures_outer of each graph attribute, in key order.
std::vector<ir::ValueId> captured_values(const Node& node);

}  // namespace rooftune::ops
