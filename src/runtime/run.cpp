// One run: binds the caller's tensors, walks the steps, hands the outputs over.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "ops/op.h"
#include "runtime/executable_impl.h"
#include "runtime/memory_plan.h"

namespace rooftune::runtime {
namespace {

std::string describe(ir::DType dtype, const std::vector<int64_t>& shape) {
  std::string text = std::string(ir::name(dtype)) + "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += shape[i] < 0 ? "?" : std::to_string(shape[i]);
  }
  return text + "]";
}

bool shape_fits(const Slot& slot, const std::vector<int64_t>& shape) {
  if (!slot.dynamic) return slot.shape == shape;
  if (slot.shape.empty()) return true;
  if (slot.shape.size() != shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i)
    if (slot.shape[i] >= 0 && slot.shape[i] != shape[i]) return false;
  return true;
}

void check_boundary(const Slot& slot, const ir::Tensor& tensor, const char* what) {
  if (tensor.dtype() == slot.dtype && shape_fits(slot, tensor.shape())) return;
  const std::string wanted = slot.dynamic && slot.shape.empty() ? std::string(ir::name(slot.dtype)) + " of any shape"
                                                                : describe(slot.dtype, slot.shape);
  if (!tensor) throw InputError("{} '{}' is missing: a {} is expected", what, slot.name, wanted);
  throw InputError("{} '{}' is {}: a {} is expected", what, slot.name, describe(tensor.dtype(), tensor.shape()),
                   wanted);
}

}  // namespace

Context::Impl::Impl(const Executable::Impl& e, int threads, bool pin)
    : pool(threads, pin),
      arena(e.program.arena_bytes),
      scratch_stride((e.scratch_bytes + 4095) / 4096 * 4096),  // whole pages, so that threads share none
      table(e.table),
      memory(e.program.slots.size()),
      dynamic(e.program.slots.size()),
      staging(e.program.slots.size()) {
  scratch = MemoryBlock(scratch_stride * static_cast<size_t>(threads));
  for (size_t s = 0; s < memory.size(); ++s) {
    const Slot& slot = e.program.slots[s];
    if (slot.alias_of >= 0 || slot.dynamic) continue;
    if (slot.kind == Slot::Kind::temporary) memory[s] = arena.data() + slot.offset;
    if (slot.kind == Slot::Kind::constant) memory[s] = const_cast<uint8_t*>(e.constants[s].raw());
  }
  for (const TableEntry& entry : e.arena_entries) table[entry.position] = memory[static_cast<size_t>(entry.slot)];
}

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;
int Context::threads() const { return impl_->pool.threads(); }
size_t Context::bytes() const { return impl_->arena.bytes() + impl_->scratch.bytes(); }

/// The walk itself; one object per run.
class Run {
 public:
  Run(const Executable::Impl& executable, Context::Impl& context, const std::vector<ir::Tensor>& inputs,
      std::vector<ir::Tensor>& outputs)
      : e_(executable), c_(context), inputs_(inputs), outputs_(outputs) {}

  void bind() {
    check_inputs();
    bind_outputs();
    bind_inputs();
    for (const TableEntry& entry : e_.boundary_entries)
      c_.table[entry.position] = c_.memory[static_cast<size_t>(entry.slot)];
  }

  void step(size_t i) {
    const Step& step = e_.program.steps[i];
    const BoundStep& bound = e_.steps[i];
    if (step.kind == Step::Kind::reference) {
      reference(step);
      for (int s : bound.dynamic_dead) c_.dynamic[static_cast<size_t>(s)] = {};
      return;
    }
    PhaseCall call{nullptr, c_.table.data() + bound.table, c_.arena.data() + step.workspace, c_.scratch.data(),
                   c_.scratch_stride};
    for (const BoundPhase& phase : bound.phases) {
      call.function = phase.function;
      c_.pool.run(phase.tasks, run_share, &call);
    }
  }

