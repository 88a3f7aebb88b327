"""Makes a trained model run near the limit of the hardware, and proves it.

    report = rooftune.optimize("model.onnx", output="out/")   # every command: the model, fields by name; a dict comes out
    model = rooftune.load("out/model.rt")                     # a tuned model
    outputs = model.run({"x": array})                         # numpy in, numpy out
    fast = rooftune.from_torch(module, (x,))                  # a torch.nn.Module, called as before
"""
from ._commands import analyze, bench, call, characterize, database, doctor, import_model, optimize, profile, run, verify
from ._library import EnvironmentError, Error, InputError, InternalError, load_plugin, version
from ._model import Model, Spec, load
from ._torch import from_torch

__version__ = version()
__all__ = ["EnvironmentError", "Error", "InputError", "InternalError", "Model", "Spec", "analyze", "bench", "call",
           "characterize", "database", "doctor", "from_torch", "import_model", "load", "load_plugin", "optimize", "profile", "run", "verify"]
