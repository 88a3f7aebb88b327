#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "base/files.h"
#include "exporters/onnx/onnx.h"
#include "exporters/onnx/opset.h"
#include "ir/derived.h"
#include "ir/mapped.h"
#include "onnx-ml.pb.h"

namespace rooftune::exporters {
namespace {

using ir::Attribute;
using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::Tensor;
using ir::ValueId;

constexpr uint64_t kLeastExternalBytes = 1024;  // smaller tensors stay in the model
constexpr uint64_t kPage = 4096;                // external tensors start at pages, so that each can be mapped

/// The oldest ir_version that may hold an opset, and an element type.
int ir_version_of_opset(int opset) {
  return opset <= 14 ? 7 : opset <= 18 ? 8 : opset <= 20 ? 9 : opset <= 22 ? 10 : 11;
}

int ir_version_of(ir::DType dtype) {
  using ir::DType;
  switch (dtype) {
    case DType::f8e4m3fn:
    case DType::f8e4m3fnuz:
    case DType::f8e5m2:
    case DType::f8e5m2fnuz: return 9;
    case DType::i4:
    case DType::u4: return 10;
    case DType::f4e2m1: return 11;
    case DType::f8e8m0: return 12;
    case DType::i2:
    case DType::u2: return 13;
    default: return 7;
  }
}

void set_type(onnx::TypeProto& proto, const ir::Type& type) {
  using Kind = ir::Type::Kind;
  if (type.kind() == Kind::sequence)
    return set_type(*proto.mutable_sequence_type()->mutable_elem_type(), type.element());
  if (type.kind() == Kind::optional)
    return set_type(*proto.mutable_optional_type()->mutable_elem_type(), type.element());
  if (type.kind() == Kind::none) return;
  auto& tensor = *proto.mutable_tensor_type();
  tensor.set_elem_type(static_cast<int>(type.dtype()));
  if (!type.has_rank()) return;
  auto& shape = *tensor.mutable_shape();
  for (const ir::Dim& d : type.shape()) {
    auto& dim = *shape.add_dim();
    if (d.is_static()) {
      dim.set_dim_value(d.value());
      continue;
    }
    // Bounds are ours alone. A lone symbol stands as its name, an expression as text.
    const std::vector<std::string> symbols = d.symbols();
    std::map<std::string, ir::Dim> unbounded;
    for (const std::string& s : symbols) unbounded.emplace(s, ir::Dim::symbol(s));
    const ir::Dim plain = d.substitute(unbounded);
    dim.set_dim_param(symbols.size() == 1 && plain == ir::Dim::symbol(symbols[0]) ? symbols[0] : plain.to_string());
  }
}

/// All of a TensorProto but its raw bytes. Strings are complete.
void set_header(onnx::TensorProto& proto, const Tensor& t) {
  proto.set_data_type(static_cast<int>(t.dtype()));
  for (const int64_t d : t.shape()) proto.add_dims(d);
  if (t.dtype() == ir::DType::string)
    for (const std::string& s : t.strings()) proto.add_string_data(s);
}

void set_tensor(onnx::TensorProto& proto, const Tensor& t) {
  set_header(proto, t);
  if (t.dtype() != ir::DType::string) proto.set_raw_data(t.raw(), t.bytes());
}

/// Builds the protos. The weights of the main graph are left to the caller, who streams them.
class Builder {
 public:
  explicit Builder(const Graph& main) : main_(main) {
    for (size_t v = 0; v < main.value_capacity(); ++v)
      if (main.value_alive(static_cast<ValueId>(v))) used_.insert(main.value(static_cast<ValueId>(v)).name);
  }

  using Names = std::unordered_map<ValueId, std::string>;

