// The readable text form of a graph:
//
//   graph "mlp" {
//     opset "" 17
//     input %x: f32[N,4]
//     constant %w: f32[4,2] = {1, 2, 3, 4, 5, 6, 7, 8}
//     constant %big: f32[512,512] = hash 90ab12cd34ef5678
//     %h: f32[N,2] = MatMul@13(%x, %w) "fc1"
//     %y: f32[N,2], _ = LeakyRelu@16(%h) "act" {alpha = float 0.1}
//     output %y
//   }
//
// Bodies are graphs inside the attribute braces, their captures lines "capture %inner: f32[2] = %outer".
#include "ir/text.h"

#include <charconv>

#include "base/hash.h"
#include "ir/graph.h"

namespace rooftune::ir {
namespace {

class Printer {
 public:
  Printer(const ConstantTable& constants, size_t inline_limit) : constants_(constants), inline_limit_(inline_limit) {}

  void graph(const Graph& g, const Graph* around) {
    out += "graph " + quote(g.name) + " {\n";
    indent_ += 2;
    for (const auto& [domain, version] : g.opsets) line("opset {} {}", quote(domain), version);
    for (const auto& [key, value] : g.metadata) line("metadata {} = {}", quote(key), quote(value));
    for (const ValueId v : g.inputs) line("input {}", typed(g, v));
    for (size_t i = 0; i < g.captures_inner.size(); ++i)
      line("capture {} = {}", typed(g, g.captures_inner[i]), value(*around, g.captures_outer[i]));
    for (size_t i = 0; i < g.value_capacity(); ++i) {
      const auto id = static_cast<ValueId>(i);
      if (const Tensor* t = g.constant(id)) line("constant {} = {}", typed(g, id), content(*t, g.value(id).name));
    }
    for (const NodeId n : g.order()) node(g, g.node(n));
    std::string outputs;
    for (const ValueId v : g.outputs) outputs += (outputs.empty() ? " " : ", ") + value(g, v);
    line("output{}", outputs);
    indent_ -= 2;
    out += std::string(indent_, ' ') + "}";
  }
  std::string out;

 private:
  template <typename... A>
  void line(fmt::format_string<A...> f, A&&... a) {
    out += std::string(indent_, ' ') + fmt::format(f, std::forward<A>(a)...) + "\n";
  }

  static std::string value(const Graph& g, ValueId v) { return v == kNone ? "_" : "%" + quote_name(g.value(v).name); }
  static std::string typed(const Graph& g, ValueId v) {
    return v == kNone ? "_" : value(g, v) + ": " + g.type(v).to_string();
  }

  /// Elements, or the hash of a large tensor, with its key where that is not `expected`.
  std::string content(const Tensor& t, const std::string& expected) {
    if (static_cast<size_t>(t.size()) <= inline_limit_) return print_elements(t);
    const std::string& key = constants_.key_of.at(&t);
    return "hash " + to_hex(content_hash(t)) + (key == expected ? "" : " " + quote(key));
  }

  std::string tensor(const Tensor& t) {
    return fmt::format("{}[{}] {}", name(t.dtype()), fmt::join(t.shape(), ","), content(t, ""));
  }

  void node(const Graph& g, const Node& n) {
    std::string outputs, inputs;
    for (const ValueId v : n.outputs) outputs += (outputs.empty() ? "" : ", ") + typed(g, v);
    for (const ValueId v : n.inputs) inputs += (inputs.empty() ? "" : ", ") + value(g, v);
    out += std::string(indent_, ' ') + outputs + (outputs.empty() ? "= " : " = ");
    if (!n.domain.empty()) out += quote_name(n.domain) + "::";
    out += fmt::format("{}@{}({}) {}", quote_name(n.op), n.since_version, inputs, quote(n.name));
    if (!n.attributes.empty()) {
      out += " {";
      bool first = true;
      for (const auto& [key, a] : n.attributes) {
        out += (first ? "" : ", ") + quote_name(key) + " = ";
        std::visit([&](const auto& x) { attribute(x, g); }, a);
        first = false;
      }
      out += "}";
    }
    out += "\n";
  }

