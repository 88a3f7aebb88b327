"""Networks of many kinds (tests/models/architectures.py) by both roads, torch.export and torch.onnx, beside PyTorch."""
import sys
import warnings
from pathlib import Path

import torch_harness
import pytest
import rooftune
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from architectures import architectures  # noqa: E402

pytestmark = pytest.mark.full
NETWORKS = architectures()


def by_onnx(module, inputs, folder):
    path, package = folder / "model.onnx", folder / "model.rt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, str(path), dynamo=True, external_data=False, verbose=False)
    rooftune.call("import", model=path, output=package, threads=1)
    return rooftune.load(package, threads=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_architecture(name, tmp_path):
    torch.manual_seed(0)
    module, inputs = NETWORKS[name]()
    with torch.no_grad():
        fast = rooftune.from_torch(module, inputs, threads=1)
        wanted = module(*inputs)
        torch_harness.compare(fast(*inputs), wanted, 1e-4, f"{name} by torch.export")
        model = by_onnx(module, inputs, tmp_path)
        found = [torch.from_numpy(a) for a in model.run(list(inputs)).values()]
        torch_harness.compare(found, torch.utils._pytree.tree_leaves(wanted), 1e-4, f"{name} by torch.onnx")
