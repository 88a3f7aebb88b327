#include "ir/json.h"

#include <charconv>

#include "ir/text.h"

namespace rooftune::ir {
namespace {

constexpr int kMostNesting = 100;

std::string float_text(float v) { return print_element(Tensor::of<float>(DType::f32, {}, {v}), 0); }

float parse_float(const std::string& text) {
  Scanner scanner(text);
  Tensor t(DType::f32, {});
  parse_element(scanner, t, 0);
  if (!scanner.at_end()) scanner.fail("expected the end of the number");
  return t.data<float>()[0];
}

bool is_utf8(const std::string& s) {
  try {
    (void)Json(s).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

Json string_json(const std::string& s) {
  if (is_utf8(s)) return s;
  std::string hex;
  for (const char c : s) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return Json{{"hex", hex}};
}

class Writer {
 public:
  explicit Writer(const ConstantTable& constants) : constants_(constants) {}

  Json graph(const Graph& g, const Graph* around) {
    const auto names = [](const Graph& of, const std::vector<ValueId>& ids) {
      Json list = Json::array();
      for (const ValueId v : ids) list.push_back(v == kNone ? Json(nullptr) : string_json(of.value(v).name));
      return list;
    };
    Json j;
    j["name"] = string_json(g.name);
    if (!g.opsets.empty()) j["opsets"] = pairs(g.opsets);
    if (!g.metadata.empty()) j["metadata"] = pairs(g.metadata);
    j["inputs"] = names(g, g.inputs);
    j["outputs"] = names(g, g.outputs);
    if (around) {
      j["captures"] = Json::array();
      for (size_t i = 0; i < g.captures_inner.size(); ++i)
        j["captures"].push_back(
            {string_json(g.value(g.captures_inner[i]).name), string_json(around->value(g.captures_outer[i]).name)});
    }
    j["values"] = Json::array();
    for (size_t i = 0; i < g.value_capacity(); ++i) {
      const auto id = static_cast<ValueId>(i);
      if (!g.value_alive(id)) continue;
      Json value = Json::array({string_json(g.value(id).name), type(g.type(id))});
      if (const Tensor* t = g.constant(id)) value.push_back(tensor(*t));
      j["values"].push_back(std::move(value));
    }
    j["nodes"] = Json::array();
    for (const NodeId id : g.order()) {
      const Node& n = g.node(id);
      Json node;
      node["name"] = string_json(n.name);
      node["op"] = string_json(n.op);
      if (!n.domain.empty()) node["domain"] = string_json(n.domain);
      node["version"] = n.since_version;
      node["inputs"] = names(g, n.inputs);
      node["outputs"] = names(g, n.outputs);
      if (!n.attributes.empty()) {
        node["attributes"] = Json::array();
        for (const auto& [key, a] : n.attributes) {
          Json value = std::visit([&](const auto& x) { return attribute(x, g); }, a);
          node["attributes"].push_back({string_json(key), std::move(value)});
        }
      }
      j["nodes"].push_back(std::move(node));
    }
    return j;
  }

 private:
  template <typename T>
  static Json pairs(const std::map<std::string, T>& map) {
    Json list = Json::array();
    for (const auto& [key, value] : map) {
      if constexpr (std::is_same_v<T, std::string>) list.push_back({string_json(key), string_json(value)});
      else list.push_back({string_json(key), value});
    }
    return list;
  }

  static Json type(const Type& t) { return t.to_string(); }

  Json tensor(const Tensor& t) const {
    if (t.dtype() != DType::string) return string_json(constants_.key_of.at(&t));
    Json strings = Json::array();
    for (const std::string& s : t.strings()) strings.push_back(string_json(s));
    return Json{{"shape", t.shape()}, {"strings", std::move(strings)}};
  }

  template <typename T, typename F>
  static Json list(const char* kind, const std::vector<T>& items, F&& f) {
    Json array = Json::array();
    for (const T& x : items) array.push_back(f(x));
    return Json{{kind, std::move(array)}};
  }

  Json attribute(int64_t v, const Graph&) { return Json{{"int", v}}; }
  Json attribute(float v, const Graph&) { return Json{{"float", float_text(v)}}; }
  Json attribute(const std::string& v, const Graph&) { return Json{{"string", string_json(v)}}; }
  Json attribute(const Tensor& v, const Graph&) { return Json{{"tensor", tensor(v)}}; }
  Json attribute(const Type& v, const Graph&) { return Json{{"type", type(v)}}; }
  Json attribute(const std::shared_ptr<Graph>& v, const Graph& g) { return Json{{"graph", graph(*v, &g)}}; }
  Json attribute(const std::vector<int64_t>& v, const Graph&) { return Json{{"ints", v}}; }
  Json attribute(const std::vector<float>& v, const Graph&) { return list("floats", v, float_text); }
  Json attribute(const std::vector<std::string>& v, const Graph&) { return list("strings", v, string_json); }
  Json attribute(const std::vector<Tensor>& v, const Graph&) {
    return list("tensors", v, [this](const Tensor& t) { return tensor(t); });
  }
  Json attribute(const std::vector<std::shared_ptr<Graph>>& v, const Graph& g) {
    return list("graphs", v, [&](const std::shared_ptr<Graph>& body) { return graph(*body, &g); });
  }

  const ConstantTable& constants_;
};

class Reader {
 public:
  Reader(const std::map<std::string, Tensor>& constants, std::string_view source)
      : constants_(constants), source_(source) {}

  Graph graph(const Json& j, const Graph* around) {
    if (++depth_ > kMostNesting) fail("graphs are nested too deeply");
    Graph g;
    g.name = string(field(j, "name"));
    if (j.contains("opsets"))
      for (const Json& p : array(j["opsets"])) g.opsets[string(at(p, 0))] = static_cast<int>(integer(at(p, 1)));
    if (j.contains("metadata"))
      for (const Json& p : array(j["metadata"])) g.metadata[string(at(p, 0))] = string(at(p, 1));
    for (const Json& v : array(field(j, "values"))) value(g, v);
    g.inputs = values(g, field(j, "inputs"));
    g.outputs = values(g, field(j, "outputs"));
    if (around) {
      for (const Json& p : array(field(j, "captures"))) {
        g.captures_inner.push_back(find(g, at(p, 0)));
        g.captures_outer.push_back(find(*around, at(p, 1)));
      }
    }
    for (const Json& n : array(field(j, "nodes"))) node(g, n);
    place_ = "";
    --depth_;
    return g;
  }

  [[noreturn]] void fail(const std::string& what) const { throw InputError("{}: {}{}", source_, place_, what); }

 private:
  const Json& field(const Json& j, const char* key) const {
    const auto it = j.find(key);
    if (!j.is_object() || it == j.end()) fail(fmt::format("field '{}' is missing", key));
    return *it;
  }

  const Json& array(const Json& j) const {
    if (!j.is_array()) fail(fmt::format("expected an array, found {}", j.type_name()));
    return j;
  }

  const Json& at(const Json& j, size_t i) const {
    if (array(j).size() <= i) fail(fmt::format("expected an array of at least {}", i + 1));
    return j[i];
  }

  int64_t integer(const Json& j) const {
    if (!j.is_number_integer()) fail(fmt::format("expected an integer, found {}", j.type_name()));
    return j.get<int64_t>();
  }

  std::string string(const Json& j) const {
    if (j.is_string()) return j.get<std::string>();
    if (!j.is_object() || !j.contains("hex") || !j["hex"].is_string())
      fail(fmt::format("expected a string, found {}", j.type_name()));
    const std::string hex = j["hex"].get<std::string>();
    std::string out(hex.size() / 2, 0);
    for (size_t i = 0; i < out.size(); ++i) {
      unsigned byte = 0;
      const char* digits = hex.data() + 2 * i;
      if (std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) fail("a hex string has other characters");
      out[i] = static_cast<char>(byte);
    }
    return out;
  }

  Type type(const Json& j) const {
    try {
      return Type::parse(string(j));
    } catch (const InputError& e) {
      fail(fmt::format("type {}: {}", j.dump(-1, ' ', false, Json::error_handler_t::replace), e.what()));
    }
  }

  Tensor tensor(const Json& j) const {
    if (j.is_object() && j.contains("strings")) {
      std::vector<int64_t> shape;
      for (const Json& d : array(field(j, "shape"))) shape.push_back(integer(d));
      std::vector<std::string> strings;
      for (const Json& s : array(j["strings"])) strings.push_back(string(s));
      if (checked_element_count(shape) != static_cast<int64_t>(strings.size()))
        fail(fmt::format("{} strings for the shape [{}]", strings.size(), fmt::join(shape, ",")));
      return Tensor::of_strings(std::move(shape), std::move(strings));
    }
    const auto it = constants_.find(string(j));
    if (it == constants_.end()) fail(fmt::format("the constant '{}' is not given", string(j)));
    return it->second;
  }

  void value(Graph& g, const Json& j) {
    const std::string name = string(at(j, 0));
    place_ = fmt::format("value '{}': ", name);
    if (name.empty() || g.find_value(name)) fail("the name is empty or stands twice");
    const ValueId id = g.add_value(name, type(at(j, 1)));
    if (j.size() > 2) g.value(id).constant = tensor(j[2]);
  }

  ValueId find(const Graph& g, const Json& j) const {
    const auto v = g.find_value(string(j));
    if (!v) fail(fmt::format("there is no value '{}'", string(j)));
    return *v;
  }

  std::vector<ValueId> values(const Graph& g, const Json& j) const {
    std::vector<ValueId> out;
    for (const Json& name : array(j)) out.push_back(name.is_null() ? kNone : find(g, name));
    return out;
  }

  void node(Graph& g, const Json& j) {
    place_ = "";
    Node n;
    n.name = string(field(j, "name"));
    place_ = fmt::format("node '{}': ", n.name);
    n.op = string(field(j, "op"));
    if (j.contains("domain")) n.domain = string(j["domain"]);
    n.since_version = static_cast<int>(integer(field(j, "version")));
    n.inputs = values(g, field(j, "inputs"));
    n.outputs = values(g, field(j, "outputs"));
    for (const ValueId v : n.outputs)
      if (v != kNone && (g.constant(v) || g.value(v).producer != kNone)) fail("an output is defined elsewhere too");
    if (j.contains("attributes")) {
      for (const Json& a : array(j["attributes"])) {
        const std::string key = string(at(a, 0)), before = place_;
        place_ += fmt::format("attribute '{}': ", key);
        n.attributes[key] = attribute(at(a, 1), g);
        place_ = before;
      }
    }
    const std::string name = n.name;
    if (g.node(g.add_node(std::move(n))).name != name) fail("the name is empty or stands twice");
  }

  template <typename F>
  auto list(const Json& j, F&& f) {
    std::vector<decltype(f(j))> out;
    for (const Json& x : array(j)) out.push_back(f(x));
    return out;
  }

  Attribute attribute(const Json& j, const Graph& g) {
    if (!j.is_object() || j.size() != 1) fail("expected an object with one field, its kind");
    const std::string kind = j.begin().key();
    const Json& v = j.begin().value();
    const auto string_of = [this](const Json& x) { return string(x); };
    const auto float_of = [this](const Json& x) {
      try {
        return parse_float(string(x));
      } catch (const InputError& e) {
        fail(e.what());
      }
    };
    const auto body = [&](const Json& x) { return std::make_shared<Graph>(graph(x, &g)); };
    if (kind == "int") return integer(v);
    if (kind == "float") return float_of(v);
    if (kind == "string") return string(v);
    if (kind == "tensor") return tensor(v);
    if (kind == "type") return type(v);
    if (kind == "graph") return body(v);
    if (kind == "ints") return list(v, [this](const Json& x) { return integer(x); });
    if (kind == "floats") return list(v, float_of);
    if (kind == "strings") return list(v, string_of);
    if (kind == "tensors") return list(v, [this](const Json& x) { return tensor(x); });
    if (kind == "graphs") return list(v, body);
    fail(fmt::format("'{}' is no kind of attribute", kind));
  }

  const std::map<std::string, Tensor>& constants_;
  std::string source_;
  std::string place_;  // "node 'x': "
  int depth_ = 0;
};

}  // namespace

Json to_json(const Graph& graph) {
  const ConstantTable constants = collect_constants(graph);
  return Writer(constants).graph(graph, nullptr);
}

Graph from_json(const Json& json, const std::map<std::string, Tensor>& constants, std::string_view source) {
  Reader reader(constants, source);
  Graph g = reader.graph(json, nullptr);
  try {
    verify(g);
  } catch (const InternalError& e) {  // the document is at fault, not we
    reader.fail(e.what());
  }
  return g;
}

}  // namespace rooftune::ir
