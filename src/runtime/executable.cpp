#include "runtime/executable.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "ir/derived.h"
#include "ir/kept.h"
#include "ir/mapped.h"
#include "runtime/executable_impl.h"
#include "runtime/memory_plan.h"

namespace rooftune::runtime {
namespace {

bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kAlignment == 0; }

bool is_row_major(const Slot& slot) {
  return slot.dynamic || slot.layout.axes().empty() || slot.layout.is_row_major(slot.shape);
}

const codegen::CompiledKernel& kernel_of(const Program& program, const Step& step) {
  return program.code.at(static_cast<size_t>(step.code_object)).kernels.at(static_cast<size_t>(step.kernel));
}

}  // namespace

namespace {

void validate_slots(const Program& program) {
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const Slot& slot = program.slots[s];
    RT_CHECK(slot.alias_of < static_cast<int>(program.slots.size()), "slot '{}' aliases slot {}", slot.name,
             slot.alias_of);
    const Slot& root = program.slots[static_cast<size_t>(alias_root(program, static_cast<int>(s)))];
    RT_CHECK(slot.dims.empty() || (slot.dims.size() == slot.shape.size() && !slot.dynamic), "slot '{}' has {} dims",
             slot.name, slot.dims.size());
    RT_CHECK(!slot.dynamic || slot.alias_of < 0, "slot '{}' is dynamic and cannot be an alias", slot.name);
    RT_CHECK(!root.dynamic || slot.alias_of < 0, "slot '{}' aliases a dynamic one", slot.name);
    const bool border = slot.kind == Slot::Kind::input || slot.kind == Slot::Kind::output;
    RT_CHECK(!border || is_row_major(slot), "'{}' is at the border of the model and must be row-major, not {}",
             slot.name, slot.layout.to_string());
    if (slot.dynamic) continue;
    RT_CHECK(
        !is_row_major(slot) ||
            slot.bytes >= ir::byte_size(slot.dtype, static_cast<size_t>(ir::element_count(ir::to_shape(slot.shape)))),
        "slot '{}' has {} bytes, too few for its shape", slot.name, slot.bytes);
    switch (root.kind) {
      case Slot::Kind::temporary:  // an unused one has no place
        RT_CHECK(root.offset % kAlignment == 0, "slot '{}' is not aligned", slot.name);
        break;
      case Slot::Kind::constant:
        RT_CHECK(root.constant && root.constant.bytes() >= slot.bytes, "constant '{}' has {} bytes of {}", slot.name,
                 root.constant ? root.constant.bytes() : 0, slot.bytes);
        break;
      default:
        RT_CHECK(slot.bytes <= root.bytes, "slot '{}' has more bytes than '{}', which it aliases", slot.name,
                 root.name);
    }
  }
}

void validate_in_range(const Program& program, const std::vector<int>& slots, int lowest, const std::string& what) {
  const auto count = static_cast<int>(program.slots.size());
  for (int s : slots) RT_CHECK(s >= lowest && s < count, "{} refers to slot {} of {}", what, s, count);
}

void validate_reference(const Program& program, const Step& step) {
  RT_CHECK(program.graph && program.graph->alive(step.node), "step '{}' has no node", step.name);
  for (const std::vector<int>* slots : {&step.inputs, &step.outputs}) {
    validate_in_range(program, *slots, -1, step.name);
    for (int s : *slots) {
      if (s < 0) continue;
      const Slot& slot = program.slots[static_cast<size_t>(s)];
      RT_CHECK(is_row_major(slot), "reference step '{}' uses '{}', which lies in {}", step.name, slot.name,
               slot.layout.to_string());
    }
  }
}

