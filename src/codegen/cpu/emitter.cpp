#include "codegen/cpu/emitter.h"

#include <algorithm>

#include <llvm/IR/IntrinsicsX86.h>

#include "base/error.h"
#include "kernel/analysis.h"
#include "kernel/nodes.h"

namespace rooftune::codegen {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kStackLimit = 4096;  // larger temporaries live in the thread's scratch

size_t aligned(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

Emitter::Emitter(llvm::Module& module, const kernel::Kernel& kernel, const kernel::Schedule& schedule,
                 const CpuTarget& target, std::string prefix)
    : module_(module),
      context_(module.getContext()),
      b_(module.getContext()),
      kernel_(kernel),
      schedule_(schedule),
      target_(target),
      extensions_(used_extensions(kernel, schedule, target)),
      prefix_(std::move(prefix)) {
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    in_words_.push_back(
        kernel::loops_in_words(schedule.stages[s].loops, kernel::dot_operands(kernel, kernel.stages[s]).width));
  llvm::MDNode* root = llvm::MDNode::get(context_, {llvm::MDString::get(context_, prefix_)});
  for (const auto& p : kernel_.parameters) variables_.add_parameter({p.min(), p.max()});
  for (const auto& buffer : kernel_.buffers) {
    llvm::Metadata* parts[] = {
        llvm::MDString::get(context_, buffer.name), root,
        llvm::ConstantAsMetadata::get(llvm::ConstantInt::get(llvm::Type::getInt64Ty(context_), 0))};
    llvm::MDNode* type = llvm::MDNode::get(context_, parts);
    llvm::Metadata* access[] = {type, type, parts[2]};
    buffer_tags_.push_back(llvm::MDNode::get(context_, access));
  }
}

/// Whether the stage, or one computed inside it, has an axis that ends early or another use of a parameter.
bool Emitter::needs_parameters(int s) const {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  const auto& inside = attached_[static_cast<size_t>(s)];
  return std::any_of(stage.axes.begin(), stage.axes.end(), [](const auto& a) { return a.live >= 0; }) ||
         kernel::uses_parameters(stage) ||
         std::any_of(inside.begin(), inside.end(), [&](int i) { return needs_parameters(i); });
}

void Emitter::plan_storage() {
  const size_t buffers = kernel_.buffers.size();
  result_.layouts.resize(buffers);
  result_.buffer_bytes.resize(buffers, 0);
  workspace_offset_.assign(buffers, 0);
  prepared_.assign(buffers, false);
  attached_.assign(kernel_.stages.size(), {});
  for (size_t i = 0; i < buffers; ++i) {
    const auto& buffer = kernel_.buffers[i];
    result_.layouts[i] = buffer.layout.axes().empty() ? kernel::Layout::row_major(buffer.shape) : buffer.layout;
  }
  for (const auto& [buffer, layout] : schedule_.prepared) result_.layouts[static_cast<size_t>(buffer)] = layout;
  for (size_t s = 0; s < kernel_.stages.size(); ++s) {
    const auto& plan = schedule_.stages[s];
    const auto& stage = kernel_.stages[s];
    const auto out = static_cast<size_t>(stage.buffer);
    if (plan.at_stage >= 0) {
      attached_[static_cast<size_t>(plan.at_stage)].push_back(static_cast<int>(s));
      continue;
    }
    if (kernel_.buffers[out].role != kernel::Role::temporary) continue;
    if (!plan.layout.axes().empty()) result_.layouts[out] = kernel::fitted(plan.layout, kernel_.buffers[out].shape);
    // A root stage that reads nothing but constants (or what came of them) is computed once.
    bool constant = !needs_parameters(static_cast<int>(s));
    for (const auto& node : stage.nodes)
      if (node.op == kernel::Op::load)
        constant = constant && (kernel_.buffers[static_cast<size_t>(node.buffer)].role == kernel::Role::constant ||
                                prepared_[static_cast<size_t>(node.buffer)]);
    const bool first = kernel::writers(kernel_, stage.buffer).front() == static_cast<int>(s);
    prepared_[out] = constant && (first || prepared_[out]);
  }
  size_t workspace = 0;
  for (size_t i = 0; i < buffers; ++i) {
    const auto& buffer = kernel_.buffers[i];
    result_.buffer_bytes[i] = ir::byte_size(buffer.dtype, static_cast<size_t>(result_.layouts[i].size()));
    if (buffer.role != kernel::Role::temporary) continue;
    bool at_root = false;
    for (size_t s = 0; s < kernel_.stages.size(); ++s)
      at_root = at_root || (kernel_.stages[s].buffer == static_cast<int>(i) && schedule_.stages[s].at_stage < 0);
    if (!at_root) continue;
    if (prepared_[i]) {
      result_.prepared_buffers.push_back(static_cast<int>(i));
    } else {
      workspace_offset_[i] = workspace;
      workspace += aligned(result_.buffer_bytes[i]);
    }
  }
  result_.workspace_bytes = workspace;
}

CompiledKernel Emitter::emit() {
  result_.name = kernel_.name;
  result_.parameters = static_cast<int>(kernel_.parameters.size());
  plan_storage();
  for (size_t s = 0; s < kernel_.stages.size(); ++s) {
    if (schedule_.stages[s].at_stage >= 0) continue;
    Phase phase = emit_phase(static_cast<int>(s), prefix_ + "_" + std::to_string(s));
    (prepared_[static_cast<size_t>(kernel_.stages[s].buffer)] ? result_.prepare_phases : result_.phases)
        .push_back(phase);
  }
  for (const auto& [buffer, slot] : scratch_)
    result_.scratch_bytes = std::max(result_.scratch_bytes, slot.first + slot.second);
  return result_;
}

Phase Emitter::emit_phase(int stage, const std::string& symbol) {
  Phase phase{symbol, 1, {}};
  auto* pointer = b_.getPtrTy();
  auto* i64 = b_.getInt64Ty();
  function_ =
      llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), {pointer, pointer, pointer, i64, i64}, false),
                             llvm::Function::ExternalLinkage, symbol, module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  function_->addFnAttr("target-cpu", target_.cpu);
  if (!target_.tune.empty()) function_->addFnAttr("tune-cpu", target_.tune);
  std::string features = target_.features;
  for (const auto& extension : extensions_) features += fmt::format("{}+{}", features.empty() ? "" : ",", extension);
  function_->addFnAttr("target-features", features);
  function_->addFnAttr("prefer-vector-width", std::to_string(target_.vector_bits));
  function_->addFnAttr("min-legal-vector-width", std::to_string(target_.vector_bits));
  if (target_.arm() && target_.vector_bits > 128) {  // scalable registers, of which we know the size
    const auto granules = static_cast<unsigned>(target_.vector_bits / 128);
    function_->addFnAttr(llvm::Attribute::getWithVScaleRangeArgs(context_, granules, granules));
  }
  for (unsigned i : {1u, 2u}) function_->addParamAttr(i, llvm::Attribute::NoAlias);
  loaded_.clear();
  pointers_.clear();
  variable_values_.clear();
  task_index_.clear();
  tile_shapes_.clear();
  tile_copies_.fill(nullptr);
  entry_ = llvm::BasicBlock::Create(context_, "entry", function_);
  b_.SetInsertPoint(entry_);
  workspace_pointer_ = function_->getArg(1);
  scratch_pointer_ = function_->getArg(2);
  places_.assign(kernel_.buffers.size(), {});
  for (size_t i = 0; i < places_.size(); ++i) {
    auto& place = places_[i];
    place.layout = result_.layouts[i];
    place.shape = kernel_.buffers[i].shape;
    place.base.assign(kernel_.buffers[i].shape.size(), Index(0));
    if (kernel_.buffers[i].role != kernel::Role::temporary || prepared_[i]) {
      auto* slot = b_.CreateConstInBoundsGEP1_64(pointer, function_->getArg(0), i);
      auto* load = b_.CreateLoad(pointer, slot, kernel_.buffers[i].name);
      load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
      place.pointer = load;
    } else {
      place.pointer = b_.CreateConstInBoundsGEP1_64(b_.getInt8Ty(), workspace_pointer_, workspace_offset_[i]);
    }
  }
  if (needs_parameters(stage)) {
    auto* slot = b_.CreateConstInBoundsGEP1_64(pointer, function_->getArg(0), kernel_.buffers.size());
    auto* parameters = b_.CreateLoad(pointer, slot, "parameters");
    for (size_t p = 0; p < kernel_.parameters.size(); ++p)
      variable_values_[variables_.of_parameter(kernel::kParameterVariable + static_cast<int>(p))] =
          b_.CreateLoad(i64, b_.CreateConstInBoundsGEP1_64(i64, parameters, p), kernel_.parameters[p].to_string());
  }
  // The leading parallel loops are one loop over tasks.
  const auto& plan = schedule_.stages[static_cast<size_t>(stage)];
  const auto& axes = kernel_.stages[static_cast<size_t>(stage)].axes;
  std::vector<llvm::Value*> counts;
  std::vector<int64_t> rest;
  for (const auto& axis : axes) rest.push_back(axis.extent);
  for (const auto& loop : plan.loops) {
    if (loop.kind != kernel::LoopKind::parallel) break;
    const auto& axis = axes[static_cast<size_t>(loop.axis)];
    auto& extent = rest[static_cast<size_t>(loop.axis)];
    const int64_t most = (extent + loop.step - 1) / loop.step;
    counts.push_back(b_.getInt64(static_cast<uint64_t>(most)));
    if (axis.live >= 0 && extent == axis.extent) {  // of nested loops over an axis only the outermost ends early
      phase.live.push_back({most, loop.step, axis.live});
      auto* turns = b_.CreateUDiv(emit_index(live_of(axis) + Index(loop.step - 1)),
                                  b_.getInt64(static_cast<uint64_t>(loop.step)));
      counts.back() = b_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, turns, counts.back());
    }
    extent = loop.step;
    phase.tasks *= most;
  }
  auto* body = llvm::BasicBlock::Create(context_, "task", function_);
  auto* exit = llvm::BasicBlock::Create(context_, "exit", function_);
  b_.CreateCondBr(b_.CreateICmpSLT(function_->getArg(3), function_->getArg(4)), body, exit);
  b_.SetInsertPoint(body);
  auto* task = b_.CreatePHI(i64, 2, "task");
  task->addIncoming(function_->getArg(3), entry_);
  for (size_t i = 0; i < counts.size(); ++i) {
    llvm::Value* inner = b_.getInt64(1);
    for (size_t j = i + 1; j < counts.size(); ++j) inner = b_.CreateMul(inner, counts[j]);
    llvm::Value* index = inner == b_.getInt64(1) ? task : b_.CreateUDiv(task, inner);
    if (i > 0) index = b_.CreateURem(index, counts[i]);
    task_index_.push_back(index);
  }
  Region whole;
  for (const auto& axis : axes) {
    whole.base.emplace_back(0);
    whole.extent.push_back(axis.extent);
  }
  Nest nest{stage, whole.base, whole.extent, kernel_.stages[static_cast<size_t>(stage)].where};
  add_live_conditions(nest);
  std::vector<Index> branch_on;
  if (settle(nest, branch_on)) guarded(branch_on, [&] { walk(nest, 0); });
  auto* next = b_.CreateAdd(task, b_.getInt64(1));
  task->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, function_->getArg(4)), body, exit);
  b_.SetInsertPoint(exit);
  if (!tile_shapes_.empty()) b_.CreateIntrinsic(llvm::Intrinsic::x86_tilerelease, {}, {});
  b_.CreateRetVoid();
  return phase;
}