  static std::string number(float v) { return print_element(Tensor::of<float>(DType::f32, {}, {v}), 0); }

  template <typename T, typename F>
  void list(std::string_view kind, const std::vector<T>& items, F&& print) {
    out += std::string(kind) + "[";
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      print(items[i]);
    }
    out += "]";
  }

  void attribute(int64_t v, const Graph&) { out += std::to_string(v); }
  void attribute(float v, const Graph&) { out += "float " + number(v); }
  void attribute(const std::string& v, const Graph&) { out += quote(v); }
  void attribute(const Tensor& v, const Graph&) { out += "tensor " + tensor(v); }
  void attribute(const std::shared_ptr<Graph>& v, const Graph& around) { graph(*v, &around); }
  void attribute(const Type& v, const Graph&) { out += "type " + v.to_string(); }
  void attribute(const std::vector<int64_t>& v, const Graph&) {
    list("", v, [&](int64_t x) { out += std::to_string(x); });
  }
  void attribute(const std::vector<float>& v, const Graph&) {
    list("floats ", v, [&](float x) { out += number(x); });
  }
  void attribute(const std::vector<std::string>& v, const Graph&) {
    list("strings ", v, [&](const std::string& x) { out += quote(x); });
  }
  void attribute(const std::vector<Tensor>& v, const Graph&) {
    list("tensors ", v, [&](const Tensor& x) { out += tensor(x); });
  }
  void attribute(const std::vector<std::shared_ptr<Graph>>& v, const Graph& around) {
    list("graphs ", v, [&](const std::shared_ptr<Graph>& x) { graph(*x, &around); });
  }

  const ConstantTable& constants_;
  size_t inline_limit_;
  size_t indent_ = 0;
};

class Parser {
 public:
  Parser(std::string_view text, const std::map<std::string, Tensor>& constants) : in_(text), constants_(constants) {}

  Graph whole() {
    in_.expect("graph");
    Graph g = graph(nullptr);
    if (!in_.at_end()) in_.fail("expected the end of the graph");
    return g;
  }

 private:
  Graph graph(const Graph* around) {
    const Scanner::Nested nested(in_);
    Graph g;
    g.name = in_.quoted();
    in_.expect("{");
    while (!in_.accept("output")) statement(g, around);
    while (in_.peek() == '%') {
      g.outputs.push_back(use(g));
      if (!in_.accept(",")) break;
    }
    in_.expect("}");
    return g;
  }

  void statement(Graph& g, const Graph* around) {
    if (in_.accept("opset")) {
      const std::string domain = in_.quoted();
      g.opsets[domain] = static_cast<int>(in_.integer());
    } else if (in_.accept("metadata")) {
      const std::string key = in_.quoted();
      in_.expect("=");
      g.metadata[key] = in_.quoted();
    } else if (in_.accept("input")) {
      g.inputs.push_back(define(g));
    } else if (in_.accept("capture")) {
      if (!around) in_.fail("only the body of a node captures values");
      const ValueId inner = define(g);
      in_.expect("=");
      g.captures_outer.push_back(use(*around));
      g.captures_inner.push_back(inner);
    } else if (in_.accept("constant")) {
      const ValueId v = define(g);
      in_.expect("=");
      const Type& type = g.type(v);
      if (!type.is_static()) in_.fail("a constant needs a static shape");
      g.value(v).constant = content(type.dtype(), static_values(type.shape()), g.value(v).name);
    } else {
      node(g);
    }
  }

  std::string value_name() {
    in_.expect("%");
    std::string name = in_.name();
    if (name.empty()) in_.fail("a value needs a name");
    return name;
  }

  ValueId use(const Graph& g) {
    const std::string name = value_name();
    const auto v = g.find_value(name);
    if (!v) in_.fail("'" + name + "' is not defined before its use");
    return *v;
  }

