// The whole tuner on a small real model: its budget, what it remembers, and what it does not believe.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/error.h"
#include "base/files.h"
#include "estimate/features.h"
#include "tune/database.h"
#include "tune/loop.h"
#include "tune/measure_task.h"
#include "tune/testing.h"
#include "tune/tuner.h"

namespace rooftune::tune {
namespace {

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

/// A code generator that nothing may be measured with.
class Forbidden : public codegen::Codegen {
 public:
  explicit Forbidden(const codegen::Codegen& of) : version_(of.version()) {}
  codegen::CodeObject compile(const std::vector<codegen::Job>&) override { throw InternalError("code is generated"); }
  std::string dump(const codegen::Job&, const std::string&) override { return ""; }
  std::string version() const override { return version_; }

 private:
  std::string version_;
};

/// Where the database has the answer of a run with no less time, nothing is measured, unless that is asked for.
TEST_F(Real, AWarmDatabaseNeedsNoMeasurement) {
  TempDirectory folder;
  TuneOptions options;
  options.budget_seconds = 3;
  options.threads = 1;
  options.database = folder.file("tune.db");
  options.machine = "test";
  Tuned known = untuned(work, machine);
  known.ms.assign(work.tasks.size(), 1.0);
  known.budget_seconds = 3;
  remember(work, known, *codegen, options);
  Forbidden forbidden(*codegen);
  const Tuned again = tune(work, machine, forbidden, options);
  EXPECT_TRUE(same_choices(again.choices, known.choices));
  EXPECT_LT(again.seconds, 1);
  for (const auto& log : again.logs) EXPECT_EQ(log.trials, 0);
  options.budget_seconds = 3.5;
  EXPECT_THROW(tune(work, machine, forbidden, options), InternalError) << "more time may find more";
  options.budget_seconds = 3;
  options.again = true;
  EXPECT_THROW(tune(work, machine, forbidden, options), InternalError);
}

/// All that was measured is kept, and what was best elsewhere is tried first.
TEST_F(Real, WhatWasMeasuredElsewhereIsUsed) {
  TempDirectory folder;
  TuneOptions options;
  options.budget_seconds = 4;
  options.threads = 1;
  options.database = folder.file("tune.db");
  options.machine = "here";
  const Tuned tuned = tune(work, machine, *codegen, options);
  remember(work, tuned, *codegen, options);
  int trials = 0;
  for (const auto& log : tuned.logs) trials += log.trials;
  const auto records = Database(options.database).all_records();
  EXPECT_LE(records.size(), static_cast<size_t>(trials));
  EXPECT_GE(records.size(), work.tasks.size());
  for (const auto& r : records) EXPECT_EQ(r.features.size(), estimate::feature_names().size());
  options.machine = "there";
  const Tuned other = tune(work, machine, *codegen, options);
  for (size_t t = 0; t < work.tasks.size(); ++t) EXPECT_FALSE(other.logs[t].from_database);
  for (const auto& r : Database(options.database).best_of({work.tasks[0].key, "there", 1, codegen->version()}, 1))
    EXPECT_TRUE(std::any_of(other.records.begin(), other.records.end(), [&](const auto& x) {
      return x.key.kernel == r.key.kernel && x.schedule == r.schedule;
    })) << r.schedule;
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
  input.guidance = guidance_for(machine);
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

}  // namespace
}  // namespace rooftune::tune
