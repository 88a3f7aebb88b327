// Helpers for lowerings that move elements or reduce over windows; beside lowering.h, which serves the maps.
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "ops/lowering.h"

namespace rooftune::ops {

/// Rejects (and returns false) unless these inputs, where present, and all outputs are non-empty, static and of a type
/// that stages compute in. Other inputs (shapes, axes, …) are not looked at.
bool can_lower_inputs(LowerContext& ctx, std::initializer_list<int> inputs, DTypeSet allowed = kLowered);

/// The axis variables [first, first + count) of a stage.
std::vector<Index> axes_from(int first, size_t count);

/// Ranges of the axes of a stage with these extents, for simplifying divisions.
kernel::RangeOf ranges_of(const std::vector<int64_t>& extents);
/// Row-major linear index of `at` in `shape`, and back (0 <= linear).
Index linear_index(const std::vector<Index>& at, const std::vector<int64_t>& shape);
std::vector<Index> split_index(const Index& linear, const std::vector<int64_t>& shape, const kernel::RangeOf& ranges);

/// Adds a stage that only moves elements: a temporary of `shape` whose element at `out` is `buffer` at source(out).
/// `ranges` are those of the stage's axes.
using IndexMap = std::function<std::vector<Index>(const std::vector<Index>& out, const kernel::RangeOf& ranges)>;
int add_move(LowerContext& ctx, const std::string& name, int buffer, const std::vector<int64_t>& shape,
             const IndexMap& source);

}  // namespace rooftune::ops
