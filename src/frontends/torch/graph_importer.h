// SubGraph → ir::Graph: calls every operator's lowering in order, and keeps what PyTorch's tensors are beside values:
// memory that views share and that calls write to in place. A write gives the written tensor a new value; what else
// views the same memory is made anew from it when it is next read.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {

class GraphImporter final : public Scope {
 public:
  GraphImporter(ir::Graph& graph, const SubGraph& program) : graph_(graph), constants_(graph), program_(program) {}

  /// `protect`: why the tensor must not be written to ("the buffer 'cache'"); empty where it may.
  void bind(const std::string& name, ValueId value, std::string protect = "");
  void bind_number(const std::string& name, ValueId value) { numbers_[name] = value; }
  void run();

  ValueId tensor(const std::string& name) override;
  ValueId number(const std::string& name) override;
  const TensorMeta& meta(const std::string& name) const override;
  std::optional<int64_t> known_integer(const std::string& name) const override;
  std::vector<ValueId> inlined(const SubGraph& graph, const std::vector<ValueId>& operands) override;
  std::shared_ptr<ir::Graph> branch(const SubGraph& graph, const std::vector<ValueId>& operands) override;
  std::shared_ptr<ir::Graph> loop_body(const SubGraph& condition, const SubGraph& body,
                                       const std::vector<ValueId>& operands, size_t carried) override;

  /// The value of an output, of its own: neither an input nor a constant nor another output. kNone for None and for
  /// numbers that are no symbols.
  ValueId output(const Argument& argument, const std::string& name);

 private:
  struct Binding {
    ValueId value = kNone;
    std::string base;            // the tensor that it views; empty: its memory is its own
    const Call* view = nullptr;  // how; null: it is the same
    size_t result = 0;           // which result of `view`
    int64_t seen = 0;            // the writes to the memory that `value` shows
    int64_t writes = 0;          // of a tensor with memory of its own
    std::string protect;
  };

  void lower(const Call& call);
  void lower_in_place(const Call& call, const Lowering& lowering);
  std::vector<ValueId> results(const Call& call, const Lowering& lowering, bool names_results);
  void bind_results(const Call& call, const std::vector<ValueId>& values);
  void write(const std::string& name, ValueId value);
  void bind_operands(const std::vector<ValueId>& operands);
  std::vector<ValueId> all_outputs();
  std::vector<ValueId> captured(ir::Graph& body, const std::vector<ValueId>& operands, size_t from) const;
  Binding& binding(const std::string& name);
  Binding& root(const std::string& name);

  ir::Graph& graph_;
  Constants constants_;
  const SubGraph& program_;
  std::map<std::string, Binding> tensors_;
  std::map<std::string, ValueId> numbers_;
};

/// InputError that lists all operators of the graph (bodies included) that no lowering knows, with where they stand.
void require_known_operators(const SubGraph& graph);

}  // namespace rooftune::frontends::torch_format
