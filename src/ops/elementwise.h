// What makes an operator of one float tensor from a function of one number.
#pragma once
#include <functional>
#include <string>
#include <utility>

#include "ops/dispatch.h"
#include "ops/lowering.h"

namespace rooftune::ops {

/// y = f(x) on floating-point tensors. make(node) returns f (which takes float or double), so that attributes are read
/// once. `flops`: operations per element. `lower` builds the same in a stage; empty: not lowered.
template <typename Make>
OpDef unary_float(const char* name, double flops, Make make,
                  std::function<int(const Node&, StageBuilder&, int)> lower) {
  OpDef def{.name = name,
            .min_inputs = 1,
            .max_inputs = 1,
            .pattern = Pattern::elementwise,
            .infer = same_as_input(kFloats),
            .cost = cost_per_output(flops)};
  def.evaluate = widened([make](EvalContext& ctx) {
    const auto f = make(ctx.node());
    dispatch_float(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      ctx.set_output(0, map_unary<T>(ctx.input(0), f));
    });
  });
  if (lower) {
    def.lower = lowered_map(lower_case(name), bit(DType::f32),
                            [lower = std::move(lower)](LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
                              return lower(ctx.node(), s, x[0]);
                            });
  }
  return def;
}

}  // namespace rooftune::ops
