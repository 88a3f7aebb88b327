// For this room's tests: tasks made of sample kernels, and a small model with a code generator that works and one that
// does not.
#pragma once
#include <gtest/gtest.h>

#include <cmath>

#include "kernel/rewrites.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"
#include "tune/task_search.h"
#include "tune/workload.h"

namespace rooftune::tune {

inline kernel::Machine small_machine(int threads = 1) {
  kernel::Machine machine;
  machine.threads = threads;
  return machine;
}

/// As a search is guided by default, but for generations of few.
inline Guidance guidance_for(const kernel::Machine& machine) {
  Guidance guidance;
  guidance.preset.population = 16;
  guidance.preset.generations = 1;
  guidance.target.machine = machine;
  guidance.target.spec.peak_flops["f32"] = 1e11 * machine.threads;
  guidance.target.spec.memory_bandwidth = 2e10;
  return guidance;
}

inline Task task_of(kernel::Kernel kernel, size_t occurrences = 1) {
  Task task;
  task.name = kernel.name;
  task.key = kernel::hash(kernel);
  const auto cost = kernel::cost(kernel);
  task.direct_flops = cost.operations;
  task.bytes = cost.compulsory_bytes;
  kernel::normalise(kernel, small_machine());
  task.variants.push_back({"direct", std::move(kernel)});
  for (size_t g = 0; g < occurrences; ++g) task.groups.push_back(g);
  task.runs = static_cast<double>(occurrences);
  return task;
}

inline bool same(const Choice& a, const Choice& b) { return a.variant == b.variant && a.schedule == b.schedule; }

/// The slowest register tiles, under which results are the same.
inline Choice slow_choice(const Task& task, const kernel::Machine& machine) {
  kernel::Point worst;
  for (const auto& d : kernel::decisions(task.variants[0].kernel, machine))
    if (d.name.ends_with(".rows") || d.name.ends_with(".vectors")) worst[d.name] = 1;
  return {0, kernel::make_schedule(task.variants[0].kernel, machine, worst)};
}

/// Two products and a softmax.
inline Workload small_workload(const kernel::Machine& machine) {
  ir::Graph graph;
  graph.opsets[""] = 18;
  auto add = [&](const std::string& op, std::vector<ir::ValueId> inputs, const std::vector<int64_t>& shape) {
    ir::Node node{.op = op, .since_version = 18, .inputs = std::move(inputs)};
    const auto out = graph.add_value("", ir::Type::tensor(ir::DType::f32, ir::to_shape(shape)));
    node.outputs = {out};
    graph.add_node(std::move(node));
    return out;
  };
  auto weight = [&](const std::vector<int64_t>& shape) {
    ir::Tensor t(ir::DType::f32, shape);
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, std::sin(static_cast<double>(i) * 12.9898) * 0.1);
    return graph.add_constant("w", std::move(t));
  };
  const auto x = graph.add_input("x", ir::Type::tensor(ir::DType::f32, ir::to_shape({24, 96})));
  const auto hidden = add("Relu", {add("MatMul", {x, weight({96, 192})}, {24, 192})}, {24, 192});
  const auto y = add("Softmax", {add("MatMul", {hidden, weight({192, 80})}, {24, 80})}, {24, 80});
  graph.outputs.push_back(y);
  return make_workload(std::move(graph), machine);
}

class Real : public ::testing::Test {
 protected:
  kernel::Machine machine = small_machine(2);
  std::unique_ptr<codegen::Codegen> codegen = codegen::cpu_codegen(testing::host_target());
  Workload work = small_workload(machine);
};

/// Generates code that dies, never ends, or computes something else, for every job but the first.
class Broken : public codegen::Codegen {
 public:
  enum class How { crash, wrong, run_crash };
  Broken(codegen::Codegen& good, std::vector<Choice> first, How how)
      : good_(good), first_(std::move(first)), how_(how) {}
  codegen::CodeObject compile(const std::vector<codegen::Job>& jobs) override {
    auto object = good_.compile(jobs);
    for (size_t j = 0; j < jobs.size(); ++j) {
      if (std::any_of(first_.begin(), first_.end(), [&](const auto& c) { return *jobs[j].schedule == c.schedule; }))
        continue;
      if (how_ == How::crash) std::abort();
      if (how_ == How::wrong) object.kernels[j].phases[0].tasks = 0;            // nothing is computed
      if (how_ == How::run_crash) object.kernels[j].phases[0].tasks = 1 << 24;  // far beyond its buffers
    }
    return object;
  }
  std::string dump(const codegen::Job& job, const std::string& form) override { return good_.dump(job, form); }
  std::string version() const override { return "broken"; }

 private:
  codegen::Codegen& good_;
  std::vector<Choice> first_;
  How how_;
};

}  // namespace rooftune::tune
