"""Modules made fast by the wheel for other machines (tests/wheel), in one process with PyTorch, whoever comes first."""
import platform
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "wheel"))
from wheels import installed, wheel  # noqa: E402, F401: fixtures

SCRIPT = """
import sys
sys.path.append({torch!r})
import {first}
import {second}
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 14 * 14, 10)).eval()
x = torch.randn(2, 3, 16, 16)
with torch.no_grad():
    want = module(x)
    for _ in range(2):
        got = rooftune.from_torch(module, (x,))(x)
        assert torch.linalg.norm(got - want) < 1e-4 * torch.linalg.norm(want)
    assert torch.allclose(module(x), want)
"""


@pytest.mark.parametrize("first, second", [("torch", "rooftune"), ("rooftune", "torch")])
def test_beside_torch(first, second, installed, tmp_path):
    python = installed(".".join(platform.python_version_tuple()[:2]))
    (tmp_path / "both.py").write_text(SCRIPT.format(torch=str(Path(torch.__file__).parents[1]), first=first, second=second))
    python("python", "both.py", cwd=tmp_path)
