#!/usr/bin/env python3
"""Trains the network that predicts a whole model's latency from the graph of its kernels, and writes it as ONNX.

train_network.py GRAPHS.jsonl... --test TEST.jsonl... [--out registry/predictors/cpu-<columns>.onnx] [--csv FILE] [--epochs 400]

GRAPHS.jsonl is what `tuning_bench graphs` writes. For each kernel of a program the network gives a factor on what arithmetic
guesses of its time: it looks at the kernel's own numbers and, twice, at the mean of what it thinks of the kernels whose
results it reads and of those that read its own (a graph network with two rounds of messages). The latency is the sum.
It learns from the latency of whole models and, weighted by their share, from those of their steps. A tenth of the training
graphs chooses the epoch. Needs PyTorch and onnx."""
import argparse
import json
import math
import random
import statistics
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

WIDTH, LEAST, MOST = 32, -6.0, 3.0


def graph_of(line):
    g = json.loads(line)
    n = len(g["rough_ms"])
    before = np.zeros((n, n), np.float32)
    for maker, reader in g["edges"]:
        before[reader, maker] = 1
    after = before.T.copy()
    for matrix in (before, after):
        matrix /= np.maximum(1, matrix.sum(1, keepdims=True))
    tensor = lambda v: torch.tensor(np.asarray(v, np.float32))
    return dict(name=g["model"], columns=g["columns"], threads=g["threads"], measured=g["measured_ms"], features=tensor(g["features"]),
                rough=tensor(g["rough_ms"]), before=tensor(before), after=tensor(after), steps=tensor(g["step_ms"]))


class Network(nn.Module):
    def __init__(self, mean, deviation):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1 / deviation)
        self.first = nn.Linear(len(mean), WIDTH)
        self.rounds = nn.ModuleList(nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False),
                                                   nn.Linear(WIDTH, WIDTH, bias=False)]) for _ in range(2))
        self.last = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, features, rough, before, after):
        x = ((features - self.mean) * self.scale).clamp(-4, 4)
        h = torch.relu(self.first(x))
        for own, makers, readers in self.rounds:
            h = torch.relu(own(h) + makers(before @ h) + readers(after @ h))
        return rough * torch.exp(self.last(h).squeeze(1).clamp(LEAST, MOST))


def run(network, g):
    return network(g["features"], g["rough"], g["before"], g["after"])


def loss_of(network, g):
    steps = run(network, g)
    whole = torch.log(steps.sum() / g["measured"]).abs()
    share = g["steps"] / g["steps"].sum()
    there = g["steps"] > 0
    own = (share[there] * torch.log(steps[there] / g["steps"][there]).abs()).sum()
    vanished = steps[~there].sum() / g["measured"]   # steps that the program does not have
    return whole + 0.5 * own + vanished


def errors_of(network, graphs):
    with torch.no_grad():
        return [float(run(network, g).sum()) / g["measured"] - 1 for g in graphs]


