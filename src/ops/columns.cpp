#include "ops/columns.h"

#include "ops/cells.h"
#include "ops/dense.h"

namespace rooftune::ops {
namespace {

constexpr int64_t kColumnElements = int64_t{1} << 18;

/// Output rows are numbered over all spatial axes but the last. Writes one unfolded row: for window point `point` of
/// the channel plane `x`, the input elements under output row `row`, zero in the padding.
template <typename T>
void unfold_row(const ConvSizes& s, const T* x, const std::vector<int64_t>& point, const std::vector<int64_t>& row,
                T* to) {
  const Window& w = s.window;
  const size_t last = w.rank() - 1;
  int64_t plane = 0;
  for (size_t i = 0; i < last; ++i) {
    const int64_t at = row[i] * w.strides[i] - w.begin[i] + point[i] * w.dilations[i];
    if (at < 0 || at >= s.input[i]) {
      std::fill_n(to, s.output[last], T{0});
      return;
    }
    plane = (plane + at) * s.input[i + 1];
  }
  const int64_t first = point[last] * w.dilations[last] - w.begin[last], stride = w.strides[last],
                width = s.input[last];
  int64_t i = 0;
  for (; i < s.output[last] && first + i * stride < 0; ++i) to[i] = 0;
  const T* from = x + plane + first;
  for (; i < s.output[last] && first + i * stride < width; ++i) to[i] = from[i * stride];
  for (; i < s.output[last]; ++i) to[i] = 0;
}

}  // namespace

template <typename T>
void convolve(const ConvSizes& s, const T* x, const T* w, const T* bias, T* out) {
  const int64_t in_plane = product(s.input), out_plane = product(s.output), volume = s.window.volume();
  const int64_t channels = s.in_channels / s.groups, filters = s.out_channels / s.groups, depth = channels * volume;
  if (s.images * s.out_channels * out_plane == 0) return;
  const Window& win = s.window;
  const bool direct = volume == 1 && s.input == s.output && product(win.strides) == 1;
  const int64_t width = s.output.back(), rows = out_plane / width;
  const int64_t step =
      direct ? rows : std::clamp<int64_t>(kColumnElements / std::max<int64_t>(1, depth * width), 1, rows);
  const std::vector<int64_t> outer(s.output.begin(), s.output.end() - 1);
  std::vector<T> columns(direct ? 0 : static_cast<size_t>(depth * step * width));

  for (int64_t n = 0; n < s.images; ++n) {
    for (int64_t g = 0; g < s.groups; ++g) {
      const T* image = x + (n * s.in_channels + g * channels) * in_plane;
      T* result = out + (n * s.out_channels + g * filters) * out_plane;
      for (int64_t o = 0; o < filters; ++o)
        std::fill_n(result + o * out_plane, out_plane, bias ? bias[g * filters + o] : T{0});
      const T* weights = w + g * filters * depth;
      if (direct) {
        matrix_product<T>(filters, out_plane, depth, {weights, depth}, {image, in_plane}, result, out_plane, true);
        continue;
      }
      std::vector<int64_t> first(outer.size(), 0);
      for (int64_t r = 0; r < rows; r += step) {
        const int64_t count = std::min(step, rows - r);
        std::vector<int64_t> row = first;
        for (int64_t c = 0; c < channels; ++c) {
          std::vector<int64_t> point(win.rank(), 0);
          int64_t p = 0;
          do {
            row = first;
            T* to = columns.data() + (c * volume + p++) * count * width;
            for (int64_t i = 0; i < count; ++i, next_index(row, outer))
              unfold_row(s, image + c * in_plane, point, row, to + i * width);
          } while (next_index(point, win.kernel));
        }
        first = row;
        matrix_product<T>(filters, count * width, depth, {weights, depth}, {columns.data(), count * width},
                          result + r * width, out_plane, true);
      }
    }
  }
}

template <typename T>
void fold(const Window& w, const std::vector<int64_t>& input, const std::vector<int64_t>& output,
          const std::vector<int64_t>& point, const T* from, T* to) {
  const size_t last = w.rank() - 1;
  const std::vector<int64_t> outer(input.begin(), input.end() - 1);
  std::vector<int64_t> row(outer.size(), 0);
  do {
    int64_t plane = 0;
    bool inside = true;
    for (size_t i = 0; i < last; ++i) {
      const int64_t at = row[i] * w.strides[i] - w.begin[i] + point[i] * w.dilations[i];
      inside = inside && at >= 0 && at < output[i];
      plane = (plane + at) * output[i + 1];
    }
    const int64_t first = point[last] * w.dilations[last] - w.begin[last];
    for (int64_t i = 0; inside && i < input[last]; ++i) {
      const int64_t at = first + i * w.strides[last];
      if (at >= 0 && at < output[last]) to[plane + at] += from[i];
    }
    from += input[last];
  } while (next_index(row, outer));
}

template void fold(const Window&, const std::vector<int64_t>&, const std::vector<int64_t>&, const std::vector<int64_t>&,
                   const float*, float*);
template void fold(const Window&, const std::vector<int64_t>&, const std::vector<int64_t>&, const std::vector<int64_t>&,
                   const double*, double*);

template void convolve(const ConvSizes&, const float*, const float*, const float*, float*);
template void convolve(const ConvSizes&, const double*, const double*, const double*, double*);
template void convolve(const ConvSizes&, const uint32_t*, const uint32_t*, const uint32_t*, uint32_t*);

}  // namespace rooftune::ops
