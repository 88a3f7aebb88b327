// Shapes and parts of tensors, for lowerings of several families.
#pragma once
#include <vector>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {

/// A reshape to the shape of a result; sizes that only the inputs decide are read off them.
ValueId reshape_like_result(Context& c, ValueId value, const TensorMeta& from, const TensorMeta& to,
                            const std::vector<Size>& wanted);
/// The shape of an existing value.
ValueId reshape_as(Context& c, ValueId value, ValueId like);
ValueId expand_as(Context& c, ValueId value, ValueId like);

/// The order of axes that a permute, transpose, t, movedim, … makes.
std::vector<int64_t> permutation(Context& c);
std::vector<int64_t> inverse(const std::vector<int64_t>& order);
/// Moves one axis to another place.
std::vector<int64_t> moved(int64_t rank, int64_t from, int64_t to);

struct Part {
  int64_t axis = 0;
  Size start = 0, end = INT64_MAX;
  int64_t step = 1;
  bool dropped = false;  // the axis is gone (select)
};
/// The part that a select, slice, narrow, split, chunk or unbind takes as result `i`.
Part part_of(Context& c, size_t i);
ValueId take(Context& c, ValueId value, const Part& part);
/// `base` with that part replaced.
ValueId put(Context& c, ValueId base, ValueId values, const Part& part);

std::vector<int64_t> range(int64_t count);
std::vector<int64_t> range(int64_t from, int64_t to);

}  // namespace rooftune::frontends::torch_format
