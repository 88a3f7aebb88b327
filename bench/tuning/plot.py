"""What tuning_bench wrote, as a table and a picture: `plot.py ablation.csv` prints how close each search came after how many
measurements; `plot.py predictions.csv OUT.svg` draws measured against predicted times."""
import csv
import math
import random
import statistics
import sys
from collections import defaultdict
from pathlib import Path

ORDER = ("random", "evolutionary", "guided", "bayesian", "default")


def ablation(path):
    runs = defaultdict(dict)  # (task, preset, seed) -> measurements -> fastest
    for model, task, preset, seed, n, ms in csv.reader(open(path)):
        runs[(model, task), preset, seed][int(n)] = float(ms)
    tasks = sorted({key[0] for key in runs})
    tasks = [t for t in tasks if len({(p, s) for (u, p, s) in runs if u == t}) == len({(p, s) for (_, p, s) in runs})]
    seeds = sorted({key[2] for key in runs})
    best = {t: min(min(r.values()) for (u, _, _), r in runs.items() if u == t) for t in tasks}
    presets = [p for p in ORDER if any(key[1] == p for key in runs)]
    steps = [n for n in (4, 8, 16, 24, 32, 48, 64, 96) if n <= max(max(r) for r in runs.values())]
    print(f"{len(tasks)} kernels, {len(seeds)} seeds: times over the fastest known, geometric mean")
    print("| search |" + "".join(f" {n} |" for n in steps) + " within 5 % after |")
    print("|---|" + "--:|" * (len(steps) + 1))
    for preset in presets:
        row = []
        for n in steps:
            logs = [math.log(min(ms for m, ms in runs[t, preset, s].items() if m <= n) / best[t]) for t in tasks for s in seeds]
            row.append(math.exp(statistics.mean(logs)))
        reached = []
        for t in tasks:
            for s in seeds:
                hits = [n for n, ms in sorted(runs[t, preset, s].items()) if ms <= 1.05 * best[t]]
                reached.append(hits[0] if hits else math.inf)
        middle = statistics.median(reached)
        print(f"| {preset} |" + "".join(f" {x:.3f} |" for x in row) + f" {middle if middle < math.inf else f'> {steps[-1]}'} |")
    if "default" not in presets:
        return
    # To the latency that the search without transfer ends with: measurements that it took, and that transfer takes.
    without = with_transfer = 0
    for t in tasks:
        for s in seeds:
            course = sorted(runs[t, "bayesian", s].items())
            goal = 1.001 * course[-1][1]
            without += next(n for n, ms in course if ms <= goal)
            with_transfer += next((n for n, ms in sorted(runs[t, "default", s].items()) if ms <= goal), course[-1][0])
    print(f"to the latency where bayesian ends: {without} measurements, with transfer {with_transfer}: {100 - 100 * with_transfer / without:.0f} % fewer")


def predictions(path, out):
    rows = list(csv.DictReader(open(path)))
    random.Random(1).shuffle(rows)
    rows = rows[:900]
    size, margin, lo, hi = 420, 46, -3, 2.3  # log10 of ms

    def at(ms):
        return (min(max(math.log10(float(ms)), lo), hi) - lo) / (hi - lo) * (size - 2 * margin)

    models = sorted({row["model"] for row in rows})
    colours = ("#3b6fb6", "#c4572b", "#4a9a5b", "#8a5aa8", "#b8932f", "#5f6b76")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="10">',
             f'<rect width="{size}" height="{size}" fill="#fff"/>']
    for e in range(lo, math.floor(hi) + 1):
        p = at(10 ** e)
        label = f"{10 ** e * 1000:g} µs" if e < 0 else f"{10 ** e:g} ms"
        parts.append(f'<path d="M{margin + p:.0f} {size - margin}V{margin}M{margin} {size - margin - p:.0f}H{size - margin}" stroke="#ddd"/>'
                     f'<text x="{margin + p:.0f}" y="{size - margin + 14}" text-anchor="middle">{label}</text>'
                     f'<text x="{margin - 4}" y="{size - margin - p + 3:.0f}" text-anchor="end">{label}</text>')
    end = size - 2 * margin
    parts.append(f'<path d="M{margin} {size - margin}L{margin + end} {margin}" stroke="#888"/>')
    for i, model in enumerate(models):
        dots = "".join(f"M{margin + at(r['measured_ms']):.1f} {size - margin - at(r['predicted_ms']):.1f}h0" for r in rows if r["model"] == model)
        colour = colours[i % len(colours)]
        parts.append(f'<path d="{dots}" stroke="{colour}" stroke-width="3" stroke-linecap="round" opacity="0.6"/>'
                     f'<text x="{margin + 8}" y="{margin + 14 + 13 * i}" fill="{colour}">{model}</text>')
    parts.append(f'<text x="{size / 2}" y="{size - 10}" text-anchor="middle">measured</text>'
                 f'<text x="12" y="{size / 2}" text-anchor="middle" transform="rotate(-90 12 {size / 2})">predicted</text></svg>')
    Path(out).write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        predictions(sys.argv[1], sys.argv[2])
    else:
        ablation(sys.argv[1])
