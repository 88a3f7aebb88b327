// How ATen operators become nodes of ONNX's vocabulary: one function per operator, one file per family (lower_*.cpp),
// all in one table. Nothing else in the frontend names an operator.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/torch/builder.h"
#include "frontends/torch/program.h"

namespace rooftune::frontends::torch_format {

/// Where a call's arguments live: the graph under construction (importer.cpp).
class Scope {
 public:
  virtual ~Scope() = default;
  virtual ValueId tensor(const std::string& name) = 0;  // InputError where there is none of that name
  virtual ValueId number(const std::string& name) = 0;  // symbolic: i64[1], or bool or f32 of rank 0
  virtual const TensorMeta& meta(const std::string& name) const = 0;
  virtual std::optional<int64_t> known_integer(const std::string& name) const = 0;
  // Graphs of control flow; `operands` has one value per input (kNone for a literal, which the graph holds itself).
  virtual std::vector<ValueId> inlined(const SubGraph& graph, const std::vector<ValueId>& operands) = 0;
  /// A body that captures its operands.
  virtual std::shared_ptr<ir::Graph> branch(const SubGraph& graph, const std::vector<ValueId>& operands) = 0;
  /// A body of ONNX's Loop, which carries the first operands and captures the others.
  virtual std::shared_ptr<ir::Graph> loop_body(const SubGraph& condition, const SubGraph& body,
                                               const std::vector<ValueId>& operands, size_t carried) = 0;
};

/// One call of an operator: its arguments by the names of the operator's schema, and the builder of its nodes. What an
/// argument should not be is an InputError that names the node and the argument.
class Context : public Builder {
 public:
  Context(const Call& call, Scope& scope, ir::Graph& graph, Constants& constants)
      : Builder(graph, constants), call_(call), scope_(scope) {}
  const Call& call() const { return call_; }
  Scope& scope() { return scope_; }

  // --- arguments
  bool has(std::string_view name) const;  // given, and not None
  bool is_tensor(std::string_view name) const;
  ValueId tensor(std::string_view name);
  ValueId tensor_or_none(std::string_view name) { return has(name) ? tensor(name) : kNone; }
  std::vector<ValueId> tensors(std::string_view name);  // kNone for None
  int64_t integer(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t otherwise) const { return has(name) ? integer(name) : otherwise; }
  double real(std::string_view name, double otherwise) const;
  bool flag(std::string_view name, bool otherwise) const { return integer(name, otherwise ? 1 : 0) != 0; }
  std::string text(std::string_view name, std::string otherwise) const;
  std::vector<int64_t> integers(std::string_view name) const;  // one number is a list of one
  std::vector<int64_t> integers(std::string_view name, std::vector<int64_t> otherwise) const {
    return has(name) ? integers(name) : otherwise;
  }
  /// `count` numbers; one stands for all, and none (an empty list counts as none) is `otherwise`.
  std::vector<int64_t> integers(std::string_view name, size_t count, int64_t otherwise) const;
  Size size(std::string_view name);
  std::vector<Size> sizes(std::string_view name);
  DType dtype_argument(std::string_view name, DType otherwise) const;
  /// A tensor or number as an operand of this type.
  ValueId operand(std::string_view name, DType dtype);
  /// The element type in which PyTorch computes with these arguments together (torch.result_type).
  DType result_type(std::initializer_list<std::string_view> names);
  /// Operators of control flow have no schema: their arguments are known by position.
  size_t count() const { return call_.inputs.size(); }
  const Argument& at(size_t i) const;
  const SubGraph& graph_at(size_t i) const;
  /// The values of the arguments from the `i`th on (up to `end`), lists unrolled; kNone for a literal.
  std::vector<ValueId> values_at(size_t i, size_t end);
  const Argument& argument(std::string_view name) const;  // InputError where it is missing

  // --- types
  const TensorMeta& meta(std::string_view name) const { return scope_.meta(tensor_name(name)); }
  const ir::Shape& shape_of_argument(std::string_view name) const { return meta(name).shape; }
  int64_t rank_of(std::string_view name) const { return static_cast<int64_t>(meta(name).shape.size()); }
  const TensorMeta& result(size_t i = 0) const;  // of a tensor among the results
  size_t result_count() const { return results_.size(); }
  /// Counted from the front. InputError where it is out of range.
  int64_t axis(int64_t axis, int64_t rank) const;
  std::vector<int64_t> axes(std::vector<int64_t> axes, int64_t rank) const;  // sorted
  using Builder::dtype;
  using Builder::integer;
  using Builder::sizes;

  // --- results
  void give(ValueId value) { give(0, value); }
  void give(size_t i, ValueId value);
  void give_list(const std::vector<ValueId>& values);
  const std::vector<ValueId>& given() const { return given_; }

  [[noreturn]] void fail(
      const std::string& why) const;  // InputError "node 'linear' (aten.linear.default) of 'net.0': …"

 private:
  friend class GraphImporter;
  const Argument* find(std::string_view name) const;
  const std::string& tensor_name(std::string_view name) const;
  int64_t in_range(int64_t value, std::string_view name) const;
  Size to_size(const Number& number, std::string_view name);
  ValueId to_operand(const Number& number, DType dtype);

  const Call& call_;
  Scope& scope_;
  std::vector<std::string> results_;  // names of the results, lists unrolled
  std::vector<ValueId> given_;
};

std::string label(const Call& call);

using Lowering = std::function<void(Context&)>;

/// The table of lowerings, by target ("aten.linear.default").
class Lowerings {
 public:
  static const Lowerings& instance();
  void add(std::string target, Lowering lowering) { table_[std::move(target)] = std::move(lowering); }
  void add(std::initializer_list<std::string_view> targets, const Lowering& lowering) {
    for (const std::string_view t : targets) add(std::string(t), lowering);
  }
  const Lowering* find(const std::string& target) const;
  std::vector<std::string> targets() const;

 private:
  std::map<std::string, Lowering> table_;
};

void register_pointwise(Lowerings& table);
void register_math(Lowerings& table);
void register_contractions(Lowerings& table);
void register_convolutions(Lowerings& table);
void register_pooling(Lowerings& table);
void register_normalization(Lowerings& table);
void register_reductions(Lowerings& table);
void register_views(Lowerings& table);
void register_joining(Lowerings& table);
void register_indexing(Lowerings& table);
void register_creation(Lowerings& table);
void register_attention(Lowerings& table);
void register_recurrent(Lowerings& table);
void register_resize(Lowerings& table);
void register_symbolic(Lowerings& table);
void register_control_flow(Lowerings& table);

}  // namespace rooftune::frontends::torch_format
