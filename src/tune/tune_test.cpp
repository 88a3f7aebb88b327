// The tuner with synthetic measurements (what it decides), and with small real kernels (that it measures and checks).
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "kernel/rewrites.h"
#include "ops/op.h"
#include "search/sampler.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"
#include "tune/database.h"
#include "tune/loop.h"
#include "tune/predict.h"
#include "tune/task_bench.h"
#include "tune/tuner.h"
#include "tune/whole_model.h"

namespace rooftune::tune {
namespace {

kernel::Machine small_machine(int threads = 1) {
  kernel::Machine machine;
  machine.threads = threads;
  return machine;
}

Task task_of(kernel::Kernel kernel, size_t occurrences = 1) {
  Task task;
  task.name = kernel.name;
  task.key = kernel::hash(kernel);
  const auto cost = kernel::cost(kernel);
  task.direct_flops = cost.operations;
  task.bytes = cost.compulsory_bytes;
  kernel::normalise(kernel, small_machine());
  task.variants.push_back({"direct", std::move(kernel)});
  for (size_t g = 0; g < occurrences; ++g) task.groups.push_back(g);
  return task;
}

/// Times from a formula of the schedule; every measurement takes a tenth of a second on its clock.
class Synthetic : public MeasurementSource {
 public:
  using Formula = std::function<Measured(size_t task, const Choice&)>;
  explicit Synthetic(Formula formula) : formula_(std::move(formula)) {}
  double seconds() override { return now; }
  std::vector<Measured> measure(const Batch& batch) override {
    std::vector<Measured> results;
    batches.push_back(batch);
    for (const auto& choice : batch.choices) {
      if (now + 0.1 > batch.deadline) {
        results.emplace_back();
        continue;
      }
      now += 0.1;
      results.push_back(formula_(batch.task, choice));
      asked.push_back(batch.task);
      if (cancel_after > 0 && static_cast<int>(asked.size()) >= cancel_after) cancelled.request();
    }
    if (now + 0.1 > batch.deadline) now = batch.deadline;
    return results;
  }
  double now = 100;
  std::vector<size_t> asked;
  std::vector<Batch> batches;
  int cancel_after = 0;
  Cancelled cancelled;

 private:
  Formula formula_;
};

Measured took(double ms) { return {ms, true, ""}; }

/// A number that depends on the schedule alone: 1 … 2, the start's is in between.
double rugged(const Task& task, const Choice& choice) {
  const auto& k = task.variants[choice.variant].kernel;
  return 1 + static_cast<double>(kernel::hash(k, choice.schedule) % 1000) / 1000;
}

LoopInput input_for(const std::vector<Task>& tasks, double budget, uint64_t seed = 1) {
  LoopInput input;
  input.tasks = &tasks;
  input.machine = small_machine();
  for (const auto& task : tasks) input.start.push_back(first_choice(task, input.machine));
  input.deadline = 100 + budget;
  input.seed = seed;
  return input;
}

TEST(Loop, FindsFasterSchedulesAndRepeatsForASeed) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128)), task_of(testing::convolution({}))};
  const auto run = [&](uint64_t seed) {
    Synthetic source([&](size_t t, const Choice& c) { return took(rugged(tasks[t], c)); });
    return tune_loop(input_for(tasks, 30, seed), source);
  };
  const auto a = run(1), b = run(1);
  for (size_t t = 0; t < tasks.size(); ++t) {
    EXPECT_EQ(a.choices[t].schedule, b.choices[t].schedule);
    EXPECT_LE(a.ms[t], a.start_ms[t]);
    EXPECT_GT(a.logs[t].trials, 20);
    ASSERT_EQ(a.logs[t].top.size(), 5u);
    for (size_t i = 1; i < 5; ++i) EXPECT_LE(a.logs[t].top[i - 1].measured_ms, a.logs[t].top[i].measured_ms);
    EXPECT_LT(a.ms[t], 1.05) << "the best of hundreds should be near 1";
  }
}