void validate_kernel(const Program& program, const Step& step) {
  validate_in_range(program, step.slots, -1, step.name);
  RT_CHECK(step.code_object >= 0 && static_cast<size_t>(step.code_object) < program.code.size() && step.kernel >= 0 &&
               static_cast<size_t>(step.kernel) < program.code[static_cast<size_t>(step.code_object)].kernels.size(),
           "step '{}' has no kernel", step.name);
  const codegen::CompiledKernel& kernel = kernel_of(program, step);
  RT_CHECK(step.slots.size() == kernel.buffer_bytes.size(), "step '{}' gives {} buffers to a kernel of {}", step.name,
           step.slots.size(), kernel.buffer_bytes.size());
  for (size_t b = 0; b < step.slots.size(); ++b) {
    if (step.slots[b] < 0) continue;
    const Slot& slot = program.slots[static_cast<size_t>(step.slots[b])];
    RT_CHECK(!slot.dynamic, "kernel '{}' uses '{}', whose shape is dynamic", step.name, slot.name);
    RT_CHECK(slot.bytes >= kernel.buffer_bytes[b], "slot '{}' has {} bytes, kernel '{}' needs {}", slot.name,
             slot.bytes, step.name, kernel.buffer_bytes[b]);
    const Slot& root = program.slots[static_cast<size_t>(alias_root(program, step.slots[b]))];
    RT_CHECK(root.kind != Slot::Kind::temporary || root.offset + slot.bytes <= program.arena_bytes,
             "slot '{}' lies outside the arena: its memory is not planned", slot.name);
  }
  RT_CHECK(static_cast<int>(step.parameters.size()) == kernel.parameters,
           "step '{}' gives {} parameters to a kernel of {}", step.name, step.parameters.size(), kernel.parameters);
  for (const auto& phase : kernel.phases)
    for (const auto& live : phase.live)
      RT_CHECK(live.parameter >= 0 && live.parameter < kernel.parameters && live.step > 0 && live.most > 0,
               "kernel '{}' has a loop over no parameter", step.name);
  for (int b : kernel.prepared_buffers)
    RT_CHECK(b >= 0 && static_cast<size_t>(b) < kernel.buffer_bytes.size(), "kernel '{}' prepares buffer {}", step.name,
             b);
  RT_CHECK(step.workspace % kAlignment == 0 && step.workspace + kernel.workspace_bytes <= program.arena_bytes,
           "the workspace of '{}' lies outside the arena: its memory is not planned", step.name);
}

}  // namespace

