// The stages that normalisations share: mean and standard deviation of groups of elements, two-pass, then a map.
#pragma once
#include <functional>
#include <vector>

#include "ops/lowering.h"

namespace rooftune::ops {

/// A tensor cut into groups, each normalised by itself: a group is a point of the `kept` axes and runs over `reduced`.
struct Groups {
  std::vector<kernel::Axis> kept, reduced;
  /// Where the tensor is read in a stage whose axes are kept, then reduced.
  std::vector<Index> at;
  /// The group (indices of the kept axes) that a point of the tensor's own axes belongs to.
  std::vector<Index> group_of;

  double count() const;  // elements of a group
};

/// Every point of dims outside `reduced` (sorted) is a group.
Groups groups_over(const std::vector<int64_t>& shape, const std::vector<int>& reduced);
/// [N, C, …] with C in `groups` runs of channels.
Groups groups_of_channels(const std::vector<int64_t>& shape, int64_t groups);

/// A reduction over each group, buffer [kept]: value(stage, group) is an element.
int group_sum(LowerContext& ctx, const Groups& groups, const std::string& name,
              const std::function<int(StageBuilder&)>& value);
/// A map over [kept] of such a buffer.
int group_map(LowerContext& ctx, const Groups& groups, const std::string& name, int buffer,
              const std::function<int(StageBuilder&, int)>& value);

/// Mean of x over each group: Σx / n.
int mean_stages(LowerContext& ctx, const Groups& groups);
/// 1 / sqrt(Σ(x - mean)² / n + epsilon); without a mean (-1): of x².
int inverse_deviation_stages(LowerContext& ctx, const Groups& groups, int mean, double epsilon);

}  // namespace rooftune::ops
