#include "tune/task_bench.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernel/analysis.h"
#include "kernel/nodes.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "runtime/code_loader.h"
#include "runtime/memory_block.h"
#include "search/sampler.h"

namespace rooftune::tune {
namespace {

using kernel::Role;
using runtime::MemoryBlock;
using PhaseFunction = void (*)(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end);

constexpr size_t kRotated = 4096;  // smaller constants stay in the innermost cache anyway
constexpr double kBurstSeconds = 1e-3;
constexpr double kHopeless = 3;    // times the best: abandoned after a few runs
constexpr double kUnlikely = 1.5;  // times the best: abandoned after some bursts
constexpr int kLeastBursts = 5, kMostBursts = 12;
constexpr double kSlowBurst = 0.02;     // seconds: few of those are enough
constexpr double kBurstsSeconds = 0.5;  // of all candidates, where that makes enough bursts
// Other work on the machine only ever adds time, and comes and goes: the faster bursts are the undisturbed ones.
constexpr double kUndisturbed = 20;  // percentile
constexpr double kHopeful = 1.1;     // times the best: worth checking

size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Integer inputs may be indices: what they may index, at most 8.
int index_limit(const kernel::Kernel& k) {
  int64_t limit = 8;
  auto look = [&](int buffer, const std::vector<kernel::Index>& indices) {
    for (size_t d = 0; d < indices.size(); ++d)
      if (!kernel::node_variables(indices[d]).empty())
        limit = std::min(limit, k.buffers[static_cast<size_t>(buffer)].shape[d]);
  };
  for (const auto& stage : k.stages) {
    look(stage.buffer, stage.out_indices);
    for (const auto& node : stage.nodes)
      if (node.op == kernel::Op::load) look(node.buffer, node.indices);
  }
  return static_cast<int>(std::max<int64_t>(limit, 1));
}

ir::Tensor random_tensor(ir::DType dtype, const std::vector<int64_t>& shape, int limit, uint64_t seed) {
  ir::Tensor t(dtype, shape);
  search::Random random(seed);
  if (dtype == ir::DType::f32) {
    auto* data = t.data<float>();
    for (int64_t i = 0; i < t.size(); ++i)
      data[i] = static_cast<float>(static_cast<int32_t>(random.next() >> 32)) * 0x1p-31f;
  } else if (ir::is_float(dtype)) {
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, random.uniform() * 2 - 1);
  } else {
    const int below = dtype == ir::DType::boolean ? 2 : limit;
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, random.below(below));
  }
  return t;
}

/// Whether a constant or prepared buffer is read while the kernel runs (and not only by its prepare phases); `gathered`:
/// at places that depend on data.
bool read_while_running(const kernel::Kernel& k, int buffer, bool* gathered = nullptr) {
  bool read = false;
  for (const auto& stage : k.stages) {
    if (kernel::reads_only_constants(k, stage)) continue;
    for (const auto& node : stage.nodes) {
      if (node.op != kernel::Op::load || node.buffer != buffer) continue;
      read = true;
      for (const auto& index : node.indices)
        if (gathered != nullptr && !kernel::node_variables(index).empty()) *gathered = true;
    }
  }
  return read;
}

bool rotates(const kernel::Kernel& k, int buffer) {
  bool gathered = false;
  return k.buffers[static_cast<size_t>(buffer)].dtype == ir::DType::f32 && read_while_running(k, buffer, &gathered) &&
         !gathered;
}

struct Candidate {
  const kernel::Kernel* kernel = nullptr;
  const codegen::CompiledKernel* compiled = nullptr;
  std::vector<std::pair<PhaseFunction, int64_t>> phases, prepare;
  std::vector<int64_t> parameters;           // at the largest size
  std::vector<void*> exact;                  // pointers to the data themselves
  std::vector<void*> pointers;               // as of the next run
  std::vector<std::pair<int, size_t>> cold;  // buffers that rotate, and their bytes
  size_t cold_bytes = 0;
  std::vector<MemoryBlock> owned;
  bool prepared = false;
  MemoryBlock workspace;
  std::vector<double> samples;
  int calls = 1;     // per burst
  bool out = false;  // no further bursts
  Measured result;
};

