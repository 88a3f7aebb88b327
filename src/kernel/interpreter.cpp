#include "kernel/interpreter.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernel/lanes.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

namespace {

using ir::Tensor;

constexpr int kBlock = 256;

int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/// A place in a tensor: its offset in elements, and those of its indices that are not proven to be inside.
struct Access {
  Index offset;
  bool linear = false;  // in the axes
  std::vector<std::pair<Index, int64_t>> unproven;
};

/// Runs one stage: an odometer over all axes but the longest, blocks of lanes along that one.
class StageRunner {
 public:
  StageRunner(const Kernel& kernel, const Stage& stage, std::vector<Tensor>& tensors)
      : kernel_(kernel), stage_(stage), tensors_(tensors), position_(stage.axes.size(), 0) {
    for (const ExprNode& n : stage.nodes) {
      lanes_.emplace_back(n.type, kBlock);
      accesses_.push_back(n.op == Op::load ? access(n.buffer, n.indices) : Access{});
    }
    out_ = access(stage.buffer, stage.out_indices);
    for (const Index& e : stage.where) {
      std::vector<int> used;
      e.collect_variables(used);
      (node_variables(e).empty() ? early_ : late_).push_back(e);
      if (std::all_of(used.begin(), used.end(), [&](int v) { return v < stage.spatial; })) of_points_.push_back(e);
    }
    for (size_t i = 0; i < stage.axes.size(); i++) {
      // Where points may meet, lanes keep to the order of the axes.
      if (lane_axis_ < 0 || stage.scatters || stage.axes[i].extent > extent(lane_axis_))
        lane_axis_ = static_cast<int>(i);
    }
    offsets_.resize(kBlock);
    scratch_.resize(kBlock);
    mask_.resize(kBlock);
    load_mask_.resize(kBlock);
    sums_.resize(kBlock);
    totals_.resize(kBlock);
  }

  void run() {
    for (int i = 0; i < stage_.spatial; i++) {
      if (extent(i) == 0) return;
    }
    if (stage_.scatters) return scatter_all();
    bool lanes_are_points = lane_axis_ >= 0 && lane_axis_ < stage_.spatial;
    walk(0, stage_.spatial, [&] {
      if (!lanes_are_points) return points(1);
      for_blocks([&] { points(count_); });
    });
  }

 private:
  int64_t extent(int axis) const { return stage_.axes[static_cast<size_t>(axis)].extent; }

  Access access(int buffer, const std::vector<Index>& indices) const {
    const std::vector<int64_t>& shape = kernel_.buffers[static_cast<size_t>(buffer)].shape;
    RangeOf ranges = axis_ranges(stage_);
    Access a;
    int64_t stride = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      a.offset = a.offset + indices[d] * stride;
      stride *= shape[d];
      Range r = indices[d].range(ranges);
      if (r.lo < 0 || r.hi >= shape[d]) a.unproven.emplace_back(indices[d], shape[d]);
    }
    a.linear = std::all_of(a.offset.terms().begin(), a.offset.terms().end(), [](const Index::Term& t) {
      return t.kind == Index::Term::Kind::variable && t.variable < kNodeVariable;
    });
    return a;
  }

  /// Calls f at every point of axes [begin, end) but the lanes' axis.
  template <typename F>
  void walk(int begin, int end, F&& f) {
    for (int i = begin; i < end; i++) position_[static_cast<size_t>(i)] = 0;
    while (true) {
      f();
      int i = end;
      while (--i >= begin) {
        if (i == lane_axis_) continue;
        if (++position_[static_cast<size_t>(i)] < extent(i)) break;
        position_[static_cast<size_t>(i)] = 0;
      }
      if (i < begin) return;
    }
  }

  template <typename F>
  void for_blocks(F&& f) {
    int64_t& at = position_[static_cast<size_t>(lane_axis_)];
    for (at = 0; at < extent(lane_axis_); at += kBlock) {
      count_ = static_cast<int>(std::min<int64_t>(kBlock, extent(lane_axis_) - at));
      f();
    }
    at = 0;
  }

