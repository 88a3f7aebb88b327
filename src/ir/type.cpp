#include "ir/type.h"

#include "base/error.h"
#include "ir/text.h"

namespace rooftune::ir {

Type Type::tensor(DType dtype, std::optional<Shape> shape) {
  Type t;
  t.kind_ = Kind::tensor;
  t.dtype_ = dtype;
  t.shape_ = std::move(shape);
  return t;
}

Type Type::sequence(Type element) {
  Type t;
  t.kind_ = Kind::sequence;
  t.element_ = std::make_shared<const Type>(std::move(element));
  return t;
}

Type Type::optional(Type element) {
  Type t = sequence(std::move(element));
  t.kind_ = Kind::optional;
  return t;
}

const Shape& Type::shape() const {
  RT_CHECK(shape_.has_value(), "the shape of {}", to_string());
  return *shape_;
}

const Type& Type::element() const {
  RT_CHECK(element_ != nullptr, "the element of {}", to_string());
  return *element_;
}

std::string Type::to_string() const {
  switch (kind_) {
    case Kind::none: return "?";
    case Kind::tensor: return std::string(name(dtype_)) + (shape_ ? ir::to_string(*shape_) : "[*]");
    case Kind::sequence: return "seq(" + element_->to_string() + ")";
    case Kind::optional: return "optional(" + element_->to_string() + ")";
  }
  return "?";
}

Type parse_type(Scanner& scanner) {
  const Scanner::Nested nested(scanner);
  if (scanner.accept("?")) return {};
  const std::string word = scanner.word();
  if (word == "seq" || word == "optional") {
    scanner.expect("(");
    Type element = parse_type(scanner);
    scanner.expect(")");
    return word == "seq" ? Type::sequence(std::move(element)) : Type::optional(std::move(element));
  }
  const auto dtype = word == "undefined" ? DType::undefined : parse_dtype(word);
  if (!dtype) scanner.fail("'" + word + "' is not an element type");
  scanner.expect("[");
  if (scanner.accept("*")) {
    scanner.expect("]");
    return Type::tensor(*dtype);
  }
  Shape shape;
  while (!scanner.accept("]")) {
    if (!shape.empty()) scanner.expect(",");
    shape.push_back(parse_dim(scanner));
  }
  return Type::tensor(*dtype, std::move(shape));
}

Type Type::parse(std::string_view text) {
  Scanner scanner(text);
  Type t = parse_type(scanner);
  if (!scanner.at_end()) scanner.fail("expected the end of the type");
  return t;
}

bool operator==(const Type& a, const Type& b) {
  if (a.kind_ != b.kind_ || a.dtype_ != b.dtype_ || a.shape_ != b.shape_) return false;
  return a.element_ == b.element_ || (a.element_ && b.element_ && *a.element_ == *b.element_);
}

}  // namespace rooftune::ir