namespace {

/// Every symbol can be told from the shapes of the inputs, and nothing speaks of others.
void validate_symbols(const Program& program) {
  std::set<std::string> known;
  RT_CHECK(program.units.size() == program.symbols.size() &&
               std::all_of(program.units.begin(), program.units.end(), [](int64_t unit) { return unit > 0; }),
           "{} symbols have {} units", program.symbols.size(), program.units.size());
  for (const ir::Dim& symbol : program.symbols) {
    RT_CHECK(symbol.symbols().size() == 1 && symbol.min() >= 0 && symbol.max() < ir::Dim::kUnbounded,
             "'{}' is no bounded symbol", symbol.to_string());
    const bool told = std::any_of(program.inputs.begin(), program.inputs.end(), [&](int s) {
      const auto& dims = program.slots[static_cast<size_t>(s)].dims;
      return std::find(dims.begin(), dims.end(), symbol) != dims.end();
    });
    RT_CHECK(told, "no input has the dimension '{}'", symbol.to_string());
    known.insert(symbol.symbols()[0]);
  }
  const auto check = [&](const std::vector<ir::Dim>& dims, const std::string& name) {
    for (const ir::Dim& dim : dims)
      for (const std::string& symbol : dim.symbols())
        RT_CHECK(known.contains(symbol), "'{}' speaks of a dimension '{}' that no input has", name, symbol);
  };
  std::map<std::string, ir::Dim> bounded;  // a dim's own text may state other bounds than the program's
  for (const ir::Dim& symbol : program.symbols) bounded.emplace(symbol.symbols()[0], symbol);
  for (const Slot& slot : program.slots) {
    check(slot.dims, slot.name);
    check(slot.numbers, slot.name);
    check(slot.steps, slot.name);
    RT_CHECK(slot.steps.empty() || (slot.kind == Slot::Kind::constant && slot.dtype == ir::DType::i64 &&
                                    slot.steps.size() == slot.shape.size() + 1),
             "constant '{}' has {} steps", slot.name, slot.steps.size());
    RT_CHECK(slot.numbers.empty() ||
                 (slot.kind == Slot::Kind::constant && slot.dtype == ir::DType::i64 && slot.dims.empty() &&
                  static_cast<int64_t>(slot.numbers.size()) == ir::element_count(ir::to_shape(slot.shape))),
             "constant '{}' has {} numbers", slot.name, slot.numbers.size());
    for (size_t d = 0; d < slot.dims.size(); ++d)
      RT_CHECK(slot.dims[d].substitute(bounded).max() <= slot.shape[d], "slot '{}' may be larger than its memory",
               slot.name);
  }
  for (const Step& step : program.steps) check(step.parameters, step.name);
  for (const Loop& loop : program.loops) {
    check({loop.trips}, loop.name);
    const ir::Dim trips = loop.trips.substitute(bounded);
    for (const auto* slices : {&loop.taken, &loop.given})
      for (const Loop::Slice& slice : *slices)
        RT_CHECK(trips.max() * static_cast<int64_t>(program.slots[static_cast<size_t>(slice.inside)].bytes) <=
                     static_cast<int64_t>(program.slots[static_cast<size_t>(slice.outside)].bytes),
                 "loop '{}' runs beyond '{}'", loop.name, program.slots[static_cast<size_t>(slice.outside)].name);
  }
}

/// Loops follow each other, and copy between slots of equal sizes that have their memory before the run.
void validate_loops(const Program& program) {
  const auto slot = [&](const Loop& loop, int s) -> const Slot& {
    validate_in_range(program, {s}, 0, loop.name);
    const Slot& slot = program.slots[static_cast<size_t>(s)];
    RT_CHECK(!slot.dynamic && is_row_major(slot) && slot.numbers.empty() && slot.steps.empty(),
             "loop '{}' cannot copy '{}'", loop.name, slot.name);
    return slot;
  };
  size_t done = 0;
  for (const Loop& loop : program.loops) {
    RT_CHECK(loop.first >= done && loop.first <= loop.end && loop.end <= program.steps.size(),
             "loop '{}' has the steps [{}, {})", loop.name, loop.first, loop.end);
    done = loop.end;
    for (size_t i = loop.first; i < loop.end; ++i)
      for (const auto* slots : {&program.steps[i].inputs, &program.steps[i].outputs})
        for (int s : *slots)
          RT_CHECK(s < 0 || !program.slots.at(static_cast<size_t>(s)).dynamic,
                   "step '{}' of a loop uses '{}', whose shape is dynamic", program.steps[i].name,
                   program.slots[static_cast<size_t>(s)].name);
    for (const auto* slices : {&loop.taken, &loop.given})
      for (const Loop::Slice& slice : *slices) slot(loop, slice.outside), slot(loop, slice.inside);
    for (const Loop::State& state : loop.states) {
      const Slot& input = slot(loop, state.input);
      for (int s : {state.initial, state.next, state.result})
        RT_CHECK((s == state.result && s < 0) || slot(loop, s).bytes == input.bytes, "loop '{}': '{}' has another size",
                 loop.name, input.name);
      for (const Loop::State& other : loop.states)
        RT_CHECK(&other == &state || alias_root(program, other.next) != alias_root(program, state.input),
                 "loop '{}': '{}' is overwritten before it is handed on", loop.name, input.name);
    }
  }
}

}  // namespace

void validate(const Program& program) {
  validate_slots(program);
  validate_in_range(program, program.inputs, 0, "the list of inputs");
  validate_in_range(program, program.outputs, 0, "the list of outputs");
  for (int s : program.inputs) {
    const Slot& slot = program.slots[static_cast<size_t>(s)];
    RT_CHECK(slot.kind == Slot::Kind::input && slot.alias_of < 0, "input '{}' is of another kind", slot.name);
  }
  validate_loops(program);
  validate_symbols(program);
  for (const Step& step : program.steps)
    step.kind == Step::Kind::reference ? validate_reference(program, step) : validate_kernel(program, step);
}

