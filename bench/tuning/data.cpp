// Measures schedules that are drawn uniformly: at every decision all values are equally likely.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "bench/tuning/tuning_bench.h"
#include "estimate/features.h"
#include "measure/load.h"
#include "measure/peaks.h"
#include "passes/pass.h"
#include "pipeline/free_dims.h"
#include "pipeline/model.h"
#include "tune/task_search.h"

namespace rooftune::bench {

std::vector<Row> read_rows(const std::vector<std::string>& files) {
  std::vector<Row> rows;
  for (const auto& file : files) {
    std::ifstream lines(file);
    if (!lines) throw InputError("cannot read {}", file);
    size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
      const std::string source = fmt::format("{}:{}", file, ++number);
      const Json json = parse_json(line, source);
      Row row{tune::record_from_json(json, source), json.value("model", ""), json.value("flops", 0.0),
              json.value("again_ms", 0.0)};
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

Prepared::Prepared(const std::string& path, const pipeline::HostTarget& target)
    : work(pipeline::workload_of(
          pipeline::load(path).graph, [](ir::Graph& graph) { passes::run_passes(graph); }, target)) {
  guidance.preset.strategy = "random";
  guidance.preset.model = tune::Guide::none;
  guidance.preset.pool = 1;
  guidance.target = {target.machine, measure::host_spec(target.machine.threads),
                     static_cast<double>(tune::weight_bytes(work))};
}

pipeline::HostTarget target_of(const Arguments& arguments) {
  const auto threads = static_cast<int64_t>(arguments.number("threads", 0));
  return pipeline::host_target(pipeline::Request({{"threads", threads}}, "tuning_bench", {"threads"}));
}

estimate::Sample sample_of(const Row& row) {
  const auto& r = row.record;
  return {{r.features, r.roofline_ms, r.rough_ms}, r.measured_ms, r.key.kernel};
}

namespace {

Json line_of(const Row& row, const std::string& task) {
  Json json = tune::to_json(row.record);
  json["model"] = row.model;
  json["task"] = task;
  json["flops"] = row.flops;
  if (row.again_ms > 0) json["again_ms"] = row.again_ms;
  return json;
}

/// Of every kernel some schedules, twice: what disturbs the machine has gone by the second time, or comes only then.
void collect(const std::string& path, const pipeline::HostTarget& target, codegen::Codegen& codegen, size_t per_task,
             uint64_t seed, std::ofstream& out) {
  constexpr size_t kBatch = 8;
  const Prepared prepared(path, target);
  const auto& tasks = prepared.work.tasks;
  const int threads = target.machine.threads;
  tune::ProcessMeasurer source(prepared.work, codegen, {.threads = threads, .l3 = target.machine.l3, .seed = seed});
  struct Drawn {
    size_t task;
    std::vector<tune::Candidate> candidates;
    std::vector<tune::Measured> results[2];
  };
  std::vector<Drawn> batches;
  const double begin = source.seconds();
  for (size_t t = 0; t < tasks.size(); ++t) {
    tune::TaskSearch search(tasks[t], prepared.guidance, seed);
    for (size_t drawn = 0; drawn < per_task;) {
      auto candidates = search.propose(std::min(kBatch, per_task - drawn));
      if (candidates.empty()) break;
      drawn += candidates.size();
      batches.push_back({t, std::move(candidates), {}});
    }
    for (const auto& [why, times] : search.illegal())
      fmt::print(stderr, "{}: {} times {}\n", tasks[t].name, times, why);
  }
  for (int pass = 0; pass < 2; ++pass) {
    for (auto& drawn : batches) {
      tune::Batch batch;
      batch.task = drawn.task;
      batch.thorough = true;
      for (const auto& c : drawn.candidates) batch.choices.push_back(c.choice);
      drawn.results[pass] = source.measure(batch);
    }
    fmt::print(stderr, "{}: {} batches, {:.0f} s\n", path, batches.size(), source.seconds() - begin);
  }
  for (const auto& drawn : batches) {
    const auto& task = tasks[drawn.task];
    for (size_t i = 0; i < drawn.candidates.size(); ++i) {
      if (!drawn.results[0][i].timed() || !drawn.results[1][i].timed()) continue;
      const auto& c = drawn.candidates[i];
      const auto& variant = task.variants[c.choice.variant];
      // Other work only ever adds time: the lesser of the two is nearer the truth.
      const double first = drawn.results[0][i].ms, second = drawn.results[1][i].ms;
      const Row row{{{task.key, target.host.key(), threads, codegen.version()},
                     variant.algorithm,
                     kernel::print(variant.kernel, c.choice.schedule),
                     tune::print_decisions(c.point),
                     std::min(first, second),
                     c.features.roofline_ms,
                     c.features.rough_ms,
                     estimate::feature_version(),
                     c.features.values},
                    std::filesystem::path(path).stem().string(),
                    task.direct_flops,
                    std::max(first, second)};
      out << line_of(row, task.name).dump() << "\n";
    }
  }
  out.flush();
}

}  // namespace

int collect(const Arguments& arguments) {
  const auto target = target_of(arguments);
  const auto codegen = target.make_codegen();
  std::ofstream out(arguments.text("out", "data.jsonl"), std::ios::app);
  for (const auto& path : arguments.words)
    collect(path, target, *codegen, static_cast<size_t>(arguments.number("per-task", 24)),
            static_cast<uint64_t>(arguments.number("seed", 1)), out);
  return 0;
}

int refresh(const Arguments& arguments) {
  const auto target = target_of(arguments);
  const auto rows = read_rows({arguments.text("data", "data.jsonl")});
  std::ofstream out(arguments.text("out", "refreshed.jsonl"));
  size_t kept = 0;
  double seconds = 0;
  for (const auto& path : arguments.words) {
    const Prepared prepared(path, target);
    const auto name = std::filesystem::path(path).stem().string();
    for (auto row : rows) {
      if (row.model != name || row.record.key.threads != target.machine.threads) continue;
      for (const auto& task : prepared.work.tasks) {
        if (task.key != row.record.key.kernel) continue;
        for (const auto& variant : task.variants) {
          if (variant.algorithm != row.record.algorithm) continue;
          const auto schedule = kernel::parse_schedule(variant.kernel, row.record.schedule);
          const estimate::KernelWork work(variant.kernel, prepared.guidance.target.spec);
          const double begin = measure::now_seconds();
          const auto f = estimate::features(variant.kernel, schedule, prepared.guidance.target, work);
          seconds += measure::now_seconds() - begin;
          row.record.features = f.values;
          row.record.roofline_ms = f.roofline_ms;
          row.record.rough_ms = f.rough_ms;
          row.record.feature_version = estimate::feature_version();
          out << line_of(row, task.name).dump() << "\n";
          ++kept;
        }
      }
    }
  }
  fmt::print("{} of {} rows; features take {:.3f} ms\n", kept, rows.size(), 1e3 * seconds / static_cast<double>(kept));
  return 0;
}

}  // namespace rooftune::bench
