#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "search/sampler.h"
#include "search/strategy.h"

namespace rooftune::search {
namespace {

using Objective = std::function<double(const Point&)>;

Space grid(int decisions, int choices, bool ordinal) {
  Space space;
  for (int i = 0; i < decisions; ++i) space.decisions.push_back({fmt::format("d{}", i), choices, ordinal});
  return space;
}

/// Asks in batches of `batch`; returns the points in order, and their best value.
std::pair<std::vector<Point>, double> run(Strategy& strategy, const Objective& f, int evaluations, int batch) {
  std::vector<Point> all;
  double best = std::numeric_limits<double>::infinity();
  while (static_cast<int>(all.size()) < evaluations) {
    const std::vector<Point> points = strategy.ask(std::min(batch, evaluations - static_cast<int>(all.size())));
    if (points.empty()) break;
    for (const Point& p : points) {
      strategy.tell(p, f(p));
      best = std::min(best, f(p));
      all.push_back(p);
    }
  }
  return {all, best};
}

// ---------------------------------------------------------------- what every strategy must do
class Conformance : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Strategy> make(Space space, uint64_t seed = 1) {
    return make_strategy(GetParam(), std::move(space), {.seed = seed});
  }
};
INSTANTIATE_TEST_SUITE_P(All, Conformance, testing::ValuesIn(strategy_names()),
                         [](const auto& info) { return info.param; });

double bowl(const Point& p) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::pow(p[i] - static_cast<double>(i % 5), 2);
  return sum;
}

TEST_P(Conformance, IsDeterministicForASeed) {
  const auto points = [&](uint64_t seed) { return run(*make(grid(6, 8, true), seed), bowl, 200, 7).first; };
  EXPECT_EQ(points(3), points(3));
  EXPECT_NE(points(3), points(4));
}

TEST_P(Conformance, NeverRepeatsAndAsksOnlyValidPoints) {
  Space space = grid(4, 6, true);
  space.valid = [](const Point& p) { return (p[0] + p[1]) % 2 == 0 && p[2] <= p[3]; };
  const auto strategy = make(space);
  const auto [points, best] = run(*strategy, bowl, 300, 10);
  EXPECT_EQ(points.size(), 300u);
  EXPECT_EQ(std::set<Point>(points.begin(), points.end()).size(), points.size());
  for (const Point& p : points) EXPECT_TRUE(space.valid(p));
}

TEST_P(Conformance, ExhaustsASmallSpaceAndThenStops) {
  Space space = grid(3, 4, false);
  space.valid = [](const Point& p) { return p[0] != 2; };
  const auto strategy = make(space);
  EXPECT_EQ(run(*strategy, bowl, 1000, 9).first.size(), 48u);
  EXPECT_TRUE(strategy->ask(5).empty());
}

TEST_P(Conformance, FindsTheOneValidPoint) {
  Space space = grid(4, 9, false);
  space.valid = [](const Point& p) { return p == Point{8, 0, 3, 7}; };
  EXPECT_EQ(make(space)->ask(3), (std::vector<Point>{{8, 0, 3, 7}}));
}

TEST_P(Conformance, KnowsPointsThatItWasTold) {
  const auto strategy = make(grid(2, 3, true));
  strategy->tell({1, 1}, 5.0);
  strategy->tell({0, 2}, 3.0);
  const auto [points, best] = run(*strategy, bowl, 100, 4);
  EXPECT_EQ(points.size(), 7u);
  for (const Point& p : points) EXPECT_TRUE(p != (Point{1, 1}) && p != (Point{0, 2}));
}

TEST_P(Conformance, SurvivesFailuresOnly) {
  const auto strategy = make(grid(3, 5, true));
  EXPECT_EQ(
      run(*strategy, [](const Point&) { return std::numeric_limits<double>::infinity(); }, 125, 8).first.size(), 125u);
}

TEST_P(Conformance, AsksBeforeAnythingIsTold) {
  const auto strategy = make(grid(5, 4, false));
  std::set<Point> points;
  for (int i = 0; i < 10; ++i)
    for (const Point& p : strategy->ask(20)) points.insert(p);
  EXPECT_EQ(points.size(), 200u);
}

TEST_P(Conformance, ASpaceWithoutDecisionsHasOnePoint) {
  const auto strategy = make(Space{});
  EXPECT_EQ(strategy->ask(4), (std::vector<Point>{{}}));
  strategy->tell({}, 1.0);
  EXPECT_TRUE(strategy->ask(1).empty());
}

TEST_P(Conformance, RefusesPointsOutsideTheSpace) {
  const auto strategy = make(grid(2, 3, true));
  EXPECT_THROW(strategy->tell({0}, 1.0), InternalError);
  EXPECT_THROW(strategy->tell({0, 3}, 1.0), InternalError);
  EXPECT_THROW(strategy->tell({-1, 0}, 1.0), InternalError);
}

TEST(Registry, NamesWhatThereIs) {
  try {
    make_strategy("annealing", {});
    FAIL();
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(), "unknown search strategy 'annealing'; there are: random, evolutionary");
  }
}

// ---------------------------------------------------------------- evolutionary against random, known optima
struct Problem {
  std::string name;
  Space space;
  Objective f;
  double optimum;
};

/// Ordinal: a bowl whose axes are coupled.
Problem valley() {
  return {"valley", grid(8, 10, true),
          [](const Point& p) {
            double sum = 0;
            for (size_t i = 0; i < p.size(); ++i) {
              const double x = p[i] - 6.0, next = p[(i + 1) % p.size()] - 6.0;
              sum += x * x + 0.5 * (x - next) * (x - next);
            }
            return sum;
          },
          0.0};
}

