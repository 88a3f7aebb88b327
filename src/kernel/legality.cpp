// What a schedule must satisfy to be emitted. Every rejection says which stage, loop and why; `--explain` shows them.
#include <algorithm>
#include <bit>

#include "kernel/analysis.h"
#include "kernel/nodes.h"
#include "kernel/schedule.h"

namespace rooftune::kernel {
namespace {

constexpr int64_t kMostCopies = 8192;  // unrolled copies of a stage's expression
constexpr int64_t kWidestVector = 64;

struct Checker {
  const Kernel& kernel;
  const Schedule& schedule;

  const Stage& stage(int s) const { return kernel.stages[static_cast<size_t>(s)]; }
  const StagePlan& plan(int s) const { return schedule.stages[static_cast<size_t>(s)]; }

  std::vector<int64_t> extents(int s) const {
    std::vector<int64_t> result;
    for (const auto& axis : stage(s).axes) result.push_back(axis.extent);
    return result;
  }

  /// How much of each axis of a stage is computed at once: of one inside another stage what its readers read there.
  std::vector<int64_t> region(int s) const {
    auto whole = extents(s);
    const int host = plan(s).at_stage;
    if (host <= s || static_cast<size_t>(host) >= kernel.stages.size()) return whole;
    std::vector<int64_t> read(whole.size(), 0);
    for (int r : readers(kernel, stage(s).buffer)) {
      if (r <= s) return whole;
      auto walked = region(r);
      if (r == host)
        for (size_t i = 0; i < plan(r).loops.size() && static_cast<int>(i) <= plan(s).at_loop; ++i)
          if (const auto& loop = plan(r).loops[i]; loop.axis >= 0 && static_cast<size_t>(loop.axis) < walked.size())
            walked[static_cast<size_t>(loop.axis)] = std::min(walked[static_cast<size_t>(loop.axis)], loop.step);
      for (const auto& node : stage(r).nodes) {
        if (node.op != Op::load || node.buffer != stage(s).buffer) continue;
        for (size_t d = 0; d < read.size(); ++d) {
          const auto axis = d < node.indices.size() ? plain_axis(node.indices[d]) : std::nullopt;
          read[d] = std::max(read[d], axis ? walked[static_cast<size_t>(*axis)] : whole[d]);
        }
      }
    }
    for (size_t d = 0; d < static_cast<size_t>(stage(s).spatial); ++d)
      if (read[d] > 0) whole[d] = std::min(whole[d], read[d]);
    return whole;
  }

  /// Unrolled copies of the place that a stage is computed in.
  int64_t copies_of_host(int s) const {
    const int host = plan(s).at_stage;
    if (host <= s || static_cast<size_t>(host) >= kernel.stages.size()) return 1;
    auto left = extents(host);
    int64_t copies = 1;
    for (size_t i = 0; i < plan(host).loops.size() && static_cast<int>(i) <= plan(s).at_loop; ++i) {
      const auto& loop = plan(host).loops[i];
      if (loop.axis < 0 || static_cast<size_t>(loop.axis) >= left.size() || loop.step < 1) return 1;
      auto& extent = left[static_cast<size_t>(loop.axis)];
      if (loop.kind == LoopKind::unrolled) copies *= (extent + loop.step - 1) / loop.step;
      extent = std::min(extent, loop.step);
    }
    return copies;
  }

