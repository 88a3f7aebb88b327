// What this machine is, read from /proc and /sys; nothing is executed or measured.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "hardware/spec.h"

namespace rooftune::hardware {

struct Host {
  std::string vendor;      // "AuthenticAMD"
  std::string model_name;  // "AMD EPYC 9B14"
  int family = 0, model = 0, stepping = 0;
  std::set<std::string> features;  // as the kernel names them: "avx2", "fma", "avx512f", "avx512_vnni", …
  int logical_cpus = 1;            // online
  int available_cpus = 1;          // that this process may use: affinity mask and cgroup quota
  int cores = 1, sockets = 1;
  std::vector<CacheLevel> caches;  // data and unified, innermost first
  double memory_bytes = 0;
  double max_clock_hz = 0;  // 0: the kernel does not say

  bool has(const std::string& feature) const { return features.contains(feature); }
  /// Whether all that the level needs is there: "avx512" (f, dq, bw, vl, fma), "avx2" (avx2, fma), else "baseline".
  std::string isa() const;
  int vector_bits() const;  // of the widest usable float vector: 512, 256 or 128
  int vector_fmas() const;  // multiply-adds of such vectors that start per cycle
  /// Equal for machines on which measurements and tuned kernels carry over; short, fit for a file name.
  std::string key() const;
};

/// Reads below `root` ("/" but in tests). EnvironmentError where /proc/cpuinfo is not readable.
Host detect_host(const std::string& root = "/");

}  // namespace rooftune::hardware
