"""Writes broken ONNX files, each with one thing wrong, and a table of what must happen to them.

    make_corpus.py FOLDER

FOLDER/table.json: {file: {"exit": 3 or 0, "says": part of the message}}. Exit 3 is a refused input; 0 stands for files
that look wrong and are legal.
"""
import json
import sys
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def tensor(name, array, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def good():
    """x[N,3,8,8] -> conv1 -> act -> pool -> flat -> fc -> y[N,10]; the model that most cases break."""
    random = np.random.default_rng(3)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="act"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "fc_w", "fc_b"], ["y"], name="fc"),
    ]
    weights = [tensor("w", random.normal(size=(4, 3, 3, 3))), tensor("b", random.normal(size=4)),
               tensor("fc_w", random.normal(size=(4, 10))), tensor("fc_b", random.normal(size=10))]
    graph = helper.make_graph(nodes, "good", [value("x", ["N", 3, 8, 8])], [value("y", ["N", 10])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


class Corpus:
    def __init__(self):
        self.cases = {}
        self.beside = {}   # other files, by name

    def add(self, name, model, says, code=3):
        if isinstance(model, ModelProto):
            model = model.SerializeToString()
        assert name not in self.cases, name
        self.cases[name] = (model, code, says)

    def broken(self, says, code=3):
        """Decorator: the function breaks the good model, its name is the case."""

        def register(edit):
            model = good()
            self.add(edit.__name__, edit(model) or model, says, code)
            return edit

        return register

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        table = {}
        for name, (data, code, says) in self.cases.items():
            (folder / f"{name}.onnx").write_bytes(data)
            table[f"{name}.onnx"] = {"exit": code, "says": says}
        for name, data in self.beside.items():
            (folder / name).write_bytes(data)
        (folder / "table.json").write_text(json.dumps(table, indent=1) + "\n")


corpus = Corpus()


# --- bytes

def damaged_bytes():
    data = good().SerializeToString()
    corpus.add("good", data, "", 0)
    corpus.add("empty", b"", "empty")
    corpus.add("text", b"this is not a model\n" * 20, "not an ONNX model")
    corpus.add("zeros", bytes(1000), "not an ONNX model")
    corpus.add("ones", b"\xff" * 1000, "not an ONNX model")
    for percent in (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99):
        corpus.add(f"truncated_{percent:02}", data[:len(data) * percent // 100], "cut off")
    corpus.add("last_byte_missing", data[:-1], "cut off")
    corpus.add("garbage_behind", data + b"\x0f\x0f\x0f", "unknown wire type")
    corpus.add("png", b"\x89PNG\r\n\x1a\n" + bytes(200), "not an ONNX model")
    corpus.add("length_beyond_file", varint(7 << 3 | 2) + varint(1 << 40) + b"abc", "cut off")
    corpus.add("endless_varint", b"\x08" + b"\x80" * 50, "too long")
    corpus.add("field_zero", b"\x02\x01a" + data, "field number")
    corpus.add("group", b"\x0b" + data, "unknown wire type")


# --- the model

@corpus.broken("ir_version is missing")
def no_ir_version(m):
    m.ClearField("ir_version")


@corpus.broken("ir_version 999")
def future_ir_version(m):
    m.ir_version = 999


@corpus.broken("ir_version -1")
def negative_ir_version(m):
    m.ir_version = -1


@corpus.broken("opset_import")
def no_opset(m):
    del m.opset_import[:]


@corpus.broken("opset 500")
def future_opset(m):
    m.opset_import[0].version = 500


@corpus.broken("node 'act' (Relu): Relu is supported from opset 6 on")
def ancient_opset(m):
    m.opset_import[0].version = 1


@corpus.broken("two opsets")
def two_opsets(m):
    m.opset_import.append(helper.make_opsetid("", 13))


@corpus.broken("no graph")
def no_graph(m):
    m.ClearField("graph")


@corpus.broken("no outputs")
def no_outputs(m):
    del m.graph.output[:]


@corpus.broken("", 0)
def same_domain_twice(m):
    m.opset_import.append(helper.make_opsetid("ai.onnx", 17))


@corpus.broken("", 0)
def unknown_fields(m):
    return m.SerializeToString() + field(1999, b"from a later version")


@corpus.broken("", 0)
def training_info_is_ignored(m):
    info = m.training_info.add()
    info.algorithm.node.append(helper.make_node("Nonsense", ["nowhere"], ["z"]))


# --- nodes

@corpus.broken("node 'act' (Frobnicate)")
def unknown_operator(m):
    m.graph.node[1].op_type = "Frobnicate"


@corpus.broken("node 'act' (Relu): operator com.example.Relu is not supported")
def unknown_domain(m):
    m.graph.node[1].domain = "com.example"
    m.opset_import.append(helper.make_opsetid("com.example", 1))


@corpus.broken("domain 'com.example' is not in opset_import")
def domain_not_imported(m):
    m.graph.node[1].domain = "com.example"


@corpus.broken("node 'act'")
def no_op_type(m):
    m.graph.node[1].ClearField("op_type")


@corpus.broken("cycle")
def cycle(m):
    m.graph.node[1].input[0] = "f"


@corpus.broken("node 'act' (Relu) is part of a cycle")
def node_feeds_itself(m):
    m.graph.node[1].input[0] = "r"


@corpus.broken("", 0)
def nodes_in_any_order(m):
    nodes = [NodeProto.FromString(n.SerializeToString()) for n in m.graph.node]
    del m.graph.node[:]
    m.graph.node.extend(reversed(nodes))


@corpus.broken("input 'nothing' is not")
def input_from_nowhere(m):
    m.graph.node[1].input[0] = "nothing"


@corpus.broken("'c' is defined elsewhere")
def value_computed_twice(m):
    m.graph.node[1].output[0] = "c"


@corpus.broken("'x' is defined elsewhere")
def node_overwrites_input(m):
    m.graph.node[1].output[0] = "x"


@corpus.broken("'w' is defined elsewhere")
def node_overwrites_weight(m):
    m.graph.node[1].output[0] = "w"


@corpus.broken("", 0)
def two_nodes_of_one_name(m):
    m.graph.node[1].name = "conv1"


@corpus.broken("node 'conv1'")
def conv_without_inputs(m):
    del m.graph.node[0].input[:]


@corpus.broken("node 'conv1'")
def conv_without_weight(m):
    m.graph.node[0].input[1] = ""


@corpus.broken("node 'act'")
def too_many_inputs(m):
    m.graph.node[1].input.extend(["c", "c", "c"])


@corpus.broken("node 'act'")
def too_many_outputs(m):
    m.graph.node[1].output.extend(["q1", "q2"])


@corpus.broken("attribute 'pads' stands twice")
def attribute_twice(m):
    m.graph.node[0].attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))


@corpus.broken("node 'conv1' (Conv): attribute 'pads'")
def attribute_of_wrong_type(m):
    m.graph.node[0].attribute[1].CopyFrom(helper.make_attribute("pads", "same"))


@corpus.broken("node 'conv1'")
def wrong_number_of_pads(m):
    m.graph.node[0].attribute[1].CopyFrom(helper.make_attribute("pads", [1, 1, 1]))


@corpus.broken("node 'conv1'")
def zero_stride(m):
    m.graph.node[0].attribute.append(helper.make_attribute("strides", [0, 1]))


@corpus.broken("node 'conv1'")
def kernel_that_is_not_the_weight(m):
    m.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("kernel_shape", [5, 5]))


@corpus.broken("node 'conv1'")
def huge_pads(m):
    m.graph.node[0].attribute[1].CopyFrom(helper.make_attribute("pads", [2**62, 2**62, 2**62, 2**62]))


@corpus.broken("node 'flat'")
def axis_out_of_range(m):
    m.graph.node[3].attribute.append(helper.make_attribute("axis", 9))


@corpus.broken("has no type")
def attribute_without_type(m):
    m.graph.node[0].attribute.add().name = "auto_pad"


@corpus.broken("refers to an attribute of a function")
def reference_outside_function(m):
    a = m.graph.node[0].attribute.add()
    a.name, a.ref_attr_name, a.type = "group", "g", AttributeProto.INT


# --- inputs, outputs, types

@corpus.broken("graph output 'z'")
def output_from_nowhere(m):
    m.graph.output[0].name = "z"


@corpus.broken("a graph output has no name")
def output_without_name(m):
    m.graph.output[0].name = ""


@corpus.broken("graph input 'x' stands twice")
def input_twice(m):
    m.graph.input.append(m.graph.input[0])


@corpus.broken("input 'x' is not")
def no_inputs(m):
    del m.graph.input[:]


@corpus.broken("graph input 'x' has no type")
def input_without_type(m):
    m.graph.input[0].ClearField("type")


@corpus.broken("value 'x': element type 0")
def input_without_element_type(m):
    m.graph.input[0].type.tensor_type.ClearField("elem_type")


@corpus.broken("value 'x': element type 77")
def input_of_unknown_element_type(m):
    m.graph.input[0].type.tensor_type.elem_type = 77


@corpus.broken("value 'x': dimension 1 is -3")
def negative_dimension(m):
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -3


@corpus.broken("input 'x'")
def absurd_dimension(m):
    for d in m.graph.input[0].type.tensor_type.shape.dim:
        d.dim_value = 2**62


@corpus.broken("node 'conv1'")
def wrong_channels(m):
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


@corpus.broken("node 'conv1'")
def wrong_rank(m):
    del m.graph.input[0].type.tensor_type.shape.dim[2:]


@corpus.broken("node 'conv1'")
def wrong_element_type(m):
    m.graph.input[0].type.tensor_type.elem_type = I64


@corpus.broken("node 'fc'")
def output_states_another_shape(m):
    m.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 11


@corpus.broken("node 'fc'")
def output_states_another_type(m):
    m.graph.output[0].type.tensor_type.elem_type = I64


@corpus.broken("node 'conv1'")
def value_info_lies(m):
    m.graph.value_info.append(value("c", [1, 99, 8, 8]))


@corpus.broken("not maps")
def map_input(m):
    m.graph.input[0].type.map_type.key_type = I64


@corpus.broken("", 0)
def input_of_unknown_rank_unused(m):
    m.graph.input.append(helper.make_tensor_value_info("spare", F32, None))


@corpus.broken("", 0)
def output_is_an_input(m):
    m.graph.output.append(m.graph.input[0])


# --- weights

@corpus.broken("initializer 'w': raw_data has 3 bytes")
def raw_data_too_short(m):
    m.graph.initializer[0].raw_data = b"abc"


@corpus.broken("initializer 'w': raw_data has 436 bytes")
def raw_data_too_long(m):
    m.graph.initializer[0].raw_data += b"abcd"


@corpus.broken("needs 108 entries in float_data")
def no_data(m):
    m.graph.initializer[0].ClearField("raw_data")


@corpus.broken("too large")
def absurd_tensor(m):
    m.graph.initializer[0].dims[:] = [2**40, 2**40]


@corpus.broken("too large")
def tensor_size_overflows(m):
    m.graph.initializer[0].dims[:] = [2**32, 2**32 + 1]


@corpus.broken("needs 4398046511104 entries")
def huge_tensor_without_data(m):
    m.graph.initializer[0].dims[:] = [2**42]
    m.graph.initializer[0].ClearField("raw_data")


@corpus.broken("negative (-4)")
def negative_tensor_dimension(m):
    m.graph.initializer[0].dims[0] = -4


@corpus.broken("initializer 'w': element type 0")
def tensor_without_type(m):
    m.graph.initializer[0].ClearField("data_type")


@corpus.broken("initializer 'w': element type 123")
def tensor_of_unknown_type(m):
    m.graph.initializer[0].data_type = 123


@corpus.broken("strings cannot be raw_data")
def raw_strings(m):
    m.graph.initializer[0].data_type = TensorProto.STRING


@corpus.broken("segmented")
def segmented_tensor(m):
    m.graph.initializer[0].segment.begin = 1


@corpus.broken("initializer 'w' stands twice")
def weight_twice(m):
    m.graph.initializer.append(m.graph.initializer[0])


@corpus.broken("an initializer has no name")
def weight_without_name(m):
    m.graph.initializer[0].name = ""


@corpus.broken("initializer 'w' is f32[4,3,3,3], but the graph states")
def weight_is_not_its_input(m):
    m.graph.input.append(value("w", [4, 3, 5, 5]))


@corpus.broken("node 'conv1'")
def weight_of_wrong_type(m):
    m.graph.initializer[0].CopyFrom(tensor("w", np.ones((4, 3, 3, 3)), np.float64))


@corpus.broken("node 'fc'")
def weight_of_wrong_shape(m):
    m.graph.initializer[2].CopyFrom(tensor("fc_w", np.ones((5, 10))))


@corpus.broken("sparse initializer 'sp'")
def sparse_weight(m):
    sparse = m.graph.sparse_initializer.add()
    sparse.values.CopyFrom(tensor("sp", [1.0]))
    sparse.indices.CopyFrom(tensor("", [0], np.int64))
    sparse.dims.append(4)


@corpus.broken("is 300, which is no u8")
def typed_value_out_of_range(m):
    t = m.graph.initializer[0]
    t.CopyFrom(TensorProto(name="w", data_type=TensorProto.UINT8, dims=[1], int32_data=[300]))


@corpus.broken("", 0)
def nan_weights(m):
    m.graph.initializer[0].CopyFrom(tensor("w", np.full((4, 3, 3, 3), np.nan)))


@corpus.broken("", 0)
def infinite_weights(m):
    m.graph.initializer[0].CopyFrom(tensor("w", np.full((4, 3, 3, 3), -np.inf)))


@corpus.broken("", 0)
def unused_empty_weight(m):
    m.graph.initializer.append(tensor("unused", np.ones((0, 3))))


# --- text

@corpus.broken("not UTF-8")
def invalid_utf8_in_a_node_name(m):
    return m.SerializeToString().replace(b"conv1", b"co\xff\xfe1")


@corpus.broken("not UTF-8")
def invalid_utf8_in_a_value_name(m):
    return m.SerializeToString().replace(b"fc_b", b"f\xc0\x80b")


@corpus.broken("not UTF-8")
def invalid_utf8_in_an_operator(m):
    return m.SerializeToString().replace(b"Relu", b"Re\xed\xa0")


@corpus.broken("", 0)
def names_with_anything(m):
    m.graph.node[1].name = "näme with spaces/\n\t\"quotes\" \\ and 🙂"
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "the batch + 1"


# --- external data

def external(m, **entries):
    t = m.graph.initializer[0]
    t.ClearField("raw_data")
    t.data_location = TensorProto.EXTERNAL
    for key, text in entries.items():
        e = t.external_data.add()
        e.key, e.value = key, text


corpus.beside["weights.bin"] = np.random.default_rng(5).normal(size=200).astype(np.float32).tobytes()


@corpus.broken("", 0)
def external_data_is_there(m):
    external(m, location="weights.bin", offset="4", length="432")


@corpus.broken("no-such-file.bin")
def external_data_missing(m):
    external(m, location="no-such-file.bin")


@corpus.broken("initializer 'w': external_data has no location")
def external_data_without_location(m):
    external(m, offset="0")


@corpus.broken("must lie in the model's folder")
def external_data_climbs_out(m):
    external(m, location="../../../../etc/passwd")


@corpus.broken("must lie in the model's folder")
def external_data_is_absolute(m):
    external(m, location="/etc/passwd")


@corpus.broken("weights.bin' has 800 bytes")
def external_data_too_short(m):
    external(m, location="weights.bin", offset="400")


@corpus.broken("weights.bin' has 800 bytes")
def external_offset_overflows(m):
    external(m, location="weights.bin", offset=str(2**64 - 4))


@corpus.broken("expected a number")
def external_offset_is_text(m):
    external(m, location="weights.bin", offset="four")


@corpus.broken("external_data has 8 bytes")
def external_length_is_wrong(m):
    external(m, location="weights.bin", length="8")


@corpus.broken("is not a file")
def external_data_is_a_folder(m):
    external(m, location=".")


# --- nesting and functions

def if_node(name, then_branch, else_branch, out="y", condition="flag"):
    return helper.make_node("If", [condition], [out], name=name, then_branch=then_branch, else_branch=else_branch)


def branch(op, name, inputs):
    return helper.make_graph([helper.make_node(op, inputs, [name], name=name)], name, [], [value(name, None)])


def if_model(then_branch, else_branch=None):
    graph = helper.make_graph([if_node("choice", then_branch, else_branch or branch("Relu", "e", ["x"]))], "g",
                              [value("x", [4]), value("flag", [], TensorProto.BOOL)], [value("y", None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def nesting():
    corpus.add("body", if_model(branch("Neg", "t", ["x"])), "", 0)
    corpus.add("body_uses_nothing", if_model(branch("Neg", "t", ["nowhere"])), "input 'nowhere' is not")
    corpus.add("body_uses_own_result", if_model(branch("Neg", "t", ["y"])), "cycle")
    corpus.add("body_of_unknown_operator", if_model(branch("Frobnicate", "t", ["x"])), "(Frobnicate)")
    corpus.add("body_without_outputs", if_model(helper.make_graph([], "t", [], [])), "node 'choice'")
    missing = if_model(branch("Neg", "t", ["x"]))
    del missing.graph.node[0].attribute[:1]
    corpus.add("branch_missing", missing, "node 'choice'")
    for depth in (20, 35, 1000, 20000):
        # written by hand: the Python library cannot serialise what nests this deep
        graph = branch("Neg", "r", ["x"]).SerializeToString()
        for _ in range(depth):
            attributes = b"".join(field(5, field(1, key) + varint(20 << 3) + varint(AttributeProto.GRAPH) + field(6, body))
                                  for key, body in [(b"then_branch", graph), (b"else_branch", branch("Relu", "e", ["x"]).SerializeToString())])
            node = field(1, b"flag") + field(2, b"r") + field(4, b"If") + attributes
            graph = field(1, node) + field(2, b"g") + field(12, value("r", None).SerializeToString())
        shell = if_model(branch("Neg", "t", ["x"]))
        inner = GraphProto()
        inner.CopyFrom(shell.graph)
        del inner.node[:]
        node = field(1, b"flag") + field(2, b"y") + field(4, b"If") + field(3, b"choice")
        node += field(5, field(1, b"then_branch") + varint(20 << 3) + varint(AttributeProto.GRAPH) + field(6, graph))
        node += field(5, field(1, b"else_branch") + varint(20 << 3) + varint(AttributeProto.GRAPH) + field(6, branch("Relu", "e", ["x"]).SerializeToString()))
        shell.ClearField("graph")
        data = shell.SerializeToString() + field(7, inner.SerializeToString() + field(1, node))
        corpus.add(f"nested_{depth}", data, "" if depth < 28 else "nested", 0 if depth < 28 else 3)


def functions():
    def model(function_list, op="f0"):
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], name="call", domain="my")], "g", [value("x", [4])], [value("y", [4])])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my", 1)],
                                 functions=function_list, ir_version=8)

    def function(i, callee, domain="my"):
        nodes = [helper.make_node(callee, ["a"], ["h"], domain=domain), helper.make_node(callee, ["h"], ["b"], domain=domain)]
        return helper.make_function("my", f"f{i}", ["a"], ["b"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)])

    corpus.add("function", model([function(0, "Relu", "")]), "", 0)
    corpus.add("function_calls_itself", model([function(0, "f0")]), "nested more than")
    corpus.add("functions_call_each_other", model([function(0, "f1"), function(1, "f0")]), "nested more than")
    corpus.add("function_bomb", model([function(i, f"f{i + 1}") for i in range(30)] + [function(30, "Relu", "")]), "nodes once its functions are inlined")
    corpus.add("function_twice", model([function(0, "Relu", ""), function(0, "Neg", "")]), "defined twice")
    corpus.add("function_missing", model([]), "node 'call' (f0): operator my.f0 is not supported")
    wrong = function(0, "Relu", "")
    wrong.output[0] = "nothing"
    corpus.add("function_without_result", model([wrong]), "output 'nothing' is not computed")
    many = model([function(0, "Relu", "")])
    many.graph.node[0].input.extend(["x", "x"])
    corpus.add("function_with_too_many_inputs", many, "node 'call'")


