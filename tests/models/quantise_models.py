#!/usr/bin/env python3
"""Quantises models by onnxruntime.quantization.

quantise_models.py FOLDER [name ...] [--dynamic] [--signed]   ->   FOLDER/<name>.int8.onnx (.dynamic.onnx, .s8.onnx)

FOLDER/<name>.onnx and .inputs.npz are those of make_models.py. Statically: QDQ, u8 activations (i8 where --signed), i8
weights per channel, ranges by the extremes over eight seeded inputs; of transformers MatMul and Gemm only. --dynamic:
quantize_dynamic as it is."""
import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_dynamic,
                                      quantize_static)
from onnxruntime.quantization.shape_inference import quant_pre_process

NAMES = ["resnet50", "mobilenetv2", "minilm", "bert_base"]
SAMPLES = 8


class Samples(CalibrationDataReader):
    """Inputs like those that the model came with: images are normal, token ids anything, masks all ones."""

    def __init__(self, like):
        rng = np.random.default_rng(1)

        def one(name, x):
            if x.dtype == np.float32:
                return rng.standard_normal(x.shape, dtype=np.float32)
            return np.ones_like(x) if "mask" in name else rng.integers(0, max(2, int(x.max())), x.shape, x.dtype)

        self.rows = iter([{name: one(name, x) for name, x in like.items()} for _ in range(SAMPLES)])

    def get_next(self):
        return next(self.rows, None)


def is_transformer(path):
    return any(node.op_type == "MatMul" for node in onnx.load(path, load_external_data=False).graph.node)


def static(path, out, like, signed=False):
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(out), Samples(like), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod.MinMax,
                        op_types_to_quantize=["MatMul", "Gemm"] if is_transformer(path) else None)
    return out


def dynamic(path, out):
    quantize_dynamic(str(path), str(out))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"default: {', '.join(NAMES)}")
    parser.add_argument("--dynamic", action="store_true")
    parser.add_argument("--signed", action="store_true")
    args = parser.parse_args()
    for name in args.names or NAMES:
        path = args.folder / f"{name}.onnx"
        if not path.exists():
            sys.exit(f"{path} is missing: make_models.py makes it")
        if args.dynamic:
            out = dynamic(path, args.folder / f"{name}.dynamic.onnx")
        else:
            like = dict(np.load(args.folder / f"{name}.inputs.npz"))
            out = static(path, args.folder / f"{name}.{'s8' if args.signed else 'int8'}.onnx", like, args.signed)
        for kind in ("inputs.npz", "json"):  # what benchmarks look for beside a model
            shutil.copy(args.folder / f"{name}.{kind}", out.with_suffix(f".{kind}"))
        print(out, f"{out.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
