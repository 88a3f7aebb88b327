#include "frontends/torch/program.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "frontends/torch/symbols.h"
#include "frontends/torch/trees.h"
#include "ir/tensor.h"

namespace rooftune::frontends::torch_format {
namespace {

constexpr int kMostNesting = 32;  // of control flow
constexpr size_t kMostDims = 64;
constexpr int kMajorVersion = 8;

using Kind = Number::Kind;

/// Fields by name; `what_` says where in the document we are, for messages.
class Object {
 public:
  Object(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
    if (!json.is_object()) throw InputError("{}: an object is expected, not {}", what_, json.type_name());
  }
  template <typename T>
  T get(const std::string& key) const {
    return json_field<T>(json_, key, what_);
  }
  bool has(const std::string& key) const {
    const auto it = json_.find(key);
    return it != json_.end() && !it->is_null();
  }
  const Json& at(const std::string& key) const {
    const auto it = json_.find(key);
    if (it == json_.end()) throw InputError("{}: field '{}' is missing", what_, key);
    return *it;
  }
  const Json& list(const std::string& key) const {
    const Json& value = at(key);
    if (!value.is_array()) throw InputError("{}: field '{}' must be a list", what_, key);
    return value;
  }
  Object object(const std::string& key) const { return {at(key), fmt::format("{}: {}", what_, key)}; }
  const Json& json() const { return json_; }
  const std::string& what() const { return what_; }

 private:
  const Json& json_;
  std::string what_;
};

/// A union is written as an object with the one field that it holds.
std::pair<std::string, const Json*> only_field(const Json& json, const std::string& what) {
  if (!json.is_object() || json.size() != 1)
    throw InputError("{}: an object with one field is expected, not {}", what, json.dump().substr(0, 60));
  return {json.begin().key(), &json.begin().value()};
}

class ProgramReader {
 public:
  explicit ProgramReader(const std::map<std::string, std::string>& names) { symbols_.names = names; }

  Program read(const Json& json) {
    const Object top(json, "the exported program");
    check_version(top);
    read_ranges(top);
    const Object module = top.object("graph_module");
    Program program;
    if (top.has("torch_version")) program.torch_version = top.get<std::string>("torch_version");
    program.graph = graph(module.object("graph"));
    signature(module.object("signature"), program);
    program.output_names = output_names(module, program.outputs);
    return program;
  }

 private:
  static void check_version(const Object& top) {
    const auto major = top.object("schema_version").get<int64_t>("major");
    if (major != kMajorVersion)
      throw InputError("the archive's schema_version is {}; {} is read, which torch 2.5 and newer write", major,
                       kMajorVersion);
  }

  void read_ranges(const Object& top) {
    const Object ranges = top.object("range_constraints");
    for (const auto& [symbol, value] : ranges.json().items()) {
      const Object range(value, fmt::format("range_constraints: {}", symbol));
      Range& r = symbols_.ranges[symbol];
      if (range.has("min_val")) r.min = std::max<int64_t>(range.get<int64_t>("min_val"), 0);
      if (range.has("max_val")) r.max = range.get<int64_t>("max_val");
      if (r.max >= INT64_MAX - 1) r.max = ir::Dim::kUnbounded;  // how PyTorch writes infinity
      if (r.min > r.max) throw InputError("range_constraints: {}: {} to {} is empty", symbol, r.min, r.max);
    }
  }

  // --- values

  /// `otherwise` names the symbol that stands for what no Dim can say.
  ir::Dim dim(const Json& json, const std::string& what, const std::string& otherwise) const {
    const auto [kind, value] = only_field(json, what);
    if (kind == "as_int" && value->is_number_integer()) return value->get<int64_t>();
    if (kind != "as_expr") throw InputError("{}: a size is as_int or as_expr, not {}", what, kind);
    const auto text = Object(*value, what).get<std::string>("expr_str");
    try {
      const auto parsed = symbols_.parse(text);
      return parsed ? *parsed : ir::Dim::symbol(otherwise);
    } catch (const InputError& e) {
      throw InputError("{}: expr_str '{}': {}", what, text.substr(0, 200), e.what());
    }
  }

