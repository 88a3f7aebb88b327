"""Rooftune, and onnxruntime beside it, behind onnx's own interface for backends, and their run over onnx's test suite.

    python tests/onnx/backend.py rooftune 0 2      # every second case, from the first: one line of JSON each
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = json.loads(os.environ.get("ROOFTUNE_IMPORT_OPTIONS", "{}"))  # more fields of the request
GROUPS = {"Node", "Simple", "PyTorchConverted", "PyTorchOperator", "Real"}  # the real ones are light: made weights


class RooftuneRep(BackendRep):
    """Compiled at the first run: that brings the extents that the model leaves open."""

    def __init__(self, model):
        self.model, self.loaded = model, {}

    def _load(self, arrays):
        import rooftune

        model = copy.deepcopy(self.model)
        constants = {t.name for t in model.graph.initializer}
        inputs = [i for i in model.graph.input if i.name not in constants]
        for info, array in zip(inputs, arrays):
            shape = info.type.tensor_type.shape
            if info.type.HasField("tensor_type") and (not info.type.tensor_type.HasField("shape") or len(shape.dim) == np.ndim(array)):
                shape.SetInParent()
                if not shape.dim:
                    for n in np.shape(array):
                        shape.dim.add().dim_value = n
                for dim, n in zip(shape.dim, np.shape(array)):
                    if not dim.HasField("dim_value"):
                        dim.dim_value = n
        with tempfile.TemporaryDirectory() as folder:
            source, package = Path(folder) / "model.onnx", Path(folder) / "model.rt"
            onnx.save(model, source)
            rooftune.call("import", model=source, output=package, threads=1, **OPTIONS)
            return rooftune.load(package, threads=1)

    def run(self, inputs, **kwargs):
        shapes = str([np.shape(x) for x in inputs])
        if shapes not in self.loaded:
            self.loaded[shapes] = self._load(inputs)
        return list(self.loaded[shapes].run(list(inputs)).values())


class RooftuneBackend(Backend):
    """Every model is compiled, with the schedules that analysis chooses, into a package, and the package is run."""

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return RooftuneRep(model)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


class OnnxruntimeRep(BackendRep):
    def __init__(self, model):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, inputs, **kwargs):
        return self.session.run(None, dict(zip((i.name for i in self.session.get_inputs()), inputs)))


class OnnxruntimeBackend(Backend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return OnnxruntimeRep(model)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


BACKENDS = {"rooftune": RooftuneBackend, "onnxruntime": OnnxruntimeBackend}


def suite(backend):
    """{name: a test case of unittest}, in an order that does not change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test import BackendTest

        classes = BackendTest(BACKENDS[backend], __name__).test_cases
    return {name: (cls, name) for kind, cls in classes.items() if kind.removeprefix("OnnxBackend").removesuffix("ModelTest") in GROUPS
            for name in unittest.defaultTestLoader.getTestCaseNames(cls) if name.endswith("_cpu")}


def reason(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:4]) if isinstance(error, AssertionError) else lines[0] if lines else ""
    text = re.sub(r"/\S*/model\.onnx", "the model", text)
    return f"{type(error).__name__}: {text}"[:240]


def run_part(backend, part, parts, after):
    """Prints {"case", "reason"} as each case ends, and its name before, so that it is known which one ended the process."""
    for i, (name, (cls, method)) in enumerate(suite(backend).items()):
        if i % parts != part or i <= after:
            continue
        print(json.dumps({"starts": name, "at": i}), flush=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(cls(method), method)()
            why = ""
        except Exception as error:  # noqa: BLE001: whatever it is, it is the result
            why = reason(error)
        print(json.dumps({"case": name, "reason": why}), flush=True)


def results(backend, parts=2):
    """{case: why it failed, or ""}. A case that ends its process is a failure, and the rest goes on in another."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"}
    running, found = {p: -1 for p in range(parts)}, {}
    while running:
        processes = {p: subprocess.Popen([sys.executable, __file__, backend, str(p), str(parts), str(after)], stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL, text=True, env=environment) for p, after in running.items()}
        with ThreadPoolExecutor(parts) as pool:  # a pipe that nobody reads would stop its writer
            outputs = dict(zip(processes, pool.map(lambda q: q.communicate()[0], processes.values())))
        running = {}
        for p, text in outputs.items():
            started = None
            for line in map(json.loads, text.splitlines()):
                if "case" in line:
                    found[line["case"]], started = line["reason"], None
                else:
                    started = line
            if started:
                found[started["starts"]] = f"the process ended with status {processes[p].returncode}"
                running[p] = started["at"]
            elif processes[p].returncode:
                raise RuntimeError(f"{backend}: the run of the suite ended with status {processes[p].returncode}")
    return dict(sorted(found.items()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as models:
        os.environ["ONNX_MODELS"] = models  # where the suite writes inputs of its real models
        run_part(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else -1)
