// Products with weights of 4 or 8 bits (see rewrites.h). Σ x·(w − z)·s over a block of k is s · (Σ x·w − z·Σ x): what is
// left to sum are the weights as they are stored, and a scale is needed once for all of a block.
//
// x goes along as integers of 24 bits, in units of the largest of its block / 127 · 2¹⁶, as three bytes: Σ x·w is then
// 2¹⁶ · Σ high·w + 2⁸ · Σ middle·w + Σ low·w, dot products in words, all exact. So weights are never turned into floats one
// by one: a word of four is one operation of each sum. What x loses is what it loses in f32: 2⁻²⁴ of the largest in its block.
// With two bytes it is 2⁻¹⁶, for two thirds of the arithmetic, which counts where many rows share the weights.
//
//   stage largest(m, block | k)           = max |x|
//   stage fixed(m, block, k)              = round(x · 127 · 2¹⁶ / largest)             i32
//   stage byte_p(m, block, a, h, j)       = byte p of fixed at k = 8a + 2j + h         i8: as 4-bit weights lie, see below
//   stage sums(m, block | k)              = sum fixed                                  where there are zero points
//   stage words(p, m, n, block | a, h, j) = sum byte_p · (w >> 4h & 15)                i32: words of four j
//   stage acc(m, n | block)               = sum (Σ_p 256^(2−p) · words[p] − z · sums) · (s · largest / 127 · 2¹⁶)
//
// Two weights of 4 bits lie in a byte, the one of even k in its lower half, so a word of four bytes holds eight: those of
// even k when it is masked, those of odd k when it is shifted before.
#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

constexpr int64_t kMostBlock = 128;  // elements of x that share a unit
constexpr double kLeastLargest =
    1e-30;  // what a block's largest element counts as at least, so that nobody divides by 0

using MoveAxis = std::function<Index(int axis)>;

/// Copies nodes of one stage into another, axes replaced.
class Copier {
 public:
  Copier(const Stage& from, StageBuilder& to, MoveAxis axis, RangeOf ranges)
      : from_(from), to_(to), axis_(std::move(axis)), ranges_(std::move(ranges)), made_(from.nodes.size(), -1) {}

  int operator()(int n) {
    int& made = made_[static_cast<size_t>(n)];
    if (made >= 0) return made;
    const ExprNode& node = from_.nodes[static_cast<size_t>(n)];
    switch (node.op) {
      case Op::constant: return made = to_.constant(node.value, node.type);
      case Op::load: return made = to_.load(node.buffer, moved(node.indices), moved(node.where), node.value);
      case Op::index: return made = to_.index(moved(node.indices)[0], node.type);
      default: {
        const int arity = info(node.op).arity;
        const int a = (*this)(node.a), b = arity > 1 ? (*this)(node.b) : -1, c = arity > 2 ? (*this)(node.c) : -1;
        return made_[static_cast<size_t>(n)] = to_.node(node.op, node.type, a, b, c);
      }
    }
  }

 private:
  std::vector<Index> moved(const std::vector<Index>& indices) {
    std::vector<Index> result;
    for (const Index& e : indices)
      result.push_back(simplify(e.substitute([&](int v) {
        if (v >= kParameterVariable) return Index::variable(v);
        return v < kNodeVariable ? axis_(v) : to_.value_index((*this)(v - kNodeVariable));
      }),
                                ranges_));
    return result;
  }

  const Stage& from_;
  StageBuilder& to_;
  MoveAxis axis_;
  RangeOf ranges_;
  std::vector<int> made_;
};

RangeOf ranges_of(const std::vector<Axis>& axes) {
  return [axes](int v) {
    if (static_cast<size_t>(v) >= axes.size()) return Range{-kUnbounded, kUnbounded};
    return Range{0, axes[static_cast<size_t>(v)].extent - 1};
  };
}

