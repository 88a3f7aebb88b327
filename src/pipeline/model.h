// The model argument of every command: a graph to work on, or a tuned package to run.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "kernel/space.h"
#include "pipeline/host.h"
#include "pipeline/precision.h"
#include "pipeline/request.h"
#include "runtime/executable.h"
#include "tune/workload.h"

namespace rooftune::pipeline {

struct Model {
  std::string path;
  ir::Graph graph;                          // types inferred
  std::optional<runtime::Program> program;  // of a .rt
  double load_ms = 0;
};

/// Loads `request.model` with `request.dim` applied. InputError for what is malformed or has an operator that nobody
/// knows, before any work is done.
Model load(const Request& request);
Model load(const std::string& path, const std::map<std::string, std::string>& dims = {});
/// Two models with the dimensions that each has (a package has none). InputError for a dimension that neither has.
std::pair<Model, Model> load_pair(const std::string& first, const std::string& second,
                                  const std::map<std::string, std::string>& dims);

/// InputError naming the input whose shape is not known within bounds, and the option that gives its dimensions.
void require_bounded(const Model& model);

/// A program for the model: its own where it is a package, else compiled now with analytical schedules. `fuse` false:
/// every node on its own, no passes (the baseline). InputError for a precision other than fp32 of a package.
runtime::Program compile(const Model& model, const HostTarget& target, bool fuse = true,
                         const Precision& precision = {});

/// Inputs by name from files (`name=x.npy`); those not named are random, equal ones for an equal seed, of the sizes that the
/// files say of free dimensions, else of those given, else the largest. InputError naming an input that the model does not
/// have, or whose type differs.
std::vector<ir::Tensor> read_inputs(const ir::Graph& graph, const std::vector<std::string>& files, uint64_t seed,
                                    const tune::Size& sizes = {});

/// What a model's inputs and outputs look like: [{name, dtype, shape}].
Json describe_values(const ir::Graph& graph, const std::vector<ir::ValueId>& values);

/// The roof of a program on this machine: per step and in total (ms), by the operations of the chosen algorithms, and by
/// those of the direct ones, at the peak of the coarsest numbers that a step reads.
struct Roof {
  std::vector<double> step_ms;
  double total_ms = 0, direct_ms = 0;
};
Roof roof_of(const runtime::Program& program, int threads);

}  // namespace rooftune::pipeline
