#include "frontends/torch/torch.h"

#include <gtest/gtest.h>

#include <random>

#include "base/files.h"
#include "frontends/torch/archive.h"
#include "frontends/torch/symbols.h"
#include "frontends/torch/testing_archives.h"
#include "frontends/torch/trees.h"

namespace rooftune::frontends {
namespace {

using namespace torch_format;
using namespace torch_format::testing;

std::string error_of(const std::vector<ZipMember>& members) {
  try {
    load_torch(storage_of(zip(members)), "m.pt2");
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

/// The message for a model that `change` has changed.
std::string error_of(const std::function<void(Json&)>& change) {
  Json model = linear_model();
  change(model);
  return error_of(members(model));
}

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << "it says: " << (message)

Json& graph_of(Json& model) { return model["program"]["graph_module"]["graph"]; }

TEST(TorchArchive, MembersAreFoundWhereTheyLie) {
  const auto bytes = storage_of(zip({{"m/a", "first"}, {"m/b/c", "second", false, true}, {"m/code", "x", true}}));
  const Archive archive(bytes);
  EXPECT_EQ(archive.text("a"), "first");
  EXPECT_EQ(archive.text("b/c"), "second");
  EXPECT_EQ(archive.at("b/c").offset % 64, 0U);
  EXPECT_EQ(archive.names("b/"), std::vector<std::string>{"b/c"});
  EXPECT_TRUE(archive.has("code"));
  EXPECT_THROW(archive.text("code"), InputError);
  EXPECT_THROW(archive.at("d"), InputError);
}

TEST(TorchArchive, TruncatedAnywhereItIsRefused) {
  const std::string whole = zip(members(linear_model()));
  for (size_t size = 0; size < whole.size(); size += 1 + size / 50)
    EXPECT_THROW(load_torch(storage_of(whole.substr(0, size)), "m.pt2"), InputError) << size;
}

TEST(TorchArchive, DamagedItIsRefusedOrReadButNeverTrusted) {
  const std::string whole = zip(members(linear_model()));
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (int n = 0; n < 3; ++n) {
      // the directory at the end more often than the rest
      const size_t at = i % 2 ? random() % damaged.size() : damaged.size() - 1 - random() % 500;
      damaged[at] = static_cast<char>(random());
    }
    try {
      load_torch(storage_of(damaged), "m.pt2");
    } catch (const InputError&) {  // fine; anything else is not
    }
  }
}

TEST(TorchArchive, WhatItMustHold) {
  auto without = [](const std::string& name) {
    auto all = members(linear_model());
    std::erase_if(all, [&](const ZipMember& m) { return m.name == name; });
    return error_of(all);
  };
  EXPECT_SAYS(without("m/models/model.json"), "no exported program");
  EXPECT_SAYS(without("m/byteorder"), "no member 'byteorder'");
  EXPECT_SAYS(without("m/data/weights/weight_1"), "no member 'data/weights/weight_1'");
  EXPECT_SAYS(without("m/data/weights/model_weights_config.json"), "model_weights_config.json");
  auto with = [](const ZipMember& more) {
    auto all = members(linear_model());
    all.push_back(more);
    return error_of(all);
  };
  EXPECT_SAYS(with({"m/models/other.json", "{}"}), "2 models (models/model.json, models/other.json); one is accepted");
  EXPECT_SAYS(with({"m/byteorder", "little"}), "stands twice");
  EXPECT_SAYS(with({"m/extra/rooftune_symbols.json", R"({"s0": 3})"}), "'s0' needs a name of its own");
  EXPECT_SAYS(error_of({{"m/data/aotinductor/model/x.so", ""}}), "AOTInductor");
  auto all = members(linear_model());
  all[3].compressed = true;
  EXPECT_SAYS(error_of(all), "'data/weights/weight_0' of the archive is compressed");
  all = members(linear_model());
  all[5].content = "big";
  EXPECT_SAYS(error_of(all), "byteorder is 'big', but must be 'little'");
}

TEST(TorchFrontend, ALinearLayer) {
  auto all = members(linear_model());
  all.push_back({"m/extra/rooftune_symbols.json", R"({"s0": "batch"})"});
  const auto bytes = storage_of(zip(all));
  const ir::Graph graph = load_torch(bytes, "m.pt2");
  ASSERT_EQ(graph.inputs.size(), 1U);
  EXPECT_EQ(graph.value(graph.inputs[0]).name, "x");
  EXPECT_EQ(graph.type(graph.inputs[0]).to_string(), "f32[batch{1..8},3]");
  ASSERT_EQ(graph.outputs.size(), 1U);
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  std::vector<std::string> nodes;
  for (const ir::NodeId n : graph.order()) nodes.push_back(graph.node(n).name + " " + graph.node(n).op);
  EXPECT_EQ(nodes, (std::vector<std::string>{"net.0/linear Gemm", "net.1/relu Relu"}));
  const auto weight = graph.find_value("net.0.weight");
  ASSERT_TRUE(weight);
  const ir::Tensor* tensor = graph.constant(*weight);
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->storage(), bytes);  // where it lies in the archive, not a copy
  EXPECT_EQ(tensor->data<float>()[4], 5);
  EXPECT_EQ(graph.metadata.at("producer_version"), "2.13.0");
}

TEST(TorchFrontend, WeightsWithStridesAreGathered) {
  Json model = linear_model();
  Json& stored = model["weights"]["config"]["net.0.weight"]["tensor_meta"];
  stored["strides"] = {{{"as_int", 1}}, {{"as_int", 2}}};
  const ir::Graph graph = load_torch(storage_of(zip(members(model))), "m.pt2");
  const ir::Tensor& weight = *graph.constant(*graph.find_value("net.0.weight"));
  EXPECT_EQ((std::vector<float>(weight.data<float>(), weight.data<float>() + 6)),
            (std::vector<float>{1, 3, 5, -2, -4, -6}));
}

TEST(TorchFrontend, WeightsMustFit) {
  const auto changed = [](const std::string& field, const Json& value) {
    return error_of([&](Json& m) { m["weights"]["config"]["net.0.weight"]["tensor_meta"][field] = value; });
  };
  EXPECT_SAYS(changed("storage_offset", {{"as_int", 1}}),
              "does not fit into member 'data/weights/weight_0' of 24 bytes");
  EXPECT_SAYS(changed("strides", {{{"as_int", INT64_MAX}}, {{"as_int", INT64_MAX}}}), "does not fit");
  EXPECT_SAYS(changed("strides", {{{"as_int", -3}}, {{"as_int", 1}}}), "must be a number of at least 0");
  EXPECT_SAYS(changed("sizes", {{{"as_int", int64_t{1} << 60}}, {{"as_int", 16}}}), "tensor 'net.0.weight'");
  EXPECT_SAYS(changed("sizes", {{{"as_int", 2}}, {{"as_int", 2}}}), "f32[2,2], but the graph states f32[2,3]");
  EXPECT_SAYS(changed("dtype", 9), "element type 9 is not supported");
  EXPECT_SAYS(changed("dtype", 8), "does not fit");
  EXPECT_SAYS(changed("layout", 1), "only dense tensors");
  EXPECT_SAYS(error_of([](Json& m) { m["weights"]["config"]["net.0.weight"]["use_pickle"] = true; }), "Python pickle");
  EXPECT_SAYS(error_of([](Json& m) { m["weights"]["config"].erase("net.0.bias"); }),
              "tensor 'net.0.bias': the archive does not hold it");
}

TEST(TorchFrontend, UnknownOperatorsAreListedAtOnce) {
  const std::string said = error_of([](Json& m) {
    Json& nodes = graph_of(m)["nodes"];
    nodes[0]["target"] = "torch.ops.aten.fft_fft.default";
    nodes.push_back(call("mine.twice.default", "t1", {{"x", tensor("relu")}}, "tail"));
    nodes.push_back(call("mine.twice.default", "t2", {{"x", tensor("t1")}}, "tail"));
  });
  EXPECT_SAYS(
      said,
      "m.pt2: the model has operators that are not supported: aten.fft_fft.default (once, first in node 'linear' "
      "of module 'net.0'); mine.twice.default (2 times, first in node 't1' of module 'tail')");
}

TEST(TorchFrontend, GraphsThatAreWrong) {
  EXPECT_SAYS(
      error_of([](Json& m) { std::swap(graph_of(m)["nodes"][0], graph_of(m)["nodes"][1]); }),
      "node 'relu' (aten.relu.default) of module 'net.1': tensor 'linear' is used, but nothing before computes it");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["nodes"].push_back(graph_of(m)["nodes"][1]); }), "'relu'");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["tensor_values"].erase("x"); }), "'x' has no entry in tensor_values");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["nodes"][1]["inputs"] = Json::array(); }),
              "argument 'self' is missing");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["nodes"][1]["inputs"][0]["arg"] = {{"as_int", 3}}; }),
              "argument 'self' must be a tensor, but is a number");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["tensor_values"]["x"]["sizes"][1] = {{"as_int", -1}}; }),
              "size 1 is -1");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = "Mul("; }),
              "expr_str 'Mul('");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m).erase("nodes"); }), "field 'nodes' is missing");
  EXPECT_SAYS(error_of([](Json& m) { graph_of(m)["outputs"].push_back(tensor("x")); }), "the graph 3 and 2");
  EXPECT_SAYS(error_of([](Json& m) { m["program"]["schema_version"]["major"] = 9; }), "schema_version is 9; 8 is read");
  EXPECT_SAYS(error_of([](Json& m) { m["program"]["range_constraints"]["s0"]["min_val"] = 9; }), "9 to 8 is empty");
}

