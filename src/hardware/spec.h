// What a machine can do at best: the numbers behind every roofline. Specs of named targets are data files in
// registry/hardware; that of this machine is measured (measure/peaks.h).
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::hardware {

struct CacheLevel {
  int level = 1;
  double bytes = 0;      // of one instance
  int shared_by = 1;     // compute units that share an instance
  double bandwidth = 0;  // bytes/s that all compute units together read from this level; 0: unknown
};

struct Spec {
  std::string name;  // "nvidia_h200_sxm", "host"
  std::string kind;  // "cpu" or "gpu"
  std::string vendor, model, architecture;
  int compute_units = 1;  // cores or streaming multiprocessors
  double clock_hz = 0;
  std::map<std::string, double> peak_flops;  // by precision ("f32", "tf32", "bf16", "i8", "f8", …): operations/s, dense
  double memory_bytes = 0;
  double memory_bandwidth = 0;     // bytes/s
  std::vector<CacheLevel> caches;  // innermost first
  double tdp_watts = 0;            // 0: unknown
  std::string source;              // where the numbers are from
  bool measured = false;           // on this very machine, rather than from a data sheet

  /// Operations/s in a precision. A narrow type that the hardware has no arithmetic for is computed in the next wider
  /// one that it has (f16, bf16, tf32 and i8 → f32, f8 → f16 → f32, …); f64 counts half of f32 where it is not stated.
  double peak(std::string_view precision) const;  // InputError for an unknown precision
  /// The lower bound in seconds for reading `bytes` once from where they must lie: what exceeds a cache comes from
  /// outside of it. Caches without a known bandwidth count for nothing.
  double transfer_seconds(double bytes) const;
};

/// InputError naming source and field where the text is not a valid spec.
Spec parse_spec(const std::string& yaml, std::string_view source);

/// Names of all specs in the registry, sorted; "host" is not among them.
std::vector<std::string> spec_names();
/// InputError listing the names where there is no such spec.
Spec load_spec(const std::string& name);

/// The folder "registry" that goes with this program: $ROOFTUNE_REGISTRY, else "registry" or "share/rooftune/registry"
/// in a folder above the program or library. EnvironmentError where there is none.
std::string registry_directory();

}  // namespace rooftune::hardware
