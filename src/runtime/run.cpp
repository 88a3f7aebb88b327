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
  if (!slot.dims.empty()) return slot.shape.size() == shape.size();  // the rest once symbols are known
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

/// The first elements along each dim of a row-major tensor of shape `from_shape`, into the first of one of `to_shape`.
void copy_box(const uint8_t* from, const std::vector<int64_t>& from_shape, uint8_t* to,
              const std::vector<int64_t>& to_shape, const std::vector<int64_t>& box, size_t element) {
  if (std::find(box.begin(), box.end(), 0) != box.end()) return;
  size_t inner = box.size();  // dims from here on are whole in both
  int64_t run = 1;
  while (inner > 0 && (inner == box.size() || (from_shape[inner] == box[inner] && to_shape[inner] == box[inner])))
    run *= box[--inner];
  const size_t bytes = static_cast<size_t>(run) * element;
  if (bytes == 0) return;
  std::vector<size_t> from_step(inner), to_step(inner);
  size_t from_stride = element, to_stride = element;
  for (size_t d = box.size(); d-- > 0;) {
    if (d < inner) from_step[d] = from_stride, to_step[d] = to_stride;
    from_stride *= static_cast<size_t>(from_shape[d]);
    to_stride *= static_cast<size_t>(to_shape[d]);
  }
  std::vector<int64_t> at(inner, 0);
  for (;;) {
    size_t from_offset = 0, to_offset = 0;
    for (size_t d = 0; d < inner; ++d) {
      from_offset += static_cast<size_t>(at[d]) * from_step[d];
      to_offset += static_cast<size_t>(at[d]) * to_step[d];
    }
    std::memcpy(to + to_offset, from + from_offset, bytes);
    size_t d = inner;
    while (d-- > 0) {
      if (++at[d] < box[d]) break;
      at[d] = 0;
    }
    if (d == SIZE_MAX) return;
  }
}

/// Floats of these bytes are 3.4e38, integers far outside of anything.
void litter(MemoryBlock& block) {
  if (block.bytes() > 0) std::memset(block.data(), 0x7f, block.bytes());
}

}  // namespace

Context::Impl::Impl(const Executable::Impl& e, int threads, bool pin)
    : pool(threads, pin),
      arena(e.program.arena_bytes),
      scratch_stride((e.scratch_bytes + 4095) / 4096 * 4096),  // whole pages, so that threads share none
      table(e.table),
      memory(e.program.slots.size()),
      dynamic(e.program.slots.size()),
      staging(e.program.slots.size()),
      parameters(e.parameters.size()),
      shapes(e.program.slots.size()),
      numbers(e.program.slots.size()) {
  for (const Loop& loop : e.program.loops) trips.push_back(loop.trips.is_static() ? loop.trips.value() : 0);
  scratch = MemoryBlock(scratch_stride * static_cast<size_t>(threads));
  for (size_t s = 0; s < memory.size(); ++s) {
    const Slot& slot = e.program.slots[s];
    if (slot.alias_of >= 0 || slot.dynamic) continue;
    if (slot.kind == Slot::Kind::temporary) memory[s] = arena.data() + slot.offset;
    if (slot.kind == Slot::Kind::constant) memory[s] = const_cast<uint8_t*>(e.constants[s].raw());
  }
  for (const TableEntry& entry : e.arena_entries) table[entry.position] = memory[static_cast<size_t>(entry.slot)];
  for (const auto& [position, step] : e.parameter_entries)
    table[position] = parameters.data() + e.steps[step].parameters;
}

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;
int Context::threads() const { return impl_->pool.threads(); }
void Context::litter() {
  impl_->littered = true;
  runtime::litter(impl_->arena);
  for (MemoryBlock& block : impl_->staging) runtime::litter(block);
}
size_t Context::bytes() const { return impl_->arena.bytes() + impl_->scratch.bytes(); }

/// The walk itself; one object per run.
class Run {
 public:
  Run(const Executable::Impl& executable, Context::Impl& context, const std::vector<ir::Tensor>& inputs,
      std::vector<ir::Tensor>& outputs)
      : e_(executable), c_(context), inputs_(inputs), outputs_(outputs) {}

