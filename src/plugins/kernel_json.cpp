// Kernels as JSON for code generators of plug-ins. Addresses are already worked out: every access has its offset in the
// buffer's own layout as an expression in C of the stage's axes, so that a simple code generator need know nothing of
// layouts.
#include <cmath>

#include "base/json.h"
#include "kernel/nodes.h"
#include "plugins/define.h"

namespace rooftune::plugins {
namespace {

using kernel::Index;

/// i0, i1, … are the stage's axes, v0, v1, … the values of its nodes; FLOORDIV(a, b) and MOD(a, b) round down, b > 0.
std::string expression(const Index& index) {
  std::string text = std::to_string(index.constant());
  for (const auto& term : index.terms()) {
    std::string one;
    if (term.kind == Index::Term::Kind::variable)
      one = term.variable < kernel::kNodeVariable ? fmt::format("i{}", term.variable)
                                                  : fmt::format("(int64_t)v{}", term.variable - kernel::kNodeVariable);
    else
      one = fmt::format("{}({}, {})", term.kind == Index::Term::Kind::mod ? "MOD" : "FLOORDIV",
                        expression(*term.argument), term.divisor);
    text += fmt::format(" + {}*{}", term.coefficient, one);
  }
  return text;
}

Json expressions(const std::vector<Index>& indices) {
  Json list = Json::array();
  for (const auto& index : indices) list.push_back(expression(index));
  return list;
}

Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

kernel::Layout layout_of(const kernel::Buffer& buffer) {
  return buffer.layout.axes().empty() ? kernel::Layout::row_major(buffer.shape) : buffer.layout;
}

std::string offset(const kernel::Kernel& kernel, const kernel::Stage& stage, int buffer,
                   const std::vector<Index>& indices) {
  const auto& b = kernel.buffers[static_cast<size_t>(buffer)];
  return expression(layout_of(b).linearize(indices, kernel::axis_ranges(stage), b.shape));
}

Json describe(const kernel::Kernel& kernel, const kernel::Stage& stage) {
  constexpr const char* kReductions[] = {"none", "sum", "max", "min", "product"};
  Json axes = Json::array(), nodes = Json::array();
  for (const auto& axis : stage.axes) axes.push_back({{"name", axis.name}, {"extent", axis.extent}});
  for (const auto& node : stage.nodes) {
    Json one = {{"op", kernel::info(node.op).name}, {"type", ir::name(node.type)}};
    Json arguments = Json::array();
    kernel::for_each_argument(node, [&](int a) { arguments.push_back(a); });
    if (!arguments.empty()) one["arguments"] = std::move(arguments);
    if (node.op == kernel::Op::constant) one["value"] = number(node.value);
    if (node.op == kernel::Op::index) one["index"] = expression(node.indices[0]);
    if (node.op == kernel::Op::load) {
      one["buffer"] = node.buffer;
      one["indices"] = expressions(node.indices);
      one["offset"] = offset(kernel, stage, node.buffer, node.indices);
      if (!node.where.empty()) one["where"] = expressions(node.where), one["otherwise"] = number(node.value);
    }
    nodes.push_back(std::move(one));
  }
  return {{"name", stage.name},
          {"axes", std::move(axes)},
          {"spatial", stage.spatial},
          {"reduction", kReductions[static_cast<size_t>(stage.reduction)]},
          {"scatters", stage.scatters},
          {"nodes", std::move(nodes)},
          {"where", expressions(stage.where)},
          {"buffer", stage.buffer},
          {"indices", expressions(stage.out_indices)},
          {"offset", offset(kernel, stage, stage.buffer, stage.out_indices)}};
}

Json describe(const codegen::Job& job, size_t number) {
  constexpr const char* kRoles[] = {"input", "constant", "output", "temporary"};
  const kernel::Kernel& kernel = *job.kernel;
  Json buffers = Json::array(), stages = Json::array();
  for (const auto& buffer : kernel.buffers) {
    const auto layout = layout_of(buffer);
    buffers.push_back({{"name", buffer.name},
                       {"dtype", ir::name(buffer.dtype)},
                       {"role", kRoles[static_cast<size_t>(buffer.role)]},
                       {"shape", buffer.shape},
                       {"layout", layout.to_string()},
                       {"bytes", ir::byte_size(buffer.dtype, static_cast<size_t>(layout.size()))}});
  }
  for (const auto& stage : kernel.stages) stages.push_back(describe(kernel, stage));
  return {{"name", fmt::format("k{}", number)}, {"label", kernel.name},
          {"buffers", std::move(buffers)},      {"stages", std::move(stages)},
          {"text", kernel::print(kernel)},      {"schedule", kernel::print(kernel, *job.schedule)}};
}

}  // namespace

std::string describe_jobs(const std::vector<codegen::Job>& jobs, const codegen::CpuTarget& target) {
  Json kernels = Json::array();
  for (size_t j = 0; j < jobs.size(); ++j) kernels.push_back(describe(jobs[j], j));
  const Json request = {{"target",
                         {{"name", target.name()},
                          {"triple", target.triple},
                          {"cpu", target.cpu},
                          {"tune", target.tune},
                          {"vector_bits", target.vector_bits},
                          {"vector_registers", target.vector_registers}}},
                        {"kernels", std::move(kernels)}};
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rooftune::plugins
