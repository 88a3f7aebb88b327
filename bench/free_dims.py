#!/usr/bin/env python3
"""BERT-base with free batch (1 to 8) and sequence length (1 to 384), compiled once: random shapes beside a compile for that
very shape and beside onnxruntime with dynamic axes.

free_dims.py [--shapes 200] [--static 40] [--threads 1] [--runs 5] [--out free_dims.json]

Every shape is run by Rooftune and onnxruntime in turns, the first --static of them also by a package compiled for that
shape alone; in each round in another order, and after a pause, since the threads of a runtime that has just run spin for a
while and would cost whoever comes next. Per shape the fastest run counts: other work on the machine only ever adds time.
Nothing is compiled once the package is made: it is loaded by the runtime alone. Exit status 1 where a result is wrong
(relative error above 1e-4), the 95th percentile of the ratios to the static compile is above 1.3, or the 95th percentile of
the latencies above 1.1 times that of onnxruntime."""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = Path(os.environ.setdefault("ROOFTUNE_BUILD", str(ROOT / "build" / "release")))
sys.path.insert(0, str(ROOT / "python"))


def package(model, out, *dims):
    options = [option for d in dims for option in ("--dim", d)]
    start = time.perf_counter()
    subprocess.run([BUILD / "bin" / "rooftune", "import", model, *options, "-o", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def fastest(sides, runs):
    """The fastest of `runs` runs of each side, in seconds, and what a first one, not timed, gave."""
    first = [side() for side in sides]
    best = [float("inf")] * len(sides)
    for _ in range(runs):
        for i in random.sample(range(len(sides)), len(sides)):
            time.sleep(0.02)
            start = time.perf_counter()
            sides[i]()
            best[i] = min(best[i], time.perf_counter() - start)
    return best, first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--static", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "models")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import onnxruntime
    import rooftune

    subprocess.run([sys.executable, ROOT / "tests" / "models" / "make_models.py", arguments.models, "bert_free", "--missing"], check=True)
    model = arguments.models / "bert_free.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(str(model), options)
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    rng = np.random.default_rng(seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        free = Path(folder) / "free.rt"
        compile_seconds = package(model, free, "batch=1..8", "seq=1..384")
        ours = rooftune.Model(free, threads=arguments.threads)
        for n in range(arguments.shapes):
            batch, seq = int(rng.integers(1, 9)), int(rng.integers(1, 385))
            lengths = rng.integers(1, seq + 1, [batch, 1])
            feed = {"input_ids": rng.integers(0, 30522, [batch, seq]), "attention_mask": (np.arange(seq) < lengths).astype(np.int64),
                    "token_type_ids": rng.integers(0, 2, [batch, seq])}
            row = {"batch": batch, "seq": seq}
            sides = [lambda: next(iter(ours.run(feed).values())), lambda: session.run(None, feed)[0]]
            if n < arguments.static:
                fixed = Path(folder) / "fixed.rt"
                package(model, fixed, f"batch={batch}", f"seq={seq}")
                static = rooftune.Model(fixed, threads=arguments.threads)
                sides.append(lambda: static.run(feed))
            best, results = fastest(sides, arguments.runs)
            best = [s * 1e3 for s in best]
            got, expected = results[0], results[1]
            row["relative_error"] = float(np.linalg.norm(got - expected) / np.linalg.norm(expected))
            row |= {"rooftune_ms": best[0], "onnxruntime_ms": best[1], "static_ms": best[2] if len(best) > 2 else None}
            rows.append(row)
            print(f"{n + 1}/{arguments.shapes} batch {batch} seq {seq}: {best[0]:.1f} ms, onnxruntime {best[1]:.1f}, "
                  f"static {row['static_ms'] or float('nan'):.1f}, error {row['relative_error']:.1e}", file=sys.stderr)
    to_peer = [r["rooftune_ms"] / r["onnxruntime_ms"] for r in rows]
    to_static = [r["rooftune_ms"] / r["static_ms"] for r in rows if r["static_ms"]]
    p95 = {side: float(np.percentile([r[f"{side}_ms"] for r in rows], 95)) for side in ("rooftune", "onnxruntime")}
    result = {"seed": seed, "threads": arguments.threads, "shapes": len(rows), "static_shapes": len(to_static), "compile_s": compile_seconds,
              "largest_error": max(r["relative_error"] for r in rows),
              "to_static": {"median": float(np.median(to_static)), "p95": float(np.percentile(to_static, 95))} if to_static else None,
              "to_onnxruntime": {"median": float(np.median(to_peer)), "p95": float(np.percentile(to_peer, 95)),
                                 "p95_latency": p95["rooftune"] / p95["onnxruntime"], "above_1.1": sum(r > 1.1 for r in to_peer),
                                 "total": sum(r["rooftune_ms"] for r in rows) / sum(r["onnxruntime_ms"] for r in rows)},
              "machine": platform.processor() or platform.machine(), "onnxruntime": onnxruntime.__version__, "rows": rows}
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}, indent=1))
    bad = result["largest_error"] > 1e-4 or result["to_onnxruntime"]["p95_latency"] > 1.1 or (to_static and result["to_static"]["p95"] > 1.3)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
