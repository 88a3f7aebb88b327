"""The networks of tests/models/architectures.py, untuned, beside onnxruntime, and how much of their time goes into operators
that run by their reference.

    python bench/architectures.py [--size small|real] [--threads N] [--only NAME …] [--json OUT.json]

Rooftune gets the module by torch.export, onnxruntime the file of torch.onnx; bursts of runs of the two alternate, and the
medians of five rounds are compared. Needs torch, transformers, onnxscript and onnxruntime (scripts/requirements-full.txt).
"""
import argparse
import json
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "models")]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from architectures import architectures  # noqa: E402

import rooftune  # noqa: E402
from rooftune._torch import export  # noqa: E402


def session(module, inputs, path, threads):
    torch.onnx.export(module, inputs, str(path), dynamo=True, external_data=False, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = dict(zip((i.name for i in made.get_inputs()), (t.numpy() for t in inputs)))
    return lambda: made.run(None, feeds)


def burst(run, seconds):
    """The median of the milliseconds of runs for about this long, three at least; after a pause and a run that does not
    count, since the threads of a runtime that has just run spin for a while."""
    time.sleep(0.02)
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def measure(make, threads, seconds):
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        module, inputs = make()
        archive, package = Path(folder) / "m.pt2", Path(folder) / "m.rt"
        export(module, inputs, path=archive)
        rooftune.call("import", model=archive, output=package, threads=threads)
        profile = rooftune.call("profile", model=package, threads=threads, runs=5)
        operators = profile["operators"]
        fallback = [o for o in operators if o.get("reference")]
        model = rooftune.load(package, threads=threads)
        arrays = [t.numpy() for t in inputs]
        ours, theirs = lambda: model.run(arrays), session(module, inputs, Path(folder) / "m.onnx", threads)
        error = max(float(np.abs(a - b).max()) for a, b in zip(ours().values(), theirs()) if a.dtype.kind == "f")
        ours(), theirs()
        rounds = [(burst(ours, seconds), burst(theirs, seconds)) for _ in range(5)]
    worst = max(fallback, key=lambda o: o["ms"], default=None)
    return {"rooftune_ms": statistics.median(r[0] for r in rounds), "onnxruntime_ms": statistics.median(r[1] for r in rounds),
            "ratio": statistics.median(r[0] / r[1] for r in rounds), "error": error,
            "fallback_share": sum(o["ms"] for o in fallback) / profile["total_ms"],
            "worst_fallback": f"{worst['name']}: {worst['reference']}" if worst else ""}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("small", "real"), default="real")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3, help="per burst")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    networks = architectures(options.size)
    results = {}
    print(f"{'network':18} {'rooftune ms':>12} {'onnxruntime ms':>15} {'ratio':>6} {'fallback':>9}  error")
    for name in options.only or networks:
        try:
            r = results[name] = measure(networks[name], options.threads, options.seconds)
        except Exception as error:  # noqa: BLE001: the others are still worth knowing
            results[name] = {"failed": str(error)[:300]}
            print(f"{name:18} failed: {str(error)[:200]}", flush=True)
            continue
        print(f"{name:18} {r['rooftune_ms']:12.3f} {r['onnxruntime_ms']:15.3f} {r['ratio']:6.2f} {r['fallback_share']:8.1%}  {r['error']:.1e}  "
              f"{r['worst_fallback'][:100]}", flush=True)
    ratios = [r["ratio"] for r in results.values() if "ratio" in r]
    if ratios:
        print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}, largest {max(ratios):.2f}, of {len(ratios)} networks")
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
