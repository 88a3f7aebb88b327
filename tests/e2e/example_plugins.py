"""The example plug-ins of docs/, compiled by the command that each states, and models that need them."""
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from small_models import weights

ROOT = Path(__file__).resolve().parents[2]
ALPHA, ROWS = 1.5, 500  # enough rows for the reference of SwiGLU to be the slower way


def compiled(source, folder):
    """The shared library that the command in the file's first comment makes."""
    path = ROOT / "docs" / "examples" / source
    command = re.search(r"^(?: \*|//)\s+((?:cc|c\+\+) .*)$", path.read_text(), re.M).group(1)
    words = [str(path) if word == path.name else word.replace("ROOFTUNE", str(ROOT)) for word in shlex.split(command)]
    done = subprocess.run([*words, "-Wall", "-Wextra", "-Werror"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / words[words.index("-o") + 1]


def gated(path, distance=True, width=64, alpha=ALPHA):
    """y = SwiGLU(x · w1) · w2, and where asked for d = EditDistance(a, b)."""
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["h"], "up"),
             helper.make_node("SwiGLU", ["h"], ["g"], "gate", domain="com.example", alpha=alpha),
             helper.make_node("MatMul", ["g", "w2"], ["y"], "down")]
    value = helper.make_tensor_value_info
    inputs, outputs = [value("x", TensorProto.FLOAT, [ROWS, 48])], [value("y", TensorProto.FLOAT, [ROWS, 20])]
    if distance:
        nodes.append(helper.make_node("EditDistance", ["a", "b"], ["d"], "distance", domain="com.example"))
        inputs += [value("a", TensorProto.INT64, [5, 9]), value("b", TensorProto.INT64, [5, 7])]
        outputs += [value("d", TensorProto.INT64, [5])]
    graph = helper.make_graph(nodes, "gated", inputs, outputs, [weights("w1", 48, width), weights("w2", width // 2, 20)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def fresh_inputs(seed, distance=True):
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.standard_normal((ROWS, 48), dtype=np.float32)}
    if distance:  # a small alphabet, so that rows have something in common, and padding anywhere
        inputs |= {"a": rng.integers(-1, 4, (5, 9)), "b": rng.integers(-1, 4, (5, 7))}
    return inputs


def distance(a, b):
    a, b = [t for t in a if t >= 0], [t for t in b if t >= 0]
    table = np.zeros((len(a) + 1, len(b) + 1), np.int64)
    table[:, 0], table[0, :] = range(len(a) + 1), range(len(b) + 1)
    for i, s in enumerate(a):
        for j, t in enumerate(b):
            table[i + 1, j + 1] = min(table[i, j] + (s != t), table[i, j + 1] + 1, table[i + 1, j] + 1)
    return table[-1, -1]


def by_numpy(inputs, width=64, alpha=ALPHA):
    from onnx import numpy_helper
    w1, w2 = (numpy_helper.to_array(w).astype(np.float64) for w in (weights("w1", 48, width), weights("w2", width // 2, 20)))
    left, right = np.split(inputs["x"].astype(np.float64) @ w1, 2, axis=-1)
    outputs = {"y": (left / (1 + np.exp(-alpha * left)) * right) @ w2}
    if "a" in inputs:
        outputs["d"] = np.array([distance(a, b) for a, b in zip(inputs["a"], inputs["b"])])
    return outputs
