// dense<…> literals.
#pragma once
#include "frontends/stablehlo/lexer.h"
#include "frontends/stablehlo/syntax.h"

namespace rooftune::frontends::mlir {

/// What follows the word `dense`: "<…> : tensor<…>". The attribute's type is the one that stands there; its tensor has
/// that shape, or none where one value stands for all elements.
Attribute parse_dense(Lexer& lexer);

/// The tensor of `type` whose little-endian bytes are `bytes`, or one element that stands for all.
ir::Tensor tensor_of_bytes(const Lexer& lexer, size_t at, const ir::Type& type, std::string_view bytes);
std::string bytes_of_hex(const Lexer& lexer, size_t at, std::string_view hex);  // "0x…"

}  // namespace rooftune::frontends::mlir
