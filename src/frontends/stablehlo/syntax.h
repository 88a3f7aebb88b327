// The text form of an MLIR module as data: functions of operations with attributes, regions and types. Operations that
// stand in their own pretty form and those in the generic form come out alike, so nothing above this file knows which
// of them it reads.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/tensor.h"
#include "ir/type.h"

namespace rooftune::frontends::mlir {

/// A dimension that is written '?'.
inline constexpr const char* kUnknownDim = "?";

struct Attribute {
  enum class Kind { unit, number, string, word, symbol, list, dict, tensor, type, function_type, opaque };
  Kind kind = Kind::unit;
  size_t at = 0;     // where it stands in the text
  std::string text;  // of a number (as it is written), string, word (an enumerator, too) or symbol (without '@')
  std::vector<Attribute> items;             // of a list; `[1] x [0]` and `[b, f]x[i, o]->[b, f]` are lists of lists
  std::map<std::string, Attribute> fields;  // of a dict; `#stablehlo.gather<…>` is one, too
  ir::Tensor tensor;                        // of dense<…>
  ir::Type type;
  std::vector<ir::Type> arguments, results;  // of a function type
};

struct Operation;

struct Argument {
  std::string name;  // without '%'
  ir::Type type;
  std::string location;  // the name that loc("…") gives, or an alias "#loc3", or nothing
  std::map<std::string, Attribute> attributes;
};

/// One block: regions with several do not occur in what is supported.
struct Region {
  std::vector<Argument> arguments;
  std::vector<Operation> operations;
};

struct Operation {
  std::string name;  // "stablehlo.add", "func.call"
  size_t at = 0;
  std::vector<std::string> results;   // "0", "cst_1"; those of a group are "0#0", "0#1"
  std::vector<std::string> operands;  // by the same names
  std::vector<ir::Type> operand_types;
  std::vector<ir::Type> result_types;
  std::map<std::string, Attribute>
      attributes;  // pretty forms keep their own names: "dims" beside "broadcast_dimensions"
  std::vector<Region> regions;
  std::string location;
};

struct Function {
  std::string name;
  size_t at = 0;
  std::vector<Argument> arguments;
  std::vector<ir::Type> result_types;
  std::vector<std::map<std::string, Attribute>> result_attributes;
  Region body;
};

struct Module {
  std::string name;
  std::map<std::string, Function> functions;
  std::map<std::string, std::string> locations;  // "#loc3" → the name it gives, or another alias

  /// The name behind a location; empty where it has none.
  std::string location_name(const std::string& location) const;
};

/// InputError "line 3, column 7: …" for text that is malformed or that is not supported.
Module parse_module(std::string_view text);

[[noreturn]] void fail_at(std::string_view text, size_t at, const std::string& what);
/// "tensor<2x?xf32>".
std::string text_of(const ir::Type& type);

}  // namespace rooftune::frontends::mlir
