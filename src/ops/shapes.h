// Shape arithmetic that several families' inference shares.
#pragma once
#include <optional>
#include <vector>

#include "ops/op.h"

namespace rooftune::ops {

/// False only where two extents can be told apart.
bool may_equal(const ir::Dim& a, const ir::Dim& b);

ir::Dim product(const ir::Shape& shape);
/// product(numerator) / product(denominator), with common factors cancelled; the division is taken to be exact.
ir::Dim quotient(ir::Shape numerator, ir::Shape denominator);

/// The integers of input `i` when they are all known and static.
std::optional<std::vector<int64_t>> static_ints(const InferContext& ctx, int i);

/// Fails unless input `i`, where present and of known shape, may have the shape `wanted`; `name` is what the standard
/// calls it.
void require_shape(const InferContext& ctx, int i, const char* name, const ir::Shape& wanted);

/// A shape of which only the rank is known: every dim a fresh symbol of output `output`.
ir::Shape unknown_shape(const InferContext& ctx, int output, int64_t rank);

}  // namespace rooftune::ops
