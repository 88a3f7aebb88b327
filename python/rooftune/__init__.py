"""Makes a trained model run near the limit of the hardware, and proves it.

    model = rooftune.load("model.rt")              # a tuned model
    outputs = model.run({"x": array})              # numpy in, numpy out
    report = rooftune.optimize(model="model.onnx", output="out")   # every command: fields in, dict out
"""
from ._commands import (analyze, bench, benchmark, calibrate, call, characterize, compare, doctor, import_model, optimize,
                        profile, run, validate, verify)
from ._library import EnvironmentError, Error, InputError, InternalError, version
from ._model import Model, Spec, load

__version__ = version()
__all__ = ["EnvironmentError", "Error", "InputError", "InternalError", "Model", "Spec", "analyze", "bench", "benchmark",
           "calibrate", "call", "characterize", "compare", "doctor", "import_model", "load", "optimize", "profile", "run",
           "validate", "verify"]
