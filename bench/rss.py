#!/usr/bin/env python3
"""Resident memory of a process that loads a model and runs it 100 times: Rooftune's runtime beside onnxruntime.

rss.py MODEL.onnx [...] --tuned DIR [--threads 1] [--runs 100] [--out rss.json]

Both sides are small native programs (rss_rooftune.cpp over the runtime and a tuned .rt, rss_onnxruntime.c over the
library in onnxruntime's wheel), so that no interpreter is counted. `resident` is VmRSS after the last run, `peak` VmHWM.
DIR holds <name>.rt or <name>/model.rt. Exit status 1 where Rooftune needs more than --limit times onnxruntime's."""
import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", HERE.parent / "build" / "release"))


def programs():
    """(Rooftune's, onnxruntime's), built if need be."""
    names = ["bench_rss_rooftune", "bench_rss_onnxruntime"]
    subprocess.run(["cmake", "--build", str(BUILD), "--target", *names], check=True, stdout=sys.stderr)
    return [BUILD / "bin" / name for name in names]


def onnxruntime_library():
    spec = importlib.util.find_spec("onnxruntime")
    found = sorted((Path(spec.submodule_search_locations[0]) / "capi").glob("libonnxruntime.so*")) if spec else []
    if not found:
        raise SystemExit("onnxruntime's library is not there: pip install onnxruntime")
    return found[0]


def measure(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def tuned(folder, stem):
    found = [p for p in (folder / f"{stem}.rt", folder / stem / "model.rt") if p.exists()]
    if not found:
        raise SystemExit(f"no {stem}.rt and no {stem}/model.rt in {folder}")
    return found[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--tuned", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--limit", type=float, default=1.1)
    parser.add_argument("--out", type=Path, default=Path("rss.json"))
    args = parser.parse_args()
    ours, theirs = programs()
    library, rows = onnxruntime_library(), []
    for path in args.models:
        row = dict(model=path.stem, threads=args.threads,
                   rooftune=measure(ours, tuned(args.tuned, path.stem), args.threads, args.runs),
                   onnxruntime=measure(theirs, library, path, args.threads, args.runs))
        row["ratio"] = row["rooftune"]["rss_mb"] / row["onnxruntime"]["rss_mb"]
        rows.append(row)
    args.out.write_text(json.dumps(rows, indent=1))
    print("| model | engine | load ms | first ms | resident MB | peak MB | ratio |\n|---|---|---|---|---|---|---|")
    for row in rows:
        for engine in ("rooftune", "onnxruntime"):
            r = row[engine]
            ratio = f"{row['ratio']:.2f}x" if engine == "rooftune" else ""
            print(f"| {row['model']} | {engine} | {r['load_ms']:.0f} | {r['first_ms']:.0f} | {r['rss_mb']:.0f} | {r['peak_mb']:.0f} | {ratio} |")
    return 1 if any(r["ratio"] > args.limit for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
