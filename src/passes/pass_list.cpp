// The order of the passes: the one line that a new pass adds is here.
#include "passes/pass.h"

namespace rooftune::passes {

// Each runs on what the ones before it left; why a pass stands where it stands is said in its own file.
#define ROOFTUNE_PASSES(pass)                                                                                         \
  pass(dead_code) pass(constant_fold) pass(inline_if) pass(expand_operators) pass(remove_noops) pass(simplify_shapes) \
      pass(simplify_arithmetic) pass(common_subexpression) pass(fold_batch_norm) pass(fold_pad) pass(sink_dequantize) \
          pass(integer_contractions) pass(narrow_weights) pass(canonicalise_matmul) pass(recognise_norm)              \
              pass(recognise_softmax) pass(recognise_gelu) pass(recognise_activation) pass(attention_scale)           \
                  pass(cancel_reshapes) pass(constant_fold) pass(remove_noops) pass(simplify_shapes)                  \
                      pass(common_subexpression) pass(unshare_expand) pass(unshare_dequantize) pass(dead_code)

#define ROOFTUNE_DECLARE(name) bool name(ir::Graph& graph, PassContext& context);
#define ROOFTUNE_LIST(name) Pass{#name, name},
ROOFTUNE_PASSES(ROOFTUNE_DECLARE)

const std::vector<Pass>& all_passes() {
  static const std::vector<Pass> passes = {ROOFTUNE_PASSES(ROOFTUNE_LIST)};
  return passes;
}

}  // namespace rooftune::passes