class Bench {
 public:
  Bench(const Workload& work, const Batch& batch, codegen::Codegen& codegen, const BenchSettings& settings)
      : work_(work),
        task_(work.tasks[batch.task]),
        batch_(batch),
        codegen_(codegen),
        settings_(settings),
        candidates_(batch.choices.size()) {}

  void run() {
    compile();
    make_data();
    for (auto& c : candidates_)
      if (c.compiled != nullptr) bind(c);
    pool_ = std::make_unique<ThreadPool>(settings_.threads);
    for (size_t i = 0; i < candidates_.size(); ++i)
      if (candidates_[i].compiled != nullptr && !late()) calibrate(candidates_[i]);
    bursts();
    finish();
  }

 private:
  bool late() const { return measure::now_seconds() > batch_.deadline; }
  /// Bursts end a little before the deadline: a time whose result was not checked is worth nothing.
  bool late_for_bursts() const {
    constexpr double kShare = 0.2, kMost = 0.3;
    return measure::now_seconds() > batch_.deadline - std::min(kMost, kShare * (batch_.deadline - begin_));
  }

  // ------------------------------------------------------------------------------------------------------- code
  /// All in one object, which spares linking; where that fails, one by one, so that only the guilty candidate fails.
  void compile() {
    std::vector<size_t> all(batch_.choices.size());
    std::iota(all.begin(), all.end(), size_t{0});
    try {
      keep(codegen_.compile(jobs(all)), all);
    } catch (const std::exception&) {
      for (size_t i : all) {
        try {
          keep(codegen_.compile(jobs({i})), {i});
        } catch (const std::exception& e) {
          candidates_[i].result.failure = e.what();
        }
        settings_.alive();
      }
    }
    settings_.alive();
  }

  void keep(codegen::CodeObject object, const std::vector<size_t>& of) {
    objects_.push_back(std::make_unique<codegen::CodeObject>(std::move(object)));
    code_.push_back(std::make_unique<runtime::LoadedCode>(*objects_.back()));
    for (size_t j = 0; j < of.size(); ++j) load(candidates_[of[j]], of[j], objects_.back()->kernels[j], *code_.back());
  }

  std::vector<codegen::Job> jobs(const std::vector<size_t>& of) const {
    std::vector<codegen::Job> result;
    for (size_t i : of)
      result.push_back({&task_.variants[batch_.choices[i].variant].kernel, &batch_.choices[i].schedule});
    return result;
  }

  void load(Candidate& c, size_t i, const codegen::CompiledKernel& compiled, const runtime::LoadedCode& code) {
    c.kernel = &task_.variants[batch_.choices[i].variant].kernel;
    c.compiled = &compiled;
    auto symbols = [&](const std::vector<codegen::Phase>& phases) {
      std::vector<std::pair<PhaseFunction, int64_t>> result;
      for (const auto& phase : phases)
        result.emplace_back(reinterpret_cast<PhaseFunction>(code.symbol(phase.symbol)), phase.tasks);
      return result;
    };
    c.phases = symbols(compiled.phases);
    c.prepare = symbols(compiled.prepare_phases);
    scratch_stride_ = std::max(scratch_stride_, (compiled.scratch_bytes + 4095) / 4096 * 4096);
  }

  // ------------------------------------------------------------------------------------------------------- data
  /// What all candidates share: the tensors of the task. Variants begin with the same buffers.
  void make_data() {
    const auto& k = task_.variants[0].kernel;
    const auto& values = work_.values_of_group[task_.groups[0]];
    const int limit = index_limit(k);
    for (size_t b = 0; b < k.buffers.size() && b < values.size(); ++b) {
      const auto& buffer = k.buffers[b];
      const auto* constant = work_.graph->constant(values[b]);
      ir::Tensor tensor;
      if (buffer.role == Role::constant && constant != nullptr) tensor = *constant;
      else if (buffer.role == Role::constant || buffer.role == Role::input)
        tensor = random_tensor(buffer.dtype, buffer.shape, limit, settings_.seed * 1000003 + b);
      tensors_.push_back(tensor);
    }
    shared_.resize(k.buffers.size());
    scratch_ = MemoryBlock(scratch_stride_ * static_cast<size_t>(settings_.threads));
  }

