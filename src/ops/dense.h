// The one dense matrix product behind the references of MatMul, Gemm, Einsum, Conv, the recurrent operators and
// Attention: cache-blocked loops that a compiler vectorises, so that the reference can serve as the run-time fallback.
#pragma once
#include <cstdint>
#include <type_traits>
#include <vector>

namespace rooftune::ops {

/// A matrix in somebody else's memory: element (i, j) at data[i · row_stride + j · column_stride].
template <typename T>
struct MatrixView {
  const T* data = nullptr;
  int64_t row_stride = 0;
  int64_t column_stride = 1;
};

/// Integers are multiplied modulo 2^n, so signed ones go through their unsigned type.
template <typename T>
using Modular = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;

/// c[m,n] (+)= a[m,k] · b[k,n]; c is row-major with rows `ldc` apart. Partial sums run over blocks of k. For float,
/// double, uint32_t, uint64_t.
template <typename T>
void matrix_product(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
                    bool accumulate = false);

}  // namespace rooftune::ops
