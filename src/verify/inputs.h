// Random inputs that a model can digest: token ids inside of their tables, masks of 0 and 1, counts that are small. What
// an input means is read off the operators that use it.
#pragma once
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::verify {

struct InputRange {
  enum class Kind : uint8_t {
    normal,    // N(0, 1)
    integers,  // uniform in [lo, hi]
    mask,      // 0 or 1, the first element of the last axis always 1 (a row that is masked altogether makes NaN)
  };
  Kind kind = Kind::normal;
  int64_t lo = 0, hi = 1;
  std::string why;  // "indexes the 30522 rows of 'embeddings'", for --explain
};

/// What may stand in a graph input, from its consumers: indices of Gather and its like lie inside of the data, counts
/// and lengths inside of what they count; integers that are only tested or converted to another kind are masks; other
/// integers are in [1, 8], those of 8 bits and fewer take their whole range, and floating-point numbers are normal.
InputRange infer_range(const ir::Graph& graph, ir::ValueId input);

class InputGenerator {
 public:
  /// Seed 0: a fresh one from the system. Dimensions of the graph's inputs must be static or bounded (InputError naming the
  /// input and its free dimension); a bounded one has its largest size.
  explicit InputGenerator(const ir::Graph& graph, uint64_t seed = 0);
  uint64_t seed() const { return seed_; }
  std::vector<ir::Tensor> next();  // in the order of graph.inputs
  /// Other sizes of free dimensions for the next tensors: random ones within the bounds, small ones as likely as large ones
  /// (log-uniform), which are returned, or those given, and the largest of the others.
  const std::map<std::string, ir::Dim>& draw_sizes();
  void set_sizes(const std::map<std::string, ir::Dim>& sizes);

 private:
  struct Input {
    ir::Type type;
    InputRange range;
  };
  uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<Input> inputs_;
  std::map<std::string, ir::Dim> symbols_, sizes_;
};

}  // namespace rooftune::verify