def trained(graphs, epochs, seed):
    torch.manual_seed(seed)
    draw = random.Random(seed)
    graphs = graphs[:]
    draw.shuffle(graphs)
    names = sorted({g["name"] for g in graphs})
    held = set(draw.sample(names, max(1, len(names) // 10)))
    seen, unseen = [g for g in graphs if g["name"] not in held], [g for g in graphs if g["name"] in held]
    rows = torch.cat([g["features"] for g in seen])
    network = Network(rows.mean(0), rows.std(0).clamp(min=1e-2))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=epochs)
    best, kept = math.inf, None
    for epoch in range(epochs):
        draw.shuffle(seen)
        for begin in range(0, len(seen), 8):
            optimiser.zero_grad()
            part = seen[begin:begin + 8]
            (sum(loss_of(network, g) for g in part) / len(part)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        error = statistics.mean(map(abs, errors_of(network, unseen)))
        if epoch > epochs // 4 and error < best:
            best, kept = error, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(kept)
    return network, best


def write_onnx(network, columns, path):
    nodes, weights = [], []

    def weight(value, name):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value.detach().numpy().astype(np.float32)), name))
        return name

    def op(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [f"v{len(nodes)}"], name=f"{kind.lower()}_{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    def linear(x, layer, name):
        y = op("MatMul", x, weight(layer.weight.T, f"{name}.weight"))
        return y if layer.bias is None else op("Add", y, weight(layer.bias, f"{name}.bias"))

    bounds = [weight(torch.tensor(v), name) for v, name in
              ((-4.0, "least_input"), (4.0, "most_input"), (LEAST, "least"), (MOST, "most"))]
    x = op("Mul", op("Sub", "features", weight(network.mean, "mean")), weight(network.scale, "scale"))
    h = op("Relu", linear(op("Clip", x, *bounds[:2]), network.first, "first"))
    for r, (own, makers, readers) in enumerate(network.rounds):
        told = op("Add", linear(op("MatMul", "before", h), makers, f"round{r}.makers"),
                  linear(op("MatMul", "after", h), readers, f"round{r}.readers"))
        h = op("Relu", op("Add", linear(h, own, f"round{r}.own"), told))
    factor = op("Exp", op("Clip", linear(h, network.last, "last"), *bounds[2:]))
    nodes.append(helper.make_node("Mul", [factor, "rough_ms"], ["step_ms"], name="step_times"))
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "latency_network",
                              [value("features", ["n", len(network.mean)]), value("rough_ms", ["n", 1]),
                               value("before", ["n", "n"]), value("after", ["n", "n"])],
                              [value("step_ms", ["n", 1])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="rooftune", ir_version=9,
                              doc_string=f"step times of a program; columns {columns}")
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def table(network, graphs):
    print(f"{'model':28} {'threads':>7} {'measured':>10} {'predicted':>10} {'error':>7}   by arithmetic")
    for g, error in sorted(zip(graphs, errors_of(network, graphs)), key=lambda p: (p[0]["name"], p[0]["threads"])):
        rough = float(g["rough"].sum())
        print(f"{g['name']:28} {g['threads']:>7} {g['measured']:>10.3f} {g['measured'] * (1 + error):>10.3f} {100 * error:>6.1f}%"
              f"   {100 * (rough / g['measured'] - 1):.0f}%")
    errors = list(map(abs, errors_of(network, graphs)))
    arithmetic = [abs(float(g["rough"].sum()) / g["measured"] - 1) for g in graphs]
    print(f"{len(graphs)} graphs: mean error {100 * statistics.mean(errors):.1f} %, median {100 * statistics.median(errors):.1f} %; "
          f"by arithmetic {100 * statistics.mean(arithmetic):.1f} % and {100 * statistics.median(arithmetic):.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="+")
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    read = lambda files: [graph_of(line) for f in files for line in open(f, encoding="utf-8")]
    train, test = read(arguments.graphs), read(arguments.test)
    columns = {g["columns"] for g in train + test}
    if len(columns) != 1:
        parser.error(f"the graphs have different columns: {', '.join(sorted(columns))}")
    tested = {g["name"] for g in test}
    train = [g for g in train if g["name"] not in tested]
    networks = [trained(train, arguments.epochs, seed) for seed in range(arguments.seeds)]
    network, error = min(networks, key=lambda pair: pair[1])
    print(f"{len(train)} graphs to learn from; mean error on the tenth of them that was held out {100 * error:.1f} %")
    if test:
        table(network, test)
    if arguments.csv:
        arguments.csv.write_text("model,threads,measured_ms,predicted_ms,arithmetic_ms\n" + "".join(
            f"{g['name']},{g['threads']},{g['measured']:.6g},{g['measured'] * (1 + e):.6g},{float(g['rough'].sum()):.6g}\n"
            for g, e in zip(test, errors_of(network, test))))
    if arguments.out:
        write_onnx(network, columns.pop(), arguments.out)


if __name__ == "__main__":
    main()
