// One StableHLO operation on its way into a graph of ONNX operators: typed access to what the text says of it, and the
// nodes that take its place. Every file of lowerings adds its operations to one table.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "frontends/stablehlo/syntax.h"
#include "ir/graph.h"

namespace rooftune::frontends::stablehlo {

inline constexpr int kOpset = 21;         // of the nodes that are made
inline constexpr int kBitCastOpset = 26;  // BitCast is younger

/// A value, and its type as the text states it (the graph's own type stays open where that has '?').
struct Operand {
  ir::ValueId id = ir::kNone;
  ir::Type type;
};

/// A graph under construction. `narrow` knows, for a value that only repeats a smaller one, that smaller one, of the
/// same rank or a scalar: element-wise operators broadcast by themselves.
struct Builder {
  ir::Graph* graph = nullptr;
  std::unordered_map<ir::ValueId, Operand> narrow;
};

struct Scope {
  Builder* builder = nullptr;
  Scope* around = nullptr;  // of a region; the inside of a function sees nothing around it
  std::string function;     // for messages
  std::unordered_map<std::string, Operand> names = {};
};

class Importer;

class Lowering {
 public:
  Lowering(Importer& importer, Scope& scope, const mlir::Operation& op);

  Importer& importer() { return importer_; }
  Scope& scope() { return scope_; }
  const mlir::Operation& op() const { return op_; }
  ir::Graph& graph() { return *scope_.builder->graph; }
  std::string mnemonic() const;  // "add"
  [[noreturn]] void fail(const std::string& what) const;

  // --- operands
  size_t count() const { return operands_.size(); }
  void require_operands(size_t n) const;
  const Operand& operand(size_t i) const;
  ir::ValueId id(size_t i) const { return operand(i).id; }
  const ir::Type& type(size_t i) const { return operand(i).type; }
  ir::DType dtype(size_t i) const { return type(i).dtype(); }
  int rank(size_t i) const { return type(i).rank(); }
  std::vector<int64_t> shape(size_t i) const;  // InputError where it has '?'
  /// Elements of operand `i` where it is a constant, or one element that repeats; null otherwise.
  const ir::Tensor* constant(size_t i) const;

  // --- results
  const ir::Type& result(size_t i = 0) const;
  std::vector<int64_t> result_shape(size_t i = 0) const;
  void set(ir::ValueId value, size_t i = 0);

  // --- attributes, under any of the names that forms of the text have
  using Names = std::initializer_list<const char*>;
  const mlir::Attribute* find(Names names) const;
  bool has(Names names) const { return find(names) != nullptr; }
  std::vector<int64_t> ints(Names names, std::vector<int64_t> otherwise) const;
  std::vector<int64_t> ints(Names names) const;  // InputError where absent
  int64_t integer(Names names, int64_t otherwise) const;
  int64_t integer(Names names) const;
  std::string word(Names names, const std::string& otherwise) const;  // of a word, string or symbol
  /// Axes of a tensor of this rank: distinct and within it.
  std::vector<int64_t> axes(Names names, int rank) const;
  int64_t axis(Names names, int rank) const;
  void check_axes(const std::vector<int64_t>& axes, int rank, const std::string& name) const;
  std::vector<int64_t> to_ints(const mlir::Attribute& attribute, const std::string& name) const;
  int64_t to_int(const mlir::Attribute& attribute, const std::string& name) const;

  // --- nodes
  using Attributes = std::map<std::string, ir::Attribute>;
  ir::ValueId emit(const std::string& op, std::vector<ir::ValueId> inputs, Attributes attributes = {});
  std::vector<ir::ValueId> emit_many(const std::string& op, std::vector<ir::ValueId> inputs, size_t outputs,
                                     Attributes attributes = {});
  ir::ValueId constant(ir::Tensor tensor);
  ir::ValueId scalar(ir::DType dtype, double value);
  ir::ValueId list(const std::vector<int64_t>& values);  // i64, one dimension

  ir::ValueId cast(ir::ValueId value, ir::DType to);
  ir::ValueId reshape(ir::ValueId value, const std::vector<int64_t>& shape);
  ir::ValueId transpose(ir::ValueId value, const std::vector<int64_t>& perm);  // nothing where it is the identity
  ir::ValueId unsqueeze(ir::ValueId value, const std::vector<int64_t>& axes);
  ir::ValueId squeeze(ir::ValueId value, const std::vector<int64_t>& axes);
  ir::ValueId expand(ir::ValueId value, const std::vector<int64_t>& shape);
  ir::ValueId slice(ir::ValueId value, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends,
                    const std::vector<int64_t>& steps = {});
  /// Pads or, where negative, cuts; `interior` elements stand between those of each axis first.
  ir::ValueId pad(ir::ValueId value, std::vector<int64_t> shape, const std::vector<int64_t>& low,
                  const std::vector<int64_t>& high, const std::vector<int64_t>& interior, ir::ValueId fill);
  /// 0 … n - 1
  ir::ValueId iota(ir::DType dtype, int64_t n);

  void set_narrow(ir::ValueId wide, Operand narrow) { scope_.builder->narrow[wide] = std::move(narrow); }
  const Operand* narrow(ir::ValueId wide) const;

 private:
  Importer& importer_;
  Scope& scope_;
  const mlir::Operation& op_;
  std::vector<Operand> operands_;
  std::string label_;
};

using Lower = void (*)(Lowering&);
using Table = std::map<std::string, Lower, std::less<>>;  // by name without "stablehlo."; chlo operations as "chlo.erf"

void add_elementwise(Table& table);
void add_shapes(Table& table);
void add_contractions(Table& table);
void add_reductions(Table& table);
void add_windows(Table& table);
void add_indexing(Table& table);
void add_sorting(Table& table);
void add_control_flow(Table& table);

/// InputError where it is more than any tensor has.
int64_t product(const Lowering& l, const std::vector<int64_t>& values);

/// What a region computes, as a formula over its arguments a0, a1, … with constants in their places:
/// "add(a0,a1)", "select(GT(a0,a1),a0,a1)". What sorts and reductions are recognised by. One for each returned value.
std::vector<std::string> formulas(Lowering& l, const mlir::Region& region);
/// "add", "maximum", … where the region is that operation of its two arguments; "second" where it returns the second.
std::string simple_body(Lowering& l, const mlir::Region& region);

}  // namespace rooftune::frontends::stablehlo
