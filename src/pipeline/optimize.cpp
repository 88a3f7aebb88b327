// The whole way: import → passes → tasks → tuning → program → verification → measurement → report. What is returned was
// verified against the model as given and measured beside it; where nothing is faster or right, that model is returned.
#include <algorithm>
#include <chrono>
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
#include "pipeline/model.h"
#include "pipeline/optimize_report.h"
#include "plugins/plugins.h"
#include "report/report.h"
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

constexpr int kRandomSamples = 2;

struct Options {
  double budget = 60;
  verify::Tolerance tolerance;
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
  o.directory = request.text("output");
  o.dump_passes = request.text("dump_passes", "");
  o.emit_kernels = request.text("emit_kernels", "");
  o.data = request.text("data", "");
  if (request.has("database")) o.database = request.text("database");
  o.dry_run = request.flag("dry_run");
  for (const auto& name : request.words("disable_pass")) o.disabled.insert(name);
  for (const auto& precision : request.words("precisions"))
    if (precision != "fp32" && precision != "f32")
      throw InputError("optimize: precision '{}' is not available; fp32 is", precision);
  const std::string target = request.text("target", "host");
  if (target != "host")
    throw InputError("optimize: code is generated for target host; '{}' can be estimated with analyze", target);
  o.seed = request.has("seed") || !o.preset.seed ? request.seed() : *o.preset.seed;
  return o;
}

/// One program under measurement.
struct Side {
  explicit Side(runtime::Program program, int threads)
      : executable(std::move(program), threads), context(executable.make_context(threads)) {}
  runtime::Executable executable;
  std::unique_ptr<runtime::Context> context;
  std::vector<ir::Tensor> outputs;
  std::vector<double> ms;
  void run(const std::vector<ir::Tensor>& inputs) { executable.run(*context, inputs, outputs); }
};

/// A B A B …, for `seconds` in all, at least `least` runs each.
void measure_interleaved(std::vector<Side*> sides, const std::vector<ir::Tensor>& inputs, double seconds, int least,
                         const Cancelled& cancelled) {
  for (auto* side : sides) {
    side->outputs.clear();
    side->run(inputs);
  }
  const double start = measure::now_seconds();
  for (int round = 0; round < (cancelled.requested() ? 1 : least) ||
                      (measure::now_seconds() - start < seconds && round < 2000 && !cancelled.requested());
       ++round) {
    for (auto* side : sides) {
      const double t = measure::now_seconds();
      side->run(inputs);
      side->ms.push_back((measure::now_seconds() - t) * 1e3);
    }
  }
}

report::Measurement measurement_of(const Side& side, const std::string& label) {
  report::Measurement m;
  m.label = label;
  const auto summary = measure::summarize(side.ms);
  m.p50_ms = summary.p50;
  m.p95_ms = summary.p95;
  m.min_ms = summary.min;
  m.runs = summary.count;
  const auto roof = roof_of(side.executable.program(), side.context->threads());
  m.roofline_ms = roof.total_ms;
  m.direct_roofline_ms = roof.direct_ms;
  m.size_mb = constant_mb(side.executable.program());
  m.peak_memory_mb = *m.size_mb + static_cast<double>(side.context->bytes()) / 1e6;
  return m;
}

/// Median milliseconds of every side's steps; A B A B …, so that both see the same machine.
std::vector<std::vector<double>> step_times(const std::vector<Side*>& sides, const std::vector<ir::Tensor>& inputs,
                                            const Cancelled& cancelled) {
  constexpr int kRuns = 5;
  std::vector<std::vector<std::vector<double>>> times(sides.size());  // by side and step
  for (auto* side : sides) side->outputs.clear();
  for (int r = 0; r < kRuns && (r == 0 || !cancelled.requested()); ++r)
    for (size_t s = 0; s < sides.size(); ++s) {
      const auto steps = sides[s]->executable.profile(*sides[s]->context, inputs, sides[s]->outputs);
      times[s].resize(steps.size());
      for (size_t i = 0; i < steps.size(); ++i) times[s][i].push_back(steps[i].milliseconds);
    }
  std::vector<std::vector<double>> medians(sides.size());
  for (size_t s = 0; s < sides.size(); ++s)
    for (const auto& step : times[s]) medians[s].push_back(measure::median(step));
  return medians;
}

