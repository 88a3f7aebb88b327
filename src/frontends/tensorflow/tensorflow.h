// TensorFlow's models: SavedModel folders, Keras' .keras and .h5, TFLite. TensorFlow itself and tf2onnx turn them into
// ONNX, in a process of their own (frontends/convert.h).
#pragma once
#include <memory>

#include "frontends/frontend.h"

namespace rooftune::frontends {

std::unique_ptr<Frontend> make_tensorflow_frontend();

}  // namespace rooftune::frontends
