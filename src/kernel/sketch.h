// From a kernel to a schedule, asking for every decision on the way (see space.h). How a kernel is sketched:
//
// 1. Groups. Every output, and every temporary that cannot be computed inside a consumer, is a root: a loop nest of its
//    own. The other temporaries are computed inside their root, at its tile over the axes that all of them share.
// 2. Tiles. Where the group is one reduction with maps around it (MatMul + bias + activation) the tile is that reduction's
//    register tile: rows x vectors of accumulators. Else (softmax, attention, layer norm) it is a strip of rows, and each
//    stage has a nest of its own within the strip.
//    Sums of products of bytes (or bf16) go by words: vectors along an axis of the packed operand, words along a
//    reduction axis that lies together in the other one; where the machine has products of tiles, and the operands lie as
//    these need them, by tiles (sketch_tiles.cpp).
//    Products with weights of 4 or 8 bits go by words within blocks, each of which is scaled (sketch_words.cpp).
//    A depthwise window between two contractions walks rows, of which few exist at a time (sketch_rolling.cpp).
// 3. Constants are packed in the order in which the nest reads them.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/analysis.h"
#include "kernel/space.h"

namespace rooftune::kernel {

using Choose = std::function<int64_t(const std::string& name, const std::vector<int64_t>& legal, int64_t start)>;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The values that are at most `most`; `most` itself where none is.
inline std::vector<int64_t> up_to(std::vector<int64_t> values, int64_t most) {
  std::erase_if(values, [&](int64_t v) { return v > most; });
  if (values.empty()) values.push_back(most);
  return values;
}

class Sketch {
 public:
  Sketch(const Kernel& kernel, const Machine& machine, Choose choose);
  Schedule make();

 private:
  struct Tile {  // of a stage: how many elements of each axis are computed together
    int vector_axis = -1;
    bool vector_reduces = false;
    int vectors = 1;                            // vector registers along vector_axis
    std::vector<std::pair<int, int64_t>> rows;  // unrolled axes with their tiles, innermost last
    int dot_axis = -1;                          // reduction axis whose elements are multiplied in words …
    int64_t dot = 1;                            // … of so many
    bool tiled = false;                         // … as rows of tiles
    int64_t vector_step(int lanes) const { return int64_t{vectors} * lanes; }
  };
  struct Group {
    int root = 0;
    std::vector<int> inside;                // stages computed inside it, in order
    std::vector<int> shared;                // the root's axes that all of them share
    std::vector<std::vector<int>> axis_of;  // per stage in `inside`: its axis for each shared axis
  };

  std::vector<Group> find_groups();
  bool share_axes(Group& group) const;
  bool reads_any_of(int stage, const std::vector<int>& others) const;
  void plan_group(const Group& group);
  void plan_register_tile(const Group& group, int reduction);
  int64_t choose_depth(int stage);
  void plan_in_blocks(const Group& group, int reduction, int64_t depth);
  void plan_strip(const Group& group);
  void plan_scatter(int stage);
  int adds_words_of(int stage) const;
  bool plan_words(const Group& group, int words);
  std::vector<Loop> tile_loops(const Stage& of, const Stage& reduction, const Tile& tile,
                               const std::vector<int>& axis_of_reduction) const;
  std::vector<int> root_axes(const Group& group, int reduction) const;
  std::vector<int> rolling_chain(const Group& group) const;
  void plan_rolling(const Group& group, const std::vector<int>& chain);
  Tile choose_tile(int stage, const std::vector<int64_t>& extent);
  int64_t elements_shared(int stage, int vector_axis, const std::vector<int>& rows, int64_t of_rows) const;
  int vector_axis(int stage, const std::vector<int64_t>& extent, bool* reduces) const;
  std::pair<int, int> dot_axes(int stage, const std::vector<int64_t>& extent) const;
  bool choose_product_tiles(int stage, const std::vector<int64_t>& extent, Tile& tile);
  std::vector<Loop> row_loops(const Tile& tile, const std::pair<int, int64_t>& rows, int axis) const;
  double access_score(const Stage& stage, int buffer, const std::vector<Index>& indices, int axis, bool store) const;
  std::vector<int> row_axes(const Stage& stage, int vector_axis) const;
  std::vector<Loop> inner_loops(int stage, const Tile& tile, const std::vector<int64_t>& extent,
                                const std::string& name);
  int64_t operand_bytes(int buffer) const;
  int streamed_operand(int stage, const Tile& tile) const;
  bool broadcasts(const Stage& stage, int vector_axis) const;
  int vector_constant(const Stage& stage, int vector_axis) const;
  int64_t cheaper_order(int stage, const Tile& tile) const;
  std::vector<Loop> reduction_loops(int stage, const Tile& tile, const std::string& name);
  void mark_parallel(int stage, size_t outer_loops);
  void temporary_layout(int stage, const Tile& tile);
  void prepare_constants(int stage, const std::vector<Loop>& order);
  std::vector<int64_t> whole(int stage) const;

  const Kernel& kernel_;
  const Machine& machine_;
  Choose choose_;
  Schedule schedule_;
  std::set<int> inside_;           // temporaries that are computed inside another stage
  std::map<int, int> vector_dim_;  // of temporaries already planned: the dim along which their vectors lie
  int forced_vector_ = -1;         // the vector axis of the stage being planned, where that is known already
  int64_t depth_ = 0;              // of the blocks of the reduction being planned; 0: it is summed up at once
  bool ahead_ = false;             // the reduction being planned asks for its next rows in blocks of its reduction axis
};

}  // namespace rooftune::kernel