  /// Outputs that no step writes in place: dynamic ones, staged ones, and those that share memory with something else.
  void finish() {
    const Program& p = e_.program;
    for (size_t i = 0; i < p.outputs.size(); ++i) {
      const auto s = static_cast<size_t>(p.outputs[i]);
      if (p.slots[s].dynamic) {
        outputs_[i] = p.slots[s].kind == Slot::Kind::constant ? e_.constants[s] : c_.dynamic[s];
        continue;
      }
      const void* from = c_.memory[static_cast<size_t>(e_.root[s])];
      if (from != outputs_[i].raw()) std::memcpy(outputs_[i].raw(), from, outputs_[i].bytes());
    }
  }

 private:
  /// The caller's memory, or where that is not aligned a block of ours that lives as long as the context.
  void* aligned(int root, void* data) {
    return reinterpret_cast<uintptr_t>(data) % kAlignment == 0 ? data : staged(root);
  }

  void* staged(int root) {
    MemoryBlock& block = c_.staging[static_cast<size_t>(root)];
    if (block.bytes() == 0) block = MemoryBlock(e_.program.slots[static_cast<size_t>(root)].bytes);
    return block.data();
  }

  static bool overlap(const ir::Tensor& a, const ir::Tensor& b) {
    return a.raw() != nullptr && b.raw() != nullptr && a.raw() < b.raw() + b.bytes() && b.raw() < a.raw() + a.bytes();
  }

  /// Whether an output that the caller gave lies in the memory of this tensor.
  bool overwritten(const ir::Tensor& tensor) const {
    return std::any_of(outputs_.begin(), outputs_.end(), [&](const ir::Tensor& o) { return overlap(o, tensor); });
  }

  void check_inputs() {
    const Program& p = e_.program;
    if (inputs_.size() != p.inputs.size()) {
      std::string names;
      for (int s : p.inputs) names += (names.empty() ? "" : ", ") + p.slots[static_cast<size_t>(s)].name;
      throw InputError("{} inputs were given, the model takes {} ({})", inputs_.size(), p.inputs.size(), names);
    }
    for (size_t i = 0; i < inputs_.size(); ++i)
      check_boundary(p.slots[static_cast<size_t>(p.inputs[i])], inputs_[i], "input");
  }

