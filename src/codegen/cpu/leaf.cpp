// One point (or one vector of points) of a stage: its expression, its reduction, its masks.
#include <llvm/IR/IntrinsicsX86.h>

#include "base/error.h"
#include "codegen/cpu/emitter.h"
#include "kernel/analysis.h"

namespace rooftune::codegen {

using kernel::Op;
using kernel::Reduction;

namespace {

bool is_half(ir::DType type) { return type == ir::DType::f16 || type == ir::DType::bf16; }

}  // namespace

llvm::Value* Emitter::condition_mask(const Nest& nest, const std::vector<Index>& conditions) {
  llvm::Value* mask = nullptr;
  auto add = [&](llvm::Value* m) { mask = both(nest, mask, m); };
  for (const auto& condition : conditions) {
    const Index e = current(nest, condition);
    const auto range = e.range(variables_.range_of());
    if (range.lo >= 0) continue;
    if (e.uses(Variables::kLane)) {
      auto* lanes = emit_lane_index(e, nest.lanes);
      add(b_.CreateICmpSGE(lanes, llvm::Constant::getNullValue(lanes->getType())));
    } else {
      add(b_.CreateICmpSGE(emit_index(e), b_.getInt64(0)));
    }
  }
  return mask;
}

llvm::Value* Emitter::both(const Nest& nest, llvm::Value* a, llvm::Value* b) {
  if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
  const bool vector = a->getType()->isVectorTy() || b->getType()->isVectorTy();
  auto wide = [&](llvm::Value* m) {
    return splat({m, m->getType()->isVectorTy() ? nest.lanes : 1}, vector ? nest.lanes : 1);
  };
  return b_.CreateAnd(wide(a), wide(b));
}

llvm::Value* Emitter::local_pointer(const Nest& nest, ir::DType type) {
  Index offset(0);
  for (size_t a = 0; a < nest.local_base.size(); ++a)
    offset = offset + (nest.base[a] - nest.local_base[a]) * nest.local_stride[a];
  offset = simplify(offset, variables_.range_of());
  offset = offset - Index::variable(Variables::kLane) * offset.coefficient(Variables::kLane);
  return b_.CreateInBoundsGEP(llvm_type(type), nest.local, emit_index(offset));
}

void Emitter::leaf(const Nest& nest) {
  const auto& s = stage(nest);
  const size_t entered = nest.mode == Nest::Mode::compute ? s.axes.size() : static_cast<size_t>(s.spatial);
  for (size_t a = 0; a < entered; ++a)
    RT_CHECK(nest.extent[a] == 1, "no loop covers axis {} of stage {}", s.axes[a].name, s.name);
  std::vector<Index> conditions, of_elements;  // those of a dot loop that differ within a word
  for (const auto& condition : nest.conditions)
    (current(nest, condition).uses(Variables::kDot) ? of_elements : conditions).push_back(condition);
  llvm::Value* mask = condition_mask(nest, conditions);
  if (nest.lane_limit < nest.lanes) {  // a remainder narrower than the vector
    std::vector<llvm::Constant*> bits;
    for (int i = 0; i < nest.lanes; ++i) bits.push_back(b_.getInt1(i < nest.lane_limit));
    llvm::Value* limit = llvm::ConstantVector::get(bits);
    mask = both(nest, mask, limit);
  }
  if (nest.mode != Nest::Mode::compute) return local_leaf(nest, mask);
  if (s.scatters) return scatter_leaf(nest, mask);
  if (nest.dot.width > 0) return dot_leaf(nest, mask, of_elements);
  const DType type = kernel_.buffers[static_cast<size_t>(s.buffer)].dtype;
  RT_CHECK(!s.is_reduction() || !is_half(type), "stage {} reduces in {}", s.name, ir::name(type));
  std::vector<Lanes> done(s.nodes.size());
  const int root = static_cast<int>(s.nodes.size()) - 1;
  if (!s.is_reduction()) {
    Lanes value = evaluate(nest, mask, root, done);
    std::vector<Index> out;
    for (const auto& e : s.out_indices) out.push_back(current(nest, e));
    return store(s.buffer, out, value, nest.lanes, mask);
  }
  auto* pointer = local_pointer(nest, type);
  auto* vector = llvm_type(type, nest.lanes);
  auto* accumulator = b_.CreateAlignedLoad(vector, pointer, llvm::Align(4));
  llvm::Value* next = nullptr;
  const auto& top = s.nodes.back();
  const bool fused = s.reduction == Reduction::sum && top.op == Op::mul && ir::is_float(type) && top.type == type;
  if (fused) {
    auto* a = splat(evaluate(nest, mask, top.a, done), nest.lanes);
    auto* b = splat(evaluate(nest, mask, top.b, done), nest.lanes);
    next = b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {a, b, accumulator});
  } else {
    next = combine(s.reduction, type, accumulator, splat(evaluate(nest, mask, root, done), nest.lanes));
  }
  if (mask != nullptr) next = b_.CreateSelect(mask, next, accumulator);
  b_.CreateAlignedStore(next, pointer, llvm::Align(4));
}