TEST(Loop, NeverGoesBeyondItsBudget) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  for (double budget : {0.0, 0.15, 1.0, 7.77}) {
    Synthetic source([&](size_t t, const Choice& c) { return took(rugged(tasks[t], c)); });
    tune_loop(input_for(tasks, budget), source);
    EXPECT_LE(source.now, 100 + budget + 1e-9);
    EXPECT_LE(source.asked.size(), static_cast<size_t>(budget / 0.1 + 1e-6));
  }
}

TEST(Loop, TheMostExpensiveTaskComesFirstAndOftenOnesGetMore) {
  const std::vector<Task> tasks = {task_of(testing::gemm(8, 64, 64), 1), task_of(testing::gemm(256, 512, 512), 1),
                                   task_of(testing::gemm(64, 256, 128), 20)};
  Synthetic source([&](size_t t, const Choice& c) {
    return took((t == 1 ? 3 : t == 2 ? 1 : 0.001) * rugged(tasks[t], c));
  });
  auto input = input_for(tasks, 60);
  input.start_ms = {0.001, 3, 1};
  tune_loop(input, source);
  EXPECT_EQ(source.asked.front(), 2u);
  const auto share = [&](size_t t) { return std::count(source.asked.begin(), source.asked.end(), t); };
  EXPECT_GT(share(2), share(1));
  EXPECT_GT(share(1), share(0));
}

TEST(Loop, KeepsTheStartWhereNothingIsFasterOrRight) {
  const std::vector<Task> tasks = {task_of(testing::softmax(64, 128)), task_of(testing::gemm(96, 256, 128))};
  const auto input = input_for(tasks, 20);
  Synthetic source([&](size_t t, const Choice& c) -> Measured {
    if (c.schedule == input.start[t].schedule) return took(1);
    if (t == 0) return took(0.995);  // within the noise
    return {0.1, false, "its result is not that of the first choice"};
  });
  const auto out = tune_loop(input, source);
  for (size_t t = 0; t < 2; ++t) EXPECT_EQ(out.choices[t].schedule, input.start[t].schedule);
  EXPECT_DOUBLE_EQ(out.ms[1], 1);
  EXPECT_TRUE(out.logs[0].rejected.empty());
  ASSERT_EQ(out.logs[1].rejected.size(), 1u);  // one reason, however often
  EXPECT_NE(out.logs[1].rejected[0].find(": its result is not that of the first choice"), std::string::npos);
}

TEST(Loop, UncheckedResultsAreNotTaken) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  const auto input = input_for(tasks, 10);
  Synthetic source([&](size_t, const Choice& c) -> Measured {
    return {c.schedule == input.start[0].schedule ? 1 : 0.5, false, ""};
  });
  EXPECT_EQ(tune_loop(input, source).choices[0].schedule, input.start[0].schedule);
}

bool same(const Choice& a, const Choice& b) { return a.variant == b.variant && a.schedule == b.schedule; }

TEST(Loop, CancellingKeepsWhatWasFound) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  auto input = input_for(tasks, 1000);
  const auto formula = [&](const Choice& c) { return same(c, input.start[0]) ? 1.9 : rugged(tasks[0], c); };
  Synthetic source([&](size_t, const Choice& c) { return took(formula(c)); });
  source.cancel_after = 30;
  input.cancelled = &source.cancelled;
  const auto out = tune_loop(input, source);
  EXPECT_LT(source.asked.size(), 45u);
  EXPECT_LT(out.ms[0], out.start_ms[0]);
  EXPECT_NEAR(out.ms[0], formula(out.choices[0]), 1e-12) << "what was measured is what is handed back";
}

TEST(Loop, EveryBatchHoldsTheIncumbent) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  Synthetic source([&](size_t t, const Choice& c) { return took(rugged(tasks[t], c)); });
  const auto input = input_for(tasks, 30);
  const auto out = tune_loop(input, source);
  EXPECT_TRUE(source.batches[0].has_reference);
  Choice best = input.start[0];
  for (size_t b = 0; b < source.batches.size(); ++b) {
    const auto& batch = source.batches[b];
    EXPECT_TRUE(same(batch.choices[batch.incumbent], best)) << "batch " << b;
    // The one after a win is the duel, whose winner stays.
    for (const auto& c : batch.choices)
      if (b > 0 && batch.choices.size() <= 3 && rugged(tasks[0], c) < 0.98 * rugged(tasks[0], best)) best = c;
  }
  EXPECT_TRUE(same(out.choices[0], best));
}

