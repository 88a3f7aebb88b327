// The whole way: import → passes → tasks → tuning → program → verification → measurement → report. What is returned was
// verified against the model as given and measured beside it; where nothing is faster or right, that model is returned.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/version.h"
#include "estimate/characterize.h"
#include "exporters/exporter.h"
#include "measure/load.h"
#include "measure/peaks.h"
#include "measure/statistics.h"
#include "ops/op.h"
#include "passes/pass.h"
#include "pipeline/commands.h"
#include "pipeline/data.h"
#include "pipeline/free_dims.h"
#include "pipeline/latency_network.h"
#include "pipeline/model.h"
#include "pipeline/optimize_report.h"
#include "pipeline/trial.h"
#include "plugins/plugins.h"
#include "report/report.h"
#include "runtime/code_loader.h"
#include "tune/database.h"
#include "tune/tuner.h"
#include "tune/whole_model.h"
#include "verify/compare.h"
#include "verify/inputs.h"

namespace rooftune::pipeline {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

struct Options {
  double budget = 60;
  std::optional<double> max_rel_error;      // of every candidate; else what is usual for its precision
  std::optional<double> max_accuracy_drop;  // percentage points of top-1 accuracy on `data`
  std::vector<Precision> precisions;
  std::string directory, dump_passes, emit_kernels, data;
  std::optional<std::string> database;
  tune::Preset preset;
  bool retune = false;
  bool dry_run = false;
  std::set<std::string> disabled;
  uint64_t seed = 0;
};

Options parse_options(const Request& request) {
  Options o;
  o.preset = tune::find_preset(request.text("preset", "default"));
  o.budget = request.has("budget") ? parse_duration(request.text("budget"), "--budget") : o.preset.budget_seconds;
  o.retune = request.flag("retune");
  if (request.has("max_rel_error")) o.max_rel_error = request.number("max_rel_error", 0);
  if (o.max_rel_error && !(*o.max_rel_error > 0)) request.fail("max_rel_error", "a positive number");
  if (request.has("max_accuracy_drop")) {
    o.max_accuracy_drop = request.number("max_accuracy_drop", 0);
    if (!(*o.max_accuracy_drop >= 0 && *o.max_accuracy_drop <= 100))
      request.fail("max_accuracy_drop", "percentage points from 0 to 100");
    if (!request.has("data"))
      throw InputError(
          "optimize: max_accuracy_drop needs data to measure accuracy on: an .npz with one array per input, and "
          "'labels'");
  }
  o.directory = request.text("output");
  o.dump_passes = request.text("dump_passes", "");
  o.emit_kernels = request.text("emit_kernels", "");
  o.data = request.text("data", "");
  if (request.has("database")) o.database = request.text("database");
  o.dry_run = request.flag("dry_run");
  for (const auto& name : request.words("disable_pass")) o.disabled.insert(name);
  for (const auto& name : request.words("precisions")) {
    auto precision = parse_precision("optimize", name);
    if (std::none_of(o.precisions.begin(), o.precisions.end(),
                     [&](const auto& p) { return p.dtype == precision.dtype; }))
      o.precisions.push_back(std::move(precision));
  }
  if (o.precisions.empty()) o.precisions.emplace_back();
  o.seed = request.has("seed") || !o.preset.seed ? request.seed() : *o.preset.seed;
  return o;
}

std::string described(size_t samples, const ir::Graph& original, const Options& options) {
  const size_t random =
      options.data.empty() ? samples : std::min<size_t>(samples, kRandomSamples + special_sizes(original).size());
  auto text = fmt::format("the unoptimised graph on {} random input{}", random, random == 1 ? "" : "s");
  if (samples > random)
    text += fmt::format(" and {} of {}", samples - random, std::filesystem::path(options.data).filename().string());
  return text;
}

/// What would be found out only when the time is spent: whether everything can be written.
void require_writable(const Options& options) {
  for (const auto* folder : {&options.directory, &options.dump_passes, &options.emit_kernels})
    if (!folder->empty()) const AtomicDirectory probe(*folder);
}

/// The tuning database, which is opened once to see that it can be; none where there is no place to keep one and none
/// was asked for.
std::string database_path(const Options& options) {
  if (options.database) {
    const tune::Database probe(*options.database);
    return *options.database;
  }
  try {
    const std::string path = cache_directory() + "/tuning.sqlite";
    const tune::Database probe(path);
    return path;
  } catch (const EnvironmentError& e) {
    log_warning("tuning without a database: {}", e.what());
    return "";
  }
}

/// Runs the passes and reports what they did.
void run_passes(ir::Graph& graph, const Options& options, report::Report& report, Progress& progress,
                const Cancelled& cancelled) {
  passes::PassOptions pass_options;
  pass_options.disabled = options.disabled;
  pass_options.cancelled = &cancelled;
  pass_options.progress = [&](const std::string& pass, double done) { progress.report("pass " + pass, done, 1); };
  std::optional<AtomicDirectory> dumps;
  if (!options.dump_passes.empty() && !options.dry_run)
    pass_options.dump_dir = dumps.emplace(options.dump_passes).path();
  for (const auto& record : passes::run_passes(graph, pass_options))
    report.passes.push_back({record.name, record.ms,
                             record.changed ? std::max(1, std::abs(record.nodes_before - record.nodes_after)) : 0,
                             fmt::format("{}", fmt::join(record.notes, "; "))});
  for (const auto& name : options.disabled) report.passes.push_back({name, 0, 0, "disabled by --disable-pass"});
  if (dumps) dumps->commit();
}

/// The model in one precision: what is made of it, and whether it may be used.
struct Candidate {
  std::string id;
  Precision precision;
  verify::Tolerance tolerance;
  std::vector<report::Pass> passes;
  tune::Workload work;
  tune::Tuned tuned;
  std::unique_ptr<Side> side;
  verify::Comparison comparison;
  std::optional<verify::Accuracy> accuracy;  // on the user's data
  double assembling_seconds = 0;
  std::optional<double> predicted_ms;
  std::string rejected;  // why it may not

