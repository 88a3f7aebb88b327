#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "search/gaussian.h"
#include "search/sampler.h"
#include "search/strategy.h"

namespace rooftune::search {
namespace {

using Objective = std::function<double(const Point&)>;
using Valid = std::function<bool(const Point&)>;

uint64_t number_of(const Point& p) {
  uint64_t h = 1469598103934665603u;
  for (const auto& [name, value] : p) {
    for (char c : name) h = (h ^ static_cast<uint64_t>(c)) * 1099511628211u;
    h = (h ^ static_cast<uint64_t>(value)) * 1099511628211u;
  }
  return h;
}

std::string name_of(int decision) { return fmt::format("d{}", decision); }

/// `decisions` numbers below `choices`.
Space grid(int decisions, int choices, Valid valid = {}) {
  return {[=](const Choose& choose) -> std::optional<uint64_t> {
            std::vector<int64_t> values(static_cast<size_t>(choices));
            std::iota(values.begin(), values.end(), int64_t{0});
            Point made;
            for (int i = 0; i < decisions; ++i) made[name_of(i)] = choose(name_of(i), values, 0);
            if (valid && !valid(made)) return std::nullopt;
            return number_of(made);
          },
          ""};
}

/// Tiles as tuning sees them: powers of two that must fit one another, decisions that only some algorithms have.
Space tiles() {
  return {[](const Choose& choose) -> std::optional<uint64_t> {
            Point made;
            const auto ask = [&](const std::string& name, int64_t least, int64_t most) {
              std::vector<int64_t> values;
              for (int64_t v = least; v <= most; v *= 2) values.push_back(v);
              return made[name] = choose(name, values, values.front());
            };
            made["algorithm"] = choose("algorithm", {0, 1, 2}, 0);
            const int64_t m = ask("m", 1, 256);
            const int64_t n = ask("n", 1, 16384 / m);
            if (made["algorithm"] == 1) ask("inner", 1, n);
            if (made["algorithm"] == 2) ask("outer", 1, m);
            return number_of(made);
          },
          "algorithm"};
}

double log_of(const Point& p, const std::string& name) { return std::log2(static_cast<double>(p.at(name))); }

double tile_cost(const Point& p) {
  const double m = log_of(p, "m") - 5, n = log_of(p, "n") - 7;
  const double kind = p.at("algorithm") == 1 ? std::abs(log_of(p, "inner") - 4) : 3.0;
  return m * m + n * n + kind + 0.3 * static_cast<double>(number_of(p) % 2);
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

double bowl(const Point& p) {
  double sum = 0;
  int i = 0;
  for (const auto& [name, value] : p) sum += std::pow(static_cast<double>(value - i++ % 5), 2);
  return sum;
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

TEST_P(Conformance, IsDeterministicForASeed) {
  const auto points = [&](uint64_t seed) { return run(*make(tiles(), seed), tile_cost, 100, 7).first; };
  EXPECT_EQ(points(3), points(3));
  EXPECT_NE(points(3), points(4));
}

TEST_P(Conformance, NeverRepeatsAndAsksOnlyValidPoints) {
  const Valid valid = [](const Point& p) { return (p.at("d0") + p.at("d1")) % 2 == 0 && p.at("d2") <= p.at("d3"); };
  const auto strategy = make(grid(4, 6, valid));
  const auto [points, best] = run(*strategy, bowl, 200, 10);
  EXPECT_EQ(points.size(), 200u);
  EXPECT_EQ(std::set<Point>(points.begin(), points.end()).size(), points.size());
  for (const Point& p : points) EXPECT_TRUE(valid(p));
}

TEST_P(Conformance, AnswersEveryDecisionThatIsMetAndNoOther) {
  for (const Point& p : run(*make(tiles()), tile_cost, 100, 10).first) {
    EXPECT_EQ(p.size(), p.at("algorithm") == 0 ? 3u : 4u);
    EXPECT_EQ(p.contains("inner"), p.at("algorithm") == 1);
    EXPECT_LE(p.at("m") * p.at("n"), 16384);
    if (p.contains("inner")) {
      EXPECT_LE(p.at("inner"), p.at("n"));
    }
  }
}

TEST_P(Conformance, ExhaustsASmallSpaceAndThenStops) {
  const auto strategy = make(grid(2, 4, [](const Point& p) { return p.at("d0") != 2; }));
  EXPECT_EQ(run(*strategy, bowl, 1000, 5).first.size(), 12u);
  EXPECT_TRUE(strategy->ask(5).empty());
}

TEST_P(Conformance, DoesNotAskWhatItWasToldOrWhatIsExcluded) {
  const auto strategy = make(grid(2, 3));
  const Point told{{"d0", 1}, {"d1", 1}}, excluded{{"d0", 0}, {"d1", 2}}, by_hash{{"d0", 2}, {"d1", 2}};
  strategy->tell(told, 5.0);
  EXPECT_TRUE(strategy->exclude(excluded));
  EXPECT_FALSE(strategy->exclude(excluded)) << "known by now";
  strategy->exclude(number_of(by_hash));
  const auto points = run(*strategy, bowl, 100, 3).first;
  EXPECT_EQ(points.size(), 6u);
  for (const auto& known : {told, excluded, by_hash}) EXPECT_EQ(std::count(points.begin(), points.end(), known), 0);
  strategy->forget(excluded);
  EXPECT_EQ(strategy->ask(3), (std::vector<Point>{excluded}));
}

TEST_P(Conformance, SurvivesFailuresOnly) {
  const auto strategy = make(grid(3, 5));
  EXPECT_EQ(
      run(*strategy, [](const Point&) { return std::numeric_limits<double>::infinity(); }, 60, 8).first.size(), 60u);
}

TEST_P(Conformance, ASpaceWithoutDecisionsHasOnePoint) {
  const auto strategy = make(grid(0, 1));
  EXPECT_EQ(strategy->ask(4), (std::vector<Point>{{}}));
  strategy->tell({}, 1.0);
  EXPECT_TRUE(strategy->ask(1).empty());
}

TEST(Registry, NamesWhatThereIs) {
  try {
    make_strategy("annealing", {});
    FAIL();
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(), "unknown search strategy 'annealing'; there are: random, evolutionary, bayes_evo");
  }
}

// ---------------------------------------------------------------- evolutionary against random, known optima
struct Problem {
  Space space;
  Objective f;
  double optimum;
};

/// A bowl whose axes are coupled.
Problem valley() {
  return {grid(8, 10),
          [](const Point& p) {
            double sum = 0;
            for (int i = 0; i < 8; ++i) {
              const double x = static_cast<double>(p.at(name_of(i))) - 6,
                           next = static_cast<double>(p.at(name_of((i + 1) % 8))) - 6;
              sum += x * x + 0.5 * (x - next) * (x - next);
            }
            return sum;
          },
          0.0};
}

class Evolves : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Problems, Evolves, testing::Values(0, 1));

TEST_P(Evolves, BeatsRandomAtEqualEvaluations) {
  const Problem problem = GetParam() == 0 ? valley() : Problem{tiles(), tile_cost, 0.0};
  const int evaluations = GetParam() == 0 ? 400 : 120;
  constexpr int kSeeds = 20;
  double sum[2] = {0, 0};
  int wins = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    double best[2];
    for (int s = 0; s < 2; ++s) {
      const auto strategy = make_strategy(s ? "evolutionary" : "random", problem.space, {.seed = seed});
      sum[s] += best[s] = run(*strategy, problem.f, evaluations, 8).second;
    }
    wins += best[1] <= best[0];
  }
  EXPECT_LT(sum[1] - kSeeds * problem.optimum, 0.5 * (sum[0] - kSeeds * problem.optimum));
  EXPECT_GE(wins, kSeeds * 3 / 4);
}

TEST(Evolutionary, AGoodStartIsUsed) {
  const Problem problem = valley();
  Point near;
  for (int i = 0; i < 8; ++i) near[name_of(i)] = i == 4 ? 7 : i == 7 ? 5 : 6;
  double informed = 0, ignorant = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto strategy = make_strategy("evolutionary", problem.space, {.seed = seed});
    strategy->tell(near, problem.f(near));
    informed += run(*strategy, problem.f, 100, 8).second;
    ignorant += run(*make_strategy("evolutionary", problem.space, {.seed = seed}), problem.f, 100, 8).second;
  }
  EXPECT_LT(informed / 20, problem.f(near));
  EXPECT_LT(informed, 0.3 * ignorant);
}

