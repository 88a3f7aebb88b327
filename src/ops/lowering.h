// Helpers for lowering operators to stages. Stages are named after what they compute, never after the node, so that
// equal operators become equal kernels.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "ops/common.h"

namespace rooftune::ops {

using kernel::Index;
using kernel::StageBuilder;

/// Element types that lowered stages compute in.
inline constexpr DTypeSet kLowered = set_of({DType::f32, DType::i32, DType::i64, DType::u8, DType::i8, DType::boolean});

/// Rejects (and returns false) unless every present input and output 0 is a non-empty tensor of an allowed type.
bool can_lower(LowerContext& ctx, DTypeSet allowed = kLowered);

/// "HardSwish" → "hard_swish": stages are named after their operator.
std::string lower_case(const std::string& name);

/// `name`, or `name_2`, … where the kernel has a stage of that name already.
std::string stage_name(const kernel::Kernel& kernel, const std::string& name);

/// Axes a0, a1, … of the extents in `shape`.
std::vector<kernel::Axis> axes_of(const std::vector<int64_t>& shape, const std::string& prefix = "a");

/// Where an operand of `shape` is read at point `at` of a domain it broadcasts to: trailing indices, 0 where its
/// extent is 1.
std::vector<Index> broadcast_indices(const std::vector<int64_t>& shape, const std::vector<Index>& at);

/// The first `count` axis variables of a stage.
std::vector<Index> axis_indices(int count);

/// Input `i` read at `at` with broadcasting; a scalar constant becomes a literal.
int load_input(LowerContext& ctx, StageBuilder& stage, int i, const std::vector<Index>& at);

/// One stage over output 0: value(ctx, stage, loaded inputs) computes an element. Absent inputs are -1.
using MapValue = std::function<int(LowerContext&, StageBuilder&, const std::vector<int>&)>;
void lower_map(LowerContext& ctx, const std::string& name, DTypeSet allowed, const MapValue& value);

/// The same as an OpDef's `lower`.
std::function<void(LowerContext&)> lowered_map(std::string name, DTypeSet allowed, MapValue value);

}  // namespace rooftune::ops