  double error() const { return comparison.max_rel_error(); }
};

std::vector<Candidate> candidates_of(const ir::Graph& graph, const Options& options) {
  std::vector<Candidate> all;
  for (const auto& precision : options.precisions) {
    Candidate& c = all.emplace_back();
    c.precision = precision;
    c.id = precision.dtype == ir::DType::f32 ? "optimised" : "optimised " + precision.name;
    // As it is, the model may be in 16 bits: then its own references round, too.
    c.tolerance = verify::default_tolerance(graph);
    const double usual = std::max({c.tolerance.relative, precision.tolerance, precision_of(graph).tolerance});
    c.tolerance.relative = options.max_rel_error.value_or(usual);
  }
  return all;
}

/// What the network over its kernels says, else the sum of what they took alone; nothing where neither is known.
std::optional<double> predicted(const tune::Workload& work, const tune::Tuned& tuned, const HostTarget& target) {
  try {
    if (const auto ms = predict_model_ms(work, tuned.choices, target)) return ms;
  } catch (const Error& e) {
    log_warning("no prediction by network: {}", e.what());
  }
  double sum = 0;
  for (size_t t = 0; t < work.tasks.size(); ++t) sum += tuned.ms[t] > 0 ? tuned.ms[t] * work.tasks[t].runs : INFINITY;
  return std::isfinite(sum) && sum > 0 ? std::optional(sum) : std::nullopt;
}

Json describe_tasks(const std::string& model, const std::vector<Candidate>& candidates, const HostTarget& target) {
  Json tasks = Json::array(), rows = Json::array();
  size_t groups = 0;
  for (const auto& c : candidates) {
    for (const auto& task : c.work.tasks) {
      Json algorithms = Json::array();
      for (const auto& variant : task.variants) algorithms.push_back(variant.algorithm);
      tasks.push_back({{"name", task.name},
                       {"uses", task.groups.size()},
                       {"algorithms", algorithms},
                       {"flops", task.direct_flops},
                       {"precision", c.precision.name}});
    }
    groups += c.work.partition.groups.size();
    Json& row = rows.emplace_back(Json{{"id", c.id}, {"precision", c.precision.name}, {"predicted_ms", nullptr}});
    if (const auto ms = predicted(c.work, tune::untuned(c.work, target.machine), target)) row["predicted_ms"] = *ms;
  }
  return {{"model", model}, {"dry_run", true}, {"tasks", tasks}, {"groups", groups}, {"candidates", rows}};
}

/// Whether accuracy on the data is known or wanted.
bool measures_accuracy(const std::vector<Golden>& golden, const Options& options) {
  return options.max_accuracy_drop ||
         std::any_of(golden.begin(), golden.end(), [](const Golden& g) { return !g.labels.empty(); });
}

/// Measures the accuracy of a candidate's program, and rejects it where it has lost too much.
void check_accuracy(Candidate& c, Side& side, const std::vector<Golden>& golden, const ir::Graph& original,
                    const Options& options) {
  if (!measures_accuracy(golden, options)) return;
  c.accuracy = accuracy_on(golden, original, options.data, side);
  if (!options.max_accuracy_drop || c.accuracy->drop_pct() <= *options.max_accuracy_drop) return;
  if (c.rejected.empty())
    c.rejected = fmt::format("accuracy drops by {:.2f} points on {} ({:.2f} are allowed by --max-accuracy-drop)",
                             c.accuracy->drop_pct(), std::filesystem::path(options.data).filename().string(),
                             *options.max_accuracy_drop);
}

/// What code for a target may use: what is measured with one kind of code says nothing of another.
std::string code_of(const codegen::CpuTarget& cpu) {
  return fmt::format("{}{}{}", cpu.name(), cpu.extensions.empty() ? "" : "+", fmt::join(cpu.extensions, "+"));
}

/// Tunes a candidate and makes its program. What a coarse precision costs in accuracy is seen before time is spent on it.
void tune_candidate(Candidate& c, const HostTarget& target, codegen::Codegen& codegen, const tune::TuneOptions& tuning,
                    const std::vector<Golden>& golden, const ir::Graph& original, const Options& options,
                    Progress& progress) {
  if (c.precision.dtype != ir::DType::f32) {
    progress.report("trying " + c.precision.name, 0, 1);
    const auto untuned = tune::untuned(c.work, target.machine);
    Side trial(tune::assemble(c.work, untuned.choices, codegen), tuning.threads);
    c.comparison = golden_check(golden, original, trial);
    if (!c.comparison.agrees(c.tolerance)) c.rejected = "not accurate enough: " + c.comparison.why_not(c.tolerance);
    check_accuracy(c, trial, golden, original, options);
    if (!c.rejected.empty()) return;
  }
  c.tuned = tune::tune(c.work, target.machine, codegen, tuning);
  auto [side, comparison, assembling_seconds] =
      verified_program(c.work, target.machine, codegen, tuning, c.tuned, golden, original, c.tolerance, progress);
  c.side = std::move(side);
  c.comparison = std::move(comparison);
  c.predicted_ms = predicted(c.work, c.tuned, target);
  c.assembling_seconds = assembling_seconds;
  if (!c.comparison.agrees(c.tolerance)) c.rejected = "not verified: " + c.comparison.why_not(c.tolerance);
  check_accuracy(c, *c.side, golden, original, options);
}

/// Those that no other one beats in time, error and size at once.
std::vector<std::string> pareto_of(const std::vector<report::Candidate>& candidates) {
  const auto usable = [](const report::Candidate& c) { return c.note.empty() && c.measured_ms.has_value(); };
  const auto values = [](const report::Candidate& c) {
    return std::array{*c.measured_ms, c.max_rel_error.value_or(0), c.size_mb.value_or(0)};
  };
  std::vector<std::string> ids;
  for (const auto& c : candidates) {
    const bool beaten = usable(c) && std::any_of(candidates.begin(), candidates.end(), [&](const auto& other) {
                          if (!usable(other)) return false;
                          const auto mine = values(c), theirs = values(other);
                          bool no_worse = true;
                          for (size_t i = 0; i < mine.size(); ++i) no_worse = no_worse && theirs[i] <= mine[i];
                          return no_worse && theirs != mine;
                        });
    if (usable(c) && !beaten) ids.push_back(c.id);
  }
  return ids;
}

/// Which of the measured sides is returned: of those that are right the fastest, and the model as given (nullptr) unless
/// that is faster. Fills what the report says about it.
Candidate* choose(Side& baseline, std::vector<Candidate>& candidates, const std::vector<Golden>& golden,
                  const ir::Graph& original, const Options& options, report::Report& report) {
  report.baseline = measurement_of(baseline, "the model as given, one kernel per operator, not tuned");
  report.candidates = {{"baseline", {}, report.baseline.p50_ms, {}, report.baseline.size_mb, false, "", {}}};
  if (measures_accuracy(golden, options)) {
    const auto accuracy = accuracy_on(golden, original, options.data, baseline);
    report.candidates[0].accuracy_drop_pct = accuracy.drop_pct();
    const auto file = std::filesystem::path(options.data).filename().string();
    const auto output = verify::output_names(original)[static_cast<size_t>(verify::scores_output(golden[0].outputs))];
    report.verification.accuracy =
        accuracy.labelled
            ? fmt::format(
                  "top-1 of output '{}' against the labels of {} ({} rows, of which the model as given has {:.2f} %)",
                  output, file, accuracy.rows, accuracy.reference_pct())
            : fmt::format(
                  "how often output '{}' names the class that the model as given names on {} ({} rows, without labels)",
                  output, file, accuracy.rows);
  }
  Candidate* best = nullptr;
  std::map<const Candidate*, report::Measurement> measured;
  for (auto& c : candidates) {
    auto& row = report.candidates.emplace_back();
    row.id = c.id;
    row.max_rel_error = c.error();
    if (c.accuracy) row.accuracy_drop_pct = c.accuracy->drop_pct();
    if (c.side) {
      const auto& m = measured[&c] = measurement_of(*c.side, c.id);
      row.measured_ms = m.p50_ms;
      row.size_mb = m.size_mb;
      row.predicted_ms = c.predicted_ms;
      if (c.rejected.empty() && m.p50_ms > report.baseline.p50_ms)
        c.rejected = "measured slower than the model as given";
      if (c.rejected.empty() && (best == nullptr || m.p50_ms < measured[best].p50_ms)) best = &c;
    }
    row.note = c.rejected;
  }
  report.kept_original = best == nullptr;
  for (const auto& c : candidates)
    if (best == nullptr)
      report.reason += (report.reason.empty() ? "" : "; ") + (candidates.size() > 1 ? c.id + ": " : "") + c.rejected;
  const size_t chosen = best == nullptr ? 0 : 1 + static_cast<size_t>(best - candidates.data());
  report.candidates[chosen].chosen = true;
  report.pareto =
      candidates.size() > 1 ? pareto_of(report.candidates) : std::vector<std::string>{report.candidates[chosen].id};
  report.best = best == nullptr ? report.baseline : measured[best];
  // What is handed back is checked, the original too.
  const auto returned = best == nullptr ? golden_check(golden, original, baseline) : best->comparison;
  const auto tolerance = (best == nullptr ? candidates.front() : *best).tolerance;
  auto& verification = report.verification;
  verification.verified = returned.agrees(tolerance);
  verification.max_rel_error = returned.max_rel_error();
  verification.tolerance = tolerance.relative;
  verification.samples = static_cast<int64_t>(golden.size());
  verification.against = described(golden.size(), original, options);
  if (!verification.verified) verification.note = returned.why_not(tolerance);
  return best;
}

/// Milliseconds until a package is ready to run.
double load_milliseconds(const std::string& path, int threads) {
  const double start = measure::now_seconds();
  const runtime::Executable executable(runtime::load(path), threads);
  const auto context = executable.make_context(threads);
  return (measure::now_seconds() - start) * 1e3;
}

report::RunCard run_card_of(const Json& request, const Options& options, const Model& model,
                            const std::string& database, const report::Report& report) {
  std::vector<std::string> precisions;
  for (const auto& p : options.precisions) precisions.push_back(p.name);
  report::RunCard card;
  card.request = request;
  card.request["seed"] = options.seed;  // also where none was given: what it takes to ask for the same again
  card.request["threads"] = report.environment.threads;
  card.command = command_line("optimize", card.request, {"model"});
  card.started = report.created;
  card.finished = utc_now();
  card.inputs = hash_model_files(model.graph, model.path);
  if (!options.data.empty()) card.inputs[options.data] = sha256_file(options.data);
  for (const auto& plugin : plugins::loaded()) card.inputs[plugin.file] = sha256_file(plugin.file);
  card.versions = {{"rooftune", version()}};
  card.seeds = {{"seed", static_cast<int64_t>(options.seed)}};
  card.options = {
      {"budget_seconds", fmt::format("{}", options.budget)},
      {"max_rel_error", fmt::format("{}", report.verification.tolerance)},
      {"max_accuracy_drop", options.max_accuracy_drop ? fmt::format("{}", *options.max_accuracy_drop) : "none"},
      {"threads", std::to_string(report.environment.threads)},
      {"precisions", fmt::format("{}", fmt::join(precisions, ","))},
      {"target", report.environment.target},
      {"database", database.empty() ? "none" : database},
      {"preset", options.preset.name},
      {"disabled_passes", fmt::format("{}", fmt::join(options.disabled, ","))}};
  card.environment = report.environment;
  return card;
}

/// Programs for the targets after the first, with analytical schedules, of the precision that was chosen (`best` is null:
/// the model as given). What this machine can run is verified here, and left out where it is wrong. Gives what became of each.
Json other_targets(const std::vector<HostTarget>& targets, const ir::Graph& graph, const Candidate* best,
                   const verify::Tolerance& tolerance, const Options& options, const std::vector<Golden>& golden,
                   std::vector<runtime::Program>& programs) {
  Json rows = Json::array({{{"target", targets[0].cpu.name()}, {"verified", true}}});
  const auto passes = [&](ir::Graph& one) {
    if (best == nullptr) return;
    passes::PassOptions as_asked;
    as_asked.disabled = options.disabled;
    passes::run_passes(one, as_asked);
    lower_to(one, best->precision);
  };
  for (size_t i = 1; i < targets.size(); ++i) {
    const auto& target = targets[i];
    const auto work = workload_of(graph, passes, target, best != nullptr);
    std::vector<tune::Choice> choices;
    for (const auto& task : work.tasks) choices.push_back(tune::first_choice(task, target.machine));
    auto program = tune::assemble(work, choices, *target.make_codegen());
    Json row = {{"target", target.cpu.name()}, {"verified", nullptr}};
    if (const auto why = runtime::why_not_here(program); !why.empty()) {
      row["note"] = "not run here: " + why;
    } else {
      Side side(program, target.machine.threads);
      const auto comparison = golden_check(golden, graph, side);
      row["max_rel_error"] = comparison.max_rel_error();
      row["verified"] = comparison.agrees(tolerance);
      if (!comparison.agrees(tolerance)) {
        row["note"] = "left out: " + comparison.why_not(tolerance);
        log_warning("no program for {} in the package: {}", target.cpu.name(), comparison.why_not(tolerance));
        rows.push_back(std::move(row));
        continue;
      }
    }
    rows.push_back(std::move(row));
    programs.push_back(std::move(program));
  }
  return rows;
}

void write_kernels(const std::string& folder, const tune::Workload& work, const tune::Tuned& tuned,
                   codegen::Codegen& codegen) {
  AtomicDirectory kernels(folder);
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    const auto& variant = work.tasks[t].variants[tuned.choices[t].variant];
    std::string text = "; " + work.tasks[t].name + "\n" + kernel::print(variant.kernel) + "\n" +
                       kernel::print(variant.kernel, tuned.choices[t].schedule) + "\n" +
                       codegen.dump({&variant.kernel, &tuned.choices[t].schedule}, "llvm");
    write_file(kernels.file(fmt::format("{:03}.txt", t)), text);
  }
  kernels.commit();
}

}  // namespace

