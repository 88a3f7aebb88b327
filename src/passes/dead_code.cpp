// Removes nodes and values that no output needs. First, so that no pass spends time on what the importer brought along
// for nothing, and last, so that what folding and rewriting left unused (shape computations, replaced patterns) is gone
// before the graph is partitioned.
#include "passes/pass.h"

namespace rooftune::passes {

bool dead_code(ir::Graph& graph, PassContext&) { return graph.remove_dead() > 0; }

}  // namespace rooftune::passes
