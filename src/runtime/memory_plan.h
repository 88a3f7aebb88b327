// Lifetimes of the temporaries of a program, which the memory plan packs into one arena.
#pragma once
#include <cstddef>
#include <vector>

#include "runtime/executable.h"

namespace rooftune::runtime {

/// Where a slot's memory is: so many bytes into that of a slot that is neither an alias nor a part. InternalError where
/// the chain is a cycle.
struct Place {
  int slot = -1;
  size_t offset = 0;
};
Place place_of(const Program& program, int slot);

/// The slot whose memory `slot` uses: the end of its alias_of chain. InternalError where the chain is a cycle.
int alias_root(const Program& program, int slot);

/// A piece of memory that must stay untouched from step `first` to step `last`, both included.
struct Lifetime {
  int slot = -1;     // root of an alias group, or -1: the workspace …
  int step = -1;     // … of this step
  size_t bytes = 0;  // a multiple of kAlignment
  int first = 0, last = 0;
  size_t offset = 0;
};
inline constexpr size_t kAlignment = 64;

/// Lifetimes of all temporaries (one per alias group) and workspaces, unplaced.
std::vector<Lifetime> lifetimes(const Program& program);
/// Sets the offsets; returns the bytes needed.
size_t place(std::vector<Lifetime>& pieces);

}  // namespace rooftune::runtime