  void bind(Candidate& c) {
    c.exact.assign(c.kernel->buffers.size(), nullptr);
    for (size_t b = 0; b < c.kernel->buffers.size(); ++b) {
      const Role role = c.kernel->buffers[b].role;
      if (b >= shared_.size() || role == Role::temporary) continue;
      const size_t bytes = c.compiled->buffer_bytes[b];
      if (role == Role::constant) {
        if (b < tensors_.size() && tensors_[b]) c.exact[b] = packed_constant(c, b, bytes);
        continue;
      }
      MemoryBlock& block = shared_[b];  // of inputs and outputs the layout is given from outside
      if (block.bytes() < bytes) {
        block = MemoryBlock(std::max<size_t>(bytes, 64));
        if (role == Role::input && tensors_[b]) pack(c, b, block.data());
      }
      c.exact[b] = block.data();
    }
    c.workspace = MemoryBlock(std::max<size_t>(c.compiled->workspace_bytes, 64));
    if (settings_.weights != nullptr) find_cold(c);
    for (int b : c.compiled->prepared_buffers) {
      c.owned.emplace_back(std::max<size_t>(c.compiled->buffer_bytes[static_cast<size_t>(b)], 64));
      c.exact[static_cast<size_t>(b)] = c.owned.back().data();
    }
    for (const auto& p : c.kernel->parameters) c.parameters.push_back(p.max());
    c.exact.push_back(c.parameters.data());
    c.pointers = c.exact;
  }

  void find_cold(Candidate& c) const {
    for (size_t b = 0; b < c.kernel->buffers.size(); ++b) {
      const bool prepared =
          std::count(c.compiled->prepared_buffers.begin(), c.compiled->prepared_buffers.end(), static_cast<int>(b)) > 0;
      const size_t bytes = rounded(c.compiled->buffer_bytes[b]);
      if ((c.kernel->buffers[b].role == Role::constant || prepared) && bytes >= kRotated &&
          rotates(*c.kernel, static_cast<int>(b))) {
        c.cold.emplace_back(static_cast<int>(b), bytes);
        c.cold_bytes += bytes;
      }
    }
    if (!weights_rotate(c.cold_bytes, settings_.weights_bytes, settings_.l3)) c.cold.clear();
  }

  void pack(const Candidate& c, size_t b, uint8_t* to) const {
    const auto& t = tensors_[b];
    kernel::pack(t.raw(), t.shape(), c.compiled->layouts[b], ir::byte_size(t.dtype(), 1), to);
  }

  /// A constant in the candidate's layout: the model's own memory where that will do.
  void* packed_constant(Candidate& c, size_t b, size_t bytes) {
    auto& t = tensors_[b];
    if (c.compiled->layouts[b].is_row_major(t.shape()) && reinterpret_cast<uintptr_t>(t.raw()) % 64 == 0)
      return t.raw();
    c.owned.emplace_back(std::max<size_t>(bytes, 64));
    unpacked_.push_back({&c, b, c.owned.back().data()});
    return c.owned.back().data();
  }

  /// Fills what only exact runs need: packed constants and prepared buffers.
  void prepare(Candidate& c) {
    if (c.prepared) return;
    c.prepared = true;
    for (const auto& u : unpacked_)
      if (u.candidate == &c) pack(c, u.buffer, static_cast<uint8_t*>(u.to));
    run_phases(c, c.prepare, c.exact.data());
  }

  // -------------------------------------------------------------------------------------------------------- runs
  void run_phases(Candidate& c, const std::vector<std::pair<PhaseFunction, int64_t>>& phases, void* const* buffers) {
    struct Call {
      PhaseFunction function;
      void* const* buffers;
      void* workspace;
      uint8_t* scratch;
      size_t stride;
    };
    Call call{nullptr, buffers, c.workspace.data(), scratch_.data(), scratch_stride_};
    for (const auto& [function, tasks] : phases) {
      call.function = function;
      pool_->run(
          tasks,
          [](void* context, int thread, int64_t begin, int64_t end) {
            const auto& call = *static_cast<const Call*>(context);
            call.function(call.buffers, call.workspace, call.scratch + static_cast<size_t>(thread) * call.stride, begin,
                          end);
          },
          &call);
    }
  }

  /// One run on the next place of the rotating weights.
  void run_cold(Candidate& c) {
    for (const auto& [b, bytes] : c.cold) {
      if (cursor_ + bytes > settings_.weights_bytes) cursor_ = 0;
      c.pointers[static_cast<size_t>(b)] = const_cast<uint8_t*>(settings_.weights) + cursor_;
      cursor_ += bytes;
    }
    run_phases(c, c.phases, c.pointers.data());
  }

