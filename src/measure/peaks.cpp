#include "measure/peaks.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "measure/load.h"
#include "measure/peak_kernels.h"

namespace rooftune::measure {
namespace {

constexpr int kFormat = 2;                           // of the stored JSON; a file of another one is measured anew
constexpr int kPasses = 3;                           // over all points
constexpr int kMaxRounds = 3;                        // of disturbed measurements in a row …
constexpr auto kRetryAfter = std::chrono::hours(1);  // … then one more after this time

/// 1, 2, 4, … and the number itself.
std::vector<int> thread_counts(int available) {
  std::vector<int> counts;
  for (int n = 1; n < available; n *= 2) counts.push_back(n);
  counts.push_back(available);
  return counts;
}

/// The highest rate (work/s) of several timed shots. `shot(repeats)` does repeats · `work`; repeats is chosen so that a
/// shot takes about ten milliseconds: far above the cost of a fork-join, short enough to fit between disturbances.
double best_rate(double work, double seconds, const std::function<void(int64_t)>& shot) {
  constexpr double kShot = 0.01;
  const auto time = [&](int64_t repeats) {
    const double start = now_seconds();
    shot(repeats);
    return now_seconds() - start;
  };
  int64_t repeats = 1;
  double took = time(repeats);
  while (took < kShot / 4) {
    repeats *= 4;
    took = time(repeats);
  }
  repeats = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(repeats) * kShot / took));
  double best = 0;
  const double end = now_seconds() + seconds;
  for (int i = 0; i < 2 || now_seconds() < end; ++i)
    best = std::max(best, work * static_cast<double>(repeats) / time(repeats));
  return best;
}

using Buffer = std::unique_ptr<float, decltype(&std::free)>;
constexpr size_t kHugePage = size_t{2} << 20;

/// Working sets per level: well outside of the one before, and no larger than that asks for: of a last level that others
/// share, or that a virtual machine is told more of than it has, a small part is what a model's data get.
struct Level {
  std::string name;
  double bytes_per_thread;
};
std::vector<Level> levels(const hardware::Host& host, int threads) {
  std::vector<Level> result;
  double inner = 0;  // bytes per thread that the previous level holds
  double total = 0;  // bytes that the last level holds in all
  for (const hardware::CacheLevel& cache : host.caches) {
    const double sharers = std::min(cache.shared_by, threads);
    const double share = cache.bytes / sharers;
    const double target = cache.level == 1 ? share / 2 : std::min(share / 2, inner * 4);
    if (share > inner * 1.5) result.push_back({fmt::format("L{}", cache.level), target});
    inner = std::max(inner, share);
    total = std::max(total, cache.bytes * std::max(1, host.logical_cpus / std::max(1, cache.shared_by)));
  }
  const double limit = host.memory_bytes > 0 ? host.memory_bytes / 4 : 1e9;
  result.push_back({"memory", std::min(limit, std::clamp(4 * total, 128e6, 2e9)) / threads});
  return result;
}

/// The better of this rate and what the curve has for so many threads.
void keep_rate(Curve& curve, int threads, double rate) {
  const auto found = std::find(curve.threads.begin(), curve.threads.end(), threads);
  if (found == curve.threads.end()) {
    curve.threads.push_back(threads);
    curve.values.push_back(rate);
  } else {
    double& value = curve.values[static_cast<size_t>(found - curve.threads.begin())];
    value = std::max(value, rate);
  }
}

void measure_bandwidth(const hardware::Host& host, double seconds, int threads, ThreadPool& pool, Peaks& peaks) {
  const ReadKernel read = read_kernel(host);
  for (const Level& level : levels(host, threads)) {
    const size_t wanted = static_cast<size_t>(level.bytes_per_thread), page = wanted >= kHugePage ? kHugePage : 4096;
    const size_t bytes = std::max<size_t>(page, wanted / page * page);
    std::vector<Buffer> buffers;
    for (int t = 0; t < threads; ++t) {
      buffers.emplace_back(static_cast<float*>(std::aligned_alloc(bytes >= kHugePage ? kHugePage : 4096, bytes)),
                           &std::free);
      if (!buffers.back()) throw EnvironmentError("not enough memory to measure the bandwidth ({} bytes)", bytes);
      madvise(buffers.back().get(), bytes, MADV_HUGEPAGE);  // as a model's working memory is; best effort
    }
    pool.parallel_for(threads, [&](int, int64_t begin, int64_t end) {  // the thread that reads a page also places it
      for (int64_t t = begin; t < end; ++t)
        std::fill_n(buffers[static_cast<size_t>(t)].get(), bytes / sizeof(float), 1.0f);
    });
    const double rate = best_rate(static_cast<double>(bytes) * threads, seconds, [&](int64_t repeats) {
      pool.parallel_for(threads, [&](int, int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t)
          for (int64_t i = 0; i < repeats; ++i) read(buffers[static_cast<size_t>(t)].get(), bytes);
      });
    });
    keep_rate(peaks.bandwidth[level.name], threads, rate);
  }
}

