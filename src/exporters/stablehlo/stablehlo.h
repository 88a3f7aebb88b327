// Writes a graph as StableHLO text (.mlir), for XLA, IREE and others that read it: static shapes, every operation in
// MLIR's generic form, weights as hexadecimal literals, so that each bit survives.
#pragma once
#include <memory>
#include <string>

#include "exporters/exporter.h"

namespace rooftune::exporters {

std::unique_ptr<Exporter> make_stablehlo_exporter();

/// InputError naming the node that has no spelling, or the input with a symbolic dimension.
void write_stablehlo(const ir::Graph& graph, const std::string& path);

}  // namespace rooftune::exporters