class WeightWords {
 public:
  WeightWords(Kernel& kernel, size_t stage, int bytes) : kernel_(kernel), at_(stage), bytes_(bytes) {}

  bool run() {
    if (!is_product()) return false;
    const auto& top = s_.nodes.back();
    if (!is_weights(top.b, top.a) && !is_weights(top.a, top.b)) return false;
    if (!find_block()) return false;
    for (int a = 0; a < s_.spatial; ++a)
      if (uses(x_, a)) of_x_.push_back(a);
    if (bytes_ < 3 && !many_rows()) return false;
    rewrite();
    return true;
  }

 private:
  const ExprNode& node(int n) const { return s_.nodes[static_cast<size_t>(n)]; }
  bool uses(int n, int axis) const { return (depends_[static_cast<size_t>(n)] >> axis & 1) != 0; }

  /// A sum over one axis of products of floats, as it is with all that is made of constants written into it.
  bool is_product() {
    const Stage& original = kernel_.stages[at_];
    if (!original.is_reduction() || original.reduction != Reduction::sum || original.nodes.back().op != Op::mul ||
        original.nodes.back().type != DType::f32 || !original.where.empty() || original.spatial == 0 ||
        original.spatial + 1 != static_cast<int>(original.axes.size()) || original.axes.back().live >= 0 ||
        original.axes.size() > 32 || writers(kernel_, original.buffer).size() != 1)
      return false;
    s_ = with_constants_inlined(kernel_, at_);
    depends_ = axis_dependence(s_);
    k_ = s_.spatial;
    n_ = s_.spatial - 1;
    return s_.nodes.back().op == Op::mul && s_.axes[static_cast<size_t>(n_)].live < 0;
  }

  bool only_constants(int n) const {
    const ExprNode& here = node(n);
    bool all = here.op != Op::load || kernel_.buffers[static_cast<size_t>(here.buffer)].role == Role::constant;
    for_each_index(here, [&](const Index& e) { all = all && node_variables(e).empty() && !uses_parameters(e); });
    for_each_argument(here, [&](int a) { all = all && only_constants(a); });
    return all;
  }

  /// Whether `w` is (number − zero) · scale of the last spatial axis and k alone, and `x` has nothing to do with that axis.
  bool is_weights(int w, int x) {
    const uint64_t both = uint64_t{1} << n_ | uint64_t{1} << k_;
    if ((depends_[static_cast<size_t>(w)] & ~both) != 0 || !uses(w, n_) || !uses(w, k_) || uses(x, n_) ||
        !uses(x, k_) || node(w).op != Op::mul || !only_constants(w))
      return false;
    for (auto [shifted, scale] : {std::pair(node(w).a, node(w).b), std::pair(node(w).b, node(w).a)}) {
      zero_ = node(shifted).op == Op::sub ? node(shifted).b : -1;
      const int wide = zero_ >= 0 ? node(shifted).a : shifted;
      if (node(wide).op != Op::cast || node(node(wide).a).type != DType::u8) continue;
      number_ = node(wide).a, scale_ = scale, x_ = x;
      int byte = number_;
      shift_ = -1;
      if (node(byte).op == Op::bit_and) {
        const auto &mask = node(node(byte).b), &bits = node(node(byte).a);
        if (mask.op != Op::constant || mask.value != 15 || bits.op != Op::shift_right) continue;
        byte = bits.a, shift_ = bits.b;
      }
      byte_ = byte;
      if (node(byte).op == Op::load && node(byte).where.empty() && uses(byte, n_) && uses(byte, k_)) return true;
    }
    return false;
  }

  std::vector<Index> substituted(int n, const std::vector<Axis>& axes, const MoveAxis& axis) const {
    std::vector<Index> result;
    for_each_index(node(n), [&](const Index& e) { result.push_back(simplify(e.substitute(axis), ranges_of(axes))); });
    for_each_argument(node(n), [&](int a) {
      for (auto& e : substituted(a, axes, axis)) result.push_back(std::move(e));
    });
    return result;
  }

