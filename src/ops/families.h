// The one list of operator families; a new family adds a line here and one in families.cpp.
#pragma once
#include "ops/op.h"

namespace rooftune::ops {

void register_families(Catalogue& catalogue);

void register_arithmetic(Catalogue& catalogue);
void register_math(Catalogue& catalogue);
void register_activations(Catalogue& catalogue);
void register_logic(Catalogue& catalogue);
void register_cast(Catalogue& catalogue);
void register_reduce(Catalogue& catalogue);
void register_arg_reduce(Catalogue& catalogue);
void register_quantize(Catalogue& catalogue);
void register_control_flow(Catalogue& catalogue);
void register_normalization_fixed(Catalogue& catalogue);
void register_normalization(Catalogue& catalogue);
void register_softmax(Catalogue& catalogue);
void register_random(Catalogue& catalogue);
void register_generate(Catalogue& catalogue);

void register_attention(Catalogue& catalogue);
void register_rotary(Catalogue& catalogue);
void register_contraction(Catalogue& catalogue);
void register_contrib_attention(Catalogue& catalogue);
void register_contrib_fused(Catalogue& catalogue);
void register_contrib_normalization(Catalogue& catalogue);
void register_contrib_quantized(Catalogue& catalogue);
void register_convolution(Catalogue& catalogue);
void register_convolution_transpose(Catalogue& catalogue);
void register_deform_convolution(Catalogue& catalogue);
void register_detection(Catalogue& catalogue);
void register_determinant(Catalogue& catalogue);
void register_einsum(Catalogue& catalogue);
void register_indexing(Catalogue& catalogue);
void register_losses(Catalogue& catalogue);
void register_ml_labels(Catalogue& catalogue);
void register_ml_trees(Catalogue& catalogue);
void register_movement(Catalogue& catalogue);
void register_ngrams(Catalogue& catalogue);
void register_pooling(Catalogue& catalogue);
void register_quantized(Catalogue& catalogue);
void register_recurrent(Catalogue& catalogue);
void register_resize(Catalogue& catalogue);
void register_sampling(Catalogue& catalogue);
void register_scatter(Catalogue& catalogue);
void register_sequences(Catalogue& catalogue);
void register_selection(Catalogue& catalogue);
void register_slicing(Catalogue& catalogue);
void register_strings(Catalogue& catalogue);

}  // namespace rooftune::ops
