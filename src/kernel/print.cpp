// The readable form of a kernel. The same text without the names of kernel and buffers is what gets hashed.
#include <cmath>

#include "base/hash.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

namespace {

struct Infix {
  const char* sign = nullptr;
  int level = 0;  // binds tighter when higher
};

Infix infix(Op op) {
  switch (op) {
    case Op::mul: return {" * ", 5};
    case Op::div: return {" / ", 5};
    case Op::mod: return {" % ", 5};
    case Op::add: return {" + ", 4};
    case Op::sub: return {" - ", 4};
    case Op::shift_left: return {" << ", 3};
    case Op::shift_right: return {" >> ", 3};
    case Op::eq: return {" == ", 2};
    case Op::lt: return {" < ", 2};
    case Op::le: return {" <= ", 2};
    case Op::bit_and: return {" & ", 1};
    case Op::logical_and: return {" && ", 1};
    case Op::logical_or: return {" || ", 0};
    default: return {};
  }
}

std::string number(double value, DType type) {
  if (type == DType::f32) return fmt::format("{}", static_cast<float>(value));
  return fmt::format("{}:{}", value, ir::name(type));
}

class Printer {
 public:
  Printer(const Kernel& kernel, bool with_names)
      : kernel_(kernel), with_names_(with_names), number_(canonical_buffers(kernel)) {}

  std::string run() {
    out_ = with_names_ ? "kernel " + kernel_.name : "kernel";
    if (kernel_.error_class != 1) out_ += fmt::format(" (error class {})", kernel_.error_class);
    out_ += '\n';
    for (size_t b = 0; b < kernel_.buffers.size(); b++) {
      if (number_[b] >= 0) print_buffer(static_cast<int>(b));
    }
    for (const Stage& stage : kernel_.stages) print_stage(stage);
    return std::move(out_);
  }

 private:
  std::string buffer_name(int b) const {
    return with_names_ ? kernel_.buffers[static_cast<size_t>(b)].name
                       : fmt::format("b{}", number_[static_cast<size_t>(b)]);
  }

  void print_buffer(int b) {
    static constexpr const char* kRoles[] = {"input", "constant", "output", "temporary"};
    const Buffer& buffer = kernel_.buffers[static_cast<size_t>(b)];
    std::string shape;
    for (int64_t e : buffer.shape) shape += fmt::format("{}{}", shape.empty() ? "" : ",", e);
    out_ += fmt::format("  {} {}: {}[{}]", kRoles[static_cast<size_t>(buffer.role)], buffer_name(b),
                        ir::name(buffer.dtype), shape);
    if (!(buffer.layout == Layout::row_major(buffer.shape))) out_ += fmt::format(" {}", buffer.layout.to_string());
    out_ += '\n';
  }

  std::string text(const Index& e) const {
    return e.to_string([&](int variable) {
      if (variable >= kParameterVariable)
        return fmt::format("({})", kernel_.parameters[static_cast<size_t>(variable - kParameterVariable)].to_string());
      return variable < kNodeVariable ? stage_->axes[static_cast<size_t>(variable)].name
                                      : fmt::format("${}", variable - kNodeVariable);
    });
  }

  std::string list(const std::vector<Index>& items) const {
    std::string s;
    for (const Index& e : items) s += fmt::format("{}{}", s.empty() ? "" : ",", text(e));
    return s;
  }

  std::string conditions(const std::vector<Index>& items) const {
    std::string s;
    for (const Index& e : items) s += fmt::format("{}{} >= 0", s.empty() ? "" : " and ", text(e));
    return s;
  }

  /// A node as an operand: by its number where it stands on a line of its own.
  std::string operand(int n, int level) const {
    if (own_line_[static_cast<size_t>(n)]) return fmt::format("${}", n);
    return expression(n, level);
  }

