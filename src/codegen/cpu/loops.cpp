// The walk through a stage's loops (see emitter.h).
#include <algorithm>
#include <bit>

#include "base/error.h"
#include "codegen/cpu/emitter.h"
#include "kernel/analysis.h"
#include "kernel/nodes.h"

namespace rooftune::codegen {

using kernel::LoopKind;

namespace {

bool is_spatial(const kernel::Stage& stage, const kernel::Loop& loop) { return loop.axis < stage.spatial; }

bool unrolled(const kernel::Loop& loop) {
  return loop.kind == LoopKind::unrolled || loop.kind == LoopKind::vector || loop.kind == LoopKind::dot ||
         loop.kind == LoopKind::tile;
}

/// The first reduction loop.
size_t first_reduction(const kernel::Stage& stage, const std::vector<kernel::Loop>& loops) {
  size_t i = 0;
  while (i < loops.size() && is_spatial(stage, loops[i])) ++i;
  return i;
}

/// From here on every spatial loop is unrolled or a vector: results fit a local array with constant indices.
size_t accumulation_level(const kernel::Stage& stage, const std::vector<kernel::Loop>& loops) {
  const size_t first = first_reduction(stage, loops);
  size_t level = loops.size();
  while (level > first && (!is_spatial(stage, loops[level - 1]) || unrolled(loops[level - 1]))) --level;
  return level;
}

int power_of_two(int64_t n) { return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(n))); }

/// Point `axis` is live.
Index live_condition(int axis, int parameter) {
  return Index::variable(kernel::kParameterVariable + parameter) - Index(1) - Index::variable(axis);
}

/// Whether a condition depends on what a stage reduces over.
bool of_reduction(const kernel::Stage& stage, const Index& condition) {
  for (int a = stage.spatial; a < static_cast<int>(stage.axes.size()); ++a)
    if (condition.uses(a)) return true;
  return false;
}

/// The nominal width of a stage's vector loop: the enclosing loop's step, else the whole extent.
int nominal_width(const std::vector<kernel::Loop>& loops, size_t level, int64_t whole) {
  for (size_t i = level; i-- > 0;)
    if (loops[i].axis == loops[level].axis) return power_of_two(loops[i].step);
  return power_of_two(whole);
}

}  // namespace

Index Emitter::current(const Nest& nest, const Index& index) const {
  return simplify(index.substitute([&](int axis) {
    if (axis >= kernel::kParameterVariable) return Index::variable(variables_.of_parameter(axis));
    return axis < kernel::kNodeVariable ? nest.base[static_cast<size_t>(axis)] : Index::variable(axis);
  }),
                  variables_.range_of());
}

/// Where a stage must not go beyond what is live: along reductions, where memory there would be taken for an index, and
/// where other stages write what follows (the parts of a Concat).
bool Emitter::covers_exactly(const kernel::Stage& s, int axis) const {
  if (axis >= s.spatial || kernel::writers(kernel_, s.buffer).size() > 1) return true;
  const auto data = [](const Index& index) { return !kernel::node_variables(index).empty(); };
  return std::any_of(s.out_indices.begin(), s.out_indices.end(), data) ||
         std::any_of(s.nodes.begin(), s.nodes.end(),
                     [&](const auto& node) { return std::any_of(node.indices.begin(), node.indices.end(), data); });
}

void Emitter::add_live_conditions(Nest& nest) const {
  const auto& s = stage(nest);
  for (int a = 0; a < static_cast<int>(s.axes.size()); ++a) {
    const auto& axis = s.axes[static_cast<size_t>(a)];
    if (axis.live >= 0 && covers_exactly(s, a)) nest.conditions.push_back(live_condition(a, axis.live));
  }
}

kernel::Range Emitter::range_now(const Nest& nest, const Index& index, bool* depends_on_rest) {
  bool rest = false;
  while (offset_variables_.size() < nest.base.size()) offset_variables_.push_back(variables_.add({0, 0}));
  Index e = index.substitute([&](int axis) -> Index {
    if (axis >= kernel::kParameterVariable) return Index::variable(variables_.of_parameter(axis));
    const auto a = static_cast<size_t>(axis);
    if (nest.extent[a] == 1) return nest.base[a];
    rest = true;
    variables_.set_range(offset_variables_[a], {0, nest.extent[a] - 1});
    return nest.base[a] + Index::variable(offset_variables_[a]);
  });
  if (depends_on_rest != nullptr) *depends_on_rest = rest || e.uses(Variables::kLane) || e.uses(Variables::kDot);
  return simplify(e, variables_.range_of()).range(variables_.range_of());
}

