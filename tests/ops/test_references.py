"""Every operator's reference against onnxruntime, and its lowering against the reference, on random cases."""
import importlib
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

import harness

for path in sorted(Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(path.stem)


MORE = int(os.environ.get("ROOFTUNE_TEST_CASES", "1"))  # times the usual number of cases, from another seed each


@pytest.mark.parametrize("op", sorted(harness.GENERATORS))
def test_operator(op):
    rng = np.random.default_rng(zlib.crc32(op.encode()) + MORE - 1)
    harness.check([make(rng) for make, count in harness.GENERATORS[op] for _ in range(count * MORE)])
