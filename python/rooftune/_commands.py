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
    try:
        lib.rt_call(name.encode(), text.encode(), PROGRESS(report), None, byref(response))
        result = json.loads(take_string(response.value))
    finally:  # also where the call failed, most likely because it was told to end
        if raised:
            raise raised[0]
    return result


def _command(name, does, *positional):
    """`positional`: the fields that may be given without their names, as on the command line."""
    def command(*values, progress=None, **fields):
        request = {}
        if len(values) == 1 and isinstance(values[0], dict):
            request, values = values[0], ()
        if len(values) > len(positional):
            raise TypeError(f"{command.__name__}() takes {', '.join(positional) or 'nothing'} without a name, then fields by name")
        for field, value in zip(positional, values):
            if field in fields:
                raise TypeError(f"{command.__name__}() got two values for '{field}'")
            fields[field] = value
        return call(name, request, progress=progress, **fields)

    command.__name__ = command.__qualname__ = "import_model" if name == "import" else name
    takes = f" Takes {' and '.join(positional)} first, or a request (a dict)." if positional else ""
    command.__doc__ = f"{does}{takes} The request's fields and the response's keys are those of `rooftune {name}`; see `call`."
    return command


analyze = _command("analyze", "Estimates latency, throughput, memory and energy on a target.", "model")
bench = _command("bench", "Measures a model side by side on several engines.", "model")
characterize = _command("characterize", "Workload facts of a model, without running it.", "model")
database = _command("database", "Shows, exports or imports the tuning database.", "action")
doctor = _command("doctor", "What this machine offers.")
import_model = _command("import", "Normalises a model into a package.", "model")
optimize = _command("optimize", "Makes a model fast, verifies it, and reports.", "model")
profile = _command("profile", "Measured time per operator.", "model")
run = _command("run", "Runs a model on files.", "model")
verify = _command("verify", "Whether two models agree.", "model", "other")