# --- shapes that constants ask for

def shape_model(op, inputs, initializers, **attributes):
    graph = helper.make_graph([helper.make_node(op, inputs, ["y"], name="node", **attributes)], "g", [value("x", [2, 6])],
                              [value("y", None)], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def asked_shapes():
    def shape(*dims):
        return tensor("shape", dims, np.int64)

    corpus.add("reshape_does_not_fit", shape_model("Reshape", ["x", "shape"], [shape(5, 3)]), "node 'node' (Reshape)")
    corpus.add("reshape_two_unknown", shape_model("Reshape", ["x", "shape"], [shape(-1, -1)]), "node 'node' (Reshape)")
    corpus.add("reshape_overflows", shape_model("Reshape", ["x", "shape"], [shape(2**40, 2**40)]), "node 'node' (Reshape)")
    corpus.add("expand_overflows", shape_model("Expand", ["x", "shape"], [shape(2**62, 2**62, 1, 1)]), "node 'node' (Expand)")
    corpus.add("tile_overflows", shape_model("Tile", ["x", "shape"], [shape(2**62, 2**62)]), "node 'node' (Tile)")
    corpus.add("transpose_no_permutation", shape_model("Transpose", ["x"], [], perm=[0, 0]), "node 'node' (Transpose)")
    corpus.add("concat_axis", shape_model("Concat", ["x", "x"], [], axis=7), "node 'node' (Concat)")
    corpus.add("gather_axis", shape_model("Gather", ["x", "shape"], [shape(0)], axis=-9), "node 'node' (Gather)")
    corpus.add("add_does_not_broadcast", shape_model("Add", ["x", "v"], [tensor("v", np.ones(5))]), "node 'node' (Add)")
    corpus.add("matmul_does_not_fit", shape_model("MatMul", ["x", "v"], [tensor("v", np.ones((5, 2)))]), "node 'node' (MatMul)")
    corpus.add("cast_to_nothing", shape_model("Cast", ["x"], [], to=99), "node 'node' (Cast)")


def main():
    damaged_bytes()
    nesting()
    functions()
    asked_shapes()
    corpus.write(Path(sys.argv[1]))
    print(f"{len(corpus.cases)} files")


if __name__ == "__main__":
    main()
