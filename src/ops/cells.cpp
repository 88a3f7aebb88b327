#include "ops/cells.h"

#include <cstring>
#include <numeric>

namespace rooftune::ops {
namespace {

bool addressable(ir::DType dtype) { return dtype != ir::DType::string && ir::bit_width(dtype) % 8 == 0; }

template <typename T>
void copy_run(const uint8_t* source, int64_t stride, uint8_t* target, int64_t count) {
  const T* from = reinterpret_cast<const T*>(source);
  T* to = reinterpret_cast<T*>(target);
  for (int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
}

void copy_run(const uint8_t* source, size_t cell, int64_t stride, uint8_t* target, int64_t count) {
  struct Wide {
    uint64_t halves[2];
  };
  if (stride == 1) {
    std::memcpy(target, source, static_cast<size_t>(count) * cell);
    return;
  }
  switch (cell) {
    case 1: return copy_run<uint8_t>(source, stride, target, count);
    case 2: return copy_run<uint16_t>(source, stride, target, count);
    case 4: return copy_run<uint32_t>(source, stride, target, count);
    case 8: return copy_run<uint64_t>(source, stride, target, count);
    case 16: return copy_run<Wide>(source, stride, target, count);
    default: RT_CHECK(false, "cells of {} bytes", cell);
  }
}

}  // namespace

int64_t product(std::span<const int64_t> values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies<>());
}

std::vector<int64_t> iota(int64_t n) {
  std::vector<int64_t> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), int64_t{0});
  return v;
}

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

bool next_index(std::vector<int64_t>& index, const std::vector<int64_t>& shape) {
  for (size_t i = shape.size(); i-- > 0;) {
    if (++index[i] < shape[i]) return true;
    index[i] = 0;
  }
  return false;
}

ir::Tensor rearrange(const std::vector<const ir::Tensor*>& inputs, std::vector<int64_t> shape,
                     const std::function<void(const Moving&)>& body) {
  const ir::DType dtype = inputs.at(0)->dtype();
  ir::Tensor out(dtype, shape);
  if (addressable(dtype)) {
    Moving m{{}, static_cast<size_t>(ir::bit_width(dtype)) / 8, out.raw()};
    for (const ir::Tensor* t : inputs) m.sources.push_back(t->raw());
    if (out.size() > 0) body(m);
    return out;
  }
  std::vector<int64_t> total;  // positions of all inputs, one after the other
  for (const ir::Tensor* t : inputs) total.push_back(t->size());
  const std::vector<int64_t> positions = iota(std::accumulate(total.begin(), total.end(), int64_t{0}));
  std::vector<int64_t> chosen(static_cast<size_t>(out.size()));
  Moving m{{}, sizeof(int64_t), reinterpret_cast<uint8_t*>(chosen.data())};
  for (int64_t first = 0, i = 0; i < static_cast<int64_t>(inputs.size()); first += total[static_cast<size_t>(i)], ++i) {
    m.sources.push_back(reinterpret_cast<const uint8_t*>(positions.data() + first));
  }
  if (out.size() > 0) body(m);
  for (int64_t i = 0; i < out.size(); ++i) {
    size_t input = 0;
    int64_t position = chosen[static_cast<size_t>(i)];
    while (position >= total[input]) position -= total[input++];
    if (dtype == ir::DType::string) {
      out.strings()[static_cast<size_t>(i)] = inputs[input]->strings()[static_cast<size_t>(position)];
    } else {
      out.set_double(i, inputs[input]->as_double(position));
    }
  }
  return out;
}

void copy_strided(const uint8_t* source, size_t cell, uint8_t* target, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides) {
  std::vector<int64_t> extents, steps;  // neighbours that walk one straight line are merged
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return;
    if (shape[i] == 1) continue;
    if (!extents.empty() && steps.back() == strides[i] * shape[i]) {
      extents.back() *= shape[i];
      steps.back() = strides[i];
    } else {
      extents.push_back(shape[i]);
      steps.push_back(strides[i]);
    }
  }
  if (extents.empty()) {
    std::memcpy(target, source, cell);
    return;
  }
  const int64_t run = extents.back(), step = steps.back();
  extents.pop_back();
  steps.pop_back();
  std::vector<int64_t> index(extents.size(), 0);
  do {
    int64_t offset = 0;
    for (size_t i = 0; i < index.size(); ++i) offset += index[i] * steps[i];
    copy_run(source + offset * static_cast<int64_t>(cell), cell, step, target, run);
    target += static_cast<size_t>(run) * cell;
  } while (next_index(index, extents));
}

