"""LSTM, GRU and RNN."""
import numpy as np

from harness import Case, operator

SIMPLE = ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "Elu", "Softsign", "Softplus"]


def recurrent(rng, op, gates, functions, peepholes=False):
    steps, batch, inputs, hidden = (int(x) for x in rng.integers(1, 6, 4))
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    d = 2 if direction == "bidirectional" else 1
    draw = lambda *shape: (rng.standard_normal(shape) * 0.7).astype(np.float32)
    inputs_ = [draw(steps, batch, inputs), draw(d, gates * hidden, inputs), draw(d, gates * hidden, hidden),
               draw(d, 2 * gates * hidden) if rng.random() < 0.7 else None,
               rng.integers(1, steps + 1, batch).astype(np.int32) if rng.random() < 0.5 else None,
               draw(d, batch, hidden) if rng.random() < 0.6 else None]
    attributes = {"hidden_size": hidden, "direction": direction}
    if op == "LSTM":
        inputs_ += [draw(d, batch, hidden) if rng.random() < 0.6 else None, draw(d, 3 * hidden) if rng.random() < 0.5 else None]
        attributes["input_forget"] = int(rng.random() < 0.2)
    if op == "GRU":
        attributes["linear_before_reset"] = int(rng.integers(0, 2))
    if rng.random() < 0.3:
        attributes["activations"] = [str(a) for a in rng.choice(SIMPLE, functions * d)]
    if rng.random() < 0.3:
        attributes["clip"] = float(np.float32(rng.uniform(0.3, 2)))
    return Case(op, inputs_, attributes, outputs=3 if op == "LSTM" else 2, opset=14, symbolic=(0,), tolerance=1e-4)


@operator("LSTM", 40)
def lstm(rng):
    return recurrent(rng, "LSTM", 4, 3)


@operator("GRU", 30)
def gru(rng):
    return recurrent(rng, "GRU", 3, 2)


@operator("RNN", 30)
def rnn(rng):
    return recurrent(rng, "RNN", 1, 1)


def run_layout(case):
    """The same case with the batch first; onnxruntime has no such layout, so its outputs are turned."""
    from harness import run_onnxruntime
    y = run_onnxruntime(case)
    swapped = [None if x is None else x.transpose(1, 0, 2) if i in (0, 5, 6) else x for i, x in enumerate(case.inputs)]
    expected = [y[0].transpose(2, 0, 1, 3)] + [s.transpose(1, 0, 2) for s in y[1:]]
    return Case(case.op, [None if x is None else np.ascontiguousarray(x) for x in swapped], case.attributes | {"layout": 1}, outputs=case.outputs, opset=14, tolerance=1e-4,
                expected=[np.ascontiguousarray(e) for e in expected])


@operator("LSTM")
def lstm_batch_first(rng):
    return run_layout(lstm(rng))


@operator("GRU")
def gru_batch_first(rng):
    return run_layout(gru(rng))
