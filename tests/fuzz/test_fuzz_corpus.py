"""What is in the repository to start fuzzing from is read, or refused with a message."""
from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_every_file_is_read_or_refused(rooftune, kind):
    codes = {}
    for path in sorted((Path(__file__).parent / "corpus" / kind).iterdir()):
        done = rooftune("characterize", path)
        codes[path.name] = done.returncode
        assert done.returncode in (0, 3), f"{path.name}: {done.stderr}"
    assert len(codes) >= 50
    assert 3 in codes.values()
