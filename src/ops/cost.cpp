// What operators cost. Conventions: a multiply-add is two operations; comparison, min/max, sqrt, exp, tanh and their
// like count one each; integer and boolean arithmetic counts like floating point; moving data counts nothing.
#include <algorithm>
#include <set>

#include "ops/common.h"

namespace rooftune::ops {

namespace {

/// Of an operator that only moves data: its outputs, and of each input no more elements than it writes (a Gather from a
/// large table reads a few of its rows).
double bytes_moved(const CostContext& ctx) {
  double bytes = 0, written = 0;
  for (ir::ValueId id : ctx.node.outputs) {
    if (id == ir::kNone || !ctx.graph.type(id).is_static()) continue;
    const Type& type = ctx.graph.type(id);
    written += static_cast<double>(elements(type));
    bytes += static_cast<double>(byte_size(type.dtype(), static_cast<size_t>(elements(type))));
  }
  for (ir::ValueId id : std::set<ir::ValueId>(ctx.node.inputs.begin(), ctx.node.inputs.end())) {
    if (id == ir::kNone || !ctx.graph.type(id).is_static()) continue;
    const Type& type = ctx.graph.type(id);
    const double read = std::min(static_cast<double>(elements(type)), written);
    bytes += static_cast<double>(byte_size(type.dtype(), static_cast<size_t>(read)));
  }
  return bytes;
}

}  // namespace

Cost cost(const Graph& graph, const Node& node) {
  const OpDef& def = Catalogue::instance().at(node);
  const CostContext ctx{graph, node};
  return def.cost ? def.cost(ctx) : Cost{0, bytes_moved(ctx)};
}

}  // namespace rooftune::ops
