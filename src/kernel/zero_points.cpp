// See rewrites.h.
#include <algorithm>
#include <optional>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

/// One factor of the summand: a load of bytes as i32, less a zero point that is the same for all that is summed.
struct Factor {
  int load = -1;
  int zero = -1;  // node; -1: none
};

class ZeroPoints {
 public:
  ZeroPoints(Kernel& kernel, size_t stage, bool any_signs) : kernel_(kernel), at_(stage), any_signs_(any_signs) {}

  bool run() {
    const Stage& s = stage();
    if (!s.is_reduction() || s.reduction != Reduction::sum || s.nodes.back().op != Op::mul ||
        s.nodes.back().type != DType::i32 || writers(kernel_, s.buffer).size() != 1)
      return false;
    for (size_t a = 0; a < s.axes.size(); ++a) {
      if (static_cast<int>(a) >= s.spatial) reduced_ |= uint64_t{1} << a;
      if (s.axes[a].live >= 0) return false;
    }
    const auto a = factor(s.nodes.back().a), b = factor(s.nodes.back().b);
    if (!a || !b) return false;
    x_ = *a, w_ = *b;
    if (constant(x_)) std::swap(x_, w_);
    const bool both_signed = !any_signs_ && type(x_) == DType::i8 && type(w_) == DType::i8;
    const bool hangs_over = !s.where.empty() && (x_.zero >= 0 || w_.zero >= 0 || both_signed);
    if (!both_signed && !hangs_over && x_.zero < 0 && w_.zero < 0) return false;
    if (x_.load == w_.load) return false;
    if ((hangs_over || both_signed) && !copy_of_x(hangs_over, both_signed)) return false;
    take_out();
    return true;
  }

 private:
  Stage& stage() { return kernel_.stages[at_]; }
  const ExprNode& node(int n) { return stage().nodes[static_cast<size_t>(n)]; }
  DType type(const Factor& f) { return node(f.load).type; }
  bool constant(const Factor& f) {
    return kernel_.buffers[static_cast<size_t>(node(f.load).buffer)].role == Role::constant;
  }

  std::optional<Factor> factor(int n) {
    Factor found;
    if (node(n).op == Op::sub) {
      found.zero = node(n).b;
      n = node(n).a;
      if ((axis_dependence(stage())[static_cast<size_t>(found.zero)] & reduced_) != 0) return std::nullopt;
    }
    if (node(n).op != Op::cast || node(n).type != DType::i32) return std::nullopt;
    found.load = node(n).a;
    const auto& load = node(found.load);
    if (load.op != Op::load || (load.type != DType::i8 && load.type != DType::u8) || !load.where.empty())
      return std::nullopt;
    for (const Index& e : load.indices)
      if (!node_variables(e).empty()) return std::nullopt;
    return found;
  }

  /// Copies a node and what it is made of to the end of `nodes`, axes replaced.
  int copied(int n, const std::function<Index(int)>& axis, std::vector<ExprNode>& nodes) {
    ExprNode copy = node(n);
    for_each_argument(copy, [&](int& a) { a = copied(a, axis, nodes); });
    for_each_index(copy, [&](Index& e) { e = e.substitute(axis); });
    return intern(nodes, std::move(copy));
  }

  static int literal(std::vector<ExprNode>& nodes, int64_t value) {
    ExprNode n{Op::constant, DType::i32};
    n.value = static_cast<double>(value);
    return intern(nodes, std::move(n));
  }