  onnx::GraphProto main_graph() {
    Names names;
    for (size_t v = 0; v < main_.value_capacity(); ++v)
      if (main_.value_alive(static_cast<ValueId>(v)))
        names[static_cast<ValueId>(v)] = main_.value(static_cast<ValueId>(v)).name;
    onnx::GraphProto proto;
    graph(proto, main_, names);
    for (const ValueId v : main_.outputs) {
      RT_CHECK(main_.type(v).kind() != ir::Type::Kind::none, "the type of output '{}' is not inferred",
               main_.value(v).name);
      value_info(*proto.add_output(), names.at(v), main_.type(v));
    }
    return proto;
  }

  int ir_version() const { return ir_version_; }
  void need(ir::DType dtype) { ir_version_ = std::max(ir_version_, ir_version_of(dtype)); }

 private:
  void value_info(onnx::ValueInfoProto& proto, const std::string& name, const ir::Type& type) {
    proto.set_name(name);
    if (type.kind() == ir::Type::Kind::none) return;  // the body of a node may leave it open
    if (type.is_tensor()) need(type.dtype());
    set_type(*proto.mutable_type(), type);
  }

  void graph(onnx::GraphProto& proto, const Graph& g, const Names& names) {
    proto.set_name(g.name.empty() ? "graph" : g.name);
    for (const ValueId v : g.inputs) value_info(*proto.add_input(), names.at(v), g.type(v));
    for (const ir::NodeId id : g.order()) {
      node(*proto.add_node(), g.node(id), names);
      for (const ValueId v : g.node(id).outputs)  // the types of outputs stand with them
        if (v != kNone && g.type(v).kind() != ir::Type::Kind::none && !g.is_output(v))
          value_info(*proto.add_value_info(), names.at(v), g.type(v));
    }
  }

  void node(onnx::NodeProto& proto, const Node& n, const Names& names) {
    proto.set_name(n.name);
    proto.set_op_type(n.op);
    proto.set_domain(n.domain);
    for (const ValueId v : n.inputs) proto.add_input(v == kNone ? "" : names.at(v));
    for (const ValueId v : n.outputs) proto.add_output(v == kNone ? "" : names.at(v));
    for (const auto& [key, a] : n.attributes) {
      auto& out = *proto.add_attribute();
      out.set_name(key);
      std::visit([&](const auto& x) { attribute(out, x, names); }, a);
    }
  }

  /// ONNX knows one name space for a body and all graphs around it: what a body captures has the name it has there, and
  /// all its own values get names that are taken nowhere.
  void body(onnx::GraphProto& proto, const Graph& g, const Names& around) {
    Names names;
    for (size_t i = 0; i < g.captures_inner.size(); ++i) names[g.captures_inner[i]] = around.at(g.captures_outer[i]);
    for (size_t v = 0; v < g.value_capacity(); ++v) {
      const auto id = static_cast<ValueId>(v);
      if (g.value_alive(id) && !names.count(id)) names[id] = fresh(g.value(id).name);
    }
    graph(proto, g, names);
    for (size_t v = 0; v < g.value_capacity(); ++v) {
      const Tensor* t = g.constant(static_cast<ValueId>(v));
      if (!t) continue;
      need(t->dtype());
      auto& out = *proto.add_initializer();
      out.set_name(names.at(static_cast<ValueId>(v)));
      set_tensor(out, *t);
    }
    std::unordered_set<ValueId> seen;
    for (const ValueId v : g.outputs) {
      std::string name = names.at(v);
      if (g.value(v).producer == kNone ||
          !seen.insert(v).second) {  // the output of a body must be that of a node in it
        auto& identity = *proto.add_node();
        identity.set_op_type("Identity");
        identity.add_input(name);
        identity.add_output(name = fresh(name));
        identity.set_name(name);
      }
      value_info(*proto.add_output(), name, g.type(v));
    }
  }

  std::string fresh(const std::string& wanted) {
    std::string name = wanted;
    for (int n = 1; !used_.insert(name).second; ++n) name = fmt::format("{}_{}", wanted, n);
    return name;
  }

