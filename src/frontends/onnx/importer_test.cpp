#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "frontends/onnx/testing.h"

namespace rooftune::frontends {
namespace {

using ir::DType;
using ir::Graph;
using ir::Node;

TEST(OnnxImporter, ReadsAGraph) {
  Model m;
  m.raw("w", 1, {2}, bytes_of<float>({1.5f, -2}));
  m.node("Relu", {"h"}, {"y"}).set_name("act");  // stands before the node that computes h
  auto& add = m.node("Add", {"x", "w"}, {"h", ""});
  auto* a = add.add_attribute();
  a->set_name("alpha");
  a->set_type(onnx::AttributeProto::FLOAT);
  a->set_f(0.5f);
  m.proto.set_producer_name("test");
  const Graph g = m.load();
  EXPECT_EQ(g.opsets.at(""), 17);
  EXPECT_EQ(g.metadata.at("producer_name"), "test");
  ASSERT_EQ(g.order().size(), 2u);
  const Node& first = g.node(g.order()[0]);
  EXPECT_EQ(first.op, "Add");
  EXPECT_EQ(first.since_version, 17);
  EXPECT_EQ(first.outputs.size(), 1u);
  EXPECT_EQ(first.attr_float("alpha", 0), 0.5f);
  EXPECT_EQ(g.node(g.order()[1]).name, "act");
  EXPECT_EQ(g.type(g.inputs[0]).to_string(), "f32[N,3]");
  const ir::Tensor& w = *g.constant(*g.find_value("w"));
  EXPECT_EQ(w.as_double(1), -2);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw()) % 4, 0u);
}

TEST(OnnxImporter, UnusedPartsOfASplitCount) {
  for (const int opset : {11, 13, 18}) {
    Model m(opset);
    m.node("Split", {"x"}, {"y", "", ""});
    const Graph g = m.load();
    ASSERT_EQ(g.order().size(), 1u);
    EXPECT_EQ(g.node(g.order()[0]).outputs.size(), 3u) << opset;
  }
}