  std::string loops(int s) const {
    const auto& axes = stage(s).axes;
    const auto& all = plan(s).loops;
    auto left = region(s);
    bool serial_seen = false, vector_seen = false;
    int meeting = 0;  // of one that scatters: the last axis walked along which points may meet
    int64_t copies = copies_of_host(s);
    for (const auto& loop : all) {
      if (loop.axis < 0 || static_cast<size_t>(loop.axis) >= axes.size())
        return fmt::format("stage {} has no axis {}", stage(s).name, loop.axis);
      const auto& axis = axes[static_cast<size_t>(loop.axis)];
      auto& extent = left[static_cast<size_t>(loop.axis)];
      if (loop.step < 1)
        return fmt::format("stage {}: step {} of axis {} is not positive", stage(s).name, loop.step, axis.name);
      switch (loop.kind) {
        case LoopKind::parallel:
          if (serial_seen)
            return fmt::format("parallel: the loop over {} of stage {} is not outermost", axis.name, stage(s).name);
          if (plan(s).at_stage >= 0)
            return fmt::format("parallel: stage {} is computed inside another stage", stage(s).name);
          if (loop.axis >= stage(s).spatial)
            return fmt::format("parallel: {} is a reduction axis of stage {}", axis.name, stage(s).name);
          break;
        case LoopKind::vector:
          if (vector_seen) return fmt::format("vectorise: stage {} has two vector loops", stage(s).name);
          if (loop.step != 1)
            return fmt::format("vectorise: the vector loop over {} of stage {} needs step 1", axis.name, stage(s).name);
          // Inside another stage the region bounds it too; the emitter checks that.
          if (extent > kWidestVector && plan(s).at_stage < 0)
            return fmt::format(
                "vectorise: {} elements of axis {} of stage {} are more than the {} of the widest vector", extent,
                axis.name, stage(s).name, kWidestVector);
          vector_seen = true;
          break;
        case LoopKind::dot:
          if (auto why = dot(s, loop, extent); !why.empty()) return why;
          break;
        case LoopKind::tile:
          if (auto why = tile(s, loop, extent); !why.empty()) return why;
          copies *= loop.axis == all[all.size() - 3].axis ? extent : 1;  // where it takes words
          break;
        case LoopKind::unrolled: copies *= (extent + loop.step - 1) / loop.step; break;
        case LoopKind::serial: break;
      }
      if (stage(s).scatters && loop.axis >= stage(s).spatial) {
        if (loop.kind == LoopKind::vector)
          return fmt::format("vectorise: points along axis {} of stage {} may meet in one place", axis.name,
                             stage(s).name);
        if (loop.axis < meeting)
          return fmt::format("stage {} must walk {} outside of {}, in whose order points meet", stage(s).name,
                             axis.name, axes[static_cast<size_t>(meeting)].name);
        meeting = loop.axis;
      }
      serial_seen = serial_seen || loop.kind != LoopKind::parallel;
      extent = std::min(extent, loop.step);
    }
    if (copies > kMostCopies)
      return fmt::format("unroll: {} copies of stage {} are more than {}", copies, stage(s).name, kMostCopies);
    if (plan(s).at_stage < 0)
      for (size_t a = 0; a < axes.size(); ++a)
        if (left[a] > 1)
          return fmt::format("no loop walks axis {} of stage {} in steps of 1", axes[a].name, stage(s).name);
    return "";
  }

  std::string dot(int s, const Loop& loop, int64_t extent) const {
    const auto& axis = stage(s).axes[static_cast<size_t>(loop.axis)];
    const int width = dot_operands(kernel, stage(s)).width;
    if (width == 0)
      return fmt::format("dot: stage {} is no sum of products of two loads of 8-bit integers or bf16", stage(s).name);
    if (&loop != &plan(s).loops.back() || loop.step != 1)
      return fmt::format("dot: the loop over {} of stage {} must be innermost and of step 1", axis.name, stage(s).name);
    if (loop.axis < stage(s).spatial)
      return fmt::format("dot: {} is no reduction axis of stage {}", axis.name, stage(s).name);
    if (axis.live >= 0)
      return fmt::format("dot: where axis {} of stage {} ends is known only when it runs", axis.name, stage(s).name);
    if (extent > width)
      return fmt::format("dot: {} elements of axis {} of stage {} are more than the {} of a word", extent, axis.name,
                         stage(s).name, width);
    return "";
  }

