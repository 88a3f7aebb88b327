"""The commands of the command-line tool, one function each: fields in, a dict out."""
import json
import os
from ctypes import byref, c_void_p

import numpy as np

from ._library import PROGRESS, lib, take_string


def _plain(value):
    """What JSON does not know by itself."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot stand in a request")


def call(name, request=None, *, progress=None, **fields):
    """Calls the function `name` with a request (a dict, fields by keyword, or both) and returns its response.

    `progress(stage, done, total, best_ms, eta_seconds)` is called now and then, with None for what is unknown; a true result
    asks the work to end early with what it has. An exception in it, Ctrl-C included, does too, and is then raised here.
    """
    raised = []

    def report(user, stage, done, total, best_ms, eta_seconds):
        try:
            known = [None if v != v else v for v in (best_ms, eta_seconds)]
            return 1 if progress and progress(stage.decode("utf-8", "replace"), done, total, *known) else 0
        except BaseException as error:  # noqa: BLE001: nothing may pass through the library
            raised.append(error)
            return 1

    text = json.dumps({**(request or {}), **fields}, default=_plain)
    response = c_void_p()
    lib.rt_call(name.encode(), text.encode(), PROGRESS(report), None, byref(response))
    result = json.loads(take_string(response.value))
    if raised:
        raise raised[0]
    return result


def _command(name, does):
    def command(request=None, *, progress=None, **fields):
        return call(name, request, progress=progress, **fields)

    command.__name__ = command.__qualname__ = "import_model" if name == "import" else name
    command.__doc__ = f"{does} The request's fields and the response's keys are those of `rooftune {name}`; see `call`."
    return command


analyze = _command("analyze", "Estimates latency, throughput, memory and energy on a target.")
bench = _command("bench", "Measures a model side by side on several engines.")
benchmark = _command("benchmark", "Measures the machine itself, for calibration.")
calibrate = _command("calibrate", "Fits the estimates' coefficients to measurements.")
characterize = _command("characterize", "Workload facts of a model, without running it.")
compare = _command("compare", "Estimates models over targets.")
doctor = _command("doctor", "What this machine offers.")
import_model = _command("import", "Normalises a model into a package.")
optimize = _command("optimize", "Makes a model fast, verifies it, and reports.")
profile = _command("profile", "Measured time per operator.")
run = _command("run", "Runs a model on files.")
validate = _command("validate", "Holds estimates against measurements.")
verify = _command("verify", "Whether two models agree.")
