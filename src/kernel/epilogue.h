// What rewrites of contractions share: values by position along an unrolled axis, and the map after a contraction, which
// goes along to where its result now comes from.
#pragma once
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::kernel {

/// values[axis]: where the axis is unrolled this folds to the one value.
int pick(StageBuilder& b, int axis, const std::vector<int>& values);

/// Ends the stage `b`, whose node `value` is what the stage `contraction` of `source` gives at `at`, an index for each of
/// its spatial axes: writes it as that does or, where `epilogue` >= 0 names the stage that reads it (a map over the same
/// axes), what that makes of it.
void finish_with_epilogue(StageBuilder& b, const Kernel& source, const Stage& contraction, int epilogue, int value,
                          const std::vector<Index>& at, const RangeOf& range_of);

}  // namespace rooftune::kernel