  std::string tile(int s, const Loop& loop, int64_t extent) const {
    const auto& axis = stage(s).axes[static_cast<size_t>(loop.axis)];
    const auto& all = plan(s).loops;
    const auto operands = dot_operands(kernel, stage(s));
    const int width = operands.width;
    if (width == 0 || operands.shift_a >= 0 || operands.shift_b >= 0)
      return fmt::format("tile: stage {} is no sum of products of two loads of 8-bit integers or bf16", stage(s).name);
    const auto tiles =
        std::count_if(all.begin(), all.end(), [](const Loop& other) { return other.kind == LoopKind::tile; });
    const size_t first = all.size() - 3, at = static_cast<size_t>(&loop - all.data());
    if (tiles != 3 || all.size() < 3 || at < first || loop.step != 1)
      return fmt::format("tile: the loop over {} of stage {} must be one of three, innermost and of step 1", axis.name,
                         stage(s).name);
    const bool words = at + 1 == all.size();
    if (words != (loop.axis >= stage(s).spatial) || all[first].axis == all[first + 1].axis)
      return fmt::format("tile: the three loops of stage {} must be over rows, columns and what is summed up",
                         stage(s).name);
    if (words && axis.live >= 0)
      return fmt::format("tile: where axis {} of stage {} ends is known only when it runs", axis.name, stage(s).name);
    if (extent > kTileRows * (words ? width : 1))
      return fmt::format("tile: {} elements of axis {} of stage {} are more than the {} of a tile", extent, axis.name,
                         stage(s).name, kTileRows * (words ? width : 1));
    return "";
  }

  std::string vector_loads(int s) const {
    for (const auto& loop : plan(s).loops) {
      if (loop.kind != LoopKind::vector && loop.kind != LoopKind::tile) continue;
      if (data_index_along(stage(s), loop.axis))
        return fmt::format("vectorise: an index of stage {} is read from memory along axis {}", stage(s).name,
                           stage(s).axes[static_cast<size_t>(loop.axis)].name);
      if (loop.axis < stage(s).spatial && std::none_of(
                                              stage(s).out_indices.begin(), stage(s).out_indices.end(),
                                              [&](const Index& e) { return e.uses(loop.axis); }))
        return fmt::format("vectorise: stage {} does not write along axis {}", stage(s).name,
                           stage(s).axes[static_cast<size_t>(loop.axis)].name);
    }
    return "";
  }

  std::string prefetch(const Prefetch& p) const {
    if (p.stage < 0 || static_cast<size_t>(p.stage) >= kernel.stages.size())
      return fmt::format("prefetch: there is no stage {}", p.stage);
    const auto& s = stage(p.stage);
    const auto& all = plan(p.stage).loops;
    if (p.loop < 0 || static_cast<size_t>(p.loop) >= all.size() ||
        all[static_cast<size_t>(p.loop)].kind == LoopKind::vector ||
        all[static_cast<size_t>(p.loop)].kind == LoopKind::tile)
      return fmt::format("prefetch: stage {} has no loop {} outside of its vectors", s.name, p.loop);
    if (p.axis < 0 || static_cast<size_t>(p.axis) >= s.axes.size())
      return fmt::format("prefetch: stage {} has no axis {}", s.name, p.axis);
    if (std::none_of(s.nodes.begin(), s.nodes.end(),
                     [&](const ExprNode& node) { return node.op == Op::load && node.buffer == p.buffer; }))
      return fmt::format("prefetch: stage {} does not read buffer {}", s.name, p.buffer);
    if (p.shared >= s.spatial || p.shared_step < 1 || p.turns < 1)
      return fmt::format("prefetch: stage {} has no {} turns of {} along axis {}", s.name, p.turns, p.shared_step,
                         p.shared);
    return "";
  }