/// Combines with what the buffer holds. What is stored between two points is loaded again: they may have met.
void Emitter::scatter_leaf(const Nest& nest, llvm::Value* mask) {
  const auto& s = stage(nest);
  const DType type = kernel_.buffers[static_cast<size_t>(s.buffer)].dtype;
  std::vector<Lanes> done(s.nodes.size());
  Lanes value = evaluate(nest, mask, static_cast<int>(s.nodes.size()) - 1, done);
  std::vector<Index> out;
  for (size_t d = 0; d < s.out_indices.size(); ++d)
    out.push_back(kernel::node_variables(s.out_indices[d]).empty() ? current(nest, s.out_indices[d]) : nest.target[d]);
  if (s.reduction != Reduction::none) {
    const Lanes old = load(s.buffer, out, nest.lanes, mask, 0);
    value = {combine(s.reduction, type, splat(old, nest.lanes), splat(value, nest.lanes)), nest.lanes};
  }
  store(s.buffer, out, value, nest.lanes, mask);
}

/// Clearing, loading and storing results that wait in memory or in the local array.
void Emitter::local_leaf(const Nest& nest, llvm::Value* mask) {
  const auto& s = stage(nest);
  const DType type = kernel_.buffers[static_cast<size_t>(s.buffer)].dtype;
  std::vector<Index> out;
  for (const auto& e : s.out_indices) out.push_back(current(nest, e));
  if (nest.mode == Nest::Mode::clear) return store(s.buffer, out, {identity(s.reduction, type), 1}, nest.lanes, mask);
  auto* pointer = local_pointer(nest, type);
  // Lanes of a reduction axis are not entered in these modes: an element is then a whole vector of partial results.
  const int partial = nest.lanes == 1 ? nest.local_lanes : 1;
  const int width = std::max(nest.lanes, partial);
  auto* vector = llvm_type(type, width);
  switch (nest.mode) {
    case Nest::Mode::clear_local:
      b_.CreateAlignedStore(identity(s.reduction, type, width), pointer, llvm::Align(4));
      break;
    case Nest::Mode::load_local: {
      llvm::Value* value = splat(load(s.buffer, out, nest.lanes, mask, 0), nest.lanes);
      if (partial > 1) value = b_.CreateInsertElement(identity(s.reduction, type, width), value, uint64_t{0});
      b_.CreateAlignedStore(value, pointer, llvm::Align(4));
      break;
    }
    case Nest::Mode::store_local: {
      llvm::Value* value = b_.CreateAlignedLoad(vector, pointer, llvm::Align(4));
      if (partial > 1) value = reduce_lanes(s.reduction, type, value);
      store(s.buffer, out, {value, nest.lanes}, nest.lanes, mask);
      break;
    }
    default: RT_CHECK(false);
  }
}