/// The machine's speed changes from batch to batch, by up to a factor of three.
TEST(Loop, AMachineThatIsSlowForAWhileFavoursNobody) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  const auto input = input_for(tasks, 60);
  int in_batch = 0;
  size_t batch = 0;
  Synthetic* self = nullptr;
  Synthetic source([&](size_t t, const Choice& c) {
    if (self->batches.size() != batch) batch = self->batches.size(), in_batch = 0;
    ++in_batch;
    const double slow = batch == 1 ? 3 : 1 + static_cast<double>(batch * 7919 % 100) / 50;
    // The start is the best there is: it was measured while the machine was slow.
    return took(slow * (same(c, input.start[t]) ? 1 : 1.05 + 0.1 * rugged(tasks[t], c)));
  });
  self = &source;
  const auto out = tune_loop(input, source);
  EXPECT_GT(out.logs[0].trials, 50);
  EXPECT_EQ(out.choices[0].schedule, input.start[0].schedule);
}

/// One measurement in thirty comes out far too low: among hundreds there are some, and none is a reason to leave the start.
TEST(Loop, LuckIsNotTaken) {
  int kept = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
    const auto input = input_for(tasks, 20, seed);
    search::Random random(seed);
    Synthetic source([&](size_t, const Choice& c) {
      if (same(c, input.start[0])) return took(1);
      return took(1.04 * (random.uniform() < 1.0 / 30 ? 0.8 : 1));
    });
    kept += same(tune_loop(input, source).choices[0], input.start[0]);
  }
  EXPECT_GE(kept, 12) << "of 20";
}

/// What the direct algorithm computes under its analytical schedule is right; a start that says otherwise goes.
TEST(Loop, AWrongStartIsReplaced) {
  const std::vector<Task> tasks = {task_of(testing::gemm(96, 256, 128))};
  auto input = input_for(tasks, 20);
  const Choice analytical = input.start[0];
  input.start[0].schedule = TaskSearch(tasks[0], input.machine, 9).propose(1).at(0).choice.schedule;
  const Choice wrong = input.start[0];
  Synthetic source([&](size_t t, const Choice& c) -> Measured {
    if (same(c, wrong)) return {0.1, false, "its result is not that of the first choice"};
    return took(rugged(tasks[t], c));
  });
  const auto out = tune_loop(input, source);
  EXPECT_TRUE(same(source.batches[0].choices[0], analytical)) << "the reference is not what the database says";
  EXPECT_TRUE(out.refuted[0]);
  EXPECT_FALSE(same(out.choices[0], wrong));
  EXPECT_DOUBLE_EQ(out.start_ms[0], rugged(tasks[0], analytical));
  EXPECT_LE(out.ms[0], out.start_ms[0]);
  for (size_t b = 1; b < source.batches.size(); ++b)
    for (const auto& c : source.batches[b].choices) EXPECT_FALSE(same(c, wrong));
}

TEST(Loop, ATaskWithoutDecisionsEndsTheLoop) {
  auto kernel = testing::gemm(1, 1, 1, false);
  const std::vector<Task> tasks = {task_of(std::move(kernel))};
  Synthetic source([&](size_t, const Choice&) { return took(1); });
  const auto out = tune_loop(input_for(tasks, 1e6), source);
  EXPECT_LT(source.asked.size(), 500u);
  EXPECT_EQ(out.choices.size(), 1u);
}

TEST(TaskSearch, ProposesLegalSchedulesOnce) {
  for (auto kernel :
       {testing::attention(2, 32, 32, 16, true), testing::convolution({}, true), testing::layer_norm(32, 96)}) {
    const Task task = task_of(std::move(kernel));
    const auto& k = task.variants[0].kernel;
    TaskSearch search(task, small_machine(2), 5);
    std::set<uint64_t> seen;
    for (int round = 0; round < 6; ++round) {
      for (const auto& c : search.propose(6)) {
        EXPECT_EQ(kernel::why_illegal(k, c.choice.schedule), "");
        EXPECT_TRUE(seen.insert(kernel::hash(k, c.choice.schedule)).second);
        EXPECT_GT(c.predicted_ms, 0);
        EXPECT_EQ(kernel::make_schedule(k, small_machine(2), c.point), c.choice.schedule);
        search.tell(c, took(rugged(task, c.choice)));
      }
    }
    EXPECT_GT(seen.size(), 3u);
  }
}

