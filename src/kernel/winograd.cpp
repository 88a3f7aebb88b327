// Winograd's minimal filtering F(m x m, 3 x 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
// 2015): tiles of (m+2)² inputs give m² outputs by (m+2)² products a channel instead of 9 m².
//
//   U[a,b,c,o] = Σ G[a,fy] G[b,fx] w[o,c,fy,fx]        once, from constants
//   V[a,b,t,c] = Bᵀ d B                                of the tile's inputs
//   M[a,b,t,o] = Σ_c V[a,b,t,c] U[a,b,c,o]             (m+2)² matrix products
//   y          = epilogue(Aᵀ M A)
//
// Points are 0, ±p₁, ±p₂ and ∞. Rows for +p and -p share an even and an odd part (e ± p·o), so a one-dimensional transform
// of six takes about a dozen operations. For m = 4 the points ±3/4, ±3/2 keep the error near that of plain summation
// (textbook ±1, ±2: five times worse).
//
// Stride 2 is split by parity: y[i] = x[2i] w₀ + x[2i+2] w₂, which is F(2, 2) of the even inputs by three products (points 0,
// 1, ∞), plus x[2i+1] w₁, two more. So two outputs take five products instead of six, in two dimensions 25 instead of 36,
// of tiles of 5² inputs, and four filters: the two products of odd inputs share theirs.
#include <algorithm>
#include <cmath>

#include "kernel/algorithms.h"
#include "kernel/epilogue.h"
#include "kernel/math.h"
#include "kernel/register_tile.h"
#include "kernel/sketch.h"

namespace rooftune::kernel {
namespace {

/// F(m, 3) of one dimension.
struct Minimal {
  int m = 2, stride = 1;

  std::vector<double> pairs() const { return m == 2 ? std::vector<double>{1.0} : std::vector<double>{0.75, 1.5}; }
  int inputs() const { return (m - 1) * stride + 3; }
  int products() const { return stride == 1 ? m + 2 : 2 * m + 1; }
  int filters() const { return m + 2; }
  /// Of products in their order. Stride 2: the odd inputs' two, then the even ones' three.
  Index filter_of(const Index& product, const RangeOf& ranges) const {
    return stride == 1 ? product : floordiv(product * 3, 4, ranges);
  }
};

/// Coefficients of Π (x - q²) over all pairs but `left_out`, lowest power first.
std::vector<double> even_product(const std::vector<double>& pairs, size_t left_out) {
  std::vector<double> c = {1};
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i == left_out) continue;
    std::vector<double> next(c.size() + 1, 0);
    for (size_t k = 0; k < c.size(); ++k) {
      next[k + 1] += c[k];
      next[k] -= c[k] * pairs[i] * pairs[i];
    }
    c = next;
  }
  return c;
}

int scaled(StageBuilder& b, double factor, int x) { return factor == 1 ? x : b.mul(b.constant(factor), x); }

int combination(StageBuilder& b, const std::vector<double>& c, const std::vector<int>& x, size_t first) {
  int sum = -1;
  for (size_t k = c.size(); k-- > 0;) {
    const int term = scaled(b, c[k], x[first + 2 * k]);
    sum = sum < 0 ? term : b.add(term, sum);
  }
  return sum;
}

/// Rows of Bᵀ x: for 0, +p₁, -p₁, …, ∞.
std::vector<int> input_rows(StageBuilder& b, const Minimal& f, const std::vector<int>& x) {
  if (f.stride == 2) return {x[1], x[3], b.sub(x[0], x[2]), x[2], b.sub(x[4], x[2])};
  const auto pairs = f.pairs();
  std::vector<int> rows = {combination(b, even_product(pairs, pairs.size()), x, 0)};
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto c = even_product(pairs, i);
    const int even = combination(b, c, x, 2);
    const int odd = scaled(b, pairs[i], combination(b, c, x, 1));
    rows.push_back(b.add(even, odd));
    rows.push_back(b.sub(even, odd));
  }
  rows.push_back(combination(b, even_product(pairs, pairs.size()), x, 1));
  return rows;
}

