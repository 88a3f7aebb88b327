"""Files that a user might hand us by mistake. Each case writes one; the part at fault is named "culprit", so that a
good message can be told by its naming it.

verdict "reject": exit code 3 and the culprit named; "accept": legal, must run; "either": rejected or accepted, but
nothing worse (a crash, exit code 5, a hang)."""
from dataclasses import dataclass, field
from typing import Callable

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@dataclass
class Case:
    name: str
    write: Callable                      # (folder) -> path
    verdict: str = "reject"
    mention: tuple = ("culprit",)
    inputs: dict = field(default_factory=lambda: {"x": (2, 8)})


CASES = []


def case(verdict="reject", mention=("culprit",), **extra):
    """Registers a function that returns a ModelProto or bytes; its name is the case's."""

    def register(build):
        def write(folder):
            path = folder / "model.onnx"
            result = build()
            path.write_bytes(result if isinstance(result, bytes) else result.SerializeToString())
            return path

        mentions = (mention,) if isinstance(mention, str) else mention
        CASES.append(Case(build.__name__, write, verdict, mentions, **extra))
        return build

    return register


# ---------------------------------------------------------------- building blocks
def value(name, shape=(2, 8), dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def model(nodes, inputs=None, outputs=None, constants=(), opset=18, domains=()):
    graph = helper.make_graph(nodes, "g", [value("x")] if inputs is None else inputs,
                              [value("y", None)] if outputs is None else outputs, list(constants))
    imports = [helper.make_opsetid("", opset)] if opset else []
    imports += [helper.make_opsetid(d, 1) for d in domains]
    made = helper.make_model(graph, opset_imports=imports or [helper.make_opsetid("", 18)], ir_version=9)
    if not imports:
        del made.opset_import[:]
    return made


def node(op, inputs=("x",), outputs=("y",), name="culprit", **attributes):
    return helper.make_node(op, list(inputs), list(outputs), name=name, **attributes)


def image(nodes, constants=(), shape=(1, 4, 8, 8)):
    return model(nodes, [value("x", shape)], constants=constants)


def mlp(weight=None):
    nodes = [node("MatMul", ["x", "w"], ["h"], "matmul"), node("Add", ["h", "b"], ["z"], "add"), node("Relu", ["z"], ["y"], "relu")]
    return model(nodes, constants=[const("w", random(8, 4) if weight is None else weight), const("b", random(4))])


# ---------------------------------------------------------------- the file itself
@case(mention="model.onnx")
def empty_file():
    return b""


@case(mention="model.onnx")
def a_text_file():
    return b"Sorry, the page you are looking for does not exist.\n" * 20


@case(mention="model.onnx")
def a_picture():
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8


@case(mention="model.onnx")
def noise():
    return np.random.default_rng(5).bytes(5000)


@case(mention="model.onnx")
def cut_in_half():
    whole = mlp().SerializeToString()
    return whole[: len(whole) // 2]


@case(mention="model.onnx")
def cut_by_one_byte():
    return mlp().SerializeToString()[:-1]


@case(mention="model.onnx")
def a_download_page():
    return b"<!DOCTYPE html><html><body>404</body></html>"


@case(mention="model.onnx")
def git_lfs_pointer():
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102485320\n"


@case(mention="graph")
def no_graph():
    made = mlp()
    made.ClearField("graph")
    return made


@case(mention="opset")
def no_opset():
    return model([node("Relu")], opset=0)


@case(mention="999")
def opset_of_the_future():
    return model([node("Relu")], opset=999)


@case("either")
def opset_of_the_past():
    return model([node("Relu")], opset=1)


@case("either")
def ir_version_of_the_future():
    made = mlp()
    made.ir_version = 999
    return made


@case("either")
def ten_megabytes_of_doc_string():
    made = mlp()
    made.doc_string = "x" * 10_000_000
    return made


# ---------------------------------------------------------------- wiring
@case(mention=("culprit", "Frobnicate"))
def unknown_operator():
    return model([node("Frobnicate")])


@case(mention=("culprit", "com.acme"))
def unknown_domain():
    return model([node("Relu", domain="com.acme")], domains=["com.acme"])


@case(mention=("culprit", "com.acme"))
def domain_not_imported():
    return model([node("Relu", domain="com.acme")])


@case()
def no_operator_type():
    return model([node("")])


@case()
def cycle():
    return model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"], "culprit_2"), node("Relu", ["a"], ["y"], "out")])


@case()
def cycle_of_one():
    return model([node("Add", ["x", "a"], ["a"]), node("Relu", ["a"], ["y"], "out")])


@case(mention=("culprit", "nowhere"))
def input_from_nowhere():
    return model([node("Add", ["x", "nowhere"])])


@case(mention="culprit")
def value_made_twice():
    return model([node("Relu", ["x"], ["culprit"], "first"), node("Abs", ["x"], ["culprit"], "second"),
                  node("Relu", ["culprit"], ["y"], "out")])


@case(mention="culprit")
def one_node_makes_a_value_twice():
    return model([node("Split", ["x"], ["culprit", "culprit"], "split", num_outputs=2), node("Relu", ["culprit"], ["y"], "out")])


@case(mention="culprit")
def node_overwrites_an_input():
    return model([node("Relu", ["culprit"], ["culprit"], "n"), node("Relu", ["culprit"], ["y"], "out")], [value("culprit")])


@case(mention="culprit")
def node_overwrites_an_initializer():
    return model([node("Relu", ["x"], ["culprit"], "n"), node("Add", ["x", "culprit"], ["y"], "out")], constants=[const("culprit", random(2, 8))])


@case(mention="culprit")
def two_initializers_of_one_name():
    return model([node("Add", ["x", "culprit"], ["y"], "n")], constants=[const("culprit", random(8)), const("culprit", random(2, 8))])


@case(mention="culprit")
def two_inputs_of_one_name():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit"), value("culprit", (3, 3))])


@case(mention="culprit")
def output_never_made():
    return model([node("Relu", ["x"], ["z"], "n")], outputs=[value("culprit")])


@case(mention="output")
def no_outputs():
    return model([node("Relu")], outputs=[])


@case()
def node_without_outputs():
    return model([node("Relu", ["x"], []), node("Abs", ["x"], ["y"], "n")])


@case()
def too_few_inputs():
    return model([node("MatMul", ["x"])])


@case()
def too_many_inputs():
    return model([node("Relu", ["x", "x", "x"])])


@case()
def required_input_left_out():
    return model([node("MatMul", ["", "x"])])


@case()
def too_many_outputs():
    return model([node("Relu", ["x"], ["y", "z"])])


@case("either")
def two_nodes_of_one_name():
    return model([node("Relu", ["x"], ["h"], "n"), node("Abs", ["h"], ["y"], "n")])


@case("accept")
def nodes_without_names():
    return model([node("Relu", ["x"], ["h"], ""), node("Abs", ["h"], ["y"], "")])


@case("accept")
def names_with_markup_and_paths():
    return model([node("Relu", ["x"], ["größe 層 <&\"'>"], "n/<b>"), node("Abs", ["größe 層 <&\"'>"], ["y"], "../../m")])


@case("either")
def nodes_out_of_order():
    return model([node("Relu", ["h"], ["y"], "second"), node("Abs", ["x"], ["h"], "first")])


@case("either")
def output_is_an_input():
    return model([], outputs=[value("x")])


@case("either")
def output_is_an_initializer():
    return model([], outputs=[value("w", (3,))], constants=[const("w", random(3))])


# ---------------------------------------------------------------- attributes
@case()
def attribute_of_the_wrong_type():
    return image([node("Conv", ["x", "w"], strides=[1.5, 1.5])], [const("w", random(2, 4, 3, 3))])


@case()
def required_attribute_missing():
    return model([node("Concat", ["x", "x"])])


@case()
def cast_to_nothing():
    return model([node("Cast", ["x"])])


@case()
def cast_to_an_unknown_type():
    return model([node("Cast", ["x"], to=99)])


@case("either")
def attribute_that_does_not_exist():
    return model([node("Relu", frobnication=3)])


@case()
def constant_without_value():
    return model([node("Constant", [], ["c"]), node("Add", ["x", "c"], ["y"], "n")])


@case()
def auto_pad_of_no_kind():
    return image([node("Conv", ["x", "w"], auto_pad="SAME_SIDEWAYS")], [const("w", random(2, 4, 3, 3))])


@case()
def einsum_equation_nonsense():
    return model([node("Einsum", ["x", "x"], equation="ij,jk->>i")])


@case()
def resize_mode_of_no_kind():
    return image([node("Resize", ["x", "", "s"], mode="telepathic")], [const("s", np.array([1, 1, 2, 2], np.float32))])


# ---------------------------------------------------------------- shapes
def shapes(name, op, inputs=("x",), constants=(), shape=(2, 8), verdict="reject", opset=18, **attributes):
    """One node whose shapes or numbers do not fit."""
    def build():
        return model([node(op, inputs, **attributes)], [value("x", shape)], constants=constants, opset=opset)
    build.__name__ = name
    case(verdict)(build)


IMAGE = (1, 4, 8, 8)
ints = lambda name, *values: const(name, np.array(values, np.int64))
shapes("matmul_inner_dimensions", "MatMul", ["x", "w"], [const("w", random(7, 4))])
shapes("add_does_not_broadcast", "Add", ["x", "w"], [const("w", random(3))])
shapes("gemm_inner_dimensions", "Gemm", ["x", "w"], [const("w", random(8, 4))], transB=1)
shapes("gemm_of_rank_three", "Gemm", ["x", "w"], [const("w", random(8, 4))], shape=(1, 2, 8))
shapes("gemm_bias_does_not_fit", "Gemm", ["x", "w", "b"], [const("w", random(8, 4)), const("b", random(3))])
shapes("conv_channels", "Conv", ["x", "w"], [const("w", random(2, 5, 3, 3))], IMAGE)
shapes("conv_group_does_not_divide", "Conv", ["x", "w"], [const("w", random(6, 1, 3, 3))], IMAGE, group=3)
shapes("conv_group_zero", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, group=0)
shapes("conv_stride_zero", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, strides=[0, 1])
shapes("conv_stride_negative", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, strides=[-1, 1])
shapes("conv_dilation_zero", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, dilations=[0, 1])
shapes("conv_kernel_shape_contradicts", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, kernel_shape=[5, 5])
shapes("conv_pads_too_few", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))], IMAGE, pads=[1, 1])
shapes("conv_kernel_beyond_the_image", "Conv", ["x", "w"], [const("w", random(2, 4, 9, 9))], IMAGE)
shapes("conv_bias_length", "Conv", ["x", "w", "b"], [const("w", random(2, 4, 3, 3)), const("b", random(5))], IMAGE)
shapes("conv_of_rank_two", "Conv", ["x", "w"], [const("w", random(2, 4, 3, 3))])
shapes("conv_transpose_channels", "ConvTranspose", ["x", "w"], [const("w", random(5, 2, 2, 2))], IMAGE, strides=[2, 2])
shapes("pool_kernel_zero", "MaxPool", shape=IMAGE, kernel_shape=[0, 2])
shapes("pool_without_kernel", "AveragePool", shape=IMAGE)
shapes("pool_pads_beyond_kernel", "MaxPool", shape=IMAGE, kernel_shape=[2, 2], pads=[-9, -9, -9, -9])
shapes("reshape_other_size", "Reshape", ["x", "s"], [ints("s", 3, 5)])
shapes("reshape_two_unknowns", "Reshape", ["x", "s"], [ints("s", -1, -1)])
shapes("reshape_negative", "Reshape", ["x", "s"], [ints("s", -2, 8)])
shapes("concat_axis", "Concat", ["x", "x"], axis=2)
shapes("concat_other_dimensions", "Concat", ["x", "w"], [const("w", random(3, 7))], axis=0)
shapes("transpose_twice_the_same", "Transpose", perm=[0, 0])
shapes("transpose_too_long", "Transpose", perm=[0, 1, 2])
shapes("gather_axis", "Gather", ["x", "i"], [ints("i", 0)], axis=5)
shapes("gather_index_out_of_range", "Gather", ["w", "i"], [const("w", random(4, 8)), ints("i", 9)])
shapes("softmax_axis", "Softmax", axis=2)
shapes("flatten_axis", "Flatten", axis=7)
shapes("split_sum", "Split", ["x", "s"], [ints("s", 3, 3)], axis=1)
shapes("squeeze_of_more_than_one", "Squeeze", ["x", "a"], [ints("a", 0)])
shapes("unsqueeze_axis", "Unsqueeze", ["x", "a"], [ints("a", 9)])
shapes("slice_step_zero", "Slice", ["x", "b", "e", "a", "t"], [ints("b", 0), ints("e", 2), ints("a", 0), ints("t", 0)])
shapes("slice_lengths_differ", "Slice", ["x", "b", "e"], [ints("b", 0, 0), ints("e", 2)])
shapes("pad_away_more_than_there_is", "Pad", ["x", "p"], [ints("p", -5, 0, 0, 0)])
shapes("pad_wrong_count", "Pad", ["x", "p"], [ints("p", 1, 1, 1)])
shapes("expand_does_not_broadcast", "Expand", ["x", "s"], [ints("s", 3, 8)])
shapes("tile_wrong_count", "Tile", ["x", "r"], [ints("r", 2)])
shapes("topk_more_than_there_is", "TopK", ["x", "k"], [ints("k", 99)], axis=1)
shapes("reduce_axis", "ReduceSum", ["x", "a"], [ints("a", 5)])
shapes("where_does_not_broadcast", "Where", ["c", "x", "w"], [const("c", np.ones((2, 8), bool)), const("w", random(3))])
shapes("batch_norm_scale", "BatchNormalization", ["x", "w", "v", "v", "v"], [const("w", random(3)), const("v", np.ones(4, np.float32))], IMAGE)
shapes("layer_norm_axis", "LayerNormalization", ["x", "w"], [const("w", random(8))], axis=4)
shapes("layer_norm_scale", "LayerNormalization", ["x", "w"], [const("w", random(7))])
shapes("resize_neither_scales_nor_sizes", "Resize", ["x"], shape=IMAGE)
shapes("resize_scale_negative", "Resize", ["x", "", "s"], [const("s", np.array([1, 1, -2, 2], np.float32))], IMAGE)
shapes("constant_of_shape_negative", "ConstantOfShape", ["s"], [ints("s", 2, -3)])
shapes("lstm_hidden_size", "LSTM", ["x", "w", "r"], [const("w", random(1, 16, 8)), const("r", random(1, 16, 5))], (3, 1, 8), hidden_size=4)
shapes("attention_of_a_scalar", "Attention", ["q", "k", "v", "", "", "", "n"], [const("q", np.float32(1)), const("k", np.ones((1, 2, 4, 8), np.float32)), const("v", np.ones((1, 2, 4, 8), np.float32)), ints("n", 4)], opset=24)
shapes("col2im_block_too_large", "Col2Im", ["x", "i", "b"], [ints("i", 4, 4), ints("b", 2, 5332261958806667266)], (1, 8, 4))
shapes("depth_to_space_block", "DepthToSpace", shape=(1, 6, 4, 4), blocksize=4)
shapes("global_pool_of_rank_one", "GlobalAveragePool", shape=(8,))
shapes("range_of_no_steps", "Range", ["a", "b", "c"], [const("a", np.int64(0)), const("b", np.int64(4)), const("c", np.int64(0))])
shapes("dequantize_zero_point_type", "DequantizeLinear", ["q", "s", "z"],
       [const("q", np.ones((2, 8), np.int8)), const("s", np.float32(0.1)), const("z", np.uint8(3))])


