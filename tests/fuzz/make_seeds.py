#!/usr/bin/env python3
"""make_seeds.py FOLDER: small ONNX files to start fuzzing from: good ones with many operators, some
with every kind of field, every operator that tests/ops has cases of, and the broken ones."""
import importlib
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS / "ops")]
import broken_models  # noqa: E402
import field_models  # noqa: E402
import harness  # noqa: E402
import numpy as np  # noqa: E402
import small_models  # noqa: E402

LARGEST = 100_000  # bytes; the fuzzer is faster on small files


def operators():
    """(name, model) of two cases of each generator."""
    for path in sorted((TESTS / "ops").glob("cases_*.py")):
        importlib.import_module(path.stem)
    rng = np.random.default_rng(1)
    for op, generators in sorted(harness.GENERATORS.items()):
        for i, (make, _) in enumerate(generators):
            for j in range(2):
                yield f"op_{op}_{i}_{j}", harness.onnx_model(make(rng))[0]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    small_models.mlp(folder / "mlp.onnx", inputs=8, hidden=8, outputs=4)
    small_models.cnn(folder / "cnn.onnx", size=8)
    for name, proto in field_models.seeds():
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())
    for name, proto in operators():
        if proto.ByteSize() <= LARGEST:
            (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())
    for case in broken_models.CASES:
        with tempfile.TemporaryDirectory() as work:
            path = Path(case.write(Path(work)))
            if path.is_file() and path.stat().st_size <= LARGEST:
                (folder / f"{case.name}.onnx").write_bytes(path.read_bytes())
    print(f"{len(list(folder.iterdir()))} seeds in {folder}")


if __name__ == "__main__":
    main()