/// Rows of Aᵀ x: m outputs.
std::vector<int> output_rows(StageBuilder& b, const Minimal& f, const std::vector<int>& x) {
  if (f.stride == 2) return {b.add(b.add(x[2], x[3]), x[0]), b.add(b.add(x[3], x[4]), x[1])};
  const auto pairs = f.pairs();
  std::vector<int> rows;
  for (int i = 0; i < f.m; ++i) {
    int sum = i == 0 ? x[0] : -1;
    for (size_t k = 0; k < pairs.size(); ++k) {
      const int plus = x[1 + 2 * k], minus = x[2 + 2 * k];
      const int part = i % 2 == 0 ? b.add(plus, minus) : b.sub(plus, minus);
      const int term = scaled(b, std::pow(pairs[k], i), part);
      sum = sum < 0 ? term : b.add(term, sum);
    }
    if (i == f.m - 1) sum = b.add(sum, x.back());
    rows.push_back(sum);
  }
  return rows;
}

/// The matrix G: value of point j's row at power k.
double filter_coefficient(const Minimal& f, int j, int k) {
  constexpr double kByParity[4][3] = {{0, 1, 0}, {1, 0, 0}, {1, 0, 1}, {0, 0, 1}};
  if (f.stride == 2) return kByParity[j][k];
  const auto pairs = f.pairs();
  std::vector<double> points = {0};
  for (double p : pairs) points.push_back(p), points.push_back(-p);
  const int n = static_cast<int>(points.size());
  if (j == n) return k == 2 ? 1 : 0;
  double scale = 1;
  for (int l = 0; l < n; ++l)
    if (l != j) scale *= points[static_cast<size_t>(j)] - points[static_cast<size_t>(l)];
  return std::pow(points[static_cast<size_t>(j)], k) / scale;
}

/// The stage is a product of two loads in f32, which may have been widened from 16 bits.
bool multiplies_two_loads(const Stage& stage) {
  const auto is_load = [&](int n) {
    const auto& node = stage.nodes[static_cast<size_t>(n)];
    return node.op == Op::load || (node.op == Op::cast && ir::is_float(stage.nodes[static_cast<size_t>(node.a)].type) &&
                                   stage.nodes[static_cast<size_t>(node.a)].op == Op::load);
  };
  const auto& product = stage.nodes.back();
  return product.op == Op::mul && product.type == DType::f32 && is_load(product.a) && is_load(product.b);
}

int load_wide(StageBuilder& b, int buffer, std::vector<Index> at, std::vector<Index> where = {}) {
  const int loaded = b.load(buffer, std::move(at), std::move(where));
  return b.type_of(loaded) == DType::f32 ? loaded : b.cast(loaded, DType::f32);
}

struct Found {
  int stage = -1;     // the convolution
  int epilogue = -1;  // its only reader; -1: it writes an output itself
  int input = -1, weights = -1;
  int stride = 1;
  int pad_y = 0, pad_x = 0;
};

