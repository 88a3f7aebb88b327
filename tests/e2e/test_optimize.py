"""`optimize`: its files, its honesty, and that what it wrote is the same model, every time."""
import hashlib
import json
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error

FILES = {"model.rt", "model.onnx", "report.html", "report.json", "run_card.json", "tuning.jsonl"}


@pytest.fixture(scope="module")
def optimized(rooftune, tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimized")
    model = cnn(folder / "cnn.onnx")
    document = rooftune.json("optimize", model, "--budget", "5s", "--seed", 7, "--threads", 1, "-o", folder / "out")
    return model, folder / "out", document


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(rooftune, model, inputs, folder, *extra):
    folder.mkdir(exist_ok=True)
    rooftune.json("run", model, *feed(folder, inputs), "--output-dir", folder / "out", *extra)
    return {p.stem: np.load(p) for p in (folder / "out").glob("*.npy")}


def test_files(optimized):
    _, out, _ = optimized
    assert FILES <= {p.name for p in out.iterdir()}


def test_document(optimized):
    _, out, document = optimized
    assert {"baseline", "best", "candidates", "tasks", "pareto", "speedup", "verified"} <= document.keys()
    assert document["verified"] is True
    assert document["speedup"] == pytest.approx(document["baseline"]["p50_ms"] / document["best"]["p50_ms"])
    for row in document["candidates"]:
        assert {"id", "predicted_ms", "measured_ms", "accuracy_drop_pct", "size_mb"} <= row.keys()
    for task in document["tasks"]:
        assert task["name"] and len(task["top5"]) <= 5
        assert all({"schedule", "predicted_ms", "measured_ms"} <= s.keys() for s in task["top5"])
    assert json.loads((out / "report.json").read_text())["speedup"] == pytest.approx(document["speedup"])


def test_never_slower(optimized):
    _, _, document = optimized
    assert document["best"]["p50_ms"] <= document["baseline"]["p50_ms"] * 1.02


def test_run_card_recognises_the_files(optimized):
    model, out, _ = optimized
    card = json.loads((out / "run_card.json").read_text())
    assert sha256(model) in card["inputs"].values()
    assert set(card["outputs"]) == FILES - {"run_card.json"}
    for name, digest in card["outputs"].items():
        assert digest == sha256(out / name), name
    assert "optimize" in card["command"] and 7 in card["seeds"].values() and card["versions"]


def test_report_needs_no_network(optimized):
    _, out, _ = optimized
    html = (out / "report.html").read_text()
    assert "<svg" in html and not any(w in html for w in ("http://", "https://", "src=", "@import"))


@pytest.mark.parametrize("file", ["model.rt", "model.onnx"])
@pytest.mark.parametrize("threads", [1, 2])
def test_same_results(rooftune, optimized, tmp_path, file, threads):
    model, out, _ = optimized
    inputs = random_inputs(model, 40 + threads)
    got = run(rooftune, out / file, inputs, tmp_path, "--threads", threads)
    for name, array in expected(model, inputs).items():
        assert relative_error(got[name], array) < 1e-4, name


def test_portable_model_is_valid_onnx(optimized, tmp_path):
    model, out, _ = optimized
    onnx.checker.check_model(onnx.load(out / "model.onnx"), full_check=True)
    inputs = random_inputs(model, 5)
    for name, array in expected(out / "model.onnx", inputs).items():
        assert relative_error(array, expected(model, inputs)[name]) < 1e-4


def test_runs_are_bit_identical(rooftune, optimized, tmp_path):
    model, out, _ = optimized
    inputs = random_inputs(model, 6)
    a, b = (run(rooftune, out / "model.rt", inputs, tmp_path / d, "--threads", 2) for d in ("a", "b"))
    assert all(a[n].tobytes() == b[n].tobytes() for n in a)


def test_tampered_package_is_refused(rooftune, optimized, tmp_path):
    _, out, _ = optimized
    data = bytearray((out / "model.rt").read_bytes())
    for name, change in dict(cut=data[: len(data) // 2], flipped=data[:-3000] + bytes(b ^ 0xFF for b in data[-3000:])).items():
        (tmp_path / f"{name}.rt").write_bytes(change)
        done = rooftune("run", tmp_path / f"{name}.rt", "--output-dir", tmp_path / "out")
        assert done.returncode == 3 and f"{name}.rt" in done.stderr, (name, done.returncode, done.stderr)


def test_budget_zero(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    start = time.time()
    document = rooftune.json("optimize", model, "--budget", "0", "-o", tmp_path / "out")
    assert document["verified"] is True and time.time() - start < 60
    assert FILES <= {p.name for p in (tmp_path / "out").iterdir()}


def test_dry_run_writes_nothing(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    rooftune.json("optimize", model, "--dry-run", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_interrupt_keeps_what_was_found(rooftune, tmp_path):
    model = cnn(tmp_path / "cnn.onnx", size=64)
    process = subprocess.Popen([str(rooftune.program), "optimize", str(model), "--budget", "10m", "-o", str(tmp_path / "out"), "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["verified"] is True
    assert FILES <= {p.name for p in (tmp_path / "out").iterdir()}


def test_dumps(rooftune, tmp_path):
    model = cnn(tmp_path / "cnn.onnx")
    rooftune.json("optimize", model, "--budget", "0", "-o", tmp_path / "out", "--dump-passes", tmp_path / "passes", "--emit-kernels", tmp_path / "kernels")
    assert any(p.stat().st_size for p in (tmp_path / "passes").rglob("*") if p.is_file())
    assert any(p.stat().st_size for p in (tmp_path / "kernels").rglob("*") if p.is_file())


def test_data_takes_part_in_the_verification(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    np.savez_compressed(tmp_path / "d.npz", x=np.random.default_rng(4).standard_normal((48, 64), np.float32))
    document = rooftune.json("optimize", model, "--budget", "0", "--data", tmp_path / "d.npz", "-o", tmp_path / "out")
    assert document["verified"] is True and "3 of d.npz" in document["verification"]["against"]
    card = json.loads((tmp_path / "out" / "run_card.json").read_text())
    assert sha256(tmp_path / "d.npz") in card["inputs"].values()


def test_output_for_people(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    done = rooftune("optimize", model, "--budget", "0", "-o", tmp_path / "out", "--explain")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("baseline", "speedup", "verified", "report.html"))
    done = rooftune("optimize", model, "--dry-run", "-o", tmp_path / "none")
    assert done.returncode == 0 and "fc1" in done.stdout and not (tmp_path / "none").exists()


@pytest.mark.parametrize("extra, mention", [(["--precisions", "fp3"], "fp3"), (["--target", "nvidia_h100_sxm"], "nvidia_h100_sxm"),
                                            (["--max-rel-error", "-1"], "max_rel_error"), (["--disable-pass", "no-such-pass"], "no-such-pass"),
                                            (["--data", "absent.npz"], "absent.npz")])
def test_bad_requests(rooftune, tmp_path, extra, mention):
    model = mlp(tmp_path / "mlp.onnx")
    done = rooftune("optimize", model, "--budget", "0", "-o", tmp_path / "out", *extra)
    assert done.returncode == 3 and mention in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_compiled_package_is_not_optimised_again(rooftune, optimized, tmp_path):
    _, out, _ = optimized
    done = rooftune("optimize", out / "model.rt", "-o", tmp_path / "again")
    assert done.returncode == 3 and "compiled already" in done.stderr


def test_without_passes_the_result_is_the_same(rooftune, tmp_path):
    model = cnn(tmp_path / "cnn.onnx")
    document = rooftune.json("optimize", model, "--budget", "0", "-o", tmp_path / "out", "--disable-pass", "fold_batch_norm")
    assert document["verified"] is True
    inputs = random_inputs(model, 9)
    got = run(rooftune, tmp_path / "out" / "model.rt", inputs, tmp_path)
    assert all(relative_error(got[n], a) < 1e-4 for n, a in expected(model, inputs).items())
