#include "ops/moments.h"

#include <algorithm>

namespace rooftune::ops {

using kernel::Op;
using kernel::Reduction;

double Groups::count() const {
  double count = 1;
  for (const kernel::Axis& axis : reduced) count *= static_cast<double>(axis.extent);
  return count;
}

Groups groups_over(const std::vector<int64_t>& shape, const std::vector<int>& reduced) {
  Groups g;
  const int rank = static_cast<int>(shape.size());
  const int kept = rank - static_cast<int>(reduced.size());
  for (int d = 0; d < rank; ++d) {
    const int64_t extent = shape[static_cast<size_t>(d)];
    if (std::binary_search(reduced.begin(), reduced.end(), d)) {
      g.at.push_back(Index::variable(kept + static_cast<int>(g.reduced.size())));
      g.reduced.push_back({fmt::format("r{}", d), extent});
    } else {
      g.at.push_back(Index::variable(static_cast<int>(g.kept.size())));
      g.group_of.push_back(Index::variable(d));
      g.kept.push_back({fmt::format("a{}", d), extent});
    }
  }
  return g;
}

Groups groups_of_channels(const std::vector<int64_t>& shape, int64_t groups) {
  Groups g;
  const int64_t channels = shape[1] / groups;
  g.kept = {{"n", shape[0]}, {"g", groups}};
  g.reduced = {{"c", channels}};
  g.at = {Index::variable(0), Index::variable(1) * channels + Index::variable(2)};
  for (size_t d = 2; d < shape.size(); ++d) {
    g.reduced.push_back({fmt::format("r{}", d), shape[d]});
    g.at.push_back(Index::variable(static_cast<int>(d) + 1));
  }
  const auto extents = [shape](int variable) { return kernel::Range{0, shape[static_cast<size_t>(variable)] - 1}; };
  g.group_of = {Index::variable(0), floordiv(Index::variable(1), channels, extents)};
  return g;
}

int group_sum(LowerContext& ctx, const Groups& groups, const std::string& name,
              const std::function<int(StageBuilder&)>& value) {
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), name), groups.kept, groups.reduced);
  const int element = value(s);
  return s.finish(element, groups.reduced.empty() ? Reduction::none : Reduction::sum);
}

int group_map(LowerContext& ctx, const Groups& groups, const std::string& name, int buffer,
              const std::function<int(StageBuilder&, int)>& value) {
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), name), groups.kept);
  return s.finish(value(s, s.load(buffer, axis_indices(static_cast<int>(groups.kept.size())))));
}

int mean_stages(LowerContext& ctx, const Groups& groups) {
  const int sum = group_sum(ctx, groups, "sum", [&](StageBuilder& s) { return s.load(ctx.input(0), groups.at); });
  return group_map(ctx, groups, "mean", sum,
                   [&](StageBuilder& s, int x) { return s.mul(x, s.constant(1 / groups.count())); });
}

int inverse_deviation_stages(LowerContext& ctx, const Groups& groups, int mean, double epsilon) {
  const int squares = group_sum(ctx, groups, "squares", [&](StageBuilder& s) {
    int x = s.load(ctx.input(0), groups.at);
    if (mean >= 0) x = s.sub(x, s.load(mean, axis_indices(static_cast<int>(groups.kept.size()))));
    return s.mul(x, x);
  });
  return group_map(ctx, groups, "inverse_deviation", squares, [&](StageBuilder& s, int x) {
    const int variance = s.mul(x, s.constant(1 / groups.count()));
    return s.div(s.constant(1), s.unary(Op::sqrt, s.add(variance, s.constant(epsilon))));
  });
}

}  // namespace rooftune::ops