/// Drops conditions that are proven and moves those that nothing inside can change to `branch_on`. False: none can hold.
bool Emitter::settle(Nest& nest, std::vector<Index>& branch_on) {
  std::vector<Index> open;
  for (const auto& condition : nest.conditions) {
    bool rest = false;
    const auto range = range_now(nest, condition, &rest);
    if (range.lo >= 0) continue;
    if (range.hi < 0) return false;
    if (rest) open.push_back(condition);
    else branch_on.push_back(current(nest, condition));
  }
  nest.conditions = std::move(open);
  return true;
}

void Emitter::guarded(const std::vector<Index>& conditions, const std::function<void()>& body) {
  if (conditions.empty()) return body();
  llvm::Value* all = nullptr;
  for (const auto& condition : conditions) {
    auto* holds = b_.CreateICmpSGE(emit_index(condition), b_.getInt64(0));
    all = all == nullptr ? holds : b_.CreateAnd(all, holds);
  }
  branch(all, body);
}

void Emitter::branch(llvm::Value* condition, const std::function<void()>& body) {
  auto* then = llvm::BasicBlock::Create(context_, "then", function_);
  auto* done = llvm::BasicBlock::Create(context_, "done", function_);
  b_.CreateCondBr(condition, then, done);
  b_.SetInsertPoint(then);
  body();
  b_.CreateBr(done);
  b_.SetInsertPoint(done);
}

void Emitter::walk(const Nest& nest, size_t level) {
  const auto& all = loops(nest);
  if (nest.mode == Nest::Mode::compute && stage(nest).is_reduction() && nest.local == nullptr &&
      nest.tiles == nullptr) {
    const size_t first = first_reduction(stage(nest), all);
    const size_t local = accumulation_level(stage(nest), all);
    if (level == first && first < local) {  // an outer reduction loop: results wait in memory
      Nest clear = nest;
      clear.mode = Nest::Mode::clear;
      clear.words = true;
      std::erase_if(clear.conditions, [&](const Index& c) { return of_reduction(stage(nest), c); });
      walk(clear, level);
    }
    if (level == local) return accumulate(nest, level, first == local);
  }
  if (stage(nest).scatters && nest.target.empty() && level == target_level(nest)) return aim(nest, level);
  walk_on(nest, level);
}

void Emitter::walk_on(const Nest& nest, size_t level) {
  if (level == loops(nest).size()) return leaf(nest);
  walk_loop(nest, level);
}

/// From here on no loop changes the indices of a scatter that are data.
size_t Emitter::target_level(const Nest& nest) const {
  const auto& all = loops(nest);
  size_t level = all.size();
  while (level > 0 && is_spatial(stage(nest), all[level - 1]) &&
         !kernel::data_index_along(stage(nest), all[level - 1].axis))
    --level;
  return level;
}

/// Reads the indices of a scatter that are data and walks on where they lie inside of its buffer.
void Emitter::aim(Nest nest, size_t level) {
  const auto& s = stage(nest);
  const auto& shape = kernel_.buffers[static_cast<size_t>(s.buffer)].shape;
  std::vector<Lanes> done(s.nodes.size());
  llvm::Value* inside = nullptr;
  nest.target.resize(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) {
    const auto nodes = kernel::node_variables(s.out_indices[d]);
    if (nodes.empty()) continue;
    const Lanes value = evaluate(nest, nullptr, nodes[0], done);
    RT_CHECK(value.lanes == 1, "an index to scatter to differs between lanes");
    auto* at = cast(value, s.nodes[static_cast<size_t>(nodes[0])].type, ir::DType::i64).value;
    auto* in = b_.CreateICmpULT(at, b_.getInt64(static_cast<uint64_t>(shape[d])));  // so that negative ones are outside
    inside = inside == nullptr ? in : b_.CreateAnd(inside, in);
    const int variable = variables_.add({0, shape[d] - 1});
    variable_values_[variable] = at;
    nest.target[d] = Index::variable(variable);
  }
  if (inside == nullptr) return walk_on(nest, level);
  branch(inside, [&] { walk_on(nest, level); });
}