  /// A copy of x with the padding as numbers (its zero point), and from i8 brought to u8, that is, by 128 up.
  bool copy_of_x(bool padded, bool lifted) {
    const ExprNode load = node(x_.load);
    if (x_.zero >= 0 && axis_dependence(stage())[static_cast<size_t>(x_.zero)] != 0) return false;
    const Buffer x = kernel_.buffers[static_cast<size_t>(load.buffer)];
    const RangeOf ranges = axis_ranges(stage());
    std::vector<int64_t> shape = x.shape, low(shape.size(), 0);
    std::vector<bool> hangs_over(shape.size(), false);
    for (const Index& condition : padded ? stage().where : std::vector<Index>{}) {
      bool known = false;
      for (size_t d = 0; d < shape.size() && !known; ++d) {
        known = condition == load.indices[d] || condition == Index(x.shape[d] - 1) - load.indices[d];
        hangs_over[d] = hangs_over[d] || known;
      }
      if (!known) return false;
    }
    for (size_t d = 0; d < shape.size(); ++d) {
      if (!hangs_over[d]) continue;
      const Range range = load.indices[d].range(ranges);
      low[d] = std::max<int64_t>(0, -range.lo);
      shape[d] = std::max(x.shape[d], range.hi + 1) + low[d];
    }
    Stage copy;
    copy.name = "padded_" + x.name;
    for (size_t d = 0; d < shape.size(); ++d) {
      copy.axes.push_back({fmt::format("p{}", d), shape[d]});
      copy.out_indices.push_back(Index::variable(static_cast<int>(d)));
    }
    copy.spatial = static_cast<int>(shape.size());
    ExprNode read{Op::load, load.type};
    read.buffer = load.buffer;
    for (size_t d = 0; d < shape.size(); ++d) {
      read.indices.push_back(Index::variable(static_cast<int>(d)) - Index(low[d]));
      if (!hangs_over[d]) continue;
      read.where.push_back(read.indices[d]);
      read.where.push_back(Index(x.shape[d] - 1) - read.indices[d]);
    }
    auto& nodes = copy.nodes;
    nodes.push_back(read);
    int value = intern(nodes, {Op::cast, DType::i32, 0});
    if (padded && x_.zero >= 0) {
      const int zero = copied(x_.zero, [](int v) { return Index::variable(v); }, nodes);
      int all = -1;
      for (const Index& condition : read.where) {
        ExprNode e{Op::index, DType::i32};
        e.indices = {condition};
        const int holds = intern(nodes, {Op::le, DType::boolean, literal(nodes, 0), intern(nodes, std::move(e))});
        all = all < 0 ? holds : intern(nodes, {Op::logical_and, DType::boolean, all, holds});
      }
      if (all >= 0) value = intern(nodes, {Op::select, DType::i32, all, value, zero});
    }
    if (lifted) value = intern(nodes, {Op::add, DType::i32, value, literal(nodes, 128)});
    const DType to = lifted ? DType::u8 : load.type;
    value = intern(nodes, {Op::cast, to, value});
    keep_needed(copy, value);
    copy.buffer = kernel_.add_buffer(copy.name, to, shape, Role::temporary);
    kernel_.buffers[static_cast<size_t>(copy.buffer)].layout = fitted(x.layout, shape);
    if (padded) stage().where.clear();
    auto& read_here = stage().nodes[static_cast<size_t>(x_.load)];
    read_here.buffer = copy.buffer;
    read_here.type = to;
    for (size_t d = 0; d < shape.size(); ++d) read_here.indices[d] = read_here.indices[d] + Index(low[d]);
    if (lifted) {
      auto& here = stage().nodes;
      const int up = literal(here, 128);
      x_.zero = x_.zero < 0 ? up : intern(here, {Op::add, DType::i32, x_.zero, up});
    }
    kernel_.stages.insert(kernel_.stages.begin() + static_cast<std::ptrdiff_t>(at_), std::move(copy));
    ++at_;
    return true;
  }

  /// Σ over all that is summed of one factor, times the other's zero point where that is a constant: a stage of its own,
  /// before the one at hand. Gives what the result is read as in `nodes`, whose axes are the spatial ones.
  int sum_of(const Factor& f, int zero, const char* name, std::vector<ExprNode>& nodes) {
    const Stage s = stage();
    const ExprNode load = s.nodes[static_cast<size_t>(f.load)];
    const auto depends = axis_dependence(s);
    const uint64_t used = depends[static_cast<size_t>(f.load)] | depends[static_cast<size_t>(zero)];
    const bool fixed = constant(f) && only_constants(zero);
    Stage sum;
    sum.name = s.name + name;
    std::vector<int> moved(s.axes.size(), 0);
    std::vector<int64_t> shape;
    std::vector<Index> at;
    int64_t times = 1;  // how often each element is summed
    for (size_t a = 0; a < s.axes.size(); ++a) {
      const bool here = ((fixed ? used : depends[static_cast<size_t>(f.load)]) >> a & 1) != 0;
      const bool spatial = static_cast<int>(a) < s.spatial;
      if (here) {
        moved[a] = static_cast<int>(sum.axes.size());
        sum.axes.push_back(s.axes[a]);
        sum.spatial += spatial ? 1 : 0;
        if (spatial) shape.push_back(s.axes[a].extent), at.push_back(Index::variable(static_cast<int>(a)));
        if (spatial) sum.out_indices.push_back(Index::variable(moved[a]));
      } else if (!spatial) {
        times *= s.axes[a].extent;
      }
    }
    auto axis = [&](int v) {
      return v < kNodeVariable ? Index::variable(moved[static_cast<size_t>(v)]) : Index::variable(v);
    };
    int value = intern(sum.nodes, {Op::cast, DType::i32, copied(f.load, axis, sum.nodes)});
    if (fixed) value = intern(sum.nodes, {Op::mul, DType::i32, value, copied(zero, axis, sum.nodes)});
    if (times > 1) value = intern(sum.nodes, {Op::mul, DType::i32, value, literal(sum.nodes, times)});
    keep_needed(sum, value);
    sum.reduction = Reduction::sum;
    sum.buffer = kernel_.add_buffer(sum.name, DType::i32, shape, Role::temporary);
    ExprNode read{Op::load, DType::i32};
    read.buffer = sum.buffer;
    read.indices = at;
    kernel_.stages.insert(kernel_.stages.begin() + static_cast<std::ptrdiff_t>(at_), std::move(sum));
    ++at_;
    const int total = intern(nodes, std::move(read));
    if (fixed) return total;
    return intern(nodes, {Op::mul, DType::i32, total, copied(zero, [](int v) { return Index::variable(v); }, nodes)});
  }

