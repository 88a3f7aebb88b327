// Search strategies: they answer a space's questions and are told what the answers were worth. They know nothing of
// kernels; who knows (tune/) describes how something is made as a Space, measures what is asked, and may tell points of
// its own (an analytical start, the tuning database) at any time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::search {

/// Answers a decision with one of `values` (ascending, at least one); `start` is the analytical answer among them.
using Choose = std::function<int64_t(const std::string& name, const std::vector<int64_t>& values, int64_t start)>;

/// Wishes, by decision: where a wish is not among the values, the nearest one is meant; where there is none, the start.
using Point = std::map<std::string, int64_t>;

/// A space is whatever its `make` can make. Which decisions there are and what their values are may depend on earlier
/// answers.
struct Space {
  /// Makes something, asking for each decision once, and returns a hash of it, so that equal things count once; nothing
  /// where what was chosen is not valid.
  std::function<std::optional<uint64_t>(const Choose&)> make;
  /// A decision that says what kind of thing is made: things of different kinds are not mixed. Empty: all are of one.
  std::string kind;
};

class Strategy {
 public:
  virtual ~Strategy() = default;

  /// Up to `n` points of valid things that were neither asked nor excluded before; fewer, at last none, where no more are
  /// found. A point holds an answer for every decision that was met.
  virtual std::vector<Point> ask(int n) = 0;
  /// The value of a point, lower is better; infinity where it failed. Points that were not asked are welcome.
  virtual void tell(const Point& point, double value) = 0;
  /// What this point makes will not be asked. False where it would not have been anyway (known, or not valid).
  virtual bool exclude(const Point& point) = 0;
  /// The same for something that was made otherwise, by its hash.
  virtual void exclude(uint64_t thing) = 0;
  /// It may be asked again.
  virtual void forget(const Point& point) = 0;
};

/// What is believed of a point's value: mean and standard deviation of its logarithm.
struct Belief {
  double mean = 0;
  double deviation = 1;
};
/// What somebody who knows more than the strategy (a cost model) believes of points, one by one.
using Prior = std::function<std::vector<Belief>(const std::vector<Point>&)>;

struct Options {
  uint64_t seed = 0;
  // of "evolutionary" and "bayes_evo":
  int elite = 12;            // the best so many are parents
  double mutation = 1.5;     // decisions of a child that are changed, on average
  double crossover = 0.3;    // share of children with two parents
  double immigrants = 0.15;  // share of random points, for ever
  // of "bayes_evo":
  int population = 48;    // points of a generation
  int generations = 2;    // that are bred on beliefs alone before any is asked
  double explore = 0.15;  // share of the points asked that are those of which least is known
  Prior prior;            // none: nothing is known before the first tell
};

/// "random", "evolutionary", "bayes_evo": deterministic for a seed and an order of tells. InputError naming what there is.
std::unique_ptr<Strategy> make_strategy(std::string_view name, Space space, const Options& options = {});
std::vector<std::string> strategy_names();

}  // namespace rooftune::search