/// Recognises acc(n,o,y,x | c,fy:3,fx:3) = Σ in[n, c, s·y+fy-p, s·x+fx-q] · w[o,c,fy,fx] by its accesses, s being 1 or 2.
std::optional<Found> find_convolution(const Kernel& kernel) {
  for (int s = 0; s < static_cast<int>(kernel.stages.size()); ++s) {
    const auto& stage = kernel.stages[static_cast<size_t>(s)];
    if (!is_contraction(stage) || stage.spatial != 4 || stage.axes.size() != 7 || !multiplies_two_loads(stage))
      continue;
    if (stage.axes[5].extent != 3 || stage.axes[6].extent != 3) continue;
    Found found;
    found.stage = s;
    for (const auto& node : stage.nodes) {
      if (node.op != Op::load || node.indices.size() != 4) continue;
      const bool constant = kernel.buffers[static_cast<size_t>(node.buffer)].role == Role::constant;
      if (constant && plain_axis(node.indices[0]) == 1 && plain_axis(node.indices[1]) == 4 &&
          plain_axis(node.indices[2]) == 5 && plain_axis(node.indices[3]) == 6)
        found.weights = node.buffer;
      const int64_t stride = node.indices[2].coefficient(2);
      const auto shifted = [&](size_t d, int axis, int window) {
        const auto& e = node.indices[d];
        return e == Index::variable(axis) * stride + Index::variable(window) + Index(e.constant());
      };
      if (!constant && node.where.empty() && plain_axis(node.indices[1]) == 4 && (stride == 1 || stride == 2) &&
          shifted(2, 2, 5) && shifted(3, 3, 6) &&
          (plain_axis(node.indices[0]) == 0 || (node.indices[0].is_constant() && stage.axes[0].extent == 1))) {
        found.input = node.buffer;
        found.stride = static_cast<int>(stride);
        found.pad_y = static_cast<int>(-node.indices[2].constant());
        found.pad_x = static_cast<int>(-node.indices[3].constant());
      }
    }
    if (found.input < 0 || found.weights < 0) continue;
    if (kernel.buffers[static_cast<size_t>(found.input)].role != Role::input) continue;
    if (kernel.buffers[static_cast<size_t>(stage.buffer)].role == Role::temporary) {
      const auto reading = readers(kernel, stage.buffer);
      if (reading.size() != 1) continue;
      found.epilogue = reading[0];
      const auto& epilogue = kernel.stages[static_cast<size_t>(found.epilogue)];
      if (epilogue.is_reduction() || epilogue.spatial != 4 || kernel.stages.size() != 2) continue;
      bool plain = true;
      for (const auto& node : epilogue.nodes)
        if (node.op == Op::load && node.buffer == stage.buffer)
          for (int d = 0; d < 4; ++d)
            plain = plain && (plain_axis(node.indices[static_cast<size_t>(d)]) == d ||
                              epilogue.axes[static_cast<size_t>(d)].extent == 1);
      if (!plain) continue;
    } else if (kernel.stages.size() != 1) {
      continue;
    }
    return found;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Kernel> winograd(const Kernel& original, const Machine& machine, int m) {
  if (!original.parameters.empty()) return std::nullopt;  // tiles would mix what is live with what is not
  Kernel source = original;
  inline_maps(source);
  eliminate_dead_stages(source);
  const auto found = find_convolution(source);
  if (!found) return std::nullopt;
  const Stage conv = source.stages[static_cast<size_t>(found->stage)];
  const int64_t batch = conv.axes[0].extent, outputs = conv.axes[1].extent, height = conv.axes[2].extent,
                width = conv.axes[3].extent;
  const int64_t channels = conv.axes[4].extent;
  if (channels < machine.lanes || outputs < machine.lanes || height < m || width < m) return std::nullopt;
  const auto& in_shape = source.buffers[static_cast<size_t>(found->input)].shape;
  const Minimal f{m, found->stride};
  if (f.stride == 2 && m != 2) return std::nullopt;
  const int size = f.products(), inputs = f.inputs(), filters = f.filters(), step = m * f.stride;
  const int64_t tiles_y = (height + m - 1) / m, tiles_x = (width + m - 1) / m;
  const int64_t tiles = batch * tiles_y * tiles_x;

  Kernel k;
  k.name = source.name;
  k.buffers = source.buffers;  // numbers of operands and results stay
  k.algorithm = "winograd" + std::to_string(m);
  k.error_class = 3;
  const Axis a{"a", size}, b{"b", size}, t{"t", tiles}, c{"c", channels}, o{"o", outputs};
  const Axis ua{"a", filters}, ub{"b", filters};
  auto v = [](int i) { return Index::variable(i); };

  // U, in two one-dimensional steps; constants only, so it is prepared once.
  auto filter_rows = [&](StageBuilder& s, const std::vector<int>& taps) {
    std::vector<int> rows;
    for (int j = 0; j < filters; ++j) {
      int sum = -1;
      for (int i = 0; i < 3; ++i) {
        const double g = filter_coefficient(f, j, i);
        if (g == 0) continue;
        const int term = scaled(s, g, taps[static_cast<size_t>(i)]);
        sum = sum < 0 ? term : s.add(sum, term);
      }
      rows.push_back(sum);
    }
    return rows;
  };
  StageBuilder u1(k, "wino_u1", {c, {"fx", 3}, ua, o});
  std::vector<int> taps;
  for (int i = 0; i < 3; ++i) taps.push_back(load_wide(u1, found->weights, {v(3), v(0), Index(i), v(1)}));
  const int u1_buffer = u1.finish(pick(u1, 2, filter_rows(u1, taps)));
  StageBuilder u(k, "wino_u", {ua, ub, c, o});
  taps.clear();
  for (int i = 0; i < 3; ++i) taps.push_back(u.load(u1_buffer, {v(2), Index(i), v(0), v(3)}));
  const int u_buffer = u.finish(pick(u, 1, filter_rows(u, taps)));

  // V, likewise: first along y, then along x. Inputs outside the image are zero.
  auto tile_of = [&](int axis, Index& n, Index& ty, Index& tx) {
    const RangeOf ranges = [&, axis](int x) { return x == axis ? Range{0, tiles - 1} : Range{0, 0}; };
    n = floordiv(v(axis), tiles_y * tiles_x, ranges);
    ty = floordiv(mod(v(axis), tiles_y * tiles_x, ranges), tiles_x, ranges);
    tx = mod(v(axis), tiles_x, ranges);
  };
  StageBuilder v1(k, "wino_v1", {t, c, a, {"b", inputs}});
  Index n, ty, tx;
  tile_of(0, n, ty, tx);
  std::vector<int> x;
  for (int i = 0; i < inputs; ++i) {
    const Index iy = ty * step + Index(i - found->pad_y), ix = tx * step + v(3) - Index(found->pad_x);
    std::vector<Index> inside;
    for (const auto& e : {iy, Index(in_shape[2] - 1) - iy, ix, Index(in_shape[3] - 1) - ix}) inside.push_back(e);
    x.push_back(load_wide(v1, found->input, {n, v(1), iy, ix}, inside));
  }
  const int v1_buffer = v1.finish(pick(v1, 2, input_rows(v1, f, x)));
  StageBuilder v2(k, "wino_v", {a, b, t, c});
  x.clear();
  for (int i = 0; i < inputs; ++i) x.push_back(v2.load(v1_buffer, {v(2), v(3), v(0), Index(i)}));
  const int v_buffer = v2.finish(pick(v2, 1, input_rows(v2, f, x)));

  StageBuilder products(k, "wino_m", {a, b, t, o}, {c});
  const RangeOf of_products = [&](int) { return Range{0, size - 1}; };
  const int m_buffer = products.finish(
      products.mul(
          products.load(v_buffer, {v(0), v(1), v(2), v(4)}),
          products.load(u_buffer, {f.filter_of(v(0), of_products), f.filter_of(v(1), of_products), v(4), v(3)})),
      Reduction::sum);

  StageBuilder y1(k, "wino_y1", {t, o, {"i", m}, b});
  x.clear();
  for (int i = 0; i < size; ++i) x.push_back(y1.load(m_buffer, {Index(i), v(3), v(0), v(1)}));
  const int y1_buffer = y1.finish(pick(y1, 2, output_rows(y1, f, x)));

  // The epilogue at the tile's pixels.
  StageBuilder y(k, "wino_y", {t, o, {"i", m}, {"j", m}});
  tile_of(0, n, ty, tx);
  const std::vector<Index> pixel = {n, v(1), ty * m + v(2), tx * m + v(3)};
  if (height % m != 0) y.where(Index(height - 1) - pixel[2]);
  if (width % m != 0) y.where(Index(width - 1) - pixel[3]);
  const RangeOf ranges = [&](int axis) {
    return axis == 0 ? Range{0, tiles - 1} : axis == 1 ? Range{0, outputs - 1} : Range{0, m - 1};
  };
  x.clear();
  for (int i = 0; i < size; ++i) x.push_back(y.load(y1_buffer, {v(0), v(1), v(2), Index(i)}));
  const int sum = pick(y, 3, output_rows(y, f, x));
  finish_with_epilogue(y, source, conv, found->epilogue, sum, pixel, ranges);
  expand_math(k);
  // Products, and the transforms' additions and multiplications at about a dozen (m = 4) a row.
  const double row = f.stride == 2 ? 3 : m == 2 ? 4 : 14;
  const auto points = static_cast<double>(size) * size;
  k.operations = 2.0 * points * static_cast<double>(tiles * channels * outputs) +
                 static_cast<double>(tiles * (channels + outputs)) * 2.0 * size * row;
  verify(k);
  return k;
}

Schedule sketch_winograd(const Kernel& kernel, const Machine& machine, const Choose& choose) {
  auto stage_named = [&](const std::string& name) {
    for (size_t s = 0; s < kernel.stages.size(); ++s)
      if (kernel.stages[s].name == name) return static_cast<int>(s);
    return -1;
  };
  const int u1 = stage_named("wino_u1"), u = stage_named("wino_u"), v1 = stage_named("wino_v1"),
            v = stage_named("wino_v"), m = stage_named("wino_m"), y1 = stage_named("wino_y1"),
            y = stage_named("wino_y");
  const auto& products = kernel.stages[static_cast<size_t>(m)];
  const int64_t tiles = products.axes[2].extent, outputs = products.axes[3].extent, channels = products.axes[4].extent;
  const int64_t lanes = machine.lanes;
  const auto S = LoopKind::serial, U = LoopKind::unrolled, V = LoopKind::vector, P = LoopKind::parallel;
  Schedule schedule;
  schedule.stages.resize(kernel.stages.size());
  auto plan = [&](int s) -> StagePlan& { return schedule.stages[static_cast<size_t>(s)]; };

  const int64_t panel = 2 * lanes;  // of outputs: two vectors
  // Blocks of tiles: the fewer, the less often U is read; the smaller, the better V and M stay in the second-level cache
  // for all passes over the outputs. Register tiles of `rows` leave little over. Threads share the blocks, and read all of
  // U each; or, where there are too few blocks, their passes, and read all of V.
  const auto& transformed = kernel.buffers[static_cast<size_t>(kernel.stages[static_cast<size_t>(v)].buffer)];
  const int64_t points = transformed.shape[0] * transformed.shape[1];
  const auto& filters = kernel.buffers[static_cast<size_t>(kernel.stages[static_cast<size_t>(u)].buffer)];
  const int64_t u_bytes = filters.shape[0] * filters.shape[1] * channels * outputs * 4;
  constexpr int64_t kMostTiles = 64, kPass = 64;  // tiles of a block; outputs of a pass
  const int64_t passes = ceil_div(outputs, kPass);
  auto v_once = [&](int64_t block) { return tiles <= 2 * block && passes >= 2; };  // for all tasks
  auto cycles = [&](int64_t rows, int64_t block) {
    const int64_t blocks = ceil_div(tiles, block);
    const bool by_passes = blocks % machine.threads != 0 && v_once(block);
    const int64_t tasks = by_passes ? blocks * passes : blocks;
    const double busiest = static_cast<double>(ceil_div(tasks, machine.threads)) / static_cast<double>(tasks);
    double total = 0;
    for (int64_t done = 0; done < tiles; done += block)
      total += tiled_cycles(std::min(block, tiles - done), outputs / lanes, rows, 2, machine.fmas);
    total *= static_cast<double>(points * channels);
    const int64_t held = points * block * (channels + std::min(outputs, kPass)) * 4 + std::min(u_bytes, machine.l2 / 4);
    constexpr double kNear = 1.0 / 48, kFar = 1.0 / 16;  // cycles per byte, from the second level and from beyond
    total += static_cast<double>(blocks * u_bytes) * (u_bytes > machine.l2 / 2 ? kFar : kNear);
    total += static_cast<double>(passes * points * tiles * channels * 4) * (held > machine.l2 * 9 / 10 ? kFar : kNear);
    if (by_passes) total += static_cast<double>(machine.threads * points * tiles * channels * 4) * kFar;
    return total * busiest;
  };
  const auto legal_rows =
      up_to({1, 2, 4, 6, 7, 8, 10, 12, 13, 14}, std::min<int64_t>(tiles, machine.registers / 2 - 2));
  int64_t best_rows = 1, best_block = 1;
  double best = 1e300;
  for (int64_t r : legal_rows) {
    if (r > machine.registers / 2 - 4) continue;
    for (int64_t b = r; b < tiles + r && b <= std::max(kMostTiles, r); b += r)
      if (cycles(r, b) < best * 0.999) best = cycles(r, b), best_rows = r, best_block = b;
  }
  const int64_t rows = choose("wino.rows", legal_rows, best_rows);
  std::vector<int64_t> legal_blocks;
  for (int64_t n = rows; n < tiles + rows && n < kMostTiles + rows; n += rows)
    legal_blocks.push_back(std::min(n, tiles));
  const int64_t block = choose("wino.tiles", legal_blocks, std::min(best_block, tiles));
  const int64_t wide = choose("wino.outputs", up_to({32, 64, 128, 256, 512}, std::max(outputs, panel)), kPass);
  const bool shared = choose("wino.shared", {0, 1}, v_once(block) ? 1 : 0) != 0;

  // Prepared: vectors along o.
  plan(u1).loops = {{0, 1, P}, {3, lanes, S}, {1, 1, U}, {2, 1, U}, {3, 1, V}};
  plan(u).loops = {{3, panel, P}, {2, 1, S}, {3, lanes, S}, {0, 1, U}, {1, 1, U}, {3, 1, V}};
  // … and lying in the order in which they are read: pass, point, panel.
  std::vector<PhysicalAxis> u_axes = {{0, 1, 1}, {1, 1, 1}, {2, 1, 1}, {3, 1, 1}};
  if (wide > panel) u_axes.insert(u_axes.begin() + 2, {3, panel, 1});
  u_axes.insert(u_axes.begin(), {3, wide, 1});
  plan(u).layout = Layout(u_axes);

  auto& root = plan(y);
  int outer = 0;
  if (tiles > block) root.loops.push_back({0, block, P}), ++outer;
  if (outputs > wide || outer == 0) root.loops.push_back({1, wide, shared ? P : S});
  const int wide_loop = static_cast<int>(root.loops.size()) - 1;
  // Tiles innermost: inputs, V, M and outputs are then walked along memory.
  root.loops.push_back({1, lanes, S});
  root.loops.push_back({0, 1, S});
  const int point_loop = static_cast<int>(root.loops.size()) - 1;
  root.loops.push_back({2, 1, U});
  root.loops.push_back({3, 1, U});
  root.loops.push_back({1, 1, V});

  const Layout by_tile({{0, 1, 1}, {1, 1, 1, 48}, {3, lanes, 1}, {2, 1, 1}, {3, 1, 1}});
  plan(y1).at_stage = y;
  plan(y1).at_loop = point_loop;
  plan(y1).loops = {{2, 1, U}, {3, 1, U}, {1, 1, V}};
  plan(y1).layout = Layout({{0, 1, 1}, {2, 1, 1}, {3, 1, 1}, {1, 1, 1}});

  plan(m).at_stage = y;
  plan(m).at_loop = wide_loop;
  plan(m).loops = {{0, 1, S}, {1, 1, S}, {3, panel, S}, {2, rows, S}};
  if (channels > lanes) plan(m).loops.push_back({4, lanes, S});
  const int64_t unroll = choose("wino.unroll", {1, 2, 4}, 2);
  if (unroll > 1) plan(m).loops.push_back({4, unroll, S});
  plan(m).loops.push_back({4, 1, unroll > 1 ? U : S});
  for (const Loop& loop : {Loop{2, 1, U}, Loop{3, lanes, U}, Loop{3, 1, V}}) plan(m).loops.push_back(loop);
  plan(m).layout = by_tile;
  const int64_t turns = ceil_div(block, rows);
  if (channels > lanes && choose("wino.next", {0, 1}, u_bytes > machine.l2 / 4 ? 1 : 0) != 0)
    schedule.prefetch.push_back({m, kernel.stages[static_cast<size_t>(u)].buffer, 4, 1, 1, 2, rows, turns});

  plan(v).layout = by_tile;
  if (shared) {
    plan(v).loops = {{3, lanes, P}, {2, 1, P}, {0, 1, U}, {1, 1, U}, {3, 1, V}};
  } else {
    plan(v).at_stage = y;
    plan(v).at_loop = outer > 0 ? 0 : wide_loop;
    plan(v).loops = {{3, lanes, S}, {2, 1, S}, {0, 1, U}, {1, 1, U}, {3, 1, V}};
  }
  plan(v1).at_stage = v;
  plan(v1).at_loop = 1;
  plan(v1).loops = {{2, 1, U}, {3, 1, U}, {1, 1, V}};
  plan(v1).layout = Layout({{0, 1, 1}, {2, 1, 1}, {3, 1, 1}, {1, 1, 1}});
  // The weights lie so that the first step of U reads vectors of outputs.
  for (const auto& node : kernel.stages[static_cast<size_t>(u1)].nodes)
    if (node.op == Op::load && schedule.prepared.empty())
      schedule.prepared.emplace_back(node.buffer, Layout({{1, 1, channels}, {2, 1, 3}, {3, 1, 3}, {0, 1, outputs}}));
  return schedule;
}

}  // namespace rooftune::kernel
