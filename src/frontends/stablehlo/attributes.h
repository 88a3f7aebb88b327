// Attributes and locations of MLIR text; what they refer to (aliases, resources) is kept here.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/stablehlo/lexer.h"
#include "frontends/stablehlo/syntax.h"

namespace rooftune::frontends::mlir {

class AttributeReader {
 protected:
  using Attributes = std::map<std::string, Attribute>;

  explicit AttributeReader(std::string_view text) : lexer_(text) {}

  std::string alias_name();
  /// {-# dialect_resources: { builtin: { name: "0x…", … } } #-}
  void resources();
  std::string resource_name();
  std::string location();
  std::string location_body();
  std::string location_name();
  Attributes dictionary();
  Attributes fields(std::string_view close);
  /// A number or string may have its type behind it, but not where a pretty form goes on with ':' and types.
  Attribute attribute(bool typed = true);
  Attribute word_attribute();
  Attribute resource(size_t at);
  /// Resources stand at the end of the file, after their uses.
  void read_resources();
  Attribute list();
  /// An attribute, or start:limit[:stride] of a slice.
  Attribute attribute_or_range();
  /// [1] x [0] and [b, 0, f]x[0, i, o]->[b, 0, f] are lists of lists.
  Attribute list_of_lists();
  /// #stablehlo.gather<a = [1], …> is a dictionary, #stablehlo<comparison_direction LT> the word LT,
  /// #stablehlo.conv<[…]x[…]->[…]> a list; #name is an alias.
  Attribute dialect_attribute();
  std::vector<ir::Type> parenthesised_types();

  Lexer lexer_;
  Attributes aliases_;

 private:
  std::map<std::string, std::pair<size_t, std::string>> resources_;  // where each stands, and its text
  bool resources_read_ = false;
};

}  // namespace rooftune::frontends::mlir
