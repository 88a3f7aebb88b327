#!/usr/bin/env python3
"""Decoder-like stacks with weights of 4 and 8 bits beside onnxruntime and OpenVINO: x + Down(Relu(Up(Norm(x)))), layer after layer.

weight_only.py [--rows 1,128] [--layers 6] [--width 2048] [--hidden 8192] [--kinds int4_level0,int4_level4,int8] [-- options of cpu.py]

int4: com.microsoft MatMulNBits in blocks of 32 with accuracy_level 0 (floats) or 4 (onnxruntime may quantise activations to 8
bits); int8: DequantizeLinear per column of the weights, then MatMul. One row is the step of a decoder, bound by the bytes of
its weights; 128 rows are a prompt. Models go to a folder of their own and from there to cpu.py, which says what it measures;
before its table stand the bytes of each model's weights."""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32


def product(kind, name, x, y, k, n, rng):
    """The node or nodes that multiply x [rows, k] with weights [k, n], and their constants."""
    constant = lambda suffix, array: numpy_helper.from_array(array, name + suffix)
    scale = 1 / np.sqrt(k)
    if kind == "int8":
        constants = [constant("_w", rng.integers(-127, 128, (k, n), dtype=np.int8)),
                     constant("_s", rng.uniform(0.5, 1.5, n).astype(np.float32) * np.float32(scale / 73))]
        return [helper.make_node("DequantizeLinear", [name + "_w", name + "_s"], [name + "_d"], axis=1),
                helper.make_node("MatMul", [x, name + "_d"], [y], name)], constants
    constants = [constant("_w", rng.integers(0, 256, (n, k // BLOCK, BLOCK // 2), dtype=np.uint8)),
                 constant("_s", rng.uniform(0.5, 1.5, n * k // BLOCK).astype(np.float32) * np.float32(scale / 4.6))]
    return [helper.make_node("MatMulNBits", [x, name + "_w", name + "_s"], [y], name, domain="com.microsoft", K=k, N=n, bits=4,
                             block_size=BLOCK, accuracy_level=int(kind[-1]))], constants


def stack(path, kind, rows, layers, width, hidden):
    rng = np.random.default_rng(0)
    nodes, x = [], "x"
    constants = [numpy_helper.from_array(np.ones(width, np.float32), "one"), numpy_helper.from_array(np.zeros(width, np.float32), "zero")]
    for i in range(layers):
        nodes.append(helper.make_node("LayerNormalization", [x, "one", "zero"], [f"n{i}"], f"norm{i}"))
        more, weights = product(kind, f"up{i}", f"n{i}", f"u{i}", width, hidden, rng)
        nodes += more + [helper.make_node("Relu", [f"u{i}"], [f"r{i}"], f"relu{i}")]
        constants += weights
        more, weights = product(kind, f"down{i}", f"r{i}", f"d{i}", hidden, width, rng)
        nodes += more + [helper.make_node("Add", [x, f"d{i}"], [f"x{i}"], f"residual{i}")]
        constants += weights
        x = f"x{i}"
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width])
    graph = helper.make_graph(nodes, path.stem, [value("x")], [value(x)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10), path)
    return sum(len(c.raw_data) for c in constants)


def main():
    own, _, rest = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", default="1,128")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--hidden", type=int, default=8192)
    parser.add_argument("--kinds", default="int4_level0,int4_level4,int8")
    args = parser.parse_args(own.split())
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for kind in args.kinds.split(","):
            for rows in args.rows.split(","):
                paths.append(Path(folder) / f"{kind}_{rows}.onnx")
                size = stack(paths[-1], kind, int(rows), args.layers, args.width, args.hidden)
                print(f"{paths[-1].stem}: {size / 1e6:.1f} MB of weights and scales", flush=True)
        cpu = Path(__file__).resolve().parent / "cpu.py"
        sys.exit(subprocess.run([sys.executable, str(cpu), *map(str, paths), *rest.split()], check=False).returncode)


if __name__ == "__main__":
    main()