  /// `results` points of the output: lanes, or one that lanes are reduced to.
  void points(int results) {
    const Lanes& value = lanes_.back();
    if (!stage_.is_reduction()) {
      count_ = results;
      evaluate_nodes();
      store(value, mask_.data());
      return;
    }
    start(results);
    bool empty = false;
    for (size_t i = static_cast<size_t>(stage_.spatial); i < stage_.axes.size(); i++)
      empty = empty || stage_.axes[i].extent == 0;
    bool lanes_reduce = lane_axis_ >= stage_.spatial;
    if (!empty) {
      walk(stage_.spatial, static_cast<int>(stage_.axes.size()), [&] {
        if (lanes_reduce) return for_blocks([&] { accumulate(true); });
        count_ = results;
        accumulate(false);
      });
    }
    Lanes result(value.type, results);
    for (size_t l = 0; l < static_cast<size_t>(results); l++) {
      visit(result, [&](auto* data) {
        using T = std::remove_cvref_t<decltype(*data)>;
        data[l] = std::is_integral_v<T> ? static_cast<T>(totals_[l]) : static_cast<T>(sums_[l]);
      });
    }
    settle(result, results);
    count_ = results;
    std::fill_n(mask_.begin(), results, 1);
    restrict_mask(of_points_, mask_.data());
    store(result, mask_.data());
  }

  void scatter_all() {
    for (const Axis& axis : stage_.axes) {
      if (axis.extent == 0) return;
    }
    walk(0, static_cast<int>(stage_.axes.size()), [&] {
      if (lane_axis_ >= 0) return for_blocks([&] { scatter_points(); });
      count_ = 1;
      scatter_points();
    });
  }

  /// One lane after the other: each may meet what the one before it has written.
  void scatter_points() {
    evaluate_nodes();
    for (const auto& [index, size] : out_.unproven) {
      lanes_of(index, scratch_.data());
      for (size_t l = 0; l < static_cast<size_t>(count_); l++)
        mask_[l] = mask_[l] && scratch_[l] >= 0 && scratch_[l] < size;
    }
    lanes_of(out_.offset, offsets_.data());
    Tensor& into = tensors_[static_cast<size_t>(stage_.buffer)];
    Lanes& value = lanes_.back();
    if (stage_.reduction == Reduction::none) return scatter(value, offsets_.data(), mask_.data(), count_, into);
    Lanes held(value.type, 1);
    for (size_t l = 0; l < static_cast<size_t>(count_); l++) {
      if (!mask_[l]) continue;
      gather(into, &offsets_[l], nullptr, 0, 1, held);
      visit(held, [&](auto* old) {
        using T = std::remove_cvref_t<decltype(*old)>;
        visit(value, [&](const auto* fresh) {
          if constexpr (std::is_same_v<T, std::remove_cvref_t<decltype(*fresh)>>) *old = combined(*old, fresh[l]);
        });
      });
      settle(held, 1);
      scatter(held, &offsets_[l], &mask_[l], 1, into);
    }
  }

  template <typename T>
  T combined(T old, T fresh) const {
    switch (stage_.reduction) {
      case Reduction::max: return below(old, fresh) ? fresh : old;
      case Reduction::min: return below(fresh, old) ? fresh : old;
      case Reduction::product: return static_cast<T>(wrapping(old) * wrapping(fresh));
      default: return static_cast<T>(wrapping(old) + wrapping(fresh));
    }
  }

  static float wrapping(float x) { return x; }
  static double wrapping(double x) { return x; }
  static uint64_t wrapping(int64_t x) { return static_cast<uint64_t>(x); }

