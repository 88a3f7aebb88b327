// A Schedule says *how* a kernel is computed: per stage a loop nest, where the stage is computed and where its result
// is held. It is data: it prints, parses, hashes, compares, and never changes a result beyond the kernel's error class.
//
// Loops are written outermost first as axis/step. A loop over an axis walks the range that the enclosing loop of the
// same axis leaves it (or the whole region) in steps; what is left over at the end is emitted as a tail of its own.
//   y:   n/48 m/8:p m:u n/16:u n:v         tiles of 8 x 48; tasks over m/8; rows unrolled; 3 vectors of 16
//   acc: @y.1 k m:u n/16:u n:v             computed inside y's second loop, before its inner loops
//   acc: @y.1 k/4 m:u n/16:u n:v k:d       four elements of k at once in every lane (a dot product of bytes)
//   acc: @y.1 k/64 m/16:u n/16:u m:t n:t k:t   four tiles of 16 x 16 sums, each of rows of 64 bytes (tile products)
//   $1:  (1,48,64)(0,1,768)(1,1,48)        buffer 1 (a constant) prepared once in this layout
// A stage may also say ~y (its axis y slides) and the layout of its buffer; prefetches stand on lines of their own:
//   u:   @d.1 ~y y x:u c:v (1,1,3)(2,1,56)(0,1,144)
//   prefetch: $0@acc.0+x/14                in each turn of acc's first loop, what acc reads of buffer 0 there, but 14
//                                          further along x
//   prefetch: $1@acc.0+n/48|m/8*16         likewise, but 16 turns of a loop m/8 around it share the work
// Buffers go by number and not by name, so that the text fits every kernel with the same hash (parsing takes a
// constant's name too); stages and axes whose names are no identifiers, or not unique, go as #number.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::kernel {

/// dot: the innermost loop, over the at most dot_operands().width elements of a reduction axis that one lane multiplies
/// and sums in one instruction. Both operands are then read in words of 32 bits.
/// tile: the three innermost loops, over at most 16 rows, 16 columns and 16 words of such a sum, are one product of tiles.
/// Code for processors that have none, and places where operands do not lie as tiles need them, take words instead.
enum class LoopKind : uint8_t { serial, unrolled, vector, parallel, dot, tile };

inline constexpr int64_t kTileRows = 16;  // of any tile; so many columns of sums, and words in a row of an operand

struct Loop {
  int axis = 0;
  int64_t step = 1;
  LoopKind kind = LoopKind::serial;
  bool operator==(const Loop&) const = default;
};

/// A stage's loops with words in place of its tiles: the same products, by dot products of `width` elements.
std::vector<Loop> loops_in_words(const std::vector<Loop>& loops, int width);

struct StagePlan {
  std::vector<Loop> loops;
  int at_stage = -1;  // computed inside loop `at_loop` of this stage; -1: at the root (a phase of its own)
  int at_loop = -1;
  int slide_axis = -1;  // rolling storage: of this axis only what the previous iteration of the enclosing loop did not
                        // compute is computed; -1: none
  Layout layout;        // of its buffer where that is a temporary (rank 0: row-major over the region)
  bool operator==(const StagePlan&) const = default;
};

/// In each turn of `stage`'s loop `loop`: what the turn reads of `buffer`, but `distance` further along `axis`, is brought
/// into the first-level cache. It changes no result; nothing outside of the buffer is asked for.
///
/// Where what is read does not depend on the axis `shared`, which is walked around that loop in `turns` steps of
/// `shared_step`, each of them can ask for its part, into the second-level cache: what is far away (the next panel of
/// weights) then comes evenly while this one is used.
struct Prefetch {
  int stage = 0;
  int buffer = 0;
  int loop = 0;
  int axis = 0;
  int64_t distance = 1;
  int shared = -1;
  int64_t shared_step = 1, turns = 1;
  bool operator==(const Prefetch&) const = default;
};

struct Schedule {
  std::vector<StagePlan> stages;                 // as many as the kernel has
  std::vector<std::pair<int, Layout>> prepared;  // constants that are packed before the first run
  std::vector<Prefetch> prefetch;
  bool operator==(const Schedule&) const = default;
};

std::string print(const Kernel& kernel, const Schedule& schedule);
Schedule parse_schedule(const Kernel& kernel, std::string_view text);  // InputError naming line and word
uint64_t hash(const Kernel& kernel, const Schedule& schedule);         // of both

/// Why the schedule cannot be emitted ("vectorise: axis k of stage acc has stride 3 in x"); empty where it is legal.
std::string why_illegal(const Kernel& kernel, const Schedule& schedule);

}  // namespace rooftune::kernel
