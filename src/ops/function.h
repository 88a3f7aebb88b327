// Operators that are functions of other operators: the fused and quantised ones of com.microsoft, which onnxruntime's
// optimiser, its quantiser and the exporters of language models write. They have no kernels, no reference and no
// inference of their own: type inference, which every model passes first, puts nodes of ai.onnx in their place. So
// fusion, tuning, dynamic shapes, the code generator and every exporter see nothing new, and an operator costs a dozen
// lines. (A plug-in's `expand` is another thing: its operator stands on its own, and the expansion is a way to lower it.)
//
// It happens here, not in the ONNX frontend, because a spelling depends on the types of its operands (the rank of a
// mask, the size of a head), which files often do not state; and it stands in the catalogue, because a schema and a
// meaning are what the catalogue has of every operator.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace rooftune::ops {

/// Builds what one node stands for, before that node. All getters throw InputError naming it where the model is wrong.
class FunctionBuilder {
 public:
  using Value = ir::ValueId;
  using Values = std::vector<ir::ValueId>;
  using Attributes = std::map<std::string, ir::Attribute>;

  /// `infer` gives the outputs of a new node their types.
  FunctionBuilder(Graph& graph, ir::NodeId id, KnownValues& known, std::function<void(ir::NodeId)> infer)
      : graph_(graph), id_(id), known_(known), infer_(std::move(infer)) {}

  // --- the node
  const Node& node() const { return graph_.node(id_); }
  bool has_input(size_t i) const { return node().input(i) != ir::kNone; }
  /// ir::kNone where absent: the operator that needs it refuses it.
  Value input(size_t i) const { return node().input(i); }
  bool has_output(size_t i) const { return i < node().outputs.size() && node().outputs[i] != ir::kNone; }
  /// Those among the node's attributes that it has, under their own names.
  Attributes attributes(std::initializer_list<std::string_view> keys) const;
  [[noreturn]] void fail(const std::string& what) const;

  // --- any value
  DType dtype(Value v) const;
  Shape shape(Value v) const;  // fails where the rank is unknown
  int rank(Value v) const { return static_cast<int>(shape(v).size()); }
  int64_t static_dim(Value v, int axis,
                     std::string_view what) const;  // fails where it is symbolic; axis may be negative
  std::vector<int64_t> known_ints(Value v, std::string_view what) const;  // fails where only data tells them

  // --- sequences (ops/sequences.cpp)
  const Values& sequence(Value v) const;     // the tensors that it holds; fails where that is not known
  void set_sequence(const Values& tensors);  // what the node's output holds

  // --- making nodes of ai.onnx; the first output
  Value add(std::string_view op, const Values& inputs, const Attributes& attributes = {}) {
    return make(op, inputs, attributes, {fresh(op)}, 0).front();
  }
  /// The same where it must be an operator, or the form of one, that ai.onnx has since opset `version` only.
  Value add_since(int version, std::string_view op, const Values& inputs, const Attributes& attributes = {}) {
    return make(op, inputs, attributes, {fresh(op)}, version).front();
  }
  /// All of `count` outputs.
  Values add_many(std::string_view op, const Values& inputs, size_t count, const Attributes& attributes = {});
  /// A node whose result is output `i` of the node itself (just another value where nobody asked for that one).
  Value output(size_t i, std::string_view op, const Values& inputs, const Attributes& attributes = {}, int version = 0);

  // --- constants
  Value scalar(DType dtype, double value);  // of rank 0
  Value ints(const std::vector<int64_t>& values);
  /// The bytes of a constant as numbers of 4 bits, two in a byte, of this shape; ir::kNone where `bytes` is no constant or
  /// holds another number of them. Nothing is copied.
  Value nibbles(Value bytes, const std::vector<int64_t>& shape);

  // --- phrases
  Value cast(Value x, DType dtype);  // x itself where it has that type
  Value reshape(Value x, const std::vector<int64_t>& shape) { return add("Reshape", {x, ints(shape)}); }
  Value transpose(Value x, const std::vector<int64_t>& perm) { return add("Transpose", {x}, {{"perm", perm}}); }
  Value unsqueeze(Value x, const std::vector<int64_t>& axes) { return add("Unsqueeze", {x, ints(axes)}); }
  Value squeeze(Value x, const std::vector<int64_t>& axes) { return add("Squeeze", {x, ints(axes)}); }
  Value slice(Value x, int64_t axis, int64_t begin, int64_t end) {
    return add("Slice", {x, ints({begin}), ints({end}), ints({axis})});
  }
  Values split(Value x, int64_t axis, const std::vector<int64_t>& sizes) {
    return add_many("Split", {x, ints(sizes)}, sizes.size(), {{"axis", axis}});
  }
  Value extent(Value x, int axis);                           // of an axis: an i64 of rank 0
  Value range(Value begin, Value end);                       // i64, by ones
  Value reshaped_scalar(Value x) { return reshape(x, {}); }  // one element of any rank as rank 0

 private:
  Value fresh(std::string_view op);
  Values make(std::string_view op, Values inputs, const Attributes& attributes, Values outputs, int version);

  Graph& graph_;
  ir::NodeId id_;
  KnownValues& known_;
  std::function<void(ir::NodeId)> infer_;
};

}  // namespace rooftune::ops