  template <typename T>
  bool below(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (stage_.nodes.back().type == DType::u64) return static_cast<uint64_t>(a) < static_cast<uint64_t>(b);
    }
    return a < b;
  }

  void start(int results) {
    double sum = 0;
    int64_t total = 0;
    DType type = stage_.nodes.back().type;
    int bits = ir::bit_width(type);
    int64_t highest = static_cast<int64_t>(~uint64_t{0} >> (64 - bits + ir::is_signed(type)));
    int64_t lowest = ir::is_signed(type) ? -highest - 1 : 0;
    switch (stage_.reduction) {
      case Reduction::max: sum = -std::numeric_limits<double>::infinity(), total = lowest; break;
      case Reduction::min: sum = std::numeric_limits<double>::infinity(), total = highest; break;
      case Reduction::product: sum = 1, total = 1; break;
      default: break;
    }
    std::fill_n(sums_.begin(), results, sum);
    std::fill_n(totals_.begin(), results, total);
  }

  /// Adds the lanes to their own totals, or all of them to the first.
  void accumulate(bool to_one) {
    evaluate_nodes();
    const Lanes& value = lanes_.back();
    bool wide = value.type == DType::u64;
    size_t step = to_one ? 0 : 1;
    visit(value, [&](const auto* v) {
      using T = std::remove_cvref_t<decltype(*v)>;
      auto add_all = [&](auto* into, auto&& f) {
        for (size_t l = 0; l < static_cast<size_t>(count_); l++) {
          if (mask_[l]) into[l * step] = f(into[l * step], v[l]);
        }
      };
      if constexpr (std::is_floating_point_v<T>) {
        double* into = sums_.data();
        switch (stage_.reduction) {
          case Reduction::max: return add_all(into, [](double s, double x) { return x > s ? x : s; });
          case Reduction::min: return add_all(into, [](double s, double x) { return x < s ? x : s; });
          case Reduction::product: return add_all(into, [](double s, double x) { return s * x; });
          default: return add_all(into, [](double s, double x) { return s + x; });
        }
      } else {
        int64_t* into = totals_.data();
        auto below = [wide](int64_t x, int64_t y) {
          return wide ? static_cast<uint64_t>(x) < static_cast<uint64_t>(y) : x < y;
        };
        auto u = [](int64_t x) { return static_cast<uint64_t>(x); };
        switch (stage_.reduction) {
          case Reduction::max: return add_all(into, [&](int64_t s, int64_t x) { return below(s, x) ? x : s; });
          case Reduction::min: return add_all(into, [&](int64_t s, int64_t x) { return below(x, s) ? x : s; });
          case Reduction::product:
            return add_all(into, [&](int64_t s, int64_t x) { return static_cast<int64_t>(u(s) * u(x)); });
          default: return add_all(into, [&](int64_t s, int64_t x) { return static_cast<int64_t>(u(s) + u(x)); });
        }
      }
    });
  }

  void evaluate_nodes() {
    std::fill_n(mask_.begin(), count_, 1);
    restrict_mask(early_, mask_.data());
    for (size_t i = 0; i < stage_.nodes.size(); i++) {
      const ExprNode& n = stage_.nodes[i];
      if (n.op == Op::load) {
        load(n, accesses_[i], lanes_[i]);
      } else if (n.op == Op::index) {
        lanes_of(n.indices[0], scratch_.data());
        visit(lanes_[i], [&](auto* out) { std::copy_n(scratch_.data(), count_, out); });
        settle(lanes_[i], count_);
      } else {
        auto argument = [&](int a) { return a < 0 ? nullptr : &lanes_[static_cast<size_t>(a)]; };
        evaluate(n, argument(n.a), argument(n.b), argument(n.c), count_, lanes_[i]);
      }
    }
    restrict_mask(late_, mask_.data());
  }

  void load(const ExprNode& n, const Access& a, Lanes& out) {
    const Tensor& tensor = tensors_[static_cast<size_t>(n.buffer)];
    bool guarded = !n.where.empty() || !stage_.where.empty();
    if (a.linear && a.unproven.empty() && !guarded) {
      gather(tensor, scalar(a.offset), lane_axis_ < 0 ? 0 : a.offset.coefficient(lane_axis_), count_, out);
      return;
    }
    std::copy_n(mask_.begin(), count_, load_mask_.begin());
    restrict_mask(n.where, load_mask_.data());
    check_bounds(a, load_mask_.data(), n.buffer);
    lanes_of(a.offset, offsets_.data());
    gather(tensor, offsets_.data(), load_mask_.data(), n.value, count_, out);
  }

  void store(const Lanes& value, const uint8_t* mask) {
    check_bounds(out_, mask, stage_.buffer);
    lanes_of(out_.offset, offsets_.data());
    scatter(value, offsets_.data(), mask, count_, tensors_[static_cast<size_t>(stage_.buffer)]);
  }

  void check_bounds(const Access& a, const uint8_t* mask, int buffer) {
    for (const auto& [index, size] : a.unproven) {
      lanes_of(index, scratch_.data());
      for (size_t l = 0; l < static_cast<size_t>(count_); l++) {
        RT_CHECK(!mask[l] || (scratch_[l] >= 0 && scratch_[l] < size),
                 "kernel {}, stage {}: index {} of buffer {}, extent {}", kernel_.name, stage_.name, scratch_[l],
                 kernel_.buffers[static_cast<size_t>(buffer)].name, size);
      }
    }
  }

  void restrict_mask(const std::vector<Index>& conditions, uint8_t* mask) {
    for (const Index& e : conditions) {
      lanes_of(e, scratch_.data());
      for (int l = 0; l < count_; l++) mask[l] = mask[l] && scratch_[static_cast<size_t>(l)] >= 0;
    }
  }

  /// Of a linear index, at the first lane.
  int64_t scalar(const Index& e) const {
    int64_t sum = e.constant();
    for (const Index::Term& t : e.terms()) sum += t.coefficient * position_[static_cast<size_t>(t.variable)];
    return sum;
  }

  void lanes_of(const Index& e, int64_t* out) {
    int64_t first = e.constant(), stride = 0;
    for (const Index::Term& t : e.terms()) {
      if (t.kind != Index::Term::Kind::variable || t.variable >= kNodeVariable) continue;
      first += t.coefficient * position_[static_cast<size_t>(t.variable)];
      if (t.variable == lane_axis_) stride += t.coefficient;
    }
    for (int l = 0; l < count_; l++) out[l] = first + stride * l;
    for (const Index::Term& t : e.terms()) {
      if (t.kind == Index::Term::Kind::variable) {
        if (t.variable < kNodeVariable) continue;
        const std::vector<int64_t>& value = lanes_[static_cast<size_t>(t.variable - kNodeVariable)].i;
        for (int l = 0; l < count_; l++) out[l] += t.coefficient * value[static_cast<size_t>(l)];
        continue;
      }
      std::vector<int64_t> inner(static_cast<size_t>(count_));
      lanes_of(*t.argument, inner.data());
      for (int l = 0; l < count_; l++) {
        int64_t a = inner[static_cast<size_t>(l)], q = floor_quotient(a, t.divisor);
        out[l] += t.coefficient * (t.kind == Index::Term::Kind::floordiv ? q : a - q * t.divisor);
      }
    }
  }

  const Kernel& kernel_;
  const Stage& stage_;
  std::vector<Tensor>& tensors_;
  std::vector<int64_t> position_;  // of each axis; of the lanes' axis: of the first lane
  int lane_axis_ = -1;
  int count_ = 1;                 // lanes in use
  std::vector<Lanes> lanes_;      // per node
  std::vector<Access> accesses_;  // per node
  Access out_;
  std::vector<Index> early_, late_;  // the stage's conditions without and with node variables
  std::vector<Index> of_points_;     // those of spatial axes alone: they skip the store of a reduction too
  std::vector<int64_t> offsets_, scratch_, totals_;
  std::vector<double> sums_;
  std::vector<uint8_t> mask_, load_mask_;
};

