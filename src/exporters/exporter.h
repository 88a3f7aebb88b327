// Where models go out. An exporter writes a Graph for another runtime; the registry finds it by name.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::exporters {

class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual std::string name() const = 0;       // "onnx"
  virtual std::string extension() const = 0;  // ".onnx"
  /// Writes all of it or nothing. The types of the graph must be inferred. InputError naming the node that the format
  /// cannot express.
  virtual void write(const ir::Graph& graph, const std::string& path) const = 0;
};

/// InputError that lists the known names.
const Exporter& find(const std::string& name);
std::vector<const Exporter*> all();
void add(std::unique_ptr<Exporter> exporter);

}  // namespace rooftune::exporters
