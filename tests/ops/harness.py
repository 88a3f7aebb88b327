"""Random cases of single operators, run by our references (and lowerings, interpreted and compiled) and by onnxruntime.

A family's cases stand in a file cases_<family>.py: functions `@operator("MatMul")` that make one random Case from a
numpy generator. test_references.py runs many of each.
"""
import json
import os
import struct
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release")) / "bin" / "run_reference"

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
          "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "bool"}
SAFETENSORS = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
               "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL"}


@dataclass
class Case:
    """One node. Inputs are arrays, or None where absent; those whose index is in `constants` are constants of the graph.
    The dims of inputs in `symbolic` are hidden from shape inference, equal extents becoming equal symbols."""
    op: str
    inputs: list
    attributes: dict = field(default_factory=dict)
    outputs: int = 1
    opset: int = 18
    domain: str = ""
    domain_version: int = 1
    constants: tuple = ()
    symbolic: tuple = ()
    tolerance: float = 1e-5
    expected: list = None        # instead of asking onnxruntime
    lowered: bool = None         # must be lowered / must not; None: either
    absent_outputs: tuple = ()   # indices of outputs that the node leaves out

    def __post_init__(self):
        self.inputs = [None if x is None else np.asarray(x) for x in self.inputs]  # NumPy makes scalars of rank 0 arrays

    def names(self):
        return ["" if x is None else f"i{i}" for i, x in enumerate(self.inputs)]

    def output_names(self):
        return ["" if i in self.absent_outputs else f"o{i}" for i in range(self.outputs)]


GENERATORS = {}


def operator(name, cases=12):
    """Registers a function (rng) -> Case, of which `cases` random ones are run."""

    def register(make):
        GENERATORS.setdefault(name, []).append((make, cases))
        return make

    return register


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def elements(array):
    def one(x):
        if array.dtype == bool:
            return str(int(x))
        if array.dtype.kind in "iu":
            return str(int(x))
        if array.dtype.kind == "f":
            if np.isnan(x):
                raise ValueError("no NaN in constants")
            return repr(float(x)) if np.isfinite(x) else ("inf" if x > 0 else "-inf")
        return quoted(str(x))

    return "{" + ", ".join(one(x) for x in array.reshape(-1)) + "}"


def dtype_name(array):
    return "string" if array.dtype.kind in "OUS" else DTYPES[array.dtype.name]


def type_text(array, symbolic=False):
    dims = [f"s{d}" if symbolic and d > 1 else str(d) for d in array.shape]
    return f"{dtype_name(array)}[{','.join(dims)}]"


def attribute_text(value):
    if isinstance(value, (bool, int, np.integer)):
        return str(int(value))
    if isinstance(value, float):
        return f"float {value!r}"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, np.ndarray):
        return f"tensor {type_text(value)} {elements(value)}"
    if all(isinstance(v, (int, np.integer)) for v in value):
        return "[" + ", ".join(str(int(v)) for v in value) + "]"
    if all(isinstance(v, str) for v in value):
        return "strings [" + ", ".join(quoted(v) for v in value) + "]"
    return "floats [" + ", ".join(repr(float(v)) for v in value) + "]"


def graph_text(case):
    lines = ['graph "case" {', f'  opset "" {case.opset}']
    for i, x in enumerate(case.inputs):
        if x is None:
            continue
        if i in case.constants or dtype_name(x) == "string":
            lines.append(f"  constant %i{i}: {type_text(x)} = {elements(x)}")
        else:
            lines.append(f"  input %i{i}: {type_text(x, i in case.symbolic)}")
    arguments = ", ".join(f"%{n}" if n else "_" for n in case.names())
    results = ", ".join(f"%{n}: ?" if n else "_" for n in case.output_names())
    attributes = ", ".join(f"{k} = {attribute_text(v)}" for k, v in case.attributes.items())
    op = f"{quoted(case.domain)}::{case.op}" if case.domain else case.op
    lines.append(f'  {results} = {op}@{case.opset}({arguments}) "node"' + (f" {{{attributes}}}" if attributes else ""))
    lines.append("  output " + ", ".join(f"%{n}" for n in case.output_names() if n))
    return "\n".join(lines + ["}", ""])


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": SAFETENSORS[array.dtype.name], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            f.write(np.ascontiguousarray(array).tobytes())


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    types = {v: k for k, v in SAFETENSORS.items()}
    tensors = {}
    for name, entry in header.items():
        if name.startswith("__padding__"):
            continue
        first, last = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + size + first:8 + size + last], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def run_ours(cases):
    """[(tensors, metadata)] of the tool's outputs, one per case."""
    with tempfile.TemporaryDirectory() as folder:
        folders = []
        for i, case in enumerate(cases):
            at = Path(folder) / str(i)
            at.mkdir()
            (at / "graph.txt").write_text(graph_text(case))
            fed = {f"i{j}": x for j, x in enumerate(case.inputs) if x is not None and j not in case.constants and dtype_name(x) != "string"}
            write_safetensors(at / "inputs.safetensors", fed)
            folders.append(at)
        subprocess.run([TOOL, *folders], check=True)
        return [read_safetensors(at / "outputs.safetensors") for at in folders]


