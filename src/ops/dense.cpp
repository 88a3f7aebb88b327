#include "ops/dense.h"

#include <algorithm>

namespace rooftune::ops {
namespace {

constexpr int64_t kDepth = 256;  // of a block of k: with kWidth columns it stays in the second-level cache
constexpr int64_t kWidth = 256;

/// Four rows at a time share every row of b; the inner loop over columns is what the compiler vectorises.
template <typename T>
void block(int64_t m, int64_t n, int64_t k, MatrixView<T> a, const T* b, int64_t ldb, T* c, int64_t ldc) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    T* c0 = c + i * ldc;
    T *c1 = c0 + ldc, *c2 = c1 + ldc, *c3 = c2 + ldc;
    for (int64_t p = 0; p < k; ++p) {
      const T* row = b + p * ldb;
      const T* column = a.data + i * a.row_stride + p * a.column_stride;
      const T a0 = column[0], a1 = column[a.row_stride], a2 = column[2 * a.row_stride], a3 = column[3 * a.row_stride];
      for (int64_t j = 0; j < n; ++j) {
        const T v = row[j];
        c0[j] += a0 * v;
        c1[j] += a1 * v;
        c2[j] += a2 * v;
        c3[j] += a3 * v;
      }
    }
  }
  for (; i < m; ++i) {
    T* out = c + i * ldc;
    for (int64_t p = 0; p < k; ++p) {
      const T* row = b + p * ldb;
      const T v = a.data[i * a.row_stride + p * a.column_stride];
      for (int64_t j = 0; j < n; ++j) out[j] += v * row[j];
    }
  }
}

}  // namespace

template <typename T>
void matrix_product(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
                    bool accumulate) {
  if (!accumulate) {
    for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, T{0});
  }
  std::vector<T> packed;
  if (b.column_stride != 1) packed.resize(static_cast<size_t>(std::min(k, kDepth) * std::min(n, kWidth)));
  for (int64_t j = 0; j < n; j += kWidth) {
    const int64_t width = std::min(kWidth, n - j);
    for (int64_t p = 0; p < k; p += kDepth) {
      const int64_t depth = std::min(kDepth, k - p);
      const T* rows = b.data + p * b.row_stride + j * b.column_stride;
      int64_t ldb = b.row_stride;
      if (b.column_stride != 1) {
        for (int64_t y = 0; y < width; ++y) {
          for (int64_t x = 0; x < depth; ++x) {
            packed[static_cast<size_t>(x * width + y)] = rows[x * b.row_stride + y * b.column_stride];
          }
        }
        rows = packed.data();
        ldb = width;
      }
      const MatrixView<T> left{a.data + p * a.column_stride, a.row_stride, a.column_stride};
      block(m, width, depth, left, rows, ldb, c + j, ldc);
    }
  }
}

template void matrix_product(int64_t, int64_t, int64_t, MatrixView<float>, MatrixView<float>, float*, int64_t, bool);
template void matrix_product(int64_t, int64_t, int64_t, MatrixView<double>, MatrixView<double>, double*, int64_t, bool);
template void matrix_product(int64_t, int64_t, int64_t, MatrixView<uint32_t>, MatrixView<uint32_t>, uint32_t*, int64_t,
                             bool);
template void matrix_product(int64_t, int64_t, int64_t, MatrixView<uint64_t>, MatrixView<uint64_t>, uint64_t*, int64_t,
                             bool);

}  // namespace rooftune::ops
