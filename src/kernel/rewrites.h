// Rewrites Kernel → Kernel that keep what is computed and prepare it for schedules. Algorithms, which compute the same in
// another way, are in algorithms.h.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/space.h"

namespace rooftune::kernel {

/// Fuses neighbouring axes that every access walks contiguously (the pixels of a 1x1 convolution, a whole tensor of an
/// element-wise chain), so that tiles need not stop at row ends. fuse_axes.cpp
void fuse_axes(Kernel& kernel);

/// Where a reduction writes a temporary out of order (a transposed convolution: pixel 2y + fy) for a map that then walks
/// it in order, the temporary takes the reduction's order and the map writes out of order: both can share tiles.
/// write_through.cpp
void write_through_maps(Kernel& kernel);

/// Where a map reads a contraction's result rearranged (heads · depth as one axis), it walks the dims of what it reads and
/// writes out of order: then both can share tiles, and other stages with them. walk_as_read.cpp
void walk_maps_as_read(Kernel& kernel);

/// Σ (x / y)·w, where y is the same for all terms, becomes (Σ x·w) / y: one division for each sum and not one for each term
/// (softmax before a product). divide_after_sums.cpp
void divide_after_sums(Kernel& kernel);

/// Σ (x − zx)·(w − zw) of bytes becomes Σ x·w − zx·Σ w − zw·Σ x + n·zx·zw, exactly, in i32: what is left in the sum are the
/// products of two loads that are multiplied in words (dot_operands). Sums that read nothing but constants are computed
/// once. Padding is written out as x's zero point in a copy of x; of two i8 x becomes u8, with a zero point of 128 more,
/// unless the machine multiplies bytes of `any_signs`.
/// zero_points.cpp
void take_out_zero_points(Kernel& kernel, bool any_signs = false);

/// Σ x · (w − z) · s, w being constants of 4 or 8 bits and z and s constants for a block of what is summed or for all of it,
/// becomes dot products in words of the weights as they are stored, which so are read in as few bytes as they have; x is
/// rounded to integers of two (where it has many rows) or three `bytes` in each block. False where there is no such sum.
/// weight_words.cpp
bool multiply_weights_in_words(Kernel& kernel, int bytes = 3);

/// The stage with all maps of constants alone that it reads, and of what those read, written into it. inline.cpp
Stage with_constants_inlined(const Kernel& kernel, size_t stage);

/// In kernels of several contractions: reductions over axes of one element (the window of a pointwise convolution) lose them,
/// so that it shows what reads what where it is. drop_axes.cpp
void drop_unit_reductions(Kernel& kernel);

/// Where a contraction would have to gather its vectors from an activation (the K of Q·Kᵀ), copies that operand once into
/// a temporary in which they are contiguous. pack_operands.cpp
void pack_operands(Kernel& kernel, const Machine& machine);

}  // namespace rooftune::kernel