TEST(Predict, RanksTilesAndThreads) {
  const Task task = task_of(testing::gemm(256, 512, 512));
  const auto& k = task.variants[0].kernel;
  const auto machine = small_machine();
  const double start = predict_ms(k, kernel::make_schedule(k, machine), machine);
  kernel::Point worst;
  for (const auto& d : kernel::decisions(k, machine))
    if (d.name.ends_with(".rows") || d.name.ends_with(".vectors")) worst[d.name] = 1;
  EXPECT_GT(predict_ms(k, kernel::make_schedule(k, machine, worst), machine), 2 * start);
  const auto four = small_machine(4);
  EXPECT_LT(predict_ms(k, kernel::make_schedule(k, four), four), 0.5 * start);
  EXPECT_GT(start, 256.0 * 512 * 512 / 16 / 3e9 * 1e3 * 0.9) << "no faster than its multiply-adds";
}

// ---------------------------------------------------------------------------------------------------- database
Entry entry(uint64_t kernel, const std::string& machine = "zen4", int threads = 4) {
  return {{kernel, machine, threads, "llvm19-1"}, "direct", "y: n/48 m/8:p\n\"quoted\"", 0.25, 0.3};
}

TEST(Database, KeepsWhatWasPut) {
  TempDirectory folder;
  const std::string path = folder.file("tune.db");
  {
    Database db(path);
    db.put(entry(~uint64_t{0}));
    db.put(entry(7));
    auto better = entry(7);
    better.measured_ms = 0.1;
    db.put(better);
  }
  Database a(path), b(path);
  EXPECT_EQ(a.find(entry(7).key)->measured_ms, 0.1);
  EXPECT_EQ(a.find(entry(~uint64_t{0}).key), entry(~uint64_t{0}));
  EXPECT_FALSE(a.find(entry(7, "zen3").key));
  EXPECT_FALSE(a.find(entry(7, "zen4", 5).key));
  b.put(entry(8));
  EXPECT_EQ(a.all().size(), 3u);
}

TEST(Database, ManyProcessesWriteAtOnce) {
  TempDirectory folder;
  const std::string path = folder.file("tune.db");
  {
    Database make(path);
  }
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    children.push_back(fork());
    if (children.back() == 0) {
      try {
        Database db(path);
        for (int i = 0; i < 50; ++i) db.put(entry(static_cast<uint64_t>(c * 100 + i)));
        _exit(0);
      } catch (...) {
        _exit(1);
      }
    }
  }
  for (pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(Database(path).all().size(), 200u);
}

template <typename E>
std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

TEST(Database, RefusesWhatIsNone) {
  TempDirectory folder;
  const std::string text = folder.file("notes.txt"), foreign = folder.file("foreign.db");
  std::ofstream(text) << std::string(5000, 'x');
  EXPECT_NE(message_of<InputError>([&] { Database db(text); }).find(text), std::string::npos);
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(foreign.c_str(), &handle), SQLITE_OK);
  sqlite3_exec(handle, "CREATE TABLE t (a)", nullptr, nullptr, nullptr);
  sqlite3_close(handle);
  EXPECT_NE(message_of<InputError>([&] { Database db(foreign); }).find("no tuning database"), std::string::npos);
  EXPECT_NE(
      message_of<EnvironmentError>([&] { Database db("/nonexistent/folder/t.db"); }).find("/nonexistent/folder/t.db"),
      std::string::npos);
}