TEST(TorchFrontend, NumbersThatNoModelHas) {
  const auto with = [](const std::string& target, const std::vector<std::pair<std::string, Json>>& more) {
    return error_of([&](Json& m) {
      std::vector<std::pair<std::string, Json>> inputs{{"self", tensor("linear")}};
      inputs.insert(inputs.end(), more.begin(), more.end());
      graph_of(m)["nodes"][1] = call(target, "relu", inputs, "net.1");
    });
  };
  const Json huge = {{"as_int", INT64_MAX - 1}}, low = {{"as_int", INT64_MIN}};
  EXPECT_SAYS(with("aten.transpose.int", {{"dim0", huge}, {"dim1", low}}), "argument 'dim0' is 9223372036854775806");
  EXPECT_SAYS(with("aten.softmax.int", {{"dim", low}}), "out of range");
  EXPECT_SAYS(with("aten.softmax.int", {{"dim", {{"as_int", 2}}}}), "axis 2 is out of range for rank 2");
  EXPECT_SAYS(with("aten.slice.Tensor", {{"dim", {{"as_int", 1}}}, {"step", low}}), "out of range");
  EXPECT_SAYS(with("aten.unfold.default", {{"dimension", {{"as_int", 1}}}, {"size", huge}, {"step", huge}}),
              "out of range");
  EXPECT_EQ(with("aten.narrow.default", {{"dim", {{"as_int", 1}}}, {"start", huge}, {"length", huge}}), "no error");
  EXPECT_SAYS(error_of([](Json& m) {
                graph_of(m)["tensor_values"]["linear"]["sizes"] = {{{"as_int", INT64_MAX}}, {{"as_int", INT64_MAX}}};
              }),
              "tensor 'linear'");
}

