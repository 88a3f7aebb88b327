"""Packages with code for several processors: the first that can run is taken, what they hold alike is stored once."""
import json
import os
import tarfile

import numpy as np
import pytest
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error

AVX512 = "avx512f" in open("/proc/cpuinfo").read()
HERE = ["x86_64-avx512", "x86_64-avx2"] if AVX512 else ["x86_64-avx2"]


def run(rooftune, model, inputs, folder, **environment):
    rooftune.json("run", model, *feed(folder, inputs), "--output-dir", folder / "out", env=dict(os.environ, **environment))
    return {p.stem: np.load(p) for p in (folder / "out").glob("*.npy")}


def members(package):
    with tarfile.open(package) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def machine_of(elf):
    return int.from_bytes(elf[18:20], "little")  # e_machine: 62 is x86-64, 183 is AArch64


@pytest.mark.parametrize("make", [mlp, cnn])
def test_each_variant_computes_the_same(rooftune, tmp_path, make):
    model, package = make(tmp_path / "m.onnx"), tmp_path / "m.rt"
    rooftune.json("import", model, "--target", ",".join(HERE + ["aarch64-neon"]), "-o", package)
    inputs = random_inputs(model, 3)
    want = expected(model, inputs)
    for forced in [{}] + [{"ROOFTUNE_VARIANT": name} for name in HERE]:
        got = run(rooftune, package, inputs, tmp_path, **forced)
        assert all(relative_error(got[n], want[n]) < 1e-5 for n in want), forced


def test_what_a_package_holds(rooftune, tmp_path):
    model, package = mlp(tmp_path / "m.onnx", hidden=512), tmp_path / "m.rt"
    rooftune.json("import", model, "-o", tmp_path / "one.rt")
    rooftune.json("import", model, "--target", "x86_64-avx2,aarch64-neon,aarch64-sve256", "-o", package)
    inside = members(package)
    assert machine_of(inside["code_0.so"]) == 62
    for name in ("aarch64-neon", "aarch64-sve256"):
        assert machine_of(inside[f"variants/{name}/code_0.so"]) == 183
    manifest = json.loads(inside["manifest.json"])
    assert [v["target"] for v in manifest["variants"]] == ["x86_64-avx2", "aarch64-neon", "aarch64-sve256"]
    # Biases lie alike for all, weights only where the vectors are as long.
    stored = [json.loads(inside[f + "weights.json"]) for f in ("", "variants/aarch64-neon/", "variants/aarch64-sve256/")]
    shared = [set(stored[0].values()) & set(s.values()) for s in stored[1:]]
    assert shared[0] and shared[1]
    data = inside["weights.safetensors"]
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    assert set(header) - {"__metadata__"} == {v for s in stored for v in s.values()}
    # Packed weights of three vector lengths are three times the weights, and not more.
    assert package.stat().st_size < 3.3 * (tmp_path / "one.rt").stat().st_size


def test_what_cannot_run_is_told(rooftune, tmp_path):
    model, inputs = mlp(tmp_path / "m.onnx"), ("--threads", 1)
    rooftune.json("import", model, "--target", "aarch64-neon,aarch64-sve256", "-o", tmp_path / "arm.rt")
    done = rooftune("run", tmp_path / "arm.rt", *inputs)
    assert done.returncode == 4 and "aarch64-neon, aarch64-sve256" in done.stderr and "this machine is x86_64" in done.stderr
    rooftune.json("import", model, "--target", "host,aarch64-neon", "-o", tmp_path / "both.rt")
    done = rooftune("run", tmp_path / "both.rt", env=dict(os.environ, ROOFTUNE_VARIANT="aarch64-neon"))
    assert done.returncode == 4 and "this machine is x86_64" in done.stderr
    done = rooftune("run", tmp_path / "both.rt", env=dict(os.environ, ROOFTUNE_VARIANT="sparc"))
    assert done.returncode == 4 and "no code for ROOFTUNE_VARIANT=sparc; it has x86_64-" in done.stderr
    done = rooftune("import", model, "--target", "host,pentium", "-o", tmp_path / "x.rt")
    assert done.returncode == 3 and "host, x86_64-avx512, x86_64-avx2, aarch64-neon, aarch64-sve256" in done.stderr
    done = rooftune("import", model, "--target", "x86_64-avx2,x86_64-avx2", "-o", tmp_path / "x.rt")
    assert done.returncode == 3 and "named twice" in done.stderr
    done = rooftune("optimize", model, "--target", "aarch64-neon", "-o", tmp_path / "x")
    assert done.returncode == 3 and "must run here" in done.stderr
    assert not (tmp_path / "x.rt").exists() and not (tmp_path / "x").exists()


def test_optimize_verifies_what_it_can_run(rooftune, tmp_path):
    model = mlp(tmp_path / "m.onnx")
    targets = HERE + ["aarch64-sve256"]
    document = rooftune.json("optimize", model, "--target", ",".join(targets), "--budget", "0", "--threads", 1, "-o", tmp_path / "out")
    rows = {v["target"]: v for v in document["variants"]}
    assert list(rows) == targets and all(rows[t]["verified"] for t in HERE) and rows["aarch64-sve256"]["verified"] is None
    inputs = random_inputs(model, 5)
    want = expected(model, inputs)["y"]
    for name in HERE:
        assert relative_error(run(rooftune, tmp_path / "out" / "model.rt", inputs, tmp_path, ROOFTUNE_VARIANT=name)["y"], want) < 1e-5
    assert document["environment"]["target"] == ",".join(targets)


@pytest.mark.parametrize("asked", ["x86_64-avx2", "sparc", ""])
def test_packages_of_one_program_have_nothing_to_choose(rooftune, tmp_path, asked):
    model, package = mlp(tmp_path / "m.onnx"), tmp_path / "one.rt"
    rooftune.json("import", model, "-o", package)
    inputs = random_inputs(model, 5)
    want = expected(model, inputs)
    got = run(rooftune, package, inputs, tmp_path, ROOFTUNE_VARIANT=asked)
    assert all(relative_error(got[n], want[n]) < 1e-5 for n in want)


def test_what_is_compiled_is_not_compiled_for_another_target(rooftune, tmp_path):
    rooftune.json("import", mlp(tmp_path / "m.onnx"), "-o", tmp_path / "one.rt")
    done = rooftune("import", tmp_path / "one.rt", "--target", "aarch64-neon", "-o", tmp_path / "two.rt")
    assert done.returncode == 3 and "compiled already" in done.stderr and not (tmp_path / "two.rt").exists()