  /// The axes of what is summed within a block: steps of words, halves of bytes, the elements of a word.
  std::vector<Axis> inner_axes() const {
    if (shift_ < 0) return {{"a", block_ / 4}, {"j", 4}};
    return {{"a", block_ / 8}, {"h", 2}, {"j", 4}};
  }

  /// k of block `block`, with the inner axes from `first` on.
  Index inner_k(const Index& block, int first) const {
    auto v = [&](int i) { return Index::variable(first + i); };
    const Index inner = shift_ < 0 ? v(0) * 4 + v(1) : v(0) * 8 + v(1) + v(2) * 2;
    return block * block_ + inner;
  }

  /// The blocks in which scales and zero points are constant, or parts of them, if they can be read in words.
  bool find_block() {
    const int64_t depth = s_.axes[static_cast<size_t>(k_)].extent;
    for (block_ = kMostBlock; block_ >= 8; block_ /= 2) {
      if (depth % block_ != 0) continue;
      const int within = static_cast<int>(s_.axes.size());
      std::vector<Axis> axes = s_.axes;
      axes[static_cast<size_t>(k_)].extent = depth / block_;
      axes.push_back({"i", block_});
      auto in_blocks = [&](int v) {
        return v == k_ ? Index::variable(k_) * block_ + Index::variable(within) : Index::variable(v);
      };
      bool constant = true;
      for (int n : {scale_, zero_})
        if (n >= 0)
          for (const Index& e : substituted(n, axes, in_blocks)) constant = constant && !e.uses(within);
      if (constant && lies_in_words()) return true;
    }
    return false;
  }

  /// The weights of a word are neighbours along one dim, and shifted alike.
  bool lies_in_words() const {
    std::vector<Axis> axes = s_.axes;
    axes[static_cast<size_t>(k_)].extent /= block_;
    const int first = static_cast<int>(axes.size());
    for (const Axis& a : inner_axes()) axes.push_back(a);
    const int j = static_cast<int>(axes.size()) - 1;
    auto in_words = [&](int v) { return v == k_ ? inner_k(Index::variable(k_), first) : Index::variable(v); };
    int dims = 0;
    for (const Index& e : substituted(byte_, axes, in_words)) {
      if (e.appears_inside(j) || (e.uses(j) && e.coefficient(j) != 1) || (e.uses(n_) && plain_axis(e) != n_))
        return false;
      dims += e.uses(j) ? 1 : 0;
    }
    if (shift_ >= 0)
      for (const Index& e : substituted(shift_, axes, in_words))
        if (e.uses(j)) return false;
    return dims == 1;
  }

  // --- making the stages

  /// Axes of x among the spatial ones, blocks, and `more`.
  std::vector<Axis> x_axes(const std::vector<Axis>& more = {}) const {
    std::vector<Axis> axes;
    for (int a : of_x_) axes.push_back(s_.axes[static_cast<size_t>(a)]);
    axes.push_back({"block", blocks()});
    axes.insert(axes.end(), more.begin(), more.end());
    return axes;
  }
  int64_t blocks() const { return s_.axes[static_cast<size_t>(k_)].extent / block_; }
  /// The first `count` axes of a stage whose axes begin with those of x, beginning at `first`.
  static std::vector<Index> axes_from(int first, int count) {
    std::vector<Index> result;
    for (int a = 0; a < count; ++a) result.push_back(Index::variable(first + a));
    return result;
  }
  /// Where a stage over the spatial axes of the product, from `first` on, finds something by the axes of x and `block`.
  std::vector<Index> x_at(int first, const Index& block) const {
    std::vector<Index> result;
    for (int a : of_x_) result.push_back(Index::variable(first + a));
    result.push_back(block);
    return result;
  }
  int rank() const { return static_cast<int>(of_x_.size()); }  // x's axes without blocks

