"""One engine holding one model, live in a process of its own, driven by cpu.py and by `rooftune bench`.

worker.py ENGINE MODEL THREADS INPUTS OUTPUTS [PRECISION]
PRECISION (fp32, bf16, fp16) is what the engine is asked to compute in; one that computes in what the model holds refuses others.
INPUTS and OUTPUTS are .npz files, or folders of .npy with the file of every name in names.json.
Prints one JSON line once loaded ({version, load_s, first_ms, ...}), having written the outputs for INPUTS to OUTPUTS; then for each line on stdin (seconds) runs for that long and prints {times_ms, peak_mb}."""
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def memory_mb(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) / 1024


class OnnxRuntime:
    def __init__(self, path, threads, inputs, precision):
        if precision != "fp32":
            raise SystemExit(f"onnxruntime computes in what the model holds: it cannot be asked for {precision}")
        import onnxruntime as ort
        self.version = ort.__version__
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]
        self.binding = self.session.io_binding()           # bound once: no copies, outputs from its arena
        for name, value in inputs.items():
            self.binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
        for name in self.names:
            self.binding.bind_output(name, "cpu")

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def outputs(self):
        return dict(zip(self.names, self.binding.copy_outputs_to_cpu()))


class OpenVino:
    def __init__(self, path, threads, inputs, precision):
        import openvino as ov
        self.version = ov.__version__.split("-")[0]
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                  "INFERENCE_PRECISION_HINT": precision.replace("fp", "f")}  # its default on CPUs with bf16 is bf16
        compiled = ov.Core().compile_model(path, "CPU", config)
        self.request = compiled.create_infer_request()
        self.names = [o.get_any_name() for o in compiled.outputs]
        for port in compiled.inputs:
            self.request.set_tensor(port, ov.Tensor(inputs[port.get_any_name()]))

    def run(self):
        self.request.infer()

    def outputs(self):
        return {n: self.request.get_output_tensor(i).data.copy() for i, n in enumerate(self.names)}


class Rooftune:
    """Through the Python package; an .onnx is compiled first, untuned (`rooftune optimize --budget 0`)."""

    def __init__(self, path, threads, inputs, precision):
        sys.path.insert(0, str(ROOT / "python"))
        import rooftune
        self.version = rooftune.__version__
        self.inputs = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        with tempfile.TemporaryDirectory() as folder:
            if not path.endswith(".rt"):
                rooftune.optimize(model=path, output=folder, budget="0", threads=threads, precisions=[precision])
                path = f"{folder}/model.rt"
            self.model = rooftune.load(path, threads=threads)
        self.results = self.model.run(self.inputs)

    def run(self):
        self.model.run(self.inputs, self.results)    # into the same arrays: no copies

    def outputs(self):
        return self.results


ENGINES = {"rooftune": Rooftune, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


def read_arrays(path):
    path = Path(path)
    if not path.is_dir():
        return dict(np.load(path))
    return {n: np.load(path / file) for n, file in json.loads((path / "names.json").read_text()).items()}


def write_arrays(path, arrays):
    path = Path(path)
    if not path.is_dir():
        return np.savez(path, **arrays)
    files = {n: f"{i}.npy" for i, n in enumerate(arrays)}
    for n, file in files.items():
        np.save(path / file, np.asarray(arrays[n], order="C"))
    (path / "names.json").write_text(json.dumps(files))


def timed_burst(engine, seconds):
    clock = time.process_time if os.environ.get("BENCH_CLOCK") == "cpu" else time.perf_counter
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = clock()
        engine.run()
        times.append((clock() - start) * 1e3)
    return dict(times_ms=times, peak_mb=memory_mb("VmHWM"))


def main():
    name, path, threads, inputs_path, outputs_path, *rest = sys.argv[1:]
    precision = rest[0] if rest else "fp32"
    replies, sys.stdout = sys.stdout, sys.stderr             # engines may print
    inputs = read_arrays(inputs_path)
    start = time.perf_counter()
    engine = ENGINES[name](path, int(threads), inputs, precision)
    loaded = time.perf_counter()
    engine.run()
    first = time.perf_counter()
    write_arrays(outputs_path, engine.outputs())
    info = dict(version=engine.version, load_s=loaded - start, first_ms=(first - loaded) * 1e3)
    print(json.dumps(info), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(timed_burst(engine, float(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