/// Categorical: each wrong name costs, pairs of right ones gain.
Problem lock() {
  return {"lock", grid(10, 6, false),
          [](const Point& p) {
            double cost = 0;
            for (size_t i = 0; i < p.size(); ++i) {
              const auto right = [&](size_t k) { return p[k] == static_cast<int>((7 * k + 3) % 6); };
              cost += (right(i) ? 0 : 1) + (right(i) && right((i + 1) % p.size()) ? -0.5 : 0);
            }
            return cost;
          },
          -5.0};
}

/// Tiles of a blocked loop, as tuning sees them: three powers of two whose product must fit, an unroll and an order;
/// the cost is rugged.
Problem tiles() {
  Space space;
  space.decisions = {{"m", 9, true}, {"n", 9, true}, {"k", 9, true}, {"unroll", 4, true}, {"order", 6, false}};
  space.valid = [](const Point& p) { return p[0] + p[1] + p[2] <= 14 && (p[3] == 0 || p[2] >= p[3]); };
  return {"tiles", space,
          [](const Point& p) {
            const double m = p[0] - 4.0, n = p[1] - 5.0, k = p[2] - 3.0;
            const double ripple = 0.3 * ((p[0] * 5 + p[1] * 3 + p[2]) % 4 == (4 * 5 + 5 * 3 + 3) % 4 ? 0 : 1);
            return m * m + n * n + 0.7 * k * k + 0.4 * std::abs(p[3] - 2.0) + (p[4] == 4 ? 0 : 1.0) + ripple;
          },
          0.0};
}

class Evolves : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Problems, Evolves, testing::Values(0, 1, 2));

TEST_P(Evolves, BeatsRandomAtEqualEvaluations) {
  const Problem problem = GetParam() == 0 ? valley() : GetParam() == 1 ? lock() : tiles();
  constexpr int kSeeds = 20, kEvaluations = 400;
  double sum[2] = {0, 0};
  int wins = 0, optimal = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    double best[2];
    for (int s = 0; s < 2; ++s) {
      const auto strategy = make_strategy(s ? "evolutionary" : "random", problem.space, {.seed = seed});
      sum[s] += best[s] = run(*strategy, problem.f, kEvaluations, 8).second;
    }
    wins += best[1] < best[0];
    optimal += best[1] <= problem.optimum + 1e-9;
  }
  RecordProperty("optimal", optimal);
  EXPECT_LT(sum[1] - kSeeds * problem.optimum, 0.5 * (sum[0] - kSeeds * problem.optimum)) << problem.name;
  EXPECT_GE(wins, kSeeds * 3 / 4) << problem.name;
  EXPECT_GE(optimal, kSeeds / 2) << problem.name << ": " << optimal << " of " << kSeeds << " reached the optimum";
}

TEST(Evolutionary, AGoodStartIsUsed) {
  const Problem problem = valley();
  const Point near{6, 6, 6, 6, 7, 6, 6, 5};
  double informed = 0, ignorant = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto strategy = make_strategy("evolutionary", problem.space, {.seed = seed, .initial = 0});
    strategy->tell(near, problem.f(near));
    informed += run(*strategy, problem.f, 100, 8).second;
    ignorant += run(*make_strategy("evolutionary", problem.space, {.seed = seed}), problem.f, 100, 8).second;
  }
  EXPECT_LT(informed / 20, problem.f(near));
  EXPECT_LT(informed, 0.3 * ignorant);
}

TEST(Evolutionary, APointToldTwiceKeepsItsBetterValue) {
  // The first point is told bad, then good: its neighbourhood must be searched as that of a good one.
  const auto strategy =
      make_strategy("evolutionary", grid(6, 50, true), {.seed = 2, .population = 2, .initial = 0, .immigrants = 0});
  const Point good(6, 40), bad(6, 5);
  strategy->tell(good, 100);
  strategy->tell(bad, 50);
  strategy->tell(Point(6, 20), 60);
  strategy->tell(good, 1);
  strategy->tell(good, 70);
  int close = 0;
  for (const Point& p : strategy->ask(60))
    close += std::count_if(p.begin(), p.end(), [](int v) { return v > 30; }) >= 4;
  EXPECT_GT(close, 20);
}

RC_GTEST_PROP(Evolutionary, AnySpaceAnySeed, (uint64_t seed)) {
  Space space;
  const auto sizes = *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 6));
  for (size_t i = 0; i < std::min<size_t>(sizes.size(), 6); ++i) space.decisions.push_back({"d", sizes[i], i % 2 == 0});
  const auto strategy = make_strategy("evolutionary", space, {.seed = seed});
  const auto [points, best] = run(*strategy, bowl, 60, 5);
  RC_ASSERT(std::set<Point>(points.begin(), points.end()).size() == points.size());
  Sampler sampler(space);
  for (const Point& p : points) RC_ASSERT(sampler.fits(p));
}

TEST(Random, NumbersAreUniform) {
  Random random(9);
  std::vector<int> counts(7);
  double sum = 0;
  for (int i = 0; i < 70000; ++i) ++counts[static_cast<size_t>(random.below(7))], sum += random.uniform();
  for (const int c : counts) EXPECT_NEAR(c, 10000, 500);
  EXPECT_NEAR(sum / 70000, 0.5, 0.01);
}

}  // namespace
}  // namespace rooftune::search
