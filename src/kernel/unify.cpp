#include "kernel/unify.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {
namespace {

/// The order of a layout, without its extents.
std::vector<std::pair<int, int64_t>> order_of(const Layout& layout) {
  std::vector<std::pair<int, int64_t>> order;
  for (const auto& axis : layout.axes()) order.emplace_back(axis.dim, axis.divisor);
  return order;
}

bool same_buffer(const Buffer& a, const Buffer& b) {
  return a.dtype == b.dtype && a.role == b.role && a.shape.size() == b.shape.size() &&
         order_of(a.layout) == order_of(b.layout);
}

Index without_constant(const Index& e) { return e - Index(e.constant()); }

bool differ_in_constants_only(const std::vector<Index>& a, const std::vector<Index>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const Index& x, const Index& y) {
           return without_constant(x) == without_constant(y);
         });
}

/// What differs between two stages beside extents of axes and constants.
std::string difference(const Stage& a, const Stage& b) {
  if (a.axes.size() != b.axes.size() || a.spatial != b.spatial || a.reduction != b.reduction ||
      a.scatters != b.scatters || a.buffer != b.buffer)
    return "its axes";
  if (!differ_in_constants_only(a.out_indices, b.out_indices)) return "where it writes";
  if (!differ_in_constants_only(a.where, b.where)) return "the points that it skips";
  if (a.nodes.size() != b.nodes.size()) return "its expression";
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    const ExprNode &x = a.nodes[i], &y = b.nodes[i];
    if (x.op != y.op || x.type != y.type || x.a != y.a || x.b != y.b || x.c != y.c || x.buffer != y.buffer)
      return "its expression";
    if (!differ_in_constants_only(x.where, y.where)) return "the edges of what it reads";
    if (!differ_in_constants_only(x.indices, y.indices)) return "where it reads";
  }
  return "";
}

/// Puts parameters in the place of what differs between one stage at several sizes, the largest first.
class Generaliser {
 public:
  Generaliser(Kernel& kernel, Stage& stage, std::vector<const Stage*> twins, const Solve& solve)
      : kernel_(kernel), stage_(stage), twins_(std::move(twins)), solve_(solve) {}

  /// Why it cannot be done; empty where it was.
  std::string run() {
    for (size_t a = 0; a < stage_.axes.size() && why_.empty(); ++a) end_early(a);
    indices([](auto& s) -> auto& { return s.out_indices; }, "where it writes");
    indices([](auto& s) -> auto& { return s.where; }, "the points that it skips");
    for (size_t n = 0; n < stage_.nodes.size(); ++n) {
      indices([n](auto& s) -> auto& { return s.nodes[n].where; }, "the edges of what it reads");
      indices([n](auto& s) -> auto& { return s.nodes[n].indices; }, "where it reads");
    }
    if (why_.empty()) values();
    return why_.empty() ? "" : fmt::format("stage {}: {}", stage_.name, why_);
  }

 private:
  void end_early(size_t a) {
    auto& axis = stage_.axes[a];
    std::vector<int64_t> extents = {axis.extent};
    for (const Stage* twin : twins_) extents.push_back(twin->axes[a].extent);
    const auto dim = solve_(extents);
    if (!dim)
      why_ = fmt::format("axis {} has extents {}, which follow from no dimension", axis.name, fmt::join(extents, ", "));
    else if (dim->max() > axis.extent) why_ = fmt::format("axis {} is not longest at the largest size", axis.name);
    else if (!dim->is_static()) axis.live = kernel_.parameter(*dim);
  }

  /// `of`: a list of index expressions of a stage.
  template <typename Of>
  void indices(Of of, const char* what) {
    for (size_t i = 0; i < of(stage_).size() && why_.empty(); ++i) {
      Index& e = of(stage_)[i];
      std::vector<int64_t> constants = {e.constant()};
      for (const Stage* twin : twins_) constants.push_back(of(*twin)[i].constant());
      const auto dim = solve_(constants);
      if (!dim) why_ = fmt::format("{} depends on the size ({})", what, fmt::join(constants, ", "));
      else if (!dim->is_static()) e = without_constant(e) + parameter(*dim);
    }
  }

  Index parameter(const ir::Dim& dim) { return Index::variable(kParameterVariable + kernel_.parameter(dim)); }