TEST(Database, ExportsAndImports) {
  TempDirectory folder;
  Database a(folder.file("a.db")), b(folder.file("b.db"));
  for (uint64_t k : {1, 2, 3}) a.put(entry(k));
  const std::string lines = folder.file("all.jsonl");
  a.export_jsonl(lines);
  EXPECT_EQ(b.import_jsonl(lines), 3u);
  EXPECT_EQ(a.all(), b.all());
  std::ofstream(lines, std::ios::app) << "\n{\"kernel\": \"zz\"}\n";
  Database c(folder.file("c.db"));
  EXPECT_NE(message_of<InputError>([&] { c.import_jsonl(lines); }).find("all.jsonl:5"), std::string::npos);
  EXPECT_TRUE(c.all().empty());
}

// ------------------------------------------------------------------------------------------------ real kernels
/// Two products and a softmax.
Workload small_workload(const kernel::Machine& machine) {
  ir::Graph graph;
  graph.opsets[""] = 18;
  auto add = [&](const std::string& op, std::vector<ir::ValueId> inputs, const std::vector<int64_t>& shape) {
    ir::Node node{.op = op, .since_version = 18, .inputs = std::move(inputs)};
    const auto out = graph.add_value("", ir::Type::tensor(ir::DType::f32, ir::to_shape(shape)));
    node.outputs = {out};
    graph.add_node(std::move(node));
    return out;
  };
  auto weight = [&](const std::vector<int64_t>& shape) {
    ir::Tensor t(ir::DType::f32, shape);
    for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, std::sin(static_cast<double>(i) * 12.9898) * 0.1);
    return graph.add_constant("w", std::move(t));
  };
  const auto x = graph.add_input("x", ir::Type::tensor(ir::DType::f32, ir::to_shape({24, 96})));
  const auto hidden = add("Relu", {add("MatMul", {x, weight({96, 192})}, {24, 192})}, {24, 192});
  const auto y = add("Softmax", {add("MatMul", {hidden, weight({192, 80})}, {24, 80})}, {24, 80});
  graph.outputs.push_back(y);
  return make_workload(std::move(graph), machine);
}

class Real : public ::testing::Test {
 protected:
  kernel::Machine machine = small_machine(2);
  std::unique_ptr<codegen::Codegen> codegen = codegen::cpu_codegen(testing::host_target());
  Workload work = small_workload(machine);
};

TEST_F(Real, MeasuresAndChecks) {
  ProcessMeasurer source(work, *codegen, {.threads = 2, .seed = 3});
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    TaskSearch search(work.tasks[t], machine, 1);
    Batch batch{.task = t, .choices = {first_choice(work.tasks[t], machine)}, .has_reference = true};
    const auto adopted = search.adopt(batch.choices[0]);
    for (const auto& c : search.propose(3)) batch.choices.push_back(c.choice);
    const auto results = source.measure(batch);
    EXPECT_TRUE(results[0].timed() && results[0].checked) << results[0].failure;
    for (const auto& r : results) EXPECT_TRUE(r.timed()) << r.failure;
  }
}

/// Generates code that dies, never ends, or computes something else, for every job but the first.
class Broken : public codegen::Codegen {
 public:
  enum class How { crash, wrong, run_crash };
  Broken(codegen::Codegen& good, std::vector<Choice> first, How how)
      : good_(good), first_(std::move(first)), how_(how) {}
  codegen::CodeObject compile(const std::vector<codegen::Job>& jobs) override {
    auto object = good_.compile(jobs);
    for (size_t j = 0; j < jobs.size(); ++j) {
      if (std::any_of(first_.begin(), first_.end(), [&](const auto& c) { return *jobs[j].schedule == c.schedule; }))
        continue;
      if (how_ == How::crash) std::abort();
      if (how_ == How::wrong) object.kernels[j].phases[0].tasks = 0;            // nothing is computed
      if (how_ == How::run_crash) object.kernels[j].phases[0].tasks = 1 << 24;  // far beyond its buffers
    }
    return object;
  }
  std::string dump(const codegen::Job& job, const std::string& form) override { return good_.dump(job, form); }
  std::string version() const override { return "broken"; }

 private:
  codegen::Codegen& good_;
  std::vector<Choice> first_;
  How how_;
};