def onnx_type(array):
    return TensorProto.STRING if dtype_name(array) == "string" else helper.np_dtype_to_tensor_dtype(array.dtype)


def onnx_model(case):
    """The case as a model of one node, and what to feed it."""
    inputs, constants, feeds = [], [], {}
    for name, x in zip(case.names(), case.inputs):
        if x is None:
            continue
        if int(name[1:]) in case.constants:
            constants.append(helper.make_tensor(name, onnx_type(x), x.shape, x.reshape(-1).tolist() if dtype_name(x) == "string" else x.tobytes(), raw=dtype_name(x) != "string"))
        else:
            inputs.append(helper.make_tensor_value_info(name, onnx_type(x), x.shape))
            feeds[name] = x
    attributes = {k: onnx.numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in case.attributes.items()}
    node = helper.make_node(case.op, case.names(), case.output_names(), domain=case.domain, **attributes)
    outputs = [onnx.ValueInfoProto(name=n) for n in case.output_names() if n]
    graph = helper.make_graph([node], "case", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", case.opset)] + ([helper.make_opsetid(case.domain, case.domain_version)] if case.domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def run_onnxruntime(case):
    model, feeds = onnx_model(case)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def by_the_standard(case):
    """The case with the standard's own reference as the oracle."""
    inputs = [helper.make_tensor_value_info(n, onnx_type(x), x.shape) for n, x in zip(case.names(), case.inputs) if n]
    outputs = [onnx.ValueInfoProto(name=n) for n in case.output_names() if n]
    node = helper.make_node(case.op, case.names(), case.output_names(), **case.attributes)
    model = helper.make_model(helper.make_graph([node], "case", inputs, outputs), opset_imports=[helper.make_opsetid("", case.opset)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case.expected = ReferenceEvaluator(model).run(None, {n: x for n, x in zip(case.names(), case.inputs) if n})
    return case


def compare(case, ours, theirs, what, least_tolerance=0):
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: shape {ours.shape}, must be {theirs.shape}\n{graph_text(case)}"
    assert ours.dtype == theirs.dtype, f"{what}: type {ours.dtype}, must be {theirs.dtype}\n{graph_text(case)}"
    if theirs.dtype.kind != "f":
        wrong = np.argwhere(ours != theirs)
        off = np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max(initial=0) if case.tolerance >= 1 and theirs.dtype.kind in "iu" else np.inf
        assert len(wrong) == 0 or off <= case.tolerance, f"{what}: {len(wrong)} of {ours.size} differ, first at {wrong[0]}: {ours[tuple(wrong[0])]}, must be {theirs[tuple(wrong[0])]}\n{graph_text(case)}"
        return
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    tolerance = max(case.tolerance, least_tolerance, 2e-3 if theirs.dtype == np.float16 else 0)
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        close = same | (np.abs(a - b) <= tolerance * np.maximum(np.abs(b), scale * 0.1))
    wrong = np.argwhere(~close)
    assert len(wrong) == 0, f"{what}: {len(wrong)} of {ours.size} differ, first at {wrong[0]}: {ours[tuple(wrong[0])]}, must be {theirs[tuple(wrong[0])]}\n{graph_text(case)}"


def check(cases):
    """Compares references with onnxruntime and lowerings with the references."""
    for case, (tensors, metadata) in zip(cases, run_ours(cases)):
        assert "error" not in metadata, f"{metadata['error']}\n{graph_text(case)}"
        expected = case.expected if case.expected is not None else run_onnxruntime(case)
        for i, theirs in enumerate(expected):
            if f"strings.{i}" in metadata:
                assert metadata[f"strings.{i}"] == "\n".join(str(s) for s in np.asarray(theirs).reshape(-1)), f"{metadata[f'strings.{i}']!r}, must be {theirs}\n{graph_text(case)}"
                continue
            reference = tensors[f"reference.{i}"]
            compare(case, reference, np.asarray(theirs), f"{case.op} output {i} against onnxruntime")
            for form, least in (("lowered", 0), ("compiled", 1e-5)):  # compiled code adds in f32
                if f"{form}.{i}" in tensors:
                    compare(case, tensors[f"{form}.{i}"], reference, f"{case.op} output {i}, {form} against reference", least)
        if case.lowered is not None:
            assert ("rejected" not in metadata) == case.lowered, f"{case.op}: {metadata.get('rejected', 'was lowered')}\n{graph_text(case)}"