TEST(OnnxImporter, ReadsEveryElementType) {
  // dtype, bytes of one element as raw data, the same element in its typed field, its value
  struct Case {
    int dtype;
    std::string raw;
    std::function<void(onnx::TensorProto&)> typed;
    double value;
  };
  const auto i32 = [](int v) { return [v](onnx::TensorProto& t) { t.add_int32_data(v); }; };
  const std::vector<Case> cases = {
      {1, bytes_of<float>({0.25f}), [](auto& t) { t.add_float_data(0.25f); }, 0.25},
      {2, "\xfe", i32(254), 254},
      {3, "\xfe", i32(-2), -2},
      {4, bytes_of<uint16_t>({60000}), i32(60000), 60000},
      {5, bytes_of<int16_t>({-300}), i32(-300), -300},
      {6, bytes_of<int32_t>({-70000}), i32(-70000), -70000},
      {7, bytes_of<int64_t>({-(int64_t{1} << 40)}), [](auto& t) { t.add_int64_data(-(int64_t{1} << 40)); },
       -std::ldexp(1, 40)},
      {9, std::string(1, 1), i32(1), 1},
      {10, bytes_of<uint16_t>({0x3800}), i32(0x3800), 0.5},
      {11, bytes_of<double>({1e300}), [](auto& t) { t.add_double_data(1e300); }, 1e300},
      {12, bytes_of<uint32_t>({4000000000u}), [](auto& t) { t.add_uint64_data(4000000000u); }, 4e9},
      {13, bytes_of<uint64_t>({uint64_t{1} << 63}), [](auto& t) { t.add_uint64_data(uint64_t{1} << 63); },
       std::ldexp(1, 63)},
      {16, bytes_of<uint16_t>({0x4040}), i32(0x4040), 3},
      {17, "\x7e", i32(0x7e), 448},
      {18, "\x7f", i32(0x7f), 240},
      {19, "\x7b", i32(0x7b), 57344},
      {20, "\x7f", i32(0x7f), 57344},
      {21, "\x0f", i32(0x0f), 15},
      {22, "\x0f", i32(0x0f), -1},
      {23, "\x07", i32(0x07), 6},
      {24, "\x80", i32(0x80), 2},
      {25, "\x03", i32(3), 3},
      {26, "\x03", i32(3), -1},
  };
  for (const Case& c : cases) {
    Model m;
    m.node("Relu", {"x"}, {"y"});
    m.raw("raw", c.dtype, {1}, c.raw);
    auto& t = m.raw("typed", c.dtype, {1}, "");
    t.clear_raw_data();
    c.typed(t);
    const Graph g = m.load();
    EXPECT_EQ(g.constant(*g.find_value("raw"))->as_double(0), c.value) << c.dtype;
    EXPECT_EQ(g.constant(*g.find_value("typed"))->as_double(0), c.value) << c.dtype;
    EXPECT_EQ(static_cast<int>(g.constant(*g.find_value("raw"))->dtype()), c.dtype);
  }
  Model m;
  m.node("Relu", {"x"}, {"y"});
  auto& s = m.raw("s", 8, {2}, "");
  s.clear_raw_data();
  s.add_string_data("a");
  s.add_string_data("b");
  auto& c = m.raw("c", 14, {1}, "");
  c.clear_raw_data();
  c.add_float_data(1);
  c.add_float_data(2);
  const Graph g = m.load();
  EXPECT_EQ(g.constant(*g.find_value("s"))->strings(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(g.constant(*g.find_value("c"))->data<float>()[1], 2);
}

TEST(OnnxImporter, BadTensorsAreNamed) {
  const auto with = [](const std::function<void(onnx::TensorProto&)>& edit) {
    Model m;
    m.node("Relu", {"x"}, {"y"});
    edit(m.raw("w", 1, {2}, bytes_of<float>({1, 2})));
    return m.error();
  };
  expect_has(with([](auto& t) { t.set_raw_data("abc"); }),
             "m.onnx: initializer 'w': raw_data has 3 bytes, f32[2] needs 8");
  expect_has(with([](auto& t) { t.set_dims(0, -2); }), "initializer 'w': a tensor dimension is negative (-2)");
  expect_has(with([](auto& t) {
               t.set_dims(0, int64_t{1} << 62);
               t.add_dims(16);
             }),
             "too large");
  expect_has(with([](auto& t) { t.set_data_type(99); }), "element type 99 is not supported");
  expect_has(with([](auto& t) { t.set_data_type(27); }), "element type 27 is not supported");
  expect_has(with([](auto& t) { t.clear_data_type(); }), "element type 0 is missing");
  expect_has(with([](auto& t) {
               t.clear_raw_data();
               t.add_float_data(1);
             }),
             "needs 2 entries in float_data");
  expect_has(with([](auto& t) {
               t.clear_raw_data();
               t.add_float_data(1);
               t.add_float_data(1);
               t.add_int32_data(1);
             }),
             "1 elsewhere");
  expect_has(with([](auto& t) {
               t.clear_raw_data();
               t.set_dims(0, int64_t{1} << 40);
             }),
             "needs 1099511627776 entries");
  expect_has(with([](auto& t) {
               t.clear_raw_data();
               t.set_data_type(2);
               t.add_int32_data(1);
               t.add_int32_data(256);
             }),
             "int32_data[1] is 256, which is no u8");
  expect_has(with([](auto& t) { t.set_data_type(8); }), "strings cannot be raw_data");
  expect_has(with([](auto& t) { t.mutable_segment(); }), "segmented");
  expect_has(with([](auto& t) { t.clear_name(); }), "an initializer has no name");
  expect_has(with([](auto& t) { t.set_name("\xff"); }), "not UTF-8");
}

TEST(OnnxImporter, BadGraphsAreNamed) {
  const auto with = [](const std::function<void(Model&)>& edit) {
    Model m;
    m.node("Relu", {"x"}, {"y"}).set_name("act");
    EXPECT_EQ(m.error(), "no error");
    edit(m);
    return m.error();
  };
  expect_has(with([](Model& m) { m.graph.mutable_node(0)->set_input(0, "nothing"); }),
             "node 'act' (Relu): input 'nothing' is not");
  expect_has(with([](Model& m) { m.graph.mutable_node(0)->set_input(0, "y"); }),
             "node 'act' (Relu) is part of a cycle");
  expect_has(with([](Model& m) { m.node("Neg", {"x"}, {"y"}); }),
             "node 'y' (Neg): its output 'y' is defined elsewhere too");
  expect_has(with([](Model& m) { m.node("Neg", {"y"}, {"x"}); }), "output 'x' is defined elsewhere");
  expect_has(with([](Model& m) { m.graph.mutable_node(0)->clear_op_type(); }), "op_type is missing");
  expect_has(with([](Model& m) { m.graph.mutable_node(0)->set_domain("other"); }),
             "domain 'other' is not in opset_import");
  expect_has(with([](Model& m) { m.graph.mutable_output(0)->set_name("z"); }), "graph output 'z' is not computed");
  expect_has(with([](Model& m) { m.graph.clear_output(); }), "no outputs");
  expect_has(with([](Model& m) { *m.graph.add_input() = m.graph.input(0); }), "graph input 'x' stands twice");
  expect_has(with([](Model& m) { m.graph.mutable_input(0)->clear_type(); }), "graph input 'x' has no type");
  expect_has(with([](Model& m) { m.graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(0); }),
             "value 'x'");
  expect_has(with([](Model& m) { m.graph.mutable_input(0)->mutable_type()->mutable_map_type(); }), "not maps");
  expect_has(
      with([](Model& m) {
        m.graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(1)->set_dim_value(
            -5);
      }),
      "value 'x': dimension 1 is -5");
  expect_has(with([](Model& m) { m.graph.add_sparse_initializer()->mutable_values()->set_name("sp"); }),
             "sparse initializer 'sp'");
  expect_has(with([](Model& m) { m.proto.clear_opset_import(); }), "opset_import");
  expect_has(with([](Model& m) { m.proto.mutable_opset_import(0)->set_version(99); }), "opset 99 of ai.onnx; 1 to 26");
  expect_has(with([](Model& m) { m.proto.mutable_opset_import(0)->set_version(3); }),
             "node 'act' (Relu): Relu is supported from opset 6 on, the model has 3");
  expect_has(with([](Model& m) { m.proto.mutable_opset_import(0)->set_version(0); }), "opset 0 of ai.onnx");
  expect_has(with([](Model& m) { m.proto.add_opset_import()->set_version(16); }), "two opsets");
  expect_has(with([](Model& m) { m.proto.clear_ir_version(); }), "ir_version is missing");
  expect_has(with([](Model& m) { m.proto.set_ir_version(1000); }), "ir_version 1000");
  expect_has(with([](Model& m) { m.proto.clear_graph(); }), "no graph");
  expect_has(with([](Model& m) { m.graph.mutable_node(0)->set_name("\xc3\x28"); }), "not UTF-8: c3 28");
  const auto attribute = [&](const std::function<void(onnx::AttributeProto&)>& edit) {
    return with([&](Model& m) { edit(*m.graph.mutable_node(0)->add_attribute()); });
  };
  expect_has(attribute([](auto& a) { a.set_type(onnx::AttributeProto::INT); }), "attribute '' has no name");
  expect_has(attribute([](auto& a) { a.set_name("a"); }), "attribute 'a' of node 'act' (Relu) has no type");
  expect_has(attribute([](auto& a) {
               a.set_name("a");
               a.set_ref_attr_name("b");
             }),
             "stands outside one");
  expect_has(attribute([](auto& a) {
               a.set_name("a");
               a.set_type(onnx::AttributeProto::SPARSE_TENSOR);
             }),
             "sparse");
  expect_has(attribute([](auto& a) {
               a.set_name("a");
               a.set_type(onnx::AttributeProto::TENSOR);
             }),
             "attribute 'a' of node 'act' (Relu): element type 0");
}

TEST(OnnxImporter, DamagedBytesAreAnInputError) {
  Model m;
  m.raw("w", 1, {64}, std::string(256, 'w'));
  m.node("Add", {"x", "w"}, {"y"});
  const std::string bytes = m.proto.SerializeAsString();
  EXPECT_THROW(load_onnx(Model::storage(""), "m", ""), InputError);
  EXPECT_THROW(load_onnx(Model::storage("hello"), "m", ""), InputError);
  for (size_t n = 0; n < bytes.size(); ++n) {
    try {
      load_onnx(Model::storage(bytes.substr(0, n)), "m", "");  // a cut between fields may leave a model that is whole
    } catch (const InputError&) {
    }
  }
}

TEST(OnnxImporter, DimensionsMayBeExpressionsOfOthers) {
  Model m;
  Model::tensor_type(*m.graph.add_input(), "mask", 1, {1, 1, 1, 1});
  auto& shape = *m.graph.mutable_input(1)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape.mutable_dim(0)->set_dim_param("2*N + 1");
  shape.mutable_dim(1)->set_dim_param("N + other");  // "other" is no dimension: a name like any other
  shape.mutable_dim(2)->set_dim_param("8");
  shape.mutable_dim(3)->clear_value();
  m.node("F", {"x", "mask"}, {"y"});
  const Graph g = m.load();
  const ir::Shape& dims = g.type(g.inputs[1]).shape();
  EXPECT_EQ(dims[0], ir::Dim::symbol("N") * 2 + 1);
  EXPECT_EQ(dims[1], ir::Dim::symbol("N + other"));
  EXPECT_EQ(dims[2], ir::Dim::symbol("8"));
  EXPECT_EQ(dims[3], ir::Dim::symbol("mask_dim3"));
}

TEST(OnnxImporter, InitializersThatAreInputsAreConstants) {
  Model m;
  m.raw("w", 1, {3}, bytes_of<float>({1, 2, 3}));
  Model::tensor_type(*m.graph.add_input(), "w", 1, {3});
  m.node("Add", {"x", "w"}, {"y"});
  const Graph g = m.load();
  EXPECT_EQ(g.inputs.size(), 1u);
  EXPECT_NE(g.constant(*g.find_value("w")), nullptr);
  Model::tensor_type(*m.graph.mutable_input(1), "w", 1, {4});
  expect_has(m.error(), "initializer 'w' is f32[3], but the graph states f32[4]");
}

onnx::GraphProto body(const std::string& op, const std::vector<std::string>& in) {
  onnx::GraphProto g;
  g.set_name("body");
  *g.add_node() = Model::make_node(op, in, {"r"});
  g.add_output()->set_name("r");
  return g;
}

void add_graph(onnx::NodeProto& n, const std::string& key, const onnx::GraphProto& g) {
  auto* a = n.add_attribute();
  a->set_name(key);
  a->set_type(onnx::AttributeProto::GRAPH);
  *a->mutable_g() = g;
}

TEST(OnnxImporter, BodiesCaptureByName) {
  Model m;
  m.raw("c", 9, {}, std::string(1, 1));
  onnx::GraphProto inner = body("Neg", {"late"});  // of the outermost graph, two levels up
  onnx::GraphProto middle;
  middle.set_name("middle");
  auto& nested = *middle.add_node() = Model::make_node("If", {"c"}, {"r"});
  add_graph(nested, "then_branch", inner);
  add_graph(nested, "else_branch", body("Relu", {"x"}));
  middle.add_output()->set_name("r");
  auto& outer = m.node("If", {"c"}, {"y"});
  add_graph(outer, "then_branch", middle);
  add_graph(outer, "else_branch", body("Relu", {"x"}));
  m.node("Exp", {"x"}, {"late"});
  const Graph g = m.load();
  ASSERT_EQ(g.node(g.order()[0]).op, "Exp");  // what a body needs comes first
  const auto then_branch = g.node(g.order()[1]).attr_graph("then_branch");
  EXPECT_EQ(then_branch->captures_outer.size(), 3u);  // c, late, x
  const auto deepest = then_branch->node(then_branch->order()[0]).attr_graph("then_branch");
  ASSERT_EQ(deepest->captures_outer.size(), 1u);
  EXPECT_EQ(then_branch->value(deepest->captures_outer[0]).name, "late");

  *m.graph.mutable_node(0)->mutable_attribute(1)->mutable_g() = body("Relu", {"y"});
  expect_has(m.error(), "cycle");
  *m.graph.mutable_node(0)->mutable_attribute(1)->mutable_g() = body("Relu", {"nowhere"});
  expect_has(m.error(), "input 'nowhere'");
}

TEST(OnnxImporter, NestingIsBounded) {
  for (const int depth : {10, 28, 200, 3000}) {
    Model m;
    m.raw("c", 9, {}, std::string(1, 1));
    onnx::GraphProto g = body("Relu", {"x"});
    for (int i = 0; i < depth; ++i) {
      onnx::GraphProto around;
      add_graph(*around.add_node() = Model::make_node("If", {"c"}, {"r"}), "", {});
      auto* n = around.mutable_node(0);
      n->clear_attribute();
      add_graph(*n, "then_branch", {});
      n->mutable_attribute(0)->mutable_g()->Swap(&g);
      around.add_output()->set_name("r");
      g.Swap(&around);
    }
    add_graph(m.node("If", {"c"}, {"y"}), "then_branch", {});
    m.graph.mutable_node(0)->mutable_attribute(0)->mutable_g()->Swap(&g);
    if (depth <= 28) {
      EXPECT_EQ(m.error(), "no error");
    } else {
      expect_has(m.error(), "nested too deeply");
    }
  }
}

/// twice(a, b) = scale * a + b, with an optional b, an attribute with a default and one that is passed on.
onnx::FunctionProto function() {
  onnx::FunctionProto f;
  f.set_name("Twice");
  f.set_domain("my");
  f.add_input("a");
  f.add_input("b");
  f.add_output("out");
  f.add_opset_import()->set_version(18);
  auto* scale = f.add_attribute_proto();
  scale->set_name("scale");
  scale->set_type(onnx::AttributeProto::FLOAT);
  scale->set_f(2);
  f.add_attribute("mode");
  auto& act = *f.add_node() = Model::make_node("Act", {"a", "b"}, {"h"});
  for (const char* name : {"scale", "mode"}) {
    auto* ref = act.add_attribute();
    ref->set_name(name);
    ref->set_ref_attr_name(name);
    ref->set_type(onnx::AttributeProto::FLOAT);
  }
  *f.add_node() = Model::make_node("Relu", {"h"}, {"out"});
  return f;
}

TEST(OnnxImporter, FunctionsAreInlined) {
  Model m;
  *m.proto.add_functions() = function();
  auto* import = m.proto.add_opset_import();
  import->set_domain("my");
  import->set_version(1);
  auto& first = m.node("Twice", {"x", "x"}, {"t"});
  first.set_domain("my");
  first.set_name("call");
  auto* mode = first.add_attribute();
  mode->set_name("mode");
  mode->set_type(onnx::AttributeProto::STRING);
  mode->set_s("fast");
  m.node("Twice", {"t"}, {"y"}).set_domain("my");
  const Graph g = m.load();
  ASSERT_EQ(g.order().size(), 4u);
  const Node& act = g.node(g.order()[0]);
  EXPECT_EQ(act.op, "Act");
  EXPECT_EQ(act.since_version, 18);
  EXPECT_EQ(act.attr_float("scale", 0), 2);
  EXPECT_EQ(act.attr_string("mode", ""), "fast");
  EXPECT_EQ(g.value(act.outputs[0]).name, "call/h");
  const Node& second = g.node(g.order()[2]);
  EXPECT_FALSE(second.has("mode"));
  EXPECT_EQ(second.input(1), ir::kNone);
  EXPECT_EQ(g.value(g.node(g.order()[3]).outputs[0]).name, "y");
}

TEST(OnnxImporter, FunctionsThatReturnTheirInputOrNothing) {
  Model m;
  onnx::FunctionProto f;
  f.set_name("Pass");
  f.add_input("a");
  f.add_output("a");
  f.add_opset_import()->set_version(18);
  *m.proto.add_functions() = f;
  m.node("Pass", {"x"}, {"y"});
  const Graph g = m.load();
  EXPECT_EQ(g.node(g.order()[0]).op, "Identity");
  EXPECT_EQ(g.value(g.outputs[0]).name, "y");
  m.proto.mutable_functions(0)->set_output(0, "b");
  expect_has(m.error(), "output 'b' is not computed");
  *m.proto.add_functions() = f;
  expect_has(m.error(), "defined twice");
}

TEST(OnnxImporter, FunctionsThatCallThemselvesOrExplodeAreRefused) {
  Model m;
  const auto level = [&](int i, const std::string& callee) {
    onnx::FunctionProto f;
    f.set_name("f" + std::to_string(i));
    f.add_input("a");
    f.add_output("b");
    f.add_opset_import()->set_version(18);
    *f.add_node() = Model::make_node(callee, {"a"}, {"h"});
    *f.add_node() = Model::make_node(callee, {"h"}, {"b"});
    *m.proto.add_functions() = f;
  };
  m.node("f0", {"x"}, {"y"});
  level(0, "f0");
  expect_has(m.error(), "nested more than");
  m.proto.clear_functions();
  for (int i = 0; i < 30; ++i) level(i, i < 29 ? "f" + std::to_string(i + 1) : "Relu");
  expect_has(m.error(), "nodes once its functions are inlined");
}

TEST(OnnxImporter, ExternalData) {
  const TempDirectory folder;
  std::filesystem::create_directory(folder.file("model"));
  const std::string model_path = folder.file("model/m.onnx");
  write_file(folder.file("model/weights.bin"), std::string(64, '\0') + bytes_of<float>({1, 2, 3}));
  write_file(folder.file("secret.bin"), std::string(64, 's'));
  const auto load = [&](const std::vector<std::pair<std::string, std::string>>& entries) -> std::string {
    Model m;
    auto& t = m.raw("w", 1, {3}, "");
    t.clear_raw_data();
    t.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : entries) {
      auto* e = t.add_external_data();
      e->set_key(key);
      e->set_value(value);
    }
    m.node("Add", {"x", "w"}, {"y"});
    write_file(model_path, m.proto.SerializeAsString());
    try {
      const Graph g = load_model(model_path);
      const ir::Tensor& w = *g.constant(*g.find_value("w"));
      return fmt::format("{} {}", w.as_double(0), w.as_double(2));
    } catch (const InputError& e) {
      return e.what();
    }
  };
  EXPECT_EQ(load({{"location", "weights.bin"}, {"offset", "64"}, {"length", "12"}}), "1 3");
  EXPECT_EQ(load({{"location", "weights.bin"}, {"offset", "64"}}), "1 3");
  EXPECT_EQ(load({{"location", "weights.bin"}}), "0 0");
  expect_has(load({{"offset", "64"}}), "initializer 'w': external_data has no location");
  expect_has(load({{"location", "other.bin"}}), "other.bin': No such file");
  expect_has(load({{"location", "weights.bin"}, {"offset", "68"}}), "has 76 bytes");
  expect_has(load({{"location", "weights.bin"}, {"offset", "-1"}}), "'offset' is '-1', expected a number");
  expect_has(load({{"location", "weights.bin"}, {"offset", "18446744073709551615"}}), "has 76 bytes");
  expect_has(load({{"location", "weights.bin"}, {"length", "8"}}), "external_data has 8 bytes, f32[3] needs 12");
  expect_has(load({{"location", "../secret.bin"}}), "must lie in the model's folder");
  expect_has(load({{"location", "a/../../secret.bin"}}), "must lie in the model's folder");
  expect_has(load({{"location", folder.file("secret.bin")}}), "must lie in the model's folder");
  expect_has(load({{"location", "."}}), "is not a file");
  std::filesystem::create_symlink(folder.file("secret.bin"), folder.file("model/link.bin"));
  expect_has(load({{"location", "link.bin"}}), "a link out of the model's folder");
  Model m;
  m.raw("w", 1, {3}, "").set_data_location(onnx::TensorProto::EXTERNAL);
  m.graph.mutable_initializer(0)->add_external_data()->set_key("location");
  m.graph.mutable_initializer(0)->mutable_external_data(0)->set_value("weights.bin");
  m.node("Add", {"x", "w"}, {"y"});
  expect_has(m.error(), "needs a model that lies in a file");
}

TEST(OnnxImporter, AlignedWeightsStayInTheMappedFile) {
  const TempDirectory folder;
  for (int shift = 0; shift < 4; ++shift) {
    Model m;
    m.graph.set_name(std::string(static_cast<size_t>(shift + 1), 'g'));
    m.raw("w", 1, {1000}, bytes_of<float>(std::vector<float>(1000, 0.5f)));
    m.node("Add", {"x", "w"}, {"y"});
    write_file(folder.file("m.onnx"), m.proto.SerializeAsString());
    const auto file = ir::map_file(folder.file("m.onnx"));
    const Graph g = load_onnx(file, "m", "");
    const ir::Tensor& w = *g.constant(*g.find_value("w"));
    EXPECT_EQ(w.as_double(999), 0.5);
    const std::string bytes = read_file(folder.file("m.onnx"));
    const size_t offset = bytes.find(bytes_of<float>({0.5f, 0.5f, 0.5f}));
    if (offset % 4 == 0) {
      EXPECT_EQ(w.raw(), file->data() + offset);
    } else {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw()) % 64, 0u);
    }
  }
}

