#include "tune/measure_task.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "measure/load.h"
#include "runtime/memory_block.h"
#include "search/sampler.h"
#include "tune/task_bench.h"

namespace rooftune::tune {
namespace {

constexpr size_t kMostWeights = size_t{512} << 20;
constexpr size_t kMostReference = size_t{256} << 20;

/// What a child writes about a candidate; index -1 is a sign of life, -2 an error of the whole batch. Text follows.
struct Record {
  int32_t index = -1;
  uint32_t text = 0;
  double ms = 0;
  bool checked = false;
};

void write_all(int file, const void* data, size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = write(file, from, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(1);  // nobody listens any more
    from += n;
    bytes -= static_cast<size_t>(n);
  }
}

void write_record(int file, int32_t index, const Measured& m) {
  Record record{index, static_cast<uint32_t>(m.failure.size()), m.ms, m.checked};
  std::string message(reinterpret_cast<const char*>(&record), sizeof record);
  message += m.failure;
  write_all(file, message.data(), message.size());
}

/// Memory that children write and this process keeps.
class SharedOutputs {
 public:
  explicit SharedOutputs(size_t bytes) : bytes_(bytes + 64) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw EnvironmentError("no memory for {} bytes of reference outputs", bytes);
  }
  ~SharedOutputs() { munmap(memory_, bytes_); }
  SharedOutputs(const SharedOutputs&) = delete;
  SharedOutputs& operator=(const SharedOutputs&) = delete;
  ReferenceOutputs view() const {
    return {static_cast<uint8_t*>(memory_) + 64, bytes_ - 64, static_cast<bool*>(memory_)};
  }

 private:
  void* memory_;
  size_t bytes_;
};

}  // namespace

struct ProcessMeasurer::Impl {
  const Workload& workload;
  codegen::Codegen& codegen;
  MeasureOptions options;
  runtime::MemoryBlock weights;  // rotated through
  std::map<size_t, std::unique_ptr<SharedOutputs>> references;

  bool stopped(const Batch& batch) const {
    return (options.cancelled != nullptr && options.cancelled->requested()) || measure::now_seconds() > batch.deadline;
  }

  void make_weights() {
    const size_t span = std::min(weight_block_bytes(weight_bytes(workload), options.l3), kMostWeights);
    if (span < (size_t{64} << 10)) return;  // stays in the inner caches
    weights = runtime::MemoryBlock(span);
    auto* data = reinterpret_cast<float*>(weights.data());
    search::Random random(options.seed);
    const size_t n = span / sizeof(float), period = std::min<size_t>(n, 4099);
    for (size_t i = 0; i < period; ++i) data[i] = static_cast<float>(random.uniform() * 2 - 1);
    for (size_t i = period; i < n; ++i) data[i] = data[i - period];
  }

  ReferenceOutputs reference(size_t task) {
    auto& shared = references[task];
    const size_t bytes = output_bytes(workload.tasks[task]);
    if (bytes > kMostReference) return {};
    if (!shared) shared = std::make_unique<SharedOutputs>(bytes);
    return shared->view();
  }