  /// x at block and `inner` of a stage that begins with the axes of x.
  int x_of(StageBuilder& b, const std::vector<Axis>& axes, const Index& inner) {
    const MoveAxis axis = [&](int v) {
      if (v == k_) return Index::variable(rank()) * block_ + inner;
      return Index::variable(static_cast<int>(std::find(of_x_.begin(), of_x_.end(), v) - of_x_.begin()));
    };
    return Copier(s_, b, axis, ranges_of(axes))(x_);
  }

  /// Of x as an integer: then its highest byte is a signed one.
  double largest_integer() const { return bytes_ == 3 ? 127.0 * 65536 : 127.0 * 256; }
  std::string name(const char* part) const { return s_.name + "_" + part; }

  /// Of few it is the bytes of the weights that take the time.
  bool many_rows() const {
    int64_t rows = 1;
    for (int a : of_x_) rows *= s_.axes[static_cast<size_t>(a)].extent;
    return rows >= 16;
  }

  void rewrite() {
    constexpr double kOfTwoBytes = 40;  // rounding errors of 2⁻¹⁶ / √3 of the largest in a block, not of 2⁻²⁴ of each
    if (bytes_ < 3) kernel_.error_class = std::max(kernel_.error_class, kOfTwoBytes);
    const size_t before = kernel_.stages.size();
    const int largest = add_largest();
    const int fixed = add_fixed(largest);
    const int bytes = add_bytes(fixed);
    const int sums = zero_ >= 0 ? add_sums(fixed) : -1;
    const int words = add_words(bytes);
    const Stage result = combined(largest, sums, words);
    const auto first = kernel_.stages.begin() + static_cast<std::ptrdiff_t>(at_);
    std::rotate(first, kernel_.stages.begin() + static_cast<std::ptrdiff_t>(before), kernel_.stages.end());
    kernel_.stages[at_ + kernel_.stages.size() - before] = result;
  }

  int add_largest() {
    const auto axes = x_axes({{"i", block_}});
    StageBuilder b(kernel_, name("largest"), x_axes(), {{"i", block_}});
    return b.finish(b.unary(Op::abs, x_of(b, axes, Index::variable(rank() + 1))), Reduction::max);
  }

  int add_fixed(int largest) {
    const auto axes = x_axes({{"i", block_}});
    StageBuilder b(kernel_, name("fixed"), axes);
    const int most = b.max(b.load(largest, axes_from(0, rank() + 1)), b.constant(kLeastLargest));
    const int x = x_of(b, axes, Index::variable(rank() + 1));
    return b.finish(b.cast(b.unary(Op::round, b.mul(x, b.div(b.constant(largest_integer()), most))), DType::i32));
  }

  /// Its bytes, the highest first, in the order in which the words of weights have them; signed ones, so that each may borrow
  /// from the next higher one.
  int add_bytes(int fixed) {
    const auto inner = inner_axes();
    std::vector<int64_t> shape = {bytes_};
    for (const Axis& a : x_axes(inner)) shape.push_back(a.extent);
    const int bytes = kernel_.add_buffer(name("bytes"), DType::i8, shape, Role::temporary);
    for (int p = 0; p < bytes_; ++p) {
      const auto axes = x_axes(inner);
      StageBuilder b(kernel_, name(fmt::format("byte{}", p).c_str()), axes);
      auto from = axes_from(0, rank() + 1);
      from.push_back(inner_k(Index(0), rank() + 1));
      auto number = [&](double n) { return b.constant(n, DType::i32); };
      const auto higher = [&](int v) { return b.node(Op::shift_right, DType::i32, b.add(v, number(128)), number(8)); };
      int value = b.load(fixed, from);
      for (int q = bytes_ - 1; q > p; --q) value = higher(value);
      if (p > 0) value = b.sub(value, b.node(Op::shift_left, DType::i32, higher(value), number(8)));
      std::vector<Index> out = {Index(p)};
      for (const Index& e : axes_from(0, static_cast<int>(axes.size()))) out.push_back(e);
      b.finish(b.cast(value, DType::i8), Reduction::none, bytes, out);
    }
    return bytes;
  }

