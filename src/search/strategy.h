// Search strategies: they choose points of a space and are told what the points are worth. They know nothing of
// kernels; who knows (tune/) describes its decisions as a Space, measures what is asked, and may tell points of its own
// (an analytical start, the tuning database) at any time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::search {

/// One decision among `choices` ≥ 1 values, numbered from 0.
struct Decision {
  std::string name;
  int choices = 1;
  bool ordinal = false;  // neighbouring numbers are alike (tile sizes); otherwise numbers are only names
};

using Point = std::vector<int>;  // one number per decision

struct Space {
  std::vector<Decision> decisions;
  std::function<bool(const Point&)> valid;  // empty: every point is
};

class Strategy {
 public:
  virtual ~Strategy() = default;

  /// Up to `n` valid points that were neither asked nor told before; fewer, at last none, where no more are found.
  virtual std::vector<Point> ask(int n) = 0;

  /// The value of a valid point, lower is better; infinity where it failed. Points that were not asked are welcome; a
  /// point told twice keeps its better value. InternalError where the point does not fit the space.
  virtual void tell(const Point& point, double value) = 0;
};

struct Options {
  uint64_t seed = 0;
  // of "evolutionary":
  int population = 24;      // the best so many are parents
  int initial = 16;         // random points before the first children; told points count
  int tournament = 3;       // a parent is the best of so many drawn
  double crossover = 0.6;   // share of children with two parents
  double immigrants = 0.1;  // share of random points, for ever
};

/// "random", "evolutionary": deterministic for a seed and an order of tells. InputError naming what there is.
std::unique_ptr<Strategy> make_strategy(std::string_view name, Space space, const Options& options = {});
std::vector<std::string> strategy_names();

}  // namespace rooftune::search
