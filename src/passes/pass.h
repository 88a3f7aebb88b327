// The pass manager. A pass is a function that improves a graph without changing what it computes; it lives in a file of
// its own, whose header comment says why it stands at its place in the order. The manager gives every pass the same
// services for nothing: timing, verification, type inference, disabling by name, dumps, progress and cancellation.
#pragma once
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/progress.h"
#include "ir/graph.h"

namespace rooftune::passes {

/// What a pass sees besides the graph it works on.
struct PassContext {
  ir::Graph& model;                 // the whole model; `graph` itself unless the pass runs on a body of If/Loop/Scan
  std::vector<std::string>& notes;  // why something was not rewritten (--explain)
};

struct Pass {
  std::string name;
  /// Returns whether it changed the graph. Leaves it valid: topological, unique names, same inputs and outputs.
  std::function<bool(ir::Graph&, PassContext&)> run;
};

/// All passes in the order in which they run. A name may stand there more than once.
const std::vector<Pass>& all_passes();

struct PassOptions {
  std::set<std::string> disabled;  // names of passes; InputError for one that is unknown
  std::filesystem::path dump_dir;  // 00_input.txt and NN_<pass>.txt, the graph after each pass; empty: no dumps
  std::function<void(const std::string& pass, double done)> progress;  // before each pass; `done` of 1
  const Cancelled* cancelled = nullptr;  // requested: no further pass is started (the graph is valid all the same)
};

struct PassRecord {
  std::string name;
  bool changed = false;
  double ms = 0;         // the pass itself, without verification and dumps
  int nodes_before = 0;  // bodies included
  int nodes_after = 0;
  std::vector<std::string> notes;
};

/// Runs the passes over the graph (and, each pass by itself, over the bodies in it). InternalError naming the pass that
/// left an invalid graph; EnvironmentError where the dump folder cannot be written.
std::vector<PassRecord> run_passes(ir::Graph& graph, const PassOptions& options = {});
std::vector<PassRecord> run_passes(ir::Graph& graph, const std::vector<Pass>& passes, const PassOptions& options = {});

/// Runs one pass by name. Returns whether it changed the graph.
bool run_pass(ir::Graph& graph, const std::string& name);

}  // namespace rooftune::passes