void Executable::Impl::bind_constants(ThreadPool& pool) {
  constants.resize(program.slots.size());
  std::vector<size_t> slots;
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const Slot& slot = program.slots[s];
    if (slot.kind != Slot::Kind::constant || slot.alias_of >= 0) continue;
    constants[s] = slot.constant;
    if (slot.constant.dtype() != ir::DType::string) slots.push_back(s);
  }
  std::atomic<size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  pool.parallel_for(pool.threads(), [&](int, int64_t, int64_t) {
    for (size_t i; (i = next++) < slots.size();) {
      try {  // the first use of a constant that is packed packs it
        // Clones are aligned; mapped packages are too, but a model's own file need not be.
        if (ir::Tensor& constant = constants[slots[i]]; !is_aligned(constant.raw())) constant = constant.clone();
      } catch (...) {
        const std::lock_guard lock(failing);
        failure = std::current_exception();
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

void Executable::Impl::bind_steps() {
  for (const codegen::CodeObject& object : program.code) code.emplace_back(object);
  const auto bind = [](const LoadedCode& object, const std::vector<codegen::Phase>& phases) {
    std::vector<BoundPhase> bound;
    for (const codegen::Phase& phase : phases)
      bound.push_back({reinterpret_cast<PhaseFunction>(object.symbol(phase.symbol)), &phase});
    return bound;
  };
  for (const Step& step : program.steps) {
    BoundStep& bound = steps.emplace_back();
    if (step.kind != Step::Kind::kernel) continue;
    const codegen::CompiledKernel& kernel = kernel_of(program, step);
    bound.phases = bind(code[static_cast<size_t>(step.code_object)], kernel.phases);
    bound.table = table.size();
    scratch_bytes = std::max(scratch_bytes, kernel.scratch_bytes);
    for (int s : step.slots) {
      const TableEntry entry{table.size(), s < 0 ? -1 : root[static_cast<size_t>(s)]};
      table.push_back(nullptr);
      if (s < 0) continue;
      switch (program.slots[static_cast<size_t>(entry.slot)].kind) {
        case Slot::Kind::constant: table.back() = constants[static_cast<size_t>(entry.slot)].raw(); break;
        case Slot::Kind::temporary: arena_entries.push_back(entry); break;
        default: boundary_entries.push_back(entry);
      }
    }
    bound.parameters = parameters.size();
    parameters.insert(parameters.end(), step.parameters.begin(), step.parameters.end());
    if (step.parameters.empty()) continue;
    parameter_entries.emplace_back(table.size(), steps.size() - 1);
    table.push_back(nullptr);
  }
}

/// How many of the threads are worth starting to prepare what the program needs.
int Executable::Impl::preparing_threads(int most) const {
  constexpr size_t kWorthThreads = size_t{4} << 20;
  size_t total = 0;
  for (const Slot& slot : program.slots)
    if (dynamic_cast<const ir::DerivedStorage*>(slot.constant.storage().get())) total += slot.bytes;
  for (const Step& step : program.steps) {
    if (step.kind != Step::Kind::kernel) continue;
    const codegen::CompiledKernel& kernel = kernel_of(program, step);
    for (int b : kernel.prepared_buffers) total += kernel.buffer_bytes[static_cast<size_t>(b)];
  }
  if (most <= 0) most = static_cast<int>(std::thread::hardware_concurrency());
  return total < kWorthThreads ? 1 : std::clamp(most, 1, 16);
}

/// Packs constants as the kernels want them. Steps that run the same kernel on the same constants share the result.
void Executable::Impl::prepare(ThreadPool& pool) {
  struct Key {
    int code_object, kernel;
    std::vector<int> constants;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, std::vector<void*>> done;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (step.kind != Step::Kind::kernel) continue;
    const codegen::CompiledKernel& kernel = kernel_of(program, step);
    if (kernel.prepared_buffers.empty()) continue;
    void** buffers = table.data() + steps[i].table;
    Key key{step.code_object, step.kernel, {}};
    for (int s : step.slots) {
      const bool constant =
          s >= 0 && program.slots[static_cast<size_t>(root[static_cast<size_t>(s)])].kind == Slot::Kind::constant;
      key.constants.push_back(constant ? root[static_cast<size_t>(s)] : -1);
    }
    std::vector<void*>& pointers = done[key];
    if (pointers.empty()) {
      for (int b : kernel.prepared_buffers) {
        prepared.push_back(ir::allocate_kept(std::max<size_t>(kernel.buffer_bytes[static_cast<size_t>(b)], 1)));
        pointers.push_back(prepared.back()->data());
        buffers[b] = pointers.back();
      }
      const size_t stride = (kernel.scratch_bytes + 4095) / 4096 * 4096;
      const MemoryBlock workspace(kernel.workspace_bytes), scratch(stride * static_cast<size_t>(pool.threads()));
      for (const codegen::Phase& phase : kernel.prepare_phases) {
        PhaseCall call{
            reinterpret_cast<PhaseFunction>(code[static_cast<size_t>(step.code_object)].symbol(phase.symbol)), buffers,
            workspace.data(), scratch.data(), stride};
        pool.run(phase.tasks, run_share, &call);
      }
    }
    for (size_t p = 0; p < pointers.size(); ++p) buffers[kernel.prepared_buffers[p]] = pointers[p];
  }
}

/// What was read to be packed is hardly ever read again: where it lies in a mapped file, its memory goes back.
void Executable::Impl::release_prepared_constants() const {
  for (const Step& step : program.steps) {
    if (step.kind != Step::Kind::kernel || kernel_of(program, step).prepared_buffers.empty()) continue;
    for (int s : step.slots)
      if (s >= 0) ir::release(constants[static_cast<size_t>(root[static_cast<size_t>(s)])]);
  }
}

void Executable::Impl::find_dead_dynamic() {
  for (size_t s = 0; s < program.slots.size(); ++s)
    if (program.slots[s].dynamic) dynamic_slots.push_back(static_cast<int>(s));
  std::vector<int> last(program.slots.size(), -1);
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (const std::vector<int>* slots : {&program.steps[i].inputs, &program.steps[i].outputs})
      for (int s : *slots)
        if (s >= 0 && program.slots[static_cast<size_t>(s)].dynamic) last[static_cast<size_t>(s)] = static_cast<int>(i);
  for (int s : program.outputs) last[static_cast<size_t>(s)] = -1;
  for (size_t s = 0; s < last.size(); ++s)
    if (last[s] >= 0) steps[static_cast<size_t>(last[s])].dynamic_dead.push_back(static_cast<int>(s));
}

Executable::Executable(Program program, int threads) : impl_(std::make_unique<Impl>()) {
  impl_->program = std::move(program);
  validate(impl_->program);
  const Program& p = impl_->program;
  impl_->output_owner.assign(p.slots.size(), -1);
  for (size_t s = 0; s < p.slots.size(); ++s) impl_->root.push_back(alias_root(p, static_cast<int>(s)));
  for (size_t i = p.outputs.size(); i-- > 0;) {
    const int root = impl_->root[static_cast<size_t>(p.outputs[i])];
    const Slot& slot = p.slots[static_cast<size_t>(root)];
    if (slot.kind == Slot::Kind::output && !slot.dynamic)
      impl_->output_owner[static_cast<size_t>(root)] = static_cast<int>(i);
  }
  for (size_t s = 0; s < p.slots.size(); ++s) {
    const Slot& slot = p.slots[s];
    RT_CHECK(slot.kind != Slot::Kind::output || slot.alias_of >= 0 || slot.dynamic || impl_->output_owner[s] >= 0,
             "slot '{}' is of kind output but no output of the model", slot.name);
  }
  ThreadPool pool(impl_->preparing_threads(threads));
  impl_->bind_constants(pool);
  impl_->bind_steps();
  impl_->prepare(pool);
  impl_->release_prepared_constants();
  impl_->find_dead_dynamic();
}

Executable::~Executable() = default;
Executable::Executable(Executable&&) noexcept = default;

const Program& Executable::program() const { return impl_->program; }

std::unique_ptr<Context> Executable::make_context(int threads, bool pin) const {
  if (threads < 1 || threads > 1024) throw InputError("{} threads were asked for; 1 to 1024 are possible", threads);
  return std::unique_ptr<Context>(new Context(std::make_unique<Context::Impl>(*impl_, threads, pin)));
}

}  // namespace rooftune::runtime
