// Choices → program: code for every task, a slot for every value, a step for every group (see workload.h).
#include <algorithm>
#include <map>

#include "kernel/analysis.h"
#include "kernel/nodes.h"
#include "ops/loop_borders.h"
#include "runtime/packed_storage.h"
#include "tune/workload.h"

namespace rooftune::tune {
namespace {

class Assembler {
 public:
  Assembler(const Workload& workload, const std::vector<Choice>& choices) : work_(workload), choices_(choices) {}

  /// `most`: tasks in one code object.
  std::optional<runtime::Program> assemble(codegen::Codegen& codegen, size_t most, const std::function<bool()>& stop) {
    const size_t tasks = work_.tasks.size();
    in_object_ = std::max<size_t>(1, std::min(most, tasks));
    for (size_t begin = 0; begin < tasks; begin += in_object_) {
      if (stop && stop()) return std::nullopt;
      std::vector<codegen::Job> jobs;
      for (size_t t = begin; t < std::min(begin + in_object_, tasks); ++t)
        jobs.push_back({&work_.tasks[t].variants[choices_[t].variant].kernel, &choices_[t].schedule});
      program_.code.push_back(codegen.compile(jobs));
    }
    auto kept = std::make_shared<ir::Graph>(work_.graph->clone());
    for (const auto& [v, dims] : work_.dims)
      if (!kept->value(v).constant) kept->value(v).type = ir::Type::tensor(kept->type(v).dtype(), dims);
    program_.graph = std::move(kept);
    const auto& graph = *work_.graph;
    for (ir::ValueId v : graph.inputs) program_.inputs.push_back(slot_of(v));
    for (size_t g = 0; g < work_.partition.groups.size(); ++g) add_step(g);
    for (ir::ValueId v : graph.outputs) program_.outputs.push_back(slot_of(v));
    program_.symbols = work_.symbols;
    program_.units = work_.units;
    runtime::plan_memory(program_);
    return std::optional(std::move(program_));
  }

 private:
  /// The slot of a value in the layout in which it is stored.
  int slot_of(ir::ValueId v) {
    const auto found = slots_.find(v);
    if (found != slots_.end()) return found->second;
    const auto& graph = *work_.graph;
    const auto& value = graph.value(v);
    runtime::Slot slot;
    slot.name = value.name;
    if (value.type.is_tensor()) slot.dtype = value.type.dtype();
    if (value.constant) {
      slot.kind = runtime::Slot::Kind::constant;
      slot.constant = *value.constant;
      slot.shape = value.constant->shape();
      slot.bytes = value.constant->bytes();
      slot.dynamic = slot.dtype == ir::DType::string;
      if (const auto dims = work_.dims.find(v); dims != work_.dims.end()) slot.dims = dims->second;
      if (const auto numbers = work_.numbers.find(v); numbers != work_.numbers.end()) slot.numbers = numbers->second;
      if (const auto steps = work_.steps.find(v); steps != work_.steps.end()) slot.steps = steps->second;
    } else {
      slot.kind = std::count(graph.inputs.begin(), graph.inputs.end(), v) > 0 ? runtime::Slot::Kind::input
                  : graph.is_output(v)                                        ? runtime::Slot::Kind::output
                                                                              : runtime::Slot::Kind::temporary;
      if (value.type.is_static() && slot.dtype != ir::DType::string) {
        slot.shape = ir::static_values(value.type.shape());
        if (const auto dims = work_.dims.find(v); dims != work_.dims.end()) slot.dims = dims->second;
        const auto layout = work_.layouts.find(v);
        slot.layout = layout == work_.layouts.end() ? kernel::Layout::row_major(slot.shape) : layout->second;
        slot.bytes = ir::byte_size(slot.dtype, static_cast<size_t>(slot.layout.size()));
      } else {
        slot.dynamic = true;
      }
    }
    return add(v, std::move(slot));
  }

