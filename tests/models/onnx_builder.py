"""A thin layer over onnx.helper that names things as PyTorch's exporter does, and seeded weights by tensor name.

Every weight comes from a generator seeded by (seed, tensor name), so that a model does not change when another layer is
written differently."""
import zlib
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
ELEMENT = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64,
           np.dtype(np.bool_): TensorProto.BOOL}


def random_normal(name, shape, std, seed=0):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(std)


def random_uniform(name, shape, low, high, seed=0):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.uniform(low, high, shape).astype(np.float32)


class Builder:
    def __init__(self, name):
        self.name = name
        self.nodes, self.inputs, self.outputs = [], [], []
        self.weights = {}                 # name -> array
        self._path, self._taken, self._shared = [], set(), {}

    @contextmanager
    def scope(self, part):
        self._path.append(part)
        yield
        self._path.pop()

    def _unique(self, name):
        candidate, n = name, 0
        while candidate in self._taken:
            n += 1
            candidate = f"{name}_{n}"
        self._taken.add(candidate)
        return candidate

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, ELEMENT[np.dtype(dtype)], shape))
        return name

    def weight(self, name, array):
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def constant(self, array):
        """A small initializer, shared by everyone who asks for the same values."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = self.weight(f"onnx::Constant_{len(self._shared)}", array)
        return self._shared[key]

    def f32(self, value):
        return self.constant(np.array(value, np.float32))

    def i64(self, *values):
        return self.constant(np.array(values, np.int64))

    def op(self, op_type, *inputs, outputs=1, **attributes):
        """Adds a node; returns the name of its output, or a list of names where `outputs` > 1."""
        name = self._unique("/".join(["", *self._path, op_type]))
        names = [f"{name}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def finish(self, output, shape, name="y"):
        self.nodes.append(helper.make_node("Identity", [output], [name], name="/Identity"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs,
                                  [numpy_helper.from_array(a, n) for n, a in self.weights.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9,
                                  producer_name="rooftune.tests.models")
        return without_identity(model)


def without_identity(model):
    """Exporters name the last node's output directly: drop the Identity that `finish` ended with."""
    last = model.graph.node[-1]
    source, name = last.input[0], last.output[0]
    del model.graph.node[-1]
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, n in enumerate(names):
                if n == source:
                    names[i] = name
    return model


def facts(model):
    """Parameters and multiply-add FLOPs (2 per multiply-add) of Conv, ConvTranspose, Gemm and MatMul."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]}
    shapes |= {t.name: list(t.dims) for t in model.graph.initializer}
    flops = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            flops += 2 * np.prod(shapes[node.output[0]]) * np.prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            flops += 2 * np.prod(shapes[node.input[0]]) * np.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            flops += 2 * np.prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if transposed else -1]
    parameters = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
    return dict(params=parameters, gflop=float(flops) / 1e9, nodes=len(model.graph.node))