/// Results from `level` inwards in a local array: cleared or loaded, computed, stored.
void Emitter::accumulate(const Nest& nest, size_t level, bool cleared) {
  const auto& s = stage(nest);
  const auto& all = loops(nest);
  if (!all.empty() && all.back().kind == LoopKind::tile) {
    if (const auto plan = plan_tiles(nest, level)) return accumulate_in_tiles(nest, level, cleared, plan);
    Nest words = nest;
    words.words = true;
    return accumulate(words, level, cleared);
  }
  int width = nest.lanes;
  int vector_axis = -1;
  for (size_t i = level; i < all.size(); ++i) {
    if (all[i].kind != LoopKind::vector) continue;
    vector_axis = all[i].axis;
    width = nominal_width(all, i, nest.extent[static_cast<size_t>(vector_axis)]);
  }
  Nest inner = nest;
  inner.local_base.assign(nest.base.begin(), nest.base.begin() + s.spatial);
  inner.local_stride.assign(static_cast<size_t>(s.spatial), 0);
  // Vectors lie dense: lanes of a spatial axis are its elements, else every element has `width` lanes of its own.
  const bool spatial_vector = vector_axis >= 0 && vector_axis < s.spatial;
  int64_t elements = 1;
  if (spatial_vector) {
    inner.local_stride[static_cast<size_t>(vector_axis)] = 1;
    elements = (nest.extent[static_cast<size_t>(vector_axis)] + width - 1) / width * width;
  } else {
    elements = width;
  }
  for (int a = s.spatial; a-- > 0;) {
    if (spatial_vector && a == vector_axis) continue;
    inner.local_stride[static_cast<size_t>(a)] = elements;
    elements *= nest.extent[static_cast<size_t>(a)];
  }
  const DType type = kernel_.buffers[static_cast<size_t>(s.buffer)].dtype;
  inner.local = allocate_stack(llvm_type(type), elements);
  inner.local_lanes = width;
  Nest outside = inner;
  std::erase_if(outside.conditions, [&](const Index& c) { return of_reduction(s, c); });
  outside.mode = cleared ? Nest::Mode::clear_local : Nest::Mode::load_local;
  walk(outside, level);
  walk_on(inner, level);
  outside.mode = Nest::Mode::store_local;
  walk(outside, level);
}

void Emitter::walk_loop(const Nest& nest, size_t level) {
  const auto& loop = loops(nest)[level];
  if (nest.mode != Nest::Mode::compute && !is_spatial(stage(nest), loop)) return walk(nest, level + 1);
  const auto axis = static_cast<size_t>(loop.axis);
  const int64_t extent = nest.extent[axis];
  const int64_t full = extent / loop.step;
  const int64_t tail = extent % loop.step;
  switch (loop.kind) {
    case LoopKind::parallel: return parallel_loop(nest, level);
    case LoopKind::vector: return vector_loop(nest, level);
    case LoopKind::dot: return dot_loop(nest, level);
    case LoopKind::tile: return tile_leaf(nest);
    case LoopKind::unrolled:
      for (int64_t i = 0; i < full; ++i)
        iteration(nest, level, nest.base[axis] + Index(i * loop.step), loop.step, i == 0);
      break;
    case LoopKind::serial: {
      if (stage(nest).axes[axis].live >= 0) return live_loop(nest, level);
      int64_t first = 0;
      bool slides = false;
      for (int s : attached_[static_cast<size_t>(nest.stage)]) {
        const auto& plan = schedule_.stages[static_cast<size_t>(s)];
        slides = slides || (plan.at_loop == static_cast<int>(level) && plan.slide_axis >= 0);
      }
      auto [begin, end] = proven_iterations(nest, level, full);
      if (slides) begin = std::max<int64_t>(begin, 1);
      for (; first < std::min(begin, full); ++first)
        iteration(nest, level, nest.base[axis] + Index(first * loop.step), loop.step, first == 0);
      end = std::max(first, end);
      serial_loop(nest, level, first, end - first);
      for (int64_t i = end; i < full; ++i)
        iteration(nest, level, nest.base[axis] + Index(i * loop.step), loop.step, i == 0);
      break;
    }
  }
  if (tail > 0) iteration(nest, level, nest.base[axis] + Index(full * loop.step), tail, full == 0);
}