# ---------------------------------------------------------------- types
@case()
def matmul_of_two_types():
    return model([node("MatMul", ["x", "w"])], constants=[ints("w", *range(8))])


@case()
def add_of_two_types():
    return model([node("Add", ["x", "w"])], constants=[const("w", np.ones(8, np.float64))])


@case()
def relu_of_strings():
    return model([node("Relu")], [value("x", (2, 8), TensorProto.STRING)])


@case()
def relu_of_booleans():
    return model([node("Relu")], [value("x", (2, 8), BOOL)])


@case()
def gather_by_floats():
    return model([node("Gather", ["w", "x"])], constants=[const("w", random(4, 8))])


@case(mention="culprit")
def input_without_a_type():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit", (2, 8), 0)])


@case(mention="culprit")
def input_of_unknown_type():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit", (2, 8), 99)])


@case(mention="culprit")
def output_declared_with_another_shape():
    return model([node("Relu", ["x"], ["culprit"], "n")], outputs=[value("culprit", (3, 3))])


@case(mention="culprit")
def output_declared_with_another_type():
    return model([node("Relu", ["x"], ["culprit"], "n")], outputs=[value("culprit", (2, 8), I64)])


@case("either")
def inner_value_declared_with_another_shape():
    made = model([node("Relu", ["x"], ["culprit"], "a"), node("Abs", ["culprit"], ["y"], "b")])
    made.graph.value_info.append(value("culprit", (5, 5)))
    return made


