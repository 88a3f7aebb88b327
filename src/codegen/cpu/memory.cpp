// Addresses, loads, stores and types.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "codegen/cpu/emitter.h"
#include "ir/tensor.h"

namespace rooftune::codegen {

Index Emitter::address(const Place& place, const std::vector<Index>& index) const {
  const auto range_of = variables_.range_of();
  std::vector<Index> local;
  for (size_t d = 0; d < index.size(); ++d) {
    Index e = simplify(index[d] - place.base[d], range_of);
    if (static_cast<int>(d) == place.slide_dim) e = mod(e, place.ring, range_of);
    local.push_back(e);
  }
  return place.layout.linearize(local, range_of, place.shape);
}

/// base + offset elements. What varies at run time and what is constant are kept apart, so that the constant becomes a
/// displacement and neighbouring accesses share one register.
llvm::Value* Emitter::pointer_to(llvm::Value* base, ir::DType type, const Index& offset) {
  auto* element = memory_type(type);
  const Index varying = offset - Index(offset.constant());
  auto& cached = pointers_[{base, varying}];
  if (cached.first == nullptr || cached.second != b_.GetInsertBlock())
    cached = {varying.is_constant() ? base : b_.CreateInBoundsGEP(element, base, emit_index(varying)),
              b_.GetInsertBlock()};
  if (offset.constant() == 0) return cached.first;
  return b_.CreateConstInBoundsGEP1_64(element, cached.first, static_cast<uint64_t>(offset.constant()));
}

std::vector<Index> Emitter::lane_addresses(const Index& offset, int lanes) const {
  std::vector<Index> result;
  for (int lane = 0; lane < lanes; ++lane)
    result.push_back(
        simplify(offset.substitute([&](int v) { return v == Variables::kLane ? Index(lane) : Index::variable(v); }),
                 variables_.range_of()));
  return result;
}

namespace {

bool consecutive(const std::vector<Index>& addresses) {
  for (size_t i = 1; i < addresses.size(); ++i) {
    const Index step = addresses[i] - addresses[i - 1];
    if (!step.is_constant() || step.constant() != 1) return false;
  }
  return true;
}

}  // namespace

Lanes Emitter::load(int buffer, const std::vector<Index>& index, int lanes, llvm::Value* mask, double otherwise) {
  const Place& place = places_[static_cast<size_t>(buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(buffer)].dtype;
  const llvm::Align align(std::max<uint64_t>(1, ir::byte_size(type, 1)));
  const Index offset = address(place, index);
  const bool varies = offset.uses(Variables::kLane);
  const bool vector_mask = mask != nullptr && mask->getType()->isVectorTy();
  const auto key = std::make_tuple(buffer, varies ? lanes : 1, offset);
  if (mask == nullptr || (!varies && vector_mask)) {
    auto found = loaded_.find(key);
    if (found != loaded_.end() && found->second.block == b_.GetInsertBlock()) return found->second.value;
  }
  auto scalar = [&](const Index& at, llvm::Value* condition) -> llvm::Value* {
    auto* pointer = pointer_to(place.pointer, type, at);
    if (condition != nullptr) pointer = b_.CreateSelect(condition, pointer, place.pointer);
    auto* access = b_.CreateAlignedLoad(memory_type(type), pointer, align);
    tag(access, buffer);
    auto* value = from_memory(type, access);
    return condition != nullptr ? b_.CreateSelect(condition, value, number(type, otherwise)) : value;
  };
  Lanes result;
  if (!varies && !vector_mask) {
    result = {scalar(offset, mask), 1};
  } else if (!varies) {
    // Lanes differ in whether they take it, not in what they take; some lane does, so the address is good.
    llvm::Value* any = b_.CreateOrReduce(mask);
    return {b_.CreateSelect(mask, splat({scalar(offset, any), 1}, lanes), number(type, otherwise, lanes)), lanes};
  } else {
    const bool linear = !offset.appears_inside(Variables::kLane);
    const int64_t stride = linear ? offset.coefficient(Variables::kLane) : 0;
    const auto addresses = linear && stride == 1 ? std::vector<Index>{} : lane_addresses(offset, lanes);
    if ((linear && stride == 1) || (!linear && consecutive(addresses))) {
      const Index start = linear ? offset - Index::variable(Variables::kLane) : addresses[0];
      auto* pointer = pointer_to(place.pointer, type, start);
      llvm::Instruction* access = nullptr;
      if (mask != nullptr) {
        auto* value_otherwise = to_memory(type, number(type, otherwise, lanes));
        access = b_.CreateMaskedLoad(memory_type(type, lanes), pointer, align,
                                     splat({mask, vector_mask ? lanes : 1}, lanes), value_otherwise);
      } else {
        access = b_.CreateAlignedLoad(memory_type(type, lanes), pointer, align);
      }
      tag(access, buffer);
      result = {from_memory(type, access), lanes};
    } else {
      llvm::Value* v = llvm::PoisonValue::get(llvm_type(type, lanes));
      for (int lane = 0; lane < lanes; ++lane) {
        llvm::Value* condition = mask;
        if (vector_mask) condition = b_.CreateExtractElement(mask, static_cast<uint64_t>(lane));
        v = b_.CreateInsertElement(v, scalar(addresses[static_cast<size_t>(lane)], condition),
                                   static_cast<uint64_t>(lane));
      }
      result = {v, lanes};
    }
  }
  if (mask == nullptr) loaded_[key] = {result, b_.GetInsertBlock()};
  return result;
}

void Emitter::store(int buffer, const std::vector<Index>& index, Lanes value, int lanes, llvm::Value* mask) {
  const Place& place = places_[static_cast<size_t>(buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(buffer)].dtype;
  const llvm::Align align(std::max<uint64_t>(1, ir::byte_size(type, 1)));
  std::erase_if(loaded_, [&](const auto& entry) { return std::get<0>(entry.first) == buffer; });
  const Index offset = address(place, index);
  const bool vector_mask = mask != nullptr && mask->getType()->isVectorTy();
  auto scalar = [&](const Index& at, llvm::Value* v, llvm::Value* condition) {
    auto write = [&] {
      tag(b_.CreateAlignedStore(to_memory(type, v), pointer_to(place.pointer, type, at), align), buffer);
    };
    if (condition == nullptr) return write();
    auto* then = llvm::BasicBlock::Create(context_, "store", function_);
    auto* done = llvm::BasicBlock::Create(context_, "stored", function_);
    b_.CreateCondBr(condition, then, done);
    b_.SetInsertPoint(then);
    write();
    b_.CreateBr(done);
    b_.SetInsertPoint(done);
  };
  if (lanes == 1) return scalar(offset, value.value, mask);
  RT_CHECK(offset.uses(Variables::kLane), "a vector's lanes are stored to one place");
  auto* vector = splat(value, lanes);
  const bool linear = !offset.appears_inside(Variables::kLane);
  const auto addresses =
      linear && offset.coefficient(Variables::kLane) == 1 ? std::vector<Index>{} : lane_addresses(offset, lanes);
  if (addresses.empty() || consecutive(addresses)) {
    const Index start = addresses.empty() ? offset - Index::variable(Variables::kLane) : addresses[0];
    auto* pointer = pointer_to(place.pointer, type, start);
    auto* memory = to_memory(type, vector);
    llvm::Instruction* access = nullptr;
    if (mask != nullptr)
      access = b_.CreateMaskedStore(memory, pointer, align, splat({mask, vector_mask ? lanes : 1}, lanes));
    else access = b_.CreateAlignedStore(memory, pointer, align);
    tag(access, buffer);
    return;
  }
  for (int lane = 0; lane < lanes; ++lane) {
    llvm::Value* condition = mask;
    if (vector_mask) {
      condition = b_.CreateExtractElement(mask, static_cast<uint64_t>(lane));
      if (auto* constant = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
        if (constant->isZero()) continue;
        condition = nullptr;
      }
    }
    scalar(addresses[static_cast<size_t>(lane)], b_.CreateExtractElement(vector, static_cast<uint64_t>(lane)),
           condition);
  }
}

/// One instruction for each cache line of what the turn of this loop will read further along.
void Emitter::prefetch(const Nest& nest, size_t level) {
  constexpr int64_t kLineBytes = 64, kMostLines = 64;
  for (const auto& p : schedule_.prefetch) {
    if (p.stage != nest.stage || p.loop != static_cast<int>(level)) continue;
    const Place& place = places_[static_cast<size_t>(p.buffer)];
    const DType type = kernel_.buffers[static_cast<size_t>(p.buffer)].dtype;
    Region ahead{nest.base, nest.extent}, read;
    ahead.base[static_cast<size_t>(p.axis)] = ahead.base[static_cast<size_t>(p.axis)] + Index(p.distance);
    add_reads(kernel_, stage(nest), ahead, p.buffer, variables_, read);
    if (read.extent.empty() || place.layout.axes().empty()) continue;
    const int64_t line_elements = kLineBytes / static_cast<int64_t>(ir::byte_size(type, 1));
    std::vector<int64_t> step(read.extent.size(), 1), at(read.extent.size(), 0);
    int64_t left = line_elements;  // of a line, beyond what the innermost axes hold
    const auto& axes = place.layout.axes();
    for (size_t i = axes.size(); i-- > 0 && left > 1;) {
      auto& covered = step[static_cast<size_t>(axes[i].dim)];
      const int64_t taken = std::min(axes[i].extent, left);
      if (axes[i].divisor != covered || axes[i].pad != 0) break;
      covered *= taken, left /= taken;
      if (taken < axes[i].extent) break;
    }
    int64_t lines = 1;
    for (size_t d = 0; d < step.size(); ++d) lines *= (read.extent[d] + step[d] - 1) / step[d];
    auto ask_for = [&](const Index& element, int locality) {
      // Never what lies beyond: another thread may be writing there, and would have to fetch its lines again and again.
      const auto range = kernel_.buffers[static_cast<size_t>(p.buffer)].role == kernel::Role::constant
                             ? kernel::Range{0, 0}  // which nobody writes, nor what lies behind it
                             : element.range(variables_.range_of());
      llvm::Value* offset = emit_index(element);
      if (range.lo < 0) offset = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, offset, b_.getInt64(0));
      if (range.hi >= place.layout.size())
        offset = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, offset,
                                          b_.getInt64(static_cast<uint64_t>(place.layout.size() - 1)));
      auto* pointer = b_.CreateGEP(memory_type(type), place.pointer, offset);
      b_.CreateIntrinsic(llvm::Intrinsic::prefetch, {pointer->getType()},
                         {pointer, b_.getInt32(0), b_.getInt32(static_cast<uint32_t>(locality)), b_.getInt32(1)});
    };
    if (p.shared >= 0) {
      // This turn's part of what lies together, as constants that are packed do. One part follows the other through all
      // turns of both loops: the processor's own prefetchers see a stream and run ahead of it.
      const auto range_of = variables_.range_of();
      const auto& all = loops(nest);
      const auto along = static_cast<size_t>(all[level].axis);
      int64_t walked = stage(nest).axes[along].extent;
      for (size_t i = 0; i < level; ++i)
        if (all[i].axis == all[level].axis) walked = std::min(walked, all[i].step);
      const int64_t rounds = (walked + all[level].step - 1) / all[level].step;
      const Index round = floordiv(mod(nest.base[along], walked, range_of), all[level].step, range_of);
      const Index turn =
          mod(floordiv(nest.base[static_cast<size_t>(p.shared)], p.shared_step, range_of), p.turns, range_of);
      const int64_t part = (lines + p.turns - 1) / p.turns;
      const Index first = address(place, read.base) - round * (lines * line_elements) +
                          (turn * rounds + round) * (part * line_elements);
      for (int64_t line = 0; line < std::min(part, kMostLines); ++line) ask_for(first + Index(line * line_elements), 2);
      continue;
    }
    for (int64_t line = 0; line < std::min(lines, kMostLines); ++line) {
      std::vector<Index> index;
      for (size_t d = 0; d < at.size(); ++d) index.push_back(read.base[d] + Index(at[d]));
      ask_for(address(place, index), 3);
      for (size_t d = at.size(); d-- > 0;) {
        at[d] += step[d];
        if (at[d] < read.extent[d]) break;
        at[d] = 0;
      }
    }
  }
}

llvm::Value* Emitter::emit_index(const Index& index) {
  llvm::Value* sum = nullptr;
  for (const auto& term : index.terms()) {
    llvm::Value* v = nullptr;
    if (term.kind == Index::Term::Kind::variable) {
      auto found = variable_values_.find(term.variable);
      RT_CHECK(found != variable_values_.end(), "index variable {} has no value here", term.variable);
      v = found->second;
    } else {
      // Operands are shifted to be non-negative, where truncating and flooring division agree.
      Index argument = *term.argument;
      const auto range = argument.range(variables_.range_of());
      int64_t shift = 0;
      if (range.lo < 0) shift = (-range.lo + term.divisor - 1) / term.divisor;
      auto* a = emit_index(argument + Index(shift * term.divisor));
      auto* d = b_.getInt64(static_cast<uint64_t>(term.divisor));
      v = term.kind == Index::Term::Kind::floordiv
              ? b_.CreateSub(b_.CreateUDiv(a, d), b_.getInt64(static_cast<uint64_t>(shift)))
              : b_.CreateURem(a, d);
    }
    if (term.coefficient != 1)
      v = b_.CreateMul(v, b_.getInt64(static_cast<uint64_t>(term.coefficient)), "", true, true);
    sum = sum == nullptr ? v : b_.CreateAdd(sum, v, "", false, true);
  }
  auto* constant = b_.getInt64(static_cast<uint64_t>(index.constant()));
  if (sum == nullptr) return constant;
  return index.constant() == 0 ? sum : b_.CreateAdd(sum, constant);
}

llvm::Value* Emitter::emit_lane_index(const Index& index, int lanes) {
  if (!index.appears_inside(Variables::kLane)) {
    const int64_t c = index.coefficient(Variables::kLane);
    auto* base = splat({emit_index(index - Index::variable(Variables::kLane) * c), 1}, lanes);
    std::vector<llvm::Constant*> steps;
    for (int i = 0; i < lanes; ++i) steps.push_back(b_.getInt64(static_cast<uint64_t>(i * c)));
    return b_.CreateAdd(base, llvm::ConstantVector::get(steps));
  }
  llvm::Value* v = llvm::PoisonValue::get(llvm::FixedVectorType::get(b_.getInt64Ty(), static_cast<unsigned>(lanes)));
  const auto each = lane_addresses(index, lanes);
  for (int i = 0; i < lanes; ++i)
    v = b_.CreateInsertElement(v, emit_index(each[static_cast<size_t>(i)]), static_cast<uint64_t>(i));
  return v;
}

llvm::Value* Emitter::splat(Lanes v, int lanes) {
  return lanes == v.lanes ? v.value : b_.CreateVectorSplat(static_cast<unsigned>(lanes), v.value);
}

llvm::Type* Emitter::llvm_type(ir::DType type, int lanes) {
  llvm::Type* t = nullptr;
  switch (type) {
    case ir::DType::f32: t = b_.getFloatTy(); break;
    case ir::DType::f64: t = b_.getDoubleTy(); break;
    case ir::DType::f16:
    case ir::DType::bf16: t = b_.getInt16Ty(); break;
    case ir::DType::boolean: t = b_.getInt1Ty(); break;
    default:
      RT_CHECK(ir::is_integer(type) && ir::bit_width(type) >= 8, "no code for type {}", ir::name(type));
      t = b_.getIntNTy(static_cast<unsigned>(ir::bit_width(type)));
  }
  return lanes == 1 ? t : llvm::FixedVectorType::get(t, static_cast<unsigned>(lanes));
}

llvm::Type* Emitter::memory_type(ir::DType type, int lanes) {
  return llvm_type(type == ir::DType::boolean ? ir::DType::u8 : type, lanes);
}

llvm::Value* Emitter::to_memory(ir::DType type, llvm::Value* value) {
  if (type != ir::DType::boolean) return value;
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return b_.CreateZExt(value, memory_type(type, vector ? static_cast<int>(vector->getNumElements()) : 1));
}

llvm::Value* Emitter::from_memory(ir::DType type, llvm::Value* value) {
  return type == ir::DType::boolean ? b_.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType())) : value;
}