/// Wishes may name what is not met any more, or be out of reach: what is nearest counts.
TEST(Evolutionary, WishesNeedNotBeLegal) {
  const auto strategy = make_strategy("evolutionary", tiles(), {.seed = 3});
  strategy->tell({{"algorithm", 1}, {"m", 256}, {"n", 99999}, {"inner", 3}, {"gone", 7}}, 1.0);
  for (const Point& p : strategy->ask(40)) EXPECT_LE(p.at("m") * p.at("n"), 16384);
}

/// Children of one kind only get it from their parents; others appear by chance.
TEST(Evolutionary, KeepsToTheKindOfItsParents) {
  const auto strategy = make_strategy("evolutionary", tiles(), {.seed = 5});
  strategy->tell({{"algorithm", 1}, {"m", 32}, {"n", 128}, {"inner", 16}}, 1.0);
  strategy->tell({{"algorithm", 1}, {"m", 16}, {"n", 64}, {"inner", 8}}, 2.0);
  const auto points = strategy->ask(100);
  const auto same = std::count_if(points.begin(), points.end(), [](const Point& p) { return p.at("algorithm") == 1; });
  EXPECT_GT(same, 80);
  EXPECT_LT(same, 100);
}

// ---------------------------------------------------------------- beliefs
TEST(GaussianProcess, KnowsWhatItWasToldAndLittleOfTheRest) {
  GaussianProcess process("kind");
  const Point a{{"m", 8}, {"kind", 0}}, near{{"m", 16}, {"kind", 0}}, far{{"m", 4096}, {"kind", 0}},
      stranger{{"m", 8}, {"kind", 1}};
  process.fit({a, far}, {-0.5, 0.3}, 0.4);
  const auto at = [&](const Point& p) { return process.place(p).belief; };
  EXPECT_NEAR(at(a).mean, -0.5, 0.05);
  EXPECT_LT(at(a).deviation, 0.15);
  EXPECT_LT(at(near).mean, -0.05);
  EXPECT_GT(at(near).deviation, at(a).deviation);
  EXPECT_GT(at(stranger).deviation, at(near).deviation);
  EXPECT_LT(at(stranger).deviation, 1);
  auto place = process.place(near);
  const double before = place.belief.deviation;
  process.add(near, 0.1);
  process.update(place);
  EXPECT_LT(place.belief.deviation, before);
  EXPECT_NEAR(place.belief.mean, process.place(near).belief.mean, 1e-9);
  EXPECT_NEAR(place.belief.deviation, process.place(near).belief.deviation, 1e-9);
}

