// The StableHLO operations that spell one node: a function's lines under construction, and the table of spellings.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace rooftune::exporters::stablehlo {

using Ints = std::vector<int64_t>;

/// A value of the text.
struct Val {
  std::string name;  // "%12"
  ir::DType dtype = ir::DType::undefined;
  Ints shape;

  int rank() const { return static_cast<int>(shape.size()); }
};

std::string type_text(ir::DType dtype, const Ints& shape);  // "tensor<2x3xf32>"; InputError for types it has not
std::string type_text(const Val& v);
std::string array(const Ints& values);  // "array<i64: 1, 2>"
std::string list(const Ints& values);   // "[1, 2]"
std::string quote(std::string_view text);

/// Lines of the main function. Each method adds one operation, or a few, and gives its result.
class Lines {
 public:
  std::string text;

  /// `attributes` without their brackets: "dimension = 0 : i64"; `regions` with theirs: "({…})".
  Val op(const std::string& name, const std::vector<Val>& operands, ir::DType dtype, Ints shape,
         const std::string& attributes = "", const std::string& regions = "");
  Val same(const std::string& name, const std::vector<Val>& operands);  // result as the first operand

  Val splat(ir::DType dtype, const Ints& shape, double value);
  Val integers(const Ints& values, const Ints& shape);  // i64
  Val broadcast(const Val& v, const Ints& shape, const Ints& dims);
  Val broadcast(const Val& v, const Ints& shape);  // as ONNX aligns shapes: by their ends
  Val reshape(const Val& v, const Ints& shape);
  Val transpose(const Val& v, const Ints& perm);
  Val convert(const Val& v, ir::DType dtype);
  Val slice(const Val& v, const Ints& starts, const Ints& ends, const Ints& steps);
  Val concatenate(const std::vector<Val>& parts, int64_t axis);
  Val pad(const Val& v, const Ints& low, const Ints& high, const Val& fill);  // negative: cuts
  Val compare(const std::string& direction, const Val& a, const Val& b);      // "LT"
  Val select(const Val& predicate, const Val& a, const Val& b);
  /// The reduction by "add", "maximum", … over these axes, which go.
  Val reduce(const std::string& body, const Val& v, const Ints& axes);
  Val reduce_window(const std::string& body, const Val& v, const Ints& shape, const Ints& window, const Ints& strides,
                    const Ints& dilations, const Ints& low, const Ints& high);

  std::string fresh() { return "%" + std::to_string(next_++); }

 private:
  Val neutral(const std::string& body, ir::DType dtype);
  int64_t next_ = 0;
};

/// One node on its way into the text.
class Spelling {
 public:
  Spelling(const ir::Graph& graph, const ir::Node& node, Lines& lines, std::unordered_map<ir::ValueId, Val>& values)
      : graph_(graph), node_(node), lines_(lines), values_(values) {}

  const ir::Node& node() const { return node_; }
  Lines& lines() { return lines_; }
  bool has(size_t i) const { return node_.input(i) != ir::kNone; }
  size_t count() const { return node_.inputs.size(); }
  Val in(size_t i) const;
  const ir::Tensor* constant(size_t i) const { return has(i) ? graph_.constant(node_.input(i)) : nullptr; }
  Ints ints(size_t i, const char* what) const;  // of an input that must be a constant
  ir::DType out_dtype(size_t i = 0) const;
  Ints out_shape(size_t i = 0) const;
  bool wants(size_t i) const { return i < node_.outputs.size() && node_.outputs[i] != ir::kNone; }
  void set(const Val& v, size_t i = 0);
  int64_t axis(int64_t axis, int rank) const;
  [[noreturn]] void fail(const std::string& what) const;
  /// Only its first output has a spelling.
  void require_one_output() const;

 private:
  const ir::Graph& graph_;
  const ir::Node& node_;
  Lines& lines_;
  std::unordered_map<ir::ValueId, Val>& values_;
};

using Spell = void (*)(Spelling&);
using Table = std::map<std::string, Spell, std::less<>>;

void add_elementwise(Table& table);
void add_shapes(Table& table);
void add_contractions(Table& table);
void add_reductions(Table& table);

}  // namespace rooftune::exporters::stablehlo
