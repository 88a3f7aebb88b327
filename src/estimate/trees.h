// Boosted regression trees behind an interface, because the library that grows them is loaded when the first model is fitted
// and may be missing: a tuned model runs without it, and tuning falls back to arithmetic (estimate/stage_cost.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::estimate {

/// Rows of equally many numbers.
struct Matrix {
  size_t columns = 0;
  std::vector<float> values;
  size_t rows() const { return columns == 0 ? 0 : values.size() / columns; }
  void add(const std::vector<float>& row);  // InternalError where its length differs
};

struct TreeOptions {
  int rounds = 100;
  int depth = 6;
  double rate = 0.1;     // of learning
  double columns = 0.5;  // share of the columns that each tree sees
  double rows = 0.8;     // … and of the rows
  double least = 2;      // weight of a leaf
  uint64_t seed = 0;
};

class Trees {
 public:
  virtual ~Trees() = default;
  virtual std::vector<float> predict(const Matrix& rows) const = 0;
  virtual std::string save() const = 0;  // bytes that `load` reads
};

class TreeLibrary {
 public:
  virtual ~TreeLibrary() = default;
  /// On one thread; deterministic for a seed. `weights`: one per row, or none.
  virtual std::unique_ptr<Trees> fit(const Matrix& rows, const std::vector<float>& values,
                                     const std::vector<float>& weights, const TreeOptions& options) const = 0;
  virtual std::unique_ptr<Trees> load(std::string_view bytes) const = 0;  // InputError where they are damaged
};

/// Loaded on the first call; null where it is not installed beside this program, or what it needs is missing (which is
/// logged once).
const TreeLibrary* tree_library();

}  // namespace rooftune::estimate
