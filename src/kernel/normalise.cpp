#include "kernel/math.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {

void normalise(Kernel& kernel, const Machine& machine) {
  multiply_weights_in_words(kernel);
  take_out_zero_points(kernel, machine.tiles);
  divide_after_sums(kernel);
  inline_maps(kernel);
  eliminate_dead_stages(kernel);
  drop_unit_reductions(kernel);
  write_through_maps(kernel);
  walk_maps_as_read(kernel);
  pack_operands(kernel, machine);
  fuse_axes(kernel);
  expand_math(kernel);
  verify(kernel);
}

}  // namespace rooftune::kernel
