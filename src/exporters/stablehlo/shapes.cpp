#include <algorithm>
#include <numeric>

#include "exporters/stablehlo/spelling.h"

namespace rooftune::exporters::stablehlo {
namespace {

using ir::DType;

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Whatever only gives its elements another shape.
void reshape(Spelling& s) { s.set(s.lines().reshape(s.in(0), s.out_shape())); }

void transpose(Spelling& s) {
  Ints perm(s.in(0).shape.size());
  std::iota(perm.rbegin(), perm.rend(), 0);
  s.set(s.lines().transpose(s.in(0), s.node().attr_ints("perm", perm)));
}

void concat(Spelling& s) {
  std::vector<Val> parts;
  for (size_t i = 0; i < s.count(); ++i) parts.push_back(s.in(i));
  s.set(s.lines().concatenate(parts, s.axis(s.node().attr_int("axis", 0), parts[0].rank())));
}

void expand(Spelling& s) { s.set(s.lines().broadcast(s.in(0), s.out_shape())); }

/// Backwards: the same elements forwards, and reversed.
void slice(Spelling& s) {
  Val x = s.in(0);
  const Ints first = s.ints(1, "starts"), last = s.ints(2, "ends");
  Ints axes(first.size()), by(first.size(), 1), starts(x.shape.size(), 0), ends = x.shape, steps(x.shape.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (s.has(3)) axes = s.ints(3, "axes");
  if (s.has(4)) by = s.ints(4, "steps");
  Ints reversed;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = s.axis(axes[i], x.rank()), n = x.shape[at(axis)];
    const auto from_end = [&](int64_t v) { return v < 0 ? std::max(v, -n - 1) + n : std::min(v, n); };
    int64_t a = from_end(first[i]), b = from_end(last[i]);
    if (by[i] > 0) {
      starts[at(axis)] = std::clamp<int64_t>(a, 0, n);
      ends[at(axis)] = std::max(starts[at(axis)], std::clamp<int64_t>(b, 0, n));
      steps[at(axis)] = std::min(by[i], std::max<int64_t>(n, 1));
      continue;
    }
    a = std::clamp<int64_t>(a, -1, n - 1), b = std::clamp<int64_t>(last[i] < -n ? -1 : b, -1, n - 1);
    const int64_t step = by[i] < -n ? std::max<int64_t>(n, 1) : -by[i], count = a > b ? (a - b - 1) / step + 1 : 0;
    starts[at(axis)] = count == 0 ? 0 : a - (count - 1) * step;
    ends[at(axis)] = count == 0 ? 0 : a + 1;
    steps[at(axis)] = step;
    reversed.push_back(axis);
  }
  x = s.lines().slice(x, starts, ends, steps);
  if (!reversed.empty())
    x = s.lines().op("stablehlo.reverse", {x}, x.dtype, x.shape, "dimensions = " + array(reversed));
  s.set(x);
}

void split(Spelling& s) {
  const Val x = s.in(0);
  const int64_t axis = s.axis(s.node().attr_int("axis", 0), x.rank());
  Ints starts(x.shape.size(), 0), ends = x.shape;
  const Ints steps(x.shape.size(), 1);
  int64_t from = 0;
  for (size_t i = 0; i < s.node().outputs.size(); ++i) {
    if (!s.wants(i)) s.fail("with an output that is left out, it cannot be written as StableHLO");
    starts[at(axis)] = from;
    ends[at(axis)] = from += s.out_shape(i)[at(axis)];
    s.set(s.lines().slice(x, starts, ends, steps), i);
  }
}

void pad(Spelling& s) {
  const Val x = s.in(0);
  if (s.node().attr_string("mode", "constant") != "constant")
    s.fail("only mode 'constant' can be written as StableHLO");
  const Ints pads = s.ints(1, "pads");
  Ints axes(x.shape.size()), low(x.shape.size(), 0), high(x.shape.size(), 0);
  std::iota(axes.begin(), axes.end(), 0);
  if (s.has(3)) axes = s.ints(3, "axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = s.axis(axes[i], x.rank());
    low[at(axis)] = pads[i];
    high[at(axis)] = pads[axes.size() + i];
  }
  const Val fill = s.has(2) ? s.lines().reshape(s.in(2), {}) : s.lines().splat(x.dtype, {}, 0);
  s.set(s.lines().pad(x, low, high, fill));
}

void tile(Spelling& s) {
  Val x = s.in(0);
  const Ints repeats = s.ints(1, "repeats");
  Ints wide, dims;
  for (size_t i = 0; i < repeats.size(); ++i) {
    wide.push_back(repeats[i]), wide.push_back(x.shape[i]);
    dims.push_back(static_cast<int64_t>(2 * i + 1));
  }
  s.set(s.lines().reshape(s.lines().broadcast(x, wide, dims), s.out_shape()));
}

/// Negative indices count from the end.
void gather(Spelling& s) {
  const Val x = s.in(0);
  Val index = s.in(1);
  const int64_t axis = s.axis(s.node().attr_int("axis", 0), x.rank()), n = x.shape[at(axis)];
  const Val below = s.lines().compare("LT", index, s.lines().splat(index.dtype, index.shape, 0));
  const Val from_end =
      s.lines().same("stablehlo.add", {index, s.lines().splat(index.dtype, index.shape, static_cast<double>(n))});
  index = s.lines().select(below, from_end, index);
  Ints sizes = x.shape, offset;
  sizes[at(axis)] = 1;
  for (int64_t d = 0; d < static_cast<int64_t>(s.out_shape().size()); ++d)
    if (d < axis || d >= axis + index.rank()) offset.push_back(d);
  s.set(s.lines().op(
      "stablehlo.gather", {x, index}, x.dtype, s.out_shape(),
      fmt::format("dimension_numbers = #stablehlo.gather<offset_dims = {}, collapsed_slice_dims = [{}], "
                  "start_index_map = [{}], index_vector_dim = {}>, slice_sizes = {}, indices_are_sorted = false",
                  list(offset), axis, axis, index.rank(), array(sizes))));
}

void constant_of_shape(Spelling& s) {
  const ir::Tensor* value = s.node().attr_tensor("value");
  s.set(s.lines().splat(s.out_dtype(), s.out_shape(), value ? value->as_double(0) : 0));
}

/// Nearest, by whole factors: every element stands `factor` times beside itself.
void resize(Spelling& s) {
  const Val x = s.in(0);
  const Ints out = s.out_shape();
  if (s.node().attr_string("mode", "nearest") != "nearest") s.fail("only mode 'nearest' can be written as StableHLO");
  Ints wide, dims;
  for (size_t i = 0; i < out.size(); ++i) {
    if (x.shape[i] == 0 || out[i] % x.shape[i] != 0) s.fail("only whole factors can be written as StableHLO");
    wide.push_back(x.shape[i]), wide.push_back(out[i] / x.shape[i]);
    dims.push_back(static_cast<int64_t>(2 * i));
  }
  const std::string place = s.node().attr_string("coordinate_transformation_mode", "half_pixel");
  const std::string rounding = s.node().attr_string("nearest_mode", "round_prefer_floor");
  const bool plain = (place == "asymmetric" && rounding == "floor") ||
                     (place == "half_pixel" && (rounding == "round_prefer_floor" || rounding == "round_prefer_ceil"));
  if (!plain) s.fail(fmt::format("coordinates '{}' with '{}' cannot be written as StableHLO", place, rounding));
  s.set(s.lines().reshape(s.lines().broadcast(x, wide, dims), out));
}

}  // namespace

void add_shapes(Table& table) {
  for (const char* name : {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}) table[name] = reshape;
  table["Transpose"] = transpose;
  table["Concat"] = concat;
  table["Expand"] = expand;
  table["Slice"] = slice;
  table["Split"] = split;
  table["Pad"] = pad;
  table["Tile"] = tile;
  table["Gather"] = gather;
  table["ConstantOfShape"] = constant_of_shape;
  table["Resize"] = resize;
}

}  // namespace rooftune::exporters::stablehlo