/// Inputs and what the model as given makes of them, by references.
struct Golden {
  std::vector<ir::Tensor> inputs, outputs;
};

/// On fresh random inputs, and on the user's data where there are any; at least one.
std::vector<Golden> golden_runs(const ir::Graph& original, const Options& options, Progress& progress,
                                const Cancelled& cancelled) {
  verify::InputGenerator generator(original, options.seed + 1);
  std::vector<std::vector<ir::Tensor>> inputs;
  for (const auto& size : special_sizes(original)) {
    generator.set_sizes(size);
    inputs.push_back(generator.next());
  }
  for (int i = 0; i < kRandomSamples; ++i) {
    // References take long on the largest size of free dimensions, where programs are compared instead.
    if (has_free_dims(original)) generator.draw_sizes();
    inputs.push_back(generator.next());
  }
  if (!options.data.empty())
    for (auto& sample : read_samples(original, options.data)) inputs.push_back(std::move(sample));
  std::vector<Golden> runs;
  for (auto& one : inputs) {
    progress.report("computing what the outputs should be", static_cast<double>(runs.size()),
                    static_cast<double>(inputs.size()));
    if (!runs.empty() && cancelled.requested()) break;
    std::vector<ir::Tensor> outputs;
    try {
      outputs = ops::evaluate(original, one);
    } catch (const InputError&) {
      if (!has_free_dims(original)) throw;
      continue;  // no size of the model
    }
    runs.push_back({std::move(one), std::move(outputs)});
  }
  if (runs.empty())
    throw InputError("the model takes none of the sizes that were tried: raise the lower bounds of --dim");
  return runs;
}

verify::Comparison golden_check(const std::vector<Golden>& runs, const ir::Graph& original, Side& candidate) {
  std::optional<verify::Comparison> worst;
  for (const auto& golden : runs) {
    candidate.outputs.clear();  // their sizes may differ from sample to sample
    candidate.run(golden.inputs);
    const auto comparison = verify::compare(verify::output_names(original), candidate.outputs, golden.outputs);
    worst = worst ? verify::worse(*worst, comparison) : comparison;
  }
  return *worst;
}

struct Verified {
  std::unique_ptr<Side> side;
  verify::Comparison comparison;
  double assembling_seconds = 0;  // code generation and layout of the program
};