Region Emitter::region_of(int producer, const Nest& nest, const std::map<int, Region>& later) {
  const int buffer = kernel_.stages[static_cast<size_t>(producer)].buffer;
  Region needed;
  add_reads(kernel_, stage(nest), Region{nest.base, nest.extent}, buffer, variables_, needed);
  for (const auto& [consumer, region] : later) {
    const auto& reader = kernel_.stages[static_cast<size_t>(consumer)];
    Region axes = region;
    for (size_t a = axes.base.size(); a < reader.axes.size(); ++a) {
      axes.base.emplace_back(0);
      axes.extent.push_back(reader.axes[a].extent);
    }
    add_reads(kernel_, reader, axes, buffer, variables_, needed);
  }
  for (auto& e : needed.extent) e = std::max<int64_t>(e, 1);
  return needed;
}

void Emitter::emit_attached(const Nest& nest, size_t level, bool first_iteration) {
  // Every stage computed at this loop or deeper inside it takes part in the question what is needed; those of this
  // very loop are emitted.
  std::vector<int> inside;
  for (size_t s = 0; s < kernel_.stages.size(); ++s) {
    int at = static_cast<int>(s);
    while (at >= 0) {
      const auto& plan = schedule_.stages[static_cast<size_t>(at)];
      if (plan.at_stage == nest.stage && plan.at_loop >= static_cast<int>(level)) {
        inside.push_back(static_cast<int>(s));
        break;
      }
      at = plan.at_stage;
    }
  }
  std::map<int, Region> regions;
  for (size_t i = inside.size(); i-- > 0;) regions[inside[i]] = region_of(inside[i], nest, regions);
  for (int s : inside) {
    const auto& plan = schedule_.stages[static_cast<size_t>(s)];
    if (plan.at_stage != nest.stage || plan.at_loop != static_cast<int>(level)) continue;
    Region region = regions[s];
    places_[static_cast<size_t>(kernel_.stages[static_cast<size_t>(s)].buffer)] = make_local(s, region);
    if (plan.slide_axis >= 0 && !first_iteration) {
      // Only what the window newly reaches: it moves by the loop's step times the consumer's stride.
      const auto d = static_cast<size_t>(plan.slide_axis);
      Nest before = nest;
      const auto& loop = loops(nest)[level];
      before.base[static_cast<size_t>(loop.axis)] = before.base[static_cast<size_t>(loop.axis)] - Index(loop.step);
      std::map<int, Region> previous;
      for (size_t i = inside.size(); i-- > 0;) previous[inside[i]] = region_of(inside[i], before, previous);
      const Index moved = region.base[d] - previous[s].base[d];
      RT_CHECK(moved.is_constant() && moved.constant() >= 0, "sliding window does not move evenly");
      const int64_t fresh = std::min(moved.constant(), region.extent[d]);
      region.base[d] = region.base[d] + Index(region.extent[d] - fresh);
      region.extent[d] = fresh;
    }
    emit_stage(s, region);
  }
}