  std::string expression(int i, int level = 0) const {
    const ExprNode& n = stage_->nodes[static_cast<size_t>(i)];
    switch (n.op) {
      case Op::constant: return number(n.value, n.type);
      case Op::load: {
        std::string s = buffer_name(n.buffer) + '[' + list(n.indices);
        if (!n.where.empty()) s += " where " + conditions(n.where) + " else " + number(n.value, DType::f32);
        return s + ']';
      }
      case Op::index: return fmt::format("index_{}({})", ir::name(n.type), text(n.indices[0]));
      case Op::cast:
      case Op::bitcast: return fmt::format("{}_{}({})", info(n.op).name, ir::name(n.type), operand(n.a, 0));
      default: break;
    }
    if (Infix f = infix(n.op); f.sign) {
      std::string s = fmt::format("{}{}{}", operand(n.a, f.level), f.sign, operand(n.b, f.level + 1));
      return f.level < level ? fmt::format("({})", s) : s;
    }
    std::string s = info(n.op).name;
    char separator = '(';
    for_each_argument(n, [&](int a) {
      s += separator;
      if (separator == ',') s += ' ';
      s += operand(a, 0);
      separator = ',';
    });
    return s + ')';
  }

  void mark_own_lines() {
    std::vector<int> uses(stage_->nodes.size(), 0);
    auto use_in = [&](const Index& e) {
      for (int v : node_variables(e)) uses[static_cast<size_t>(v)] += 2;  // always by number
    };
    for (const ExprNode& n : stage_->nodes) {
      for_each_argument(n, [&](int a) { uses[static_cast<size_t>(a)]++; });
      for_each_index(n, use_in);
    }
    for (const Index& e : stage_->where) use_in(e);
    for (const Index& e : stage_->out_indices) use_in(e);
    own_line_.assign(uses.size(), false);
    for (size_t i = 0; i < uses.size(); i++) own_line_[i] = uses[i] > 1 && stage_->nodes[i].op != Op::constant;
  }

  void print_stage(const Stage& stage) {
    static constexpr const char* kReductions[] = {"", "sum ", "max ", "min ", "product "};
    stage_ = &stage;
    mark_own_lines();
    std::string axes;
    for (size_t i = 0; i < stage.axes.size(); i++) {
      if (static_cast<int>(i) == stage.spatial) axes += i == 0 ? "| " : " | ";
      else if (i > 0) axes += ", ";
      axes += fmt::format("{}:{}", stage.axes[i].name, stage.axes[i].extent);
      if (stage.axes[i].live >= 0)
        axes += fmt::format(" ({})", kernel_.parameters[static_cast<size_t>(stage.axes[i].live)].to_string());
    }
    out_ += fmt::format("  stage {}({})", stage.name, axes);
    if (!with_names_ || !writes_identity(stage) || buffer_name(stage.buffer) != stage.name) {
      out_ += fmt::format(" -> {}[{}]", buffer_name(stage.buffer), list(stage.out_indices));
    }
    out_ +=
        fmt::format(" = {}{}{}", stage.scatters ? "scatter " : "", kReductions[static_cast<size_t>(stage.reduction)],
                    expression(static_cast<int>(stage.nodes.size()) - 1));
    if (!stage.where.empty()) out_ += " where " + conditions(stage.where);
    out_ += '\n';
    for (size_t i = 0; i < stage.nodes.size(); i++) {
      if (own_line_[i]) out_ += fmt::format("    ${} = {}\n", i, expression(static_cast<int>(i)));
    }
  }

  const Kernel& kernel_;
  bool with_names_;
  std::vector<int> number_;  // per buffer
  std::string out_;
  const Stage* stage_ = nullptr;
  std::vector<bool> own_line_;
};

}  // namespace

std::string print(const Kernel& kernel) { return Printer(kernel, true).run(); }
uint64_t hash(const Kernel& kernel) { return xxh64(Printer(kernel, false).run()); }

}  // namespace rooftune::kernel