  int add(ir::ValueId v, runtime::Slot slot) {
    program_.slots.push_back(std::move(slot));
    const int id = static_cast<int>(program_.slots.size()) - 1;
    slots_[v] = id;
    return id;
  }

  /// The slot of a constant packed for a kernel, which knows it as `buffer`; equal packings share one.
  int packed_slot(ir::ValueId v, const kernel::Buffer& buffer, const kernel::Layout& layout, size_t bytes) {
    ir::Tensor tensor = *work_.graph->constant(v);
    if (ir::bit_width(tensor.dtype()) < 8 && tensor.storage())  // read as the bytes that hold it
      tensor = ir::Tensor(buffer.dtype, buffer.shape, tensor.storage(), tensor.offset());
    if (layout.is_row_major(tensor.shape())) return slot_of(v);
    const auto key = std::make_pair(v, layout.to_string());
    const auto found = packed_.find(key);
    if (found != packed_.end()) return found->second;
    runtime::Slot slot;
    slot.name = work_.graph->value(v).name;
    slot.kind = runtime::Slot::Kind::constant;
    slot.dtype = tensor.dtype();
    slot.shape = tensor.shape();
    slot.layout = layout;
    slot.bytes = bytes;
    auto& shared = (*work_.packed)[key];
    auto storage = shared.lock();
    if (!storage || storage->size() < bytes)
      shared = storage = std::make_shared<runtime::PackedStorage>(tensor, layout, bytes);
    const auto elements = static_cast<int64_t>(bytes / ir::byte_size(tensor.dtype(), 1));
    slot.constant = ir::Tensor(tensor.dtype(), {elements}, std::move(storage));
    program_.slots.push_back(std::move(slot));
    return packed_[key] = static_cast<int>(program_.slots.size()) - 1;
  }

  void add_step(size_t g) {
    const auto& group = work_.partition.groups[g];
    const auto& graph = *work_.graph;
    if (const auto& node = graph.node(group.nodes.front()); ops::is_loop_begin(node)) return begin_loop(node);
    else if (ops::is_loop_end(node)) return end_loop(node);
    runtime::Step step;
    step.name = group.name;
    for (ir::NodeId id : group.nodes) step.nodes.push_back(graph.node(id).name);
    const int t = work_.task_of_group[g];
    if (t < 0) {
      for (ir::NodeId id : group.nodes) {
        runtime::Step one;
        one.name = graph.node(id).name;
        one.kind = runtime::Step::Kind::reference;
        one.nodes = {one.name};
        one.node = id;
        one.why = work_.why_reference[g];
        for (ir::ValueId v : graph.node(id).inputs) one.inputs.push_back(v == ir::kNone ? -1 : slot_of(v));
        for (ir::ValueId v : ops::captured_values(graph.node(id))) one.inputs.push_back(slot_of(v));
        for (ir::ValueId v : graph.node(id).outputs) one.outputs.push_back(v == ir::kNone ? -1 : slot_of(v));
        program_.steps.push_back(std::move(one));
      }
      return;
    }
    const auto& task = work_.tasks[static_cast<size_t>(t)];
    const auto& kernel = task.variants[choices_[static_cast<size_t>(t)].variant].kernel;
    const auto& values = work_.values_of_group[g];
    if (alias(kernel, values) || join(kernel, values)) return;
    step.code_object = t / static_cast<int>(in_object_);
    step.kernel = t % static_cast<int>(in_object_);
    const auto& compiled =
        program_.code[static_cast<size_t>(step.code_object)].kernels[static_cast<size_t>(step.kernel)];
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      const ir::ValueId v = b < values.size() ? values[b] : ir::kNone;
      if (v == ir::kNone) step.slots.push_back(-1);
      else if (kernel.buffers[b].role == kernel::Role::constant)
        step.slots.push_back(packed_slot(v, kernel.buffers[b], compiled.layouts[b], compiled.buffer_bytes[b]));
      else step.slots.push_back(slot_of(v));
    }
    step.parameters = kernel.parameters;
    step.flops = kernel::cost(kernel).operations * work_.runs_of_group[g];
    step.dot_flops = kernel::dot_operations(kernel);
    for (auto& [precision, operations] : step.dot_flops) operations *= work_.runs_of_group[g];
    step.direct_flops = task.direct_flops * work_.runs_of_group[g];
    step.bytes = task.bytes;  // weights stay in the caches from one iteration to the next
    program_.steps.push_back(std::move(step));
  }

