#include "ops/families.h"

namespace rooftune::ops {

void register_families(Catalogue& catalogue) {
  register_attention(catalogue);
  register_rotary(catalogue);
  register_contraction(catalogue);
  register_convolution(catalogue);
  register_convolution_transpose(catalogue);
  register_deform_convolution(catalogue);
  register_detection(catalogue);
  register_determinant(catalogue);
  register_einsum(catalogue);
  register_indexing(catalogue);
  register_losses(catalogue);
  register_ml_labels(catalogue);
  register_ml_trees(catalogue);
  register_movement(catalogue);
  register_ngrams(catalogue);
  register_pooling(catalogue);
  register_quantized(catalogue);
  register_recurrent(catalogue);
  register_resize(catalogue);
  register_sampling(catalogue);
  register_scatter(catalogue);
  register_sequences(catalogue);
  register_selection(catalogue);
  register_slicing(catalogue);
  register_strings(catalogue);

  register_arithmetic(catalogue);
  register_math(catalogue);
  register_activations(catalogue);
  register_logic(catalogue);
  register_cast(catalogue);
  register_reduce(catalogue);
  register_arg_reduce(catalogue);
  register_quantize(catalogue);
  register_control_flow(catalogue);
  register_normalization_fixed(catalogue);
  register_normalization(catalogue);
  register_softmax(catalogue);
  register_random(catalogue);
  register_generate(catalogue);

  register_contrib_attention(catalogue);
  register_contrib_fused(catalogue);
  register_contrib_normalization(catalogue);
  register_contrib_quantized(catalogue);
}

}  // namespace rooftune::ops