  using A = onnx::AttributeProto;
  void attribute(A& a, int64_t v, const Names&) { a.set_type(A::INT), a.set_i(v); }
  void attribute(A& a, float v, const Names&) { a.set_type(A::FLOAT), a.set_f(v); }
  void attribute(A& a, const std::string& v, const Names&) { a.set_type(A::STRING), a.set_s(v); }
  void attribute(A& a, const Tensor& v, const Names&) { a.set_type(A::TENSOR), tensor(*a.mutable_t(), v); }
  void attribute(A& a, const ir::Type& v, const Names&) { a.set_type(A::TYPE_PROTO), set_type(*a.mutable_tp(), v); }
  void attribute(A& a, const std::shared_ptr<Graph>& v, const Names& names) {
    a.set_type(A::GRAPH), body(*a.mutable_g(), *v, names);
  }
  void attribute(A& a, const std::vector<int64_t>& v, const Names&) {
    a.set_type(A::INTS);
    for (const int64_t x : v) a.add_ints(x);
  }
  void attribute(A& a, const std::vector<float>& v, const Names&) {
    a.set_type(A::FLOATS);
    for (const float x : v) a.add_floats(x);
  }
  void attribute(A& a, const std::vector<std::string>& v, const Names&) {
    a.set_type(A::STRINGS);
    for (const std::string& x : v) a.add_strings(x);
  }
  void attribute(A& a, const std::vector<Tensor>& v, const Names&) {
    a.set_type(A::TENSORS);
    for (const Tensor& x : v) tensor(*a.add_tensors(), x);
  }
  void attribute(A& a, const std::vector<std::shared_ptr<Graph>>& v, const Names& names) {
    a.set_type(A::GRAPHS);
    for (const auto& x : v) body(*a.add_graphs(), *x, names);
  }

  void tensor(onnx::TensorProto& proto, const Tensor& t) {
    need(t.dtype());
    set_tensor(proto, t);
  }

