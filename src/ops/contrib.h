// What the files of com.microsoft's operators share.
#pragma once
#include <string>

#include "ops/function.h"

namespace rooftune::ops {

/// Registers an operator of com.microsoft that is a function of others.
void add_contrib(Catalogue& catalogue, std::string name, int min_inputs, int max_inputs, int max_outputs,
                 std::function<void(FunctionBuilder&)> function);

/// A product of 8-bit matrices in full precision: (a - a_zero) (b - b_zero) · a_scale · b_scale. Scales and zero points
/// of b may be vectors, one for each column; ir::kNone is a zero point of 0.
struct IntegerProduct {
  ir::ValueId a, b, a_scale, b_scale, a_zero = ir::kNone, b_zero = ir::kNone;
};
ir::ValueId integer_product(FunctionBuilder& ctx, const IntegerProduct& p);

/// Puts the fused activation, an operator of ai.onnx by its name, on `x`: none where `name` is empty. `parameters` are its
/// attributes, in the order in which onnxruntime gives them.
ir::ValueId activate(FunctionBuilder& ctx, ir::ValueId x, const std::string& name,
                     const std::vector<float>& parameters);

}  // namespace rooftune::ops
