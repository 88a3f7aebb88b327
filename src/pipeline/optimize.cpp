// The whole way: import → passes → tasks → tuning → program → verification → measurement → report. What is returned was
// verified against the model as given and measured beside it; where nothing is faster or right, that model is returned.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <random>

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
#include "pipeline/model.h"
#include "report/report.h"
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
  double tolerance = 1e-4;
  std::string directory, dump_passes, emit_kernels, data;
  bool dry_run = false, explain = false;
  std::set<std::string> disabled;
  uint64_t seed = 0;
};

Options parse_options(const Request& request) {
  Options o;
  o.budget = parse_duration(request.text("budget", "1m"), "--budget");
  o.tolerance = request.number("max_rel_error", 1e-4);
  if (!(o.tolerance > 0)) request.fail("max_rel_error", "a positive number");
  o.directory = request.text("output");
  o.dump_passes = request.text("dump_passes", "");
  o.emit_kernels = request.text("emit_kernels", "");
  o.data = request.text("data", "");
  o.dry_run = request.flag("dry_run");
  for (const auto& name : request.texts("disable_pass")) o.disabled.insert(name);
  for (const auto& precision : request.texts("precisions"))
    if (precision != "fp32" && precision != "f32")
      throw InputError("optimize: precision '{}' is not available; fp32 is", precision);
  const std::string target = request.text("target", "host");
  if (target != "host")
    throw InputError("optimize: code is generated for target host; '{}' can be estimated with analyze", target);
  o.seed = static_cast<uint64_t>(request.integer("seed", 0));
  if (o.seed == 0) o.seed = std::random_device{}() | 1u;
  return o;
}

/// One program under measurement.
struct Side {
  explicit Side(runtime::Program program, int threads)
      : executable(std::move(program)), context(executable.make_context(threads)) {}
  runtime::Executable executable;
  std::unique_ptr<runtime::Context> context;
  std::vector<ir::Tensor> outputs;
  std::vector<double> ms;
  void run(const std::vector<ir::Tensor>& inputs) { executable.run(*context, inputs, outputs); }
};

/// A B A B …, for `seconds` in all, at least `least` runs each.
void measure_interleaved(std::vector<Side*> sides, const std::vector<ir::Tensor>& inputs, double seconds, int least,
                         const Cancelled& cancelled) {
  for (auto* side : sides) side->run(inputs);
  const double start = measure::now_seconds();
  for (int round = 0;
       round < least || (measure::now_seconds() - start < seconds && round < 2000 && !cancelled.requested()); ++round) {
    for (auto* side : sides) {
      const double t = measure::now_seconds();
      side->run(inputs);
      side->ms.push_back((measure::now_seconds() - t) * 1e3);
    }
  }
}

report::Measurement measurement_of(const Side& side, const std::string& label, int threads) {
  report::Measurement m;
  m.label = label;
  const auto summary = measure::summarize(side.ms);
  m.p50_ms = summary.p50;
  m.p95_ms = summary.p95;
  m.min_ms = summary.min;
  m.runs = summary.count;
  const auto roof = roof_of(side.executable.program(), threads);
  m.roofline_ms = roof.total_ms;
  m.direct_roofline_ms = roof.direct_ms;
  return m;
}

std::vector<double> step_times(Side& side, const std::vector<ir::Tensor>& inputs, int runs) {
  const size_t n = side.executable.program().steps.size();
  std::vector<std::vector<double>> times(n);
  for (int r = 0; r < runs; ++r) {
    const auto steps = side.executable.profile(*side.context, inputs, side.outputs);
    for (size_t i = 0; i < n; ++i) times[i].push_back(steps[i].milliseconds);
  }
  std::vector<double> medians;
  for (auto& t : times) medians.push_back(measure::median(t));
  return medians;
}

