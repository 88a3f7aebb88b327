"""PyTorch modules: torch.export, then the same road as a .pt2 file. torch is imported only here, when it is needed."""
import inspect
import json
import tempfile
from pathlib import Path

import numpy as np

from ._commands import call
from ._library import EnvironmentError, InputError
from ._model import Model


def _import_torch():
    try:
        import torch
    except ImportError:
        raise EnvironmentError("PyTorch is not installed: pip install torch") from None
    return torch


def _symbol_names(torch, program, values, dynamic_shapes):
    """{PyTorch's symbol: the name that the user gave to the Dim}; torch.export keeps no names."""
    specs = []  # per tensor among the arguments, in order

    def walk(value, spec):
        if isinstance(value, torch.Tensor):
            items = spec.items() if isinstance(spec, dict) else enumerate(spec or ())
            specs.append({axis: dim.__name__ for axis, dim in items if isinstance(getattr(dim, "__name__", None), str)})
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, spec.get(key) if isinstance(spec, dict) else None)
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                walk(item, spec[i] if isinstance(spec, (list, tuple)) and i < len(spec) else None)

    if isinstance(dynamic_shapes, dict):
        walk(values, dynamic_shapes)
    else:
        walk(tuple(values.values()), dynamic_shapes)
    inputs = {s.arg.name for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"}
    tensors = [node.meta["val"] for node in program.graph.nodes
               if node.op == "placeholder" and node.name in inputs and isinstance(node.meta.get("val"), torch.Tensor)]
    names = {}
    for spec, tensor in zip(specs, tensors):
        for axis, name in spec.items():
            size = tensor.shape[axis] if isinstance(axis, int) and axis < tensor.dim() else None
            expression = getattr(getattr(size, "node", None), "expr", None)
            if expression is not None and expression.is_Symbol and name not in names.values():
                names.setdefault(str(expression), name)
    return names


def _known(target, operators):
    """Whether Rooftune reads the operator, itself or as the one that does not work in place."""
    space, _, overload = target.rpartition(".")
    return target in operators or (space.endswith("_") and f"{space[:-1]}.{overload}" in operators)


def decomposed(program):
    """The program with PyTorch's own decompositions of the operators that Rooftune does not read, where it has some."""
    torch = _import_torch()
    operators = set(call("torch_operators")["operators"])
    for _ in range(4):  # decompositions hold others
        graphs = [m.graph for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
        targets = {node.target for graph in graphs for node in graph.nodes if isinstance(node.target, torch._ops.OpOverload)}
        unknown = [t for t in targets if not _known(str(t), operators)]
        table = torch.export.default_decompositions() if unknown else {}
        table = {t: table[t] for t in unknown if t in table}
        if not table:
            return program
        program = program.run_decompositions(table)
    return program


def export(module, example_inputs=(), dynamic_shapes=None, kwargs=None, *, path):
    """Writes the module as a .pt2 archive that Rooftune reads. Returns the exported program."""
    torch = _import_torch()
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"from_torch takes a torch.nn.Module, not {type(module).__name__}")
    kwargs = dict(kwargs or {})
    if module.training:
        raise InputError("the module is in training mode: call eval() first")
    with torch.no_grad():
        program = torch.export.export(module, tuple(example_inputs), kwargs, dynamic_shapes=dynamic_shapes)
    program = decomposed(program)
    names = {}
    if dynamic_shapes:
        values = inspect.signature(module.forward).bind(*example_inputs, **kwargs).arguments
        names = _symbol_names(torch, program, values, dynamic_shapes)
    try:
        torch.export.save(program, str(path), extra_files={"rooftune_symbols.json": json.dumps(names)})
    except NotImplementedError as error:  # a container that torch.export cannot write, such as torch.return_types.max
        raise InputError(f"the module takes or returns what torch.export cannot save; tensors, tuples, lists and dicts can "
                         f"be saved: {error}") from None
    return program


class TorchModel:
    """A compiled module: call it as the module is called. `model` is the rooftune.Model within."""

    def __init__(self, program, model, folder=None):
        self.model = model
        self.inputs, self.outputs = model.inputs, model.outputs
        self._folder = folder
        self._in_spec, self._out_spec = program.call_spec.in_spec, program.call_spec.out_spec
        specs = [s for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
        self._takes = [type(s.arg).__name__ != "ConstantArgument" for s in specs]
        self._gives = [s.arg for s in program.graph_signature.output_specs if s.kind.name == "USER_OUTPUT"]

    def _leaves(self, arguments, kwargs):
        torch = _import_torch()
        wanted = list(self._in_spec.child(1).context or [])
        if set(kwargs) != set(wanted):
            raise InputError(f"keyword arguments {sorted(kwargs)} were given, the module was exported with {sorted(wanted)}")
        leaves, spec = torch.utils._pytree.tree_flatten((arguments, {name: kwargs[name] for name in wanted}))
        if spec != self._in_spec:
            raise InputError(f"the arguments are {spec}, the module was exported with {self._in_spec}")
        return [leaf for leaf, taken in zip(leaves, self._takes) if taken]

    def __call__(self, *arguments, **kwargs):
        torch = _import_torch()
        inputs = [leaf.detach() if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves(arguments, kwargs)]
        made = iter(self.model.run(inputs).items())
        results = []
        for argument in self._gives:
            kind = type(argument).__name__
            if kind == "ConstantArgument":
                results.append(argument.value)
                continue
            name, array = next(made)
            results.append(int(array) if kind == "SymIntArgument" else _to_torch(torch, array, self._dtype(name)))
        return torch.utils._pytree.tree_unflatten(results, self._out_spec)

    def _dtype(self, name):
        return next(spec.dtype for spec in self.outputs if spec.name == name)


def _to_torch(torch, array, dtype):
    """A tensor on the array's memory; PyTorch does not take numpy's small floats, but their bits."""
    array = np.asarray(array)
    if dtype == "bf16":
        if array.dtype == np.float32:  # widened, for want of such a type in numpy
            return torch.from_numpy(array).to(torch.bfloat16)
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def from_torch(module, example_inputs=(), dynamic_shapes=None, kwargs=None, *, optimize=None, threads=0, progress=None):
    """A torch.nn.Module (in eval mode), exported by torch.export with these example inputs (and keyword inputs `kwargs`),
    compiled for this machine. The result is called as the module is, with torch tensors, and returns what the module
    returns. Reports name nodes by the module's paths ("encoder.layers.0/linear").

    `dynamic_shapes`: as torch.export takes them. `optimize`: None compiles with schedules that analysis chooses; a dict of
    fields of `rooftune.optimize` ({"budget": "2m"}; "output" keeps its folder) tunes.
    """
    folder = tempfile.TemporaryDirectory(prefix="rooftune-")
    path, package = Path(folder.name) / "model.pt2", Path(folder.name) / "model.rt"
    program = export(module, example_inputs, dynamic_shapes, kwargs, path=path)
    if optimize is None:
        call("import", model=path, output=package, threads=threads, progress=progress)
    else:
        fields = {"output": Path(folder.name) / "optimized", "threads": threads, **optimize}
        call("optimize", model=path, progress=progress, **fields)
        package = Path(fields["output"]) / "model.rt"
    path.unlink()  # the package holds what it needs
    return TorchModel(program, Model(package, threads), folder)
