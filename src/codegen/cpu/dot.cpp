// Dot loops: each lane multiplies and sums the elements of a 32-bit word at once. What one instruction does where the
// processor has it is a short sequence elsewhere, exact as well.
#include <llvm/IR/IntrinsicsX86.h>

#include "base/error.h"
#include "codegen/cpu/emitter.h"

namespace rooftune::codegen {
namespace {

/// The layout's innermost axis holds whole words of `dim`, so that elements beyond the dim's end have a place.
bool holds_words(const kernel::Layout& layout, int dim, int width) {
  const auto& inner = layout.axes().back();
  return inner.dim == dim && inner.divisor == 1 && inner.extent == width && inner.pad == 0;
}

}  // namespace

void Emitter::dot_loop(Nest nest, size_t level) {
  const auto axis = static_cast<size_t>(loops(nest)[level].axis);
  nest.dot = kernel::dot_operands(kernel_, stage(nest));
  nest.dot_limit = static_cast<int>(nest.extent[axis]);
  variables_.set_range(Variables::kDot, {0, nest.dot_limit - 1});
  iteration(nest, level, nest.base[axis] + Index::variable(Variables::kDot), 1, true);
  variables_.set_range(Variables::kDot, {0, 0});
}

/// Adds the products of one word (per lane) to the accumulator. `of_elements`: conditions that differ within the word.
void Emitter::dot_leaf(const Nest& nest, llvm::Value* mask, const std::vector<Index>& of_elements) {
  const auto& s = stage(nest);
  const DType type = kernel_.buffers[static_cast<size_t>(s.buffer)].dtype;
  const auto& a = s.nodes[static_cast<size_t>(nest.dot.a)];
  const auto& b = s.nodes[static_cast<size_t>(nest.dot.b)];
  // Of integers a product with zero is zero, whatever is read: one operand that ends in zeros is enough.
  const bool full = nest.dot_limit == nest.dot.width, any = full || !ir::is_float(type);
  const bool a_ends = ends_in_zeros(nest, a), b_ends = ends_in_zeros(nest, b);
  auto* x = low_bits(nest, nest.dot.shift_a, dot_word(nest, mask, a, of_elements, full || a_ends || (any && b_ends)));
  auto* y = low_bits(nest, nest.dot.shift_b, dot_word(nest, mask, b, {}, any || b_ends));
  auto* pointer = local_pointer(nest, type);
  auto* vector = llvm_type(type, nest.lanes);
  auto* accumulator = b_.CreateAlignedLoad(vector, pointer, llvm::Align(4));
  const bool small = nest.dot.shift_a >= 0 || nest.dot.shift_b >= 0;
  llvm::Value* next =
      ir::is_float(type) ? dot_halves(x, y, accumulator) : dot_bytes(x, a.type, y, b.type, small, accumulator);
  if (mask != nullptr) next = b_.CreateSelect(mask, next, accumulator);
  b_.CreateAlignedStore(next, pointer, llvm::Align(4));
}

/// Of each byte of the words the four bits that the node `shift` names; the words themselves where it is -1.
llvm::Value* Emitter::low_bits(const Nest& nest, int shift, llvm::Value* words) {
  if (shift < 0) return words;
  std::vector<Lanes> done(stage(nest).nodes.size());
  const Lanes amount = cast(evaluate(nest, nullptr, shift, done), DType::u8, DType::i32);
  RT_CHECK(amount.lanes == 1, "lanes take different bits of a byte");
  auto* shifted = b_.CreateLShr(words, splat(amount, nest.lanes));
  return b_.CreateAnd(shifted, uint64_t{0x0f0f0f0f});
}

/// Whether what a word of the operand holds beyond the end of its dim is zero: constants are packed so.
bool Emitter::ends_in_zeros(const Nest& nest, const kernel::ExprNode& node) const {
  const bool packed = std::any_of(schedule_.prepared.begin(), schedule_.prepared.end(),
                                  [&](const auto& p) { return p.first == node.buffer; });
  if (!packed || !node.where.empty()) return false;
  const int axis = loops(nest).back().axis;
  for (size_t d = 0; d < node.indices.size(); ++d)
    if (node.indices[d].uses(axis))
      return holds_words(places_[static_cast<size_t>(node.buffer)].layout, static_cast<int>(d), nest.dot.width);
  return false;
}

/// The operand's word, or one for each lane, as integers of 32 bits. `beyond`: what stands behind the end of a word that
/// is not full does not matter, so the word may be read as a whole if it is within the buffer.
llvm::Value* Emitter::dot_word(const Nest& nest, llvm::Value* mask, const kernel::ExprNode& node,
                               const std::vector<Index>& of_elements, bool beyond) {
  const Place& place = places_[static_cast<size_t>(node.buffer)];
  const int width = nest.dot.width, bits = 32 / width;
  std::vector<Index> at, element_conditions = of_elements, conditions;
  for (const auto& index : node.indices) at.push_back(current(nest, index));
  for (const auto& condition : node.where) {
    const Index e = current(nest, condition);
    if (e.range(variables_.range_of()).lo < 0)
      (e.uses(Variables::kDot) ? element_conditions : conditions).push_back(condition);
  }
  if (llvm::Value* inside = condition_mask(nest, conditions)) mask = both(nest, mask, inside);
  const Index offset = address(place, at);
  const bool linear = !offset.appears_inside(Variables::kLane) && !offset.appears_inside(Variables::kDot);
  const int64_t lane_step = linear ? offset.coefficient(Variables::kLane) : 0;
  const bool varies = offset.uses(Variables::kLane);
  const Index start = offset - Index::variable(Variables::kLane) * lane_step - Index::variable(Variables::kDot);
  const auto range = start.range(variables_.range_of());
  const bool inside = range.lo >= 0 && range.hi + (varies ? nest.lanes : 1) * width <= place.layout.size();
  const bool together = linear && offset.coefficient(Variables::kDot) == 1 && (!varies || lane_step == width) &&
                        element_conditions.empty();
  if (together && beyond && (inside || nest.dot_limit == width)) {
    const bool vector_mask = mask != nullptr && mask->getType()->isVectorTy();
    auto* splatted =
        node.value == 0 ? nullptr : b_.CreateVectorSplat(static_cast<unsigned>(width), number(node.type, node.value));
    auto* otherwise = splatted == nullptr ? b_.getInt32(0) : b_.CreateBitCast(splatted, b_.getInt32Ty());
    return words(nest, node.buffer, start, varies ? nest.lanes : 1, mask, vector_mask, otherwise);
  }
  if (linear && varies && lane_step == 1 && offset.coefficient(Variables::kDot) == nest.lanes && nest.lanes > 1 &&
      element_conditions.empty() && (mask == nullptr || !mask->getType()->isVectorTy()) && node.value == 0)
    return shuffled_words(nest, node.buffer,
                          offset - Index::variable(Variables::kLane) - Index::variable(Variables::kDot) * nest.lanes,
                          mask);
  // Element by element.
  llvm::Value* word = llvm::Constant::getNullValue(varies ? llvm_type(ir::DType::i32, nest.lanes) : b_.getInt32Ty());
  int lanes = varies ? nest.lanes : 1;
  for (int i = 0; i < nest.dot_limit; ++i) {
    auto fixed = [&](const Index& e) {
      return simplify(e.substitute([&](int v) { return v == Variables::kDot ? Index(i) : Index::variable(v); }),
                      variables_.range_of());
    };
    std::vector<Index> here;
    for (const auto& e : at) here.push_back(fixed(e));
    Nest element = nest;
    for (auto& e : element.base) e = fixed(e);
    llvm::Value* taken = mask;
    // Of a condition of the stage that fails nothing is added, of one of the load its other value.
    const auto split = element_conditions.begin() + static_cast<std::ptrdiff_t>(of_elements.size());
    llvm::Value* counts = condition_mask(element, {element_conditions.begin(), split});
    if (llvm::Value* m = condition_mask(element, {split, element_conditions.end()})) taken = both(nest, taken, m);
    if (counts != nullptr) taken = both(nest, taken, counts);
    Lanes value = load(node.buffer, here, nest.lanes, taken, node.value);
    auto* integer = b_.CreateBitCast(
        value.value, value.lanes == 1 ? static_cast<llvm::Type*>(b_.getIntNTy(static_cast<unsigned>(bits)))
                                      : llvm::FixedVectorType::get(b_.getIntNTy(static_cast<unsigned>(bits)),
                                                                   static_cast<unsigned>(value.lanes)));
    Lanes wide{b_.CreateZExt(integer, llvm_type(ir::DType::i32, value.lanes)), value.lanes};
    wide.value = b_.CreateShl(wide.value, static_cast<uint64_t>(i * bits));
    int width_now = std::max(lanes, wide.lanes);
    if (counts != nullptr && node.value != 0) {
      width_now = counts->getType()->isVectorTy() ? nest.lanes : width_now;
      auto* w = splat(wide, width_now);
      wide = {b_.CreateSelect(counts, w, llvm::Constant::getNullValue(w->getType())), width_now};
    }
    word = b_.CreateOr(splat({word, lanes}, width_now), splat(wide, width_now));
    lanes = width_now;
  }
  return splat({word, lanes}, nest.lanes);
}

/// Words of elements that lie a vector apart: whole vectors are read together and shuffled. What a word lacks is zero.
llvm::Value* Emitter::shuffled_words(const Nest& nest, int buffer, const Index& start, llvm::Value* mask) {
  const Place& place = places_[static_cast<size_t>(buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(buffer)].dtype;
  const llvm::Align align(std::max<uint64_t>(1, ir::byte_size(type, 1)));
  const int width = nest.dot.width, elements = width * nest.lanes;
  auto* pointer = pointer_to(place.pointer, type, start);
  auto* vectors =
      llvm::FixedVectorType::get(b_.getIntNTy(static_cast<unsigned>(32 / width)), static_cast<unsigned>(elements));
  llvm::Instruction* access = nullptr;
  if (nest.dot_limit == width && mask == nullptr) {
    access = b_.CreateAlignedLoad(vectors, pointer, align);
  } else {
    std::vector<llvm::Constant*> there;
    for (int e = 0; e < elements; ++e) there.push_back(b_.getInt1(e < nest.dot_limit * nest.lanes));
    llvm::Value* read = llvm::ConstantVector::get(there);
    if (mask != nullptr) read = b_.CreateAnd(read, b_.CreateVectorSplat(static_cast<unsigned>(elements), mask));
    access = b_.CreateMaskedLoad(vectors, pointer, align, read, llvm::Constant::getNullValue(vectors));
  }
  tag(access, buffer);
  std::vector<int> order;
  for (int e = 0; e < elements; ++e) order.push_back(e % width * nest.lanes + e / width);
  return b_.CreateBitCast(b_.CreateShuffleVector(access, order), llvm_type(DType::i32, nest.lanes));
}

/// Words that lie together from element `start` on.
llvm::Value* Emitter::words(const Nest& nest, int buffer, const Index& start, int lanes, llvm::Value* mask,
                            bool vector_mask, llvm::Value* otherwise) {
  const Place& place = places_[static_cast<size_t>(buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(buffer)].dtype;
  const llvm::Align align(std::max<uint64_t>(1, ir::byte_size(type, 1)));
  const auto key = std::make_tuple(buffer, -lanes, start);
  const bool plain = mask == nullptr || (lanes == 1 && vector_mask);
  if (plain) {
    auto found = loaded_.find(key);
    if (found != loaded_.end() && found->second.block == b_.GetInsertBlock())
      return splat(found->second.value, nest.lanes);
  }
  auto* pointer = pointer_to(place.pointer, type, start);
  auto* word = llvm_type(ir::DType::i32, lanes);
  llvm::Instruction* access = nullptr;
  llvm::Value* value = nullptr;
  if (lanes > 1 && mask != nullptr) {
    access = b_.CreateMaskedLoad(word, pointer, align, splat({mask, vector_mask ? lanes : 1}, lanes),
                                 splat({otherwise, 1}, lanes));
    value = access;
  } else {
    // Lanes that are masked are not added in the end; what is read for all of them is good where one needs it.
    llvm::Value* condition = mask;
    if (vector_mask) condition = llvm::isa<llvm::Constant>(mask) ? nullptr : b_.CreateOrReduce(mask);
    if (condition != nullptr) pointer = b_.CreateSelect(condition, pointer, place.pointer);
    access = b_.CreateAlignedLoad(word, pointer, align);
    if (condition == nullptr) loaded_[key] = {{access, lanes}, b_.GetInsertBlock()};
    value = condition != nullptr && !vector_mask ? b_.CreateSelect(condition, access, otherwise)
                                                 : static_cast<llvm::Value*>(access);
  }
  tag(access, buffer);
  return splat({value, lanes}, nest.lanes);
}

namespace {

/// Calls f for parts of at most `most` lanes and joins what it gives.
template <typename F>
llvm::Value* by_parts(llvm::IRBuilder<>& b, llvm::Value* like, int lanes, int most, F&& f) {
  if (lanes <= most) return f([](llvm::Value* v) { return v; });
  llvm::Value* all = llvm::PoisonValue::get(like->getType());
  for (int first = 0; first < lanes; first += most) {
    auto part = [&](llvm::Value* v) {
      auto* type = llvm::FixedVectorType::get(v->getType()->getScalarType(), static_cast<unsigned>(most));
      return b.CreateExtractVector(type, v, b.getInt64(static_cast<uint64_t>(first)));
    };
    llvm::Value* piece = f(part);
    all = b.CreateInsertVector(all->getType(), all, piece, b.getInt64(static_cast<uint64_t>(first)));
  }
  return all;
}

int lanes_of(llvm::Value* value) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector == nullptr ? 1 : static_cast<int>(vector->getNumElements());
}

}  // namespace

/// accumulator + Σ of the four products in each lane, modulo 2^32. `small`: the operand of u8 is below 16.
llvm::Value* Emitter::dot_bytes(llvm::Value* x, DType x_type, llvm::Value* y, DType y_type, bool small,
                                llvm::Value* accumulator) {
  const int lanes = lanes_of(x);
  const int most = target_.vector_bits / 32;
  if (y_type == DType::u8 && x_type == DType::i8) std::swap(x, y), std::swap(x_type, y_type);
  if (lanes >= 4 && x_type == DType::u8 && y_type == DType::i8 && has_extension("avx512vnni"))
    return by_parts(b_, accumulator, lanes, most, [&](auto part) -> llvm::Value* {
      const int n = std::min(lanes, most);
      const auto id = n == 16  ? llvm::Intrinsic::x86_avx512_vpdpbusd_512
                      : n == 8 ? llvm::Intrinsic::x86_avx512_vpdpbusd_256
                               : llvm::Intrinsic::x86_avx512_vpdpbusd_128;
      return b_.CreateIntrinsic(id, {}, {part(accumulator), part(x), part(y)});
    });
  if (lanes >= 4 && !target_.arm() && small && x_type == DType::u8 && y_type == DType::i8)  // pairs fit in 16 bits
    return by_parts(b_, accumulator, lanes, most, [&](auto part) -> llvm::Value* {
      const int n = std::min(lanes, most);
      const auto id = n == 16  ? llvm::Intrinsic::x86_avx512_pmaddubs_w_512
                      : n == 8 ? llvm::Intrinsic::x86_avx2_pmadd_ub_sw
                               : llvm::Intrinsic::x86_ssse3_pmadd_ub_sw_128;
      const auto sum = n == 16  ? llvm::Intrinsic::x86_avx512_pmaddw_d_512
                       : n == 8 ? llvm::Intrinsic::x86_avx2_pmadd_wd
                                : llvm::Intrinsic::x86_sse2_pmadd_wd;
      auto* bytes = llvm::FixedVectorType::get(b_.getInt8Ty(), static_cast<unsigned>(4 * n));
      auto* halves = llvm::FixedVectorType::get(b_.getInt16Ty(), static_cast<unsigned>(2 * n));
      auto* pairs = b_.CreateIntrinsic(id, {}, {b_.CreateBitCast(part(x), bytes), b_.CreateBitCast(part(y), bytes)});
      return b_.CreateAdd(part(accumulator), b_.CreateIntrinsic(sum, {}, {pairs, llvm::ConstantInt::get(halves, 1)}));
    });
  if (lanes >= 4 && !target_.arm())  // bytes 0 and 2, then 1 and 3, as pairs of 16 bits
    return by_parts(b_, accumulator, lanes, most, [&](auto part) -> llvm::Value* {
      const int n = std::min(lanes, most);
      const auto id = n == 16  ? llvm::Intrinsic::x86_avx512_pmaddw_d_512
                      : n == 8 ? llvm::Intrinsic::x86_avx2_pmadd_wd
                               : llvm::Intrinsic::x86_sse2_pmadd_wd;
      auto* pairs = llvm::FixedVectorType::get(b_.getInt16Ty(), static_cast<unsigned>(2 * n));
      auto half = [&](llvm::Value* word, DType type, bool odd) -> llvm::Value* {
        auto* v = b_.CreateBitCast(part(word), pairs);
        if (type == DType::u8) return odd ? b_.CreateLShr(v, uint64_t{8}) : b_.CreateAnd(v, uint64_t{0xff});
        return b_.CreateAShr(odd ? v : b_.CreateShl(v, uint64_t{8}), uint64_t{8});
      };
      auto pair = [&](bool odd) { return b_.CreateIntrinsic(id, {}, {half(x, x_type, odd), half(y, y_type, odd)}); };
      return b_.CreateAdd(part(accumulator), b_.CreateAdd(pair(false), pair(true)));
    });
  auto byte = [&](llvm::Value* word, DType type, int i) {
    auto* up = b_.CreateShl(word, static_cast<uint64_t>(24 - 8 * i));
    return type == DType::i8 ? b_.CreateAShr(up, uint64_t{24}) : b_.CreateLShr(up, uint64_t{24});
  };
  for (int i = 0; i < 4; ++i)
    accumulator = b_.CreateAdd(accumulator, b_.CreateMul(byte(x, x_type, i), byte(y, y_type, i)));
  return accumulator;
}

/// accumulator + Σ of the two products of bf16 in each lane.
llvm::Value* Emitter::dot_halves(llvm::Value* x, llvm::Value* y, llvm::Value* accumulator) {
  const int lanes = lanes_of(x);
  const int most = target_.vector_bits / 32;
  if (lanes >= 4 && has_extension("avx512bf16"))
    return by_parts(b_, accumulator, lanes, most, [&](auto part) -> llvm::Value* {
      const int n = std::min(lanes, most);
      const auto id = n == 16  ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512
                      : n == 8 ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_256
                               : llvm::Intrinsic::x86_avx512bf16_dpbf16ps_128;
      auto* pairs = llvm::FixedVectorType::get(b_.getBFloatTy(), static_cast<unsigned>(2 * n));
      return b_.CreateIntrinsic(
          id, {}, {part(accumulator), b_.CreateBitCast(part(x), pairs), b_.CreateBitCast(part(y), pairs)});
    });
  auto half = [&](llvm::Value* word, bool odd) {
    auto* bits = odd ? b_.CreateAnd(word, uint64_t{0xffff0000}) : b_.CreateShl(word, uint64_t{16});
    return b_.CreateBitCast(bits, accumulator->getType());
  };
  for (bool odd : {false, true})
    accumulator =
        b_.CreateIntrinsic(llvm::Intrinsic::fma, {accumulator->getType()}, {half(x, odd), half(y, odd), accumulator});
  return accumulator;
}

/// The extensions that the kernel's dot products can use: none where it has no such products, so that its code runs on
/// every processor of the level.
std::vector<std::string> used_extensions(const kernel::Kernel& kernel, const kernel::Schedule& schedule,
                                         const CpuTarget& target) {
  std::vector<std::string> used;
  for (const auto& extension : target.extensions) {
    const bool tiles = extension.starts_with("amx");
    const int width = extension.ends_with("bf16") ? 2 : 4;
    for (size_t s = 0; s < kernel.stages.size(); ++s) {
      const auto& loops = schedule.stages[s].loops;
      const int words = kernel::dot_operands(kernel, kernel.stages[s]).width;
      const bool fits = extension == "amx-tile" ? words > 0 : words == width;
      if (!fits || (tiles && (loops.empty() || loops.back().kind != kernel::LoopKind::tile))) continue;
      used.push_back(extension);
      break;
    }
  }
  return used;
}

}  // namespace rooftune::codegen