  ValueId define(Graph& g) {
    std::string name = value_name();
    if (g.find_value(name)) in_.fail("'" + name + "' is defined twice");
    in_.expect(":");
    return g.add_value(std::move(name), parse_type(in_));
  }

  void node(Graph& g) {
    Node n;
    while (!in_.accept("=")) {
      if (!n.outputs.empty()) in_.expect(",");
      n.outputs.push_back(in_.accept("_") ? kNone : define(g));
    }
    n.op = in_.name();
    if (in_.accept("::")) {
      n.domain = std::move(n.op);
      n.op = in_.name();
    }
    in_.expect("@");
    n.since_version = static_cast<int>(in_.integer());
    in_.expect("(");
    while (!in_.accept(")")) {
      if (!n.inputs.empty()) in_.expect(",");
      n.inputs.push_back(in_.accept("_") ? kNone : use(g));
    }
    n.name = in_.quoted();
    if (in_.accept("{")) {
      do {
        const std::string key = in_.name();
        in_.expect("=");
        n.attributes[key] = attribute(g);
      } while (in_.accept(","));
      in_.expect("}");
    }
    const std::string name = n.name;
    const NodeId id = g.add_node(std::move(n));
    if (g.node(id).name != name) in_.fail("a second node '" + name + "'");
  }

  template <typename F>
  auto list(F&& item) {
    std::vector<decltype(item())> items;
    in_.expect("[");
    while (!in_.accept("]")) {
      if (!items.empty()) in_.expect(",");
      items.push_back(item());
    }
    return items;
  }

  Attribute attribute(const Graph& around) {
    const auto number = [this] {
      Tensor t(DType::f32, {});
      parse_element(in_, t, 0);
      return t.data<float>()[0];
    };
    const auto body = [&] {
      in_.expect("graph");
      return std::make_shared<Graph>(graph(&around));
    };
    if (in_.next_is_quoted()) return in_.quoted();
    if (in_.peek() == '[') return list([this] { return in_.integer(); });
    if (in_.accept("float")) return number();
    if (in_.accept("tensor")) return tensor();
    if (in_.accept("type")) return parse_type(in_);
    if (in_.accept("floats")) return list(number);
    if (in_.accept("strings")) return list([this] { return in_.quoted(); });
    if (in_.accept("tensors")) return list([this] { return tensor(); });
    if (in_.accept("graphs")) return list(body);
    if (in_.accept("graph")) return std::make_shared<Graph>(graph(&around));
    return in_.integer();
  }

  Tensor tensor() {
    const Type type = parse_type(in_);
    if (!type.is_static()) in_.fail("a tensor needs a static shape");
    return content(type.dtype(), static_values(type.shape()), "");
  }

  Tensor content(DType dtype, std::vector<int64_t> shape, const std::string& expected) {
    if (dtype == DType::undefined) in_.fail("a tensor needs an element type");
    if (!in_.accept("hash")) return parse_elements(in_, dtype, std::move(shape));
    const std::string hash = in_.name();
    const std::string key = in_.next_is_quoted() ? in_.quoted() : expected;
    const auto it = constants_.find(key);
    if (it == constants_.end()) in_.fail("the constant '" + key + "' is not given");
    const Tensor& t = it->second;
    if (t.dtype() != dtype || t.shape() != shape || to_hex(content_hash(t)) != hash)
      in_.fail("the constant '" + key + "' is another than the one printed");
    return t;
  }

  Scanner in_;
  const std::map<std::string, Tensor>& constants_;
};

}  // namespace

std::string print(const Graph& graph, size_t inline_limit) {
  const ConstantTable constants = collect_constants(graph);
  Printer printer(constants, inline_limit);
  printer.graph(graph, nullptr);
  return printer.out + "\n";
}

Graph parse(std::string_view text, const std::map<std::string, Tensor>& constants) {
  return Parser(text, constants).whole();
}

}  // namespace rooftune::ir