  TensorMeta meta(const Json& json, const std::string& name) const {
    const Object object(json, fmt::format("tensor '{}'", name));
    TensorMeta m;
    m.dtype = to_dtype(object.get<int64_t>("dtype"), object.what());
    const Json &sizes = object.list("sizes"), &strides = object.list("strides");
    if (sizes.size() > kMostDims) throw InputError("{}: it has {} dimensions", object.what(), sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      m.shape.push_back(dim(sizes[i], object.what(), fmt::format("{}_dim{}", name, i)));
      if (m.shape.back().is_static() && m.shape.back().value() < 0)
        throw InputError("{}: size {} is {}", object.what(), i, m.shape.back().value());
    }
    check_count(m.shape, object.what());
    if (strides.size() != sizes.size())
      throw InputError("{}: it has {} sizes and {} strides", object.what(), sizes.size(), strides.size());
    ir::Dim expected = 1;
    for (size_t i = sizes.size(); i-- > 0;) {
      if (m.shape[i] == ir::Dim(1)) continue;
      m.contiguous = m.contiguous && dim(strides[i], object.what(), "stride") == expected;
      expected = expected * m.shape[i];
    }
    return m;
  }

  /// The known sizes alone must not be more than any machine holds.
  static void check_count(const ir::Shape& shape, const std::string& what) {
    std::vector<int64_t> known;
    for (const ir::Dim& d : shape)
      if (d.is_static()) known.push_back(d.value());
    try {
      ir::checked_element_count(known);
    } catch (const InputError& e) {
      throw InputError("{}: {}", what, e.what());
    }
  }

  static TensorRef tensor(const Json& json, const std::string& what) {
    return {Object(json, what).get<std::string>("name")};
  }
  static TensorRef optional_tensor(const Json& json, const std::string& what) {
    const auto [kind, value] = only_field(json, what);
    return kind == "as_none" ? TensorRef{} : tensor(*value, what);
  }

  static Number literal(const Json& json, const std::string& what) {
    if (json.is_boolean()) return {Kind::boolean, "", json.get<bool>(), json.get<bool>() ? 1.0 : 0.0};
    if (json.is_number_integer())
      return {Kind::integer, "", json.get<int64_t>(), static_cast<double>(json.get<int64_t>())};
    return {Kind::real, "", 0, real(json, what)};
  }
  /// What JSON cannot write stands as a string.
  static double real(const Json& json, const std::string& what) {
    if (json.is_number()) return json.get<double>();
    if (json == "Infinity") return HUGE_VAL;
    if (json == "-Infinity") return -HUGE_VAL;
    if (json == "NaN") return std::nan("");
    throw InputError("{}: a number is expected, not {}", what, json.dump().substr(0, 60));
  }
  static Number symbolic(const Json& json, Kind kind, const std::string& what) {
    const auto [form, value] = only_field(json, what);
    if (form == "as_name" && value->is_string()) return {kind, value->get<std::string>()};
    Number n = literal(*value, what);
    n.kind = kind;
    return n;
  }

  template <typename Read>
  static auto each(const Json& json, const std::string& what, Read read) {
    if (!json.is_array()) throw InputError("{}: a list is expected, not {}", what, json.type_name());
    std::vector<decltype(read(json, what))> all;
    for (const Json& item : json) all.push_back(read(item, what));
    return all;
  }
  static auto symbolic_reader(Kind kind) {
    return [kind](const Json& j, const std::string& what) { return symbolic(j, kind, what); };
  }

  Argument argument(const Json& json, const std::string& what) {
    const auto [kind, value] = only_field(json, what);
    const Json& v = *value;
    if (kind == "as_none") return std::monostate();
    if (kind == "as_tensor") return tensor(v, what);
    if (kind == "as_tensors") return each(v, what, tensor);
    if (kind == "as_optional_tensor") return optional_argument(v, what);
    if (kind == "as_optional_tensors") return each(v, what, optional_tensor);
    if (kind == "as_int" || kind == "as_float" || kind == "as_bool") {
      Number n = literal(v, what);
      if (kind == "as_float") n.kind = Kind::real;
      return n;
    }
    if (kind == "as_ints" || kind == "as_floats" || kind == "as_bools") return each(v, what, literal);
    if (kind == "as_sym_int") return symbolic(v, Kind::integer, what);
    if (kind == "as_sym_ints") return each(v, what, symbolic_reader(Kind::integer));
    if (kind == "as_sym_float") return symbolic(v, Kind::real, what);
    if (kind == "as_sym_floats") return each(v, what, symbolic_reader(Kind::real));
    if (kind == "as_sym_bool") return symbolic(v, Kind::boolean, what);
    if (kind == "as_string" && v.is_string()) return v.get<std::string>();
    if (kind == "as_scalar_type" && v.is_number_integer()) return to_dtype(v.get<int64_t>(), what);
    if (kind == "as_graph") return subgraph(v, what);
    return Opaque{kind};
  }