/// Activations alive while each step runs.
std::vector<report::MemoryPoint> memory_timeline(const runtime::Program& program) {
  const size_t n = program.slots.size();
  std::vector<int> first(n, -1), last(n, -1);
  auto touch = [&](int slot, int at) {
    while (slot >= 0 && program.slots[static_cast<size_t>(slot)].alias_of >= 0)
      slot = program.slots[static_cast<size_t>(slot)].alias_of;
    if (slot < 0) return;
    if (first[static_cast<size_t>(slot)] < 0) first[static_cast<size_t>(slot)] = at;
    last[static_cast<size_t>(slot)] = at;
  };
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (const auto* list : {&program.steps[i].slots, &program.steps[i].inputs, &program.steps[i].outputs})
      for (int slot : *list) touch(slot, static_cast<int>(i));
  for (int slot : program.outputs) touch(slot, static_cast<int>(program.steps.size()) - 1);
  for (int slot : program.inputs) touch(slot, 0);
  std::vector<report::MemoryPoint> points;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    report::MemoryPoint point{program.steps[i].name, 0};
    for (size_t s = 0; s < n; ++s)
      if (program.slots[s].kind != runtime::Slot::Kind::constant && first[s] >= 0 && first[s] <= static_cast<int>(i) &&
          last[s] >= static_cast<int>(i))
        point.live_bytes += static_cast<int64_t>(program.slots[s].bytes);
    points.push_back(point);
  }
  return points;
}

double constant_mb(const runtime::Program& program) {
  double bytes = 0;
  for (const auto& slot : program.slots)
    if (slot.kind == runtime::Slot::Kind::constant) bytes += static_cast<double>(slot.constant.bytes());
  return bytes / 1e6;
}

/// Inputs and what the model as given makes of them, by references.
struct Golden {
  std::vector<ir::Tensor> inputs, outputs;
};

/// On fresh random inputs, and on the user's data where there are any.
std::vector<Golden> golden_runs(const ir::Graph& original, const Options& options, Progress& progress) {
  verify::InputGenerator generator(original, options.seed + 1);
  std::vector<std::vector<ir::Tensor>> inputs;
  for (int i = 0; i < kRandomSamples; ++i) inputs.push_back(generator.next());
  if (!options.data.empty())
    for (auto& sample : read_samples(original, options.data)) inputs.push_back(std::move(sample));
  std::vector<Golden> runs;
  for (auto& one : inputs) {
    progress.report("computing what the outputs should be", static_cast<double>(runs.size()),
                    static_cast<double>(inputs.size()));
    auto outputs = ops::evaluate(original, one);
    runs.push_back({std::move(one), std::move(outputs)});
  }
  return runs;
}

verify::Comparison golden_check(const std::vector<Golden>& runs, const ir::Graph& original, Side& candidate) {
  std::optional<verify::Comparison> worst;
  for (const auto& golden : runs) {
    candidate.run(golden.inputs);
    const auto comparison = verify::compare(verify::output_names(original), candidate.outputs, golden.outputs);
    worst = worst ? verify::worse(*worst, comparison) : comparison;
  }
  return *worst;
}

struct Verified {
  std::unique_ptr<Side> side;
  verify::Comparison comparison;
};

