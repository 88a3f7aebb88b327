"""Runs a function of tensors by PyTorch and, exported, by Rooftune, on inputs other than those of the export."""
import tempfile
from pathlib import Path

import torch

import rooftune
from rooftune._torch import TorchModel, decomposed

SEEN = set()  # targets that some case has run
RAN = set()   # names of the cases that have run


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Case:
    """`make` gives fresh inputs at every call; `function` is a function or a module."""

    def __init__(self, name, function, *makers, tolerance=1e-5, core=True, dynamic=None):
        self.name, self.tolerance, self.core, self.dynamic = name, tolerance, core, dynamic
        self.module = (function if isinstance(function, torch.nn.Module) else Function(function)).eval()
        self.makers = makers

    def inputs(self):
        return tuple(m() if callable(m) else m for m in self.makers)


def functional(target):
    """"aten.add_.Tensor" is read as "aten.add.Tensor"."""
    name, _, overload = target.rpartition(".")
    return f"{name[:-1]}.{overload}" if name.endswith("_") and not name.endswith("__") else target


def targets(program):
    graphs = [m.graph for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    return {str(n.target) for g in graphs for n in g.nodes if isinstance(n.target, torch._ops.OpOverload)}


def compiled(program):
    with tempfile.TemporaryDirectory() as folder:
        path, package = Path(folder) / "model.pt2", Path(folder) / "model.rt"
        torch.export.save(program, path)
        rooftune.call("import", model=path, output=package, threads=1)
        return TorchModel(program, rooftune.load(package, threads=1))


def compare(found, wanted, tolerance, what):
    found, wanted = torch.utils._pytree.tree_leaves(found), torch.utils._pytree.tree_leaves(wanted)
    assert len(found) == len(wanted), what
    for i, (f, w) in enumerate(zip(found, wanted)):
        if not isinstance(w, torch.Tensor):
            assert f == w, f"{what}: output {i}"
            continue
        assert f.dtype == w.dtype, f"{what}: output {i} is {f.dtype}, not {w.dtype}"
        assert tuple(f.shape) == tuple(w.shape), f"{what}: output {i} is {tuple(f.shape)}, not {tuple(w.shape)}"
        scale = max(1.0, w.abs().nan_to_num(0, 0, 0).max().item() if w.numel() and w.is_floating_point() else 1.0)
        torch.testing.assert_close(f, w, rtol=0, atol=tolerance * scale, equal_nan=True, msg=lambda m: f"{what}: output {i}: {m}")


def check(case):
    torch.manual_seed(0)
    RAN.add(case.name)
    with torch.no_grad():
        program = torch.export.export(case.module, case.inputs())
        plain = decomposed(program)
        programs = {"as exported": plain}
        if case.core:
            core = decomposed(program.run_decompositions())
            if targets(core) != targets(plain):
                programs["core ATen"] = core
        for what, p in programs.items():
            SEEN.update(targets(p))
            model = compiled(p)
            for _ in range(2):
                inputs = case.inputs()
                wanted = case.module(*[i.clone() if isinstance(i, torch.Tensor) else i for i in inputs])
                compare(model(*inputs), wanted, case.tolerance, f"{case.name}, {what}")
