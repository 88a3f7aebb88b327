// For this folder's tests: ONNX models built node by node and loaded from memory.
#pragma once
#include <gtest/gtest.h>

#include "frontends/onnx/onnx.h"
#include "onnx-ml.pb.h"

namespace rooftune::frontends {

/// A model with one input x: f32[N,3], one output y, and helpers to add to it.
struct Model {
  onnx::ModelProto proto;
  onnx::GraphProto& graph = *proto.mutable_graph();

  explicit Model(int opset = 17) {
    proto.set_ir_version(8);
    auto* import = proto.add_opset_import();
    import->set_version(opset);
    graph.set_name("g");
    tensor_type(*graph.add_input(), "x", 1, {-1, 3});
    graph.add_output()->set_name("y");
  }

  /// -1 stands for the symbol N.
  static void tensor_type(onnx::ValueInfoProto& v, const std::string& name, int dtype,
                          const std::vector<int64_t>& shape) {
    v.set_name(name);
    auto* t = v.mutable_type()->mutable_tensor_type();
    t->set_elem_type(dtype);
    t->mutable_shape()->Clear();
    for (const int64_t d : shape) {
      auto* dim = t->mutable_shape()->add_dim();
      if (d < 0) dim->set_dim_param("N");
      else dim->set_dim_value(d);
    }
  }

  static onnx::NodeProto make_node(const std::string& op, const std::vector<std::string>& in,
                                   const std::vector<std::string>& out) {
    onnx::NodeProto n;
    n.set_op_type(op);
    for (const auto& s : in) n.add_input(s);
    for (const auto& s : out) n.add_output(s);
    return n;
  }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& in,
                        const std::vector<std::string>& out) {
    return *graph.add_node() = make_node(op, in, out), *graph.mutable_node(graph.node_size() - 1);
  }

  onnx::TensorProto& raw(const std::string& name, int dtype, const std::vector<int64_t>& dims,
                         const std::string& bytes) {
    auto& t = *graph.add_initializer();
    t.set_name(name);
    t.set_data_type(dtype);
    for (const int64_t d : dims) t.add_dims(d);
    t.set_raw_data(bytes);
    return t;
  }

  static std::shared_ptr<ir::Storage> storage(const std::string& bytes) {
    auto owner = std::make_shared<std::string>(bytes);
    return ir::wrap(owner->data(), owner->size(), owner);
  }
  ir::Graph load() const { return load_onnx(storage(proto.SerializeAsString()), "m.onnx", ""); }
  std::string error() const {
    try {
      load();
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }
};

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace rooftune::frontends