llvm::Value* Emitter::combine(Reduction reduction, ir::DType type, llvm::Value* accumulator, llvm::Value* value) {
  if (is_half(type))
    return round_to_half(type,
                         combine(reduction, ir::DType::f32, widen_half(type, accumulator), widen_half(type, value)));
  const bool real = ir::is_float(type);
  switch (reduction) {
    case Reduction::sum: return real ? b_.CreateFAdd(accumulator, value) : b_.CreateAdd(accumulator, value);
    case Reduction::product: return real ? b_.CreateFMul(accumulator, value) : b_.CreateMul(accumulator, value);
    case Reduction::max:
    case Reduction::min: {
      const bool max = reduction == Reduction::max;
      llvm::Value* better = nullptr;
      // A NaN is passed over, as in the interpreter (and by maxps and minps): the accumulator is never one.
      if (real) better = max ? b_.CreateFCmpUGE(accumulator, value) : b_.CreateFCmpULE(accumulator, value);
      else if (ir::is_signed(type))
        better = max ? b_.CreateICmpSGT(accumulator, value) : b_.CreateICmpSLT(accumulator, value);
      else better = max ? b_.CreateICmpUGT(accumulator, value) : b_.CreateICmpULT(accumulator, value);
      return b_.CreateSelect(better, accumulator, value);
    }
    case Reduction::none: break;
  }
  RT_CHECK(false);
}

/// Folds a vector of partial results by halves, in a fixed order.
llvm::Value* Emitter::reduce_lanes(Reduction reduction, ir::DType type, llvm::Value* vector) {
  auto lanes = llvm::cast<llvm::FixedVectorType>(vector->getType())->getNumElements();
  while (lanes > 1) {
    std::vector<int> low, high;
    for (unsigned i = 0; i < lanes / 2; ++i) {
      low.push_back(static_cast<int>(i));
      high.push_back(static_cast<int>(i + lanes / 2));
    }
    vector = combine(reduction, type, b_.CreateShuffleVector(vector, low), b_.CreateShuffleVector(vector, high));
    lanes /= 2;
  }
  return b_.CreateExtractElement(vector, uint64_t{0});
}

Lanes Emitter::evaluate(const Nest& nest, llvm::Value* mask, int n, std::vector<Lanes>& done) {
  auto& result = done[static_cast<size_t>(n)];
  if (result.value != nullptr) return result;
  const auto& s = stage(nest);
  const auto& node = s.nodes[static_cast<size_t>(n)];
  switch (node.op) {
    case Op::constant: result = {number(node.type, node.value), 1}; break;
    case Op::load: result = evaluate_load(nest, mask, node, done); break;
    case Op::index: {
      const Index e = current(nest, node.indices[0]);
      const bool varies = e.uses(Variables::kLane);
      Lanes value{varies ? emit_lane_index(e, nest.lanes) : emit_index(e), varies ? nest.lanes : 1};
      result = cast(value, ir::DType::i64, node.type);
      break;
    }
    case Op::select: {
      Lanes c = evaluate(nest, mask, node.a, done);
      // Known when the code is written (an unrolled axis picks a row): the other branch is not emitted at all.
      if (auto* known = llvm::dyn_cast<llvm::ConstantInt>(c.value)) {
        const Lanes chosen = evaluate(nest, mask, known->isOne() ? node.b : node.c, done);
        return done[static_cast<size_t>(n)] = chosen;
      }
      Lanes x = evaluate(nest, mask, node.b, done);
      Lanes y = evaluate(nest, mask, node.c, done);
      const int lanes = std::max({c.lanes, x.lanes, y.lanes});
      auto* condition = c.lanes == 1 ? c.value : splat(c, lanes);
      result = {b_.CreateSelect(condition, splat(x, lanes), splat(y, lanes)), lanes};
      break;
    }
    case Op::cast:
      if (const auto& rounded = s.nodes[static_cast<size_t>(node.a)];
          node.type == DType::i32 && rounded.op == Op::round && rounded.type == DType::f32) {
        result = nearest(evaluate(nest, mask, rounded.a, done));
        break;
      }
      result = cast(evaluate(nest, mask, node.a, done), s.nodes[static_cast<size_t>(node.a)].type, node.type);
      break;
    default: {
      Lanes a = evaluate(nest, mask, node.a, done);
      Lanes b = node.b >= 0 ? evaluate(nest, mask, node.b, done) : Lanes{};
      Lanes c = node.c >= 0 ? evaluate(nest, mask, node.c, done) : Lanes{};
      result = arithmetic(node, s.nodes[static_cast<size_t>(node.a)].type, a, b, c);
    }
  }
  return done[static_cast<size_t>(n)];
}

