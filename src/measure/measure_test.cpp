#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <random>
#include <thread>

#include "base/files.h"
#include "hardware/host.h"
#include "measure/load.h"
#include "measure/peak_kernels.h"
#include "measure/peaks.h"
#include "measure/statistics.h"
#include "measure/timing.h"

namespace rooftune::measure {
namespace {

TEST(Statistics, KnownValues) {  // numpy.percentile([3, 1, 4, 1, 5, 9], …)
  const std::vector<double> samples = {3, 1, 4, 1, 5, 9};
  EXPECT_DOUBLE_EQ(median(samples), 3.5);
  EXPECT_DOUBLE_EQ(percentile(samples, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(samples, 100), 9);
  EXPECT_DOUBLE_EQ(percentile(samples, 95), 8);
  EXPECT_DOUBLE_EQ(percentile(samples, 10), 1);
  EXPECT_DOUBLE_EQ(mean(samples), 23. / 6);
  EXPECT_DOUBLE_EQ(mad(samples), 1.4826 * 2);  // deviations .5 2.5 .5 2.5 1.5 5.5
  EXPECT_DOUBLE_EQ(median(std::vector<double>{7}), 7);
  EXPECT_THROW(median({}), InternalError);
  EXPECT_THROW(percentile(samples, 101), InternalError);
}

RC_GTEST_PROP(Statistics, PercentilesAreOrderedAndWithinTheSamples, (std::vector<double> samples, double p, double q)) {
  RC_PRE(!samples.empty());
  for (double v : samples) RC_PRE(std::isfinite(v));
  p = std::fmod(std::abs(p), 100);
  q = std::fmod(std::abs(q), 100);
  const auto [low, high] = std::minmax_element(samples.begin(), samples.end());
  RC_ASSERT(percentile(samples, std::min(p, q)) <= percentile(samples, std::max(p, q)));
  RC_ASSERT(percentile(samples, p) >= *low);
  RC_ASSERT(percentile(samples, p) <= *high);
}

TEST(Statistics, BootstrapCoversTheTruth) {
  // 95 % intervals of the median of 100 normal samples hold the true median about 95 times in a hundred.
  std::mt19937 random(3);
  std::normal_distribution<double> normal(10, 2);
  int covered = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    std::vector<double> samples(100);
    for (double& sample : samples) sample = normal(random);
    const Interval interval = bootstrap(samples, median, 0.95, 300, i);
    covered += interval.low <= 10 && 10 <= interval.high;
  }
  EXPECT_GE(covered, 178);
  EXPECT_LE(covered, 199);
}

TEST(Statistics, BootstrapRepeatsWithItsSeed) {
  const std::vector<double> samples = {1, 2, 3, 4, 5, 6, 7, 8.5};
  EXPECT_EQ(bootstrap(samples, mean, 0.9, 100, 4).low, bootstrap(samples, mean, 0.9, 100, 4).low);
  const Interval one = bootstrap(std::vector<double>{3}, mean);
  EXPECT_EQ(one.low, 3);
  EXPECT_EQ(one.high, 3);
}

TEST(Statistics, OutliersGoAndTheRestStays) {
  std::vector<double> samples = {10, 10.1, 9.9, 10.05, 9.95, 10.02, 55};
  const auto kept = without_outliers(samples);
  EXPECT_EQ(kept, (std::vector<double>{10, 10.1, 9.9, 10.05, 9.95, 10.02}));
  EXPECT_EQ(without_outliers(std::vector<double>{5, 5, 5}).size(), 3u);
  const Summary summary = summarize(kept);
  EXPECT_EQ(summary.count, 6);
  EXPECT_EQ(summary.min, 9.9);
  EXPECT_EQ(summary.max, 10.1);
  EXPECT_GE(summary.p50, summary.p50_interval.low);
  EXPECT_LE(summary.p50, summary.p50_interval.high);
}

TEST(Load, ParsesProcStat) {
  const CpuTimes times = parse_cpu_times("cpu  100 20 30 1000 50 5 6 70 8 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
  const double tick = 0.01;  // sysconf(_SC_CLK_TCK) is 100 on all Linux systems we know
  EXPECT_NEAR(times.busy_seconds, 161 * tick, 1e-9);
  EXPECT_NEAR(times.stolen_seconds, 70 * tick, 1e-9);
  EXPECT_NEAR(times.total_seconds, 1281 * tick, 1e-9);
  EXPECT_EQ(parse_cpu_times("").total_seconds, 0);
  EXPECT_EQ(parse_cpu_times("intr 5").total_seconds, 0);
}

TEST(Load, OwnWorkIsNotForeign) {
  LoadMonitor mine;
  EXPECT_EQ(mine.foreign_share(), 0) << "too short to tell";
  const int processors = hardware::detect_host().logical_cpus;
  const double start = now_seconds();
  const std::clock_t cpu_start = std::clock();
  volatile double sink = 0;
  while (now_seconds() - start < 0.5) sink = sink + 1;
  // Whatever the machine does beside it, what this process got of the processors must not count.
  const double own = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  const double share = mine.foreign_share();
  EXPECT_LE(share, 1 - own / (processors * (now_seconds() - start)) + 0.05);
  EXPECT_GE(share, 0);
}

TEST(Timing, SleepTakesItsTime) {
  TimingOptions options;
  options.min_seconds = 0.05;
  options.warmup_seconds = 0;
  const Timing timing = measure([] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }, options);
  EXPECT_GE(timing.seconds.size(), 5u);
  EXPECT_EQ(timing.calls_per_sample, 1);
  EXPECT_GE(timing.summary().min, 0.005);
  EXPECT_LT(timing.summary().p50, 0.05);
}

TEST(Timing, ShortCallsAreTimedInBatches) {
  int64_t calls = 0;
  TimingOptions options;
  options.min_seconds = 0.01;
  const Timing timing = measure([&] { ++calls; }, options);
  EXPECT_GT(timing.calls_per_sample, 10);
  EXPECT_GT(calls, timing.calls_per_sample * static_cast<int64_t>(timing.seconds.size()));
  EXPECT_LT(timing.summary().p50, 1e-5);
}

TEST(Timing, LimitsHold) {
  TimingOptions options;
  options.min_seconds = 0;
  options.warmup_seconds = 0;
  options.min_sample_seconds = 0;
  options.max_runs = 3;
  options.min_runs = 3;
  EXPECT_EQ(measure([] {}, options).seconds.size(), 3u);
  options.min_runs = options.max_runs = 1000000;
  options.max_seconds = 0.02;
  const double start = now_seconds();
  EXPECT_LT(measure([] {}, options).seconds.size(), 1000000u);
  EXPECT_LT(now_seconds() - start, 1.0);
}

TEST(Timing, StopsWhenCancelledAndKeepsSamples) {
  Cancelled cancelled;
  TimingOptions options;
  options.min_seconds = 60;
  options.max_seconds = 60;
  options.cancelled = &cancelled;
  int calls = 0;
  options.min_sample_seconds = 0;
  const Timing timing = measure(
      [&] {
        if (++calls == 10000) cancelled.request();
      },
      options);
  EXPECT_GE(timing.seconds.size(), 1u);
}

TEST(Timing, ExceptionsGoThrough) {
  EXPECT_THROW(measure([] { throw InputError("no"); }), InputError);
}

TEST(Curve, LinearBetweenAndFlatBeyond) {
  const Curve curve{{1, 2, 4}, {10, 19, 30}};
  EXPECT_DOUBLE_EQ(curve.at(1), 10);
  EXPECT_DOUBLE_EQ(curve.at(2), 19);
  EXPECT_DOUBLE_EQ(curve.at(3), 24.5);
  EXPECT_DOUBLE_EQ(curve.at(64), 30);
  EXPECT_THROW(Curve{}.at(1), InternalError);
}

TEST(Curve, AHeldDownRateIsRaised) {
  const auto consistent = [](std::vector<double> values) {
    Curve curve{{1, 2, 4}, std::move(values)};
    make_consistent(curve);
    return curve.values;
  };
  EXPECT_EQ(consistent({173, 480, 960}), (std::vector<double>{240, 480, 960})) << "a core is not slower alone";
  EXPECT_EQ(consistent({240, 200, 900}), (std::vector<double>{240, 450, 900}));
  EXPECT_EQ(consistent({240, 230, 210}), (std::vector<double>{240, 240, 240})) << "two reach what one does";
  EXPECT_EQ(consistent({20, 30, 35}), (std::vector<double>{20, 30, 35})) << "a shared memory is not";
}

RC_GTEST_PROP(Curve, ConsistencyIsReachedAndNothingFalls, (std::vector<uint16_t> rates)) {
  Curve curve;
  for (size_t i = 0; i < rates.size(); ++i) {
    curve.threads.push_back(static_cast<int>(i == 0 ? 1 : 3 * i));
    curve.values.push_back(1.0 + rates[i]);
  }
  const auto before = curve.values;
  make_consistent(curve);
  for (size_t i = 0; i < rates.size(); ++i) {
    RC_ASSERT(curve.values[i] >= before[i]);
    for (size_t j = i + 1; j < rates.size(); ++j) {
      RC_ASSERT(curve.values[j] >= curve.values[i]);
      RC_ASSERT(curve.values[i] >= curve.values[j] * curve.threads[i] / curve.threads[j] * (1 - 1e-12));
    }
  }
}

TEST(Peaks, EveryKernelOfThisCpuRuns) {
  const hardware::Host host = hardware::detect_host();
  const auto kernels = arithmetic_kernels(host);
  ASSERT_FALSE(kernels.empty());
  EXPECT_STREQ(kernels[0].precision, "f32");
  for (const auto& kernel : kernels) kernel.run(100);
  std::vector<float> data(1024 + 16, 1.0f);
  const auto at = reinterpret_cast<uintptr_t>(data.data());
  read_kernel(host)(data.data() + (64 - at % 64) % 64 / 4, 4096);
  hardware::Host plain = host;
  plain.features.clear();  // the baseline's kernels run everywhere
  for (const auto& kernel : arithmetic_kernels(plain)) kernel.run(100);
  read_kernel(plain)(data.data() + (64 - at % 64) % 64 / 4, 4096);
  if (host.isa() != "baseline") {
    plain.features = {"avx2", "fma"};
    for (const auto& kernel : arithmetic_kernels(plain)) kernel.run(100);
    read_kernel(plain)(data.data() + (64 - at % 64) % 64 / 4, 4096);
  }
}

TEST(Peaks, ArePlausible) {
  const hardware::Host host = hardware::detect_host();
  const Peaks peaks = measure_peaks(host, {.seconds_per_point = 0.02});
  const double f32 = peaks.flops.at("f32").at(1);
  EXPECT_GT(f32, 1e9);
  EXPECT_LT(f32, 1e12);
  EXPECT_EQ(peaks.flops.at("f32").threads.back(), host.available_cpus);
  EXPECT_GE(f32, peaks.flops.at("f32").at(host.available_cpus) / host.available_cpus * (1 - 1e-12));
  if (peaks.flops.contains("i8")) {
    EXPECT_GT(peaks.flops.at("i8").at(1), 1.5 * f32);
  }
  const double memory = peaks.bandwidth.at("memory").at(1);
  EXPECT_GT(memory, 1e8);
  EXPECT_LT(memory, 1e12);
  if (peaks.bandwidth.contains("L2")) {
    EXPECT_GT(peaks.bandwidth.at("L2").at(1), memory);
  }
}

TEST(Peaks, JsonRoundTripAndErrors) {
  Peaks peaks;
  peaks.flops["f32"] = {{1, 2}, {1e11, 2e11}};
  peaks.bandwidth["memory"] = {{1, 2}, {2e10, 3e10}};
  peaks.foreign_share = 0.25;
  peaks.rounds = 2;
  const Json json = to_json(peaks);
  const Peaks back = peaks_from_json(parse_json(json.dump(), "t"), "t");
  EXPECT_EQ(to_json(back), json);
  EXPECT_EQ(back.rounds, 2);
  Json disturbed = json;
  disturbed["flops"]["f32"]["values"] = {0.7e11, 2e11};
  EXPECT_EQ(peaks_from_json(disturbed, "t").flops.at("f32").at(1), 1e11);
  Json broken = json;
  broken["flops"].erase("f32");
  EXPECT_THROW(peaks_from_json(broken, "t"), InputError);
  broken = json;
  broken["flops"]["f32"]["values"] = {1e11};
  EXPECT_THROW(peaks_from_json(broken, "t"), InputError);
  broken = json;
  broken["flops"]["f32"]["values"] = {0, -1};
  EXPECT_THROW(peaks_from_json(broken, "t"), InputError);
  broken = json;
  broken["format"] = 999;
  EXPECT_THROW(peaks_from_json(broken, "t"), InputError);
  EXPECT_THROW(peaks_from_json(Json::array(), "t"), InputError);
}

/// host_peaks keeps its answer for the life of the process, so each case is a process of its own.
int in_child(const std::function<bool()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) std::_Exit(body() ? 0 : 1);
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(HostPeaks, AreReadFromTheCacheFolder) {
  TempDirectory folder;
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  const hardware::Host host = hardware::detect_host();
  Peaks stored;
  stored.flops["f32"] = {{1, 2}, {111, 222}};
  stored.bandwidth["memory"] = {{1, 2}, {10, 15}};
  stored.bandwidth["L2"] = {{1, 2}, {40, 80}};
  const std::string path = cache_directory() + "/peaks-" + host.key() + ".json";
  write_file(path, to_json(stored).dump());
  EXPECT_EQ(in_child([] {
              const hardware::Spec one = host_spec(1), two = target_spec("host", 2);
              bool l2_known = false;
              for (const auto& cache : one.caches) l2_known |= cache.level == 2 && cache.bandwidth == 40;
              return one.peak("f32") == 111 && two.peak("f32") == 222 && one.memory_bandwidth == 10 && l2_known &&
                     one.measured;
            }),
            0);
  // A damaged file is measured anew and replaced.
  write_file(path, "{\"format\": 1");
  EXPECT_EQ(in_child([] { return host_spec(1).peak("f32") > 1e9; }), 0);
  EXPECT_GT(peaks_from_json(parse_json(read_file(path), path), path).flops.at("f32").at(1), 1e9);
  // A disturbed measurement is repeated; the best of both stays.
  stored.foreign_share = 0.9;
  Curve& f32 = stored.flops["f32"];
  f32.threads = peaks_from_json(parse_json(read_file(path), path), path).flops.at("f32").threads;
  f32.values.assign(f32.threads.size(), 1e15);
  write_file(path, to_json(stored).dump());
  EXPECT_EQ(in_child([] { return host_spec(1).peak("f32") == 1e15 && host_peaks().rounds == 2; }), 0);
  // … three times in a row, and again when that is an hour ago.
  stored.rounds = 3;
  write_file(path, to_json(stored).dump());
  EXPECT_EQ(in_child([] { return host_peaks().rounds == 3; }), 0);
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_EQ(in_child([] { return host_peaks().rounds == 4; }), 0);
  ::unsetenv("XDG_CACHE_HOME");
}

TEST(TargetSpec, NamesTheRegistry) {
  EXPECT_EQ(target_spec("nvidia_h200_sxm").kind, "gpu");
  EXPECT_THROW(target_spec("toaster"), InputError);
}

}  // namespace
}  // namespace rooftune::measure
