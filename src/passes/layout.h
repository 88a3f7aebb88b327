// Which values between groups lie in memory as blocks of channels (NCHW16c) instead of row-major. Convolutions and what
// surrounds them work on whole vectors of channels, so a region of them keeps its activations blocked; everything else
// reads and writes row-major. After partitioning, since only values between groups lie in memory at all.
#pragma once
#include <map>

#include "ir/graph.h"
#include "kernel/layout.h"

namespace rooftune::passes {

/// The blocked values; those that are not named lie row-major (among them all inputs and outputs of the graph). Any
/// kernel can read any layout, so this is a matter of speed only. `vector_lanes`: f32 elements in a vector, the size of
/// a block. A last block that the channels do not fill holds unspecified elements. `tiles`: contractions read bf16 and bytes
/// as rows of 64 bytes of channels, so blocks of these are that long, and where they would not be full channels lie last.
std::map<ir::ValueId, kernel::Layout> choose_layouts(const ir::Graph& graph, const ir::Partition& partition,
                                                     int vector_lanes, bool tiles = false);

/// Puts an Identity, as a group of its own, between each blocked value and the contractions outside the convolution
/// region that read it: a contraction reads its input many times, so one conversion pays. Returns how many were added.
int insert_conversions(ir::Graph& graph, ir::Partition& partition,
                       const std::map<ir::ValueId, kernel::Layout>& layouts);

}  // namespace rooftune::passes
