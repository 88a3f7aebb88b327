"""Arrays in and out: numpy without copies, anything with DLPack without copies, nested lists."""
import ctypes
import itertools
from ctypes import byref, c_int64, c_size_t, c_void_p

import numpy as np

from ._library import RELEASE, InputError, lib

try:
    import ml_dtypes  # gives numpy the small floats
except ImportError:
    ml_dtypes = None

_NAMES = {"f32": "float32", "f64": "float64", "f16": "float16", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
          "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "bool": "bool", "c64": "complex64",
          "c128": "complex128"}
_SMALL = {"bf16": "bfloat16", "f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2",
          "f8e5m2fnuz": "float8_e5m2fnuz", "f8e8m0": "float8_e8m0fnu"}
_TO_NUMPY = {name: np.dtype(numpy) for name, numpy in _NAMES.items()}
if ml_dtypes:
    _TO_NUMPY.update({name: np.dtype(getattr(ml_dtypes, numpy)) for name, numpy in _SMALL.items() if hasattr(ml_dtypes, numpy)})
_FROM_NUMPY = {dtype: name for name, dtype in _TO_NUMPY.items()}

_kept = {}  # arrays whose memory the library uses, by a number that it hands back
_numbers = itertools.count(1)


@RELEASE
def _release(number):
    _kept.pop(number, None)


class Handle:
    """Owns one rt_tensor; shows its memory to numpy, which then keeps it alive."""

    def __init__(self, pointer):
        self.pointer = pointer

    def __del__(self):
        if self.pointer:
            lib.rt_tensor_free(self.pointer)

    @property
    def dtype(self):
        return lib.rt_tensor_dtype(self.pointer).decode()

    @property
    def shape(self):
        return tuple(lib.rt_tensor_shape(self.pointer)[: lib.rt_tensor_rank(self.pointer)])

    @property
    def __array_interface__(self):
        return {"version": 3, "shape": (lib.rt_tensor_bytes(self.pointer),), "typestr": "|u1",
                "data": (lib.rt_tensor_data(self.pointer) or 0, False)}


def _shape(shape):
    return (c_int64 * len(shape))(*shape)


def wrap(array):
    """A handle on the memory of a C-contiguous array of a type that the library knows."""
    name = _FROM_NUMPY.get(array.dtype)
    if name is None:
        raise InputError(f"arrays of {array.dtype} are not supported")
    number = next(_numbers)
    pointer = c_void_p()
    _kept[number] = array
    try:
        lib.rt_tensor_wrap(array.ctypes.data if array.nbytes else None, array.nbytes, name.encode(), _shape(array.shape), array.ndim,
                           _release, number, byref(pointer))
    except Exception:
        _kept.pop(number, None)
        raise
    return Handle(pointer.value)


def _strings(array):
    pointer = c_void_p()
    lib.rt_tensor_create(b"string", _shape(array.shape), array.ndim, byref(pointer))
    handle = Handle(pointer.value)
    for i, item in enumerate(array.reshape(-1)):
        data = item if isinstance(item, bytes) else str(item).encode()
        lib.rt_tensor_set_string(handle.pointer, i, data, len(data))
    return handle


def _bfloat16(array):
    """float32 rounded to nearest even, as bytes, for when numpy has no such type."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    rounded[np.isnan(array)] = 0x7FC0
    pointer = c_void_p()
    lib.rt_tensor_create(b"bf16", _shape(array.shape), array.ndim, byref(pointer))
    handle = Handle(pointer.value)
    np.asarray(handle)[...] = rounded.reshape(-1).view(np.uint8)
    return handle


def _from_dlpack(value):
    get, rename = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_SetName
    get.restype, get.argtypes = c_void_p, [ctypes.py_object, ctypes.c_char_p]
    rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = value.__dlpack__()
    pointer = c_void_p()
    lib.rt_tensor_from_dlpack(get(capsule, b"dltensor"), byref(pointer))
    rename(capsule, b"used_dltensor")  # ours now: the capsule must not free it
    return Handle(pointer.value)


def to_handle(value, dtype):
    """The tensor that the model gets for `value`. What is no array yet becomes one of the model's type; arrays keep theirs."""
    if not isinstance(value, (np.ndarray, np.generic)) and hasattr(value, "__dlpack__"):
        return _from_dlpack(value)
    if dtype == "string":
        return _strings(np.asarray(value, dtype=object))
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
    else:
        array = np.asarray(value, dtype=_TO_NUMPY.get(dtype, np.float32))
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    if dtype == "bf16" and array.dtype == np.float32:
        return _bfloat16(array)
    return wrap(array)


def to_numpy(handle):
    """The tensor as an array on the same memory (bf16 that numpy does not know: widened to float32)."""
    name, shape = handle.dtype, handle.shape
    if name == "string":
        array = np.empty(int(np.prod(shape)), dtype=object)
        for i in range(array.size):
            text, size = c_void_p(), c_size_t()
            lib.rt_tensor_get_string(handle.pointer, i, byref(text), byref(size))
            array[i] = ctypes.string_at(text.value, size.value).decode("utf-8", "surrogateescape")
        return array.reshape(shape)
    raw = np.asarray(handle) if lib.rt_tensor_bytes(handle.pointer) else np.empty(0, np.uint8)
    if name in _TO_NUMPY:
        return raw.view(_TO_NUMPY[name]).reshape(shape)
    if name == "bf16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    raise InputError(f"an output of {name} has no numpy type" + ("" if name not in _SMALL else ": install ml_dtypes"))
