"""Top-1 accuracy on the user's data: what candidates lose of it, and the limit on that."""
import json

import numpy as np
import pytest
from onnx import helper, numpy_helper
from small_models import save

ROWS, WIDTH, CLASSES = 300, 8, 4


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Scores that differ little beside what they have in common: 16-bit weights change them by less than a percent, and still
    name another class now and then. A tenth of the labels says something else."""
    folder, rng = tmp_path_factory.mktemp("classifier"), np.random.default_rng(4)
    w = (1 + 0.004 * rng.standard_normal((WIDTH, CLASSES))).astype(np.float32)
    model = save(folder / "classifier.onnx", [helper.make_node("MatMul", ["x", "w"], ["h"], "fc"), helper.make_node("Relu", ["h"], ["scores"], "act")],
                 [("x", [1, WIDTH])], [("scores", [1, CLASSES])], [numpy_helper.from_array(w, "w")])
    x = rng.uniform(0.5, 1.5, (ROWS, WIDTH)).astype(np.float32)
    labels = np.argmax(x.astype(np.float64) @ w, axis=1)
    labels[: ROWS // 10] = (labels[: ROWS // 10] + 1) % CLASSES
    np.savez(folder / "labelled.npz", x=x, labels=labels.astype(np.int32))
    np.savez(folder / "plain.npz", x=x)
    return model


def optimized(rooftune, model, out, data, *more):
    return rooftune.json("optimize", model, "--budget", "0", "--threads", 1, "--precisions", "fp32,bf16", "--data", model.parent / data, "-o", out, *more)


def rows_of(document):
    return {c["id"]: c for c in document["candidates"]}


def test_a_candidate_over_the_limit_is_rejected(rooftune, classifier, tmp_path):
    document = optimized(rooftune, classifier, tmp_path / "out", "labelled.npz", "--max-accuracy-drop", "1")
    rows = rows_of(document)
    assert rows["baseline"]["accuracy_drop_pct"] == 0 and rows["optimised"]["accuracy_drop_pct"] == 0
    bf16 = rows["optimised bf16"]
    assert 1 < bf16["accuracy_drop_pct"] < 80 and bf16["max_rel_error"] < 3e-2  # the error alone would let it pass
    assert "accuracy drops by" in bf16["note"] and "--max-accuracy-drop" in bf16["note"] and not bf16["chosen"]
    assert bf16["id"] not in document["pareto"]
    basis = document["verification"]["accuracy"]
    assert "'scores'" in basis and "labels of labelled.npz" in basis and f"{ROWS} rows" in basis and "90.00 %" in basis
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verification"]["accuracy"] == basis
    assert basis.split("(")[0].strip() in (tmp_path / "out" / "report.html").read_text().replace("&#39;", "'")


def test_explain_says_why(rooftune, classifier, tmp_path):
    done = rooftune("optimize", classifier, "--budget", "0", "--precisions", "fp32,bf16", "--data", classifier.parent / "labelled.npz",
                    "--max-accuracy-drop", "0.5", "--explain", "-o", tmp_path / "out")
    assert done.returncode == 0 and "accuracy drops by" in done.stderr + done.stdout


def test_within_the_limit_it_may_win(rooftune, classifier, tmp_path):
    rows = rows_of(optimized(rooftune, classifier, tmp_path / "out", "labelled.npz", "--max-accuracy-drop", "80"))
    assert "accuracy" not in rows["optimised bf16"]["note"] and rows["optimised bf16"]["accuracy_drop_pct"] > 1


def test_without_labels_the_model_as_given_is_right(rooftune, classifier, tmp_path):
    document = optimized(rooftune, classifier, tmp_path / "out", "plain.npz", "--max-accuracy-drop", "1")
    rows = rows_of(document)
    assert rows["optimised"]["accuracy_drop_pct"] == 0 and rows["optimised bf16"]["accuracy_drop_pct"] > 1
    assert "without labels" in document["verification"]["accuracy"] and "accuracy drops by" in rows["optimised bf16"]["note"]


def test_labels_alone_are_reported(rooftune, classifier, tmp_path):
    rows = rows_of(optimized(rooftune, classifier, tmp_path / "out", "labelled.npz"))
    assert rows["optimised bf16"]["accuracy_drop_pct"] > 1 and "accuracy" not in rows["optimised bf16"]["note"]
    assert all(c["accuracy_drop_pct"] is None for c in optimized(rooftune, classifier, tmp_path / "other", "plain.npz")["candidates"])


def test_verify_counts_both(rooftune, classifier, tmp_path):
    document = rooftune.json("verify", classifier, classifier, "--data", classifier.parent / "labelled.npz")
    assert document["metrics"]["accuracy"] == {"rows": ROWS, "model_pct": 90, "other_pct": 90, "drop_pct": 0}


def test_what_is_wrong_is_named(rooftune, classifier, tmp_path):
    data = classifier.parent / "labelled.npz"
    done = rooftune("optimize", classifier, "--max-accuracy-drop", "1", "-o", tmp_path / "out")
    assert done.returncode == 3 and "needs data" in done.stderr
    done = rooftune("optimize", classifier, "--max-accuracy-drop", "101", "--data", data, "-o", tmp_path / "out")
    assert done.returncode == 3 and "max_accuracy_drop" in done.stderr and "from 0 to 100" in done.stderr
    x = np.load(data)["x"]
    for labels, what in ((np.zeros(7, np.int64), "'labels' has 7 numbers, there are 300 samples"), (np.zeros(ROWS, np.float32), "right classes as integers"),
                         (np.zeros(2 * ROWS, np.int64), "'labels' has 2 for each sample, output 'scores' has 1 rows")):
        np.savez(tmp_path / "wrong.npz", x=x, labels=labels)
        done = rooftune("optimize", classifier, "--budget", "10m", "--data", tmp_path / "wrong.npz", "-o", tmp_path / "out", timeout=60)
        assert done.returncode == 3 and what in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_models_without_scores(rooftune, tmp_path):
    model = save(tmp_path / "column.onnx", [helper.make_node("ReduceMax", ["x"], ["y"], "max", keepdims=1)], [("x", [1, 4])], [("y", [1, 1])], [])
    np.savez(tmp_path / "d.npz", x=np.ones((3, 4), np.float32), labels=np.zeros(3, np.int64))
    done = rooftune("optimize", model, "--budget", "0", "--data", tmp_path / "d.npz", "-o", tmp_path / "out")
    assert done.returncode == 3 and "no output of the model holds scores of classes" in done.stderr
