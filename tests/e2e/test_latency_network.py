"""The network that predicts a whole model's latency: the one that is shipped, and what happens where it is missing or broken."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import mlp

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = list((ROOT / "registry" / "predictors").glob("cpu-*.onnx"))


def network(path, factor, columns=None):
    """Every step takes `factor` times what arithmetic guesses."""
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    shipped = onnx.load(SHIPPED[0])
    columns = columns or shipped.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    nodes = [helper.make_node("ReduceMax", ["features"], ["f"], keepdims=0), helper.make_node("Mul", ["f", "zero"], ["g"]),
             helper.make_node("MatMul", ["before", "rough_ms"], ["b"]), helper.make_node("MatMul", ["after", "rough_ms"], ["a"]),
             helper.make_node("Mul", ["a", "zero"], ["a0"]), helper.make_node("Mul", ["b", "zero"], ["b0"]),
             helper.make_node("Mul", ["rough_ms", "factor"], ["m"]), helper.make_node("Sum", ["m", "g", "a0", "b0"], ["step_ms"])]
    scalar = lambda name, x: numpy_helper.from_array(np.array(x, np.float32), name)
    graph = helper.make_graph(nodes, "g", [value("features", ["n", columns]), value("rough_ms", ["n", 1]), value("before", ["n", "n"]),
                                           value("after", ["n", "n"])], [value("step_ms", ["n", 1])],
                              [scalar("zero", 0), scalar("factor", factor)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.fixture
def dry_run(rooftune, tmp_path):
    """What is predicted of a small model with the network that `make` writes in place of the shipped one."""
    registry = tmp_path / "registry"
    shutil.copytree(ROOT / "registry", registry)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    model = mlp(tmp_path / "mlp.onnx")

    def run(make=None):
        file = registry / "predictors" / SHIPPED[0].name
        if make:
            file.unlink(missing_ok=True)
            make(file)
        done = rooftune("optimize", model, "--dry-run", "--json", "-o", tmp_path / "out", env=dict(os.environ, ROOFTUNE_REGISTRY=str(registry)))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["candidates"][0]["predicted_ms"], done.stderr

    return run


def test_the_shipped_network_fits_this_program(dry_run):
    assert len(SHIPPED) == 1
    ms, warnings = dry_run()
    assert ms is not None and 1e-4 < ms < 1e3 and "network" not in warnings


def test_the_prediction_is_what_the_network_says(dry_run):
    once, _ = dry_run(lambda file: network(file, 1))
    thrice, _ = dry_run(lambda file: network(file, 3))
    assert thrice == pytest.approx(3 * once, rel=0.3)   # peaks of a disturbed machine are measured again in between


@pytest.mark.parametrize("make, words", [
    (lambda file: network(file, 1, columns=7), "features [n, "),
    (lambda file: file.write_bytes(b"\x08\x09" + os.urandom(40)), "predictors")])
def test_a_network_that_does_not_fit_is_told_of_and_not_used(dry_run, make, words):
    ms, warnings = dry_run(make)
    assert ms is None and "no prediction by network" in warnings and words in warnings, warnings


def test_without_a_network_nothing_is_predicted(dry_run):
    ms, warnings = dry_run(lambda file: None)
    assert ms is None and "network" not in warnings
