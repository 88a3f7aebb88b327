"""Turns models of other frameworks into files that Rooftune reads. It needs those frameworks, so it runs in a process of
its own, by whichever Python has them; `rooftune` carries this file within itself and starts it where a model asks for it.

    python convert.py tensorflow IN OUT.onnx             a SavedModel folder, .keras, .h5 or .tflite
    python convert.py torchscript IN OUT.pt2 [INPUT …]   TorchScript; an INPUT is written "f32[1,3,224,224]", and may be left
                                                         out where the model was traced, which keeps their shapes

Exit status: 0 done, 3 the model cannot be converted, 4 a package is missing; the last lines of stderr say why.
"""
import ctypes
import os
import re
import signal
import sys
import tempfile

INLINE_LIMIT = 1_800_000_000  # bytes; ONNX files hold less than 2 GiB, weights beyond that lie beside them
OPSET = 18


class Unsupported(Exception):
    """The model is at fault."""


def end_with_parent():
    """The process that started us may be killed before it can end us."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass


def name_dimensions(model):
    """The batch is `batch`, other free dimensions of inputs get their names on import; what the converter made up goes."""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param.startswith("unk__") or (dim.HasField("dim_value") and dim.dim_value < 0):
                dim.Clear()
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value") and not dims[0].dim_param:
            dims[0].dim_param = "batch"
    del model.graph.value_info[:]


def spell_out(model):
    """What tf2onnx hands through as TensorFlow has it: Erfc and TFLite's GELU are spelled out, of others it is said that
    they cannot be had."""
    import numpy as np
    import onnx

    known = {s.name for s in onnx.defs.get_all_schemas()}
    nodes = []

    def add(op, *inputs, output=None):
        """Inputs are names, or numbers."""
        names = []
        for value in inputs:
            names.append(value if isinstance(value, str) else f"spelled_{len(nodes)}_{len(names)}")
            if not isinstance(value, str):
                model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), names[-1]))
        nodes.append(onnx.helper.make_node(op, names, [output or f"spelled_{len(nodes)}"]))
        return nodes[-1].output[0]

    for node in model.graph.node:
        x, y = node.input[0] if node.input else "", node.output[0]
        if node.op_type == "Erfc":
            add("Sub", 1, add("Erf", x), output=y)
        elif node.op_type == "TFL_GELU":
            if any(a.name == "approximate" and a.i for a in node.attribute):
                cubic = add("Mul", add("Mul", x, add("Mul", x, x)), 0.044715)
                part = add("Tanh", add("Mul", add("Add", x, cubic), np.sqrt(2 / np.pi)))
            else:
                part = add("Erf", add("Mul", x, np.sqrt(0.5)))
            add("Mul", add("Mul", x, 0.5), add("Add", part, 1), output=y)
        else:
            nodes.append(node)
    missing = sorted({n.op_type for n in nodes if n.domain in ("", "ai.onnx") and n.op_type not in known})
    if missing:
        raise Unsupported(f"tf2onnx has no ONNX operators for {', '.join(missing)}")
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def save(model, path):
    import onnx

    spell_out(model)
    name_dimensions(model)
    large = sum(len(t.raw_data) for t in model.graph.initializer) > INLINE_LIMIT
    onnx.save(model, path, save_as_external_data=large, location="weights.bin" if large else None)


def signature_of(folder):
    """The name of the SavedModel's signature to take."""
    import tensorflow as tf

    names = sorted(tf.saved_model.load(folder).signatures)
    if not names:
        raise Unsupported("the SavedModel has no signatures; save it with one (model.export, or tf.saved_model.save with signatures=)")
    if "serving_default" in names or len(names) == 1:
        return "serving_default" if "serving_default" in names else names[0]
    raise Unsupported(f"the SavedModel has the signatures {', '.join(names)}; one of them must be named serving_default")


def tensorflow(source, target):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # converting needs no GPU
    import tf2onnx.convert

    with tempfile.TemporaryDirectory() as work:
        made = os.path.join(work, "model.onnx")
        if source.endswith(".tflite"):
            arguments = ["--tflite", source]
        else:
            folder = source
            if not os.path.isdir(source):
                import keras

                folder = os.path.join(work, "saved")
                keras.models.load_model(source, compile=False).export(folder, verbose=False)
            arguments = ["--saved-model", folder, "--signature_def", signature_of(folder)]
        sys.argv = ["tf2onnx", *arguments, "--output", made, "--opset", str(OPSET)]
        tf2onnx.convert.main()
        if not os.path.exists(made):
            raise Unsupported("tf2onnx wrote no model")
        import onnx

        save(onnx.load(made), target)


TORCH_TYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i64": "int64", "i32": "int32",
               "i16": "int16", "i8": "int8", "u8": "uint8", "bool": "bool"}


def example_input(text):
    """A tensor for "f32[2,3]"."""
    import torch

    match = re.fullmatch(r"(\w+)\[([\d, ]*)\]", text.strip())
    if not match or match[1] not in TORCH_TYPES:
        raise Unsupported(f'"{text}" is no input: write it as "f32[1,3,224,224]", with one of {", ".join(TORCH_TYPES)}')
    shape = [int(n) for n in match[2].split(",") if n.strip()]
    dtype = getattr(torch, TORCH_TYPES[match[1]])
    return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.ones(shape, dtype=dtype)


def torchscript(source, target, *inputs):
    import torch
    from torch._export.converter import TS2EPConverter

    module = torch.jit.load(source, map_location="cpu", _restore_shapes=not inputs).eval()
    if inputs:
        arguments = [example_input(text) for text in inputs]
    else:  # what was traced keeps the shapes of its inputs
        types = [value.type() for value in list(module.graph.inputs())[1:]]
        if not all(isinstance(t, torch._C.TensorType) and t.sizes() is not None and t.dtype() is not None for t in types):
            raise Unsupported("the model keeps no shapes of its inputs, as none does that was scripted: convert it once for those "
                              f'that it shall take, python -m rooftune.convert torchscript {os.path.basename(source)} model.pt2 '
                              '"f32[1,3,224,224]" …')
        arguments = [torch.randn(t.sizes()).to(t.dtype()) if t.dtype().is_floating_point else torch.ones(t.sizes(), dtype=t.dtype())
                     for t in types]
    rest = module.forward.schema.arguments[1 + len(arguments):]  # they have defaults
    arguments = (*arguments, *(a.default_value for a in rest))
    program = TS2EPConverter(module, arguments, {}).convert()
    program = torch.export.export(program.module(), arguments)  # for these sizes; the converter leaves all of them free
    torch.export.save(program, target)


CONVERTERS = {"tensorflow": tensorflow, "torchscript": torchscript}


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in CONVERTERS or (sys.argv[1] == "tensorflow" and len(sys.argv) > 4):
        print(__doc__, file=sys.stderr)
        return 2
    end_with_parent()
    kind, source, target, *inputs = sys.argv[1:]
    try:
        CONVERTERS[kind](source, target, *inputs)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 4
    except Exception as error:  # noqa: BLE001: whatever the framework says of the model
        print(f"{type(error).__name__}: {error}" if not isinstance(error, Unsupported) else error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