@case(mention="culprit")
def negative_dimension():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit", (-2, 8))])


@case(mention="culprit")
def dimension_beyond_all_memory():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit", (2**60, 8))])


@case(mention="culprit")
def elements_overflow():
    return model([node("Relu", ["culprit"], ["y"], "n")], [value("culprit", (2**31, 2**31, 2**31))])


@case()
def result_beyond_all_memory():
    return model([node("Expand", ["x", "s"])], [value("x", (1, 1))], constants=[ints("s", 2**40, 2**30)])


@case("either", inputs={"x": (0, 8)})
def dimension_zero():
    return model([node("Relu")], [value("x", (0, 8))])


# ---------------------------------------------------------------- weights
def weight_case(name, change, verdict="reject"):
    def build():
        tensor = const("culprit", random(8, 4))
        change(tensor)
        return model([node("MatMul", ["x", "culprit"], ["y"], "n")], constants=[tensor])
    build.__name__ = name
    case(verdict)(build)


def set_raw(data):
    return lambda t: setattr(t, "raw_data", data)


def as_floats(count):
    def change(t):
        t.ClearField("raw_data")
        t.float_data.extend([0.5] * count)
    return change


def set_dims(*dims):
    def change(t):
        del t.dims[:]
        t.dims.extend(dims)
    return change


