"""Small models that together hold every kind of field, attribute and type that a file may have. They mean nothing."""
import numpy as np
from onnx import AttributeProto, TensorProto, helper, numpy_helper

F32 = TensorProto.FLOAT


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, initializers=(), inputs=None, outputs=None, opset=17, functions=()):
    graph = helper.make_graph(nodes, "g", inputs or [value("x", ["N", 2])], outputs or [value("y", ["N", 2])], list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)


def node(op, inputs, outputs=("y",), **attributes):
    return helper.make_node(op, inputs, list(outputs), **attributes)


def seeds():
    yield "chain", model([node("Add", ["x", "w"], ["h"]), node("Relu", ["h"])], [numpy_helper.from_array(np.ones(2, np.float32), "w")])
    for dtype in range(1, 27):
        t = TensorProto(name="w", data_type=dtype, dims=[2])
        if dtype == TensorProto.STRING:
            t.string_data.extend([b"a", b"b"])
        else:
            bits = {1: 32, 6: 32, 7: 64, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 4: 16, 5: 16, 10: 16, 16: 16, 21: 4, 22: 4, 23: 4, 25: 2, 26: 2}.get(dtype, 8)
            t.raw_data = bytes([1]) * max(bits * 2 // 8, 1)
        yield f"tensor_{dtype}", model([node("F", ["x", "w"])], [t])
    typed = [TensorProto(name="a", data_type=1, dims=[2], float_data=[1, 2]), TensorProto(name="b", data_type=7, dims=[2], int64_data=[1, 2]),
             TensorProto(name="c", data_type=11, dims=[1], double_data=[1]), TensorProto(name="d", data_type=13, dims=[1], uint64_data=[1]),
             TensorProto(name="e", data_type=10, dims=[1], int32_data=[15360])]
    yield "typed", model([node("F", ["x", "a", "b", "c", "d", "e"])], typed)
    external = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    for key in ("location", "offset", "length"):
        e = external.external_data.add()
        e.key, e.value = key, "4"
    yield "external", model([node("F", ["x", "w"])], [external])
    attributes = node("F", ["x", ""], i=3, f=0.5, s="text", t=numpy_helper.from_array(np.ones(1, np.int8)), ints=[1, 2], floats=[0.5], strings=["a"])
    attributes.attribute.append(helper.make_attribute("ts", [numpy_helper.from_array(np.ones(1, np.int8))]))
    attributes.attribute.append(helper.make_attribute("tp", helper.make_tensor_type_proto(1, ["N", 3])))
    yield "attributes", model([attributes])
    body = helper.make_graph([node("Neg", ["x"], ["r"])], "b", [value("i", [])], [value("r", None)])
    yield "body", model([node("If", ["x"], then_branch=body, else_branch=body)])
    graphs = node("F", ["x"])
    graphs.attribute.append(helper.make_attribute("gs", [body, body]))
    yield "graphs", model([graphs])
    inner = node("Act", ["a"], ["o"])
    a = inner.attribute.add()
    a.name, a.ref_attr_name, a.type = "k", "k", AttributeProto.FLOAT
    function = helper.make_function("my", "G", ["a"], ["o"], [inner], [helper.make_opsetid("", 17)], ["k"], [helper.make_attribute("d", 1.0)])
    yield "function", model([node("G", ["x"], domain="my", k=0.5)], functions=[function])
    sequence = helper.make_tensor_sequence_value_info("s", F32, None)
    optional = helper.make_value_info("o", helper.make_optional_type_proto(helper.make_tensor_type_proto(F32, [1])))
    yield "types", model([node("F", ["s", "o"])], inputs=[sequence, optional])
    for op, inputs, attrs in [("Squeeze", ["x"], {"axes": [0]}), ("Clip", ["x"], {"min": 0.0, "max": 1.0}), ("Softmax", ["x"], {"axis": 0}),
                              ("Pad", ["x"], {"pads": [0, 1, 0, 1], "value": 1.0}), ("Upsample", ["x"], {"scales": [1.0, 2.0]}),
                              ("Slice", ["x"], {"starts": [0], "ends": [1]}), ("TopK", ["x"], {"k": 1}), ("Dropout", ["x"], {"ratio": 0.5})]:
        yield f"old_{op.lower()}", model([node(op, inputs, **attrs)], opset=8)
    mixed = helper.make_function("my", "M", ["a"], ["o"], [node("ReduceMax", ["a"], ["o"], axes=[0])], [helper.make_opsetid("", 13)])
    yield "mixed_opsets", model([node("M", ["x"], domain="my")], functions=[mixed], opset=20)
