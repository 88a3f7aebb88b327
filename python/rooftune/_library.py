"""Finds librooftune.so and declares its C interface (rooftune.h)."""
import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path


class Error(Exception):
    """What Rooftune could not do, and why."""


class InputError(Error, ValueError):
    """The model, the data or the request is at fault; the message says where."""


class EnvironmentError(Error, OSError):  # noqa: A001: the name that all of Rooftune uses
    """Something is missing on this machine; the message says what, and how to get it."""


class InternalError(Error, RuntimeError):
    """A bug in Rooftune."""


_KINDS = {3: InputError, 4: EnvironmentError, 5: InternalError}

PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_double, c_double, c_double, c_double)
RELEASE = ctypes.CFUNCTYPE(None, c_void_p)

_SHAPE = POINTER(c_int64)
_FUNCTIONS = {  # name: (result, arguments); a result of c_int is a status unless listed in _PLAIN
    "rt_version": (c_char_p, []),
    "rt_last_error": (c_int, [POINTER(c_char_p)]),
    "rt_free_string": (None, [c_void_p]),
    "rt_command_line": (c_int, [c_int, POINTER(c_char_p)]),
    "rt_tensor_create": (c_int, [c_char_p, _SHAPE, c_int, POINTER(c_void_p)]),
    "rt_tensor_wrap": (c_int, [c_void_p, c_size_t, c_char_p, _SHAPE, c_int, RELEASE, c_void_p, POINTER(c_void_p)]),
    "rt_tensor_from_dlpack": (c_int, [c_void_p, POINTER(c_void_p)]),
    "rt_tensor_dtype": (c_char_p, [c_void_p]),
    "rt_tensor_rank": (c_int, [c_void_p]),
    "rt_tensor_shape": (_SHAPE, [c_void_p]),
    "rt_tensor_bytes": (c_size_t, [c_void_p]),
    "rt_tensor_data": (c_void_p, [c_void_p]),
    "rt_tensor_set_string": (c_int, [c_void_p, c_int64, c_char_p, c_size_t]),
    "rt_tensor_get_string": (c_int, [c_void_p, c_int64, POINTER(c_void_p), POINTER(c_size_t)]),
    "rt_tensor_free": (None, [c_void_p]),
    "rt_plugin_load": (c_int, [c_char_p]),
    "rt_executable_load": (c_int, [c_char_p, POINTER(c_void_p)]),
    "rt_executable_describe": (c_char_p, [c_void_p]),
    "rt_executable_free": (None, [c_void_p]),
    "rt_context_create": (c_int, [c_void_p, c_int, c_int, POINTER(c_void_p)]),
    "rt_context_free": (None, [c_void_p]),
    "rt_run": (c_int, [c_void_p, POINTER(c_void_p), c_int, POINTER(c_void_p), c_int]),
    "rt_profile": (c_int, [c_void_p, POINTER(c_void_p), c_int, POINTER(c_void_p)]),
    "rt_call": (c_int, [c_char_p, c_char_p, PROGRESS, c_void_p, POINTER(c_void_p)]),
}
_PLAIN = {"rt_last_error", "rt_tensor_rank", "rt_command_line"}


def _raise_failures(status, function, arguments):
    if status:
        text = c_char_p()
        lib.rt_last_error(byref(text))
        raise _KINDS.get(status, InternalError)(text.value.decode("utf-8", "replace"))
    return status


def _open():
    here = Path(__file__).resolve().parent
    places = [here / "lib" / "librooftune.so", here.parents[1] / "build" / "release" / "lib" / "librooftune.so"]
    if chosen := os.environ.get("ROOFTUNE_LIBRARY"):
        places = [Path(chosen)]
    for place in places:
        if place.exists():
            try:
                return ctypes.CDLL(str(place))
            except OSError as error:
                raise EnvironmentError(f"{place} could not be loaded: {error}") from None
    raise EnvironmentError(f"librooftune.so is not at {' or '.join(map(str, places))}: install the wheel, run scripts/build "
                           "or set ROOFTUNE_LIBRARY")


lib = _open()
for _name, (_result, _arguments) in _FUNCTIONS.items():
    _function = getattr(lib, _name)
    _function.restype, _function.argtypes = _result, _arguments
    if _result is c_int and _name not in _PLAIN:
        _function.errcheck = _raise_failures


def version():
    return lib.rt_version().decode()


def load_plugin(path):
    """Loads a plug-in: a shared library with operators or code generators (docs/plugins.md). It stays for good."""
    lib.rt_plugin_load(os.fsencode(path))


def take_string(pointer):
    """The text of a string that the library made for us, which is freed."""
    try:
        return ctypes.string_at(pointer).decode()
    finally:
        lib.rt_free_string(pointer)