weight_case("weights_too_short", set_raw(b"\0" * 100))
weight_case("weights_too_long", set_raw(b"\0" * 200))
weight_case("weights_absent", set_raw(b""))
weight_case("weight_list_too_short", as_floats(31))
weight_case("weight_dimension_negative", set_dims(-8, -4))
weight_case("weight_dimensions_overflow", set_dims(2**40, 2**40))
weight_case("weight_of_unknown_type", lambda t: setattr(t, "data_type", 77))
weight_case("weight_of_no_type", lambda t: setattr(t, "data_type", 0))
weight_case("weights_twice", lambda t: t.float_data.extend([1.0] * 32), "either")


@case("accept")
def nan_weights():
    return mlp(np.full((8, 4), np.nan, np.float32))


@case("accept")
def infinite_weights():
    return mlp(np.full((8, 4), -np.inf, np.float32))


@case("accept")
def denormal_weights():
    return mlp(np.full((8, 4), 1e-42, np.float32))


def external(name, verdict="reject", location="w.bin", content=128, mention=("culprit",), **where):
    """A weight in a file beside the model; `content` bytes are there (None: no file)."""

    def write(folder):
        tensor = const("culprit", random(8, 4))
        raw = tensor.raw_data
        set_external_data(tensor, location=location, **where)
        tensor.ClearField("raw_data")
        if content is not None:
            (folder / "w.bin").write_bytes((raw * 3)[:content])
        path = folder / "model.onnx"
        path.write_bytes(model([node("MatMul", ["x", "culprit"], ["y"], "n")], constants=[tensor]).SerializeToString())
        return path

    CASES.append(Case(name, write, verdict, mention))


