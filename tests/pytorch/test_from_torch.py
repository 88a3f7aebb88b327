"""rooftune.from_torch, and archives and TorchScript through the command line."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rooftune
import torch
from torch_harness import compare
from torch import nn
from torch.export import Dim


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def run(rooftune_program):
    environment = {**os.environ, "ROOFTUNE_TORCH_PYTHON": sys.executable}
    return lambda *a: subprocess.run([str(rooftune_program), *map(str, a)], capture_output=True, text=True, env=environment)


class Nested(nn.Module):
    """Takes and returns containers; an argument that it does not use, and one with a default."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 8), nn.GELU())

    def forward(self, x, pair, unused=None, *, scale, flag=True):
        y = self.encoder(x) * scale["by"]
        return {"y": y, "parts": (pair[0] + 1, [pair[1] * 2]), "none": None, "three": 3, "rows": x.shape[0]}


def nested_inputs():
    return (torch.randn(3, 4), (torch.randn(2), torch.randn(5))), {"scale": {"by": torch.randn(8)}}


def test_containers_come_back_as_the_module_returns_them():
    module = Nested().eval()
    arguments, kwargs = nested_inputs()
    fast = rooftune.from_torch(module, arguments, kwargs=kwargs)
    assert [s.name for s in fast.inputs] == ["x", "pair_0", "pair_1", "scale_by"]
    assert [s.name for s in fast.outputs] == ["y", "parts.0", "parts.1.0"]
    arguments, kwargs = nested_inputs()
    found, wanted = fast(*arguments, **kwargs), module(*arguments, **kwargs)
    assert type(found) is dict and list(found) == list(wanted) and type(found["parts"]) is tuple and type(found["parts"][1]) is list
    compare(found, wanted, 1e-5, "nested")


def test_arguments_that_do_not_fit():
    module = Nested().eval()
    arguments, kwargs = nested_inputs()
    fast = rooftune.from_torch(module, arguments, kwargs=kwargs)
    with pytest.raises(rooftune.InputError, match="keyword arguments"):
        fast(*arguments)
    with pytest.raises(rooftune.InputError, match="exported with"):
        fast(arguments[0], **kwargs)
    with pytest.raises(rooftune.InputError, match="x"):
        fast(torch.randn(4, 4), arguments[1], **kwargs)


def test_what_is_no_module_in_eval_mode():
    with pytest.raises(rooftune.InputError, match="eval"):
        rooftune.from_torch(nn.Dropout(), (torch.randn(3),))
    with pytest.raises(rooftune.InputError, match="torch.nn.Module, not function"):
        rooftune.from_torch(lambda x: x, (torch.randn(3),))


def test_unknown_operators_are_decomposed_or_listed():
    class Rare(nn.Module):
        def forward(self, x):
            return torch.special.entr(x) + torch.logaddexp(x, x * 2)

    class Unknown(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x) + torch.linalg.svdvals(x * 2)

    x = torch.rand(3, 4) + 0.1
    compare(rooftune.from_torch(Rare().eval(), (x,))(x), Rare()(x), 1e-5, "decomposed")
    with pytest.raises(rooftune.InputError, match="not supported: aten.*svd.*2 times"):
        rooftune.from_torch(Unknown().eval(), (x,))


def test_bfloat16_and_integers():
    class Module(nn.Module):
        def forward(self, x, i):
            return x * 2 + 1, i // 2, i > 0

    x, i = torch.randn(5, dtype=torch.bfloat16), torch.randint(-9, 9, (5,))
    compare(rooftune.from_torch(Module().eval(), (x, i))(x, i), Module()(x, i), 1e-2, "types")


def test_weights_that_share_memory_or_lie_crooked():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 4)
            self.head = nn.Linear(4, 9, bias=False)
            self.head.weight = self.embedding.weight
            self.register_buffer("crooked", torch.randn(6, 4).t()[:, 1:4])
            self.register_buffer("plain", torch.arange(4.0), persistent=False)

        def forward(self, i):
            return self.head(self.embedding(i) + self.plain), self.crooked * 2

    i = torch.randint(0, 9, (2, 5))
    module = Tied().eval()
    compare(rooftune.from_torch(module, (i,))(i), module(i), 1e-5, "weights")


def test_buffers_that_are_written_are_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x + self.count

    with pytest.raises(rooftune.InputError, match="writes to 'count'.*pass such a tensor as an input"):
        rooftune.from_torch(Counting().eval(), (torch.randn(3),))


# --- free sizes