  static Argument optional_argument(const Json& json, const std::string& what) {
    TensorRef ref = optional_tensor(json, what);
    if (ref.name.empty()) return std::monostate();
    return ref;
  }

  // --- graphs

  std::shared_ptr<SubGraph> subgraph(const Json& json, const std::string& what) {
    if (depth_ >= kMostNesting) throw InputError("{}: control flow is nested more than {} deep", what, kMostNesting);
    ++depth_;
    auto result = std::make_shared<SubGraph>(graph(Object(json, what).object("graph")));
    --depth_;
    return result;
  }

  SubGraph graph(const Object& json) {
    SubGraph g;
    const Object tensors = json.object("tensor_values"), integers = json.object("sym_int_values");
    for (const auto& [name, value] : tensors.json().items()) g.tensors[name] = meta(value, name);
    for (const auto& [name, value] : integers.json().items())
      g.integers.emplace(name, dim(value, fmt::format("sym_int_values: {}", name), name));
    const auto arguments = [&](const std::string& key) {
      std::vector<Argument> all;
      for (const Json& a : json.list(key)) all.push_back(argument(a, fmt::format("{} of the graph", key)));
      return all;
    };
    g.inputs = arguments("inputs");
    for (const Json& node : json.list("nodes")) g.calls.push_back(call(Object(node, "a node of the graph")));
    g.outputs = arguments("outputs");
    return g;
  }

  Call call(const Object& json) {
    Call c;
    c.target = json.get<std::string>("target");
    constexpr std::string_view kPrefix = "torch.ops.";
    if (c.target.starts_with(kPrefix)) c.target.erase(0, kPrefix.size());
    const std::string what =
        fmt::format("node '{}' ({})", json.has("name") ? json.get<std::string>("name") : "", c.target);
    for (const Json& item : json.list("inputs")) {
      const Object input(item, what);
      auto name = input.get<std::string>("name");
      Argument value = argument(input.at("arg"), fmt::format("{}: argument '{}'", what, name));
      c.inputs.emplace_back(std::move(name), std::move(value));
    }
    for (const Json& item : json.list("outputs"))
      c.outputs.push_back(argument(item, fmt::format("{}: an output", what)));
    c.name = json.has("name") ? json.get<std::string>("name") : first_name(c.outputs);
    if (json.has("metadata"))
      if (const Object metadata = json.object("metadata"); metadata.has("nn_module_stack"))
        c.module = innermost_module(metadata.get<std::string>("nn_module_stack"));
    return c;
  }

  static std::string first_name(const std::vector<Argument>& outputs) {
    for (const Argument& a : outputs) {
      if (const auto* t = std::get_if<TensorRef>(&a)) return t->name;
      if (const auto* n = std::get_if<Number>(&a)) return n->name;
      if (const auto* list = std::get_if<std::vector<TensorRef>>(&a); list != nullptr && !list->empty())
        return list->front().name;
    }
    return "";
  }

  // --- signature

  void signature(const Object& json, Program& program) const {
    for (const Json& item : json.list("input_specs")) program.inputs.push_back(input_spec(item));
    for (const Json& item : json.list("output_specs")) program.outputs.push_back(output_spec(item));
    if (program.inputs.size() != program.graph.inputs.size() || program.outputs.size() != program.graph.outputs.size())
      throw InputError("the signature has {} inputs and {} outputs, the graph {} and {}", program.inputs.size(),
                       program.outputs.size(), program.graph.inputs.size(), program.graph.outputs.size());
    for (size_t i = 0; i < program.outputs.size(); ++i) program.outputs[i].argument = program.graph.outputs[i];
  }

  static InputSpec input_spec(const Json& json) {
    const auto [kind, value] = only_field(json, "an input of the signature");
    const Object spec(*value, fmt::format("{} of the signature", kind));
    if (kind == "parameter" || kind == "buffer")
      return {InputSpec::Kind::weight, spec.object("arg").get<std::string>("name"),
              spec.get<std::string>(kind + "_name")};
    if (kind == "tensor_constant")
      return {InputSpec::Kind::constant, spec.object("arg").get<std::string>("name"),
              spec.get<std::string>("tensor_constant_name")};
    if (kind == "constant_input") return {InputSpec::Kind::number, spec.get<std::string>("name"), ""};
    if (kind == "custom_obj")
      throw InputError("the model takes a custom object ('{}'); tensors, parameters and buffers are accepted",
                       spec.get<std::string>("custom_obj_name"));
    if (kind != "user_input")
      throw InputError("the model has an input of kind '{}'; tensors, parameters and buffers are accepted", kind);
    const auto [form, argument] = only_field(spec.at("arg"), spec.what());
    if (form == "as_tensor") return {InputSpec::Kind::user, tensor(*argument, spec.what()).name, ""};
    if (form == "as_sym_int") return {InputSpec::Kind::user, symbolic(*argument, Kind::integer, spec.what()).name, ""};
    return {InputSpec::Kind::number, "", ""};
  }