external("external_data", "accept")
external("external_data_with_offset", "accept", content=384, offset=128, length=128)
external("external_data_missing", content=None, mention=("culprit", "w.bin"))
external("external_data_too_short", content=100)
external("external_data_offset_beyond_the_end", offset=4096, length=128)
external("external_data_length_contradicts", length=64)
external("external_data_offset_negative", offset=-4)
external("external_data_outside_the_folder", location="../../../../../../etc/passwd")
external("external_data_absolute", location="/etc/passwd")
external("external_data_is_a_folder", location=".")
external("external_data_without_location", location="")


# ---------------------------------------------------------------- bodies
def branch(name, outputs=("o",), reads="x", shape=(2, 8)):
    nodes = [helper.make_node("Identity", [reads], [o], name=f"{name}_{o}") for o in outputs]
    return helper.make_graph(nodes, name, [], [value(o, shape) for o in outputs])


def conditional(condition=None, **branches):
    return model([node("If", ["c"], **branches)], constants=[const("c", np.array(True)) if condition is None else condition])


@case()
def if_without_else():
    return conditional(then_branch=branch("t"))


@case()
def if_on_a_float():
    return conditional(const("c", np.float32(1)), then_branch=branch("t"), else_branch=branch("e"))


@case()
def if_branches_of_different_lengths():
    return conditional(then_branch=branch("t"), else_branch=branch("e", ("o", "p")))


@case(mention="nowhere")
def body_reads_from_nowhere():
    return conditional(then_branch=branch("t", reads="nowhere"), else_branch=branch("e"))


@case()
def loop_body_with_too_few_inputs():
    body = helper.make_graph([helper.make_node("Identity", ["i"], ["o"])], "body", [value("i", (), I64)], [value("o", (), I64)])
    return model([node("Loop", ["n", "", "x"], body=body)], constants=[const("n", np.int64(3))])


@case("either")
def twenty_nested_ifs():
    inner = branch("t0")
    for depth in range(1, 20):
        nested = helper.make_node("If", ["c"], ["o"], name=f"if{depth}", then_branch=inner, else_branch=branch(f"e{depth}"))
        inner = helper.make_graph([nested], f"t{depth}", [], [value("o")])
    return conditional(then_branch=inner, else_branch=branch("e"))


@case("either")
def ten_thousand_nodes():
    names = ["x", *(f"v{i}" for i in range(9_999)), "y"]
    return model([node("Relu" if i % 2 else "Abs", [a], [b], f"n{i}") for i, (a, b) in enumerate(zip(names, names[1:]))])
