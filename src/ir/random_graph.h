// Random graphs for the property tests of this room: every kind of attribute, type, name and nesting, meaning nothing.
#pragma once
#include <random>

#include "ir/graph.h"

namespace rooftune::ir::test {

class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : random_(seed) {}

  Graph make(int depth = 2) {
    Graph g = body(nullptr, depth);
    g.name = text();
    g.opsets[""] = 17;
    g.opsets[text()] = below(30);
    g.metadata[text()] = text();
    return g;
  }

  Tensor tensor() {
    constexpr DType kTypes[] = {DType::f32,    DType::i64, DType::u8,   DType::boolean, DType::f16,
                                DType::bf16,   DType::f64, DType::i4,   DType::u2,      DType::f8e5m2,
                                DType::f4e2m1, DType::c64, DType::c128, DType::u64,     DType::string};
    const DType d = kTypes[below(static_cast<int>(std::size(kTypes)))];
    std::vector<int64_t> shape;
    for (int r = below(3); r > 0; --r) shape.push_back(below(5));
    Tensor t(d, shape);
    if (d == DType::string) {
      for (std::string& s : t.strings()) s = text();
      return t;
    }
    for (size_t i = 0; i < t.bytes(); ++i) t.raw()[i] = static_cast<uint8_t>(random_());
    if (bit_width(d) < 8 && t.bytes() > 0) {  // the padding bits behind the last element are 0
      const auto used = static_cast<int>(t.size() * bit_width(d) % 8);
      if (used != 0) t.raw()[t.bytes() - 1] &= static_cast<uint8_t>((1 << used) - 1);
    }
    return t;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

  std::string text() {
    static const char kCharacters[] = "abcXYZ_019./-:%# \"\\\n\xc3\xa9{}=";
    std::string s(1, "qrstuvw"[below(7)]);
    for (int n = below(8); n > 0; --n) s += kCharacters[below(sizeof kCharacters - 1)];
    return s;
  }

  float number() {
    const auto bits = static_cast<uint32_t>(random_());
    float f;
    std::memcpy(&f, &bits, 4);
    return below(4) == 0 ? static_cast<float>(below(100)) : f;
  }

  Type type() {
    const int kind = below(12);
    if (kind == 0) return {};
    if (kind == 1) return Type::sequence(type());
    if (kind == 2) return Type::optional(type());
    const auto dtype = static_cast<DType>(1 + below(26));
    if (kind == 3) return Type::tensor(dtype);
    Shape shape;
    for (int r = below(4); r > 0; --r) {
      const Dim d = below(2) ? Dim(below(100)) : Dim::symbol(text(), below(3), below(2) ? Dim::kUnbounded : 10);
      shape.push_back(below(3) ? d : floordiv(d * below(9) + below(5), 3));
    }
    return Type::tensor(dtype, shape);
  }

  Attribute attribute(const Graph& around, int depth) {
    const auto list = [this](auto make) {
      std::vector<decltype(make())> v;
      for (int n = below(4); n > 0; --n) v.push_back(make());
      return v;
    };
    const auto graph = [&] { return std::make_shared<Graph>(body(&around, depth - 1)); };
    switch (below(depth > 0 ? 11 : 9)) {
      case 0: return static_cast<int64_t>(random_());
      case 1: return number();
      case 2: return text();
      case 3: return tensor();
      case 4: return type();
      case 5: return list([this] { return static_cast<int64_t>(below(2000) - 1000); });
      case 6: return list([this] { return number(); });
      case 7: return list([this] { return text(); });
      case 8: return list([this] { return tensor(); });
      case 9: return graph();
      default: return list(graph);
    }
  }

  ValueId any_value(const Graph& g) {
    for (int tries = 0; tries < 20; ++tries)
      if (const ValueId v = below(static_cast<int>(g.value_capacity())); g.value_alive(v)) return v;
    return kNone;
  }

  Graph body(const Graph* around, int depth) {
    Graph g;
    g.name = text();
    for (int n = 1 + below(3); n > 0; --n) g.add_input(text(), type());
    for (int n = around ? below(3) : 0; n > 0; --n) {
      const ValueId outer = any_value(*around);
      if (outer == kNone) continue;
      g.captures_inner.push_back(g.add_value(text(), type()));
      g.captures_outer.push_back(outer);
    }
    for (int n = below(4); n > 0; --n) g.add_constant(text(), tensor());
    for (int n = below(7); n > 0; --n) {
      Node node;
      node.op = text();
      node.domain = below(3) ? "" : text();
      node.since_version = below(24);
      node.name = below(2) ? text() : "";
      for (int i = below(4); i > 0; --i) node.inputs.push_back(below(5) ? any_value(g) : kNone);
      for (int i = below(4); i > 0; --i) node.attributes[text()] = attribute(g, depth);
      for (int i = below(3); i > 0; --i) node.outputs.push_back(below(5) ? g.add_value(text(), type()) : kNone);
      g.add_node(std::move(node));
    }
    for (int n = below(3); n > 0; --n)
      if (const ValueId v = any_value(g); v != kNone) g.outputs.push_back(v);
    return g;
  }

  std::mt19937_64 random_;
};

}  // namespace rooftune::ir::test