  void begin_loop(const ir::Node& node) {
    auto& loop = program_.loops.emplace_back();
    in_loop_ = true;
    loop.name = node.name;
    loop.first = program_.steps.size();
    const auto states = static_cast<size_t>(node.attr_int("states", 0));
    const auto reversed = node.attr_ints("reversed");
    const ir::ValueId counted = node.inputs[states];
    const auto dims = work_.dims.find(counted);
    loop.trips = dims == work_.dims.end() ? ops::trips(*work_.graph, node) : dims->second[0];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.outputs[i] == ir::kNone) continue;
      const int outside = slot_of(node.inputs[i]), inside = slot_of(node.outputs[i]);
      if (i < states) loop.states.push_back({.initial = outside, .input = inside});
      else loop.taken.push_back({outside, inside, reversed[i - states] != 0});
    }
  }

  void end_loop(const ir::Node& node) {
    auto& loop = program_.loops.back();
    in_loop_ = false;
    loop.end = program_.steps.size();
    const auto reversed = node.attr_ints("reversed");
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const int outside = node.outputs[i] == ir::kNone ? -1 : slot_of(node.outputs[i]);
      const int inside = node.inputs[i + 1] == ir::kNone ? -1 : slot_of(node.inputs[i + 1]);
      if (i < loop.states.size()) loop.states[i].next = inside, loop.states[i].result = outside;
      else if (outside >= 0) loop.given.push_back({outside, inside, reversed[i - loop.states.size()] != 0});
    }
  }

  /// A kernel that only copies element i to element i (a Reshape) is no step: its output is its input's memory.
  bool alias(const kernel::Kernel& kernel, const std::vector<ir::ValueId>& values) {
    if (kernel.stages.size() != 1) return false;
    const auto& stage = kernel.stages[0];
    if (stage.is_reduction() || stage.nodes.size() != 1 || stage.nodes[0].op != kernel::Op::load) return false;
    const auto& node = stage.nodes[0];
    if (!node.where.empty() || !stage.where.empty() || kernel::uses_parameters(stage)) return false;
    const auto& from = kernel.buffers[static_cast<size_t>(node.buffer)];
    const auto& to = kernel.buffers[static_cast<size_t>(stage.buffer)];
    if (from.role == kernel::Role::constant || from.dtype != to.dtype || from.layout.size() != to.layout.size())
      return false;
    const auto range_of = [&](int v) { return kernel::Range{0, stage.axes[static_cast<size_t>(v)].extent - 1}; };
    if (!(from.layout.linearize(node.indices, range_of) == to.layout.linearize(stage.out_indices, range_of)))
      return false;
    const ir::ValueId source = values[static_cast<size_t>(node.buffer)];
    const ir::ValueId target = values[static_cast<size_t>(stage.buffer)];
    const int from_slot = slot_of(source);
    if (in_loop_)  // states are copied one after the other
      for (ir::NodeId reader : work_.graph->consumers(target))
        if (ops::is_loop_end(work_.graph->node(reader))) return false;
    if (work_.graph->is_output(target) ||
        program_.slots[static_cast<size_t>(from_slot)].kind != runtime::Slot::Kind::temporary)
      return false;
    const int to_slot = slot_of(target);
    program_.slots[static_cast<size_t>(to_slot)].alias_of = from_slot;
    return true;
  }

  /// A kernel that only copies whole tensors, one behind the other (a Concat of outermost dims, of blocks of channels), is
  /// no step: its inputs are made where it would copy them to. False where one of them must lie elsewhere.
  bool join(const kernel::Kernel& kernel, const std::vector<ir::ValueId>& values) {
    if (in_loop_ || kernel.stages.size() < 2) return false;
    const int result = kernel.stages[0].buffer;
    const auto& to = kernel.buffers[static_cast<size_t>(result)];
    struct Part {
      int slot;
      int64_t begin, end;  // elements
    };
    std::vector<Part> parts;
    const auto plain = [&](int slot) {
      const auto& s = program_.slots[static_cast<size_t>(slot)];
      return s.kind == runtime::Slot::Kind::temporary && !s.dynamic && s.dims.empty();
    };
    for (const auto& stage : kernel.stages) {
      if (stage.buffer != result || stage.is_reduction() || stage.scatters || stage.nodes.size() != 1 ||
          stage.nodes[0].op != kernel::Op::load || !stage.nodes[0].where.empty() || !stage.where.empty() ||
          kernel::uses_parameters(stage))
        return false;
      const auto& load = stage.nodes[0];
      const auto& from = kernel.buffers[static_cast<size_t>(load.buffer)];
      if (from.role != kernel::Role::input || from.dtype != to.dtype) return false;
      int64_t elements = 1, points = 1;
      for (int64_t d : from.shape) elements *= d;
      for (const auto& axis : stage.axes) points *= axis.extent;
      const auto range_of = [&](int v) { return kernel::Range{0, stage.axes[static_cast<size_t>(v)].extent - 1}; };
      const kernel::Index moved =
          to.layout.linearize(stage.out_indices, range_of) - from.layout.linearize(load.indices, range_of);
      const int64_t bytes = moved.constant() * static_cast<int64_t>(ir::byte_size(to.dtype, 1));
      constexpr int64_t kAlignment = 64;
      if (!moved.is_constant() || points != elements || bytes % kAlignment != 0) return false;
      const int slot = slot_of(values[static_cast<size_t>(load.buffer)]);
      const auto& part = program_.slots[static_cast<size_t>(slot)];
      if (!plain(slot) || part.alias_of >= 0 || part.part_of >= 0) return false;
      for (const Part& other : parts)
        if (other.slot == slot || (moved.constant() < other.end && other.begin < moved.constant() + from.layout.size()))
          return false;
      parts.push_back({slot, moved.constant(), moved.constant() + from.layout.size()});
    }
    const int whole = slot_of(values[static_cast<size_t>(result)]);
    if (!plain(whole) || parts.back().end > to.layout.size()) return false;
    for (const Part& part : parts) {
      auto& slot = program_.slots[static_cast<size_t>(part.slot)];
      slot.part_of = whole;
      slot.part_offset = ir::byte_size(to.dtype, static_cast<size_t>(part.begin));
    }
    return true;
  }

  const Workload& work_;
  const std::vector<Choice>& choices_;
  size_t in_object_ = 1;  // tasks
  bool in_loop_ = false;
  runtime::Program program_;
  std::map<ir::ValueId, int> slots_;
  std::map<std::pair<ir::ValueId, std::string>, int> packed_;
};

}  // namespace

runtime::Program assemble(const Workload& workload, const std::vector<Choice>& choices, codegen::Codegen& codegen) {
  RT_CHECK(choices.size() == workload.tasks.size());
  return *Assembler(workload, choices).assemble(codegen, workload.tasks.size(), {});
}

std::optional<runtime::Program> assemble_unless(const Workload& workload, const std::vector<Choice>& choices,
                                                codegen::Codegen& codegen, const std::function<bool()>& stop) {
  constexpr size_t kTasksAtATime = 8;
  RT_CHECK(choices.size() == workload.tasks.size());
  return Assembler(workload, choices).assemble(codegen, kTasksAtATime, stop);
}

}  // namespace rooftune::tune
