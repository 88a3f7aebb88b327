"""16-bit precisions beside what is installed: PyTorch (eager, and compiled where asked), OpenVINO. Needs PyTorch, numpy and
this tree's library (build/release) only, so that it runs where the processor has bf16 and nothing else is.

python bench/half.py [--models resnet50,unet] [--precisions bf16,fp16] [--threads 1,2] [--budget 60s] [--compile] [--out FILE.json]

Models are made here with seeded weights and handed to Rooftune as torch.export writes them. Every engine's output is compared
with PyTorch's in f32; bursts go round A B C, B C A, …, and medians count. `ratio` is Rooftune's time over the best rival's at
the same precision."""
import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "models")]

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import rooftune  # noqa: E402

BURST_S, ROUNDS = 0.4, 7
TORCH = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        batch, length, width = x.shape
        split = lambda t: t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        a = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(x)), split(self.v(x)))
        x = self.norm1(x + self.o(a.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


def encoder(layers, width, heads):
    return nn.Sequential(*(Layer(width, heads) for _ in range(layers))), torch.randn(1, 128, width)


def made(name):
    """The module and its input."""
    torch.manual_seed(0)
    if name == "minilm":
        return encoder(6, 384, 12)
    if name == "bert_base":
        return encoder(12, 768, 12)
    import torch_models
    size = 256 if name == "unet" else 224
    network = {"unet": torch_models.UNet, "resnet50": torch_models.resnet50, "mobilenetv2": torch_models.mobilenetv2}[name]()
    module, inputs = torch_models.vision(network, size)
    return module, torch.from_numpy(inputs["x"])


class Rooftune:
    def __init__(self, args, module, x, precision, threads):
        with tempfile.TemporaryDirectory() as folder:
            torch.export.save(torch.export.export(module, (x,)), f"{folder}/model.pt2")
            # Whatever its error, which the table shows.
            report = rooftune.optimize(model=f"{folder}/model.pt2", output=f"{folder}/out", budget=args.budget, threads=threads,
                                       precisions=[precision], max_rel_error=1.0, seed=1)
            self.model = rooftune.load(f"{folder}/out/model.rt", threads=threads)
        self.roofline_ms = report["best"]["roofline_ms"]
        self.inputs = {self.model.inputs[0].name: x.numpy()}
        self.results = self.model.run(self.inputs)

    def run(self):
        self.model.run(self.inputs, self.results)

    def output(self):
        return next(iter(self.results.values()))


class Torch:
    def __init__(self, args, module, x, precision, threads, compiled=False):
        import copy
        torch.set_num_threads(threads)
        layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        self.module = copy.deepcopy(module).to(TORCH[precision]).to(memory_format=layout)
        self.x = x.to(TORCH[precision]).to(memory_format=layout)
        if compiled:
            self.module = torch.compile(self.module)
        self.run()

    def run(self):
        with torch.inference_mode():
            self.y = self.module(self.x)

    def output(self):
        return self.y.float().numpy()


class Inductor(Torch):
    def __init__(self, *rest):
        super().__init__(*rest, compiled=True)


class OpenVino:
    def __init__(self, args, module, x, precision, threads):
        import openvino as ov
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                  "INFERENCE_PRECISION_HINT": precision.replace("fp", "f")}
        compiled = ov.Core().compile_model(ov.convert_model(module, example_input=x, input=list(x.shape)), "CPU", config)
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(ov.Tensor(x.numpy()))
        self.run()

    def run(self):
        self.request.infer()

    def output(self):
        return self.request.get_output_tensor(0).data


def relative_error(got, want):
    got, want = np.asarray(got, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def burst(engine):
    times, end = [], time.perf_counter() + BURST_S
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        engine.run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def compared(args, name, precision, threads):
    module, x = made(name)
    module.eval()
    with torch.inference_mode():
        want = module(x).numpy()
    kinds = {"rooftune": Rooftune, "torch": Torch, "openvino": OpenVino} | ({"inductor": Inductor} if args.compile else {})
    engines, rows = {}, {}
    for kind, make in kinds.items():
        try:
            engines[kind] = make(args, module, x, precision, threads)
        except Exception as error:  # noqa: BLE001: the others go on without it
            rows[kind] = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error) else ''}"[:200]}
    times = {kind: [] for kind in engines}
    order = list(engines)
    for _ in range(ROUNDS):
        for kind in order:
            torch.set_num_threads(threads)
            times[kind] += burst(engines[kind])
        order = order[1:] + order[:1]
    for kind, engine in engines.items():
        rows[kind] = {"p50_ms": statistics.median(times[kind]), "min_ms": min(times[kind]),
                      "rel_error": relative_error(engine.output(), want)}
        if kind == "rooftune":
            rows[kind]["roofline_ms"] = engine.roofline_ms
    rivals = [r["p50_ms"] for k, r in rows.items() if k != "rooftune" and "p50_ms" in r]
    ratio = rows["rooftune"]["p50_ms"] / min(rivals) if rivals and "p50_ms" in rows["rooftune"] else None
    return {"model": name, "precision": precision, "threads": threads, "engines": rows, "ratio": ratio}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", default="mobilenetv2,resnet50,unet,minilm,bert_base")
    parser.add_argument("--precisions", default="bf16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--budget", default="60s", help="for tuning, of each model")
    parser.add_argument("--compile", action="store_true", help="beside torch.compile, too (minutes)")
    parser.add_argument("--out")
    args = parser.parse_args()
    results = []
    for precision in args.precisions.split(","):
        for threads in map(int, args.threads.split(",")):
            for name in args.models.split(","):
                results.append(compared(args, name, precision, threads))
                row = results[-1]
                text = "  ".join(f"{k} {r['p50_ms']:.2f} ms (error {r['rel_error']:.1e})" if "p50_ms" in r else f"{k}: {r['error']}"
                                 for k, r in row["engines"].items())
                print(f"{name:12} {precision} {threads}T  ratio {row['ratio'] and round(row['ratio'], 3)}  {text}", flush=True)
                if args.out:
                    Path(args.out).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