  [[noreturn]] void child(const Batch& batch, int file, const ReferenceOutputs& reference_outputs) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);  // the parent decides
    double last = 0;
    BenchSettings settings;
    settings.threads = options.threads;
    settings.seed = options.seed;
    settings.weights = weights.data();
    settings.weights_bytes = weights.bytes();
    settings.l3 = static_cast<size_t>(options.l3);
    settings.reference = reference_outputs;
    settings.alive = [&] {
      if (measure::now_seconds() - last < 0.5) return;
      last = measure::now_seconds();
      write_record(file, -1, {});
    };
    settings.done = [&](size_t i, const Measured& m) { write_record(file, static_cast<int32_t>(i), m); };
    try {
      bench(workload, batch, codegen, settings);
    } catch (const std::exception& e) {
      Measured m;
      m.failure = e.what();
      write_record(file, -2, m);
    }
    _exit(0);
  }

  /// Reads the child's records until it closes the pipe. Returns why it had to be killed, or what it said of the batch.
  std::string listen(const Batch& batch, pid_t pid, int file, std::vector<Measured>& results,
                     std::vector<bool>& done) const {
    std::string buffered, verdict;
    double heard = measure::now_seconds();
    for (;;) {
      pollfd poll_file{file, POLLIN, 0};
      const int ready = poll(&poll_file, 1, 50);
      const double now = measure::now_seconds();
      if (ready > 0) {
        char chunk[4096];
        const ssize_t n = read(file, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return verdict;
        heard = now;
        buffered.append(chunk, static_cast<size_t>(n));
        Record record;
        while (buffered.size() >= sizeof record) {
          std::memcpy(&record, buffered.data(), sizeof record);
          if (buffered.size() < sizeof record + record.text) break;
          const std::string text = buffered.substr(sizeof record, record.text);
          buffered.erase(0, sizeof record + record.text);
          if (record.index == -2) verdict = text;
          if (record.index < 0 || static_cast<size_t>(record.index) >= results.size()) continue;
          results[static_cast<size_t>(record.index)] = {record.ms, record.checked, text};
          done[static_cast<size_t>(record.index)] = true;
        }
        continue;
      }
      if (now - heard > options.hang_seconds) {
        kill(pid, SIGKILL);
        return fmt::format("it did not finish within {} s", options.hang_seconds);
      }
      if (now > batch.deadline + 0.1 || (options.cancelled != nullptr && options.cancelled->requested())) {
        kill(pid, SIGKILL);
        return "";
      }
    }
  }

  /// One child for the whole batch. Returns what befell those that are not done.
  std::string attempt(const Batch& batch, std::vector<Measured>& results, std::vector<bool>& done) {
    const ReferenceOutputs outputs = reference(batch.task);
    int pipe_files[2];
    if (pipe2(pipe_files, O_CLOEXEC) != 0)
      throw EnvironmentError("cannot make a pipe for measurements: {}", std::strerror(errno));
    const pid_t pid = fork();
    if (pid < 0) {
      close(pipe_files[0]);
      close(pipe_files[1]);
      throw EnvironmentError("cannot start a process for measurements: {}", std::strerror(errno));
    }
    if (pid == 0) {
      close(pipe_files[0]);
      child(batch, pipe_files[1], outputs);
    }
    close(pipe_files[1]);
    std::string verdict = listen(batch, pid, pipe_files[0], results, done);
    close(pipe_files[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (verdict.empty() && WIFSIGNALED(status))
      verdict = fmt::format("it ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return verdict;
  }
};

ProcessMeasurer::ProcessMeasurer(const Workload& workload, codegen::Codegen& codegen, const MeasureOptions& options)
    : impl_(std::make_unique<Impl>(Impl{workload, codegen, options, {}, {}})) {
  impl_->make_weights();
}
ProcessMeasurer::~ProcessMeasurer() = default;

double ProcessMeasurer::seconds() { return measure::now_seconds(); }

std::vector<Measured> ProcessMeasurer::measure(const Batch& batch) {
  std::vector<Measured> results(batch.choices.size());
  std::vector<bool> done(batch.choices.size(), false);
  if (batch.choices.empty() || impl_->stopped(batch)) return results;
  const std::string verdict = impl_->attempt(batch, results, done);
  if (batch.choices.size() == 1) {
    if (!done[0] && !impl_->stopped(batch))
      results[0].failure = verdict.empty() ? "it ended without a result" : verdict;
    return results;
  }
  // One of them ended the child: each again by itself, the reference and the incumbent first, and then beside the
  // incumbent, so that times stay comparable.
  auto again = [&](size_t i, bool beside) {
    Batch few = batch;
    few.choices = {batch.choices[i]};
    few.has_reference = batch.has_reference && i == 0;
    few.incumbent = 0;
    if (beside) few.choices.insert(few.choices.begin(), batch.choices[batch.incumbent]);
    return measure(few);
  };
  for (size_t i : {size_t{0}, batch.incumbent})
    if (!done[i] && !impl_->stopped(batch)) results[i] = again(i, false)[0], done[i] = true;
  const Measured& incumbent = results[batch.incumbent];
  for (size_t i = 0; i < done.size() && !impl_->stopped(batch); ++i) {
    if (done[i]) continue;
    // Alone first: beside another one it would take that one down with it, again and again.
    results[i] = again(i, false)[0];
    if (!results[i].timed() || !incumbent.timed()) continue;
    const auto both = again(i, true);
    if (both[0].timed() && both[1].timed()) results[i].ms = both[1].ms / both[0].ms * incumbent.ms;
  }
  return results;
}

}  // namespace rooftune::tune
