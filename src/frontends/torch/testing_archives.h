// Archives as torch.export.save writes them, made by hand, for tests that break them.
#pragma once
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "ir/tensor.h"

namespace rooftune::frontends::torch_format::testing {

struct ZipMember {
  std::string name, content;
  bool compressed = false, zip64 = false;
};

inline void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i, value >>= 8) out += static_cast<char>(value);
}

/// Members are padded so that contents begin at multiples of 64, as PyTorch pads them.
inline std::string zip(const std::vector<ZipMember>& members) {
  std::string file, directory;
  for (const ZipMember& m : members) {
    const size_t header = file.size();
    const size_t padding = (64 - (header + 30 + m.name.size()) % 64) % 64;
    put(file, 0x04034b50, 4);
    put(file, 0, 22);
    put(file, m.name.size(), 2);
    put(file, padding, 2);
    file += m.name + std::string(padding, '\0') + m.content;
    const uint64_t size = m.zip64 ? 0xffffffff : m.content.size();
    put(directory, 0x02014b50, 4);
    put(directory, 0, 6);
    put(directory, m.compressed ? 8 : 0, 2);
    put(directory, 0, 8);
    put(directory, size, 4);
    put(directory, size, 4);
    put(directory, m.name.size(), 2);
    put(directory, m.zip64 ? 28 : 0, 2);
    put(directory, 0, 10);
    put(directory, m.zip64 ? 0xffffffff : header, 4);
    directory += m.name;
    if (!m.zip64) continue;
    put(directory, 1, 2);
    put(directory, 24, 2);
    for (const uint64_t v : {m.content.size(), m.content.size(), header}) put(directory, v, 8);
  }
  const size_t at = file.size();
  file += directory;
  put(file, 0x06054b50, 4);
  put(file, 0, 4);
  put(file, members.size(), 2);
  put(file, members.size(), 2);
  put(file, directory.size(), 4);
  put(file, at, 4);
  put(file, 0, 2);
  return file;
}

inline std::shared_ptr<ir::Storage> storage_of(const std::string& bytes) {
  auto storage = ir::allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(storage->data(), bytes.data(), bytes.size());
  return storage;
}

inline Json meta(const std::vector<Json>& sizes, int dtype = 7) {
  Json m = {{"dtype", dtype},
            {"sizes", Json::array()},
            {"strides", Json::array()},
            {"storage_offset", {{"as_int", 0}}},
            {"layout", 7}};
  int64_t stride = 1;
  std::vector<int64_t> strides(sizes.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    if (sizes[i].is_number()) stride *= sizes[i].get<int64_t>();
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    m["sizes"].push_back(sizes[i].is_number() ? Json{{"as_int", sizes[i]}}
                                              : Json{{"as_expr", {{"expr_str", sizes[i]}}}});
    m["strides"].push_back({{"as_int", strides[i]}});
  }
  return m;
}

inline Json tensor(const std::string& name) { return {{"as_tensor", {{"name", name}}}}; }

inline Json call(const std::string& target, const std::string& name,
                 const std::vector<std::pair<std::string, Json>>& inputs, const std::string& module = "") {
  Json node = {
      {"target", "torch.ops." + target},
      {"name", name},
      {"inputs", Json::array()},
      {"outputs", {tensor(name)}},
      {"metadata", {{"nn_module_stack", "L__self__,,Net;L__self___" + module + "," + module + ",torch.nn.Linear"}}}};
  for (const auto& [key, value] : inputs) node["inputs"].push_back({{"name", key}, {"arg", value}, {"kind", 1}});
  return node;
}

/// y = relu(x · wᵀ + b) with x f32[batch, 3], batch 1 to 8, and w f32[2, 3]: { "program", "weights", "constants" }.
inline Json linear_model() {
  const std::string batch = "Symbol('s0', positive=True, integer=True)";
  const Json graph = {{"inputs", {tensor("p_w"), tensor("p_b"), tensor("x")}},
                      {"outputs", {tensor("relu")}},
                      {"nodes",
                       {call("aten.linear.default", "linear",
                             {{"input", tensor("x")}, {"weight", tensor("p_w")}, {"bias", tensor("p_b")}}, "net.0"),
                        call("aten.relu.default", "relu", {{"self", tensor("linear")}}, "net.1")}},
                      {"tensor_values",
                       {{"p_w", meta({2, 3})},
                        {"p_b", meta({2})},
                        {"x", meta({batch, 3})},
                        {"linear", meta({batch, 2})},
                        {"relu", meta({batch, 2})}}},
                      {"sym_int_values", Json::object()}};
  const Json signature = {
      {"input_specs",
       {{{"parameter", {{"arg", {{"name", "p_w"}}}, {"parameter_name", "net.0.weight"}}}},
        {{"buffer", {{"arg", {{"name", "p_b"}}}, {"buffer_name", "net.0.bias"}, {"persistent", true}}}},
        {{"user_input", {{"arg", tensor("x")}}}}}},
      {"output_specs", Json::array({{{"user_output", {{"arg", tensor("relu")}}}}})}};
  const std::string leaf = R"({"type": null, "context": null, "children_spec": []})";
  const Json calls = Json::array(
      {{{"fqn", ""},
        {"signature",
         {{"out_spec", R"([1, {"type": "builtins.dict", "context": "[\"y\"]", "children_spec": [)" + leaf + "]}]"}}}}});
  const auto payload = [](const std::string& path, const Json& m) {
    return Json{{"path_name", path}, {"is_param", true}, {"use_pickle", false}, {"tensor_meta", m}};
  };
  return {{"program",
           {{"graph_module", {{"graph", graph}, {"signature", signature}, {"module_call_graph", calls}}},
            {"range_constraints", {{"s0", {{"min_val", 1}, {"max_val", 8}}}}},
            {"schema_version", {{"major", 8}, {"minor", 20}}},
            {"torch_version", "2.13.0"}}},
          {"weights",
           {{"config",
             {{"net.0.weight", payload("weight_0", meta({2, 3}))}, {"net.0.bias", payload("weight_1", meta({2}))}}}}},
          {"constants", {{"config", Json::object()}}}};
}

inline std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

inline std::vector<ZipMember> members(const Json& model) {
  return {{"m/models/model.json", model["program"].dump()},
          {"m/data/weights/model_weights_config.json", model["weights"].dump()},
          {"m/data/constants/model_constants_config.json", model["constants"].dump()},
          {"m/data/weights/weight_0", bytes_of({1, -2, 3, -4, 5, -6})},
          {"m/data/weights/weight_1", bytes_of({0.5, -0.5})},
          {"m/byteorder", "little"}};
}

}  // namespace rooftune::frontends::torch_format::testing