TEST(Frontend, DimensionsCanBeBound) {
  const TempDirectory folder;
  Model m;
  m.node("Relu", {"x"}, {"y"});
  write_file(folder.file("m.onnx"), m.proto.SerializeAsString());
  const Graph bounded = load_model(folder.file("m.onnx"), {{{"N", ir::Dim::symbol("N", 1, 8)}}});
  EXPECT_EQ(bounded.type(bounded.inputs[0]).to_string(), "f32[N{1..8},3]");
  const Graph fixed = load_model(folder.file("m.onnx"), {{{"N", ir::Dim(4)}}});
  EXPECT_EQ(fixed.type(fixed.inputs[0]).to_string(), "f32[4,3]");
  try {
    load_model(folder.file("m.onnx"), {{{"batch", ir::Dim(4)}}});
    ADD_FAILURE();
  } catch (const InputError& e) {
    expect_has(e.what(),
               "no input has a dimension 'batch', which --dim or an option names; its symbolic dimensions are: N");
  }
  try {
    load_model("m.xyz");
    ADD_FAILURE();
  } catch (const InputError& e) {
    expect_has(e.what(), "accepted are *.onnx (onnx)");
  }
  EXPECT_THROW(load_model(folder.file("missing.onnx")), InputError);
}

}  // namespace
}  // namespace rooftune::frontends
