// Checks a kernel against the rules in kernel.h, so that a mistake in a lowering or a rewrite is named where it was
// made.
#include <algorithm>

#include "base/error.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

namespace {

class Verifier {
 public:
  explicit Verifier(const Kernel& kernel) : kernel_(kernel), written_(kernel.buffers.size(), false) {}

  void run() {
    for (const Buffer& b : kernel_.buffers) {
      for (int64_t e : b.shape) RT_CHECK(e >= 0, "kernel {}: buffer {} has an extent of {}", kernel_.name, b.name, e);
      for (const PhysicalAxis& a : b.layout.axes()) {
        RT_CHECK(a.dim >= 0 && static_cast<size_t>(a.dim) < b.shape.size(),
                 "kernel {}: layout of buffer {} names dim {}", kernel_.name, b.name, a.dim);
      }
    }
    for (const Stage& stage : kernel_.stages) check_stage(stage);
    for (size_t b = 0; b < written_.size(); b++) {
      const Buffer& buffer = kernel_.buffers[b];
      RT_CHECK(written_[b] || buffer.role != Role::output, "kernel {}: no stage writes output {}", kernel_.name,
               buffer.name);
    }
  }

 private:
  template <typename... A>
  [[noreturn]] void fail(int node, fmt::format_string<A...> what, A&&... a) const {
    std::string at =
        node < 0 ? "" : fmt::format(", node {} ({})", node, info(stage_->nodes[static_cast<size_t>(node)].op).name);
    throw InternalError("kernel {}, stage {}{}: {}", kernel_.name, stage_->name, at,
                        fmt::format(what, std::forward<A>(a)...));
  }

  void check_stage(const Stage& stage) {
    stage_ = &stage;
    int axes = static_cast<int>(stage.axes.size());
    if (stage.spatial < 0 || stage.spatial > axes) fail(-1, "{} of {} axes are spatial", stage.spatial, axes);
    if (axes > 60) fail(-1, "{} axes, at most 60 are supported", axes);
    if (!stage.is_reduction() && !stage.scatters && stage.spatial != axes) fail(-1, "reduction axes but no reduction");
    for (const Axis& a : stage.axes) {
      if (a.extent < 0) fail(-1, "axis {} has an extent of {}", a.name, a.extent);
      if (a.live >= static_cast<int>(kernel_.parameters.size())) fail(-1, "axis {} has no parameter", a.name);
      if (a.live >= 0 && kernel_.parameters[static_cast<size_t>(a.live)].max() > a.extent)
        fail(-1, "axis {} may live beyond its extent of {}", a.name, a.extent);
    }
    if (stage.nodes.empty()) fail(-1, "no expression");
    for (int i = 0; i < static_cast<int>(stage.nodes.size()); i++) check_node(i);
    for (const Index& e : stage.where) check_index(-1, e, axes, static_cast<int>(stage.nodes.size()));

    if (stage.buffer < 0 || static_cast<size_t>(stage.buffer) >= kernel_.buffers.size())
      fail(-1, "writes buffer {}", stage.buffer);
    const Buffer& out = kernel_.buffers[static_cast<size_t>(stage.buffer)];
    if (out.role == Role::input || out.role == Role::constant) fail(-1, "writes {}, an input or constant", out.name);
    DType type = stage.nodes.back().type;
    if (type != out.dtype) fail(-1, "writes {} to {}, which holds {}", ir::name(type), out.name, ir::name(out.dtype));
    if (stage.scatters) check_scatter(stage, out);
    else
      for (const Index& e : stage.out_indices) check_index(-1, e, stage.spatial, 0);
    check_access(-1, out, stage.out_indices, {});
    written_[static_cast<size_t>(stage.buffer)] = true;
  }

  void check_scatter(const Stage& stage, const Buffer& out) const {
    if (!written_[static_cast<size_t>(stage.buffer)])
      fail(-1, "scatters into {}, which no stage wrote before", out.name);
    if (!stage.where.empty()) fail(-1, "scatters under conditions");
    if (stage.reduction != Reduction::none && out.dtype == DType::boolean) fail(-1, "combines booleans");
    for (const Index& e : stage.out_indices) {
      const bool is_node = e.constant() == 0 && e.terms().size() == 1 &&
                           e.terms()[0].kind == Index::Term::Kind::variable && e.terms()[0].coefficient == 1 &&
                           e.terms()[0].variable >= kNodeVariable;
      if (is_node) check_index(-1, e, 0, static_cast<int>(stage.nodes.size()));
      else check_index(-1, e, stage.spatial, 0);
    }
    for (int a = 0; a < stage.spatial; a++) {
      if (stage.axes[static_cast<size_t>(a)].extent > 1 &&
          std::none_of(stage.out_indices.begin(), stage.out_indices.end(), [&](const Index& e) { return e.uses(a); }))
        fail(-1, "points along axis {} meet", stage.axes[static_cast<size_t>(a)].name);
    }
  }

  void check_index(int node, const Index& e, int axes, int nodes) const {
    std::vector<int> used;
    e.collect_variables(used);
    for (int v : used) {
      if (v >= 0 && v < axes) continue;
      if (v >= kParameterVariable && static_cast<size_t>(v - kParameterVariable) < kernel_.parameters.size()) continue;
      int n = v - kNodeVariable;
      if (n < 0 || n >= nodes) fail(node, "an index uses variable {}", v);
      DType type = stage_->nodes[static_cast<size_t>(n)].type;
      if (!ir::is_integer(type)) fail(node, "an index uses node {} of type {}", n, ir::name(type));
    }
  }