TEST_F(Real, SurvivesCandidatesThatCrashOrErr) {
  const Choice first = first_choice(work.tasks[0], machine);
  TaskSearch search(work.tasks[0], machine, 1);
  (void)search.adopt(first);
  Batch batch{.task = 0, .choices = {first}, .has_reference = true};
  for (const auto& c : search.propose(2)) batch.choices.push_back(c.choice);
  Broken crashing(*codegen, {first}, Broken::How::crash), wrong(*codegen, {first}, Broken::How::wrong);
  const auto crashed = ProcessMeasurer(work, crashing, {.threads = 1}).measure(batch);
  EXPECT_TRUE(crashed[0].timed() && crashed[0].checked);
  for (size_t i = 1; i < crashed.size(); ++i)
    EXPECT_NE(crashed[i].failure.find("signal 6"), std::string::npos) << crashed[i].failure;
  const auto erred = ProcessMeasurer(work, wrong, {.threads = 1}).measure(batch);
  EXPECT_TRUE(erred[0].checked);
  for (size_t i = 1; i < erred.size(); ++i) EXPECT_NE(erred[i].failure, "");
}

TEST_F(Real, TunesWithinTheBudgetAndRemembers) {
  TempDirectory folder;
  TuneOptions options;
  options.budget_seconds = 4;
  options.threads = 2;
  options.database = folder.file("tune.db");
  options.machine = "test";
  const Tuned tuned = tune(work, machine, *codegen, options);
  EXPECT_TRUE(Database(options.database).all().empty()) << "nobody has verified the program yet";
  remember(work, tuned, *codegen, options);
  EXPECT_LT(tuned.seconds, 4.5);
  int trials = 0;
  for (const auto& log : tuned.logs) trials += log.trials;
  EXPECT_GT(trials, 5);
  options.budget_seconds = 0;
  const Tuned again = tune(work, machine, *codegen, options);
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    EXPECT_EQ(again.logs[t].trials, 0);
    if (!again.logs[t].from_database) continue;
    EXPECT_EQ(again.choices[t].schedule, tuned.choices[t].schedule);
    EXPECT_EQ(again.choices[t].variant, tuned.choices[t].variant);
  }
  EXPECT_TRUE(std::any_of(again.logs.begin(), again.logs.end(), [](const auto& log) { return log.from_database; }));
  forget(work, *codegen, options);
  EXPECT_TRUE(Database(options.database).all().empty());
  options.database.clear();
  const Tuned plain = tune(work, machine, *codegen, options);
  for (size_t t = 0; t < work.tasks.size(); ++t)
    EXPECT_EQ(plain.choices[t].schedule, first_choice(work.tasks[t], machine).schedule);
}

/// The slowest register tiles, under which results are the same.
Choice slow_choice(const Task& task, const kernel::Machine& machine) {
  kernel::Point worst;
  for (const auto& d : kernel::decisions(task.variants[0].kernel, machine))
    if (d.name.ends_with(".rows") || d.name.ends_with(".vectors")) worst[d.name] = 1;
  return {0, kernel::make_schedule(task.variants[0].kernel, machine, worst)};
}

TEST_F(Real, TheWholeModelRefusesWhatIsSlowerOrUnproven) {
  std::vector<Choice> start = untuned(work, machine).choices, slow = start;
  for (size_t t = 0; t < work.tasks.size(); ++t) slow[t] = slow_choice(work.tasks[t], machine);
  ASSERT_FALSE(same_choices(start, slow));
  const std::vector<double> promising(work.tasks.size(), 0.95), clear(work.tasks.size(), 0.5);
  const double ages = 1e12;
  {
    WholeModel whole(work, *codegen, 1, 1);
    ASSERT_EQ(whole.add(start), WholeModel::Added::yes);
    EXPECT_TRUE(same_choices(whole.better(start, slow, promising, ages), start)) << "whatever they took alone";
    EXPECT_TRUE(same_choices(whole.better(start, slow, promising, 0), start)) << "no time to see";
    EXPECT_TRUE(same_choices(whole.better(start, slow, clear, 0), slow)) << "no time to see, but beyond doubt";
  }
}