Lanes Emitter::evaluate_load(const Nest& nest, llvm::Value* mask, const kernel::ExprNode& node,
                             std::vector<Lanes>& done) {
  std::vector<Index> at;
  const bool vector_mask = mask != nullptr && mask->getType()->isVectorTy();
  std::vector<Lanes> unmasked(vector_mask ? done.size() : 0);
  for (const auto& index : node.indices) {
    at.push_back(simplify(index.substitute([&](int v) -> Index {
      if (v >= kernel::kParameterVariable) return Index::variable(variables_.of_parameter(v));
      if (v < kernel::kNodeVariable) return nest.base[static_cast<size_t>(v)];
      // An index is the same for all lanes, masked or not: it is read where any lane needs it.
      const Lanes value = vector_mask ? evaluate(nest, b_.CreateOrReduce(mask), v - kernel::kNodeVariable, unmasked)
                                      : evaluate(nest, mask, v - kernel::kNodeVariable, done);
      RT_CHECK(value.lanes == 1, "an index read from memory differs between lanes");
      const auto type = stage(nest).nodes[static_cast<size_t>(v - kernel::kNodeVariable)].type;
      const int variable = variables_.add({-(int64_t{1} << 40), int64_t{1} << 40});
      variable_values_[variable] = cast(value, type, ir::DType::i64).value;
      return Index::variable(variable);
    }),
                          variables_.range_of()));
  }
  if (llvm::Value* inside = condition_mask(nest, node.where)) {
    mask = both(nest, mask, inside);
  }
  return load(node.buffer, at, nest.lanes, mask, node.value);
}

/// The processor traps on x / 0 and on the smallest number / -1, and computes in masked lanes, too, where the divisor is
/// whatever lies there. So it divides by 1 in those cases, and the result is what the interpreter gives: x / 0 = 0,
/// x / -1 = -x (wrapping), both without remainder. Of a constant divisor nothing of this is left.
llvm::Value* Emitter::integer_division(bool remainder, bool is_signed, llvm::Value* a, llvm::Value* b) {
  auto* zero = llvm::Constant::getNullValue(a->getType());
  auto* one = llvm::ConstantInt::get(a->getType(), 1);
  auto* by_zero = b_.CreateICmpEQ(b, zero);
  auto* by_minus_one = is_signed ? b_.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(a->getType())) : nullptr;
  auto* safe = b_.CreateSelect(is_signed ? b_.CreateOr(by_zero, by_minus_one) : by_zero, one, b);
  if (!remainder) {
    auto* quotient = is_signed ? b_.CreateSDiv(a, safe) : b_.CreateUDiv(a, safe);
    if (is_signed) quotient = b_.CreateSelect(by_minus_one, b_.CreateNeg(a), quotient);
    return b_.CreateSelect(by_zero, zero, quotient);
  }
  if (!is_signed) return b_.CreateURem(a, safe);
  auto* rest = b_.CreateSRem(a, safe);  // of the dividend's sign, wanted is the divisor's
  auto* fix = b_.CreateAnd(b_.CreateICmpNE(rest, zero), b_.CreateICmpSLT(b_.CreateXor(rest, safe), zero));
  return b_.CreateSelect(fix, b_.CreateAdd(rest, safe), rest);
}

