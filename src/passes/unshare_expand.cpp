// Gives every ScatterElements the Expand of its indices for itself. A graph network has one index per edge, which it expands
// over the features once for all its layers; as part of the kernel that scatters the Expand is nothing but how indices are
// read, but as a value that several kernels read it would have to be stored. After common_subexpression, which does the
// opposite for all other nodes.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {

bool unshare_expand(Graph& graph, PassContext&) {
  return rewrite_nodes(graph, [](Graph& g, NodeId id) {
    if (!is_op(g.node(id), "ScatterElements")) return false;
    std::vector<ValueId> inputs = g.node(id).inputs;
    const Node* expand = maker(g, inputs[1], "Expand");
    if (!expand || single_use(g, inputs[1])) return false;
    inputs[1] = insert(g, id, "Expand", std::vector<ValueId>(expand->inputs), g.type(inputs[1]));
    replace_node(g, id, "ScatterElements", std::move(inputs), Attributes(g.node(id).attributes));
    return true;
  });
}

}  // namespace rooftune::passes
