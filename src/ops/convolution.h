// What Conv shares with its integer kin (ConvInteger, QLinearConv): shapes, sizes and the stage that sums.
#pragma once
#include "ops/columns.h"
#include "ops/stages.h"

namespace rooftune::ops {

/// The output shape of a convolution of x [N,C,…] with w [O,C/group,…]; InputError where they do not fit.
ir::Shape conv_shape(const ir::Node& node, const ir::Shape& x, const ir::Shape& w);
ConvSizes conv_sizes(const ir::Node& node, const std::vector<int64_t>& x, const std::vector<int64_t>& w);
/// Multiply-adds as 2 operations each, from the type of the weights, input `w`.
double conv_flops(const CostContext& ctx, int w);

/// The reducing stage of a convolution. Axes: n, [g,] o, spatial | [c,] window; a convolution with one input channel
/// per group has no axis c, one with one filter per group no o. `value` makes the summand from the indices into x and w.
struct ConvPoint {
  std::vector<Index> x, w;
  std::vector<Index> x_where;  // conditions of x's load (padding)
  Index filter;                // o of the output
};
int add_conv_stage(LowerContext& ctx, const std::string& name, const ConvSizes& sizes,
                   const std::function<int(StageBuilder&, const ConvPoint&)>& value);

}  // namespace rooftune::ops
