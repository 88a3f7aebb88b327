#!/usr/bin/env python3
"""Reading models: wall time and peak memory of `rooftune characterize` and `rooftune import`. Importing to ONNX reads and
writes all weights; to a package it also packs them for the kernels.

    python bench/big_model.py [--gigabytes 3] [--runs 3] [--out FILE.json] [MODEL.onnx …]

Makes a model of seeded random weights, kept in a file beside it as exporters keep those of big models, in a temporary
folder ($TMPDIR; it takes three times the model's size), and measures; then each MODEL the same way. The fastest of the
runs counts, and the largest peak; mapped pages of the model's file count as memory.
"""
import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = 2048


def make(folder, gigabytes):
    """Layers of a transformer's feed-forward half: 2 · 4 · HIDDEN² weights and a normalisation each."""
    rng = np.random.default_rng(1)
    nodes, tensors, offset = [], [], 0
    block = rng.standard_normal((HIDDEN, 4 * HIDDEN), dtype=np.float32) / np.float32(np.sqrt(HIDDEN))
    with open(folder / "weights.bin", "wb") as file:

        def weight(name, array):
            nonlocal offset
            t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL)
            for key, value in (("location", "weights.bin"), ("offset", offset), ("length", array.nbytes)):
                t.external_data.add(key=key, value=str(value))
            file.write(np.ascontiguousarray(array).data)
            offset += array.nbytes
            tensors.append(t)
            return name

        x, layer = "x", 0
        while offset < gigabytes * 1e9:
            n = f"layer{layer}"
            block = np.roll(block, layer + 1, axis=1)  # no two layers alike
            one = weight(f"{n}.norm", np.ones(HIDDEN, np.float32))
            nodes += [helper.make_node("LayerNormalization", [x, one], [f"{n}.a"], f"{n}.norm"),
                      helper.make_node("MatMul", [f"{n}.a", weight(f"{n}.up", block)], [f"{n}.b"], f"{n}.up"),
                      helper.make_node("Relu", [f"{n}.b"], [f"{n}.c"], f"{n}.act"),
                      helper.make_node("MatMul", [f"{n}.c", weight(f"{n}.down", block.T)], [f"{n}.d"], f"{n}.down"),
                      helper.make_node("Add", [x, f"{n}.d"], [f"{n}.e"], f"{n}.residual")]
            x, layer = f"{n}.e", layer + 1
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, HIDDEN])
    graph = helper.make_graph(nodes, "big", [value("x")], [value(x)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "big.onnx")
    return folder / "big.onnx"


def size_of(path):
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    external = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in external)


# A program inherits the peak of the process that starts it, so a small one does.
STARTER = """
import os, sys, time
start = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
_, status, usage = os.wait4(process, 0)
print(status, time.perf_counter() - start, usage.ru_maxrss * 1024)
"""


def measure(command):
    """Seconds and peak resident bytes of a process."""
    status, seconds, peak = subprocess.run([sys.executable, "-c", STARTER, *command], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if int(status):
        sys.exit(f"{' '.join(command)}: status {status}")
    return float(seconds), int(peak)


def report(path, folder, runs):
    """A row for each command, printed and given back."""
    program = str(Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release")) / "bin" / "rooftune")
    size = size_of(path)
    print(f"{path.name}: {size / 1e9:.2f} GB", flush=True)
    written = folder / "written"
    rows = []
    for what, command in {"characterize": ["characterize", str(path), "--json"],
                          "import to .onnx": ["import", str(path), "-o", str(written / "model.onnx")],
                          "import to .rt": ["import", str(path), "-o", str(written / "model.rt")]}.items():
        seconds, peaks = [], []
        for _ in range(runs):
            written.mkdir()
            took, peak = measure([program, *command])
            shutil.rmtree(written)
            seconds.append(took)
            peaks.append(peak)
        rows.append({"model": path.name, "model_bytes": size, "command": what, "seconds": seconds, "peak_bytes": peaks})
        print(f"  {what:15} {min(seconds):6.2f} s   peak {max(peaks) / 1e9:5.2f} GB = {max(peaks) / size:.2f} of the model", flush=True)
    return rows


def machine():
    lines = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{lines[0] if lines else os.uname().machine}, {len(os.sched_getaffinity(0))} CPUs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="the same as JSON")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if options.gigabytes > 0:
            rows += report(make(Path(folder), options.gigabytes), Path(folder), options.runs)
        for model in options.models:
            rows += report(model, Path(folder), options.runs)
    if options.out:
        facts = {"date": datetime.date.today().isoformat(), "machine": machine(), "load": os.getloadavg()[0], "rows": rows}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
