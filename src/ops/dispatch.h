// One place that turns an element type at run time into a C++ type at compile time. Sub-byte and 8-bit floats have no
// C++ type: they are converted (Cast, QuantizeLinear) or moved as bytes; f16 and bf16 go through `widened`.
#pragma once
#include <cstdint>
#include <type_traits>

#include "ops/common.h"

namespace rooftune::ops {

template <typename T>
struct Tag {
  using type = T;
};

template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  else if constexpr (std::is_same_v<T, int8_t>) return DType::i8;
  else if constexpr (std::is_same_v<T, int16_t>) return DType::i16;
  else if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  else if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
  else if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
  else if constexpr (std::is_same_v<T, uint16_t>) return DType::u16;
  else if constexpr (std::is_same_v<T, uint32_t>) return DType::u32;
  else {
    static_assert(std::is_same_v<T, uint64_t>);
    return DType::u64;
  }
}

/// Calls f(Tag<T>{}) for the T among `Ts` that stands for `dtype`; fails naming the node where there is none.
template <typename... Ts, typename F>
void dispatch(const Node& node, DType dtype, F&& f) {
  const bool done = ((dtype_of<Ts>() == dtype ? (f(Tag<Ts>{}), true) : false) || ...);
  if (!done) fail(node, fmt::format("element type {} is not supported", ir::name(dtype)));
}

template <typename F>
void dispatch_float(const Node& node, DType dtype, F&& f) {
  dispatch<float, double>(node, dtype, f);
}
template <typename F>
void dispatch_integer(const Node& node, DType dtype, F&& f) {
  dispatch<int32_t, int64_t, int8_t, uint8_t, int16_t, uint16_t, uint32_t, uint64_t>(node, dtype, f);
}
template <typename F>
void dispatch_number(const Node& node, DType dtype, F&& f) {
  dispatch<float, double, int32_t, int64_t, int8_t, uint8_t, int16_t, uint16_t, uint32_t, uint64_t>(node, dtype, f);
}

/// For operators that only move elements: an unsigned integer of the element's size (f16 moves as uint16_t).
/// Not for strings, complex and sub-byte types.
template <typename F>
void dispatch_size(const Node& node, DType dtype, F&& f) {
  switch (ir::bit_width(dtype)) {
    case 8: return f(Tag<uint8_t>{});
    case 16: return f(Tag<uint16_t>{});
    case 32: return f(Tag<uint32_t>{});
    case 64: return f(Tag<uint64_t>{});
    default: fail(node, fmt::format("element type {} is not supported", ir::name(dtype)));
  }
}

// --- element-wise loops

template <typename T, typename R, typename F>
void apply_unary(const T* x, R* out, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

/// out[i] = f(a[i * a_step], b[i * b_step]), steps being 0 or 1.
template <typename A, typename B, typename R, typename F>
void apply_binary(const A* a, int64_t a_step, const B* b, int64_t b_step, R* out, int64_t n, F f) {
  if (a_step == 1 && b_step == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  } else if (a_step == 1) {
    const B y = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], y);
  } else if (b_step == 1) {
    const A x = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = f(x, b[i]);
  } else {
    const R value = f(*a, *b);
    for (int64_t i = 0; i < n; ++i) out[i] = value;
  }
}

/// A tensor of f over the elements of x.
template <typename T, typename R = T, typename F>
Tensor map_unary(const Tensor& x, F f, DType out_dtype = dtype_of<R>()) {
  Tensor out(out_dtype, x.shape());
  apply_unary(x.data<T>(), out.data<R>(), x.size(), f);
  return out;
}

/// A tensor of f over the elements of a and b, broadcast.
template <typename A, typename B, typename R = A, typename F>
Tensor map_binary(const Node& node, const Tensor& a, const Tensor& b, F f) {
  Tensor out(dtype_of<R>(), broadcast(node, a.shape(), b.shape()));
  const BroadcastPlan plan = plan_broadcast(out.shape(), {a.shape(), b.shape()});
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    apply_binary(a.data<A>() + at[0], plan.row_step[0], b.data<B>() + at[1], plan.row_step[1], out.data<R>() + to,
                 plan.row, f);
  });
  return out;
}

}  // namespace rooftune::ops
