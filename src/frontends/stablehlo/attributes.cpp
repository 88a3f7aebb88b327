#include "frontends/stablehlo/attributes.h"

#include "frontends/stablehlo/literal.h"
#include "frontends/utf8.h"

namespace rooftune::frontends::mlir {

using Kind = Attribute::Kind;

std::string AttributeReader::alias_name() {
  lexer_.expect("#");
  return "#" + lexer_.word();
}

void AttributeReader::resources() {
  lexer_.expect("dialect_resources");
  lexer_.expect(":");
  lexer_.expect("{");
  while (!lexer_.accept("}")) {
    lexer_.word();
    lexer_.expect(":");
    lexer_.expect("{");
    while (!lexer_.accept("}")) {
      const std::string name = resource_name();
      lexer_.expect(":");
      const size_t at = lexer_.at();
      resources_[name] = {at, lexer_.quoted()};
      lexer_.accept(",");
    }
    lexer_.accept(",");
  }
  lexer_.expect("#-}");
}

std::string AttributeReader::resource_name() { return lexer_.peek() == '"' ? lexer_.quoted() : lexer_.word(); }

std::string AttributeReader::location() { return lexer_.accept("loc") ? location_body() : ""; }

std::string AttributeReader::location_body() {
  lexer_.expect("(");
  std::string name = location_name();
  lexer_.expect(")");
  return name;
}

std::string AttributeReader::location_name() {
  const Lexer::Nested nested(lexer_);
  if (lexer_.peek() == '#') return alias_name();
  if (lexer_.peek() == '"') {
    std::string name = lexer_.quoted();
    if (lexer_.accept(":")) {  // a place in a file: "f.py":3:1 to :20
      lexer_.integer();
      lexer_.expect(":");
      lexer_.integer();
      while (lexer_.accept("to") || lexer_.accept(":"))
        if (lexer_.peek() != ':') lexer_.integer();
      return "";
    }
    if (lexer_.accept("(")) {
      location_name();
      lexer_.expect(")");
    }
    return is_utf8(name) ? name : "";
  }
  if (lexer_.accept("unknown")) return "";
  if (lexer_.accept("callsite")) {
    lexer_.expect("(");
    std::string name = location_name();
    lexer_.expect("at");
    location_name();
    lexer_.expect(")");
    return name;
  }
  if (lexer_.accept("fused")) {
    if (lexer_.peek() == '<') lexer_.balanced();
    lexer_.expect("[");
    std::string name = location_name();
    while (lexer_.accept(",")) location_name();
    lexer_.expect("]");
    return name;
  }
  if (lexer_.accept("loc")) return location_body();
  lexer_.fail("expected a location");
}

AttributeReader::Attributes AttributeReader::dictionary() {
  lexer_.expect("{");
  return fields("}");
}

AttributeReader::Attributes AttributeReader::fields(std::string_view close) {
  Attributes out;
  while (!lexer_.accept(close)) {
    const std::string key = lexer_.peek() == '"' ? lexer_.quoted() : lexer_.word();
    Attribute value;
    value.at = lexer_.at();
    if (lexer_.accept("=")) value = attribute();
    out[key] = std::move(value);
    if (lexer_.peek() != close[0]) lexer_.expect(",");
  }
  return out;
}

Attribute AttributeReader::attribute(bool typed) {
  const Lexer::Nested nested(lexer_);
  Attribute out;
  out.at = lexer_.at();
  const char c = lexer_.peek();
  if (c == '"') {
    out.kind = Kind::string;
    out.text = lexer_.quoted();
  } else if (c == '[') {
    out = list_of_lists();
  } else if (c == '{') {
    out.kind = Kind::dict;
    out.fields = dictionary();
  } else if (c == '@') {
    out.kind = Kind::symbol;
    out.text = lexer_.symbol();
  } else if (c == '#') {
    return dialect_attribute();
  } else if (c == '(') {
    out.kind = Kind::function_type;
    out.arguments = parenthesised_types();
    lexer_.expect("->");
    if (lexer_.peek() == '(') out.results = parenthesised_types();
    else out.results.push_back(lexer_.type());
  } else if (c == '<') {
    out.kind = Kind::opaque;
    out.text = lexer_.balanced();
  } else if (lexer_.next_is_word()) {
    return word_attribute();
  } else {
    out.kind = Kind::number;
    out.text = lexer_.number();
  }
  if (typed && (out.kind == Kind::string || out.kind == Kind::number) && lexer_.accept(":")) {
    if (lexer_.peek() == 't') lexer_.type();
    else lexer_.word();
  }
  return out;
}

Attribute AttributeReader::word_attribute() {
  Attribute out;
  out.at = lexer_.at();
  if (lexer_.accept("dense")) return parse_dense(lexer_);
  if (lexer_.accept("dense_resource")) return resource(out.at);
  if (lexer_.accept("array")) {
    lexer_.expect("<");
    lexer_.word();
    out.kind = Kind::list;
    if (lexer_.accept(":")) do
        out.items.push_back(attribute());
      while (lexer_.accept(","));
    lexer_.expect(">");
    return out;
  }
  if (lexer_.peek() == 't') {
    const size_t start = lexer_.at();
    if (lexer_.accept("tensor")) {
      lexer_.rewind(start);
      out.kind = Kind::type;
      out.type = lexer_.type();
      return out;
    }
  }
  out.kind = Kind::word;
  out.text = lexer_.word();
  if (lexer_.peek() == '<') lexer_.balanced();  // of a kind that nothing here needs: dense_array, affine_map
  return out;
}

Attribute AttributeReader::resource(size_t at) {
  lexer_.expect("<");
  const size_t name_at = lexer_.at();
  const std::string name = resource_name();
  lexer_.expect(">");
  lexer_.expect(":");
  Attribute out;
  out.kind = Kind::tensor;
  out.at = at;
  out.type = lexer_.type();
  if (!resources_read_) read_resources();
  const auto it = resources_.find(name);
  if (it == resources_.end())
    lexer_.fail_here(name_at,
                     fmt::format("there is no resource '{}' in the text: print it with large constants", name));
  if (!out.type.is_static()) lexer_.fail_here(at, "a literal needs a type without '?'");
  std::string bytes = bytes_of_hex(lexer_, it->second.first, it->second.second);
  if (bytes.size() < 4) lexer_.fail_here(it->second.first, "a resource of less than the 4 bytes of its alignment");
  out.tensor = tensor_of_bytes(lexer_, it->second.first, out.type, std::string_view(bytes).substr(4));
  return out;
}

void AttributeReader::read_resources() {
  resources_read_ = true;
  const size_t found = lexer_.text().rfind("{-#");
  if (found == std::string_view::npos) return;
  const size_t back = lexer_.at();
  lexer_.rewind(found + 3);
  resources();
  lexer_.rewind(back);
}

Attribute AttributeReader::list() {
  Attribute out;
  out.kind = Kind::list;
  out.at = lexer_.at();
  lexer_.expect("[");
  while (!lexer_.accept("]")) {
    Attribute item = lexer_.accept("?") ? Attribute{} : attribute_or_range();
    out.items.push_back(std::move(item));
    if (lexer_.peek() != ']') lexer_.expect(",");
  }
  return out;
}

Attribute AttributeReader::attribute_or_range() {
  const char c = lexer_.peek();
  if (c != '-' && (c < '0' || c > '9')) return attribute();
  Attribute number;
  number.at = lexer_.at();
  number.kind = Kind::number;
  number.text = lexer_.number();
  if (lexer_.peek() != ':') return number;
  Attribute range;
  range.kind = Kind::list;
  range.at = number.at;
  range.items.push_back(number);
  while (lexer_.accept(":")) {
    if (lexer_.next_is_word()) {  // "3 : i64"
      lexer_.word();
      return number;
    }
    number.at = lexer_.at();
    number.text = lexer_.number();
    range.items.push_back(number);
  }
  return range;
}

Attribute AttributeReader::list_of_lists() {
  Attribute first = list();
  Attribute out;
  out.kind = Kind::list;
  out.at = first.at;
  while (lexer_.accept("x") || lexer_.accept("->")) {
    if (out.items.empty()) out.items.push_back(first);
    out.items.push_back(list());
  }
  return out.items.empty() ? first : out;
}

Attribute AttributeReader::dialect_attribute() {
  Attribute out;
  out.at = lexer_.at();
  const std::string name = alias_name();
  if (lexer_.peek() != '<') {
    const auto it = aliases_.find(name);
    if (it == aliases_.end()) lexer_.fail_here(out.at, fmt::format("'{}' is not defined before its use", name));
    return it->second;
  }
  const size_t start = lexer_.at();
  lexer_.expect("<");
  if (lexer_.peek() == '[') {
    out = list_of_lists();
    if (lexer_.accept(">")) return out;
  } else if (lexer_.accept(">")) {
    out.kind = Kind::dict;
    return out;
  } else if (lexer_.next_is_word()) {
    const size_t word_at = lexer_.at();
    std::string word = lexer_.word();
    if (lexer_.peek() == '=') {
      lexer_.rewind(word_at);
      out.kind = Kind::dict;
      out.fields = fields(">");
      return out;
    }
    while (lexer_.next_is_word()) word = lexer_.word();
    out.kind = Kind::word;
    out.text = word;
    if (lexer_.accept(">")) return out;
  }
  lexer_.rewind(start);
  out = Attribute{};
  out.at = start;
  out.kind = Kind::opaque;
  out.text = lexer_.balanced();
  return out;
}

std::vector<ir::Type> AttributeReader::parenthesised_types() {
  std::vector<ir::Type> out;
  lexer_.expect("(");
  while (!lexer_.accept(")")) {
    out.push_back(lexer_.type());
    if (lexer_.peek() != ')') lexer_.expect(",");
  }
  return out;
}

}  // namespace rooftune::frontends::mlir
