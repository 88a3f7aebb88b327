// The walk over a module: scopes, calls, regions, and the names that users see.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {

class Importer {
 public:
  Importer(std::string_view text, const mlir::Module& module) : text_(text), module_(module) {}
  ir::Graph run();

  const mlir::Module& module() const { return module_; }
  std::string_view text() const { return text_; }

  Operand resolve(Scope& scope, const std::string& name, size_t at);
  /// Lowers the operations of a region into the scope's graph; what its return statement names.
  std::vector<Operand> operations(Scope& scope, const mlir::Region& region);
  /// The function's results for these arguments, its operations inlined.
  std::vector<Operand> call(Scope& scope, const std::string& function, const std::vector<Operand>& arguments,
                            size_t at);
  /// A body graph of a control-flow node; `arguments` become its inputs, of these types.
  std::shared_ptr<ir::Graph> body(Scope& around, const std::function<void(Scope&)>& fill);

 private:
  void lower(Scope& scope, const mlir::Operation& op);
  void unknown(Scope& scope, const mlir::Operation& op);
  void add_inputs(Scope& scope, const mlir::Function& main);
  void add_outputs(ir::Graph& graph, const mlir::Function& main, const std::vector<Operand>& results);
  [[noreturn]] void fail_unknown(const std::string& also) const;

  std::string_view text_;
  const mlir::Module& module_;
  struct Unknown {
    size_t at = 0;
    int count = 0;
  };
  std::map<std::string, Unknown> unknown_;
  int depth_ = 0;
  int64_t operations_ = 0;
};

/// What users see of the main function's arguments: the names of their locations, or those of the text; and for each '?'
/// a dimension of its own, named after jax's dimension variable where the text tells it.
struct Inputs {
  std::vector<std::string> names;
  std::vector<ir::Type> types;
};
Inputs describe_inputs(const mlir::Module& module, const mlir::Function& main);

}  // namespace rooftune::frontends::stablehlo