void make_consistent(Peaks& peaks) {
  for (auto* curves : {&peaks.flops, &peaks.bandwidth})
    for (auto& [name, curve] : *curves) measure::make_consistent(curve);
}

void keep_best(Peaks& peaks, const Peaks& other) {
  const auto merge = [](std::map<std::string, Curve>& into, const std::map<std::string, Curve>& from) {
    for (const auto& [name, curve] : from) {
      Curve& target = into[name];
      if (target.threads != curve.threads) continue;
      for (size_t i = 0; i < curve.values.size(); ++i) target.values[i] = std::max(target.values[i], curve.values[i]);
    }
  };
  merge(peaks.flops, other.flops);
  merge(peaks.bandwidth, other.bandwidth);
  peaks.foreign_share = std::min(peaks.foreign_share, other.foreign_share);
  peaks.rounds += other.rounds;
  make_consistent(peaks);
}

bool quiet(const Peaks& peaks) { return peaks.foreign_share <= kQuietShare; }

/// Whether what is stored at `path` is to be used as it is.
bool settled(const Peaks& peaks, const std::string& path) {
  if (quiet(peaks)) return true;
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  const bool recent = !error && std::filesystem::file_time_type::clock::now() - written < kRetryAfter;
  return recent && peaks.rounds >= kMaxRounds;
}

std::optional<Peaks> read_stored(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    return peaks_from_json(parse_json(read_file(path), path), path);
  } catch (const InputError& error) {
    log_debug("{}; measuring again", error.what());
    return std::nullopt;
  }
}

/// Held while one process measures, so that two do not disturb each other.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ >= 0) ::flock(fd_, LOCK_EX);
  }
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

Peaks read_or_measure() {
  const hardware::Host host = hardware::detect_host();
  std::string path;
  try {
    path = cache_directory() + "/peaks-" + host.key() + ".json";
  } catch (const Error& error) {
    log_warning("measured peaks cannot be kept: {}", error.what());
    return measure_peaks(host);
  }
  if (auto stored = read_stored(path); stored && settled(*stored, path)) return *stored;
  const FileLock lock(path + ".lock");
  auto stored = read_stored(path);  // by whoever held the lock before
  if (stored && settled(*stored, path)) return *stored;
  log_info("measuring this machine's peaks (a few seconds, once)");
  Peaks peaks = measure_peaks(host);
  if (stored) keep_best(peaks, *stored);
  if (!quiet(peaks))
    log_warning("other work took {:.0f} % of the machine meanwhile: the peaks may be higher",
                100 * peaks.foreign_share);
  try {
    write_file(path, to_json(peaks).dump(2) + "\n");
  } catch (const Error& error) {
    log_warning("measured peaks cannot be kept: {}", error.what());
  }
  return peaks;
}

Json curves_to_json(const std::map<std::string, Curve>& curves) {
  Json json = Json::object();
  for (const auto& [name, curve] : curves) json[name] = {{"threads", curve.threads}, {"values", curve.values}};
  return json;
}

std::map<std::string, Curve> curves_from_json(const Json& json, std::string_view source) {
  std::map<std::string, Curve> curves;
  if (!json.is_object()) throw InputError("{}: an object of curves is needed", source);
  for (const auto& [name, entry] : json.items()) {
    Curve curve{json_field<std::vector<int>>(entry, "threads", source),
                json_field<std::vector<double>>(entry, "values", source)};
    const bool ascending =
        std::adjacent_find(curve.threads.begin(), curve.threads.end(), std::greater_equal<>()) == curve.threads.end();
    const bool positive =
        std::all_of(curve.values.begin(), curve.values.end(), [](double v) { return v > 0 && std::isfinite(v); });
    if (curve.threads.empty() || curve.threads.size() != curve.values.size() || !ascending || !positive)
      throw InputError("{}: curve '{}' is not a list of rates by thread count", source, name);
    curves.emplace(name, std::move(curve));
  }
  return curves;
}

}  // namespace