  void bind() {
    check_inputs();
    bind_symbols();
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
      c_.pool.run(phase.phase->tasks_of(c_.parameters.data() + bound.parameters), run_share, &call);
    }
  }

  /// All steps in their order, each by a call of `one`.
  template <typename One>
  void steps(One&& one) {
    const Program& p = e_.program;
    size_t i = 0;
    for (size_t l = 0; l < p.loops.size(); ++l) {
      const Loop& loop = p.loops[l];
      while (i < loop.first) one(i++);
      for (const Loop::State& state : loop.states) copy(state.initial, state.input);
      const int64_t trips = c_.trips[l];
      for (int64_t trip = 0; trip < trips; ++trip) {
        for (const Loop::Slice& slice : loop.taken)
          std::memcpy(memory(slice.inside), element(slice, trip, trips), bytes(slice.inside));
        for (i = loop.first; i < loop.end; ++i) one(i);
        for (const Loop::Slice& slice : loop.given)
          std::memcpy(element(slice, trip, trips), memory(slice.inside), bytes(slice.inside));
        for (const Loop::State& state : loop.states) copy(state.next, state.input);
      }
      for (const Loop::State& state : loop.states)
        if (state.result >= 0) copy(state.input, state.result);
      i = loop.end;
    }
    while (i < p.steps.size()) one(i++);
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
      if (c_.numbers[s]) {
        std::memcpy(outputs_[i].raw(), c_.numbers[s].raw(), outputs_[i].bytes());
        continue;
      }
      const auto* from = static_cast<const uint8_t*>(c_.memory[static_cast<size_t>(e_.root[s])]);
      if (from != outputs_[i].raw()) take(p.slots[s], from, outputs_[i]);
    }
  }

 private:
  uint8_t* memory(int s) const {
    return static_cast<uint8_t*>(c_.memory[static_cast<size_t>(e_.root[static_cast<size_t>(s)])]);
  }
  size_t bytes(int s) const { return e_.program.slots[static_cast<size_t>(s)].bytes; }
  void copy(int from, int to) const {
    if (memory(from) != memory(to)) std::memcpy(memory(to), memory(from), bytes(to));
  }
  uint8_t* element(const Loop::Slice& slice, int64_t trip, int64_t trips) const {
    return memory(slice.outside) + static_cast<size_t>(slice.reversed ? trips - 1 - trip : trip) * bytes(slice.inside);
  }

  /// The shape of a slot in this run.
  const std::vector<int64_t>& shape_of(size_t s) const {
    const Slot& slot = e_.program.slots[s];
    return slot.dims.empty() ? slot.shape : c_.shapes[s];
  }

  /// Copies what a slot holds, laid out at `from` for its largest shape, into a tensor of its shape in this run.
  static void take(const Slot& slot, const uint8_t* from, ir::Tensor& to) {
    if (slot.dims.empty()) std::memcpy(to.raw(), from, to.bytes());
    else copy_box(from, slot.shape, to.raw(), to.shape(), to.shape(), ir::byte_size(slot.dtype, 1));
  }
  static void put(const Slot& slot, const ir::Tensor& from, uint8_t* to) {
    if (slot.dims.empty()) std::memcpy(to, from.raw(), from.bytes());
    else copy_box(from.raw(), from.shape(), to, slot.shape, from.shape(), ir::byte_size(slot.dtype, 1));
  }

  /// A constant that depends on the symbols; empty for other slots.
  static ir::Tensor numbers_of(const Slot& slot, const std::vector<int64_t>& shape,
                               const std::map<std::string, ir::Dim>& values) {
    if (slot.numbers.empty() && slot.steps.empty()) return {};
    ir::Tensor result(ir::DType::i64, shape);
    auto* data = result.data<int64_t>();
    for (size_t i = 0; i < slot.numbers.size(); ++i) data[i] = slot.numbers[i].substitute(values).value();
    if (slot.steps.empty()) return result;
    std::vector<int64_t> steps;
    for (const ir::Dim& step : slot.steps) steps.push_back(step.substitute(values).value());
    for (int64_t i = 0; i < result.size(); ++i) {
      data[i] = steps[0];
      int64_t rest = i;
      for (size_t d = shape.size(); d-- > 0; rest /= shape[d]) data[i] += rest % shape[d] * steps[d + 1];
    }
    return result;
  }

  /// What the inputs' shapes say of the symbols, and what follows for parameters and slots.
  void bind_symbols() {
    const Program& p = e_.program;
    if (p.symbols.empty()) return;
    std::map<std::string, ir::Dim> values;
    for (size_t k = 0; k < p.symbols.size(); ++k) {
      const ir::Dim& symbol = p.symbols[k];
      const std::string name = symbol.symbols()[0];
      for (size_t i = 0; i < inputs_.size(); ++i) {
        const Slot& slot = p.slots[static_cast<size_t>(p.inputs[i])];
        for (size_t d = 0; d < slot.dims.size(); ++d) {
          if (!(slot.dims[d] == symbol)) continue;
          const int64_t given = inputs_[i].shape()[d];
          if (given < symbol.min() || given > symbol.max())
            throw InputError("input '{}' is {}: its dimension {} ('{}') must be {} to {}", slot.name,
                             describe(slot.dtype, inputs_[i].shape()), d, name, symbol.min(), symbol.max());
          if ((symbol.max() - given) % p.units[k] != 0)
            throw InputError("input '{}' is {}: its dimension {} ('{}') must be {} or less by a multiple of {}",
                             slot.name, describe(slot.dtype, inputs_[i].shape()), d, name, symbol.max(), p.units[k]);
          const auto [known, fresh] = values.try_emplace(name, given);
          if (!fresh && known->second.value() != given)
            throw InputError("input '{}' is {}: its dimension {} is '{}', which is {} in another input", slot.name,
                             describe(slot.dtype, inputs_[i].shape()), d, name, known->second.value());
        }
      }
    }
    if (!(values == c_.symbols)) {
      c_.symbols.clear();  // should anything below fail, the next run begins anew
      for (size_t i = 0; i < e_.parameters.size(); ++i) c_.parameters[i] = e_.parameters[i].substitute(values).value();
      for (size_t l = 0; l < p.loops.size(); ++l) c_.trips[l] = p.loops[l].trips.substitute(values).value();
      for (size_t s = 0; s < p.slots.size(); ++s) {
        c_.shapes[s].clear();
        for (const ir::Dim& dim : p.slots[s].dims) c_.shapes[s].push_back(dim.substitute(values).value());
        if (std::any_of(c_.shapes[s].begin(), c_.shapes[s].end(), [](int64_t d) { return d < 0; }))
          throw InputError("the inputs are too small for the model: '{}' would be {}", p.slots[s].name,
                           describe(p.slots[s].dtype, c_.shapes[s]));
        c_.numbers[s] = numbers_of(p.slots[s], shape_of(s), values);
      }
      c_.symbols = std::move(values);
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto s = static_cast<size_t>(p.inputs[i]);
      if (p.slots[s].dims.empty() || inputs_[i].shape() == c_.shapes[s]) continue;
      const Slot& slot = p.slots[s];
      throw InputError("input '{}' is {}: a {} is expected", slot.name, describe(slot.dtype, inputs_[i].shape()),
                       describe(slot.dtype, c_.shapes[s]));
    }
  }

  /// The caller's memory, or where that is not aligned a block of ours that lives as long as the context.
  void* aligned(int root, void* data) {
    return reinterpret_cast<uintptr_t>(data) % kAlignment == 0 ? data : staged(root);
  }

  void* staged(int root) {
    MemoryBlock& block = c_.staging[static_cast<size_t>(root)];
    if (block.bytes() == 0) {
      block = MemoryBlock(e_.program.slots[static_cast<size_t>(root)].bytes);
      if (c_.littered) litter(block);
    }
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
      void* used = shared || inputs_[i].shape() != slot.shape ? staged(s) : aligned(s, given);
      if (used != given) put(slot, inputs_[i], static_cast<uint8_t*>(used));
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
      const auto& shape = shape_of(s);
      if (!outputs_[i]) outputs_[i] = ir::Tensor(slot.dtype, shape);
      if (slot.dims.empty() || outputs_[i].dtype() != slot.dtype) check_boundary(slot, outputs_[i], "output");
      else if (outputs_[i].shape() != shape)
        throw InputError("output '{}' is {}: a {} is expected for these inputs", slot.name,
                         describe(outputs_[i].dtype(), outputs_[i].shape()), describe(slot.dtype, shape));
      const int root = e_.root[s];
      if (e_.output_owner[static_cast<size_t>(root)] == static_cast<int>(i))
        c_.memory[static_cast<size_t>(root)] =
            shape == p.slots[static_cast<size_t>(root)].shape ? aligned(root, outputs_[i].raw()) : staged(root);
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
    if (c_.numbers[static_cast<size_t>(s)]) return c_.numbers[static_cast<size_t>(s)];
    if (shape_of(static_cast<size_t>(s)) != slot.shape) {
      ir::Tensor live(slot.dtype, shape_of(static_cast<size_t>(s)));
      take(slot, static_cast<const uint8_t*>(c_.memory[static_cast<size_t>(root)]), live);
      return live;
    }
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
      const auto& shape = shape_of(static_cast<size_t>(s));
      RT_CHECK(results[o].dtype() == slot.dtype && results[o].shape() == shape,
               "node '{}' gave {} where {} was planned", node.name, describe(results[o].dtype(), results[o].shape()),
               describe(slot.dtype, shape));
      auto* target = static_cast<uint8_t*>(c_.memory[static_cast<size_t>(e_.root[static_cast<size_t>(s)])]);
      if (target != results[o].raw()) put(slot, results[o], target);
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
  run.steps([&](size_t i) { run.step(i); });
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
  run.steps([&](size_t i) {
    const auto start = Clock::now();
    run.step(i);
    times[i].milliseconds += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  });
  run.finish();
  return times;
}

}  // namespace rooftune::runtime