Lanes Emitter::arithmetic(const kernel::ExprNode& node, ir::DType type, Lanes x, Lanes y, Lanes z) {
  if (is_half(type)) {  // computed in f32, and rounded
    kernel::ExprNode wide = node;
    if (is_half(node.type)) wide.type = ir::DType::f32;
    for (Lanes* operand : {&x, &y, &z})
      if (operand->value != nullptr) *operand = cast(*operand, type, ir::DType::f32);
    return cast(arithmetic(wide, ir::DType::f32, x, y, z), wide.type, node.type);
  }
  const int lanes = std::max({x.lanes, y.lanes, z.lanes});
  auto* a = splat(x, lanes);
  auto* b = y.value != nullptr ? splat(y, lanes) : nullptr;
  auto* c = z.value != nullptr ? splat(z, lanes) : nullptr;
  const bool real = ir::is_float(type);
  const bool is_signed = ir::is_signed(type);
  auto intrinsic = [&](llvm::Intrinsic::ID id) { return b_.CreateIntrinsic(id, {a->getType()}, {a}); };
  llvm::FastMathFlags contract;
  contract.setAllowContract(true);
  b_.setFastMathFlags(contract);
  llvm::Value* v = nullptr;
  switch (node.op) {
    case Op::add: v = real ? b_.CreateFAdd(a, b) : b_.CreateAdd(a, b); break;
    case Op::sub: v = real ? b_.CreateFSub(a, b) : b_.CreateSub(a, b); break;
    case Op::mul: v = real ? b_.CreateFMul(a, b) : b_.CreateMul(a, b); break;
    case Op::div:
      if (real) v = b_.CreateFDiv(a, b);
      else v = integer_division(false, is_signed, a, b);
      break;
    case Op::mod:
      RT_CHECK(!real, "mod of floating-point numbers");
      v = integer_division(true, is_signed, a, b);
      break;
    // As the interpreter has it (and maxps): b where either is a NaN.
    case Op::max:
      v = b_.CreateSelect(real        ? b_.CreateFCmpOGT(a, b)
                          : is_signed ? b_.CreateICmpSGT(a, b)
                                      : b_.CreateICmpUGT(a, b),
                          a, b);
      break;
    case Op::min:
      v = b_.CreateSelect(real        ? b_.CreateFCmpOLT(a, b)
                          : is_signed ? b_.CreateICmpSLT(a, b)
                                      : b_.CreateICmpULT(a, b),
                          a, b);
      break;
    case Op::neg: v = real ? b_.CreateFNeg(a) : b_.CreateNeg(a); break;
    case Op::abs:
      v = real        ? intrinsic(llvm::Intrinsic::fabs)
          : is_signed ? b_.CreateIntrinsic(llvm::Intrinsic::abs, {a->getType()}, {a, b_.getFalse()})
                      : a;
      break;
    case Op::sqrt: v = intrinsic(llvm::Intrinsic::sqrt); break;
    case Op::floor: v = intrinsic(llvm::Intrinsic::floor); break;
    case Op::ceil: v = intrinsic(llvm::Intrinsic::ceil); break;
    case Op::round: v = intrinsic(llvm::Intrinsic::roundeven); break;
    case Op::eq: v = real ? b_.CreateFCmpOEQ(a, b) : b_.CreateICmpEQ(a, b); break;
    case Op::lt: v = real ? b_.CreateFCmpOLT(a, b) : is_signed ? b_.CreateICmpSLT(a, b) : b_.CreateICmpULT(a, b); break;
    case Op::le: v = real ? b_.CreateFCmpOLE(a, b) : is_signed ? b_.CreateICmpSLE(a, b) : b_.CreateICmpULE(a, b); break;
    case Op::logical_and:
    case Op::bit_and: v = b_.CreateAnd(a, b); break;
    case Op::logical_or: v = b_.CreateOr(a, b); break;
    case Op::logical_not: v = b_.CreateNot(a); break;
    case Op::shift_left: v = b_.CreateShl(a, b); break;
    case Op::shift_right: v = is_signed ? b_.CreateAShr(a, b) : b_.CreateLShr(a, b); break;
    case Op::bitcast: v = b_.CreateBitCast(a, llvm_type(node.type, lanes)); break;
    case Op::fma: v = b_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c}); break;
    default: RT_CHECK(false, "operation {} must be expanded before code generation", static_cast<int>(node.op));
  }
  b_.clearFastMathFlags();
  return {v, lanes};
}

/// f32 to the nearest i32 (of two the even one): for whole vectors that is one instruction.
Lanes Emitter::nearest(Lanes a) {
  auto* integers = llvm_type(DType::i32, a.lanes);
  switch (a.lanes * 32 <= target_.vector_bits && !target_.arm() ? a.lanes : 0) {
    case 16:
      return {
          b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512_mask_cvtps2dq_512, {},
                             {a.value, llvm::Constant::getNullValue(integers), b_.getInt16(0xffff), b_.getInt32(4)}),
          16};
    case 8: return {b_.CreateIntrinsic(llvm::Intrinsic::x86_avx_cvt_ps2dq_256, {}, {a.value}), 8};
    case 4: return {b_.CreateIntrinsic(llvm::Intrinsic::x86_sse2_cvtps2dq, {}, {a.value}), 4};
    default:
      auto* rounded = b_.CreateIntrinsic(llvm::Intrinsic::roundeven, {a.value->getType()}, {a.value});
      return {b_.CreateFPToSI(rounded, integers), a.lanes};
  }
}

