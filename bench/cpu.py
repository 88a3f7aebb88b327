#!/usr/bin/env python3
"""Latency of Rooftune beside onnxruntime and OpenVINO (in f32 unless --precision says otherwise), on this CPU.

cpu.py MODEL.onnx [...] [--tuned DIR] [--threads 1,2] [--engines rooftune,onnxruntime,openvino] [--precision bf16] [--out bench.json]

Every engine lives in a worker process of its own, with the model loaded. Bursts are interleaved A B C B C A C A B ...
so that drift of the machine hits all alike. Before a burst the controller waits for the other processes to fall quiet;
a burst during which they used more than 15 % of one core counts as disturbed, and rounds go on (up to --max-rounds)
until every engine has --rounds undisturbed ones. p50, p95 and min are over the undisturbed bursts; the ratio to a
rival is the median over rounds of p50(rooftune) / p50(rival), both of the same round.
`rooftune` is the untuned model; with --tuned DIR, DIR/<threads>/<name>/model.rt (or DIR/<name>.rt, DIR/<name>/model.rt)
is measured as `rooftune-tuned`.
Outputs on fresh random inputs are compared with onnxruntime's (in f32; at other precisions, which it cannot be asked for,
it is not timed). Writes --out (everything) and the table beside it (.md)."""
import argparse
import json
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
QUIET = 0.15   # of one core, used by everybody else


# ---------------------------------------------------------------- foreign load
def machine_cpu_s():
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def process_cpu_s(pid):
    """Of the process and the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICK


def wait_until_quiet(limit_s):
    end = time.time() + limit_s
    while time.time() < end:
        before, start = machine_cpu_s(), time.time()
        time.sleep(0.15)
        if (machine_cpu_s() - before) / (time.time() - start) < QUIET:
            return


# ---------------------------------------------------------------- workers
class Worker:
    def __init__(self, engine, path, threads, inputs, folder, timeout_s, precision):
        self.engine, self.bursts = engine, []
        self.outputs_path = f"{folder}/{engine}.npz"
        self.log_path = f"{folder}/{engine}.log"
        env = dict(os.environ, OMP_NUM_THREADS=str(threads))  # and BENCH_CLOCK, of --cpu-time
        command = [sys.executable, str(HERE / "worker.py"), engine.split("-")[0], str(path), str(threads), inputs,
                   self.outputs_path, precision]
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                            env=env, start_new_session=True)
        self.info = self.read(timeout_s)

    def read(self, timeout_s):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.close()
            last = (Path(self.log_path).read_text().strip().split("\n") or [""])[-1]
            raise RuntimeError(f"{'ended' if ready else f'no answer in {timeout_s} s'}: {last[-300:]}")
        return json.loads(line)

    def burst(self, seconds, round_number):
        machine, own, start = machine_cpu_s(), process_cpu_s(self.process.pid), time.time()
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        reply = self.read(seconds * 20 + 120)
        foreign = (machine_cpu_s() - machine) - (process_cpu_s(self.process.pid) - own)
        self.info |= {k: v for k, v in reply.items() if k != "times_ms"}
        self.bursts.append(dict(round=round_number, times_ms=reply["times_ms"], p50_ms=statistics.median(reply["times_ms"]),
                                foreign_load=max(0.0, foreign) / (time.time() - start)))

    def quiet(self):
        return [b for b in self.bursts if b["foreign_load"] < QUIET]

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)      # its own session, which we started
        except ProcessLookupError:
            pass
        self.process.wait()


def fresh(inputs, seed):
    """Inputs of the same shapes and plausible values: floats anew, integers shuffled (masks keep their zeros' number)."""
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(v.shape, dtype=np.float32) if v.dtype.kind == "f" else
            np.sort(v)[..., ::-1].copy() if set(np.unique(v)) <= {0, 1} else rng.permuted(v, axis=-1)
            for n, v in inputs.items()}


def relative_error(got, want):
    return max(float(np.linalg.norm(got[n].astype(np.float64).ravel() - want[n].ravel()) /
                     max(np.linalg.norm(want[n].astype(np.float64)), 1e-30)) for n in want)


# ---------------------------------------------------------------- one model, one thread count
def measure(path, threads, engines, args):
    """Rows, one per engine: statistics and raw bursts; {engine, error} where one failed."""
    inputs = fresh(dict(np.load(path.with_name(path.stem + ".inputs.npz"))), args.seed)
    rows, workers = [], []
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", **inputs)
        try:
            for engine, model in engines:
                try:
                    workers.append(Worker(engine, model, threads, f"{folder}/in.npz", folder, args.timeout, args.precision))
                except RuntimeError as e:
                    rows.append(dict(engine=engine, error=str(e)))
            interleave(workers, rows, args)
            outputs = {w.engine: dict(np.load(w.outputs_path)) for w in workers}
            if "onnxruntime" not in outputs:
                reference = Worker("onnxruntime", path, threads, f"{folder}/in.npz", folder, args.timeout, "fp32")
                reference.close()
                outputs["onnxruntime"] = dict(np.load(reference.outputs_path))
        finally:
            for w in workers:
                w.close()
    for w in workers:
        row = dict(engine=w.engine, **w.info, **summary(w))
        if w.engine != "onnxruntime":
            row["relative_error"] = relative_error(outputs[w.engine], outputs["onnxruntime"])
        rows.append(row)
    ratios(rows)
    return rows