double Curve::at(int thread_count) const {
  RT_CHECK(!threads.empty() && threads.size() == values.size());
  if (thread_count <= threads.front()) return values.front() * std::max(1, thread_count) / threads.front();
  for (size_t i = 1; i < threads.size(); ++i)
    if (thread_count <= threads[i]) {
      const double along = static_cast<double>(thread_count - threads[i - 1]) / (threads[i] - threads[i - 1]);
      return values[i - 1] + along * (values[i] - values[i - 1]);
    }
  return values.back();
}

void make_consistent(Curve& curve) {
  const size_t n = curve.threads.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j)
      curve.values[i] = std::max(curve.values[i], curve.values[j] * curve.threads[i] / curve.threads[j]);
  for (size_t i = 1; i < n; ++i) curve.values[i] = std::max(curve.values[i], curve.values[i - 1]);
}

Peaks measure_peaks(const hardware::Host& host, const PeakOptions& options) {
  Peaks peaks;
  const LoadMonitor load;
  const double seconds = options.seconds_per_point / kPasses;
  std::vector<int> points;
  for (int pass = 0; pass < kPasses; ++pass)
    for (int threads : thread_counts(host.available_cpus)) points.push_back(threads);
  for (int threads : points) {
    ThreadPool pool(threads);
    for (const ArithmeticKernel& kernel : arithmetic_kernels(host)) {
      constexpr int64_t kIterations = 1000;
      const double rate =
          best_rate(kernel.operations_per_iteration * kIterations * threads, seconds, [&](int64_t repeats) {
            pool.parallel_for(threads, [&](int, int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) kernel.run(repeats * kIterations);
            });
          });
      keep_rate(peaks.flops[kernel.precision], threads, rate);
    }
    measure_bandwidth(host, seconds, threads, pool, peaks);
  }
  make_consistent(peaks);
  peaks.foreign_share = load.foreign_share();
  return peaks;
}

const Peaks& host_peaks() {
  static const Peaks peaks = read_or_measure();
  return peaks;
}

hardware::Spec host_spec(int threads) {
  const hardware::Host host = hardware::detect_host();
  const Peaks& peaks = host_peaks();
  if (threads <= 0) threads = host.available_cpus;
  hardware::Spec spec;
  spec.name = "host";
  spec.kind = "cpu";
  spec.vendor = host.vendor;
  spec.model = host.model_name;
  spec.architecture = fmt::format("{}.{}.{}", host.family, host.model, host.stepping);
  spec.compute_units = std::min(threads, host.available_cpus);
  spec.clock_hz = host.max_clock_hz;
  for (const auto& [precision, curve] : peaks.flops) spec.peak_flops[precision] = curve.at(threads);
  spec.memory_bytes = host.memory_bytes;
  spec.memory_bandwidth = peaks.bandwidth.at("memory").at(threads);
  spec.caches = host.caches;
  for (hardware::CacheLevel& cache : spec.caches) {
    const auto found = peaks.bandwidth.find(fmt::format("L{}", cache.level));
    if (found != peaks.bandwidth.end()) cache.bandwidth = found->second.at(threads);
  }
  spec.source = fmt::format("measured on this machine ({}, {} thread{})", host.key(), threads, threads == 1 ? "" : "s");
  spec.measured = true;
  return spec;
}

hardware::Spec target_spec(const std::string& name, int threads) {
  return name.empty() || name == "host" ? host_spec(threads) : hardware::load_spec(name);
}

Json to_json(const Peaks& peaks) {
  return {{"format", kFormat},
          {"foreign_share", peaks.foreign_share},
          {"rounds", peaks.rounds},
          {"flops", curves_to_json(peaks.flops)},
          {"bandwidth", curves_to_json(peaks.bandwidth)}};
}

Peaks peaks_from_json(const Json& json, std::string_view source) {
  if (json_field<int>(json, "format", source) != kFormat) throw InputError("{}: written by another version", source);
  Peaks peaks;
  peaks.foreign_share = json_field<double>(json, "foreign_share", source);
  peaks.rounds = json_field<int>(json, "rounds", source);
  peaks.flops = curves_from_json(json_field<Json>(json, "flops", source), source);
  peaks.bandwidth = curves_from_json(json_field<Json>(json, "bandwidth", source), source);
  if (!peaks.flops.contains("f32") || !peaks.bandwidth.contains("memory"))
    throw InputError("{}: the rates of f32 and of memory are needed", source);
  make_consistent(peaks);
  return peaks;
}

}  // namespace rooftune::measure
