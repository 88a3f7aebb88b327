// Which calls view the memory of their first argument, and how what is written to a view comes to stand there.
#pragma once
#include <string>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {

/// "aten.add_.Tensor" → "aten.add.Tensor"; others as they are.
std::string without_underscore(const std::string& target);

/// The tensor whose memory the call's results share; empty where they have memory of their own.
std::string viewed(const Call& call, const Scope& scope);

/// The value of the viewed tensor `base` after `written` was written to the view's result. `view` is the call that
/// made the view. InputError where the view is of a kind that cannot be written through.
ValueId write_back(Context& view, ValueId base, ValueId written, size_t result);

}  // namespace rooftune::frontends::torch_format
