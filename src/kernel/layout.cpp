#include "kernel/layout.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/error.h"

namespace rooftune::kernel {

namespace {

int64_t ceil_quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

Layout Layout::row_major(const std::vector<int64_t>& shape) {
  std::vector<PhysicalAxis> axes;
  axes.reserve(shape.size());
  for (size_t d = 0; d < shape.size(); d++) axes.push_back({static_cast<int>(d), 1, shape[d], 0});
  return Layout(std::move(axes));
}

Layout Layout::blocked(const std::vector<int64_t>& shape, const std::vector<int>& order,
                       const std::vector<std::pair<int, int64_t>>& blocks) {
  RT_CHECK(order.size() == shape.size(), "an order of {} dims for a tensor of {}", order.size(), shape.size());
  std::vector<int64_t> inner(shape.size(), 1);  // elements of each dim held by the blocks placed so far, from inside
  std::vector<PhysicalAxis> axes;
  for (size_t i = blocks.size(); i-- > 0;) {
    auto [dim, size] = blocks[i];
    RT_CHECK(dim >= 0 && static_cast<size_t>(dim) < shape.size() && size > 0, "block of {} of dim {}", size, dim);
    axes.push_back({dim, inner[static_cast<size_t>(dim)], size, 0});
    inner[static_cast<size_t>(dim)] *= size;
  }
  for (size_t i = order.size(); i-- > 0;) {
    size_t d = static_cast<size_t>(order[i]);
    axes.push_back({order[i], inner[d], ceil_quotient(shape[d], inner[d]), 0});
  }
  std::reverse(axes.begin(), axes.end());
  return Layout(std::move(axes));
}

std::vector<int64_t> Layout::strides() const {
  std::vector<int64_t> strides(axes_.size());
  int64_t block = 1;
  for (size_t i = axes_.size(); i-- > 0;) {
    strides[i] = block + axes_[i].pad;
    block = strides[i] * axes_[i].extent;
  }
  return strides;
}

int64_t Layout::size() const {
  int64_t size = 1;
  for (size_t i = axes_.size(); i-- > 0;) size = (size + axes_[i].pad) * axes_[i].extent;
  return size;
}

Index Layout::linearize(const std::vector<Index>& index, const RangeOf& range_of,
                        const std::vector<int64_t>& shape) const {
  Index position;
  int64_t stride = 1;
  for (size_t i = axes_.size(); i-- > 0;) {
    const PhysicalAxis& axis = axes_[i];
    stride += axis.pad;
    size_t dim = static_cast<size_t>(axis.dim);
    if (axis.extent > 1) {
      Index digit = floordiv(index[dim], axis.divisor, range_of);
      if (shape.empty() || axis.divisor * axis.extent < shape[dim]) digit = mod(digit, axis.extent, range_of);
      position = position + digit * stride;
    }
    stride *= axis.extent;
  }
  return position;
}

int64_t Layout::offset(const std::vector<int64_t>& index) const {
  int64_t position = 0, stride = 1;
  for (size_t i = axes_.size(); i-- > 0;) {
    const PhysicalAxis& axis = axes_[i];
    stride += axis.pad;
    position += index[static_cast<size_t>(axis.dim)] / axis.divisor % axis.extent * stride;
    stride *= axis.extent;
  }
  return position;
}

bool Layout::is_row_major(const std::vector<int64_t>& shape) const {
  int64_t expected_dim = -1, done = 1;  // of the dim being covered: elements that the axes so far take apart
  size_t next = 0;
  for (const PhysicalAxis& axis : axes_) {
    if (axis.pad != 0) return false;
    if (axis.extent == 1) continue;
    if (axis.dim != expected_dim || done == 1) {  // a new dim starts: those in between must be of extent 1
      while (next < shape.size() && shape[next] == 1) next++;
      if (next == shape.size() || static_cast<int>(next) != axis.dim) return false;
      expected_dim = axis.dim;
      done = shape[next++];
    }
    if (axis.divisor * axis.extent != done) return false;
    done = axis.divisor;
  }
  while (next < shape.size() && shape[next] == 1) next++;
  return next == shape.size() && done == 1;
}

std::string Layout::to_string() const {
  std::string s;
  for (const PhysicalAxis& a : axes_) {
    s += fmt::format("({},{},{}", a.dim, a.divisor, a.extent);
    if (a.pad != 0) s += fmt::format(",{}", a.pad);
    s += ')';
  }
  return s;
}

Layout Layout::parse(std::string_view text) {
  std::vector<PhysicalAxis> axes;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end) {
    const char* start = at;
    auto error_here = [&] {
      return InputError("layout '{}': expected (dim,divisor,extent) or (dim,divisor,extent,pad) at '{}'", text,
                        std::string_view(start, static_cast<size_t>(end - start)));
    };
    int64_t field[4] = {0, 0, 0, 0};
    int count = 0;
    do {
      if (at == end || *at != (count == 0 ? '(' : ',')) throw error_here();
      auto [next, error] = std::from_chars(at + 1, end, field[count++]);
      if (error != std::errc() || next == end) throw error_here();
      at = next;
    } while (*at != ')' && count < 4);
    if (*at != ')' || count < 3) throw error_here();
    at++;
    if (field[0] < 0 || field[0] > 63 || field[1] < 1 || field[2] < 0 || field[3] < 0) throw error_here();
    axes.push_back({static_cast<int>(field[0]), field[1], field[2], field[3]});
  }
  return Layout(std::move(axes));
}

}  // namespace rooftune::kernel
