// What an optimisation run has to say for itself, as one value: measurements before and after, operators against the
// roof, memory, candidates, tasks, passes, verification. It is written as report.json (which reads back), as a
// self-contained report.html, and with a run card from which the run can be repeated.
//
// Times are milliseconds, sizes bytes, rates per second; an absent optional is unknown and is shown as such.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace rooftune::report {

/// One side of the comparison, measured.
struct Measurement {
  std::string label;  // what ran: "original graph, one reference kernel per operator"
  double p50_ms = 0, p95_ms = 0, min_ms = 0;
  int64_t runs = 0;
  double roofline_ms = 0;                // of the algorithms chosen
  double direct_roofline_ms = 0;         // with the operations of the direct algorithms
  std::optional<double> load_ms;         // from the file to the first run
  std::optional<double> peak_memory_mb;  // constants, arena and scratch
  std::optional<double> size_mb;         // of the constants

  double roofline_fraction() const { return p50_ms > 0 ? roofline_ms / p50_ms : 0; }
};

/// One group of the optimised model: what became one kernel.
struct Operator {
  std::string name;                 // of the group
  std::string op;                   // "Conv + BatchNormalization + Relu"
  std::vector<std::string> nodes;   // of the original graph, whose work it does
  std::optional<double> before_ms;  // those nodes in the baseline, summed
  std::optional<double> after_ms;
  double flops = 0, bytes = 0;  // operations of the chosen algorithm; compulsory traffic
  double roofline_ms = 0;
  std::string note;       // why it was left to the reference, or what was not fused into it and why
  std::string algorithm;  // "direct", "winograd4x4"; "reference"
};

struct MemoryPoint {
  std::string step;
  int64_t live_bytes = 0;  // activations alive while the step runs, its scratch included
};

struct Candidate {
  std::string id;
  std::optional<double> predicted_ms, measured_ms, accuracy_drop_pct, size_mb;
  bool chosen = false;
  std::string note;                     // why it was rejected
  std::optional<double> max_rel_error;  // against the model as given
};

struct TriedSchedule {
  std::string schedule;
  std::optional<double> predicted_ms, measured_ms;
  std::string note;  // why it is not the choice
};

struct Task {
  std::string name;
  std::string kernel;  // what is computed, with sizes
  int64_t uses = 1;    // groups that share it
  int64_t trials = 0;  // schedules measured
  std::optional<double> roofline_ms;
  std::vector<TriedSchedule> top5;  // best first
  bool from_database = false;       // the choice that tuning began with is an earlier run's
  std::string note;                 // why schedules were rejected
};

struct Pass {
  std::string name;
  double ms = 0;
  int64_t changes = 0;
  std::string note;  // "disabled by --disable-pass"
};

struct Environment {
  std::string cpu, isa, os, rooftune_version, target;
  int64_t cores = 0, threads = 0;
  double peak_gflops = 0;    // f32, measured, at `threads`
  double bandwidth_gbs = 0;  // DRAM read, measured, at `threads`
};

struct Verification {
  bool verified = false;
  double max_rel_error = 0;  // largest ‖out − ref‖ / ‖ref‖ over outputs and samples
  double tolerance = 0;
  int64_t samples = 0;
  std::string against;   // "the unoptimised graph on 3 random inputs and data.npz"
  std::string note;      // why it failed
  std::string accuracy;  // what accuracy_drop_pct of candidates is: of which output, against what, on how much
};

struct Report {
  std::string model;    // name as the user gave it
  std::string created;  // ISO 8601, UTC
  int64_t parameters = 0;
  double flops = 0;  // one inference, direct algorithms
  int64_t weight_bytes = 0;
  Measurement baseline, best;
  bool kept_original = false;  // nothing measured faster, or nothing verified; `reason` says which
  std::string reason;
  double tuning_seconds = 0;
  std::vector<Operator> operators;
  std::vector<MemoryPoint> memory_before, memory_after;
  std::vector<Candidate> candidates;
  std::vector<std::string> pareto;  // ids of candidates
  std::vector<Task> tasks;
  std::vector<Pass> passes;
  Environment environment;
  Verification verification;

  double speedup() const { return best.p50_ms > 0 ? baseline.p50_ms / best.p50_ms : 1; }
};

/// What it takes to repeat the run and to recognise its files.
struct RunCard {
  std::string command;
  std::string started, finished;                // ISO 8601, UTC
  Json request = Json::object();                // what `optimize` was asked: it can be asked the same again
  std::map<std::string, std::string> inputs;    // path as given → SHA-256; files with weights beside the model, too
  std::map<std::string, std::string> outputs;   // file name in the output folder → SHA-256
  std::map<std::string, std::string> versions;  // "rooftune", "llvm", "code" …
  std::map<std::string, int64_t> seeds;
  std::map<std::string, std::string> options;  // as they were in force, defaults included
  Environment environment;
};

Json to_json(const Report& report);
/// Reads what to_json wrote. InputError names `source` and the field.
Report from_json(const Json& json, std::string_view source);

Json to_json(const RunCard& card);
RunCard run_card_from_json(const Json& json, std::string_view source);

/// One page without references to anything outside it. Names are escaped. Readable without JavaScript, which only adds
/// a richer hover text.
std::string to_html(const Report& report);

/// report.html and report.json into `directory`.
void write_report(const Report& report, const std::string& directory);
/// run_card.json into `directory`; adds the SHA-256 of every other file there to card.outputs first.
void write_run_card(RunCard card, const std::string& directory);

}  // namespace rooftune::report
