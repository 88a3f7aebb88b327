#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "hardware/host.h"
#include "hardware/spec.h"

namespace rooftune::hardware {
namespace {
namespace fs = std::filesystem;

std::string input_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no InputError";
}

const char* const kSpec = R"(name: t
kind: cpu
vendor: V
model: M
architecture: a
compute_units: 4
clock_hz: 1e9
peak_flops: {f32: 100, bf16: 200}
memory_bytes: 1e9
memory_bandwidth: 10
caches:
  - {level: 1, bytes: 5, shared_by: 1, bandwidth: 1000}
  - {level: 2, bytes: 50, shared_by: 2, bandwidth: 100}
source: here
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Spec, EveryFileOfTheRegistryIsValid) {
  const auto names = spec_names();
  for (const char* name : {"nvidia_h200_sxm", "nvidia_h100_sxm", "nvidia_a100_sxm", "nvidia_b200_sxm", "amd_epyc_9754"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  for (const std::string& name : names) {
    const Spec spec = load_spec(name);
    EXPECT_EQ(spec.name, name) << "the name is that of the file";
    EXPECT_FALSE(spec.measured);
    EXPECT_GE(spec.peak("bf16"), spec.peak("f32"));
    EXPECT_GT(spec.source.size(), 10u);
    const double balance = spec.peak("f32") / spec.memory_bandwidth;  // FLOP per byte: 5 … 50 on all known machines
    EXPECT_GT(balance, 2) << name;
    EXPECT_LT(balance, 100) << name;
  }
}

TEST(Spec, UnknownTargetListsNames) {
  const std::string message = input_error([] { load_spec("nvidia_h300"); });
  EXPECT_NE(message.find("nvidia_h300"), std::string::npos);
  EXPECT_NE(message.find("host"), std::string::npos);
  EXPECT_NE(message.find("nvidia_h200_sxm"), std::string::npos);
  EXPECT_THROW(load_spec("../hardware/nvidia_h200_sxm"), InputError);
}

TEST(Spec, ErrorsNameTheField) {
  EXPECT_NO_THROW(parse_spec(kSpec, "t.yaml"));
  const std::vector<std::array<std::string, 3>> cases = {
      {"vendor: V\n", "", "t.yaml: field 'vendor' is missing"},
      {"kind: cpu", "kind: tpu", "tpu"},
      {"clock_hz: 1e9", "clock_hz: fast", "field 'clock_hz' has the wrong type (line 7)"},
      {"clock_hz: 1e9", "clock_hz: -1", "field 'clock_hz' must be above 0"},
      {"memory_bandwidth: 10", "memory_bandwidth: .nan", "memory_bandwidth"},
      {"f32: 100", "f16: 100", "lacks f32"},
      {"bf16: 200", "bf16: 0", "peak_flops of bf16"},
      {"bytes: 5,", "", "caches: field 'bytes' is missing"},
      {"bytes: 5,", "bytes: 5, colour: red,", "unknown field 'colour'"},
      {"source: here", "source: here\nspeed: 9", "unknown field 'speed'"},
      {"name: t", "name: [", "not valid YAML"},
  };
  for (const auto& [from, to, complaint] : cases) {
    const std::string message = input_error([&] { parse_spec(replaced(kSpec, from, to), "t.yaml"); });
    EXPECT_NE(message.find(complaint), std::string::npos) << message << "\n  expected: " << complaint;
  }
  EXPECT_THROW(parse_spec("", "empty"), InputError);
  EXPECT_THROW(parse_spec("- a\n- b", "list"), InputError);
}

TEST(Spec, PeakFallsBackToAWiderType) {
  const Spec spec = parse_spec(kSpec, "t");
  EXPECT_EQ(spec.peak("f32"), 100);
  EXPECT_EQ(spec.peak("bf16"), 200);
  EXPECT_EQ(spec.peak("f16"), 100);
  EXPECT_EQ(spec.peak("f8"), 100);
  EXPECT_EQ(spec.peak("i8"), 100);
  EXPECT_EQ(spec.peak("f64"), 50);
  EXPECT_NE(input_error([&] { spec.peak("f128"); }).find("there are"), std::string::npos);
}

TEST(Spec, TransferComesFromWhereTheBytesFit) {
  const Spec spec = parse_spec(kSpec, "t");  // L1 4 × 5 bytes at 1000/s, L2 2 × 50 at 100/s, memory at 10/s
  EXPECT_DOUBLE_EQ(spec.transfer_seconds(10), 0.01);
  EXPECT_DOUBLE_EQ(spec.transfer_seconds(60), 0.4);   // 40 beyond L1
  EXPECT_DOUBLE_EQ(spec.transfer_seconds(300), 20.);  // 200 beyond L2
  Spec unknown = spec;
  for (auto& cache : unknown.caches) cache.bandwidth = 0;
  EXPECT_DOUBLE_EQ(unknown.transfer_seconds(10), 1.);
}

RC_GTEST_PROP(Spec, TransferGrowsAndNeverBeatsTheFastestLevel, ()) {
  const Spec spec = parse_spec(kSpec, "t");
  const double a = *rc::gen::inRange(1, 100000), b = a + *rc::gen::inRange(1, 100000);
  RC_ASSERT(spec.transfer_seconds(a) <= spec.transfer_seconds(b));
  RC_ASSERT(spec.transfer_seconds(a) >= a / 1000);
  RC_ASSERT(spec.transfer_seconds(a) <= a / 10);
}

TEST(Registry, EnvironmentDecides) {
  TempDirectory folder;
  fs::create_directories(folder.file("hardware"));
  write_file(folder.file("hardware/t.yaml"), kSpec);
  ::setenv("ROOFTUNE_REGISTRY", folder.path().c_str(), 1);
  EXPECT_EQ(spec_names(), std::vector<std::string>{"t"});
  EXPECT_EQ(load_spec("t").compute_units, 4);
  ::setenv("ROOFTUNE_REGISTRY", "/nowhere", 1);
  EXPECT_THROW(registry_directory(), EnvironmentError);
  ::unsetenv("ROOFTUNE_REGISTRY");
}

/// A machine made of files: two sockets, two cores each, two threads a core.
class FakeMachine {
 public:
  explicit FakeMachine(const std::string& flags) {
    std::string cpuinfo;
    for (int i = 0; i < 8; ++i)
      cpuinfo += fmt::format(
          "processor\t: {}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) "
          "8480+\n"
          "stepping\t: 8\nphysical id\t: {}\ncore id\t\t: {}\nflags\t\t: {}\n\n",
          i, i / 4, i % 2, flags);
    add("proc/cpuinfo", cpuinfo);
    add("proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB\n");
    const std::string cache = "sys/devices/system/cpu/cpu0/cache/index";
    add_cache(cache + "0/", "1", "Data", "48K", "0,4");
    add_cache(cache + "1/", "1", "Instruction", "32K", "0,4");
    add_cache(cache + "2/", "3", "Unified", "105M", "0-3");
    add_cache(cache + "3/", "2", "Unified", "2048K", "0,4");
  }
  void add(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(folder_.file(name)).parent_path());
    write_file(folder_.file(name), text);
  }
  Host detect() const { return detect_host(folder_.path()); }

 private:
  void add_cache(const std::string& at, const char* level, const char* type, const char* size, const char* shared) {
    add(at + "level", std::string(level) + "\n");
    add(at + "type", std::string(type) + "\n");
    add(at + "size", std::string(size) + "\n");
    add(at + "shared_cpu_list", std::string(shared) + "\n");
  }
  TempDirectory folder_;
};

TEST(Host, MultiplyAddsPerCycle) {
  Host host;
  host.vendor = "AuthenticAMD";
  host.features = {"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"};
  host.family = 25;
  EXPECT_EQ(host.vector_fmas(), 1);  // 512 bits in two halves
  host.family = 26;
  EXPECT_EQ(host.vector_fmas(), 2);
  host.vendor = "GenuineIntel";
  host.family = 6;
  EXPECT_EQ(host.vector_fmas(), 2);
  host.features = {"avx2", "fma"};
  EXPECT_EQ(host.vector_fmas(), 2);
  host.features = {};
  EXPECT_EQ(host.vector_fmas(), 1);
}

TEST(Host, ReadsTopologyCachesAndMemory) {
  const Host host = FakeMachine("fpu avx2 fma").detect();
  EXPECT_EQ(host.vendor, "GenuineIntel");
  EXPECT_EQ(host.model_name, "Intel(R) Xeon(R) 8480+");
  EXPECT_EQ(host.family, 6);
  EXPECT_EQ(host.model, 143);
  EXPECT_EQ(host.logical_cpus, 8);
  EXPECT_EQ(host.cores, 4);
  EXPECT_EQ(host.sockets, 2);
  EXPECT_EQ(host.available_cpus, 8);
  EXPECT_EQ(host.memory_bytes, 16384000. * 1024);
  ASSERT_EQ(host.caches.size(), 3u);
  EXPECT_EQ(host.caches[0].bytes, 48 * 1024);
  EXPECT_EQ(host.caches[1].level, 2);
  EXPECT_EQ(host.caches[1].bytes, 2 * 1024 * 1024);
  EXPECT_EQ(host.caches[2].bytes, 105. * 1024 * 1024);
  EXPECT_EQ(host.caches[2].shared_by, 4);
}

TEST(Host, InstructionSetLevels) {
  EXPECT_EQ(FakeMachine("avx2 fma").detect().isa(), "avx2");
  EXPECT_EQ(FakeMachine("avx2 fma").detect().vector_bits(), 256);
  EXPECT_EQ(FakeMachine("avx2").detect().isa(), "baseline");
  EXPECT_EQ(FakeMachine("sse2").detect().vector_bits(), 128);
  EXPECT_EQ(FakeMachine("avx2 fma avx512f").detect().isa(), "avx2");
  EXPECT_EQ(FakeMachine("avx2 fma avx512f avx512dq avx512bw avx512vl").detect().vector_bits(), 512);
}

TEST(Host, QuotaOfTheContainerLimitsTheCpus) {
  FakeMachine machine("avx2 fma");
  machine.add("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(machine.detect().available_cpus, 2);
  machine.add("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(machine.detect().available_cpus, 8);
  machine.add("sys/fs/cgroup/cpu.max", "10000 100000\n");
  EXPECT_EQ(machine.detect().available_cpus, 1);
}

TEST(Host, KeyIsStableAndTellsMachinesApart) {
  const std::string key = FakeMachine("avx2 fma").detect().key();
  EXPECT_EQ(key, FakeMachine("fma avx2").detect().key());
  EXPECT_TRUE(key.starts_with("intel_r_xeon_r_8480-8c-avx2-")) << key;
  EXPECT_NE(key, FakeMachine("avx2 fma avx512f avx512dq avx512bw avx512vl").detect().key());
  for (char c : key) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-') << key;
}

TEST(Host, ThisMachine) {
  const Host host = detect_host();
  EXPECT_GE(host.available_cpus, 1);
  EXPECT_LE(host.available_cpus, host.logical_cpus);
  EXPECT_GT(host.memory_bytes, 1e8);
  EXPECT_FALSE(host.model_name.empty());
  EXPECT_EQ(host.key(), detect_host().key());
}

TEST(Host, WithoutProcThereIsAClearError) {
  TempDirectory folder;
  EXPECT_THROW(detect_host(folder.path()), EnvironmentError);
}

}  // namespace
}  // namespace rooftune::hardware
