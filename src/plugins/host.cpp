// rt_host: what callbacks of operators ask and answer.
#include <cstring>

#include "base/json.h"
#include "base/version.h"
#include "plugins/node.h"

namespace rooftune::plugins {
namespace {

using ir::Dim;
using ir::DType;
using ir::Tensor;
using ir::Type;

const char* keep(rt_node* n, std::string text) { return n->texts.emplace_back(std::move(text)).c_str(); }

DType parse(const char* dtype) {
  const auto found = ir::parse_dtype(dtype == nullptr ? "" : dtype);
  if (!found) throw InputError("'{}' is no element type", dtype == nullptr ? "" : dtype);
  return *found;
}

std::vector<int64_t> shape_of(int rank, const int64_t* shape) {
  if (rank < 0 || rank > 64) throw InputError("a tensor cannot have rank {}", rank);
  return {shape, shape + rank};
}

template <typename C>
C& require(C* context, const char* function) {
  if (context == nullptr) throw InputError("{} was called by a callback that has no use for it", function);
  return *context;
}

// --- the node

bool has_input(rt_node* n, int i) {
  return i >= 0 &&
         (n->evaluate != nullptr ? n->evaluate->has_input(i) : n->node.input(static_cast<size_t>(i)) != ir::kNone);
}

/// The attribute's name where the node has it.
const char* present(rt_node* n, const char* name) { return name != nullptr && n->node.has(name) ? name : nullptr; }

// --- types

Type type_of(rt_node* n, int i) {
  if (!has_input(n, i)) throw InputError("input {} is missing", i);
  if (n->infer != nullptr) return n->infer->input(i);
  if (n->cost != nullptr) return n->cost->input(i);
  if (n->evaluate != nullptr) {
    const Tensor& tensor = n->evaluate->input(i);
    return Type::tensor(tensor.dtype(), ir::to_shape(tensor.shape()));
  }
  const auto& expand = require(n->expand, "input_dtype");
  return expand.body().type(expand.inputs()[static_cast<size_t>(i)]);
}

rt_dim add(rt_node* n, Dim dim) {
  n->dims.push_back(std::move(dim));
  return static_cast<rt_dim>(n->dims.size()) - 1;
}

const Dim& dim_of(rt_node* n, rt_dim dim) {
  if (dim < 0 || static_cast<size_t>(dim) >= n->dims.size()) throw InputError("{} is no dimension", dim);
  return n->dims[static_cast<size_t>(dim)];
}

template <typename F>
rt_dim combine(rt_node* n, rt_dim a, rt_dim b, F&& f) {
  return guarded(n, rt_dim{-1}, [&] { return add(n, f(Dim(dim_of(n, a)), Dim(dim_of(n, b)))); });
}

rt_array array_of(rt_node* n, const Tensor& tensor) {
  const auto& shape = n->integers.emplace_back(tensor.shape());
  return {keep(n, std::string(ir::name(tensor.dtype()))), tensor.rank(), shape.data(), tensor.size(),
          tensor.dtype() == DType::string ? nullptr : tensor.raw()};
}

int input_constant(rt_node* n, int i, rt_array* value) {
  *value = {"", 0, nullptr, 0, nullptr};
  return guarded(n, 0, [&] {
    if (!has_input(n, i)) return 0;
    const Tensor* tensor = nullptr;
    if (n->infer != nullptr) tensor = n->infer->constant(i);
    else if (n->expand != nullptr) tensor = n->expand->body().constant(n->expand->inputs()[static_cast<size_t>(i)]);
    if (tensor == nullptr) return 0;
    *value = array_of(n, *tensor);
    return 1;
  });
}

void set_output(rt_node* n, int output, const char* dtype, int rank, const rt_dim* dims) {
  guarded(n, 0, [&] {
    auto& ctx = require(n->infer, "set_output");
    if (output < 0 || output >= ctx.output_count()) return 0;  // one that the model does not ask for
    ir::Shape shape;
    for (int d = 0; d < rank; ++d) shape.push_back(dim_of(n, dims[d]));
    ctx.set_output(output, parse(dtype), std::move(shape));
    return 0;
  });
}

// --- evaluation

int input(rt_node* n, int i, rt_array* array) {
  *array = {"", 0, nullptr, 0, nullptr};
  return guarded(n, 0, [&] {
    auto& ctx = require(n->evaluate, "input");
    if (i < 0 || !ctx.has_input(i)) return 0;
    *array = array_of(n, ctx.input(i));
    return 1;
  });
}

void* output(rt_node* n, int i, const char* dtype, int rank, const int64_t* shape) {
  static uint64_t nothing;  // an empty tensor has no memory, but NULL would say that there is none to be had
  return guarded(n, static_cast<void*>(nullptr), [&]() -> void* {
    auto& ctx = require(n->evaluate, "output");
    if (i < 0 || static_cast<size_t>(i) >= std::max<size_t>(1, n->node.outputs.size()))
      throw InputError("there is no output {}", i);
    Tensor tensor(parse(dtype), shape_of(rank, shape));
    ctx.set_output(i, tensor);
    if (tensor.dtype() == DType::string) return nullptr;
    return tensor.raw() == nullptr ? &nothing : static_cast<void*>(tensor.raw());
  });
}

const char* input_string(rt_node* n, int i, int64_t index, size_t* bytes) {
  *bytes = 0;
  return guarded(n, "", [&] {
    const std::string& text = require(n->evaluate, "input_string").input(i).strings().at(static_cast<size_t>(index));
    *bytes = text.size();
    return text.c_str();
  });
}

void set_string(rt_node* n, int i, int64_t index, const char* text, size_t bytes) {
  guarded(n, 0, [&] {
    auto& outputs = require(n->evaluate, "set_string").outputs();
    outputs.at(static_cast<size_t>(i)).strings().at(static_cast<size_t>(index)).assign(text, bytes);
    return 0;
  });
}

// --- expansion

ir::Attribute attribute_of(const std::string& key, const Json& json) {
  if (json.is_boolean()) return static_cast<int64_t>(json.get<bool>());
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<float>();
  if (json.is_string()) return json.get<std::string>();
  const auto all = [&](auto is) { return std::all_of(json.begin(), json.end(), is); };
  if (json.is_array()) {
    if (all([](const Json& j) { return j.is_number_integer(); })) return json.get<std::vector<int64_t>>();
    if (all([](const Json& j) { return j.is_number(); })) return json.get<std::vector<float>>();
    if (all([](const Json& j) { return j.is_string(); })) return json.get<std::vector<std::string>>();
  }
  throw InputError("attribute '{}' must be a number, a text, or a list of either", key);
}

rt_value checked(const ops::ExpandContext& ctx, rt_value v) {
  if (v != ir::kNone && !ctx.body().value_alive(v)) throw InputError("{} is no value of the expansion", v);
  return v;
}

rt_value emit(rt_node* n, const char* op, const char* attributes, int input_count, const rt_value* inputs,
              int output_count) {
  return guarded(n, rt_value{-1}, [&] {
    auto& ctx = require(n->expand, "emit");
    const std::string full = op;
    const size_t dot = full.rfind('.');
    ir::Node node;
    node.op = dot == std::string::npos ? full : full.substr(dot + 1);
    node.domain = dot == std::string::npos ? "" : full.substr(0, dot);
    node.name = n->node.name + "/" + node.op;
    node.since_version = node.domain.empty() ? n->expand_opset : 1;
    for (int i = 0; i < input_count; ++i) node.inputs.push_back(checked(ctx, inputs[i]));
    if (attributes != nullptr) {
      const Json json = parse_json(attributes, "the attributes of " + full);
      if (!json.is_object()) throw InputError("the attributes of {} must be a JSON object", full);
      for (const auto& [key, value] : json.items()) node.attributes[key] = attribute_of(key, value);
    }
    if (output_count < 1) throw InputError("{} must have an output", full);
    for (int i = 0; i < output_count; ++i) node.outputs.push_back(ctx.body().add_value(node.name, {}));
    const rt_value first = node.outputs.front();
    ctx.body().add_node(std::move(node));
    return first;
  });
}

rt_value constant(rt_node* n, const rt_array* array) {
  return guarded(n, rt_value{-1}, [&] {
    auto& ctx = require(n->expand, "constant");
    const DType dtype = parse(array->dtype);
    if (dtype == DType::string) throw InputError("constants of strings cannot be made");
    Tensor tensor(dtype, shape_of(array->rank, array->shape));
    if (tensor.bytes() > 0) std::memcpy(tensor.raw(), array->data, tensor.bytes());
    return rt_value{ctx.body().add_constant(n->node.name + "/constant", std::move(tensor))};
  });
}

rt_host make_host() {
  rt_host h{};
  h.version = version();
  h.fail = [](rt_node* n, const char* why) { n->fail(why == nullptr ? "" : why); };
  h.name = [](rt_node* n) { return n->node.name.c_str(); };
  h.input_count = [](rt_node* n) { return static_cast<int>(n->node.inputs.size()); };
  h.output_count = [](rt_node* n) { return static_cast<int>(n->node.outputs.size()); };
  h.has_input = [](rt_node* n, int i) { return has_input(n, i) ? 1 : 0; };
  h.has_output = [](rt_node* n, int i) {
    return i >= 0 && static_cast<size_t>(i) < n->node.outputs.size() &&
                   n->node.outputs[static_cast<size_t>(i)] != ir::kNone
               ? 1
               : 0;
  };
  h.attribute_int = [](rt_node* n, const char* name, int64_t otherwise) {
    return guarded(n, otherwise, [&] { return n->node.attr_int(name, otherwise); });
  };
  h.attribute_float = [](rt_node* n, const char* name, double otherwise) {
    return guarded(n, otherwise,
                   [&] { return present(n, name) ? static_cast<double>(n->node.attr_float(name, 0)) : otherwise; });
  };
  h.attribute_string = [](rt_node* n, const char* name, const char* otherwise) {
    return guarded(n, otherwise, [&] { return present(n, name) ? keep(n, n->node.attr_string(name, "")) : otherwise; });
  };
  h.attribute_ints = [](rt_node* n, const char* name, const int64_t** values) {
    *values = nullptr;
    return guarded(n, -1, [&] {
      if (!present(n, name)) return -1;
      const auto& kept = n->integers.emplace_back(n->node.attr_ints(name));
      *values = kept.data();
      return static_cast<int>(kept.size());
    });
  };
  h.attribute_floats = [](rt_node* n, const char* name, const float** values) {
    *values = nullptr;
    return guarded(n, -1, [&] {
      if (!present(n, name)) return -1;
      const auto& kept = n->floats.emplace_back(n->node.attr_floats(name));
      *values = kept.data();
      return static_cast<int>(kept.size());
    });
  };
  h.input_dtype = [](rt_node* n, int i) {
    return guarded(n, "", [&] {
      const Type type = type_of(n, i);
      return type.is_tensor() ? keep(n, std::string(ir::name(type.dtype()))) : "";
    });
  };
  h.input_rank = [](rt_node* n, int i) {
    return guarded(n, -1, [&] {
      const Type type = type_of(n, i);
      return type.is_tensor() && type.has_rank() ? type.rank() : -1;
    });
  };
  h.input_dim = [](rt_node* n, int i, int axis) {
    return guarded(n, rt_dim{-1}, [&] {
      const Type type = type_of(n, i);
      if (!type.is_tensor() || !type.has_rank()) throw InputError("the rank of input {} must be known", i);
      const int at = axis < 0 ? axis + type.rank() : axis;
      if (at < 0 || at >= type.rank())
        throw InputError("input {} of type {} has no axis {}", i, type.to_string(), axis);
      return add(n, type.shape()[static_cast<size_t>(at)]);
    });
  };
  h.input_constant = input_constant;
  h.dim = [](rt_node* n, int64_t value) { return guarded(n, rt_dim{-1}, [&] { return add(n, Dim(value)); }); };
  h.dim_add = [](rt_node* n, rt_dim a, rt_dim b) {
    return combine(n, a, b, [](const Dim& x, const Dim& y) { return x + y; });
  };
  h.dim_subtract = [](rt_node* n, rt_dim a, rt_dim b) {
    return combine(n, a, b, [](const Dim& x, const Dim& y) { return x - y; });
  };
  h.dim_multiply = [](rt_node* n, rt_dim a, rt_dim b) {
    return combine(n, a, b, [](const Dim& x, const Dim& y) { return x * y; });
  };
  h.dim_divide = [](rt_node* n, rt_dim a, rt_dim b) {
    return combine(n, a, b, [](const Dim& x, const Dim& y) { return floordiv(x, y); });
  };
  h.dim_unknown = [](rt_node* n, int output, int axis) {
    return guarded(n, rt_dim{-1}, [&] { return add(n, require(n->infer, "dim_unknown").unknown_dim(output, axis)); });
  };
  h.dim_value = [](rt_node* n, rt_dim dim) {
    return guarded(n, int64_t{-1}, [&] { return dim_of(n, dim).is_static() ? dim_of(n, dim).value() : int64_t{-1}; });
  };
  h.dims_differ = [](rt_node* n, rt_dim a, rt_dim b) {
    return guarded(n, 0, [&] {
      const Dim &x = dim_of(n, a), &y = dim_of(n, b);
      return x.is_static() && y.is_static() && x.value() != y.value() ? 1 : 0;
    });
  };
  h.set_output = set_output;
  h.input = input;
  h.output = output;
  h.input_string = input_string;
  h.set_string = set_string;
  h.value = [](rt_node* n, int i) {
    return guarded(n, rt_value{-1}, [&] {
      const auto& inputs = require(n->expand, "value").inputs();
      return i >= 0 && static_cast<size_t>(i) < inputs.size() ? rt_value{inputs[static_cast<size_t>(i)]} : -1;
    });
  };
  h.constant = constant;
  h.emit = emit;
  h.finish = [](rt_node* n, int i, rt_value v) {
    guarded(n, 0, [&] {
      auto& ctx = require(n->expand, "finish");
      if (i >= 0 && static_cast<size_t>(i) < ctx.outputs().size()) ctx.set_output(i, checked(ctx, v));
      return 0;
    });
  };
  h.fail_job = [](rt_job* job, const char* why) { job->fail(why == nullptr ? "" : why); };
  h.set_code = [](rt_job* job, const char* target, const void* elf, size_t bytes, const char* kernels) {
    guarded(job, 0, [&] {
      job->target = target;
      const auto* begin = static_cast<const uint8_t*>(elf);
      job->elf.assign(begin, begin + bytes);
      job->kernels = kernels;
      return 0;
    });
  };
  h.set_text = [](rt_job* job, const char* text) {
    guarded(job, 0, [&] {
      job->text = text;
      return 0;
    });
  };
  return h;
}

}  // namespace

const rt_host& host() {
  static const rt_host h = make_host();
  return h;
}

}  // namespace rooftune::plugins