TEST(TorchFrontend, WhatIsWrittenIsNotLostSilently) {
  EXPECT_SAYS(error_of([](Json& m) {
                m["program"]["graph_module"]["signature"]["output_specs"][0] = {
                    {"buffer_mutation", {{"arg", {{"name", "relu"}}}, {"buffer_name", "net.cache"}}}};
              }),
              "the model writes to 'net.cache'");
  const std::string said = error_of([](Json& m) {
    Json& nodes = graph_of(m)["nodes"];
    nodes[1] = call("aten.relu_.default", "relu", {{"self", tensor("p_b")}}, "net.1");
    graph_of(m)["tensor_values"]["relu"] = meta({2});
  });
  EXPECT_SAYS(said, "the model writes to 'net.0.bias'");
}

TEST(TorchFrontend, PicklesAreRefusedWithWhatIsAccepted) {
  const TempDirectory folder;
  const std::string path = folder.file("weights.pt");
  write_file(path, zip({{"weights/data.pkl", "\x80\x02}q"}, {"weights/version", "3"}}));
  try {
    load_model(path);
    FAIL() << "it was read";
  } catch (const InputError& e) {
    EXPECT_SAYS(std::string(e.what()), "torch.export.save (.pt2), torch.jit.save (.pt), and rooftune.from_torch");
  }
}