/// The iterations [begin, end) in which conditions that a vector mask or unrolled copies would have to test are proven;
/// [0, count) where there is nothing to gain by treating the ends apart.
std::pair<int64_t, int64_t> Emitter::proven_iterations(const Nest& nest, size_t level, int64_t count) {
  constexpr int64_t kMostPeeled = 2;
  const auto& all = loops(nest);
  const auto axis = static_cast<size_t>(all[level].axis);
  int64_t begin = 0;
  int64_t end = count;
  for (const auto& condition : nest.conditions) {
    const int64_t c = condition.coefficient(static_cast<int>(axis)) * all[level].step;
    if (c == 0 || condition.appears_inside(static_cast<int>(axis))) continue;
    bool tested_inside = false;
    for (size_t i = level + 1; i < all.size(); ++i)
      tested_inside = tested_inside || (unrolled(all[i]) && condition.uses(all[i].axis));
    if (!tested_inside) continue;
    Nest at_start = nest;
    at_start.extent[axis] = all[level].step;
    const int64_t lo = range_now(at_start, condition, nullptr).lo;  // of iteration 0; iteration v adds c · v
    int64_t b = 0;
    int64_t e = count;
    if (c > 0 && lo < 0) b = (-lo + c - 1) / c;
    if (c < 0) e = lo < 0 ? 0 : lo / -c + 1;
    b = std::clamp<int64_t>(b, 0, count);
    e = std::clamp<int64_t>(e, 0, count);
    if (b > kMostPeeled || count - e > kMostPeeled || b >= e) continue;
    begin = std::max(begin, b);
    end = std::min(end, e);
  }
  if (begin >= end) return {0, count};
  return {begin, end};
}

void Emitter::serial_loop(const Nest& nest, size_t level, int64_t first, int64_t count) {
  if (count <= 0) return;
  const auto& loop = loops(nest)[level];
  const auto axis = static_cast<size_t>(loop.axis);
  if (count == 1) return iteration(nest, level, nest.base[axis] + Index(first * loop.step), loop.step, first == 0);
  auto* before = b_.GetInsertBlock();
  auto* body = llvm::BasicBlock::Create(context_, "loop", function_);
  b_.CreateBr(body);
  b_.SetInsertPoint(body);
  auto* counter = b_.CreatePHI(b_.getInt64Ty(), 2, stage(nest).axes[axis].name);
  counter->addIncoming(b_.getInt64(static_cast<uint64_t>(first)), before);
  const int variable = variables_.add({first, first + count - 1});
  variable_values_[variable] = counter;
  iteration(nest, level, nest.base[axis] + Index::variable(variable) * loop.step, loop.step, false);
  auto* next = b_.CreateAdd(counter, b_.getInt64(1), "", true, true);
  counter->addIncoming(next, b_.GetInsertBlock());
  auto* done = llvm::BasicBlock::Create(context_, "end", function_);
  b_.CreateCondBr(b_.CreateICmpSLT(next, b_.getInt64(static_cast<uint64_t>(first + count))), body, done);
  b_.SetInsertPoint(done);
}

/// A serial loop over an axis that ends early. Its turns are whole steps: what lies beyond the end in the last of them is
/// computed along (nobody reads it), or where it must not be (covers_exactly) masked in a copy of the last turn.
void Emitter::live_loop(const Nest& nest, size_t level) {
  const auto& all = loops(nest);
  const auto& loop = all[level];
  const auto axis = static_cast<size_t>(loop.axis);
  const int64_t step = loop.step;
  const int64_t full = nest.extent[axis] / step, tail = nest.extent[axis] % step;
  const auto& live = stage(nest).axes[axis];
  const Index rest = live_of(live) - nest.base[axis];  // elements from here on that are live; may be below 0
  const bool exact = covers_exactly(stage(nest), loop.axis);
  bool walked_inside = false;  // by another loop that ends early by itself
  for (size_t i = level + 1; i < all.size(); ++i)
    walked_inside = walked_inside || (all[i].axis == loop.axis && all[i].kind == LoopKind::serial);

  Nest proven = nest;
  const bool masked = exact && !walked_inside && step > 1;
  if (exact && !walked_inside) std::erase(proven.conditions, live_condition(loop.axis, live.live));
  auto* zero = b_.getInt64(0);
  auto* turns =
      b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, emit_index(masked ? rest : rest + Index(step - 1)), zero);
  turns = b_.CreateUDiv(turns, b_.getInt64(static_cast<uint64_t>(step)));
  turns = b_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, turns, b_.getInt64(static_cast<uint64_t>(full)));
  if (full > 0) counted_loop(proven, level, turns, full);
  if (masked && full > 0) {
    // At `turns`, if that is no whole step any more.
    const int variable = variables_.add({0, full - 1});
    variable_values_[variable] = turns;
    const Index done = Index::variable(variable);
    guarded({Index(full - 1) - done, rest - done * step - Index(1)},
            [&] { iteration(nest, level, nest.base[axis] + done * step, step, false); });
  }
  if (tail > 0)
    guarded({rest - Index(full * step + 1)},
            [&] { iteration(nest, level, nest.base[axis] + Index(full * step), tail, false); });
}

