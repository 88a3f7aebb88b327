// Presets: what the repository's file says, and what is wrong in others.
#include <gtest/gtest.h>

#include "base/error.h"
#include "tune/preset.h"

namespace rooftune::tune {
namespace {

std::string refused(const std::string& yaml) {
  try {
    parse_presets(yaml, "p.yaml");
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

TEST(Preset, BeginsWithTheDefault) {
  const auto all = parse_presets(
      "small:\n  population: 5\n  model: none\n  seed: 7\ndefault:\n  batch: 3\n  strategy: random\n  budget_seconds: "
      "2.5\n",
      "p.yaml");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "default");
  EXPECT_EQ(all[1].name, "small");
  EXPECT_EQ(all[1].batch, 3);
  EXPECT_EQ(all[1].population, 5);
  EXPECT_EQ(all[1].strategy, "random");
  EXPECT_EQ(all[1].model, Guide::none);
  EXPECT_EQ(all[1].budget_seconds, 2.5);
  EXPECT_EQ(all[1].seed, 7u);
  EXPECT_FALSE(all[0].seed);
  EXPECT_EQ(all[0].population, Preset{}.population);
}

TEST(Preset, SaysWhatIsWrong) {
  EXPECT_NE(refused("default:\n  batch: 0\n").find("p.yaml: preset 'default': 'batch' must be between 1"),
            std::string::npos);
  EXPECT_NE(refused("a:\n  strategy: annealing\n").find("one of random, evolutionary, bayes_evo"), std::string::npos);
  EXPECT_NE(refused("a:\n  model: oracle\n").find("none, arithmetic or learned"), std::string::npos);
  EXPECT_NE(refused("a:\n  crossover: 1.5\n").find("between 0 and 1"), std::string::npos);
  EXPECT_NE(refused("a:\n  speed: 3\n").find("'speed'"), std::string::npos);
  EXPECT_NE(refused("a: 3\n").find("preset 'a' must be a map"), std::string::npos);
  EXPECT_NE(refused("- a\n").find("under their names"), std::string::npos);
  EXPECT_NE(refused("a: [").find("not valid YAML"), std::string::npos);
}

TEST(Preset, TheOnesThatComeWithTheProgram) {
  for (const char* name :
       {"default", "quick", "thorough", "reproducible", "random", "evolutionary", "guided", "bayesian"})
    EXPECT_EQ(find_preset(name).name, name);
  EXPECT_EQ(find_preset("random").strategy, "random");
  EXPECT_TRUE(find_preset("reproducible").seed);
  try {
    find_preset("fastest");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("no preset 'fastest'; there are default, quick"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace rooftune::tune