  std::string place(int s) const {
    const auto& p = plan(s);
    if (p.at_stage < 0) return p.slide_axis >= 0 ? fmt::format("slide: stage {} is at the root", stage(s).name) : "";
    if (p.at_stage <= s || static_cast<size_t>(p.at_stage) >= kernel.stages.size())
      return fmt::format("compute_at: stage {} cannot be computed inside stage number {}, which does not come after it",
                         stage(s).name, p.at_stage);
    const auto& host = plan(p.at_stage);
    if (p.at_loop < 0 || static_cast<size_t>(p.at_loop) >= host.loops.size())
      return fmt::format("compute_at: stage {} has no loop {} to compute {} in", stage(p.at_stage).name, p.at_loop,
                         stage(s).name);
    for (int l = 0; l <= p.at_loop; ++l)
      if (const auto kind = host.loops[static_cast<size_t>(l)].kind; kind == LoopKind::vector || kind == LoopKind::tile)
        return fmt::format("compute_at: stage {} would be computed inside the vector loop of stage {}", stage(s).name,
                           stage(p.at_stage).name);
    if (kernel.buffers[static_cast<size_t>(stage(s).buffer)].role != Role::temporary)
      return fmt::format("compute_at: stage {} writes an output", stage(s).name);
    if (!writes_identity(kernel, stage(s)) || writers(kernel, stage(s).buffer).size() != 1)
      return fmt::format("compute_at: stage {} does not write its whole buffer in order", stage(s).name);
    for (int r : readers(kernel, stage(s).buffer)) {
      int at = r, level = INT32_MAX;
      while (at >= 0 && at != p.at_stage) level = plan(at).at_loop, at = plan(at).at_stage;
      if (at != p.at_stage || level < p.at_loop)
        return fmt::format("compute_at: stage {} is also read by stage {}, which is not inside that loop",
                           stage(s).name, stage(r).name);
    }
    if (p.slide_axis >= 0) {
      if (p.slide_axis >= stage(s).spatial) return fmt::format("slide: stage {} has no such axis", stage(s).name);
      const auto& along = stage(p.at_stage).axes[static_cast<size_t>(host.loops[static_cast<size_t>(p.at_loop)].axis)];
      if (stage(s).axes[static_cast<size_t>(p.slide_axis)].live >= 0 || along.live >= 0)
        return fmt::format("slide: how far {} slides is known only when it runs", stage(s).name);
      if (host.loops[static_cast<size_t>(p.at_loop)].kind != LoopKind::serial)
        return fmt::format("slide: the loop of stage {} that {} slides along is not serial", stage(p.at_stage).name,
                           stage(s).name);
    }
    return "";
  }
};

}  // namespace

std::string why_illegal(const Kernel& kernel, const Schedule& schedule) {
  if (schedule.stages.size() != kernel.stages.size())
    return fmt::format("the schedule has {} stages, the kernel {}", schedule.stages.size(), kernel.stages.size());
  const Checker check{kernel, schedule};
  for (int s = 0; s < static_cast<int>(kernel.stages.size()); ++s) {
    if (auto why = check.loops(s); !why.empty()) return why;
    if (auto why = check.place(s); !why.empty()) return why;
    if (auto why = check.vector_loads(s); !why.empty()) return why;
  }
  for (const auto& p : schedule.prefetch)
    if (auto why = check.prefetch(p); !why.empty()) return why;
  for (const auto& [buffer, layout] : schedule.prepared) {
    if (buffer < 0 || static_cast<size_t>(buffer) >= kernel.buffers.size() ||
        kernel.buffers[static_cast<size_t>(buffer)].role != Role::constant)
      return "prepare: only constants can be packed beforehand";
    std::vector<bool> covered(kernel.buffers[static_cast<size_t>(buffer)].shape.size(), false);
    for (const auto& axis : layout.axes()) {
      if (axis.dim < 0 || static_cast<size_t>(axis.dim) >= covered.size() || axis.divisor < 1 || axis.extent < 1)
        return fmt::format("prepare: layout {} does not fit constant {}", layout.to_string(),
                           kernel.buffers[static_cast<size_t>(buffer)].name);
      if (axis.divisor == 1) covered[static_cast<size_t>(axis.dim)] = true;
    }
    for (size_t d = 0; d < covered.size(); ++d)
      if (!covered[d] && kernel.buffers[static_cast<size_t>(buffer)].shape[d] > 1)
        return fmt::format("prepare: layout {} leaves dim {} of constant {} out", layout.to_string(), d,
                           kernel.buffers[static_cast<size_t>(buffer)].name);
  }
  return "";
}

}  // namespace rooftune::kernel
