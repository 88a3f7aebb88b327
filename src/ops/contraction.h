// What MatMul shares with its integer kin (MatMulInteger, QLinearMatMul): shapes, the product, the stage that sums.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "ops/stages.h"

namespace rooftune::ops {

/// The shape of a · b by NumPy's rules: batch dims broadcast, a vector is a row on the left and a column on the right.
Shape matmul_shape(const Node& node, Shape a, Shape b);
/// a · b for operands of one type: f32, f64 or an integer of 32 or 64 bits.
Tensor matmul(const Node& node, const Tensor& a, const Tensor& b);

/// The reducing stage of a · b for operands of shapes `a` and `b`. Axes: batch, m, n | k, without m or n for a vector.
/// `value` makes the summand from the indices into a and b. Returns the buffer, of the product's shape.
using MatMulSummand = std::function<int(StageBuilder&, const std::vector<Index>& a, const std::vector<Index>& b)>;
int add_matmul_stage(LowerContext& ctx, const std::string& name, const std::vector<int64_t>& a,
                     const std::vector<int64_t>& b, const MatMulSummand& value);

}  // namespace rooftune::ops
