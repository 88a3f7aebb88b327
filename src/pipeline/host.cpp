#include "pipeline/host.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace rooftune::pipeline {

HostTarget host_target(const Request& request) {
  constexpr int64_t kMostThreads = 4096;
  const int64_t threads = request.integer("threads", 0);
  if (threads < 0 || threads > kMostThreads)
    request.fail("threads", fmt::format("between 0 (all) and {}", kMostThreads));
  HostTarget target;
  target.backend = request.text("backend", codegen::kDefaultBackend);
  target.host = hardware::detect_host();
  const std::string isa = target.host.isa();
  if (isa == "avx512") {
    // The level only, so that a package runs wherever its target says; timings are this processor's. Family 25, model
    // 16 and up is Zen 4: its schedules differ from the generic level's (no fast gathers, 512-bit operations in two
    // halves).
    target.cpu.cpu = "x86-64-v4";
    if (target.host.has("avx512_vnni")) target.cpu.extensions.push_back("avx512vnni");
    if (target.host.has("avx512_bf16")) target.cpu.extensions.push_back("avx512bf16");
    // Products of tiles are computed by words where no tile fits.
    if (target.host.has("amx_tile") && target.host.has("amx_bf16") && target.host.has("amx_int8") &&
        target.cpu.extensions.size() == 2) {
      for (const char* extension : {"amx-tile", "amx-bf16", "amx-int8"}) target.cpu.extensions.push_back(extension);
      target.machine.tiles = true;
    }
    if (target.host.vendor == "AuthenticAMD" && target.host.family >= 25) target.cpu.tune = "znver4";
  } else if (isa == "avx2") {
    target.cpu.cpu = "x86-64-v3";
    target.cpu.vector_bits = 256;
    target.cpu.vector_registers = 16;
  } else {
    throw EnvironmentError("this CPU ({}) has no AVX2; generated code needs AVX2 and FMA, or AVX-512",
                           target.host.model_name);
  }
  target.machine.lanes = target.cpu.vector_bits / 32;
  target.machine.registers = target.cpu.vector_registers;
  target.machine.fmas = target.host.vector_fmas();
  for (const auto& cache : target.host.caches) {
    const auto bytes = static_cast<int64_t>(cache.bytes);
    if (cache.level == 1) target.machine.l1 = bytes;
    if (cache.level == 2) target.machine.l2 = bytes;
    if (cache.level == 3) target.machine.l3 = bytes;
  }
  target.machine.threads = threads > 0 ? static_cast<int>(threads) : std::max(1, target.host.available_cpus);
  return target;
}

namespace {

struct Level {
  const char* name;
  const char* triple;
  const char* cpu;
  const char* features;
  int bits, registers;
};

constexpr std::array<Level, 4> kLevels = {{
    {"x86_64-avx512", "x86_64-pc-linux-gnu", "x86-64-v4", "", 512, 32},
    {"x86_64-avx2", "x86_64-pc-linux-gnu", "x86-64-v3", "", 256, 16},
    {"aarch64-neon", "aarch64-unknown-linux-gnu", "generic", "", 128, 32},
    {"aarch64-sve256", "aarch64-unknown-linux-gnu", "generic", "+sve", 256, 32},
}};

}  // namespace

std::vector<HostTarget> targets_of(const Request& request) {
  const HostTarget host = host_target(request);
  auto names = request.words("target");
  if (names.empty()) names.emplace_back("host");
  std::vector<HostTarget> targets;
  for (const auto& name : names) {
    HostTarget target = host;
    if (name != "host") {
      const auto level = std::find_if(kLevels.begin(), kLevels.end(), [&](const Level& l) { return name == l.name; });
      if (level == kLevels.end()) {
        std::string known = "host";
        for (const Level& l : kLevels) known += fmt::format(", {}", l.name);
        throw InputError("target '{}': code is generated for {}; others can be estimated with analyze", name, known);
      }
      target.cpu = {};
      target.cpu.triple = level->triple;
      target.cpu.cpu = level->cpu;
      target.cpu.features = level->features;
      target.cpu.vector_bits = level->bits;
      target.cpu.vector_registers = level->registers;
      target.machine.lanes = level->bits / 32;
      target.machine.registers = level->registers;
      target.machine.fmas = 2;
      target.machine.tiles = false;
    }
    const bool again = std::any_of(targets.begin(), targets.end(),
                                   [&](const HostTarget& t) { return t.cpu.name() == target.cpu.name(); });
    if (again) throw InputError("target: {} is named twice (host is {})", target.cpu.name(), host.cpu.name());
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace rooftune::pipeline