  /// After bind_outputs: what an output overwrites while it is still read must be copied first.
  void bind_inputs() {
    const Program& p = e_.program;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const int s = p.inputs[i];
      const Slot& slot = p.slots[static_cast<size_t>(s)];
      const bool shared = overwritten(inputs_[i]);
      if (slot.dynamic) {
        c_.dynamic[static_cast<size_t>(s)] = shared ? inputs_[i].clone() : inputs_[i];
        continue;
      }
      void* given = const_cast<uint8_t*>(inputs_[i].raw());
      void* used = shared ? staged(s) : aligned(s, given);
      if (used != given) std::memcpy(used, given, inputs_[i].bytes());
      c_.memory[static_cast<size_t>(s)] = used;
    }
  }

  void bind_outputs() {
    const Program& p = e_.program;
    if (outputs_.empty()) outputs_.resize(p.outputs.size());
    if (outputs_.size() != p.outputs.size())
      throw InputError("{} outputs were given, the model has {}", outputs_.size(), p.outputs.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const auto s = static_cast<size_t>(p.outputs[i]);
      const Slot& slot = p.slots[s];
      if (slot.dynamic) continue;
      check_apart(i);
      if (!outputs_[i]) outputs_[i] = ir::Tensor(slot.dtype, slot.shape);
      check_boundary(slot, outputs_[i], "output");
      const int root = e_.root[s];
      if (e_.output_owner[static_cast<size_t>(root)] == static_cast<int>(i))
        c_.memory[static_cast<size_t>(root)] = aligned(root, outputs_[i].raw());
    }
  }

  /// Two outputs in the same memory: whichever is written last would win.
  void check_apart(size_t i) const {
    const Program& p = e_.program;
    for (size_t j = 0; j < i; ++j)
      if (!p.slots[static_cast<size_t>(p.outputs[j])].dynamic && overlap(outputs_[j], outputs_[i]))
        throw InputError("outputs '{}' and '{}' were given the same memory: each needs its own",
                         p.slots[static_cast<size_t>(p.outputs[j])].name,
                         p.slots[static_cast<size_t>(p.outputs[i])].name);
  }

  ir::Tensor view(int s) const {
    const Slot& slot = e_.program.slots[static_cast<size_t>(s)];
    const int root = e_.root[static_cast<size_t>(s)];
    if (e_.constants[static_cast<size_t>(root)] && slot.dynamic) return e_.constants[static_cast<size_t>(root)];
    if (slot.dynamic) return c_.dynamic[static_cast<size_t>(s)];
    return {slot.dtype, slot.shape, ir::wrap(c_.memory[static_cast<size_t>(root)], slot.bytes)};
  }

  void reference(const Step& step) {
    const ir::Node& node = e_.program.graph->node(step.node);
    std::vector<ir::Tensor> arguments;
    for (int s : step.inputs) arguments.push_back(s < 0 ? ir::Tensor() : view(s));
    std::vector<ir::Tensor> results = ops::evaluate(*e_.program.graph, node, std::move(arguments));
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const int s = step.outputs[o];
      if (s < 0) continue;
      RT_CHECK(o < results.size() && results[o], "node '{}' did not give its output {}", node.name, o);
      const Slot& slot = e_.program.slots[static_cast<size_t>(s)];
      if (slot.dynamic) {
        c_.dynamic[static_cast<size_t>(s)] = results[o];
        continue;
      }
      RT_CHECK(results[o].dtype() == slot.dtype && results[o].shape() == slot.shape,
               "node '{}' gave {} where {} was planned", node.name, describe(results[o].dtype(), results[o].shape()),
               describe(slot.dtype, slot.shape));
      ir::Tensor target = view(s);
      if (target.raw() != results[o].raw()) std::memcpy(target.raw(), results[o].raw(), target.bytes());
    }
  }

  const Executable::Impl& e_;
  Context::Impl& c_;
  const std::vector<ir::Tensor>& inputs_;
  std::vector<ir::Tensor>& outputs_;
};

namespace {

/// Marks a context as in use, and leaves it without references to this run's tensors.
class Busy {
 public:
  Busy(const Executable::Impl& executable, Context::Impl& context) : executable_(executable), context_(context) {
    if (context_.busy.exchange(true, std::memory_order_acquire))
      throw InputError("this context is running already: make one context per concurrent run");
  }
  ~Busy() {
    for (int s : executable_.dynamic_slots) context_.dynamic[static_cast<size_t>(s)] = {};
    context_.busy.store(false, std::memory_order_release);
  }

 private:
  const Executable::Impl& executable_;
  Context::Impl& context_;
};

}  // namespace

void Executable::run(Context& context, const std::vector<ir::Tensor>& inputs, std::vector<ir::Tensor>& outputs) const {
  const Busy busy(*impl_, *context.impl_);
  Run run(*impl_, *context.impl_, inputs, outputs);
  run.bind();
  for (size_t i = 0; i < impl_->steps.size(); ++i) run.step(i);
  run.finish();
}

std::vector<StepTime> Executable::profile(Context& context, const std::vector<ir::Tensor>& inputs,
                                          std::vector<ir::Tensor>& outputs) const {
  using Clock = std::chrono::steady_clock;
  const Busy busy(*impl_, *context.impl_);
  Run run(*impl_, *context.impl_, inputs, outputs);
  std::vector<StepTime> times;
  for (const Step& step : impl_->program.steps) times.push_back({step.name, 0});
  run.bind();
  for (size_t i = 0; i < impl_->steps.size(); ++i) {
    const auto start = Clock::now();
    run.step(i);
    times[i].milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  }
  run.finish();
  return times;
}

}  // namespace rooftune::runtime
