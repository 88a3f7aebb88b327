// bench: engines side by side on one model. Each has the model loaded all the time (rivals in processes of their own);
// bursts go round A B C, B C A, …, so that drift of the machine hits all alike.
#include <algorithm>
#include <fstream>

#include "base/files.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "measure/timing.h"
#include "ops/op.h"
#include "pipeline/commands.h"
#include "pipeline/free_dims.h"
#include "pipeline/model.h"
#include "pipeline/worker.h"
#include "verify/compare.h"

namespace rooftune::pipeline {
namespace {

constexpr double kBurst = 0.4;  // seconds
constexpr int kLeastRounds = 3;
constexpr const char* kSelf = "rooftune";

/// From now on the process's peak counts from what is resident now. Where the kernel does not let us, it still counts
/// what was before, which makes our own number larger, never smaller.
void restart_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

double peak_memory_mb() {
  constexpr std::string_view key = "VmHWM:";
  const std::string status = read_file("/proc/self/status");
  const auto at = status.find(key);
  return at == std::string::npos ? 0 : std::stod(status.substr(at + key.size())) / 1024;
}

/// One engine under measurement: ourselves (no worker) or a rival.
struct Contender {
  std::string engine;
  std::unique_ptr<Worker> worker;
  std::string error;  // why it does not take part
  double load_ms = 0, peak_mb = 0;
  std::string peak_of = "a process of its own";
  std::vector<double> ms;
  std::vector<ir::Tensor> outputs;
};

struct Match {
  const Model& model;
  const Precision& asked;  // of all engines …
  const Precision& held;   // … and what the numbers are held in: a model may be in 16 bits as it is
  const std::vector<ir::Tensor>& inputs;
  const runtime::Executable& executable;
  runtime::Context& context;
  int threads;
  const Cancelled& cancelled;
};

std::vector<std::string> engines_of(const Request& request) {
  auto engines = request.words("engines");
  if (engines.empty()) engines = {kSelf};
  std::vector<std::string> known = {kSelf};
  for (const auto& rival : rivals()) known.push_back(rival.engine);
  for (size_t i = 0; i < engines.size(); ++i) {
    if (std::find(known.begin(), known.end(), engines[i]) == known.end())
      throw InputError("bench: engine '{}' is not known; there are {}", engines[i], fmt::join(known, ", "));
    if (std::find(engines.begin(), engines.begin() + static_cast<std::ptrdiff_t>(i), engines[i]) !=
        engines.begin() + static_cast<std::ptrdiff_t>(i))
      throw InputError("bench: engine '{}' is given twice", engines[i]);
  }
  return engines;
}

/// Ourselves, who are in this process: from loading to the first run, before anything else (the references) is done here.
Contender enter_self(const Match& match, double load_ms) {
  Contender one;
  one.engine = kSelf;
  one.load_ms = load_ms;
  match.executable.run(match.context, match.inputs, one.outputs);
  one.peak_mb = peak_memory_mb();
  one.peak_of = match.model.program ? "this process from loading to the first run"
                                    : "this process from loading to the first run, compiling included";
  return one;
}

Contender enter(const std::string& engine, const Match& match, const std::string& folder) {
  Contender one;
  one.engine = engine;
  const auto rival = std::find_if(rivals().begin(), rivals().end(), [&](const Rival& r) { return r.engine == engine; });
  if (match.model.program)
    throw InputError("bench: engine '{}' cannot read {}; give the .onnx", engine, match.model.path);
  std::vector<std::string> names;
  for (ir::ValueId v : match.model.graph.inputs) names.push_back(match.model.graph.value(v).name);
  try {
    one.worker = std::make_unique<Worker>(*rival, match.model.path, match.asked.name, match.threads, names,
                                          match.inputs, folder, match.cancelled);
    one.load_ms = json_field<double>(one.worker->info(), "load_s", engine) * 1e3;
    one.outputs = one.worker->outputs(verify::output_names(match.model.graph));
  } catch (const InputError& e) {  // the others go on without it
    one.error = e.what();
  }
  return one;
}

void burst(Contender& one, const Match& match, double seconds) {
  if (one.worker) {
    const Json reply = one.worker->burst(seconds, match.cancelled);
    const auto times = json_field<std::vector<double>>(reply, "times_ms", one.engine);
    one.ms.insert(one.ms.end(), times.begin(), times.end());
    one.peak_mb = json_field<double>(reply, "peak_mb", one.engine);
    return;
  }
  std::vector<ir::Tensor> outputs;
  measure::TimingOptions options;
  options.min_seconds = options.max_seconds = seconds;
  options.min_runs = 1;
  options.min_sample_seconds = 0;
  options.warmup_seconds = 0;
  options.cancelled = &match.cancelled;
  const auto timing = measure::measure([&] { match.executable.run(match.context, match.inputs, outputs); }, options);
  for (double s : timing.seconds) one.ms.push_back(s * 1e3);
}

Json row_of(const Contender& one, const Match& match, const Roof& roof, const std::vector<ir::Tensor>& expected,
            bool times) {
  Json row = {{"engine", one.engine}, {"precision", match.held.name}, {"threads", match.threads}};
  if (!one.error.empty()) {
    row["error"] = one.error;
    return row;
  }
  const auto summary = measure::summarize(one.ms);
  row.update({{"load_ms", one.load_ms},
              {"p50_ms", summary.p50},
              {"p95_ms", summary.p95},
              {"min_ms", summary.min},
              {"runs", summary.count},
              {"peak_memory_mb", one.peak_mb},
              {"peak_memory_of", one.peak_of},
              {"roofline_ms", roof.total_ms},
              {"direct_roofline_ms", roof.direct_ms},
              {"roofline_fraction", roof.total_ms / summary.p50}});
  if (one.worker) row["version"] = one.worker->info().value("version", "");
  row["max_rel_error"] =
      verify::compare(verify::output_names(match.model.graph), one.outputs, expected).max_rel_error();
  if (times) row["times_ms"] = one.ms;
  return row;
}

}  // namespace

Json bench(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(
      json, "bench",
      {"model", "engines", "precision", "target", "input", "duration", "times", "dim", "threads", "seed", "backend"});
  const auto asked = parse_precision("bench", request.text("precision", "fp32"));
  const std::string target_name = request.text("target", "host");
  if (target_name != "host") throw InputError("bench: target '{}' cannot be measured here; host can", target_name);
  const auto engines = engines_of(request);
  const double duration = parse_duration(request.text("duration", "2s"), "--duration");
  restart_peak_memory();
  const Model model = load(request);
  require_bounded(model);
  if (has_free_dims(model.graph))
    throw InputError(
        "bench: engines are compared at one size: give the free dimensions of {} as numbers (--dim name=n)",
        model.program ? "the model that " + model.path + " was made from" : model.path);
  const auto target = host_target(request);
  const uint64_t seed = request.seed();
  const auto inputs = read_inputs(model.graph, request.texts("input"), seed);
  progress.report("compiling", 0, 0);
  const double start = measure::now_seconds();
  const runtime::Executable executable(compile(model, target, true, asked), target.machine.threads);
  auto context = executable.make_context(target.machine.threads);
  const double own_load_ms = model.load_ms + (measure::now_seconds() - start) * 1e3;
  const Precision held = asked.dtype == ir::DType::f32 ? precision_of(model.graph) : asked;
  const Match match{model, asked, held, inputs, executable, *context, target.machine.threads, cancelled};
  Contender self = enter_self(match, own_load_ms);
  const Roof roof = roof_of(executable.program(), target.machine.threads);
  progress.report("computing what the outputs should be", 0, 0);
  const auto expected = ops::evaluate(model.graph, inputs);

  const TempDirectory folder;
  std::vector<Contender> contenders;
  for (const auto& engine : engines) {
    progress.report("loading " + engine, 0, 0);
    contenders.push_back(engine == kSelf ? std::move(self) : enter(engine, match, folder.path()));
  }
  std::vector<Contender*> order;
  for (auto& one : contenders)
    if (one.error.empty()) order.push_back(&one);
  if (order.empty()) throw InputError("bench: {}", contenders.front().error);
  const int rounds = order.size() < 2 ? 1 : std::max(kLeastRounds, static_cast<int>(duration / kBurst));
  for (int round = 0; round < rounds && !(round > 0 && cancelled.requested()); ++round) {
    for (auto* one : order) {
      progress.report("measuring " + one->engine, round, rounds);
      burst(*one, match, duration / rounds);
    }
    std::rotate(order.begin(), order.begin() + 1, order.end());
  }
  Json result = {{"model", model.path}, {"seed", seed}, {"results", Json::array()}};
  for (const auto& one : contenders)
    result["results"].push_back(row_of(one, match, roof, expected, request.flag("times")));
  return result;
}

}  // namespace rooftune::pipeline
