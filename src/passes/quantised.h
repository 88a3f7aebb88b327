// Questions about quantised values that passes share.
#pragma once
#include "passes/edit.h"

namespace rooftune::passes {

inline bool is_f32(const Graph& graph, ValueId value) {
  return value != kNone && graph.type(value).is_tensor() && graph.type(value).dtype() == ir::DType::f32;
}

/// Of 8-bit integers.
inline bool holds_bytes(const Graph& graph, ValueId value) {
  if (value == kNone || !graph.type(value).is_tensor()) return false;
  const ir::DType dtype = graph.type(value).dtype();
  return dtype == ir::DType::u8 || dtype == ir::DType::i8;
}

}  // namespace rooftune::passes