/// bf16 is the upper half of an f32; f16 has an instruction on all that we generate code for (F16C).
llvm::Value* Emitter::widen_half(ir::DType from, llvm::Value* bits) {
  auto like = [&](llvm::Type* element) { return bits->getType()->getWithNewType(element); };
  if (from == ir::DType::f16)
    return b_.CreateFPExt(b_.CreateBitCast(bits, like(b_.getHalfTy())), like(b_.getFloatTy()));
  return b_.CreateBitCast(b_.CreateShl(b_.CreateZExt(bits, like(b_.getInt32Ty())), 16), like(b_.getFloatTy()));
}

/// To the nearest, ties to even; a NaN stays one. Where the processor has no instruction for bf16, LLVM would call a
/// function of a library that generated code does not have.
llvm::Value* Emitter::round_to_half(ir::DType to, llvm::Value* value) {
  auto like = [&](llvm::Type* element) { return value->getType()->getWithNewType(element); };
  auto* narrow = like(b_.getInt16Ty());
  if (to == ir::DType::f16) return b_.CreateBitCast(b_.CreateFPTrunc(value, like(b_.getHalfTy())), narrow);
  // Kernels that multiply bf16 take denormals for zero anyway; so does the instruction.
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  const unsigned lanes = vector == nullptr ? 1 : vector->getNumElements();
  if (has_extension("avx512bf16") && (lanes == 16 || lanes == 8))
    return b_.CreateBitCast(b_.CreateIntrinsic(lanes == 16 ? llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_512
                                                           : llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_256,
                                               {}, {value}),
                            narrow);
  auto* wide = like(b_.getInt32Ty());
  auto number = [&](uint64_t n) { return llvm::ConstantInt::get(wide, n); };
  auto* bits = b_.CreateBitCast(value, wide);
  auto* odd = b_.CreateAnd(b_.CreateLShr(bits, 16), number(1));
  auto* nearest = b_.CreateAdd(bits, b_.CreateAdd(odd, number(0x7fff)));
  auto* quiet = b_.CreateOr(bits, number(0x400000));
  auto* chosen = b_.CreateSelect(b_.CreateFCmpUNO(value, value), quiet, nearest);
  return b_.CreateTrunc(b_.CreateLShr(chosen, 16), narrow);
}

Lanes Emitter::cast(Lanes a, ir::DType from, ir::DType to) {
  if (from == to) return a;
  if (is_half(from)) return cast({widen_half(from, a.value), a.lanes}, ir::DType::f32, to);
  if (is_half(to)) return {round_to_half(to, cast(a, from, ir::DType::f32).value), a.lanes};
  auto* type = llvm_type(to, a.lanes);
  const bool real_from = ir::is_float(from);
  const bool real_to = ir::is_float(to);
  llvm::Value* v = nullptr;
  if (to == ir::DType::boolean) {
    auto* zero = llvm::Constant::getNullValue(a.value->getType());
    v = real_from ? b_.CreateFCmpUNE(a.value, zero) : b_.CreateICmpNE(a.value, zero);
  } else if (from == ir::DType::boolean) {
    v = real_to ? b_.CreateUIToFP(a.value, type) : b_.CreateZExt(a.value, type);
  } else if (real_from && real_to) {
    v = b_.CreateFPCast(a.value, type);
  } else if (real_from) {
    v = ir::is_signed(to) ? b_.CreateFPToSI(a.value, type) : b_.CreateFPToUI(a.value, type);
  } else if (real_to) {
    v = ir::is_signed(from) ? b_.CreateSIToFP(a.value, type) : b_.CreateUIToFP(a.value, type);
  } else {
    v = b_.CreateIntCast(a.value, type, ir::is_signed(from));
  }
  return {v, a.lanes};
}

}  // namespace rooftune::codegen