def interleave(workers, rows, args):
    for r in range(args.max_rounds):
        for w in workers[r % max(1, len(workers)) :] + workers[: r % max(1, len(workers))]:
            if r >= args.rounds and all(len(o.quiet()) >= args.rounds for o in workers):
                return
            wait_until_quiet(args.wait)
            try:
                w.burst(args.burst, r)
            except RuntimeError as e:
                rows.append(dict(engine=w.engine, error=str(e)))
                workers.remove(w)
                break


def summary(worker):
    """Over undisturbed bursts; where fewer than three are, over the three least disturbed, and said so."""
    used = worker.quiet()
    if len(used) < 3:
        used = sorted(worker.bursts, key=lambda b: b["foreign_load"])[:3]
    times = sorted(t for b in used for t in b["times_ms"])
    return dict(p50_ms=statistics.median(times), p95_ms=times[min(len(times) - 1, int(0.95 * len(times)))], min_ms=times[0],
                runs=len(times), quiet_bursts=len(worker.quiet()), disturbed=len(worker.quiet()) < 3, bursts=worker.bursts)


def ratios(rows):
    good = {r["engine"]: {b["round"]: b for b in r["bursts"]} for r in rows if "bursts" in r}
    for row in rows:
        if not row["engine"].startswith("rooftune") or "bursts" not in row:
            continue
        for rival in (e for e in good if not e.startswith("rooftune")):
            pairs = [(b, good[rival][n]) for n, b in good[row["engine"]].items() if n in good[rival]]
            still = [p for p in pairs if max(p[0]["foreign_load"], p[1]["foreign_load"]) < QUIET]
            row[f"vs_{rival}"] = statistics.median(a["p50_ms"] / b["p50_ms"] for a, b in still or pairs)


# ---------------------------------------------------------------- what is written
def environment():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return dict(cpu=cpu, cores=len(os.sched_getaffinity(0)), kernel=platform.release(), commit=commit.stdout.strip(),
                date=time.strftime("%Y-%m-%dT%H:%M:%S"), python=platform.python_version())


def table(document):
    """Markdown: one line per model, thread count and engine."""
    head = ["model", "threads", "engine", "p50 ms", "p95 ms", "min ms", "GFLOP/s", "load s", "peak MB", "error",
            "vs onnxruntime", "vs openvino"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for m in document["measurements"]:
        for row in m["rows"]:
            cells = [m["model"], str(m["threads"]), row["engine"]]
            if "error" in row:
                cells += [row["error"].replace("|", "/")] + [""] * 8
            else:
                note = " (disturbed)" if row["disturbed"] else ""
                error, ratio = row.get("relative_error"), lambda rival: row.get(f"vs_{rival}")
                cells += [f"{row['p50_ms']:.3f}{note}", f"{row['p95_ms']:.3f}", f"{row['min_ms']:.3f}",
                          f"{m['gflop'] / row['p50_ms'] * 1e3:.0f}" if m["gflop"] else "", f"{row['load_s']:.2f}",
                          f"{row['peak_mb']:.0f}", "" if error is None else f"{error:.1e}",
                          *("" if ratio(r) is None else f"{ratio(r):.3f}x" for r in ("onnxruntime", "openvino"))]
            lines.append("| " + " | ".join(cells) + " |")
    env = document["environment"]
    return f"{env['cpu']}, {env['cores']} cores, {env['date']}, commit {env['commit']}\n\n" + "\n".join(lines) + "\n"


def engines_for(path, threads, args):
    out = []
    for engine in args.engines.split(","):
        out.append((engine, path))
        if engine == "rooftune" and args.tuned:
            places = (args.tuned / str(threads) / path.stem / "model.rt", args.tuned / f"{path.stem}.rt",
                      args.tuned / path.stem / "model.rt")
            found = [p for p in places if p.exists()]
            out += [("rooftune-tuned", p) for p in found[:1]]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("models", nargs="+", type=Path)
    add("--tuned", type=Path)
    add("--engines", help="rooftune,onnxruntime,openvino; without onnxruntime where --precision is not fp32")
    add("--precision", default="fp32", help="fp32, bf16 or fp16: what engines are asked to compute in")
    add("--threads", default="1,2")
    add("--rounds", type=int, default=6)
    add("--max-rounds", type=int, default=14)
    add("--burst", type=float, default=0.7, help="seconds")
    add("--wait", type=float, default=3, help="seconds to wait for the machine to fall quiet before a burst")
    add("--timeout", type=float, default=300, help="seconds that an engine may take to load")
    add("--seed", type=int, default=int(time.time()))
    add("--out", type=Path, default=Path("bench.json"))
    add("--cpu-time", action="store_true", help="measure the time that an engine's process computes, not the time that passes: "
        "for one thread on a machine that others use")
    args = parser.parse_args()
    args.engines = args.engines or ("rooftune,onnxruntime,openvino" if args.precision == "fp32" else "rooftune,openvino")
    if args.cpu_time:
        os.environ["BENCH_CLOCK"] = "cpu"
    document = dict(environment=environment(), seed=args.seed, precision=args.precision, clock="cpu" if args.cpu_time else "wall", measurements=[])
    for path in args.models:
        info = path.with_suffix(".json")
        gflop = json.loads(info.read_text())["gflop"] if info.exists() else None
        for threads in map(int, args.threads.split(",")):
            rows = measure(path.resolve(), threads, engines_for(path.resolve(), threads, args), args)
            document["measurements"].append(dict(model=path.stem, threads=threads, gflop=gflop, rows=rows))
            args.out.write_text(json.dumps(document))
            args.out.with_suffix(".md").write_text(table(document))
    print(table(document))
    return 1 if any("error" in r for m in document["measurements"] for r in m["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
