// How a logical tensor lies in memory: an ordered list of physical axes, outermost first. Physical axis i holds
// (index[dim] / divisor) mod extent; physical axes are dense unless `pad` adds elements to a stride.
//   row-major [M,N]          (0,1,M) (1,1,N)
//   NCHW16c                  (0,1,N) (1,16,ceil(C/16)) (2,1,H) (3,1,W) (1,1,16)
//   w[K,N] in panels of 48   (1,48,ceil(N/48)) (0,1,K) (1,1,48)
// Elements that a block adds beyond the logical extent are zero in constants and unspecified elsewhere.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/index.h"

namespace rooftune::kernel {

struct PhysicalAxis {
  int dim = 0;
  int64_t divisor = 1;
  int64_t extent = 1;
  int64_t pad = 0;  // elements added after each step of this axis' inner block (breaks power-of-two strides)
  bool operator==(const PhysicalAxis&) const = default;
};

class Layout {
 public:
  Layout() = default;  // of rank 0
  explicit Layout(std::vector<PhysicalAxis> axes) : axes_(std::move(axes)) {}
  static Layout row_major(const std::vector<int64_t>& shape);
  /// Dims in `order` (outermost first), then inner blocks `blocks` = {(dim, size), …} innermost last; blocks of one dim
  /// nest. E.g. NCHW16c: order {0,1,2,3}, blocks {{1,16}}.
  static Layout blocked(const std::vector<int64_t>& shape, const std::vector<int>& order,
                        const std::vector<std::pair<int, int64_t>>& blocks);

  const std::vector<PhysicalAxis>& axes() const { return axes_; }
  bool empty() const { return axes_.empty(); }
  int64_t size() const;                  // elements, padding included
  std::vector<int64_t> strides() const;  // of each physical axis, in elements
  /// Where the element lies, in elements. Give the tensor's `shape` where the indices are known to be inside of it (a
  /// guarded load, a tail): axes that cover their dim then need no mod although the ranges alone do not prove it.
  /// Without it a physical axis smaller than its dim wraps around, which is what rolling storage wants.
  Index linearize(const std::vector<Index>& index, const RangeOf& range_of,
                  const std::vector<int64_t>& shape = {}) const;
  int64_t offset(const std::vector<int64_t>& index) const;  // in elements
  bool is_row_major(const std::vector<int64_t>& shape) const;

  std::string to_string() const;               // "(0,1,1)(1,16,4)(2,1,56)(3,1,56)(1,1,16)"; parses back
  static Layout parse(std::string_view text);  // InputError naming what stands where an axis was expected
  bool operator==(const Layout&) const = default;

 private:
  std::vector<PhysicalAxis> axes_;
};

/// Copies a dense row-major tensor of `element_bytes`-sized elements into `layout` (and back), blocks' surplus and
/// padding zeroed. The layout must hold every element (no rolling axes), else InternalError.
void pack(const void* row_major, const std::vector<int64_t>& shape, const Layout& layout, size_t element_bytes,
          void* out);
void unpack(const void* packed, const std::vector<int64_t>& shape, const Layout& layout, size_t element_bytes,
            void* out);

}  // namespace rooftune::kernel