/// `count` (of at most `most`) turns of a loop.
void Emitter::counted_loop(const Nest& nest, size_t level, llvm::Value* count, int64_t most) {
  const auto& loop = loops(nest)[level];
  const auto axis = static_cast<size_t>(loop.axis);
  auto* before = b_.GetInsertBlock();
  auto* body = llvm::BasicBlock::Create(context_, "loop", function_);
  auto* done = llvm::BasicBlock::Create(context_, "end", function_);
  b_.CreateCondBr(b_.CreateICmpSGT(count, b_.getInt64(0)), body, done);
  b_.SetInsertPoint(body);
  auto* counter = b_.CreatePHI(b_.getInt64Ty(), 2, stage(nest).axes[axis].name);
  counter->addIncoming(b_.getInt64(0), before);
  const int variable = variables_.add({0, most - 1});
  variable_values_[variable] = counter;
  iteration(nest, level, nest.base[axis] + Index::variable(variable) * loop.step, loop.step, false);
  auto* next = b_.CreateAdd(counter, b_.getInt64(1), "", true, true);
  counter->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, count), body, done);
  b_.SetInsertPoint(done);
}

void Emitter::parallel_loop(const Nest& nest, size_t level) {
  const auto& loop = loops(nest)[level];
  const auto axis = static_cast<size_t>(loop.axis);
  RT_CHECK(level < task_index_.size(), "parallel loop of stage {} is not outermost", stage(nest).name);
  const int64_t full = nest.extent[axis] / loop.step;
  const int64_t tail = nest.extent[axis] % loop.step;
  auto body = [&] {
    const int variable = variables_.add({0, std::max<int64_t>(full - 1, 0)});
    variable_values_[variable] = task_index_[level];
    iteration(nest, level, full == 1 ? nest.base[axis] : nest.base[axis] + Index::variable(variable) * loop.step,
              loop.step, true);
  };
  auto rest = [&] { iteration(nest, level, nest.base[axis] + Index(full * loop.step), tail, true); };
  if (tail == 0) return body();
  if (full == 0) return rest();
  auto* yes = llvm::BasicBlock::Create(context_, "full", function_);
  auto* no = llvm::BasicBlock::Create(context_, "tail", function_);
  auto* done = llvm::BasicBlock::Create(context_, "joined", function_);
  b_.CreateCondBr(b_.CreateICmpSLT(task_index_[level], b_.getInt64(static_cast<uint64_t>(full))), yes, no);
  b_.SetInsertPoint(yes);
  body();
  b_.CreateBr(done);
  b_.SetInsertPoint(no);
  rest();
  b_.CreateBr(done);
  b_.SetInsertPoint(done);
}

void Emitter::vector_loop(Nest nest, size_t level) {
  const auto& all = loops(nest);
  const auto axis = static_cast<size_t>(all[level].axis);
  const int64_t extent = nest.extent[axis];
  const bool reduces = !is_spatial(stage(nest), all[level]);
  RT_CHECK(extent <= 64, "a vector of {} elements in stage {}", extent, stage(nest).name);
  // Lanes that a reduction folds keep the nominal width, so that its accumulator is one vector throughout.
  nest.lanes = reduces ? std::max(nest.local_lanes, power_of_two(extent)) : power_of_two(extent);
  nest.lane_limit = static_cast<int>(extent);
  variables_.set_range(Variables::kLane, {0, nest.lanes - 1});
  iteration(nest, level, nest.base[axis] + Index::variable(Variables::kLane), 1, true);
  variables_.set_range(Variables::kLane, {0, 0});
}

void Emitter::iteration(Nest nest, size_t level, const Index& corner, int64_t extent, bool first_iteration) {
  const auto axis = static_cast<size_t>(loops(nest)[level].axis);
  nest.base[axis] = corner;
  nest.extent[axis] = extent;
  std::vector<Index> branch_on;
  if (!settle(nest, branch_on)) return;
  guarded(branch_on, [&] {
    if (nest.mode == Nest::Mode::compute) {
      bool any = false;
      for (int s : attached_[static_cast<size_t>(nest.stage)])
        any = any || schedule_.stages[static_cast<size_t>(s)].at_loop == static_cast<int>(level);
      if (any) emit_attached(nest, level, first_iteration);
      prefetch(nest, level);
    }
    walk(nest, level + 1);
  });
}

}  // namespace rooftune::codegen