  bool only_constants(int n) {
    bool all = true;
    ExprNode here = node(n);
    if (here.op == Op::load) all = kernel_.buffers[static_cast<size_t>(here.buffer)].role == Role::constant;
    for_each_argument(here, [&](int& a) { all = all && only_constants(a); });
    return all;
  }

  /// Leaves Σ x · w, and a map after it that brings the zero points in.
  void take_out() {
    if (x_.zero >= 0 || w_.zero >= 0) {
      Stage map;
      map.spatial = stage().spatial;
      map.axes.assign(stage().axes.begin(), stage().axes.begin() + map.spatial);
      map.name = stage().name + "_shifted";
      map.buffer = stage().buffer;
      map.out_indices = stage().out_indices;
      std::vector<int64_t> shape;
      std::vector<Index> in_order;
      for (int a = 0; a < map.spatial; ++a) {
        shape.push_back(map.axes[static_cast<size_t>(a)].extent);
        in_order.push_back(Index::variable(a));
      }
      const int sum = kernel_.add_buffer(stage().name, DType::i32, shape, Role::temporary);
      ExprNode read{Op::load, DType::i32};
      read.buffer = sum;
      read.indices = in_order;
      map.nodes.push_back(std::move(read));
      int value = 0;
      if (x_.zero >= 0)
        value = intern(map.nodes, {Op::sub, DType::i32, value, sum_of(w_, x_.zero, "_of_w", map.nodes)});
      if (w_.zero >= 0)
        value = intern(map.nodes, {Op::sub, DType::i32, value, sum_of(x_, w_.zero, "_of_x", map.nodes)});
      if (x_.zero >= 0 && w_.zero >= 0) {
        int64_t terms = 1;
        for (size_t a = static_cast<size_t>(stage().spatial); a < stage().axes.size(); ++a)
          terms *= stage().axes[a].extent;
        const auto same = [](int v) { return Index::variable(v); };
        const int both = intern(
            map.nodes, {Op::mul, DType::i32, copied(x_.zero, same, map.nodes), copied(w_.zero, same, map.nodes)});
        value = intern(map.nodes, {Op::add, DType::i32, value,
                                   intern(map.nodes, {Op::mul, DType::i32, both, literal(map.nodes, terms)})});
      }
      keep_needed(map, value);
      stage().buffer = sum;
      stage().out_indices = in_order;
      kernel_.stages.insert(kernel_.stages.begin() + static_cast<std::ptrdiff_t>(at_) + 1, std::move(map));
    }
    auto& nodes = stage().nodes;
    const ExprNode x = node(x_.load), w = node(w_.load);
    nodes = {x, {Op::cast, DType::i32, 0}, w, {Op::cast, DType::i32, 2}, {Op::mul, DType::i32, 1, 3}};
  }

  Kernel& kernel_;
  size_t at_;
  bool any_signs_;
  uint64_t reduced_ = 0;
  Factor x_, w_;
};

}  // namespace

void take_out_zero_points(Kernel& kernel, bool any_signs) {
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const size_t before = kernel.stages.size();
    if (ZeroPoints(kernel, s, any_signs).run()) s += kernel.stages.size() - before;
  }
}

}  // namespace rooftune::kernel
