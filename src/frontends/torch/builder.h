// Makes nodes of ONNX's vocabulary: what the lowerings of ATen operators write with.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace rooftune::frontends::torch_format {

using ir::DType;
using ir::kNone;
using ir::ValueId;
using Attributes = std::map<std::string, ir::Attribute>;

inline constexpr int kOpset = 23;        // of the nodes that are made …
inline constexpr int kNewestOpset = 26;  // … but of operators that are younger

/// A size: a number, or one that the graph computes (i64[1]).
struct Size {
  int64_t value = 0;
  ValueId id = kNone;
  Size(int64_t number) : value(number) {}  // NOLINT: a number is a size
  static Size computed(ValueId id) {
    Size s(0);
    s.id = id;
    return s;
  }
  bool known() const { return id == kNone; }
};

/// Constants of one graph, each made once.
class Constants {
 public:
  explicit Constants(ir::Graph& graph) : graph_(graph) {}
  ValueId add(ir::Tensor tensor);

 private:
  ir::Graph& graph_;
  std::map<std::pair<uint64_t, size_t>, ValueId> small_;  // by hash and number of bytes
};

/// Nodes are held back until flush(), which knows by then how many there are and names them.
class Builder {
 public:
  Builder(ir::Graph& graph, Constants& constants) : graph_(graph), constants_(constants) {}

  // --- nodes; the results' element type is that of the first input unless given
  ValueId op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId op_as(DType dtype, std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> ops(std::string_view op, std::vector<ValueId> inputs, const std::vector<DType>& results,
                           Attributes attributes = {});

  // --- constants
  ValueId constant(ir::Tensor tensor) { return constants_.add(std::move(tensor)); }
  ValueId scalar(DType dtype, double value);         // rank 0
  ValueId integer(DType dtype, int64_t value);       // rank 0
  ValueId ints(const std::vector<int64_t>& values);  // i64[n]
  ValueId sizes(const std::vector<Size>& sizes);     // i64[n]

  // --- what nearly every lowering needs
  ValueId cast(ValueId value, DType dtype);                           // nothing where it is so already
  ValueId reshape(ValueId value, const std::vector<int64_t>& shape);  // as ONNX has it: 0 keeps, -1 is the rest
  ValueId reshape_to(ValueId value, const std::vector<Size>& shape);  // 0 is an empty dimension, -1 the rest
  ValueId transpose(ValueId value, const std::vector<int64_t>& order);
  ValueId unsqueeze(ValueId value, const std::vector<int64_t>& axes);
  ValueId squeeze(ValueId value, const std::vector<int64_t>& axes);
  ValueId slice(ValueId value, int64_t axis, const Size& start, const Size& end, int64_t step = 1);
  ValueId gather(ValueId value, ValueId index, int64_t axis) { return op("Gather", {value, index}, {{"axis", axis}}); }
  ValueId expand(ValueId value, const std::vector<Size>& shape) { return op("Expand", {value, sizes(shape)}); }
  ValueId concat(const std::vector<ValueId>& values, int64_t axis);
  ValueId reduce(std::string_view op, ValueId value, const std::vector<int64_t>& axes, bool keep);
  /// Filled with one number (rank 0 or [1], of any element type).
  ValueId full(const std::vector<Size>& shape, ir::Tensor value);
  Size size_of(ValueId value, int64_t axis);  // known where the type says it
  std::vector<Size> shape_of(ValueId value);  // of a value whose type has a rank
  ValueId scalar_of(const Size& size);        // i64, rank 0

  DType dtype(ValueId value) const { return graph_.type(value).dtype(); }
  const ir::Shape& shape(ValueId value) const { return graph_.type(value).shape(); }
  int64_t rank(ValueId value) const { return graph_.type(value).rank(); }
  ir::Graph& graph() { return graph_; }

  /// Adds a node as it is; its outputs are values of the graph already.
  void add(ir::Node node) { pending_.push_back(std::move(node)); }
  /// Whether the value is made by a node that was not flushed yet.
  bool made_here(ValueId value) const;
  /// Puts the nodes into the graph: one is called `label`, several "label/Op".
  void flush(const std::string& label);

 private:
  ir::Graph& graph_;
  Constants& constants_;
  std::vector<ir::Node> pending_;
};

}  // namespace rooftune::frontends::torch_format
