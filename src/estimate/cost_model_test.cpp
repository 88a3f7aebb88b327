// The cost model on times from a formula: what it learns, what it says of what it does not know, and features.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "estimate/cost_model.h"
#include "estimate/predict.h"

namespace rooftune::estimate {
namespace {

using namespace kernel;

/// Times that arithmetic gets wrong by a factor which depends on two features, and by noise.
std::vector<Sample> samples(int kernels, int schedules, uint64_t seed, double noise = 0.02) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::normal_distribution<double> normal(0, noise);
  std::vector<Sample> result;
  for (int k = 0; k < kernels; ++k) {
    const double size = uniform(random);
    for (int i = 0; i < schedules; ++i) {
      Sample s;
      s.features.values.resize(6);
      for (auto& v : s.features.values) v = static_cast<float>(uniform(random));
      s.features.values[0] = static_cast<float>(size);
      s.features.rough_ms = std::exp(2 * size);
      s.features.roofline_ms = 0.6 * s.features.rough_ms;
      const double off = 0.8 * s.features.values[1] * size + (s.features.values[2] > 0.3F ? 0.5 : 0);
      s.ms = s.features.rough_ms * std::exp(off + normal(random));
      s.kernel = static_cast<uint64_t>(k) + seed * 1000;
      result.push_back(std::move(s));
    }
  }
  return result;
}

double error_of(const CostModel& model, const std::vector<Sample>& tests) {
  double sum = 0;
  for (const auto& s : tests)
    sum += std::abs(
        std::max(model.predict(s.features).ms, s.features.roofline_ms) / std::max(s.ms, s.features.roofline_ms) - 1);
  return sum / static_cast<double>(tests.size());
}

class Learned : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(tree_library(), nullptr) << "librooftune_trees.so must be built and load: it needs libxgboost-dev";
  }
};

TEST_F(Learned, PredictsKernelsThatItHasNotSeen) {
  CostModel model(1);
  const auto tests = samples(20, 20, 2);
  const double before = error_of(model, tests);
  model.fit(samples(60, 20, 1));
  EXPECT_TRUE(model.learned());
  EXPECT_LT(error_of(model, tests), 0.4 * before);
  EXPECT_LT(error_of(model, tests), 0.1);
}

TEST_F(Learned, IntervalsHoldNineTimesOutOfTen) {
  CostModel model(1);
  model.fit(samples(60, 20, 1, 0.1));
  double inside = 0, wide = 0;
  const auto tests = samples(40, 20, 3, 0.1);
  for (const auto& s : tests) {
    const auto p = model.predict(s.features);
    EXPECT_LE(p.low_ms, p.ms);
    EXPECT_GE(p.high_ms, p.ms);
    const double ms = std::max(s.ms, s.features.roofline_ms);
    inside += p.low_ms <= ms && ms <= p.high_ms;
    wide += p.high_ms / p.low_ms > 1.2;
  }
  EXPECT_GT(inside / static_cast<double>(tests.size()), 0.85);
  EXPECT_LT(inside / static_cast<double>(tests.size()), 0.95);
}

TEST_F(Learned, IsNeverBelowTheRoof) {
  CostModel model(1);
  auto taught = samples(60, 20, 1);
  for (auto& s : taught) s.ms = 0.01 * s.features.roofline_ms;
  model.fit(taught);
  for (const auto& s : samples(5, 5, 2)) EXPECT_GE(model.predict(s.features).low_ms, s.features.roofline_ms);
}

/// What this run measures counts: here the machine is twice as slow for all schedules with one feature.
TEST_F(Learned, IsRefinedByWhatThisRunMeasures) {
  CostModel model(1), alone(1);
  model.fit(samples(60, 20, 1));
  const auto slower = [](std::vector<Sample> all) {
    for (auto& s : all)
      if (s.features.values[4] > 0) s.ms *= 2;
    return all;
  };
  const auto tests = slower(samples(10, 20, 5));
  const double before = error_of(model, tests);
  model.refine(slower(samples(8, 16, 4)));
  EXPECT_LT(error_of(model, tests), 0.65 * before);
  alone.refine(slower(samples(8, 16, 4)));
  EXPECT_TRUE(alone.learned());
  EXPECT_LT(error_of(model, tests), error_of(alone, tests)) << "what was known before still helps";
}

TEST_F(Learned, IsDeterministicAndReadsBack) {
  CostModel a(3), b(3);
  a.fit(samples(30, 10, 1)), b.fit(samples(30, 10, 1));
  const auto again = CostModel::load(a.save(), "x");
  for (const auto& s : samples(5, 5, 2)) {
    EXPECT_EQ(a.predict(s.features).ms, b.predict(s.features).ms);
    EXPECT_EQ(a.predict(s.features).ms, again.predict(s.features).ms);
    EXPECT_EQ(a.predict(s.features).high_ms, again.predict(s.features).high_ms);
  }
  EXPECT_THROW(CostModel::load("no model", "file.bin"), InputError);
}

TEST(CostModel, WithoutSamplesItIsArithmetic) {
  CostModel model;
  model.fit({});
  model.refine({});
  EXPECT_FALSE(model.learned());
  const auto s = samples(1, 1, 1)[0];
  EXPECT_DOUBLE_EQ(model.predict(s.features).ms, s.features.rough_ms);
  EXPECT_GT(model.predict(s.features).high_ms, 2 * s.features.rough_ms);
}

Kernel product(int64_t m, int64_t n, int64_t k) {
  Kernel kernel;
  const int x = kernel.add_buffer("x", DType::f32, {m, k}, Role::input);
  const int w = kernel.add_buffer("w", DType::f32, {k, n}, Role::constant);
  const int y = kernel.add_buffer("y", DType::f32, {m, n}, Role::output);
  StageBuilder stage(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
  const Index i = stage.axis(0), j = stage.axis(1), l = stage.axis(2);
  stage.finish(stage.mul(stage.load(x, {i, l}), stage.load(w, {l, j})), Reduction::sum, y);
  return kernel;
}

TEST(Features, SayWhatSchedulesDifferIn) {
  CostTarget target;
  target.machine.threads = 2;
  target.spec.peak_flops["f32"] = 2e11;
  target.spec.memory_bandwidth = 2e10;
  auto kernel = product(256, 512, 512);
  normalise(kernel, target.machine);
  const auto of = [&](const Point& point) {
    return features(kernel, make_schedule(kernel, target.machine, point), target);
  };
  const auto start = of({}), slow = of({{"acc.rows", 1}, {"acc.vectors", 1}}), serial = of({{"acc.parallel", 0}});
  const auto& names = feature_names();
  ASSERT_EQ(start.values.size(), names.size());
  const auto value = [&](const Features& f, const std::string& name) {
    return f.values[static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin())];
  };
  EXPECT_GT(slow.rough_ms, 1.5 * start.rough_ms);
  EXPECT_GT(serial.rough_ms, 1.5 * start.rough_ms);
  EXPECT_EQ(start.roofline_ms, slow.roofline_ms);
  EXPECT_GE(start.rough_ms, start.roofline_ms);
  EXPECT_NEAR(start.roofline_ms, 2.0 * 256 * 512 * 512 / 2e11 * 1e3, 1e-6);
  EXPECT_EQ(value(slow, "first.accumulators"), 1);
  EXPECT_EQ(value(serial, "first.parallel"), 0);
  EXPECT_EQ(value(serial, "first.threads_used"), 1);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const float v : start.values) EXPECT_TRUE(std::isfinite(v));
  EXPECT_EQ(feature_version().size(), 8u);
}

}  // namespace
}  // namespace rooftune::estimate
