// Measuring small real kernels: that it measures, checks, and survives what crashes.
#include <gtest/gtest.h>

#include <cmath>

#include "tune/measure_task.h"
#include "tune/task_bench.h"
#include "tune/testing.h"

namespace rooftune::tune {
namespace {

TEST_F(Real, MeasuresAndChecks) {
  ProcessMeasurer source(work, *codegen, {.threads = 2, .seed = 3});
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    const Guidance guidance = guidance_for(machine);
    TaskSearch search(work.tasks[t], guidance, 1);
    Batch batch{.task = t, .choices = {first_choice(work.tasks[t], machine)}, .has_reference = true};
    const auto adopted = search.adopt(batch.choices[0]);
    for (const auto& c : search.propose(3)) batch.choices.push_back(c.choice);
    const auto results = source.measure(batch);
    EXPECT_TRUE(results[0].timed() && results[0].checked) << results[0].failure;
    for (const auto& r : results) EXPECT_TRUE(r.timed()) << r.failure;
  }
}

TEST_F(Real, SurvivesCandidatesThatCrashOrErr) {
  const Choice first = first_choice(work.tasks[0], machine);
  const Guidance guidance = guidance_for(machine);
  TaskSearch search(work.tasks[0], guidance, 1);
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