  static OutputSpec output_spec(const Json& json) {
    const auto [kind, value] = only_field(json, "an output of the signature");
    const Object spec(*value, fmt::format("{} of the signature", kind));
    OutputSpec output;
    if (kind == "buffer_mutation") output.written = spec.get<std::string>("buffer_name");
    else if (kind == "user_input_mutation") output.written = spec.get<std::string>("user_input_name");
    else if (kind == "parameter_mutation") output.written = spec.get<std::string>("parameter_name");
    else if (kind != "user_output")
      throw InputError("the model has an output of kind '{}': export it for inference, not for training", kind);
    return output;
  }

  static std::vector<std::string> output_names(const Object& module, const std::vector<OutputSpec>& outputs) {
    std::vector<std::string> names;
    for (const Json& item : module.list("module_call_graph")) {
      const Object entry(item, "module_call_graph");
      if (!entry.get<std::string>("fqn").empty() || !entry.has("signature")) continue;
      names = leaf_names(entry.object("signature").get<std::string>("out_spec"));
    }
    const auto wanted = static_cast<size_t>(
        std::count_if(outputs.begin(), outputs.end(), [](const OutputSpec& o) { return o.written.empty(); }));
    if (names.size() == wanted) return names;
    names.clear();  // another structure than the graph's outputs: they are numbered
    for (size_t i = 0; i < wanted; ++i) names.push_back(fmt::format("output_{}", i));
    return names;
  }

  Symbols symbols_;
  int depth_ = 0;
};

}  // namespace

ir::DType to_dtype(int64_t scalar_type, const std::string& what) {
  using ir::DType;
  switch (scalar_type) {  // ScalarType of torch/_export/serde/schema.py
    case 1: return DType::u8;
    case 2: return DType::i8;
    case 3: return DType::i16;
    case 4: return DType::i32;
    case 5: return DType::i64;
    case 6: return DType::f16;
    case 7: return DType::f32;
    case 8: return DType::f64;
    case 10: return DType::c64;
    case 11: return DType::c128;
    case 12: return DType::boolean;
    case 13: return DType::bf16;
    case 28: return DType::u16;
    case 29: return DType::f8e4m3fn;
    case 30: return DType::f8e5m2;
    case 31: return DType::f8e4m3fnuz;
    case 32: return DType::f8e5m2fnuz;
    case 33: return DType::f8e8m0;
    case 34: return DType::u32;
    case 35: return DType::u64;
    default: throw InputError("{}: element type {} is not supported", what, scalar_type);
  }
}

StoredTensor read_stored_tensor(const Json& meta, const std::string& what) {
  const Object object(meta, what);
  const auto number = [&](const Json& json) {
    const auto [kind, value] = only_field(json, what);
    if (kind != "as_int" || !value->is_number_integer() || value->get<int64_t>() < 0)
      throw InputError("{}: a size, stride or offset is {}, but must be a number of at least 0", what,
                       value->dump().substr(0, 60));
    return value->get<int64_t>();
  };
  StoredTensor t{to_dtype(object.get<int64_t>("dtype"), what), {}, {}, number(object.at("storage_offset"))};
  for (const Json& size : object.list("sizes")) t.shape.push_back(number(size));
  for (const Json& stride : object.list("strides")) t.strides.push_back(number(stride));
  if (t.shape.size() != t.strides.size() || t.shape.size() > kMostDims)
    throw InputError("{}: it has {} sizes and {} strides", what, t.shape.size(), t.strides.size());
  constexpr int64_t kStrided = 7;
  if (object.get<int64_t>("layout") != kStrided)
    throw InputError("{}: only dense tensors are supported, not layout {}", what, object.get<int64_t>("layout"));
  return t;
}

Program read_program(const Json& json, const std::map<std::string, std::string>& names) {
  return ProgramReader(names).read(json);
}

}  // namespace rooftune::frontends::torch_format
