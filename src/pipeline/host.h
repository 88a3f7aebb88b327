// This machine as what code is generated and schedules are made for.
#pragma once
#include "codegen/codegen.h"
#include "hardware/host.h"
#include "kernel/space.h"
#include "pipeline/request.h"

namespace rooftune::pipeline {

struct HostTarget {
  hardware::Host host;
  codegen::CpuTarget cpu;
  kernel::Machine machine;
  std::string backend = codegen::kDefaultBackend;

  /// InputError where there is no such backend, EnvironmentError where it cannot be had here.
  std::unique_ptr<codegen::Codegen> make_codegen() const { return codegen::make_codegen(backend, cpu); }
};

/// Code by `request.backend` (none: our own). With `request.threads` threads (0 or none: all that this process may use). EnvironmentError on a CPU older than AVX2,
/// InputError for a number of threads that makes no sense.
HostTarget host_target(const Request& request);

/// What `request.target` names, separated by commas: "host" (where nothing is said), and levels that packages are made for.
/// InputError listing them, EnvironmentError as above. Levels have this machine's caches and threads; their code uses
/// nothing beyond the level.
std::vector<HostTarget> targets_of(const Request& request);

}  // namespace rooftune::pipeline