/// The program of what was tuned. What is right goes into the tuning database; where it is wrong, the database forgets
/// it, and the analytical choices take its place.
Verified verified_program(const tune::Workload& work, const kernel::Machine& machine, codegen::Codegen& codegen,
                          const tune::TuneOptions& tuning, tune::Tuned& tuned, const std::vector<Golden>& golden,
                          const ir::Graph& original, const verify::Tolerance& tolerance, Progress& progress) {
  constexpr double kTrialSeconds = 60;
  progress.report("assembling", 0, 1);
  auto program = tune::assemble(work, tuned.choices, codegen);
  const bool recalled =
      std::any_of(tuned.logs.begin(), tuned.logs.end(), [](const auto& log) { return log.from_database; });
  Verified result;
  if (!recalled || tune::survives(program, tuning.threads, golden[0].inputs, kTrialSeconds)) {
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

void fill_operators(report::Report& report, const runtime::Program& before, const std::vector<double>& before_ms,
                    const runtime::Program& after, const std::vector<double>& after_ms, const tune::Workload& work,
                    const std::vector<tune::Choice>& choices, int threads) {
  std::map<std::string, double> node_ms;
  for (size_t i = 0; i < before.steps.size(); ++i)
    for (const auto& node : before.steps[i].nodes) node_ms[node] = before_ms[i];
  std::map<std::string, std::string> op_of;
  for (ir::NodeId id : work.graph->order()) op_of[work.graph->node(id).name] = work.graph->node(id).op;
  const auto roof = roof_of(after, threads);
  for (size_t i = 0; i < after.steps.size(); ++i) {
    const auto& step = after.steps[i];
    report::Operator op;
    op.name = step.name;
    op.nodes = step.nodes;
    double total = 0;
    bool known = false;
    for (const auto& node : step.nodes) {
      op.op += (op.op.empty() ? "" : " + ") + op_of[node];
      if (const auto found = node_ms.find(node); found != node_ms.end()) total += found->second, known = true;
    }
    if (known) op.before_ms = total;
    op.after_ms = after_ms[i];
    op.flops = step.flops;
    op.bytes = step.bytes;
    op.roofline_ms = roof.step_ms[i];
    if (!step.why.empty()) op.note = "reference: " + step.why;
    else if (step.kind == runtime::Step::Kind::kernel)
      op.note = work.tasks[static_cast<size_t>(step.kernel)]
                    .variants[choices[static_cast<size_t>(step.kernel)].variant]
                    .algorithm;
    report.operators.push_back(op);
  }
}

void fill_tasks(report::Report& report, const tune::Workload& work, const tune::Tuned& tuned) {
  const auto spec = measure::host_spec(static_cast<int>(report.environment.threads));
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    const auto& task = work.tasks[t];
    report::Task row;
    row.name = task.name;
    row.kernel = kernel::print(task.variants[0].kernel);
    row.uses = static_cast<int64_t>(task.groups.size());
    row.trials = tuned.logs[t].trials;
    row.roofline_ms =
        std::max(kernel::cost(task.variants[tuned.choices[t].variant].kernel).operations / spec.peak("f32"),
                 spec.transfer_seconds(task.bytes)) *
        1e3;
    for (const auto& trial : tuned.logs[t].top) {
      report::TriedSchedule tried{trial.algorithm + "\n" + trial.schedule, {}, {}};
      if (trial.predicted_ms > 0) tried.predicted_ms = trial.predicted_ms;
      if (trial.measured_ms > 0) tried.measured_ms = trial.measured_ms;
      row.top5.push_back(tried);
    }
    report.tasks.push_back(row);
  }
}

std::string tuning_log(const tune::Workload& work, const tune::Tuned& tuned) {
  std::string lines;
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    const auto& variant = work.tasks[t].variants[tuned.choices[t].variant];
    Json line = {{"task", work.tasks[t].name},
                 {"key", work.tasks[t].key},
                 {"algorithm", variant.algorithm},
                 {"schedule", kernel::print(variant.kernel, tuned.choices[t].schedule)},
                 {"trials", tuned.logs[t].trials}};
    if (!tuned.logs[t].top.empty()) line["measured_ms"] = tuned.logs[t].top[0].measured_ms;
    lines += line.dump() + "\n";
  }
  return lines;
}

}  // namespace

