#include "kernel/kernel.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "kernel/analysis.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

const OpInfo& info(Op op) {
  static constexpr std::array<OpInfo, 36> kTable = {{
      {"constant", 0, 0}, {"load", 0, 0},        {"index", 0, 0},      {"add", 2, 1},         {"sub", 2, 1},
      {"mul", 2, 1},      {"div", 2, 8},         {"min", 2, 1},        {"max", 2, 1},         {"pow", 2, 8},
      {"mod", 2, 8},      {"neg", 1, 1},         {"abs", 1, 1},        {"sqrt", 1, 8},        {"exp", 1, 8},
      {"log", 1, 8},      {"tanh", 1, 8},        {"erf", 1, 8},        {"sin", 1, 8},         {"cos", 1, 8},
      {"floor", 1, 1},    {"ceil", 1, 1},        {"round", 1, 1},      {"eq", 2, 1},          {"lt", 2, 1},
      {"le", 2, 1},       {"logical_and", 2, 0}, {"logical_or", 2, 0}, {"logical_not", 1, 0}, {"select", 3, 1},
      {"cast", 1, 0},     {"bitcast", 1, 0},     {"bit_and", 2, 1},    {"shift_left", 2, 1},  {"shift_right", 2, 1},
      {"fma", 3, 2},
  }};
  static_assert(static_cast<size_t>(Op::fma) == 35);
  return kTable[static_cast<size_t>(op)];
}

namespace {

/// `name`, or `name_2`, `name_3`, … where it is taken.
template <typename T>
std::string unique_name(const std::vector<T>& taken, const std::string& name) {
  auto is_taken = [&](const std::string& n) {
    return std::any_of(taken.begin(), taken.end(), [&](const T& t) { return t.name == n; });
  };
  if (!is_taken(name)) return name;
  for (int i = 2;; i++) {
    std::string numbered = fmt::format("{}_{}", name, i);
    if (!is_taken(numbered)) return numbered;
  }
}

}  // namespace

int Kernel::add_buffer(std::string name, DType dtype, std::vector<int64_t> shape, Role role) {
  Layout layout = Layout::row_major(shape);
  buffers.push_back({unique_name(buffers, name), dtype, std::move(shape), role, std::move(layout)});
  return static_cast<int>(buffers.size()) - 1;
}

int Kernel::parameter(const ir::Dim& value) {
  const auto found = std::find(parameters.begin(), parameters.end(), value);
  if (found == parameters.end()) return parameters.push_back(value), static_cast<int>(parameters.size()) - 1;
  return static_cast<int>(found - parameters.begin());
}

int Kernel::stage_of(int buffer) const {
  for (size_t i = stages.size(); i-- > 0;) {
    if (stages[i].buffer == buffer) return static_cast<int>(i);
  }
  return -1;
}

StageBuilder::StageBuilder(Kernel& kernel, std::string name, std::vector<Axis> spatial, std::vector<Axis> reduction)
    : kernel_(kernel) {
  stage_.name = unique_name(kernel.stages, name);
  stage_.spatial = static_cast<int>(spatial.size());
  stage_.axes = std::move(spatial);
  stage_.axes.insert(stage_.axes.end(), reduction.begin(), reduction.end());
}

int StageBuilder::constant(double value, DType type) {
  ExprNode n{Op::constant, type};
  n.value = type == DType::f32 ? static_cast<double>(static_cast<float>(value)) : value;
  return intern(stage_.nodes, std::move(n));
}

int StageBuilder::load(int buffer, std::vector<Index> indices, std::vector<Index> where, double otherwise) {
  ExprNode n{Op::load, kernel_.buffers[static_cast<size_t>(buffer)].dtype};
  n.buffer = buffer;
  n.indices = std::move(indices);
  n.where = needed_conditions(std::move(where), axis_ranges(stage_));
  if (!n.where.empty()) n.value = otherwise;
  return intern(stage_.nodes, std::move(n));
}

int StageBuilder::index(const Index& e, DType type) {
  ExprNode n{Op::index, type};
  n.indices = {e};
  return intern(stage_.nodes, std::move(n));
}

int StageBuilder::node(Op op, DType type, int a, int b, int c) { return intern(stage_.nodes, {op, type, a, b, c}); }

int StageBuilder::finish(int node, Reduction reduction, int buffer, std::vector<Index> out) {
  stage_.reduction = reduction;
  if (out.empty()) {
    for (int i = 0; i < stage_.spatial; i++) out.push_back(Index::variable(i));
  }
  stage_.out_indices = std::move(out);
  keep_needed(stage_, node);
  if (buffer < 0) {
    std::vector<int64_t> shape;
    for (int i = 0; i < stage_.spatial; i++) shape.push_back(stage_.axes[static_cast<size_t>(i)].extent);
    buffer = kernel_.add_buffer(stage_.name, stage_.nodes.back().type, std::move(shape), Role::temporary);
  }
  stage_.buffer = buffer;
  kernel_.stages.push_back(std::move(stage_));
  stage_ = {};
  return buffer;
}