namespace {

/// Recursion over the axes; the innermost axis is split into runs of consecutive source positions (or of fill).
struct GridCopy {
  size_t cell;
  const std::vector<int64_t>& shape;
  const std::vector<std::vector<int64_t>>& maps;
  const uint8_t* fill;
  std::vector<int64_t> strides;
  std::vector<int64_t> block;                // target cells below one step of axis i
  std::vector<std::array<int64_t, 3>> runs;  // of the last mapped axis: first target, first source or -1, length

  void fill_cells(uint8_t* target, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) std::memcpy(target + static_cast<size_t>(i) * cell, fill, cell);
  }

  void walk(size_t axis, const uint8_t* source, uint8_t* target) const {
    const size_t stride = static_cast<size_t>(strides[axis]) * cell, step = static_cast<size_t>(block[axis]) * cell;
    if (axis + 1 == maps.size()) {
      for (const auto& [to, from, count] : runs) {
        uint8_t* place = target + static_cast<size_t>(to) * cell;
        if (from < 0) fill_cells(place, count);
        else std::memcpy(place, source + static_cast<size_t>(from) * cell, static_cast<size_t>(count) * cell);
      }
      return;
    }
    for (size_t i = 0; i < maps[axis].size(); ++i, target += step) {
      const int64_t from = maps[axis][i];
      if (from < 0) fill_cells(target, block[axis]);
      else walk(axis + 1, source + static_cast<size_t>(from) * stride, target);
    }
  }
};

}  // namespace

void copy_grid(const uint8_t* source, size_t cell, uint8_t* target, const std::vector<int64_t>& source_shape,
               const std::vector<std::vector<int64_t>>& maps, const uint8_t* fill) {
  if (maps.empty()) {
    std::memcpy(target, source, cell);
    return;
  }
  for (const auto& m : maps) {
    if (m.empty()) return;
  }
  // Trailing axes that are copied whole belong to the cell of the axis before them.
  auto whole = [&](size_t axis) {
    const auto& m = maps[axis];
    if (static_cast<int64_t>(m.size()) != source_shape[axis]) return false;
    for (size_t i = 0; i < m.size(); ++i) {
      if (m[i] != static_cast<int64_t>(i)) return false;
    }
    return true;
  };
  size_t used = maps.size();
  int64_t inner = 1;
  while (used > 1 && whole(used - 1)) inner *= source_shape[--used];
  std::vector<std::vector<int64_t>> kept(maps.begin(), maps.begin() + static_cast<int64_t>(used));
  std::vector<int64_t> shape(source_shape.begin(), source_shape.begin() + static_cast<int64_t>(used));

  GridCopy copy{cell, shape, kept, fill, row_major_strides(shape), std::vector<int64_t>(used, inner), {}};
  for (int64_t& s : copy.strides) s *= inner;
  for (size_t i = used - 1; i-- > 0;) copy.block[i] = copy.block[i + 1] * static_cast<int64_t>(kept[i + 1].size());
  const auto& last = kept.back();
  for (size_t i = 0; i < last.size();) {
    size_t end = i + 1;
    if (last[i] < 0) {
      while (end < last.size() && last[end] < 0) ++end;
    } else {
      while (end < last.size() && last[end] == last[i] + static_cast<int64_t>(end - i)) ++end;
    }
    const auto count = static_cast<int64_t>(end - i);
    copy.runs.push_back({static_cast<int64_t>(i) * inner, last[i] < 0 ? -1 : last[i] * inner, count * inner});
    i = end;
  }
  RT_CHECK(fill != nullptr || std::none_of(kept.begin(), kept.end(), [](const auto& m) {
             return std::any_of(m.begin(), m.end(), [](int64_t v) { return v < 0; });
           }));
  copy.walk(0, source, target);
}

}  // namespace rooftune::ops
