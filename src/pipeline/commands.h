// Every command as a function: a request with the names of its options in, a JSON document out, progress on the way. The
// doors (CLI, C ABI, later HTTP) call these and nothing else.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"

namespace rooftune::pipeline {

Json doctor(const Json& request, Progress& progress, const Cancelled& cancelled);
Json import_model(const Json& request, Progress& progress, const Cancelled& cancelled);
Json characterize(const Json& request, Progress& progress, const Cancelled& cancelled);
Json analyze(const Json& request, Progress& progress, const Cancelled& cancelled);
Json run(const Json& request, Progress& progress, const Cancelled& cancelled);
Json bench(const Json& request, Progress& progress, const Cancelled& cancelled);
Json profile(const Json& request, Progress& progress, const Cancelled& cancelled);
Json verify(const Json& request, Progress& progress, const Cancelled& cancelled);
Json optimize(const Json& request, Progress& progress, const Cancelled& cancelled);
Json database(const Json& request, Progress& progress, const Cancelled& cancelled);

struct Command {
  std::string name;
  Json (*call)(const Json&, Progress&, const Cancelled&);
};
/// All of them by name.
const std::vector<Command>& commands();

}  // namespace rooftune::pipeline