TEST(BayesEvo, NeedsFewerEvaluationsThanEvolution) {
  const Problem problem{tiles(), [](const Point& p) { return 1 + tile_cost(p); }, 1.0};
  double sum[2] = {0, 0};
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (int s = 0; s < 2; ++s)
      sum[s] += run(*make_strategy(s ? "bayes_evo" : "evolutionary", problem.space, {.seed = seed}), problem.f, 48, 8)
                    .second -
                problem.optimum;
  EXPECT_LT(sum[1], 0.8 * sum[0]);
}

/// A prior that is right but for a factor that differs by algorithm finds the optimum almost at once.
TEST(BayesEvo, UsesWhatOthersKnow) {
  const auto f = [](const Point& p) { return 1 + tile_cost(p); };
  Options options;
  options.prior = [&](const std::vector<Point>& points) {
    std::vector<Belief> beliefs;
    for (const auto& p : points)
      beliefs.push_back({std::log(f(p)) + 0.3 * static_cast<double>(p.at("algorithm")), 0.3});
    return beliefs;
  };
  double informed = 0, ignorant = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    options.seed = seed;
    informed += run(*make_strategy("bayes_evo", tiles(), options), f, 24, 8).second;
    ignorant += run(*make_strategy("bayes_evo", tiles(), {.seed = seed}), f, 24, 8).second;
  }
  EXPECT_LT(informed, ignorant);
  EXPECT_LT(informed / 10, 1.6) << "the optimum is 1.3";
}

RC_GTEST_PROP(Evolutionary, AnySpaceAnySeed, (uint64_t seed)) {
  const int decisions = *rc::gen::inRange(0, 6), choices = *rc::gen::inRange(1, 6);
  const auto strategy = make_strategy("evolutionary", grid(decisions, choices), {.seed = seed});
  const auto points = run(*strategy, bowl, 60, 5).first;
  RC_ASSERT(std::set<Point>(points.begin(), points.end()).size() == points.size());
  for (const Point& p : points)
    for (const auto& [name, value] : p) RC_ASSERT(value >= 0 && value < choices);
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