llvm::Value* Emitter::number(ir::DType type, double value, int lanes) {
  auto* t = llvm_type(type);
  llvm::Constant* c = nullptr;
  if (type == ir::DType::f16) c = llvm::ConstantInt::get(t, ir::f32_to_f16(static_cast<float>(value)));
  else if (type == ir::DType::bf16) c = llvm::ConstantInt::get(t, ir::f32_to_bf16(static_cast<float>(value)));
  else if (ir::is_float(type)) c = llvm::ConstantFP::get(t, value);
  else if (ir::is_signed(type)) c = llvm::ConstantInt::getSigned(t, static_cast<int64_t>(value));
  else c = llvm::ConstantInt::get(t, static_cast<uint64_t>(value));
  return lanes == 1 ? c : llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(static_cast<unsigned>(lanes)), c);
}

llvm::Value* Emitter::identity(kernel::Reduction reduction, ir::DType type, int lanes) {
  auto* t = llvm_type(type, lanes);
  const bool max = reduction == kernel::Reduction::max;
  switch (reduction) {
    case kernel::Reduction::none:
    case kernel::Reduction::sum: return llvm::Constant::getNullValue(t);
    case kernel::Reduction::product: return number(type, 1, lanes);
    default: break;
  }
  if (ir::is_float(type)) return llvm::ConstantFP::getInfinity(t, max);
  const auto bits = static_cast<unsigned>(t->getScalarSizeInBits());
  const bool is_signed = ir::is_signed(type);
  const llvm::APInt extreme = max ? (is_signed ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getMinValue(bits))
                                  : (is_signed ? llvm::APInt::getSignedMaxValue(bits) : llvm::APInt::getMaxValue(bits));
  return llvm::ConstantInt::get(t, extreme);
}

llvm::AllocaInst* Emitter::allocate_stack(llvm::Type* element, int64_t count) {
  llvm::IRBuilder<> at(entry_, entry_->begin());
  auto* slot = at.CreateAlloca(llvm::ArrayType::get(element, static_cast<uint64_t>(count)));
  slot->setAlignment(llvm::Align(64));
  return slot;
}

void Emitter::tag(llvm::Instruction* access, int buffer) {
  access->setMetadata(llvm::LLVMContext::MD_tbaa, buffer_tags_[static_cast<size_t>(buffer)]);
}

}  // namespace rooftune::codegen
