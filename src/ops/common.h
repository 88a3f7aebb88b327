// What operator families share: attribute and axis helpers, sets of element types, broadcasting of shapes and values,
// the usual inference functions. Dispatch on element types stands in dispatch.h, lowering helpers in lowering.h.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "ops/op.h"

namespace rooftune::ops {

/// More elements than any machine holds: refused before anybody computes with the size.
inline constexpr double kMostElements = 0x1p46;

/// InputError "node 'x' (Conv): …".
[[noreturn]] void fail(const Node& node, const std::string& what);

// --- sets of element types, as bits by DType
using DTypeSet = uint32_t;
constexpr DTypeSet bit(DType dtype) { return 1U << static_cast<unsigned>(dtype); }
constexpr DTypeSet set_of(std::initializer_list<DType> dtypes) {
  DTypeSet set = 0;
  for (DType d : dtypes) set |= bit(d);
  return set;
}
inline constexpr DTypeSet kFloats = set_of({DType::f32, DType::f64, DType::f16, DType::bf16});
inline constexpr DTypeSet kSigned = set_of({DType::i8, DType::i16, DType::i32, DType::i64});
inline constexpr DTypeSet kUnsigned = set_of({DType::u8, DType::u16, DType::u32, DType::u64});
inline constexpr DTypeSet kIntegers = kSigned | kUnsigned;
inline constexpr DTypeSet kNumbers = kFloats | kIntegers;
inline constexpr DTypeSet kIndices = set_of({DType::i32, DType::i64});
inline constexpr DTypeSet kFloat8 = set_of({DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz});
inline constexpr DTypeSet kSubByte = set_of({DType::u4, DType::i4, DType::f4e2m1, DType::u2, DType::i2});
inline constexpr DTypeSet kBool = bit(DType::boolean);
inline constexpr DTypeSet kString = bit(DType::string);
inline constexpr DTypeSet kAny = ~bit(DType::undefined);
constexpr bool contains(DTypeSet set, DType dtype) { return (set & bit(dtype)) != 0; }
std::string to_string(DTypeSet set);

/// Fails unless the tensor at input `i` has one of these element types. Returns it.
DType require(const InferContext& ctx, int i, DTypeSet allowed);
/// Fails unless all present inputs [first, last] have the same element type, one of `allowed`. Returns it.
DType require_same(const InferContext& ctx, int first, int last, DTypeSet allowed);
/// Fails unless the rank of input `i`, where known, lies in [min, max].
void require_rank(const InferContext& ctx, int i, int min, int max = 64);

/// Fails unless input `i`, where present and of known shape, has one element.
void require_scalar(const InferContext& ctx, int i, DTypeSet allowed);
/// The value of an input that must have one element, at run time.
int64_t scalar_int(const EvalContext& ctx, int i);

// --- axes
/// Brings an axis of [-rank, rank) to [0, rank); fails for others.
int normalize_axis(const Node& node, int64_t axis, int rank);
/// The same for several; sorted, and failing where one appears twice.
std::vector<int> normalize_axes(const Node& node, const std::vector<int64_t>& axes, int rank);

// --- dims that only data decides
Dim unknown_dim(const std::string& value, int axis, int64_t min = 0, int64_t max = Dim::kUnbounded);
bool is_unknown(const Dim& dim);

// --- broadcasting
Dim broadcast(const Node& node, const Dim& a, const Dim& b);
Shape broadcast(const Node& node, const Shape& a, const Shape& b);
std::vector<int64_t> broadcast(const Node& node, const std::vector<int64_t>& a, const std::vector<int64_t>& b);
/// Of inputs [first, last]; nothing where a rank is unknown.
std::optional<Shape> broadcast_inputs(const InferContext& ctx, int first, int last);

/// How operands of an element-wise operator run through memory: adjacent dims are merged where every operand allows it;
/// the innermost one is a row in which each operand advances by 0 or 1.
struct BroadcastPlan {
  int64_t row = 1;  // elements of a row
  int64_t rows = 1;
  std::vector<int64_t> row_step;              // of each operand, 0 or 1
  std::vector<int64_t> outer;                 // extents of the loops around the rows, outermost first
  std::vector<std::vector<int64_t>> strides;  // [operand][outer loop], in elements
};
BroadcastPlan plan_broadcast(const std::vector<int64_t>& out, const std::vector<std::vector<int64_t>>& operands);

/// Calls row(offsets of the operands, offset in the output) for each row in order.
template <typename F>
void for_each_row(const BroadcastPlan& plan, F&& row) {
  const size_t operands = plan.strides.size(), loops = plan.outer.size();
  std::vector<int64_t> at(loops, 0), offsets(operands, 0);
  for (int64_t r = 0; r < plan.rows; ++r) {
    row(offsets.data(), r * plan.row);
    for (size_t d = loops; d-- > 0;) {
      for (size_t o = 0; o < operands; ++o) offsets[o] += plan.strides[o][d];
      if (++at[d] < plan.outer[d]) break;
      for (size_t o = 0; o < operands; ++o) offsets[o] -= plan.strides[o][d] * plan.outer[d];
      at[d] = 0;
    }
  }
}

// --- usual inference and cost
/// Output 0 has the type of input 0 (of an allowed element type); its known integers pass through.
std::function<void(InferContext&)> same_as_input(DTypeSet allowed);
/// Bytes of all inputs and outputs, each counted once. Types must be static.
double bytes_touched(const CostContext& ctx);
int64_t elements(const Type& type);
/// `flops` operations for each element of output 0.
std::function<Cost(const CostContext&)> cost_per_output(double flops);
/// `flops` operations for each element of input 0.
std::function<Cost(const CostContext&)> cost_per_input(double flops);

// --- evaluation
/// Wraps a reference written for f32 and f64: f16 and bf16 inputs are widened to f32, and outputs that came out f32
/// are rounded back to the type of the first such input.
std::function<void(EvalContext&)> widened(std::function<void(EvalContext&)> evaluate);
/// A copy in another numeric type (f16, bf16 and f32 fast; others element by element).
Tensor convert(const Tensor& tensor, DType dtype);
/// What Cast does (cast.cpp): any type to any other; `saturate` is for 8-bit floats.
Tensor cast_tensor(const Node& node, const Tensor& tensor, DType dtype, bool saturate = true);
inline bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

}  // namespace rooftune::ops