/// The program of what was tuned. What is right goes into the tuning database; where it is wrong, the database forgets
/// it, and the analytical choices take its place.
Verified verified_program(const tune::Workload& work, const kernel::Machine& machine, codegen::Codegen& codegen,
                          const tune::TuneOptions& tuning, tune::Tuned& tuned, const std::vector<Golden>& golden,
                          const ir::Graph& original, const verify::Tolerance& tolerance, Progress& progress) {
  constexpr double kTrialSeconds = 60;
  progress.report("assembling", 0, 1);
  const double began = measure::now_seconds();
  auto program = tune::assemble(work, tuned.choices, codegen);
  const double assembling_seconds = measure::now_seconds() - began;
  const bool recalled =
      std::any_of(tuned.logs.begin(), tuned.logs.end(), [](const auto& log) { return log.from_database; });
  Verified result;
  result.assembling_seconds = assembling_seconds;
  if (!recalled || tune::survives(program, tuning.threads, verify::InputGenerator(original, tuning.seed + 3).next(),
                                  kTrialSeconds)) {
    result.side = std::make_unique<Side>(std::move(program), tuning.threads);
    progress.report("verifying", 0, 1);
    result.comparison = golden_check(golden, original, *result.side);
    if (result.comparison.agrees(tolerance)) {
      tune::remember(work, tuned, codegen, tuning);
      return result;
    }
  }
  auto untuned = tune::untuned(work, machine);
  if (result.side && tune::same_choices(untuned.choices, tuned.choices)) return result;
  log_warning("the tuned program {}; the analytical one takes its place",
              result.side ? "is wrong: " + result.comparison.why_not(tolerance) : "does not run");
  const bool runs = result.side != nullptr;
  result.side.reset();
  untuned.logs = std::move(tuned.logs);
  tuned = std::move(untuned);
  result.side = std::make_unique<Side>(tune::assemble(work, tuned.choices, codegen), tuning.threads);
  result.comparison = golden_check(golden, original, *result.side);
  // Where that is no better, it is not the choices that are wrong.
  if (!runs || result.comparison.agrees(tolerance)) tune::forget(work, codegen, tuning);
  return result;
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

Json describe_tasks(const std::string& model, const tune::Workload& work) {
  Json tasks = Json::array();
  for (const auto& task : work.tasks) {
    Json algorithms = Json::array();
    for (const auto& variant : task.variants) algorithms.push_back(variant.algorithm);
    tasks.push_back(
        {{"name", task.name}, {"uses", task.groups.size()}, {"algorithms", algorithms}, {"flops", task.direct_flops}});
  }
  return {{"model", model}, {"dry_run", true}, {"tasks", tasks}, {"groups", work.partition.groups.size()}};
}

/// Which of two measured sides is returned: the model as given unless the other is right (`comparison`) and faster.
/// Fills what the report says about that.
Side& choose(Side& baseline, Side& best, const verify::Comparison& comparison, const std::vector<Golden>& golden,
             const ir::Graph& original, const Options& options, report::Report& report) {
  report.baseline = measurement_of(baseline, "the model as given, one kernel per operator, not tuned");
  report.best = measurement_of(best, "optimised");
  // The accuracy on data is not known of either: that needs data with labels.
  report.candidates = {{"baseline", {}, report.baseline.p50_ms, {}, report.baseline.size_mb, false, ""},
                       {"optimised", {}, report.best.p50_ms, {}, report.best.size_mb, false, ""}};
  const auto& tolerance = options.tolerance;
  if (!comparison.agrees(tolerance)) report.reason = "not verified: " + comparison.why_not(tolerance);
  else if (report.best.p50_ms > report.baseline.p50_ms) report.reason = "measured slower than the model as given";
  report.candidates[1].note = report.reason;
  report.kept_original = !report.reason.empty();
  report.candidates[report.kept_original ? 0 : 1].chosen = true;
  report.pareto = {report.kept_original ? "baseline" : "optimised"};
  if (report.kept_original) report.best = report.baseline;
  // What is handed back is checked, the original too.
  const auto returned = report.kept_original ? golden_check(golden, original, baseline) : comparison;
  auto& verification = report.verification;
  verification.verified = returned.agrees(tolerance);
  verification.max_rel_error = returned.max_rel_error();
  verification.tolerance = tolerance.relative;
  verification.samples = static_cast<int64_t>(golden.size());
  verification.against = described(golden.size(), original, options);
  if (!verification.verified) verification.note = returned.why_not(tolerance);
  return report.kept_original ? baseline : best;
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
  card.options = {{"budget_seconds", fmt::format("{}", options.budget)},
                  {"max_rel_error", fmt::format("{}", options.tolerance.relative)},
                  {"threads", std::to_string(report.environment.threads)},
                  {"precisions", "fp32"},
                  {"target", report.environment.target},
                  {"database", database.empty() ? "none" : database},
                  {"preset", options.preset.name},
                  {"disabled_passes", fmt::format("{}", fmt::join(options.disabled, ","))}};
  card.environment = report.environment;
  return card;
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
      {"model", "output", "dim", "target", "budget", "precisions", "max_rel_error", "disable_pass", "dump_passes",
       "emit_kernels", "dry_run", "threads", "seed", "database", "data", "backend", "preset", "retune"});
  Options options = parse_options(request);
  report::Report report;
  report.created = utc_now();
  const Model model = load(request);
  require_bounded(model);
  options.tolerance = verify::default_tolerance(model.graph);
  options.tolerance.relative = request.number("max_rel_error", options.tolerance.relative);
  if (!(options.tolerance.relative > 0)) request.fail("max_rel_error", "a positive number");
  if (model.program) throw InputError("optimize: {} is compiled already; give the model it was made from", model.path);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  auto codegen = target.make_codegen();

  report.model = std::filesystem::path(model.path).filename().string();
  const auto facts = estimate::characterize(at_largest(model.graph));
  report.parameters = facts.parameters;
  report.flops = facts.flops;
  report.weight_bytes = facts.weight_bytes;
  progress.report("measuring this machine's peaks", 0, 1);
  report.environment = describe_machine(target);

  if (!options.dry_run) require_writable(options);
  const std::string database = options.dry_run ? "" : database_path(options);
  const auto reported = [&](ir::Graph& graph) {  // at several sizes where dimensions are free: the last is told of
    report.passes.clear();
    run_passes(graph, options, report, progress, cancelled);
  };
  const auto work = workload_of(model.graph, reported, target);
  if (options.dry_run) return describe_tasks(report.model, work);

  const auto golden = golden_runs(model.graph, options, progress, cancelled);
  const double budget_start = measure::now_seconds();
  tune::TuneOptions tuning;
  tuning.budget_seconds = codegen->follows_schedules() ? options.budget : 0;
  tuning.threads = threads;
  tuning.seed = options.seed;
  tuning.progress = &progress;
  tuning.cancelled = &cancelled;
  tuning.machine = target.host.key();
  tuning.database = database;
  tuning.preset = options.preset;
  tuning.spec = measure::host_spec(threads);
  tuning.again = options.retune;
  auto tuned = tune::tune(work, target.machine, *codegen, tuning);
  report.tuning_seconds = measure::now_seconds() - budget_start;
  const auto [best, at_samples, assembling_seconds] =
      verified_program(work, target.machine, *codegen, tuning, tuned, golden, model.graph, options.tolerance, progress);
  // The baseline: the model as given, every operator by itself. Made late, so that it takes no memory during tuning.
  progress.report("baseline", 0, 1);
  Side baseline(compile(model, target, false), threads);

  progress.report("measuring", 0, 1);
  const auto inputs = verify::InputGenerator(model.graph, options.seed + 2).next();
  const measure::LoadMonitor load;
  measure_interleaved({&baseline, best.get()}, inputs, 3, 5, cancelled);
  // At the largest size of free dimensions no reference was computed: there both programs must agree.
  auto comparison = at_samples;
  if (has_free_dims(model.graph))
    comparison =
        verify::worse(comparison, verify::compare(verify::output_names(model.graph), best->outputs, baseline.outputs));
  const double foreign_share = load.foreign_share();
  if (foreign_share > measure::kQuietShare)
    log_warning("other work took {:.0f} % of the machine while the result was measured", 100 * foreign_share);
  Side& returned = choose(baseline, *best, comparison, golden, model.graph, options, report);
  const bool keep = report.kept_original;
  const auto step_ms =
      step_times(keep ? std::vector<Side*>{&baseline} : std::vector<Side*>{&baseline, &returned}, inputs, cancelled);
  const auto& program = returned.executable.program();
  report.operators = operator_rows(model.graph, {baseline.executable.program(), step_ms.front()},
                                   {program, step_ms.back()}, work, keep ? nullptr : &tuned, threads);
  report.tasks = task_rows(work, tuned, threads);
  report.memory_before = memory_timeline(baseline.executable.program(), threads);
  report.memory_after = memory_timeline(program, threads);

  progress.report("writing", 0, 1);
  AtomicDirectory out(options.directory);
  runtime::save(program, out.file("model.rt"));
  report.best.load_ms = load_milliseconds(out.file("model.rt"), threads);
  ir::Graph portable = (keep || has_free_dims(model.graph) ? model.graph : *work.given).clone();
  if (!keep && has_free_dims(model.graph)) {  // the tuned graph is of one size
    passes::PassOptions as_asked;
    as_asked.disabled = options.disabled;
    passes::run_passes(portable, as_asked);
  }
  exporters::find("onnx").write(portable, out.file("model.onnx"));
  write_file(out.file("tuning.jsonl"), tuning_log(work, tuned, *codegen, tuning));
  report::write_report(report, out.path());
  auto card = run_card_of(json, options, model, database, report);
  card.versions["codegen"] = codegen->version();
  report::write_run_card(std::move(card), out.path());
  if (!options.emit_kernels.empty()) write_kernels(options.emit_kernels, work, tuned, *codegen);
  out.commit();
  Json document = report::to_json(report);
  document["output"] = options.directory;
  document["foreign_share"] = {{"tuning", tuned.foreign_share}, {"measuring", foreign_share}};
  document["seed"] = options.seed;
  document["compile_seconds"] = report.tuning_seconds + assembling_seconds;  // from the graph to a program that runs
  return document;
}

}  // namespace rooftune::pipeline