/// A database whose entries are of no use: slow ones, illegal ones, ones for a crash.
TEST_F(Real, AWrongDatabaseEntryDoesNotStay) {
  TempDirectory folder;
  TuneOptions options;
  options.budget_seconds = 4;
  options.threads = 1;
  options.database = folder.file("tune.db");
  options.machine = "test";
  Tuned recorded = untuned(work, machine);
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    recorded.choices[t] = slow_choice(work.tasks[t], machine);
    recorded.ms[t] = 1e-6;  // and it lies about its time
  }
  const auto first = untuned(work, machine).choices;
  ASSERT_FALSE(same_choices(recorded.choices, first));
  {
    remember(work, recorded, *codegen, options);
    // Under this code generator all but the analytical schedules compute nothing.
    Broken wrong(*codegen, first, Broken::How::wrong);
    const Tuned tuned = tune(work, machine, wrong, options);
    for (size_t t = 0; t < work.tasks.size(); ++t)
      EXPECT_FALSE(same(tuned.choices[t], recorded.choices[t]) && !same(first[t], recorded.choices[t])) << t;
  }
  remember(work, recorded, Broken(*codegen, first, Broken::How::run_crash), options);
  Broken crashing(*codegen, first, Broken::How::run_crash);
  const Tuned tuned = tune(work, machine, crashing, options);  // this process lives on
  EXPECT_TRUE(same_choices(tuned.choices, first));
  options.budget_seconds = 0;
  EXPECT_FALSE(tune(work, machine, crashing, options).logs[0].from_database) << "its entries are gone";
}

/// Runs another code generator and counts what it is asked for.
class Counting : public codegen::Codegen {
 public:
  explicit Counting(codegen::Codegen& good) : good_(good) {}
  codegen::CodeObject compile(const std::vector<codegen::Job>& list) override {
    jobs += list.size();
    return good_.compile(list);
  }
  std::string dump(const codegen::Job& job, const std::string& form) override { return good_.dump(job, form); }
  std::string version() const override { return good_.version(); }
  size_t jobs = 0;

 private:
  codegen::Codegen& good_;
};

TEST_F(Real, CodeGenerationCanBeStopped) {
  Counting counting(*codegen);
  const auto start = untuned(work, machine).choices;
  bool stopped = true;
  WholeModel whole(work, counting, 1, 1, [&] { return stopped; });
  EXPECT_EQ(whole.add(start), WholeModel::Added::stopped);
  EXPECT_TRUE(whole.empty());
  EXPECT_EQ(counting.jobs, 0u);
  stopped = false;
  EXPECT_EQ(whole.add(start), WholeModel::Added::yes);
  EXPECT_EQ(counting.jobs, work.tasks.size());
}

TEST_F(Real, ProgramsSharePackedConstants) {
  const auto choices = untuned(work, machine).choices;
  size_t packed = 0;
  {
    const auto one = assemble(work, choices, *codegen), two = *assemble_unless(work, choices, *codegen, {});
    ASSERT_EQ(one.slots.size(), two.slots.size());
    for (size_t s = 0; s < one.slots.size(); ++s) {
      if (one.slots[s].kind != runtime::Slot::Kind::constant) continue;
      EXPECT_EQ(one.slots[s].constant.raw(), two.slots[s].constant.raw()) << one.slots[s].name;
      packed += one.slots[s].layout.axes().empty() ? 0 : 1;
    }
  }
  EXPECT_GT(packed, 0u);
  for (const auto& [key, storage] : *work.packed) EXPECT_TRUE(storage.expired()) << "nobody needs it any more";
}

/// Passes real measurements on and writes them down, or gives them once more.
class Tape : public MeasurementSource {
 public:
  explicit Tape(MeasurementSource* real) : real_(real) {}
  void rewind() { real_ = nullptr, at_second_ = at_result_ = 0; }
  double seconds() override {
    if (real_ != nullptr) seconds_.push_back(real_->seconds());
    return seconds_.at(at_second_++);
  }
  std::vector<Measured> measure(const Batch& batch) override {
    if (real_ != nullptr) results_.push_back(real_->measure(batch));
    return results_.at(at_result_++);
  }

 private:
  MeasurementSource* real_;
  std::vector<double> seconds_;
  std::vector<std::vector<Measured>> results_;
  size_t at_second_ = 0, at_result_ = 0;
};