int StageBuilder::finish_scatter(int node, Reduction combine, int buffer, std::vector<Index> out) {
  stage_.scatters = true;
  return finish(node, combine, buffer, std::move(out));
}

void eliminate_dead_stages(Kernel& kernel) {
  std::vector<char> live(kernel.buffers.size(), 0);
  for (size_t b = 0; b < kernel.buffers.size(); b++) live[b] = kernel.buffers[b].role == Role::output;
  std::vector<Stage> kept;
  for (size_t s = kernel.stages.size(); s-- > 0;) {
    Stage& stage = kernel.stages[s];
    if (!live[static_cast<size_t>(stage.buffer)]) continue;
    for (const ExprNode& n : stage.nodes) {
      if (n.op == Op::load) live[static_cast<size_t>(n.buffer)] = 1;
    }
    kept.push_back(std::move(stage));
  }
  std::reverse(kept.begin(), kept.end());
  kernel.stages = std::move(kept);
}

std::vector<int> compact_buffers(Kernel& kernel) {
  std::vector<int> renumbered = canonical_buffers(kernel);
  std::vector<Buffer> buffers;
  for (size_t b = 0; b < kernel.buffers.size(); b++) {
    if (renumbered[b] >= 0) buffers.push_back(std::move(kernel.buffers[b]));
  }
  kernel.buffers = std::move(buffers);
  for (Stage& stage : kernel.stages) {
    stage.buffer = renumbered[static_cast<size_t>(stage.buffer)];
    for (ExprNode& n : stage.nodes) {
      if (n.op == Op::load) n.buffer = renumbered[static_cast<size_t>(n.buffer)];
    }
  }
  return renumbered;
}

namespace {

double points_of(const Stage& stage, uint64_t axes) {
  double points = 1;
  for (size_t i = 0; i < stage.axes.size(); i++) {
    if (axes >> i & 1) points *= static_cast<double>(stage.axes[i].extent);
  }
  return points;
}

/// The share of a stage's points where its conditions hold, from a fixed sample.
double share_inside(const Stage& stage) {
  RangeOf ranges = axis_ranges(stage);
  std::vector<Index> conditions;
  for (const Index& e : stage.where) {
    if (node_variables(e).empty() && !uses_parameters(e) && e.range(ranges).lo < 0) conditions.push_back(e);
  }
  if (conditions.empty()) return 1;
  constexpr int kSamples = 1024;
  uint64_t state = 0x9e3779b97f4a7c15;
  int inside = 0;
  std::vector<int64_t> point(stage.axes.size());
  for (int s = 0; s < kSamples; s++) {
    for (size_t i = 0; i < point.size(); i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      point[i] =
          static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(std::max<int64_t>(1, stage.axes[i].extent)));
    }
    auto at = [&](int variable) { return point[static_cast<size_t>(variable)]; };
    inside += std::all_of(conditions.begin(), conditions.end(), [&](const Index& e) { return e.evaluate(at) >= 0; });
  }
  return static_cast<double>(inside) / kSamples;
}

}  // namespace

KernelCost cost(const Kernel& kernel) {
  KernelCost total;
  std::vector<double> read(kernel.buffers.size(), 0);  // elements, at most
  for (const Stage& stage : kernel.stages) {
    double operations = 0;
    const bool once = kernel.buffers[static_cast<size_t>(stage.buffer)].role == Role::temporary &&
                      reads_only_constants(kernel, stage);  // before the first run
    std::vector<uint64_t> depends = axis_dependence(stage);
    for (size_t i = 0; i < stage.nodes.size(); i++) {
      const ExprNode& n = stage.nodes[i];
      double points = points_of(stage, depends[i]);
      operations += info(n.op).operations * points;
      if (n.op == Op::load) read[static_cast<size_t>(n.buffer)] += points;
    }
    if (stage.reduction != Reduction::none) operations += points_of(stage, ~uint64_t{0});
    if (!once) total.operations += operations * share_inside(stage);
  }
  if (kernel.operations > 0) total.operations = kernel.operations;
  for (size_t b = 0; b < kernel.buffers.size(); b++) {
    const Buffer& buffer = kernel.buffers[b];
    if (buffer.role == Role::temporary) continue;
    int64_t elements = 1;
    for (int64_t e : buffer.shape) elements *= e;
    size_t touched = static_cast<size_t>(elements);
    if (buffer.role != Role::output) touched = static_cast<size_t>(std::min(static_cast<double>(elements), read[b]));
    total.compulsory_bytes += static_cast<double>(ir::byte_size(buffer.dtype, touched));
  }
  return total;
}

std::map<std::string, double> dot_operations(const Kernel& kernel) {
  std::map<std::string, double> result;
  for (const Stage& stage : kernel.stages) {
    const int width = dot_operands(kernel, stage).width;
    if (width == 0 || reads_only_constants(kernel, stage)) continue;
    result[width == 4 ? "i8" : "bf16"] += 2 * points_of(stage, ~uint64_t{0}) * share_inside(stage);
  }
  return result;
}

}  // namespace rooftune::kernel