  /// Constants that differ: whole numbers, or one over a whole number (a mean multiplies by that).
  void values() {
    std::vector<ExprNode> nodes;
    std::vector<int> renumbered;
    for (size_t n = 0; n < stage_.nodes.size(); ++n) {
      ExprNode node = stage_.nodes[n];
      for_each_argument(node, [&](int& a) { a = renumbered[static_cast<size_t>(a)]; });
      for_each_index(node, [&](Index& e) { e = renumber(e, renumbered); });
      const auto same_value = [&](const Stage* twin) {
        const double x = node.value, y = twin->nodes[n].value;
        return x == y || (std::isnan(x) && std::isnan(y));
      };
      if (std::all_of(twins_.begin(), twins_.end(), same_value)) {
        renumbered.push_back(intern(nodes, std::move(node)));
        continue;
      }
      std::optional<Index> number;
      if (node.op == Op::constant) number = whole(n, false);
      const bool inverse = !number && node.op == Op::constant && ir::is_float(node.type);
      if (inverse) number = whole(n, true);
      if (!number) {
        why_ = "a constant depends on the size";
        return;
      }
      ExprNode of_run{Op::index, node.type};
      of_run.indices = {*number};
      int at = intern(nodes, std::move(of_run));
      if (inverse) {
        ExprNode one{Op::constant, node.type};
        one.value = 1;
        at = intern(nodes, {Op::div, node.type, intern(nodes, std::move(one)), at});
      }
      renumbered.push_back(at);
    }
    for (auto* list : {&stage_.where, &stage_.out_indices})
      for (Index& e : *list) e = renumber(e, renumbered);
    stage_.nodes = std::move(nodes);
    keep_needed(stage_, renumbered.back());
  }

  /// The constants of node n (or one over them) as a whole number of the run, where they are that at all sizes.
  std::optional<Index> whole(size_t n, bool inverse) {
    std::vector<int64_t> numbers;
    const auto add = [&](const Stage& stage) {
      const double value = stage.nodes[n].value, number = inverse ? 1 / value : value;
      // 1 / N is stored rounded to f32 or f64; the nearest whole number gives it back exactly, or it is none.
      const double nearest = std::nearbyint(number);
      if (!(std::fabs(nearest) < 1e9)) return false;
      const double again = inverse ? 1 / nearest : nearest;
      const bool f32 = stage.nodes[n].type == DType::f32;
      if (f32 ? static_cast<float>(again) != static_cast<float>(value) : again != value) return false;
      numbers.push_back(static_cast<int64_t>(nearest));
      return true;
    };
    if (!add(stage_)) return std::nullopt;
    for (const Stage* twin : twins_)
      if (!add(*twin)) return std::nullopt;
    const auto dim = solve_(numbers);
    if (!dim || dim->is_static()) return std::nullopt;
    return parameter(*dim);
  }

  Kernel& kernel_;
  Stage& stage_;
  std::vector<const Stage*> twins_;
  const Solve& solve_;
  std::string why_;
};

}  // namespace

std::string unify(Kernel& kernel, const std::vector<const Kernel*>& twins, const Solve& solve) {
  for (const Kernel* twin : twins) {
    if (twin->stages.size() != kernel.stages.size() || twin->buffers.size() != kernel.buffers.size())
      return "the number of its stages depends on the size";
    for (size_t b = 0; b < kernel.buffers.size(); ++b)
      if (!same_buffer(kernel.buffers[b], twin->buffers[b]))
        return fmt::format("how '{}' is stored depends on the size", kernel.buffers[b].name);
    for (size_t s = 0; s < kernel.stages.size(); ++s)
      if (const auto what = difference(kernel.stages[s], twin->stages[s]); !what.empty())
        return fmt::format("stage {}: {} depends on the size", kernel.stages[s].name, what);
  }
  Kernel unified = kernel;
  for (size_t s = 0; s < unified.stages.size(); ++s) {
    std::vector<const Stage*> others;
    for (const Kernel* twin : twins) others.push_back(&twin->stages[s]);
    if (auto why = Generaliser(unified, unified.stages[s], std::move(others), solve).run(); !why.empty()) return why;
  }
  kernel = std::move(unified);
  return "";
}

}  // namespace rooftune::kernel
