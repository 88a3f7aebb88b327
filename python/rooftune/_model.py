"""A tuned model, ready to run."""
import contextlib
import json
import os
import threading
from collections import namedtuple
from ctypes import byref, c_void_p

import numpy as np

from . import _tensors
from ._library import InputError, lib, take_string

Spec = namedtuple("Spec", "name dtype shape")
Spec.__doc__ = "An input or output: dtype by name (f32, i64, …); in shape -1 is any size; a shape of None is any shape."


class Model:
    """Runs may come from several threads at once; each then has threads and working memory of its own."""

    def __init__(self, path, threads=0, pin=False):
        pointer = c_void_p()
        self._executable = None
        self._contexts = []  # idle ones
        lib.rt_executable_load(os.fsencode(path), byref(pointer))
        self._executable = pointer.value
        self._threads, self._pin = threads, pin
        self._lock = threading.Lock()
        described = json.loads(lib.rt_executable_describe(self._executable))
        self.inputs = [self._spec(s) for s in described["inputs"]]
        self.outputs = [self._spec(s) for s in described["outputs"]]
        with self._context():  # a wrong number of threads is found now
            pass

    def __del__(self):
        for context in self._contexts:
            lib.rt_context_free(context)
        if self._executable:
            lib.rt_executable_free(self._executable)

    @staticmethod
    def _spec(described):
        shape = described["shape"]
        return Spec(described["name"], described["dtype"], None if shape is None else tuple(shape))

    @contextlib.contextmanager
    def _context(self):
        with self._lock:
            context = self._contexts.pop() if self._contexts else None
        if context is None:
            pointer = c_void_p()
            lib.rt_context_create(self._executable, self._threads, int(self._pin), byref(pointer))
            context = pointer.value
        try:
            yield context
        finally:
            with self._lock:
                self._contexts.append(context)

    def _gather(self, inputs):
        if not isinstance(inputs, dict):
            inputs = dict(zip((s.name for s in self.inputs), inputs)) if len(inputs) == len(self.inputs) else None
        names = ", ".join(s.name for s in self.inputs)
        if inputs is None:
            raise InputError(f"the model takes {len(self.inputs)} inputs ({names})")
        for name in inputs:
            if name not in {s.name for s in self.inputs}:
                raise InputError(f"there is no input '{name}'; the model takes {names}")
        for spec in self.inputs:
            if spec.name not in inputs:
                raise InputError(f"input '{spec.name}' is missing; the model takes {names}")
        return [_tensors.to_handle(inputs[spec.name], spec.dtype) for spec in self.inputs]

    @staticmethod
    def _pointers(handles):
        return (c_void_p * len(handles))(*(h.pointer if h else None for h in handles))

    def run(self, inputs, outputs=None):
        """`inputs` by name (or a sequence in the model's order): numpy arrays, tensors with DLPack (PyTorch's, JAX's on the
        host), numbers, nested lists. Returns {name: array}. Arrays given in `outputs`, by name, are written in place.
        """
        given = outputs or {}
        for name, array in given.items():
            if name not in {s.name for s in self.outputs}:
                raise InputError(f"there is no output '{name}'; the model has {', '.join(s.name for s in self.outputs)}")
            if not isinstance(array, np.ndarray) or not array.flags.c_contiguous or not array.flags.writeable:
                raise InputError(f"output '{name}' must be a writable, C-contiguous numpy array")
        handles = self._gather(inputs)
        targets = [_tensors.wrap(given[s.name]) if s.name in given else None for s in self.outputs]
        pointers = self._pointers(targets)
        with self._context() as context:
            lib.rt_run(context, self._pointers(handles), len(handles), pointers, len(pointers))
        results = {}
        for spec, target, pointer in zip(self.outputs, targets, pointers):
            results[spec.name] = given[spec.name] if target else _tensors.to_numpy(_tensors.Handle(pointer))
        return results

    def profile(self, inputs):
        """One run with a clock around every step: {"steps": [{"name", "nodes", "milliseconds", …}], "total_ms"}."""
        handles = self._gather(inputs)
        text = c_void_p()
        with self._context() as context:
            lib.rt_profile(context, self._pointers(handles), len(handles), byref(text))
        return json.loads(take_string(text.value))


def load(path, threads=0, pin=False):
    """Loads a tuned model (.rt). `threads` 0: as many as there are processors; `pin`: one processor per thread."""
    return Model(path, threads, pin)
