// Copies between row-major tensors and layouts. Hundreds of megabytes of weights pass through here at load, so rows
// that are contiguous on both sides are copied by memcpy and transposing layouts go in tiles of a cache line.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "kernel/layout.h"

namespace rooftune::kernel {

namespace {

struct CopyLoop {
  int dim = -1;  // whose bounds it must respect; -1 where the layout covers the dim exactly
  int64_t divisor = 1, extent = 1;
  int64_t plain_stride = 0, packed_stride = 0;  // elements
};

/// Loops over the packed order: one per physical axis, neighbours merged where both sides allow it.
std::vector<CopyLoop> copy_loops(const std::vector<int64_t>& shape, const Layout& layout) {
  std::vector<int64_t> plain(shape.size(), 1), covered(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) plain[d - 1] = plain[d] * shape[d];
  std::vector<PhysicalAxis> by_divisor = layout.axes();
  std::sort(by_divisor.begin(), by_divisor.end(),
            [](auto& a, auto& b) { return std::pair(a.divisor, a.extent != 1) < std::pair(b.divisor, b.extent != 1); });
  for (const PhysicalAxis& a : by_divisor) {
    size_t d = static_cast<size_t>(a.dim);
    RT_CHECK(d < shape.size(), "layout {} of a tensor of rank {}", layout.to_string(), shape.size());
    if (a.extent == 1) continue;
    RT_CHECK(a.divisor == covered[d], "layout {} does not hold every element of dim {}", layout.to_string(), d);
    covered[d] *= a.extent;
  }
  for (size_t d = 0; d < shape.size(); d++) {
    RT_CHECK(covered[d] >= shape[d], "layout {} holds {} of {} elements of dim {}", layout.to_string(), covered[d],
             shape[d], d);
  }
  std::vector<int64_t> strides = layout.strides();
  std::vector<CopyLoop> loops;
  for (size_t i = 0; i < layout.axes().size(); i++) {
    const PhysicalAxis& a = layout.axes()[i];
    if (a.extent == 1) continue;
    size_t d = static_cast<size_t>(a.dim);
    CopyLoop loop{covered[d] == shape[d] ? -1 : a.dim, a.divisor, a.extent, plain[d] * a.divisor, strides[i]};
    if (!loops.empty()) {
      CopyLoop& outer = loops.back();
      bool neighbours = outer.plain_stride == loop.plain_stride * loop.extent &&
                        outer.packed_stride == loop.packed_stride * loop.extent;
      if (neighbours && outer.dim == loop.dim) {
        outer = {loop.dim, loop.divisor, outer.extent * loop.extent, loop.plain_stride, loop.packed_stride};
        continue;
      }
    }
    loops.push_back(loop);
  }
  return loops;
}

template <typename T, bool kPack>
void copy_tile(const T* from, T* to, const CopyLoop& row, int64_t rows, const CopyLoop& column, int64_t columns) {
  const int64_t from_row = kPack ? row.plain_stride : row.packed_stride,
                to_row = kPack ? row.packed_stride : row.plain_stride;
  const int64_t from_column = kPack ? column.plain_stride : column.packed_stride;
  const int64_t to_column = kPack ? column.packed_stride : column.plain_stride;
  if (from_column == 1 && to_column == 1) {
    for (int64_t r = 0; r < rows; r++) {
      std::memcpy(to + r * to_row, from + r * from_row, static_cast<size_t>(columns) * sizeof(T));
    }
    return;
  }
  constexpr int64_t kTile = 64 / sizeof(T);
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    int64_t r1 = std::min(rows, r0 + kTile);
    for (int64_t c = 0; c < columns; c++) {
      for (int64_t r = r0; r < r1; r++) to[r * to_row + c * to_column] = from[r * from_row + c * from_column];
    }
  }
}

/// Walks all loops but two: the innermost packed one (columns) and the one that is contiguous in the plain tensor
/// (rows).
template <typename T, bool kPack>
void copy_loops_over(const T* from, T* to, const std::vector<int64_t>& shape, std::vector<CopyLoop> loops) {
  const CopyLoop single{-1, 1, 1, 0, 0};
  CopyLoop column = single, row = single;
  if (!loops.empty()) {
    column = loops.back();
    loops.pop_back();
  }
  if (!loops.empty()) {
    auto best =
        std::min_element(loops.begin(), loops.end(), [](auto& a, auto& b) { return a.plain_stride < b.plain_stride; });
    if (column.plain_stride < best->plain_stride) best = loops.end() - 1;
    if (best->dim != column.dim || column.dim < 0) {
      row = *best;
      loops.erase(best);
    }
  }
  std::vector<int64_t> limit = shape;  // what is left of each dim beyond the current position
  std::vector<int64_t> counter(loops.size(), 0);
  int64_t plain = 0, packed = 0;
  auto valid = [&](const CopyLoop& l) {
    if (l.dim < 0) return l.extent;
    int64_t left = limit[static_cast<size_t>(l.dim)];
    return left <= 0 ? int64_t{0} : std::min(l.extent, (left + l.divisor - 1) / l.divisor);
  };
  auto inside = [&](const CopyLoop& l) { return l.dim < 0 || limit[static_cast<size_t>(l.dim)] > 0; };
  while (true) {
    if (std::all_of(loops.begin(), loops.end(), inside)) {
      copy_tile<T, kPack>(from + (kPack ? plain : packed), to + (kPack ? packed : plain), row, valid(row), column,
                          valid(column));
    }
    size_t i = loops.size();
    while (i-- > 0) {
      const CopyLoop& l = loops[i];
      int64_t step = ++counter[i] < l.extent ? 1 : 1 - l.extent;
      plain += step * l.plain_stride;
      packed += step * l.packed_stride;
      if (l.dim >= 0) limit[static_cast<size_t>(l.dim)] -= step * l.divisor;
      if (step == 1) break;
      counter[i] = 0;
    }
    if (i == SIZE_MAX) return;
  }
}

template <bool kPack>
void copy(const void* from, const std::vector<int64_t>& shape, const Layout& layout, size_t element_bytes, void* to) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  std::vector<CopyLoop> loops = copy_loops(shape, layout);
  auto typed = [&]<typename T>(T) {
    copy_loops_over<T, kPack>(static_cast<const T*>(from), static_cast<T*>(to), shape, std::move(loops));
  };
  switch (element_bytes) {
    case 1: return typed(uint8_t{});
    case 2: return typed(uint16_t{});
    case 4: return typed(uint32_t{});
    case 8: return typed(uint64_t{});
    case 16: return typed(std::array<uint64_t, 2>{});
    default: RT_CHECK(false, "elements of {} bytes", element_bytes);
  }
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t e : shape) n *= e;
  return n;
}

}  // namespace

void pack(const void* row_major, const std::vector<int64_t>& shape, const Layout& layout, size_t element_bytes,
          void* out) {
  int64_t size = layout.size();
  if (size != product(shape)) std::memset(out, 0, static_cast<size_t>(size) * element_bytes);
  copy<true>(row_major, shape, layout, element_bytes, out);
}

void unpack(const void* packed, const std::vector<int64_t>& shape, const Layout& layout, size_t element_bytes,
            void* out) {
  copy<false>(packed, shape, layout, element_bytes, out);
}

}  // namespace rooftune::kernel
