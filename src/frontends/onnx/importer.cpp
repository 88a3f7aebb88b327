// ModelProto → ir::Graph. Names become ids scope by scope: a scope is the main graph, a body, or the inside of a
// function that is inlined; a body that uses a name of a scope around it gets a capture.
#include <set>
#include <tuple>
#include <unordered_map>

#include "frontends/onnx/onnx.h"
#include "frontends/onnx/upgrade.h"
#include "frontends/onnx/values.h"
#include "frontends/onnx/wire.h"

namespace rooftune::frontends {
namespace {

using namespace onnx_format;
using ir::Attribute;
using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::ValueId;

constexpr int kOldestOpset = 1, kNewestOpset = 26;
constexpr int kOldestIr = 3;
constexpr int kMostNesting = 40;         // bodies and functions within each other
constexpr int64_t kMostNodes = 1 << 18;  // after inlining; small functions can call each other into the billions

std::string canonical_domain(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

using Opsets = std::map<std::string, int>;
using FunctionKey = std::tuple<std::string, std::string, std::string>;  // domain, name, overload

struct Scope {
  Graph* graph;
  Scope* around = nullptr;  // of a body; the inside of a function sees nothing around it
  const Opsets* opsets = nullptr;
  std::string prefix;                                          // of names made by inlining
  const std::map<std::string, Attribute>* bindings = nullptr;  // of a function: its attributes
  std::unordered_map<std::string, ValueId> names = {};  // kNone: an input of a function that the caller leaves out
  std::set<std::string> awaited = {};  // outputs of a function, values of the caller, that no node computes yet
};

class Importer {
 public:
  Importer(const onnx::ModelProto& model, TensorReader& tensors) : model_(model), tensors_(tensors) {}

  Graph run() {
    check_version();
    collect_symbols();
    opsets_ = read_opsets(model_.opset_import(), "the model");
    if (opsets_.empty())
      throw InputError("opset_import is empty; versions {} to {} of ai.onnx are accepted", kOldestOpset, kNewestOpset);
    for (const auto& f : model_.functions()) add_function(f);
    if (!model_.has_graph()) throw InputError("the model has no graph");
    Graph g;
    g.opsets = opsets_;
    g.opsets[""] = std::max(g.opsets[""], kModernOpset);  // older nodes are upgraded
    read_metadata(g);
    Scope scope{&g, nullptr, &opsets_, ""};
    graph(model_.graph(), scope);
    if (g.outputs.empty()) throw InputError("the graph has no outputs");
    ir::verify(g);
    return g;
  }

 private:
  void check_version() const {
    const int newest = onnx::Version::IR_VERSION;
    if (!model_.has_ir_version()) throw InputError("not an ONNX model: ir_version is missing");
    if (model_.ir_version() < kOldestIr || model_.ir_version() > newest)
      throw InputError("ir_version {} is not supported; {} to {} are", model_.ir_version(), kOldestIr, newest);
  }

  /// The dimensions of the inputs that are plain names.
  void collect_symbols() {
    for (const auto& v : model_.graph().input())
      for (const auto& dim : v.type().tensor_type().shape().dim())
        if (const std::string& s = dim.dim_param(); s.find_first_of("+-*/() ") == std::string::npos)
          dims_.symbols.insert(s);
    input_dims_ = dims_;
    input_dims_.name_unknown = true;
  }

  template <typename List>
  Opsets read_opsets(const List& imports, const std::string& whose) const {
    Opsets out;
    for (const auto& import : imports) {
      const std::string domain = canonical_domain(check_text(import.domain(), "a domain in opset_import"));
      const int64_t version = import.version();
      if (domain.empty() && (version < kOldestOpset || version > kNewestOpset))
        throw InputError("{} uses opset {} of ai.onnx; {} to {} are supported", whose, version, kOldestOpset,
                         kNewestOpset);
      if (version < 1 || version > INT32_MAX) throw InputError("{} uses version {} of '{}'", whose, version, domain);
      if (!out.emplace(domain, static_cast<int>(version)).second && out[domain] != version)
        throw InputError("{} imports two opsets of '{}': {} and {}", whose, domain, out[domain], version);
    }
    return out;
  }

  void add_function(const onnx::FunctionProto& f) {
    const FunctionKey key{canonical_domain(f.domain()), f.name(), f.overload()};
    check_text(f.name(), "the name of a function");
    check_text(f.domain(), "the domain of a function");
    if (f.name().empty()) throw InputError("a function has no name");
    if (!functions_.emplace(key, &f).second)
      throw InputError("function '{}.{}' is defined twice", f.domain(), f.name());
  }

  void read_metadata(Graph& g) const {
    for (const auto& p : model_.metadata_props())
      g.metadata[check_text(p.key(), "metadata_props")] = check_text(p.value(), "metadata_props");
    if (!model_.producer_name().empty())
      g.metadata["producer_name"] = check_text(model_.producer_name(), "producer_name");
    if (!model_.producer_version().empty())
      g.metadata["producer_version"] = check_text(model_.producer_version(), "producer_version");
  }

  // --- graphs

  void graph(const onnx::GraphProto& proto, Scope& scope) {
    Graph& g = *scope.graph;
    const bool main = scope.around == nullptr;
    g.name = check_text(proto.name(), "the name of a graph");
    if (proto.sparse_initializer_size() > 0)
      throw InputError("sparse initializer '{}': sparse tensors are not supported, store it dense",
                       proto.sparse_initializer(0).values().name());
    std::unordered_map<std::string, const onnx::TypeProto*> types;
    for (const auto& v : proto.value_info()) types[v.name()] = &v.type();
    for (const auto& v : proto.output()) types[v.name()] = &v.type();
    std::unordered_map<std::string, const onnx::TensorProto*> initializers;
    for (const auto& t : proto.initializer()) {
      if (t.name().empty()) throw InputError("an initializer has no name");
      if (!initializers.emplace(t.name(), &t).second) throw InputError("initializer '{}' stands twice", t.name());
    }
    for (const auto& v : proto.input()) {
      if (!initializers.count(v.name())) input(scope, v, main);
      else types[v.name()] = &v.type();  // an initializer that callers could replace; ours is fixed
    }
    for (const auto& t : proto.initializer()) initializer(scope, t, types);
    declare(scope, proto.node(), types);
    nodes(scope, proto.node());
    for (const auto& v : proto.output()) g.outputs.push_back(output(scope, v.name()));
    g.sort();
  }

  void input(Scope& scope, const onnx::ValueInfoProto& v, bool main) {
    const std::string& name = check_text(v.name(), "the name of an input");
    if (name.empty()) throw InputError("a graph input has no name");
    if (scope.names.count(name)) throw InputError("graph input '{}' stands twice", name);
    ir::Type type = to_type(v.type(), name, main ? input_dims_ : dims_);
    if (main && type.kind() == ir::Type::Kind::none) throw InputError("graph input '{}' has no type", name);
    scope.names[name] = scope.graph->add_input(name, std::move(type));
  }

  void initializer(Scope& scope, const onnx::TensorProto& t,
                   const std::unordered_map<std::string, const onnx::TypeProto*>& types) {
    const std::string& name = check_text(t.name(), "the name of an initializer");
    ir::Tensor tensor = tensors_.read(t, fmt::format("initializer '{}'", name));
    if (const auto it = types.find(name); it != types.end())
      check_stated_type(tensor, to_type(*it->second, name, dims_), name);
    scope.names[name] = scope.graph->add_constant(name, std::move(tensor));
  }

  static void check_stated_type(const ir::Tensor& t, const ir::Type& stated, const std::string& name) {
    if (stated.kind() == ir::Type::Kind::none) return;
    bool agrees =
        stated.is_tensor() && stated.dtype() == t.dtype() && (!stated.has_rank() || stated.rank() == t.rank());
    for (int i = 0; agrees && stated.has_rank() && i < t.rank(); ++i) {
      const ir::Dim& d = stated.shape()[static_cast<size_t>(i)];
      agrees = !d.is_static() || d.value() == t.dim(i);
    }
    if (!agrees)
      throw InputError("initializer '{}' is {}[{}], but the graph states {}", name, ir::name(t.dtype()),
                       fmt::join(t.shape(), ","), stated.to_string());
  }

  /// A value for every output of the nodes, so that nodes may stand in any order.
  template <typename Nodes>
  void declare(Scope& scope, const Nodes& protos,
               const std::unordered_map<std::string, const onnx::TypeProto*>& types) {
    for (const auto& n : protos) {
      for (const std::string& name : n.output()) {
        if (name.empty() || scope.awaited.erase(name) > 0) continue;
        check_text(name, fmt::format("an output of {}", describe(n)));
        if (scope.names.count(name))
          throw InputError("{}: its output '{}' is defined elsewhere too", describe(n), name);
        const auto it = types.find(name);
        scope.names[name] = scope.graph->add_value(scope.prefix + name,
                                                   it == types.end() ? ir::Type() : to_type(*it->second, name, dims_));
      }
    }
  }

  ValueId output(Scope& scope, const std::string& name) {
    if (name.empty()) throw InputError("a graph output has no name");
    check_text(name, "the name of a graph output");
    const auto v = resolve(scope, name);
    if (!v || *v == kNone) throw InputError("graph output '{}' is not computed by any node", name);
    return *v;
  }

  /// Nothing where no scope has the name.
  std::optional<ValueId> resolve(Scope& scope, const std::string& name) {
    if (const auto it = scope.names.find(name); it != scope.names.end()) return it->second;
    if (!scope.around) return std::nullopt;
    const auto outer = resolve(*scope.around, name);
    if (!outer || *outer == kNone) return outer;
    const ValueId inner = scope.graph->add_value(name, scope.around->graph->type(*outer));
    scope.graph->captures_inner.push_back(inner);
    scope.graph->captures_outer.push_back(*outer);
    return scope.names[name] = inner;
  }

  // --- nodes

  static std::string describe(const onnx::NodeProto& n) {
    const std::string name = n.name().empty() && n.output_size() > 0 ? n.output(0) : n.name();
    return fmt::format("node '{}' ({}{}{})", name, n.domain(), n.domain().empty() ? "" : ".", n.op_type());
  }

  template <typename Nodes>
  void nodes(Scope& scope, const Nodes& protos) {
    for (const auto& n : protos) node(scope, n);
  }

  void node(Scope& scope, const onnx::NodeProto& proto) {
    check_text(proto.name(), "the name of a node");
    check_text(proto.op_type(), fmt::format("the operator of node '{}'", proto.name()));
    check_text(proto.domain(), fmt::format("the domain of node '{}'", proto.name()));
    if (++node_count_ > kMostNodes)
      throw InputError("the model has more than {} nodes once its functions are inlined", kMostNodes);
    if (proto.op_type().empty()) throw InputError("{}: op_type is missing", describe(proto));
    Node n;
    n.op = proto.op_type();
    n.domain = canonical_domain(proto.domain());
    n.name = proto.name().empty() ? "" : scope.prefix + proto.name();
    for (const std::string& name : proto.input()) {
      const std::optional<ValueId> v = name.empty() ? kNone : resolve(scope, name);
      if (v) n.inputs.push_back(*v);
      else
        throw InputError("{}: input '{}' is not an input, an initializer or the output of a node", describe(proto),
                         name);
    }
    for (const std::string& name : proto.output()) n.outputs.push_back(name.empty() ? kNone : scope.names.at(name));
    // A Split has as many parts as outputs, whether all of them are used or not.
    const bool counts = n.op == "Split" && n.domain.empty();
    while (!counts && !n.outputs.empty() && n.outputs.back() == kNone) n.outputs.pop_back();
    for (const auto& a : proto.attribute()) attribute(scope, proto, a, n);

    if (const auto f = functions_.find({n.domain, n.op, proto.overload()}); f != functions_.end())
      return inline_function(*f->second, scope, proto, n);
    if (n.domain == "com.microsoft.nchwc")
      throw InputError(
          "{}: its layout fits one machine only; let onnxruntime write the model with ORT_ENABLE_EXTENDED instead of "
          "ORT_ENABLE_ALL",
          describe(proto));
    const auto version = scope.opsets->find(n.domain);
    if (version == scope.opsets->end())
      throw InputError("{}: domain '{}' is not in opset_import", describe(proto), n.domain);
    n.since_version = n.domain.empty() ? form_of(n, version->second) : version->second;
    if (n.domain.empty() && n.since_version < kModernOpset) upgrade(*scope.graph, std::move(n));
    else scope.graph->add_node(std::move(n));
  }

  void attribute(Scope& scope, const onnx::NodeProto& proto, const onnx::AttributeProto& a, Node& n) {
    const std::string& key = check_text(a.name(), fmt::format("an attribute of {}", describe(proto)));
    const auto fail = [&](const std::string& why) {
      throw InputError("{}: attribute '{}' {}", describe(proto), key, why);
    };
    if (key.empty()) fail("has no name");
    if (n.attributes.count(key)) fail("stands twice");
    if (!a.ref_attr_name().empty()) {
      if (!scope.bindings) fail("refers to an attribute of a function, but stands outside one");
      const auto bound = scope.bindings->find(a.ref_attr_name());
      if (bound != scope.bindings->end()) n.attributes[key] = bound->second;  // an optional one that is absent stays so
      return;
    }
    n.attributes[key] = convert(scope, a, fmt::format("attribute '{}' of {}", key, describe(proto)));
  }

  Attribute convert(Scope& scope, const onnx::AttributeProto& a, const std::string& what) {
    using A = onnx::AttributeProto;
    switch (a.type() != A::UNDEFINED ? a.type() : type_by_content(a)) {
      case A::FLOAT: return a.f();
      case A::INT: return a.i();
      case A::STRING: return a.s();
      case A::FLOATS: return std::vector<float>(a.floats().begin(), a.floats().end());
      case A::INTS: return std::vector<int64_t>(a.ints().begin(), a.ints().end());
      case A::STRINGS: return std::vector<std::string>(a.strings().begin(), a.strings().end());
      case A::TENSOR: return tensors_.read(a.t(), what);
      case A::TENSORS: {
        std::vector<ir::Tensor> out;
        for (const auto& t : a.tensors()) out.push_back(tensors_.read(t, what));
        return out;
      }
      case A::GRAPH: return body(scope, a.g(), what);
      case A::GRAPHS: {
        std::vector<std::shared_ptr<Graph>> out;
        for (const auto& g : a.graphs()) out.push_back(body(scope, g, what));
        return out;
      }
      case A::TYPE_PROTO: return to_type(a.tp(), what, dims_);
      case A::SPARSE_TENSOR:
      case A::SPARSE_TENSORS: throw InputError("{}: sparse tensors are not supported, store it dense", what);
      case A::UNDEFINED: throw InputError("{} has no type", what);
      default: throw InputError("{} has the type {}, which is not supported", what, static_cast<int>(a.type()));
    }
  }

  /// Models of ir_version 1 state no type; later ones may still leave it out.
  static onnx::AttributeProto::AttributeType type_by_content(const onnx::AttributeProto& a) {
    using A = onnx::AttributeProto;
    if (a.has_f()) return A::FLOAT;
    if (a.has_i()) return A::INT;
    if (a.has_s()) return A::STRING;
    if (a.has_t()) return A::TENSOR;
    if (a.has_g()) return A::GRAPH;
    if (a.floats_size() > 0) return A::FLOATS;
    if (a.ints_size() > 0) return A::INTS;
    return a.strings_size() > 0 ? A::STRINGS : A::UNDEFINED;
  }

  struct Deeper {
    Deeper(int& depth, const std::string& what) : depth_(depth) {
      if (depth_ >= kMostNesting)
        throw InputError("{}: bodies and functions are nested more than {} deep", what, kMostNesting);
      ++depth_;
    }
    ~Deeper() { --depth_; }
    int& depth_;
  };

  std::shared_ptr<Graph> body(Scope& around, const onnx::GraphProto& proto, const std::string& what) {
    const Deeper deeper(depth_, what);
    auto g = std::make_shared<Graph>();
    Scope scope{g.get(), &around, around.opsets, "", around.bindings};
    graph(proto, scope);
    return g;
  }

  // --- functions

  void inline_function(const onnx::FunctionProto& f, Scope& caller, const onnx::NodeProto& proto, Node& call) {
    const std::string what = describe(proto);
    const Deeper deeper(depth_, what);
    if (static_cast<int>(call.inputs.size()) > f.input_size() ||
        static_cast<int>(call.outputs.size()) > f.output_size())
      throw InputError("{}: function has {} inputs and {} outputs, the node {} and {}", what, f.input_size(),
                       f.output_size(), call.inputs.size(), call.outputs.size());
    for (const auto& [key, a] : call.attributes)
      if (std::holds_alternative<std::shared_ptr<Graph>>(a) ||
          std::holds_alternative<std::vector<std::shared_ptr<Graph>>>(a))
        throw InputError("{}: attribute '{}': functions with graphs as attributes are not supported", what, key);
    const Opsets opsets = read_opsets(f.opset_import(), fmt::format("function '{}.{}'", f.domain(), f.name()));
    const std::string label = call.name.empty() ? fmt::format("{}{}_{}", caller.prefix, f.name(), inlined_) : call.name;
    ++inlined_;
    std::map<std::string, Attribute> bindings = call.attributes;
    Scope scope{caller.graph, nullptr, &opsets, label + "/", &bindings};
    for (const auto& a : f.attribute_proto())
      if (!bindings.count(a.name()))
        bindings[a.name()] = convert(scope, a, fmt::format("attribute '{}' of {}", a.name(), what));

    for (int i = 0; i < f.input_size(); ++i) {
      const ValueId v = call.input(static_cast<size_t>(i));
      if (f.input(i).empty() || scope.names.count(f.input(i)))
        throw InputError("{}: the function's inputs are not distinct", what);
      scope.names[f.input(i)] = v;
    }
    std::vector<std::pair<std::string, ValueId>> passed_through;  // outputs that are inputs too
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      const std::string& name = f.output(static_cast<int>(i));
      if (call.outputs[i] == kNone) continue;
      if (scope.names.count(name)) {
        passed_through.emplace_back(name, call.outputs[i]);
        continue;
      }
      scope.names[name] = call.outputs[i];
      scope.awaited.insert(name);
    }
    std::unordered_map<std::string, const onnx::TypeProto*> types;
    for (const auto& v : f.value_info()) types[v.name()] = &v.type();
    declare(scope, f.node(), types);
    if (!scope.awaited.empty())
      throw InputError("{}: the function's output '{}' is not computed by any node", what, *scope.awaited.begin());
    nodes(scope, f.node());
    for (const auto& [name, target] : passed_through) {
      Node identity;
      identity.op = "Identity";
      identity.since_version = kModernOpset;
      identity.inputs = {scope.names.at(name)};
      identity.outputs = {target};
      if (identity.inputs[0] == kNone)
        throw InputError("{}: the function returns its input '{}', which is not given", what, name);
      caller.graph->add_node(std::move(identity));
    }
  }

  const onnx::ModelProto& model_;
  TensorReader& tensors_;
  DimNames dims_, input_dims_;
  Opsets opsets_;
  std::map<FunctionKey, const onnx::FunctionProto*> functions_;
  int depth_ = 0;
  int64_t node_count_ = 0;
  int64_t inlined_ = 0;
};

class OnnxFrontend final : public Frontend {
 public:
  std::string name() const override { return "onnx"; }
  std::string accepted() const override { return "*.onnx"; }
  bool accepts(const std::string& path) const override { return path.ends_with(".onnx"); }
  Graph load(const std::string& path) const override { return load_onnx(ir::map_file(path), path, path); }
};

}  // namespace

std::unique_ptr<Frontend> make_onnx_frontend() { return std::make_unique<OnnxFrontend>(); }

Graph load_onnx(const std::shared_ptr<ir::Storage>& bytes, const std::string& source, const std::string& path) {
  try {
    const std::string rest = skeleton({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    onnx::ModelProto model;
    if (rest.size() > INT32_MAX || !model.ParseFromString(rest))
      throw InputError("not an ONNX model, or a damaged one");
    TensorReader tensors(bytes, path);
    return Importer(model, tensors).run();
  } catch (const InputError& e) {
    throw InputError("{}: {}", source, e.what());
  }
}

}  // namespace rooftune::frontends