  double timed(Candidate& c, int calls) {
    const double start = measure::now_seconds();
    for (int i = 0; i < calls; ++i) run_cold(c);
    const double seconds = (measure::now_seconds() - start) / calls;
    settings_.alive();
    return seconds;
  }

  bool is_incumbent(const Candidate& c) const { return &c == &candidates_[batch_.incumbent]; }
  bool must_end(const Candidate& c) const { return batch_.thorough || is_incumbent(c); }

  void calibrate(Candidate& c) {
    constexpr int kTries = 3;  // the first touches its memory for the first time; any may be interrupted
    constexpr double kMostSeconds = 0.1;
    if (needs_exact(c)) prepare(c);
    const double best = best_;
    double once = timed(c, 1);
    const double begin = measure::now_seconds() - once;
    for (int i = 1; i < kTries && (i == 1 || once > kHopeless * best); ++i) {
      if (once > 10 * kHopeless * best && measure::now_seconds() - begin > kMostSeconds) break;
      once = std::min(once, timed(c, 1));
    }
    best_ = std::min(best_, once);
    c.samples.push_back(once);
    c.out = once > kHopeless * best && !must_end(c);
    c.calls = std::clamp(static_cast<int>(kBurstSeconds / std::max(once, 1e-7)), 1, 10000);
  }

  /// Where everything large rotates, nothing need be packed before the candidate has shown that it is fast.
  bool needs_exact(const Candidate& c) const {
    auto exact = [&](size_t b) { return !is_cold(c, b) && read_while_running(*c.kernel, static_cast<int>(b)); };
    return std::any_of(unpacked_.begin(), unpacked_.end(),
                       [&](const auto& u) { return u.candidate == &c && exact(u.buffer); }) ||
           std::any_of(c.compiled->prepared_buffers.begin(), c.compiled->prepared_buffers.end(),
                       [&](int b) { return exact(static_cast<size_t>(b)); });
  }

  static bool is_cold(const Candidate& c, size_t buffer) {
    return std::any_of(c.cold.begin(), c.cold.end(),
                       [&](const auto& p) { return p.first == static_cast<int>(buffer); });
  }