Json optimize(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(json, "optimize",
                        {"model", "output", "dim", "target", "budget", "precisions", "max_rel_error", "disable_pass",
                         "dump_passes", "emit_kernels", "dry_run", "threads", "seed", "command", "database", "data"});
  const Options options = parse_options(request);
  const std::string started = utc_now();
  const Model model = load(request);
  require_static(model);
  if (model.program) throw InputError("optimize: {} is compiled already; give the model it was made from", model.path);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  auto codegen = codegen::cpu_codegen(target.cpu);

  report::Report report;
  report.model = std::filesystem::path(model.path).filename().string();
  report.created = started;
  const auto facts = estimate::characterize(model.graph);
  report.parameters = facts.parameters;
  report.flops = facts.flops;
  report.weight_bytes = facts.weight_bytes;
  auto& environment = report.environment;
  environment.cpu = target.host.model_name;
  environment.isa = target.cpu.name();
  environment.rooftune_version = version();
  environment.target = "host";
  environment.cores = target.host.cores;
  environment.threads = threads;
  progress.report("measuring this machine's peaks", 0, 1);
  const auto spec = measure::host_spec(threads);
  environment.peak_gflops = spec.peak("f32") / 1e9;
  environment.bandwidth_gbs = spec.memory_bandwidth / 1e9;

  progress.report("passes", 0, 1);
  ir::Graph graph = model.graph.clone();
  passes::PassOptions pass_options;
  pass_options.disabled = options.disabled;
  pass_options.dump_dir = options.dump_passes;
  for (const auto& record : passes::run_passes(graph, pass_options))
    report.passes.push_back({record.name, record.ms,
                             record.changed ? std::max(1, std::abs(record.nodes_before - record.nodes_after)) : 0,
                             fmt::format("{}", fmt::join(record.notes, "; "))});
  for (const auto& name : options.disabled) report.passes.push_back({name, 0, 0, "disabled by --disable-pass"});
  const auto work = tune::make_workload(std::move(graph), target.machine);
  Json document;
  if (options.dry_run) {
    Json tasks = Json::array();
    for (const auto& task : work.tasks) {
      Json algorithms = Json::array();
      for (const auto& variant : task.variants) algorithms.push_back(variant.algorithm);
      tasks.push_back({{"name", task.name},
                       {"uses", task.groups.size()},
                       {"algorithms", algorithms},
                       {"flops", task.direct_flops}});
    }
    return {{"model", report.model}, {"dry_run", true}, {"tasks", tasks}, {"groups", work.partition.groups.size()}};
  }

  const auto golden = golden_runs(model.graph, options, progress);
  // The baseline: the model as given, every operator by itself.
  progress.report("baseline", 0, 1);
  Side baseline(compile(model, target, false), threads);
  const double budget_start = measure::now_seconds();
  tune::TuneOptions tuning;
  tuning.budget_seconds = options.budget;
  tuning.threads = threads;
  tuning.seed = options.seed;
  tuning.progress = &progress;
  tuning.cancelled = &cancelled;
  tuning.machine = target.host.key();
  tuning.database = request.text("database", cache_directory() + "/tuning.sqlite");
  auto tuned = tune::tune(work, target.machine, *codegen, tuning);
  report.tuning_seconds = measure::now_seconds() - budget_start;
  verify::Tolerance tolerance;
  tolerance.relative = options.tolerance;
  const auto [best_side, comparison] =
      verified_program(work, target.machine, *codegen, tuning, tuned, golden, model.graph, tolerance, progress);
  Side& best = *best_side;
  report.verification.verified = comparison.agrees(tolerance);
  report.verification.max_rel_error = comparison.max_rel_error();
  report.verification.tolerance = options.tolerance;
  report.verification.samples = static_cast<int64_t>(golden.size());
  report.verification.against = fmt::format("the unoptimised graph on {} random inputs", kRandomSamples);
  if (!options.data.empty())
    report.verification.against += fmt::format(" and {} of {}", golden.size() - kRandomSamples,
                                               std::filesystem::path(options.data).filename().string());
  if (!report.verification.verified) report.verification.note = comparison.why_not(tolerance);

  progress.report("measuring", 0, 1);
  const auto inputs = verify::InputGenerator(model.graph, options.seed + 2).next();
  measure_interleaved({&baseline, &best}, inputs, 3, 5, cancelled);
  report.baseline = measurement_of(baseline, "the model as given, one kernel per operator, not tuned", threads);
  report.best = measurement_of(best, "optimised", threads);
  const bool faster = report.best.p50_ms <= report.baseline.p50_ms;
  report.candidates = {
      {"baseline", {}, report.baseline.p50_ms, 0.0, constant_mb(baseline.executable.program()), false, ""},
      {"optimised", {}, report.best.p50_ms, 0.0, constant_mb(best.executable.program()), false, ""}};
  const bool keep = !faster || !report.verification.verified;
  report.kept_original = keep;
  if (!report.verification.verified)
    report.reason = report.candidates[1].note = "not verified: " + report.verification.note;
  else if (!faster) report.reason = report.candidates[1].note = "measured slower than the model as given";
  report.candidates[keep ? 0 : 1].chosen = true;
  report.pareto = {keep ? "baseline" : "optimised"};
  const auto before_ms = step_times(baseline, inputs, 3), after_ms = step_times(best, inputs, 7);
  fill_operators(report, baseline.executable.program(), before_ms, best.executable.program(), after_ms, work,
                 tuned.choices, threads);
  fill_tasks(report, work, tuned);
  report.memory_before = memory_timeline(baseline.executable.program());
  report.memory_after = memory_timeline(best.executable.program());
  if (keep) {
    // The original is itself checked: it is what is handed back.
    const auto original = golden_check(golden, model.graph, baseline);
    report.verification.verified = original.agrees(tolerance);
    report.verification.max_rel_error = original.max_rel_error();
    report.best = report.baseline;
  }

  progress.report("writing", 0, 1);
  AtomicDirectory out(options.directory);
  runtime::save(keep ? baseline.executable.program() : best.executable.program(), out.file("model.rt"));
  exporters::find("onnx").write(keep ? model.graph : *work.graph, out.file("model.onnx"));
  write_file(out.file("tuning.jsonl"), tuning_log(work, tuned));
  report::write_report(report, out.path());
  report::RunCard card;
  card.command = request.text("command", "rooftune optimize " + model.path + " -o " + options.directory);
  card.started = started;
  card.finished = utc_now();
  card.inputs[model.path] = sha256_file(model.path);
  if (!options.data.empty()) card.inputs[options.data] = sha256_file(options.data);
  card.versions = {{"rooftune", version()}, {"codegen", codegen->version()}};
  card.seeds = {{"seed", static_cast<int64_t>(options.seed)}};
  card.options = {{"budget_seconds", fmt::format("{}", options.budget)},
                  {"max_rel_error", fmt::format("{}", options.tolerance)},
                  {"threads", std::to_string(threads)},
                  {"precisions", "fp32"},
                  {"target", "host"},
                  {"disabled_passes", fmt::format("{}", fmt::join(options.disabled, ","))}};
  card.environment = environment;
  report::write_run_card(card, out.path());
  if (!options.emit_kernels.empty()) {
    AtomicDirectory kernels(options.emit_kernels);
    for (size_t t = 0; t < work.tasks.size(); ++t) {
      const auto& variant = work.tasks[t].variants[tuned.choices[t].variant];
      std::string text = "; " + work.tasks[t].name + "\n" + kernel::print(variant.kernel) + "\n" +
                         kernel::print(variant.kernel, tuned.choices[t].schedule) + "\n" +
                         codegen->dump({&variant.kernel, &tuned.choices[t].schedule}, "llvm");
      write_file(kernels.file(fmt::format("{:03}.txt", t)), text);
    }
    kernels.commit();
  }
  out.commit();
  document = report::to_json(report);
  document["verified"] = report.verification.verified;
  document["output"] = options.directory;
  return document;
}

}  // namespace rooftune::pipeline
