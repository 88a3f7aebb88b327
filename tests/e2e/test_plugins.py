"""Plug-ins through every command: the examples of docs/, compiled as their first lines say."""
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_plugins import ROWS, by_numpy, compiled, fresh_inputs, gated
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error

BUILD = Path(os.environ.get("ROOFTUNE_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    return compiled("operators/operators.c", tmp_path_factory.mktemp("operators"))


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    return compiled("backend/portable_c.cpp", tmp_path_factory.mktemp("backend"))


@pytest.fixture(scope="module")
def optimized(rooftune, operators, tmp_path_factory):
    """Models with and without an operator that has no expansion, and what optimize made of them."""
    folder, made = tmp_path_factory.mktemp("gated"), {}
    for name, distance in (("both", True), ("gate", False)):
        model = gated(folder / f"{name}.onnx", distance)
        out = folder / name
        document = rooftune.json("optimize", model, "--plugin", operators, "--budget", "3s", "--seed", 5, "-o", out)
        made[name] = (model, out, document)
    return made


def run(rooftune, model, inputs, folder, *extra, **kwargs):
    folder.mkdir(exist_ok=True)
    rooftune.json("run", model, *feed(folder, inputs), "--output-dir", folder / "out", *extra, **kwargs)
    return {p.stem: np.load(p) for p in (folder / "out").glob("*.npy")}


def assert_right(outputs, inputs):
    wanted = by_numpy(inputs)
    assert outputs.keys() == wanted.keys()
    assert relative_error(outputs["y"], wanted["y"]) < 1e-5
    if "d" in wanted:
        assert outputs["d"].dtype == np.int64 and (outputs["d"] == wanted["d"]).all()


# ---------------------------------------------------------------- operators
def test_run(rooftune, operators, tmp_path):
    model, inputs = gated(tmp_path / "m.onnx"), fresh_inputs(1)
    assert_right(run(rooftune, model, inputs, tmp_path / "a", "--plugin", operators), inputs)
    environment = dict(os.environ, ROOFTUNE_PLUGINS=str(operators))
    assert_right(run(rooftune, model, inputs, tmp_path / "b", env=environment), inputs)


def test_characterize_and_analyze(rooftune, operators, tmp_path):
    model = gated(tmp_path / "m.onnx")
    facts = rooftune.json("characterize", model, "--plugin", operators)
    assert facts["histogram"] == {"MatMul": 2, "SwiGLU": 1, "EditDistance": 1}
    gate = next(o for o in facts["operators"] if o["name"] == "gate")
    assert gate["flops"] == 6 * ROWS * 32 and gate["bytes"] == 4 * ROWS * (64 + 32)
    estimates = rooftune.json("analyze", model, "--plugin", operators)
    assert estimates["roofline_ms"] > 0
    assert {o.get("note") for o in estimates["operators"]} >= {"EditDistance: no lowering"}


def test_verify(rooftune, operators, optimized):
    model, out, _ = optimized["both"]
    assert rooftune.json("verify", model, out / "model.rt", "--plugin", operators)["agree"]


def test_optimize(rooftune, operators, optimized, tmp_path):
    model, out, document = optimized["both"]
    assert document["verified"]
    reasons = {o["name"]: o.get("reference") for o in rooftune.json("profile", out / "model.rt", "--plugin", operators)["operators"]}
    if not document["kept_original"]:
        assert [r for r in reasons.values() if r] == ["EditDistance: no lowering"], "all but that one is compiled"
    inputs = fresh_inputs(2)
    assert_right(run(rooftune, out / "model.rt", inputs, tmp_path / "rt", "--plugin", operators), inputs)
    assert_right(run(rooftune, out / "model.onnx", inputs, tmp_path / "onnx", "--plugin", operators), inputs)
    card = json.loads((out / "run_card.json").read_text())
    assert card["inputs"][str(operators.resolve())] == hashlib.sha256(operators.read_bytes()).hexdigest()
    assert card["request"]["plugins"] == [str(operators)] and f"--plugins {operators}" in card["command"]


def test_the_fallback_says_why(rooftune, operators, tmp_path):
    model = gated(tmp_path / "m.onnx")
    done = rooftune("profile", model, "--plugin", operators, "--explain")
    assert "distance: EditDistance: no lowering" in done.stderr and "SwiGLU" not in done.stderr
    rooftune.json("optimize", model, "--plugin", operators, "--budget", "0", "--disable-pass", "expand_operators", "-o", tmp_path / "out")
    steps = rooftune.json("profile", tmp_path / "out" / "model.rt", "--plugin", operators)["operators"]
    assert {s["reference"] for s in steps if "reference" in s} >= {"SwiGLU: not expanded: the pass expand_operators did not run"}
    inputs = fresh_inputs(3)
    assert_right(run(rooftune, tmp_path / "out" / "model.rt", inputs, tmp_path / "run", "--plugin", operators), inputs)


def test_what_was_expanded_needs_the_plugin_no_more(rooftune, operators, optimized, tmp_path):
    model, out, document = optimized["gate"]
    inputs = fresh_inputs(4, distance=False)
    rooftune.json("import", model, "--plugin", operators, "-o", tmp_path / "gate.rt")
    assert_right(run(rooftune, tmp_path / "gate.rt", inputs, tmp_path / "rt"), inputs)
    if document["kept_original"]:
        return  # measured faster: model.onnx is then the model as given
    onnx.checker.check_model(onnx.load(out / "model.onnx"), full_check=True)
    assert_right(expected(out / "model.onnx", inputs), inputs)  # in onnxruntime


def test_a_model_without_its_plugin_says_what_is_missing(rooftune, operators, tmp_path):
    model, package = gated(tmp_path / "m.onnx"), tmp_path / "m.rt"
    for command in ("characterize", "run"):
        done = rooftune(command, model)
        assert done.returncode == 3
        assert "node 'gate' (SwiGLU): operator com.example.SwiGLU is not supported; if a plug-in defines it" in done.stderr
    rooftune.json("import", model, "--plugin", operators, "-o", package)
    done = rooftune("run", package)
    assert done.returncode == 3
    assert "runs operator com.example.EditDistance of plug-in example_operators 1.0 (libexample_operators.so), which is not " \
           "loaded: name its file by --plugin or in ROOFTUNE_PLUGINS" in done.stderr


def test_the_models_mistakes_are_told_by_the_plugin(rooftune, operators, tmp_path):
    done = rooftune("characterize", gated(tmp_path / "m.onnx", width=63), "--plugin", operators)
    assert done.returncode == 3 and "node 'gate' (SwiGLU): the last dimension of x is 63, but must be even" in done.stderr


@pytest.mark.parametrize("library, status, mention", [
    ("/nonexistent/plugin.so", 3, "plug-in /nonexistent/plugin.so: No such file"),
    (BUILD / "lib" / "plugins" / "libplugin_no_entry.so", 3, "does not export rooftune_plugin"),
    (BUILD / "lib" / "plugins" / "libplugin_wrong_abi.so", 4, "made for version 99 of the plug-in interface"),
    (BUILD / "lib" / "plugins" / "libplugin_taken.so", 3, "operator Relu of plug-in odd 0.1")])
def test_bad_plugins(rooftune, library, status, mention, tmp_path):
    done = rooftune("run", mlp(tmp_path / "m.onnx"), "--plugin", library)
    assert done.returncode == status and mention in done.stderr and done.stdout == ""


def test_doctor_lists_plugins(rooftune, operators, backend):
    listed = rooftune.json("doctor", "--plugin", operators, "--plugin", backend)["plugins"]
    assert [(p["name"], p["operators"], p["backends"]) for p in listed] == [
        ("example_operators", ["com.example.SwiGLU", "com.example.EditDistance"], []), ("example_backend", [], ["portable_c"])]
    text = rooftune("doctor", "--plugin", operators, "--plugin", backend).stdout
    assert "plug-in  example_operators 1.0: com.example.SwiGLU, com.example.EditDistance\n" in text
    assert "plug-in  example_backend 1.0: --backend portable_c\n" in text


# ---------------------------------------------------------------- code generators
@pytest.mark.parametrize("maker", [mlp, cnn])
@pytest.mark.parametrize("threads", [1, 2])
def test_models_run_on_a_plugins_code(rooftune, backend, tmp_path, maker, threads):
    model = maker(tmp_path / "m.onnx")
    inputs = random_inputs(model, 30 + threads)
    got = run(rooftune, model, inputs, tmp_path, "--plugin", backend, "--backend", "portable_c", "--threads", threads)
    for name, array in expected(model, inputs).items():
        assert relative_error(got[name], array) < 1e-5, name


def test_optimize_with_a_plugins_code(rooftune, backend, tmp_path):
    model = mlp(tmp_path / "m.onnx")
    document = rooftune.json("optimize", model, "--plugin", backend, "--backend", "portable_c", "--budget", "20s",
                             "--emit-kernels", tmp_path / "kernels", "-o", tmp_path / "out")
    assert document["verified"]
    assert document["tuning_seconds"] < 5, "its code follows no schedules: nothing is tuned"
    card = json.loads((tmp_path / "out" / "run_card.json").read_text())
    assert card["versions"]["codegen"] == "portable_c-1.0"
    assert all("static inline UNUSED int64_t FLOORDIV" in k.read_text() for k in (tmp_path / "kernels").iterdir())
    inputs = random_inputs(model, 8)  # the code is in the package, which needs nobody to generate it
    got = run(rooftune, tmp_path / "out" / "model.rt", inputs, tmp_path)
    for name, array in expected(model, inputs).items():
        assert relative_error(got[name], array) < 1e-5, name


def test_a_code_generator_that_is_not_there(rooftune, tmp_path):
    done = rooftune("run", mlp(tmp_path / "m.onnx"), "--backend", "portable_c")
    assert done.returncode == 3 and "there is no code generator 'portable_c'; there are cpu" in done.stderr