/// Where no stage writes, a float result is NaN rather than something that may look right.
Tensor unwritten(const Buffer& buffer) {
  Tensor t(buffer.dtype, buffer.shape);
  if (t.bytes() > 0) std::fill_n(t.raw(), t.bytes(), ir::is_float(buffer.dtype) ? 0xff : 0x00);
  return t;
}

}  // namespace

std::vector<Tensor> interpret(const Kernel& kernel, const std::vector<Tensor>& given,
                              const std::vector<int64_t>& parameters) {
  RT_CHECK(parameters.size() == kernel.parameters.size(), "kernel {} has {} parameters, {} are given", kernel.name,
           kernel.parameters.size(), parameters.size());
  RT_CHECK(given.size() == kernel.buffers.size(), "kernel {} has {} buffers, {} tensors are given", kernel.name,
           kernel.buffers.size(), given.size());
  std::vector<Tensor> tensors(given.size());
  for (size_t b = 0; b < tensors.size(); b++) {
    const Buffer& buffer = kernel.buffers[b];
    if (buffer.role == Role::output || buffer.role == Role::temporary) {
      tensors[b] = unwritten(buffer);
      continue;
    }
    tensors[b] = given[b];
    RT_CHECK(given[b].dtype() == buffer.dtype && given[b].shape() == buffer.shape,
             "kernel {}: the tensor for {} is of another type", kernel.name, buffer.name);
  }
  for (Stage stage : kernel.stages) {
    for (Axis& axis : stage.axes)
      if (axis.live >= 0) axis.extent = std::min(axis.extent, parameters[static_cast<size_t>(axis.live)]);
    const auto fix = [&](Index& e) {
      if (uses_parameters(e))
        e = e.substitute([&](int v) {
          return v < kParameterVariable ? Index::variable(v)
                                        : Index(parameters[static_cast<size_t>(v - kParameterVariable)]);
        });
    };
    for (ExprNode& node : stage.nodes) for_each_index(node, fix);
    for (Index& e : stage.where) fix(e);
    for (Index& e : stage.out_indices) fix(e);
    StageRunner(kernel, stage, tensors).run();
  }
  std::vector<Tensor> outputs;
  for (size_t b = 0; b < tensors.size(); b++) {
    if (kernel.buffers[b].role == Role::output) outputs.push_back(std::move(tensors[b]));
  }
  return outputs;
}

}  // namespace rooftune::kernel