TEST_F(Real, TheSameSeedAndMeasurementsGiveTheSameSchedules) {
  ProcessMeasurer real(work, *codegen, {.threads = 1, .seed = 3});
  Tape tape(&real);
  LoopInput input;
  input.tasks = &work.tasks;
  input.machine = machine;
  input.start = untuned(work, machine).choices;
  input.seed = 5;
  input.deadline = real.seconds() + 3;
  const auto first = tune_loop(input, tape);
  tape.rewind();
  const auto second = tune_loop(input, tape);
  EXPECT_TRUE(same_choices(first.choices, second.choices));
  EXPECT_EQ(first.ms, second.ms);
  EXPECT_GT(first.logs[0].trials, 3);
}

/// What `optimize` writes is read back: the same schedules, nothing measured.
TEST_F(Real, TunedSchedulesAreReadFromLines) {
  TempDirectory folder;
  TuneOptions options;
  options.threads = 1;
  options.machine = "test";
  Tuned tuned = untuned(work, machine);
  for (size_t t = 0; t < work.tasks.size(); ++t) tuned.choices[t] = slow_choice(work.tasks[t], machine);
  tuned.ms.assign(work.tasks.size(), 0.5);
  ASSERT_FALSE(same_choices(tuned.choices, untuned(work, machine).choices));
  std::string lines;
  for (const auto& entry : entries(work, tuned, *codegen, options)) lines += to_json(entry).dump() + "\n";
  options.database = folder.file("tuning.jsonl");
  write_file(options.database, lines);
  const Tuned again = tune(work, machine, *codegen, options);
  EXPECT_TRUE(same_choices(again.choices, tuned.choices));
  EXPECT_EQ(again.ms, tuned.ms);
  forget(work, *codegen, options);
  EXPECT_EQ(read_file(options.database), lines) << "it is read and not changed";
}

TEST_F(Real, ADatabaseThatCannotBeWrittenToIsNoDisaster) {
  TempDirectory folder;
  TuneOptions options;
  options.threads = 1;
  options.machine = "test";
  options.database = folder.file("tune.db");
  Tuned tuned = untuned(work, machine);
  tuned.ms.assign(work.tasks.size(), 1.0);
  remember(work, tuned, *codegen, options);
  EXPECT_EQ(Database(options.database).all().size(), work.tasks.size());
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(options.database.c_str(), &handle), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(handle, "DROP TABLE tuned; CREATE VIEW tuned AS SELECT 1", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(handle);
  EXPECT_NO_THROW(remember(work, tuned, *codegen, options));
  EXPECT_NO_THROW(forget(work, *codegen, options));
}

TEST(Bench, WeightsComeFromWhereTheyComeFromInTheModel) {
  const size_t mb = size_t{1} << 20;
  EXPECT_EQ(weight_block_bytes(20 * mb, 32 * mb), 20 * mb) << "they stay in the cache";
  EXPECT_EQ(weight_block_bytes(40 * mb, 32 * mb), 64 * mb) << "they do not: nor may the block";
  EXPECT_EQ(weight_block_bytes(400 * mb, 32 * mb), 64 * mb);
  EXPECT_TRUE(weights_rotate(24 * mb, 40 * mb, 32 * mb)) << "more than half of the block, less than the cache";
  EXPECT_FALSE(weights_rotate(33 * mb, 64 * mb, 32 * mb)) << "cold by itself";
  EXPECT_FALSE(weights_rotate(12 * mb, 10 * mb, 32 * mb)) << "not in the block";
}

TEST(Agreement, OfOutputs) {
  const auto k = testing::gemm(4, 8, 4, false);
  std::vector<float> a(32), b;
  for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
  const auto agree = [&] {
    return outputs_agree(k, reinterpret_cast<uint8_t*>(a.data()), reinterpret_cast<uint8_t*>(b.data()), 1);
  };
  b = a;
  b[3] *= 1.00001f;
  EXPECT_TRUE(agree());
  b[3] *= 1.1f;
  EXPECT_FALSE(agree());
  b = a;
  a[0] = b[0] = NAN;
  EXPECT_TRUE(agree());
  b[0] = INFINITY;
  EXPECT_FALSE(agree());
}

}  // namespace
}  // namespace rooftune::tune