  /// Rank, and bounds where nothing guards the access and the index is linear in axes (so its range is exact).
  void check_access(int node, const Buffer& buffer, const std::vector<Index>& indices,
                    const std::vector<Index>& guards) const {
    if (indices.size() != buffer.shape.size()) {
      fail(node, "{} indices for {} of rank {}", indices.size(), buffer.name, buffer.shape.size());
    }
    if (!guards.empty() || !stage_->where.empty()) return;
    for (const Axis& a : stage_->axes) {
      if (a.extent == 0) return;
    }
    for (size_t d = 0; d < indices.size(); d++) {
      bool linear = true;
      for (const Index::Term& t : indices[d].terms())
        linear = linear && t.kind == Index::Term::Kind::variable && t.variable < kNodeVariable;
      if (!linear) continue;
      Range r = indices[d].range(axis_ranges(*stage_));
      if (r.lo < 0 || r.hi >= buffer.shape[d]) {
        fail(node, "index {} of {} runs from {} to {}, its extent is {}", d, buffer.name, r.lo, r.hi, buffer.shape[d]);
      }
    }
  }

  void check_load(int i, const ExprNode& n) const {
    if (n.buffer < 0 || static_cast<size_t>(n.buffer) >= kernel_.buffers.size()) fail(i, "loads buffer {}", n.buffer);
    const Buffer& b = kernel_.buffers[static_cast<size_t>(n.buffer)];
    bool computed = b.role == Role::temporary || b.role == Role::output;
    if (computed && !written_[static_cast<size_t>(n.buffer)]) fail(i, "loads {} before a stage wrote it", b.name);
    if (computed && kernel_.stage_of(n.buffer) > stage_ - kernel_.stages.data())
      fail(i, "loads {} before all stages wrote it", b.name);
    if (stage_->buffer == n.buffer) fail(i, "loads {}, which this stage writes", b.name);
    if (n.type != b.dtype) fail(i, "loads {} as {}, it holds {}", b.name, ir::name(n.type), ir::name(b.dtype));
    for_each_index(n, [&](const Index& e) { check_index(i, e, static_cast<int>(stage_->axes.size()), i); });
    check_access(i, b, n.indices, n.where);
  }

  void check_node(int i) const {
    const ExprNode& n = stage_->nodes[static_cast<size_t>(i)];
    for_each_argument(n, [&](int a) {
      if (a < 0 || a >= i) fail(i, "argument {} is no earlier node", a);
    });
    auto type = [&](int a) { return stage_->nodes[static_cast<size_t>(a)].type; };
    auto want = [&](bool ok, const char* rule) {
      if (!ok) fail(i, "{}", rule);
    };
    bool number = ir::is_float(n.type) || ir::is_integer(n.type);
    switch (n.op) {
      case Op::constant: return want(number || n.type == DType::boolean, "a constant must be a number or boolean");
      case Op::load: return check_load(i, n);
      case Op::index:
        want(n.indices.size() == 1 && number, "one index expression, of a numeric type");
        return check_index(i, n.indices[0], static_cast<int>(stage_->axes.size()), i);
      case Op::eq:
      case Op::lt:
      case Op::le:
        return want(n.type == DType::boolean && type(n.a) == type(n.b),
                    "compares two values of one type and gives a boolean");
      case Op::logical_and:
      case Op::logical_or:
        return want(n.type == DType::boolean && type(n.a) == DType::boolean && type(n.b) == DType::boolean,
                    "takes and gives booleans");
      case Op::logical_not:
        return want(n.type == DType::boolean && type(n.a) == DType::boolean, "takes and gives a boolean");
      case Op::select:
        return want(type(n.a) == DType::boolean && type(n.b) == n.type && type(n.c) == n.type,
                    "takes a boolean and two values of its type");
      case Op::cast: return want(number || n.type == DType::boolean, "gives a number or boolean");
      case Op::bitcast:
        return want(
            (n.type == DType::i32 && type(n.a) == DType::f32) || (n.type == DType::f32 && type(n.a) == DType::i32),
            "turns f32 into i32 or back");
      case Op::bit_and:
      case Op::shift_left:
      case Op::shift_right:
      case Op::mod:
        return want(ir::is_integer(n.type) && type(n.a) == n.type && type(n.b) == n.type, "takes integers of its type");
      case Op::sqrt:
      case Op::exp:
      case Op::log:
      case Op::tanh:
      case Op::erf:
      case Op::sin:
      case Op::cos:
      case Op::fma: want(ir::is_float(n.type), "is for floating-point types"); break;
      default: want(number, "is for numbers"); break;
    }
    for_each_argument(n, [&](int a) { want(type(a) == n.type, "takes arguments of its type"); });
  }

  const Kernel& kernel_;
  std::vector<bool> written_;
  const Stage* stage_ = nullptr;
};

}  // namespace

void verify(const Kernel& kernel) { Verifier(kernel).run(); }

}  // namespace rooftune::kernel