  int add_sums(int fixed) {
    StageBuilder b(kernel_, name("sums"), x_axes(), {{"i", block_}});
    return b.finish(b.load(fixed, axes_from(0, rank() + 2)), Reduction::sum);
  }

  int add_words(int bytes) {
    std::vector<Axis> spatial = {{"p", bytes_}};
    spatial.insert(spatial.end(), s_.axes.begin(), s_.axes.begin() + s_.spatial);
    spatial.push_back({"block", blocks()});
    const auto inner = inner_axes();
    auto axes = spatial;
    axes.insert(axes.end(), inner.begin(), inner.end());
    StageBuilder b(kernel_, name("words"), spatial, inner);
    const Index block = Index::variable(s_.spatial + 1);
    const int first = s_.spatial + 2;
    auto at = x_at(1, block);
    at.insert(at.begin(), Index::variable(0));
    for (const Index& e : axes_from(first, static_cast<int>(inner.size()))) at.push_back(e);
    const MoveAxis axis = [&](int v) { return v == k_ ? inner_k(block, first) : Index::variable(1 + v); };
    const int weights = Copier(s_, b, axis, ranges_of(axes))(number_);
    return b.finish(b.mul(b.cast(b.load(bytes, at), DType::i32), b.cast(weights, DType::i32)), Reduction::sum);
  }

  Stage combined(int largest, int sums, int words) {
    Kernel scratch;  // only its buffers are looked at
    scratch.buffers = kernel_.buffers;
    const std::vector<Axis> spatial(s_.axes.begin(), s_.axes.begin() + s_.spatial);
    auto axes = spatial;
    axes.push_back({"block", blocks()});
    StageBuilder b(scratch, s_.name, spatial, {axes.back()});
    const Index block = Index::variable(s_.spatial);
    const MoveAxis axis = [&](int v) { return v == k_ ? block * block_ : Index::variable(v); };
    Copier copy(s_, b, axis, ranges_of(axes));
    auto part = [&](int p) {
      std::vector<Index> at = {Index(p)};
      for (int a = 0; a <= s_.spatial; ++a) at.push_back(Index::variable(a));
      return b.cast(b.load(words, at), DType::f32);
    };
    int total = part(0);
    for (int p = 1; p < bytes_; ++p) total = b.node(Op::fma, DType::f32, total, b.constant(256), part(p));
    if (sums >= 0) total = b.sub(total, b.mul(copy(zero_), b.cast(b.load(sums, x_at(0, block)), DType::f32)));
    const int most = b.max(b.load(largest, x_at(0, block)), b.constant(kLeastLargest));
    const int unit = b.mul(most, b.constant(1 / largest_integer()));
    b.finish(b.mul(total, b.mul(copy(scale_), unit)), Reduction::sum, s_.buffer, s_.out_indices);
    return scratch.stages.back();
  }

  Kernel& kernel_;
  size_t at_;
  int bytes_;
  Stage s_;
  std::vector<uint64_t> depends_;
  int k_ = 0, n_ = 0;
  int x_ = -1, number_ = -1, byte_ = -1, shift_ = -1, zero_ = -1, scale_ = -1;  // nodes
  int64_t block_ = 0;
  std::vector<int> of_x_;  // the spatial axes on which x depends
};

}  // namespace

bool multiply_weights_in_words(Kernel& kernel, int bytes) {
  bool any = false;
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const size_t before = kernel.stages.size();
    if (!WeightWords(kernel, s, bytes).run()) continue;
    s += kernel.stages.size() - before;
    any = true;
  }
  return any;
}

}  // namespace rooftune::kernel
