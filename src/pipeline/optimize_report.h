// What optimize tells about a run: operators before and after, memory, tasks, and the card from which it can be repeated.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "pipeline/host.h"
#include "report/report.h"
#include "tune/tuner.h"

namespace rooftune::pipeline {

/// A program and the median milliseconds of its steps.
struct TimedProgram {
  const runtime::Program& program;
  const std::vector<double>& step_ms;
};

report::Environment describe_machine(const HostTarget& target);

/// For every node of `original` the step of `program`, which was made from it by passes, that does its work: the step
/// that holds it; for a node that passes replaced the step that makes its output, or else that of the nearest node after
/// it (before it, where none is left) that has one. By name; nothing is attributed where the program has no step.
std::map<std::string, size_t> steps_of_nodes(const ir::Graph& original, const runtime::Program& program);

/// One row per step of `after`. What each node of `original` took in `before` (one step per node) is part of one row's
/// before_ms, so that the rows add up to the whole. `tuned` is null where `after` is `before`.
std::vector<report::Operator> operator_rows(const ir::Graph& original, const TimedProgram& before,
                                            const TimedProgram& after, const tune::Workload& work,
                                            const tune::Tuned* tuned, int threads);
std::vector<report::Task> task_rows(const tune::Workload& work, const tune::Tuned& tuned, int threads);

/// Activations alive while each step runs, with its workspace and the scratch of all threads.
std::vector<report::MemoryPoint> memory_timeline(const runtime::Program& program, int threads);
double constant_mb(const runtime::Program& program);

/// tuning.jsonl: a line per task that says what the tuning database keeps of it (so that --database reads it), and how it
/// was found.
std::string tuning_log(const tune::Workload& work, const tune::Tuned& tuned, const codegen::Codegen& codegen,
                       const tune::TuneOptions& tuning);

/// SHA-256 of a model's file and of the files beside it that hold its weights, by path.
std::map<std::string, std::string> hash_model_files(const ir::Graph& graph, const std::string& path);

}  // namespace rooftune::pipeline