TEST(TorchSymbols, Expressions) {
  Symbols symbols;
  symbols.names = {{"s0", "batch"}};
  symbols.ranges = {{"s0", {1, 8}}};
  const std::string s0 = "Symbol('s0', positive=True, integer=True)", s1 = "Symbol('s1', integer=True)";
  const auto text = [&](const std::string& expression) {
    const auto dim = symbols.parse(expression);
    return dim ? dim->to_string() : "none";
  };
  EXPECT_EQ(text("Integer(7)"), "7");
  EXPECT_EQ(text(s0), "batch{1..8}");
  EXPECT_EQ(text("Add(Mul(Integer(2), " + s0 + "), Integer(-1))"), ir::Dim::parse("2*batch{1..8} - 1").to_string());
  EXPECT_EQ(text("FloorDiv(Add(" + s0 + ", Integer(1)), Integer(2))"),
            ir::Dim::parse("floordiv(batch{1..8} + 1, 2)").to_string());
  EXPECT_EQ(text("torch.utils._sympy.functions.Max(" + s0 + ", " + s1 + ")"),
            ir::Dim::parse("max(batch{1..8}, s1)").to_string());
  EXPECT_EQ(text("Pow(" + s1 + ", Integer(2))"), "s1*s1");
  EXPECT_EQ(text("Mul(Rational(1, 2), " + s0 + ")"), "none");
  EXPECT_EQ(text("FloorDiv(" + s0 + ", Integer(0))"), "none");
  for (const char* bad : {"", "Add(", "Symbol(s0)", "Add(Integer(1)) x", "Integer(99999999999999999999)"})
    EXPECT_THROW(symbols.parse(bad), InputError) << bad;
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "Add(";
  EXPECT_THROW(symbols.parse(deep), InputError);
}

TEST(TorchTrees, NamesOfOutputs) {
  const std::string leaf = R"({"type": null, "context": null, "children_spec": []})";
  const auto node = [](const std::string& type, const std::string& context, const std::string& children) {
    return R"({"type": ")" + type + R"(", "context": )" + context + R"(, "children_spec": [)" + children + "]}";
  };
  const auto names = [](const std::string& tree) { return leaf_names("[1, " + tree + "]"); };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(leaf), Names{"output"});
  EXPECT_EQ(names(node("builtins.tuple", "\"null\"", leaf + "," + leaf)), (Names{"output_0", "output_1"}));
  EXPECT_EQ(names(node("builtins.dict", R"("[\"a\", \"b\"]")",
                       leaf + "," + node("builtins.list", "\"null\"", leaf + "," + leaf))),
            (Names{"a", "b.0", "b.1"}));
  EXPECT_THROW(leaf_names("[1]"), InputError);
  EXPECT_THROW(leaf_names("[1, {\"type\": \"builtins.tuple\"}]"), InputError);
  EXPECT_THROW(leaf_names("nonsense"), InputError);
}

TEST(TorchTrees, PathsOfModules) {
  EXPECT_EQ(innermost_module("L__self__,,Net;L__self___a,layers.0.attention,torch.nn.Linear"), "layers.0.attention");
  EXPECT_EQ(innermost_module("L__self__,,Net"), "");
  EXPECT_EQ(innermost_module("k,layers.slice(None, 6, None).0.mlp,T"), "layers.0.mlp");
  EXPECT_EQ(innermost_module("_empty_nn_module_stack_from_metadata_hook,_empty_nn_module_stack_from_metadata_hook,"
                             "_empty_nn_module_stack_from_metadata_hook"),
            "");
  EXPECT_EQ(innermost_module(""), "");
}

}  // namespace
}  // namespace rooftune::frontends