  /// A B A B …: what disturbs the machine for a while disturbs all.
  void bursts() {
    constexpr int kFirstLook = 2;  // rounds
    const double begin = measure::now_seconds();
    for (int round = 0; round < kMostBursts; ++round) {
      if (round >= kLeastBursts && measure::now_seconds() - begin > kBurstsSeconds) return;
      for (auto& c : candidates_) {
        if (c.out || c.samples.empty()) continue;
        if (late_for_bursts()) return;
        if (round == 0) c.samples.clear();
        c.samples.push_back(timed(c, c.calls));
        best_ = std::min(best_, c.samples.back());
      }
      if (round < kFirstLook) continue;
      for (auto& c : candidates_) {
        if (c.out || c.samples.empty()) continue;
        const double fastest = *std::min_element(c.samples.begin(), c.samples.end());
        c.out = (fastest > kUnlikely * best_ && !must_end(c)) || fastest > kSlowBurst;
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------ results
  /// The reference first, then the incumbent, then the fastest first: what time does not suffice for matters least. A
  /// wrong result's time counts for nothing.
  void finish() {
    for (auto& c : candidates_)
      if (!c.samples.empty()) c.result.ms = measure::percentile(c.samples, kUndisturbed) * 1e3;
    auto rank = [&](size_t i) {
      const int first = batch_.has_reference && i == 0 ? 0 : i == batch_.incumbent ? 1 : 2;
      return std::pair(first, candidates_[i].result.ms);
    };
    std::vector<size_t> order(candidates_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
    double best = std::numeric_limits<double>::infinity();
    for (size_t i : order) {
      auto& c = candidates_[i];
      const bool reference = batch_.has_reference && i == 0;
      if (!c.samples.empty() && settings_.reference.data != nullptr) {
        const bool hopeful = is_incumbent(c) || c.result.ms < kHopeful * best;
        if (reference || (hopeful && !late() && *settings_.reference.valid)) check(c, reference);
      }
      if (c.result.checked) best = std::min(best, c.result.ms);
      settings_.done(i, c.result);
    }
  }

  void check(Candidate& c, bool reference) {
    const auto& k = *c.kernel;
    for (size_t b = 0; b < shared_.size(); ++b)
      if (k.buffers[b].role == Role::output) std::memset(shared_[b].data(), 0x7f, shared_[b].bytes());
    prepare(c);
    run_phases(c, c.phases, c.exact.data());
    std::vector<uint8_t> found(settings_.reference.bytes);
    uint8_t* to = reference ? settings_.reference.data : found.data();
    for (size_t b = 0; b < shared_.size(); ++b) {
      const auto& buffer = k.buffers[b];
      if (buffer.role != Role::output) continue;
      ir::Tensor row_major(buffer.dtype, buffer.shape);
      kernel::unpack(shared_[b].data(), buffer.shape, c.compiled->layouts[b], ir::byte_size(buffer.dtype, 1),
                     row_major.raw());
      std::memcpy(to, row_major.raw(), row_major.bytes());
      to += row_major.bytes();
    }
    if (reference) *settings_.reference.valid = true;
    c.result.checked = reference || outputs_agree(k, settings_.reference.data, found.data(),
                                                  std::max(k.error_class, task_.variants[0].kernel.error_class));
    if (!c.result.checked) c.result.failure = "its result is not that of the first choice";
    settings_.alive();
  }

  struct Unpacked {
    const Candidate* candidate;
    size_t buffer;
    void* to;
  };
  const Workload& work_;
  const Task& task_;
  const Batch& batch_;
  codegen::Codegen& codegen_;
  const BenchSettings& settings_;
  std::vector<Candidate> candidates_;
  std::vector<std::unique_ptr<codegen::CodeObject>> objects_;
  std::vector<std::unique_ptr<runtime::LoadedCode>> code_;
  std::vector<ir::Tensor> tensors_;
  std::vector<MemoryBlock> shared_;
  std::vector<Unpacked> unpacked_;
  std::unique_ptr<ThreadPool> pool_;
  MemoryBlock scratch_;
  size_t scratch_stride_ = 0;
  size_t cursor_ = 0;
  double begin_ = measure::now_seconds();
  double best_ = std::numeric_limits<double>::infinity();  // seconds, in this batch
};

}  // namespace

size_t weight_block_bytes(size_t total, int64_t l3) {
  const auto cache = static_cast<size_t>(l3);
  return total > cache ? 2 * cache : total;
}

bool weights_rotate(size_t bytes, size_t block_bytes, size_t l3) { return bytes <= l3 && bytes <= block_bytes; }

size_t output_bytes(const Task& task) {
  size_t bytes = 0;
  for (const auto& b : task.variants[0].kernel.buffers) {
    if (b.role != Role::output) continue;
    size_t elements = 1;
    for (int64_t d : b.shape) elements *= static_cast<size_t>(d);
    bytes += ir::byte_size(b.dtype, elements);
  }
  return bytes;
}

bool outputs_agree(const kernel::Kernel& kernel, const uint8_t* a, const uint8_t* b, double error_class) {
  for (const auto& buffer : kernel.buffers) {
    if (buffer.role != Role::output) continue;
    ir::Tensor x(buffer.dtype, buffer.shape), y(buffer.dtype, buffer.shape);
    std::memcpy(x.raw(), a, x.bytes());
    std::memcpy(y.raw(), b, y.bytes());
    a += x.bytes();
    b += y.bytes();
    if (std::memcmp(x.raw(), y.raw(), x.bytes()) == 0) continue;
    double difference = 0, norm = 0;
    int64_t unequal = 0;
    for (int64_t i = 0; i < x.size(); ++i) {
      const double u = x.as_double(i), v = y.as_double(i);
      if (std::isfinite(u) && std::isfinite(v)) difference += (u - v) * (u - v), norm += u * u;
      else if (u != v && !(std::isnan(u) && std::isnan(v))) return false;
      unequal += u != v;
    }
    if (ir::is_float(buffer.dtype) ? std::sqrt(difference) > 1e-4 * error_class * std::sqrt(norm) + 1e-12
                                   : unequal * 100 > x.size())
      return false;
  }
  return true;
}

void bench(const Workload& workload, const Batch& batch, codegen::Codegen& codegen, const BenchSettings& settings) {
  Bench(workload, batch, codegen, settings).run();
}

}  // namespace rooftune::tune
