#include "pipeline/precision.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "passes/lower_precision.h"

namespace rooftune::pipeline {
namespace {

const std::array<Precision, 3>& precisions() {
  static const std::array<Precision, 3> all = {
      {{"fp32", ir::DType::f32, 1e-4}, {"fp16", ir::DType::f16, 4e-3}, {"bf16", ir::DType::bf16, 3e-2}}};
  return all;
}

}  // namespace

Precision parse_precision(const std::string& command, const std::string& name) {
  for (const Precision& p : precisions())
    if (name == p.name || name == ir::name(p.dtype)) return p;
  throw InputError("{}: precision '{}' is not available; there are fp32, bf16 and fp16", command, name);
}

Precision precision_of(const ir::Graph& graph) {
  size_t coarsest = 0;
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    const auto id = static_cast<ir::ValueId>(v);
    if (!graph.value_alive(id) || !graph.type(id).is_tensor()) continue;
    for (size_t p = coarsest + 1; p < precisions().size(); ++p)
      if (graph.type(id).dtype() == precisions()[p].dtype) coarsest = p;
  }
  return precisions()[coarsest];
}

void lower_to(ir::Graph& graph, const Precision& precision) {
  if (precision.dtype != ir::DType::f32) passes::lower_precision(graph, precision.dtype);
}

}  // namespace rooftune::pipeline
