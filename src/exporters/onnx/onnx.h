// Writes a graph as an ONNX model. Weights go straight from where they are mapped to the file; models whose weights
// would not fit protobuf's 2 GB keep them beside the model in "<file>.data" (or "<file>.2.data": a model that is replaced
// keeps its own until it is).
#pragma once
#include <memory>
#include <string>

#include "exporters/exporter.h"

namespace rooftune::exporters {

std::unique_ptr<Exporter> make_onnx_exporter();

struct OnnxOptions {
  uint64_t most_inline_bytes = 1'500'000'000;  // of weights; more of them go to external data
};
void write_onnx(const ir::Graph& graph, const std::string& path, const OnnxOptions& options = {});

}  // namespace rooftune::exporters