Place Emitter::make_local(int s, const Region& region) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  const auto& plan = schedule_.stages[static_cast<size_t>(s)];
  const auto& buffer = kernel_.buffers[static_cast<size_t>(stage.buffer)];
  Place place;
  place.layout = kernel::fitted(plan.layout, region.extent);
  place.shape = region.extent;
  place.base = region.base;
  if (plan.slide_axis >= 0) {
    place.slide_dim = plan.slide_axis;
    place.ring = region.extent[static_cast<size_t>(plan.slide_axis)];
    place.base[static_cast<size_t>(plan.slide_axis)] = Index(0);
  }
  const int64_t elements = place.layout.size();
  const size_t bytes = aligned(ir::byte_size(buffer.dtype, static_cast<size_t>(elements)));
  if (bytes <= kStackLimit && plan.slide_axis < 0) {
    place.pointer = allocate_stack(memory_type(buffer.dtype), elements);
    return place;
  }
  auto& slot = scratch_[stage.buffer];
  if (slot.second < bytes) {
    size_t end = 0;
    for (const auto& [other, used] : scratch_) end = std::max(end, used.first + used.second);
    slot = {end, bytes};
  }
  place.pointer = b_.CreateConstInBoundsGEP1_64(b_.getInt8Ty(), scratch_pointer_, slot.first);
  return place;
}

void Emitter::emit_stage(int s, const Region& region) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  Nest nest{s, region.base, region.extent, stage.where};
  const auto& shape = kernel_.buffers[static_cast<size_t>(stage.buffer)].shape;
  for (int a = 0; a < stage.spatial; ++a) {  // a window may hang over the edge of what exists
    nest.conditions.push_back(Index::variable(a));
    nest.conditions.push_back(Index(shape[static_cast<size_t>(a)] - 1) - Index::variable(a));
  }
  for (size_t a = static_cast<size_t>(stage.spatial); a < stage.axes.size(); ++a) {
    nest.base.emplace_back(0);
    nest.extent.push_back(stage.axes[a].extent);
  }
  add_live_conditions(nest);
  const auto lane_range = variables_.range(Variables::kLane);
  variables_.set_range(Variables::kLane, {0, 0});
  std::vector<Index> branch_on;
  if (settle(nest, branch_on)) guarded(branch_on, [&] { walk(nest, 0); });
  variables_.set_range(Variables::kLane, lane_range);
}

}  // namespace rooftune::codegen