  const Graph& main_;
  std::unordered_set<std::string> used_;
  int ir_version_ = 7;
};

onnx::ModelProto model_header(const Graph& g, int opset) {
  onnx::ModelProto model;
  model.set_producer_name("rooftune");
  for (const auto& [key, value] : g.metadata) {
    if (key == "producer_name" || key == "producer_version") continue;  // who wrote the original
    auto& p = *model.add_metadata_props();
    p.set_key(key);
    p.set_value(value);
  }
  std::map<std::string, int> domains = g.opsets;
  domains[""] = opset;
  for (const ir::NodeId id : g.order())
    if (const Node& n = g.node(id); !n.domain.empty()) domains.emplace(n.domain, std::max(n.since_version, 1));
  for (const auto& [domain, version] : domains) {
    auto& import = *model.add_opset_import();
    import.set_domain(domain);
    import.set_version(version);
  }
  return model;
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

/// The start of a length-delimited field.
std::string field_start(int number, uint64_t bytes) {
  std::string out;
  append_varint(out, static_cast<uint64_t>(number) << 3 | 2);
  append_varint(out, bytes);
  return out;
}

constexpr int kModelGraph = 7, kGraphInitializer = 5, kTensorRawData = 9;  // field numbers of onnx.proto

/// One weight on its way to the file: everything before its raw bytes, and these (null: external, or strings).
struct Weight {
  std::string before;
  const Tensor* raw = nullptr;
  uint64_t bytes() const { return before.size() + (raw ? raw->bytes() : 0); }
};

Weight inline_weight(const std::string& name, const Tensor& t) {
  onnx::TensorProto proto;
  proto.set_name(name);
  set_header(proto, t);
  Weight w{proto.SerializeAsString()};
  if (t.dtype() == ir::DType::string) return {field_start(kGraphInitializer, w.before.size()) + w.before};
  w.before += field_start(kTensorRawData, t.bytes());
  w.raw = &t;
  w.before = field_start(kGraphInitializer, w.bytes()) + w.before;
  return w;
}

/// Models may be larger than memory.
void write_weight(AtomicFile& file, const Tensor& t) {
  const Tensor tensor = ir::for_reading_once(t);
  file.write(tensor.raw(), tensor.bytes());
  ir::release(tensor);
}

Weight external_weight(const std::string& name, const Tensor& t, const std::string& location, AtomicFile& data) {
  static constexpr char kZeros[kPage] = {};
  data.write(kZeros, (kPage - data.position() % kPage) % kPage);
  onnx::TensorProto proto;
  proto.set_name(name);
  set_header(proto, t);
  proto.set_data_location(onnx::TensorProto::EXTERNAL);
  const std::pair<const char*, std::string> entries[] = {
      {"location", location}, {"offset", std::to_string(data.position())}, {"length", std::to_string(t.bytes())}};
  for (const auto& [key, value] : entries) {
    auto& e = *proto.add_external_data();
    e.set_key(key);
    e.set_value(value);
  }
  write_weight(data, t);
  const std::string bytes = proto.SerializeAsString();
  return {field_start(kGraphInitializer, bytes.size()) + bytes};
}

/// "<file>.data", "<file>.2.data", …
std::string data_path(const std::string& path, int number) {
  return number == 1 ? path + ".data" : fmt::format("{}.{}.data", path, number);
}

/// The first of them that is free: the model that is there stays whole until the new one takes its place.
int free_data_number(const std::string& path) {
  int number = 1;
  while (std::filesystem::exists(data_path(path, number))) ++number;
  return number;
}

/// What models that were there before have left.
void remove_other_data(const std::string& path, int number) {
  constexpr int kMost = 16;
  std::error_code ignored;
  for (int n = 1; n <= std::max(number, kMost); ++n)
    if (n != number) std::filesystem::remove(data_path(path, n), ignored);
}

class OnnxExporter final : public Exporter {
 public:
  std::string name() const override { return "onnx"; }
  std::string extension() const override { return ".onnx"; }
  void write(const Graph& graph, const std::string& path) const override { write_onnx(graph, path); }
};

}  // namespace

std::unique_ptr<Exporter> make_onnx_exporter() { return std::make_unique<OnnxExporter>(); }

void write_onnx(const Graph& original, const std::string& path, const OnnxOptions& options) {
  Graph g = original.clone();
  const int opset = onnx_format::target_opset(g);
  onnx_format::raise_opset(g, opset);
  Builder builder(g);
  const onnx::GraphProto graph = builder.main_graph();

  uint64_t weight_bytes = 0;
  for (size_t v = 0; v < g.value_capacity(); ++v)
    if (const Tensor* t = g.constant(static_cast<ValueId>(v))) weight_bytes += t->bytes(), builder.need(t->dtype());
  const bool external = weight_bytes > options.most_inline_bytes;
  std::optional<AtomicFile> data;
  const int number = external ? free_data_number(path) : 0;
  if (external) data.emplace(data_path(path, number));
  const std::string location = data_path(path.substr(path.find_last_of('/') + 1), number);
  std::vector<Weight> weights;
  for (size_t v = 0; v < g.value_capacity(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Tensor* t = g.constant(id);
    if (!t) continue;
    const bool outside = external && t->bytes() >= kLeastExternalBytes;
    weights.push_back(outside ? external_weight(g.value(id).name, *t, location, *data)
                              : inline_weight(g.value(id).name, *t));
  }
  onnx::ModelProto header = model_header(g, opset);
  header.set_ir_version(std::max(builder.ir_version(), ir_version_of_opset(opset)));

  const std::string graph_bytes = graph.SerializeAsString();
  uint64_t graph_size = graph_bytes.size();
  for (const Weight& w : weights) graph_size += w.bytes();
  if (graph_size >= INT32_MAX)
    throw InputError("the model needs {} bytes beside its weights, an ONNX file may have 2147483647", graph_size);
  AtomicFile file(path);
  file.write(header.SerializeAsString());
  file.write(field_start(kModelGraph, graph_size));
  file.write(graph_bytes);
  for (const Weight& w : weights) {
    file.write(w.before);
    if (w.raw) write_weight(file, *w.raw);
  }
  if (data) data->commit();
  file.commit();
  if (data) remove_other_data(path, number);
}

}  // namespace rooftune::exporters
