// Where models come in. A frontend reads one format into a Graph; the registry picks it by the file.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::frontends {

struct LoadOptions {
  /// What the named symbolic dimensions of the model become: a number, or a symbol with bounds.
  std::map<std::string, ir::Dim> dims;
};

class Frontend {
 public:
  virtual ~Frontend() = default;
  virtual std::string name() const = 0;                     // "onnx"
  virtual std::string accepted() const = 0;                 // "*.onnx", for messages
  virtual bool accepts(const std::string& path) const = 0;  // by the look of the path; reads nothing
  /// The graph, verified in structure and sorted; types are those that the file states. InputError naming the node,
  /// tensor or field where the file is wrong. `options` are applied by load_model, not here.
  virtual ir::Graph load(const std::string& path) const = 0;
};

/// All frontends; those added last are asked first.
std::vector<const Frontend*> all();
void add(std::unique_ptr<Frontend> frontend);

/// Loads a model by the frontend that accepts it. InputError naming the accepted formats where none does, and the
/// model's dimensions where an option names none of them.
ir::Graph load_model(const std::string& path, const LoadOptions& options = {});

/// InputError where a dimension shall be outside of the bounds that the model gives it: for other sizes it does not hold, since
/// what torch.export decided by the sizes is no longer in the graph.
void require_within(const ir::Graph& graph, const std::map<std::string, ir::Dim>& dims);
/// Replaces symbolic dimensions in every type of the graph and its bodies.
void substitute_dims(ir::Graph& graph, const std::map<std::string, ir::Dim>& dims);
/// The symbolic dimensions of the graph's inputs, sorted.
std::vector<std::string> input_symbols(const ir::Graph& graph);

}  // namespace rooftune::frontends