Json optimize(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(
      json, "optimize",
      {"model", "output", "dim", "target", "budget", "precisions", "max_rel_error", "max_accuracy_drop", "disable_pass",
       "dump_passes", "emit_kernels", "dry_run", "threads", "seed", "database", "data", "backend", "preset", "retune"});
  const Options options = parse_options(request);
  report::Report report;
  report.created = utc_now();
  const Model model = load(request);
  require_bounded(model);
  if (model.program) throw InputError("optimize: {} is compiled already; give the model it was made from", model.path);
  const auto targets = targets_of(request);
  const auto& target = targets[0];
  if (const auto why = runtime::why_not_here(target.cpu.name()); !why.empty())
    throw InputError("optimize: the first target is tuned and verified here, and must run here: {}", why);
  const int threads = target.machine.threads;
  auto codegen = target.make_codegen();

  report.model = std::filesystem::path(model.path).filename().string();
  const auto facts = estimate::characterize(at_largest(model.graph));
  report.parameters = facts.parameters;
  report.flops = facts.flops;
  report.weight_bytes = facts.weight_bytes;
  progress.report("measuring this machine's peaks", 0, 1);
  report.environment = describe_machine(target);
  report.environment.target = request.text("target", "host");

  if (!options.dry_run) require_writable(options);
  const std::string database = options.dry_run ? "" : database_path(options);
  auto candidates = candidates_of(model.graph, options);
  for (auto& c : candidates) {
    const auto reported = [&](ir::Graph& graph) {  // at several sizes where dimensions are free: the last is told of
      report.passes.clear();
      run_passes(graph, options, report, progress, cancelled);
      lower_to(graph, c.precision);
    };
    c.work = workload_of(model.graph, reported, target);
    c.passes = report.passes;
  }
  if (options.dry_run) return describe_tasks(report.model, candidates, target);

  const auto golden = golden_runs(model.graph, options.data, options.seed, progress, cancelled);
  if (measures_accuracy(golden, options))  // before the budget is spent
    for (const auto& run : golden) (void)scores_of(run, model.graph, options.data);
  const double budget_start = measure::now_seconds();
  tune::TuneOptions tuning;
  tuning.threads = threads;
  tuning.seed = options.seed;
  tuning.progress = &progress;
  tuning.cancelled = &cancelled;
  tuning.machine = target.host.key();
  if (const auto host = host_target(request); request.has("target") && code_of(target.cpu) != code_of(host.cpu))
    tuning.machine += "/" + code_of(target.cpu);
  tuning.database = database;
  tuning.preset = options.preset;
  tuning.spec = measure::host_spec(threads);
  tuning.again = options.retune;
  // Equal shares, whatever others leave: the database remembers in how much time a choice was found.
  tuning.budget_seconds = codegen->follows_schedules() ? options.budget / static_cast<double>(candidates.size()) : 0;
  for (auto& c : candidates) tune_candidate(c, target, *codegen, tuning, golden, model.graph, options, progress);
  report.tuning_seconds = measure::now_seconds() - budget_start;
  // The baseline: the model as given, every operator by itself. Made late, so that it takes no memory during tuning.
  progress.report("baseline", 0, 1);
  Side baseline(compile(model, target, false), threads);

  progress.report("measuring", 0, 1);
  const auto inputs = verify::InputGenerator(model.graph, options.seed + 2).next();
  const measure::LoadMonitor load;
  std::vector<Side*> sides = {&baseline};
  for (auto& c : candidates)
    if (c.side) sides.push_back(c.side.get());
  measure_interleaved(sides, inputs, 1.5 * static_cast<double>(sides.size()), 5, cancelled);
  // At the largest size of free dimensions no reference was computed: there the programs must agree.
  for (auto& c : candidates) {
    if (!has_free_dims(model.graph) || !c.side) continue;
    c.comparison = verify::worse(c.comparison,
                                 verify::compare(verify::output_names(model.graph), c.side->outputs, baseline.outputs));
    if (c.rejected.empty() && !c.comparison.agrees(c.tolerance))
      c.rejected = "not verified: " + c.comparison.why_not(c.tolerance);
  }
  const double foreign_share = load.foreign_share();
  if (foreign_share > measure::kQuietShare)
    log_warning("other work took {:.0f} % of the machine while the result was measured", 100 * foreign_share);
  Candidate* best = choose(baseline, candidates, golden, model.graph, options, report);
  const bool keep = best == nullptr;
  Candidate& told = keep ? candidates.front() : *best;  // whose tasks the report shows
  Side& returned = keep ? baseline : *best->side;
  const auto& work = told.work;
  const auto& tuned = told.tuned;
  report.passes = told.passes;
  const auto step_ms =
      step_times(keep ? std::vector<Side*>{&baseline} : std::vector<Side*>{&baseline, &returned}, inputs, cancelled);
  const auto& program = returned.executable.program();
  report.operators = operator_rows(model.graph, {baseline.executable.program(), step_ms.front()},
                                   {program, step_ms.back()}, work, keep ? nullptr : &tuned, threads);
  const bool was_tuned = told.side != nullptr;  // not if it was given up before
  if (was_tuned) report.tasks = task_rows(work, tuned, threads);
  report.memory_before = memory_timeline(baseline.executable.program(), threads);
  report.memory_after = memory_timeline(program, threads);

  progress.report("writing", 0, 1);
  AtomicDirectory out(options.directory);
  std::vector<const runtime::Program*> programs = {&program};
  std::vector<runtime::Program> others;
  const Json variants = other_targets(targets, model.graph, best, told.tolerance, options, golden, others);
  for (const auto& other : others) programs.push_back(&other);
  runtime::save(programs, out.file("model.rt"));
  report.best.load_ms = load_milliseconds(out.file("model.rt"), threads);
  ir::Graph portable = (keep || has_free_dims(model.graph) ? model.graph : *work.given).clone();
  if (!keep && has_free_dims(model.graph)) {  // the tuned graph is of one size
    passes::PassOptions as_asked;
    as_asked.disabled = options.disabled;
    passes::run_passes(portable, as_asked);
    lower_to(portable, best->precision);
  }
  exporters::find("onnx").write(portable, out.file("model.onnx"));
  write_file(out.file("tuning.jsonl"), was_tuned ? tuning_log(work, tuned, *codegen, tuning) : "");
  report::write_report(report, out.path());
  auto card = run_card_of(json, options, model, database, report);
  card.versions["codegen"] = codegen->version();
  report::write_run_card(std::move(card), out.path());
  if (!options.emit_kernels.empty() && was_tuned) write_kernels(options.emit_kernels, work, tuned, *codegen);
  out.commit();
  Json document = report::to_json(report);
  document["output"] = options.directory;
  if (targets.size() > 1) document["variants"] = variants;
  document["foreign_share"] = {{"tuning", tuned.foreign_share}, {"measuring", foreign_share}};
  document["seed"] = options.seed;
  document["compile_seconds"] =
      report.tuning_seconds + told.assembling_seconds;  // from the graph to a program that runs
  return document;
}

}  // namespace rooftune::pipeline