class Sequence(nn.Module):
    """Attention over any length: sizes go into views and slices."""

    def __init__(self):
        super().__init__()
        self.embedding, self.norm = nn.Embedding(30, 12), nn.LayerNorm(12)
        self.qkv, self.head = nn.Linear(12, 36), nn.Linear(12, 5)
        self.register_buffer("places", torch.randn(32, 12))

    def forward(self, ids, mask):
        batch, length = ids.shape
        x = self.norm(self.embedding(ids)) + self.places[:length]
        q, k, v = self.qkv(x).view(batch, length, 3, 3, 4).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        y = x + y.transpose(1, 2).reshape(batch, length, 12)
        return self.head(y[:, -1]), y.flatten(0, 1)


def test_free_sizes_keep_their_names():
    module = Sequence().eval()
    def inputs(batch, length):
        return torch.randint(0, 30, (batch, length)), torch.rand(batch, length) > 0.3
    batch, length = Dim("batch", min=1, max=6), Dim("length", min=2, max=20)
    fast = rooftune.from_torch(module, inputs(2, 7), dynamic_shapes={"ids": {0: batch, 1: length}, "mask": {0: batch, 1: length}})
    assert fast.inputs[0].shape == (-1, -1)
    for sizes in ((1, 2), (6, 20), (3, 11), (2, 7), (5, 3)):
        given = inputs(*sizes)
        compare(fast(*given), module(*given), 1e-5, f"sizes {sizes}")
    with pytest.raises(rooftune.InputError, match="batch|7"):
        fast(*inputs(7, 7))


# --- archives on the command line

@pytest.fixture
def archive(tmp_path):
    """A small network, with a free batch."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 5)).eval()
    program = torch.export.export(module, (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: Dim("batch", min=1, max=16)},))
    torch.export.save(program, tmp_path / "net.pt2")
    return module, tmp_path / "net.pt2"


def test_names_of_modules_in_reports(run, archive):
    module, path = archive
    done = run("characterize", path, "--dim", f"{symbol(run, path)}=2", "--json")
    assert done.returncode == 0, done.stderr
    names = [o["name"] for o in json.loads(done.stdout)["operators"]]
    assert names[0].startswith("0/conv2d") and any(n.startswith("4/linear") for n in names), names


def symbol(run, path):
    """What PyTorch calls the free dimension."""
    done = run("import", path, "-o", path.with_suffix(".rt"), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["inputs"][0]["shape"][0].split("{")[0]


def test_an_archive_runs(run, archive, tmp_path):
    module, path = archive
    x = torch.randn(3, 3, 8, 8)
    np.save(tmp_path / "x.npy", x.numpy())
    done = run("run", path, "--dim", f"{symbol(run, path)}=3", "--input", f"input={tmp_path / 'x.npy'}", "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    compare(torch.from_numpy(np.load(tmp_path / "out" / "output.npy")), module(x), 1e-5, "the command line")


def test_dims_beyond_their_range(run, archive):
    _, path = archive
    done = run("run", path, "--dim", f"{symbol(run, path)}=17")
    assert done.returncode == 3 and "17" in done.stderr, done.stderr


# --- TorchScript

@pytest.mark.parametrize("make", [torch.jit.trace, lambda m, x: torch.jit.script(m)])
def test_torchscript(run, tmp_path, make):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    x = torch.randn(2, 3, 8, 8)
    path = tmp_path / "net.pt"
    torch.jit.save(make(module, x), path)
    if make is not torch.jit.trace:  # it keeps no inputs
        done = run("characterize", path)
        assert done.returncode == 3 and "python -m rooftune.convert torchscript net.pt" in done.stderr, done.stderr
        subprocess.run([sys.executable, "-m", "rooftune.convert", "torchscript", path, tmp_path / "net.pt2", "f32[2,3,8,8]"], check=True,
                       env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        path = tmp_path / "net.pt2"
    done = run("import", path, "-o", tmp_path / "net.rt")
    assert done.returncode == 0, done.stderr
    model = rooftune.load(tmp_path / "net.rt")
    compare(torch.from_numpy(next(iter(model.run([x]).values()))), module(x), 1e-5, "TorchScript")


def test_a_machine_without_torch(rooftune_program, tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.randn(1, 3)), path)
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path), "VIRTUAL_ENV": "", "ROOFTUNE_PYTHON": "", "ROOFTUNE_TORCH_PYTHON": ""}
    done = subprocess.run([str(rooftune_program), "characterize", str(path)], capture_output=True, text=True, env=environment)
    assert done.returncode == 4 and "pip install torch" in done.stderr, done.stderr


def test_a_state_dict_is_refused(run, tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "weights.pt")
    done = run("characterize", tmp_path / "weights.pt")
    assert done.returncode == 3 and "torch.export.save" in done.stderr
