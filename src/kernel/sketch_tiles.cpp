// Products of tiles in a sketch: which rows, columns and words make a tile, and how many of them are summed up at once.
#include <algorithm>
#include <numeric>

#include "kernel/sketch.h"

namespace rooftune::kernel {

namespace {

constexpr int64_t kLeastRows = 4;   // fewer are read faster in vectors
constexpr int64_t kLeastWords = 4;  // of a row

/// The longest row of whole words, at most 16, of which `extent` is a multiple.
int64_t row_length(int64_t extent, int width) {
  for (int64_t words = kTileRows; words >= kLeastWords; --words)
    if (extent % (words * width) == 0) return words * width;
  return 0;
}

}  // namespace

/// Decides between tiles and words for a sum whose vector and dot axes are chosen; true where tiles are taken. The second
/// operand is packed so that its words lie as a tile needs them; the first must have its rows evenly apart.
bool Sketch::choose_product_tiles(int s, const std::vector<int64_t>& extent, Tile& tile) {
  const auto& stage = kernel_.stages[static_cast<size_t>(s)];
  if (!machine_.tiles) return false;
  const auto dot = dot_operands(kernel_, stage);
  const auto* first = &stage.nodes[static_cast<size_t>(dot.a)];
  if (std::any_of(first->indices.begin(), first->indices.end(),
                  [&](const Index& e) { return e.uses(tile.vector_axis); }))
    first = &stage.nodes[static_cast<size_t>(dot.b)];
  auto extent_of = [&](int a) { return extent[static_cast<size_t>(a)]; };
  const int64_t length =
      row_length(depth_ > 0 ? std::gcd(extent_of(tile.dot_axis), depth_) : extent_of(tile.dot_axis), dot.width);
  if (length == 0 ||
      stride(kernel_, stage, first->buffer, first->indices, tile.dot_axis, static_cast<int>(length)) != 1)
    return false;
  int row_axis = -1, other_axis = -1;  // rows of a tile; rows of tiles where those are few
  for (int a : row_axes(stage, tile.vector_axis)) {
    const bool read =
        std::any_of(first->indices.begin(), first->indices.end(), [&](const Index& e) { return e.uses(a); });
    if (!read) continue;
    const bool even = stride(kernel_, stage, first->buffer, first->indices, a, kTileRows).has_value();
    if (row_axis < 0 && even) row_axis = a;
    else if (other_axis < 0 && row_axis >= 0) other_axis = a;
  }
  if (row_axis < 0) return false;
  const int64_t rows = extent_of(row_axis), columns = ceil_div(extent_of(tile.vector_axis), kTileRows);
  if (choose_(stage.name + ".tiles", {0, 1}, rows >= kLeastRows ? 1 : 0) == 0) return false;
  tile.tiled = true;
  tile.dot = length;
  // 2 x 2 sums read least; of the eight registers four are left for operands. Few rows want more columns.
  const bool several = rows > kTileRows || other_axis >= 0;
  const int64_t start = several ? 2 : 3;
  const auto legal = up_to({1, 2, 3}, columns);
  tile.vectors = static_cast<int>(choose_(stage.name + ".vectors", legal, std::min(start, legal.back())));
  const int64_t most = tile.vectors == 1 ? 3 : tile.vectors == 2 ? 2 : 1;
  std::vector<int64_t> heights;
  for (int64_t tiles = 1; tiles <= most; ++tiles) {
    const int64_t even = ceil_div(rows, ceil_div(rows, tiles * kTileRows));  // blocks of nearly the same size
    for (int64_t h : {std::min(rows, tiles * kTileRows), even}) heights.push_back(h);
  }
  std::sort(heights.begin(), heights.end());
  heights.erase(std::unique(heights.begin(), heights.end()), heights.end());
  const int64_t tallest = std::min(rows, most * kTileRows);
  const int64_t height = choose_(stage.name + ".rows", heights, ceil_div(rows, ceil_div(rows, tallest)));
  if (height == rows && rows <= kTileRows && other_axis >= 0) {
    const auto counts = up_to({1, 2, 3}, std::min(most, extent_of(other_axis)));
    const int64_t taken = choose_(stage.name + ".rows2", counts, counts.back());
    if (taken > 1) tile.rows.emplace_back(other_axis, taken);
  }
  tile.rows.emplace_back(row_axis, height);
  return true;
}

/// How a map walks the rows that a tile gives it: copies of all of them would be many.
std::vector<Loop> Sketch::row_loops(const Tile& tile, const std::pair<int, int64_t>& rows, int axis) const {
  if (rows.second <= 1) return {};
  if (!tile.tiled) return {{axis, 1, LoopKind::unrolled}};
  constexpr int64_t kCopies = 2;
  return {{axis, kCopies, LoopKind::serial}, {axis, 1, LoopKind::unrolled}};
}

}  // namespace rooftune::kernel
