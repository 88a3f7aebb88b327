// Operators that are defined by others: one node becomes a small graph, checked before anybody uses it.
#include "ops/common.h"

namespace rooftune::ops {
namespace {

bool agree(const Type& made, const Type& wanted) {
  if (made.kind() != wanted.kind()) return false;
  if (!made.is_tensor()) return made == wanted;
  if (made.dtype() != wanted.dtype()) return false;
  if (!made.has_rank() || !wanted.has_rank()) return true;
  if (made.rank() != wanted.rank()) return false;
  for (size_t d = 0; d < made.shape().size(); ++d) {
    const Dim &a = made.shape()[d], &b = wanted.shape()[d];
    if (a.is_static() && b.is_static() && a.value() != b.value()) return false;
  }
  return true;
}

}  // namespace

ExpandContext::ExpandContext(const Graph& graph, const Node& node)
    : node_(node), outputs_(node.outputs.size(), ir::kNone) {
  for (ir::ValueId v : node.inputs) {
    if (v == ir::kNone) inputs_.push_back(ir::kNone);
    else if (const Tensor* constant = graph.constant(v))
      inputs_.push_back(body_.add_constant(graph.value(v).name, *constant));
    else inputs_.push_back(body_.add_input(graph.value(v).name, graph.type(v)));
  }
}

ExpandContext expansion(const Graph& graph, const Node& node) {
  ExpandContext ctx(graph, node);
  const OpDef& def = Catalogue::instance().at(node);
  if (!def.expand) ctx.reject("it has no expansion");
  else def.expand(ctx);
  if (!ctx.rejection().empty()) return ctx;
  try {
    infer_types(ctx.body());
  } catch (const InputError& e) {
    ctx.reject(fmt::format("its expansion is wrong: {}", e.what()));
    return ctx;
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == ir::kNone) continue;
    const ir::ValueId made = ctx.outputs()[i];
    const Type& wanted = graph.type(node.outputs[i]);
    if (made == ir::kNone) ctx.reject(fmt::format("its expansion gives no output {}", i));
    else if (!agree(ctx.body().type(made), wanted))
      ctx.reject(fmt::format("its expansion gives {} for output {}, inferred was {}", ctx.body().type(made).to_string(),
                             i, wanted.to_string()));
  }
  return ctx;
}

}  // namespace rooftune::ops
