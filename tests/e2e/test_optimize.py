"""`optimize`: its files, its honesty, and that what it wrote is the same model, every time."""
import hashlib
import json
import os
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error, weights

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
    assert all(0 <= document["foreign_share"][when] <= 1 for when in ("tuning", "measuring"))
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


def test_the_run_card_repeats_the_run(rooftune, tmp_path):
    """Its command is what a shell runs; every option that mattered is in it, and every file that was read is hashed."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    model = mlp(folder / "mlp.onnx")
    proto = onnx.load(model)
    onnx.save(proto, model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    rooftune.json("optimize", model, "--budget", "0", "--max-rel-error", "1e-3", "--disable-pass", "recognise_gelu", "-o", folder / "out")
    card = json.loads((folder / "out" / "run_card.json").read_text())
    assert sha256(folder / "weights.bin") == card["inputs"][str((folder / "weights.bin").resolve())]
    assert card["request"]["model"] == str(model) and card["request"]["seed"] == card["seeds"]["seed"]
    (folder / "out").rename(folder / "first")
    done = subprocess.run(card["command"], shell=True, cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, PATH=f"{rooftune.program.parent}:{os.environ['PATH']}"))
    assert done.returncode == 0, (card["command"], done.stderr)
    again = json.loads((folder / "out" / "run_card.json").read_text())
    for key in ("request", "seeds", "options", "inputs"):
        assert again[key] == card[key], key


def test_numbers_that_are_told_were_measured(optimized):
    _, out, document = optimized
    assert all(c["accuracy_drop_pct"] is None for c in document["candidates"])  # no data with labels
    assert os.uname().release in document["environment"]["os"]
    best, size = document["best"], (out / "model.rt").stat().st_size / 1e6
    assert 0 < best["load_ms"] < 10000
    assert 0 < best["size_mb"] <= size and best["peak_memory_mb"] > best["size_mb"]
    assert {o["algorithm"] for o in document["operators"]} <= {"direct", "winograd", "reference"} | {
        s["schedule"].splitlines()[0] for t in document["tasks"] for s in t["top5"]}


def transformer_block(path, rows=64, width=128):
    """What exporters make of GELU and LayerNorm: many nodes that passes replace by one."""
    node, const = helper.make_node, lambda name, value: numpy_helper.from_array(np.float32(value), name)
    nodes = [node("MatMul", ["x", "w"], ["h"], "fc"),
             node("Div", ["h", "root2"], ["g1"], "gelu_div"), node("Erf", ["g1"], ["g2"], "gelu_erf"),
             node("Add", ["g2", "one"], ["g3"], "gelu_add"), node("Mul", ["h", "g3"], ["g4"], "gelu_mul"),
             node("Mul", ["g4", "half"], ["g"], "gelu_half"), node("Add", ["g", "x"], ["r"], "residual"),
             node("ReduceMean", ["r"], ["m"], "norm_mean", axes=[-1]), node("Sub", ["r", "m"], ["d"], "norm_sub"),
             node("Pow", ["d", "two"], ["q"], "norm_pow"), node("ReduceMean", ["q"], ["v"], "norm_var", axes=[-1]),
             node("Add", ["v", "eps"], ["e"], "norm_eps"), node("Sqrt", ["e"], ["s"], "norm_sqrt"),
             node("Div", ["d", "s"], ["n"], "norm_div"), node("Mul", ["n", "scale"], ["k"], "norm_scale"),
             node("Add", ["k", "shift"], ["y"], "norm_shift")]
    constants = [weights("w", width, width), weights("scale", width, scale=1), weights("shift", width, scale=1), const("root2", 2**0.5),
                 const("one", 1), const("half", 0.5), const("two", 2), const("eps", 1e-5)]
    graph = helper.make_graph(nodes, "block", [helper.make_tensor_value_info("x", 1, [rows, width])],
                              [helper.make_tensor_value_info("y", 1, [rows, width])], constants)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())
    return path, [n.name for n in nodes]


def test_before_counts_every_operator_that_was_replaced(rooftune, tmp_path):
    model, names = transformer_block(tmp_path / "block.onnx")
    document = rooftune.json("optimize", model, "--budget", "0", "--threads", 1, "-o", tmp_path / "out")
    rows = document["operators"]
    assert document["kept_original"] is False and len(rows) < len(names) / 2
    assert sorted(n for o in rows for n in o["nodes"]) == sorted(names)
    place = {n: o["name"] for o in rows for n in o["nodes"]}
    assert place["gelu_erf"] == place["gelu_half"] and place["norm_pow"] == place["norm_mean"] == place["norm_shift"]
    assert sum(o["before_ms"] for o in rows if o["before_ms"]) == pytest.approx(document["baseline"]["p50_ms"], rel=0.6)


def test_where_the_original_is_kept_it_is_what_the_report_describes(rooftune, tmp_path):
    """No generated code meets an error bound of 1e-30, so that the original is kept; it does not meet it either."""
    model, names = transformer_block(tmp_path / "block.onnx")
    done = rooftune("optimize", model, "--budget", "0", "--max-rel-error", "1e-30", "-o", tmp_path / "out", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1 and document["verified"] is False and document["kept_original"] is True
    assert document["best"]["p50_ms"] == document["baseline"]["p50_ms"] and document["speedup"] == 1
    assert "not verified" in document["reason"] and [c["id"] for c in document["candidates"] if c["chosen"]] == ["baseline"]
    assert [o["nodes"] for o in document["operators"]] == [[n] for n in names]
    assert all(o["before_ms"] == o["after_ms"] for o in document["operators"])
    assert document["memory_after"] == document["memory_before"]
    portable = onnx.load(tmp_path / "out" / "model.onnx")
    assert [n.name for n in portable.graph.node] == names
    assert "not verified" in (tmp_path / "out" / "report.html").read_text()


def test_tuning_log_is_a_database(rooftune, optimized, tmp_path):
    model, out, document = optimized
    lines = [json.loads(line) for line in (out / "tuning.jsonl").read_text().splitlines()]
    assert [line["task"] for line in lines] == [task["name"] for task in document["tasks"]]
    keys = {"kernel", "machine", "threads", "codegen", "algorithm", "schedule", "measured_ms", "predicted_ms"}
    assert all(keys <= line.keys() and isinstance(line["kernel"], str) and line["threads"] == 1 for line in lines)
    rooftune.json("optimize", model, "--budget", "0", "--threads", 1, "--database", out / "tuning.jsonl", "-o", tmp_path / "out")
    again = [json.loads(line) for line in (tmp_path / "out" / "tuning.jsonl").read_text().splitlines()]
    assert [(l["kernel"], l["algorithm"], l["schedule"]) for l in again] == [(l["kernel"], l["algorithm"], l["schedule"]) for l in lines]


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


def test_dry_run_writes_nothing(rooftune, tmp_path, cache):
    model = mlp(tmp_path / "mlp.onnx")
    rooftune.json("optimize", model, "--dry-run", "-o", tmp_path / "out", "--dump-passes", tmp_path / "passes", "--database", tmp_path / "db")
    assert {p.name for p in tmp_path.iterdir()} == {"mlp.onnx"}


@pytest.mark.parametrize("option, status", [("-o", 3), ("--dump-passes", 3), ("--emit-kernels", 3), ("--database", 4)])
def test_what_cannot_be_written_is_known_before_the_budget_is_spent(rooftune, tmp_path, option, status):
    model = mlp(tmp_path / "mlp.onnx")
    given = {"-o": tmp_path / "out", option: "/proc/no/such"}
    done = rooftune("optimize", model, "--budget", "10m", *(a for pair in given.items() for a in pair), timeout=60)
    assert done.returncode == status and "/proc/no" in done.stderr, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"mlp.onnx"}


def test_a_database_makes_the_home_folder_unnecessary(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    homeless = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    optimize = ["optimize", model, "--budget", "0", "-o", tmp_path / "out"]
    done = rooftune(*optimize, "--database", tmp_path / "db.sqlite", env=homeless)
    assert done.returncode == 0 and "database" not in done.stderr, done.stderr
    assert (tmp_path / "db.sqlite").exists()
    done = rooftune(*optimize, env=homeless)
    assert done.returncode == 0 and "without a database" in done.stderr and "HOME" in done.stderr


def test_what_was_tuned_is_found_again(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    first = rooftune.json("optimize", model, "--budget", "4s", "--threads", 1, "--database", tmp_path / "db", "-o", tmp_path / "a")
    again = rooftune.json("optimize", model, "--budget", "0", "--threads", 1, "--database", tmp_path / "db", "-o", tmp_path / "b")
    assert not any(t["from_database"] for t in first["tasks"])
    known = {t["name"] for t in first["tasks"] if t["top5"]}
    found = {t["name"] for t in again["tasks"] if t["from_database"]}
    assert found and found <= known
    log = [json.loads(line) for line in (tmp_path / "b" / "tuning.jsonl").read_text().splitlines()]
    assert {row["task"] for row in log if row["from_database"]} == found
    assert json.loads((tmp_path / "b" / "run_card.json").read_text())["options"]["database"] == str(tmp_path / "db")


def test_a_tuned_model_is_not_tuned_again(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    optimize = ["optimize", model, "--budget", "6s", "--threads", 1, "--database", tmp_path / "db"]
    first = rooftune.json(*optimize, "-o", tmp_path / "a")
    assert all(t["top5"] for t in first["tasks"]), "six seconds are enough for a model that small"
    again = rooftune.json(*optimize, "-o", tmp_path / "b")
    assert all(t["from_database"] and t["trials"] == 0 for t in again["tasks"])
    assert again["compile_seconds"] < 3 and again["verified"] is True
    anew = rooftune.json(*optimize, "-o", tmp_path / "c", "--retune")
    assert any(t["trials"] > 0 for t in anew["tasks"])


def test_measurements_go_from_machine_to_machine(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    here, there = ["--database", tmp_path / "here"], ["--database", tmp_path / "there"]
    tuned = rooftune.json("optimize", model, "--budget", "4s", "--threads", 1, *here, "-o", tmp_path / "out")
    shown = rooftune.json("database", "show", *here)
    (holding,) = shown["holdings"]
    assert holding["threads"] == 1 and holding["tuned"] == len([t for t in tuned["tasks"] if t["trials"]])
    assert holding["measurements"] >= holding["kernels"] >= holding["tuned"]
    exported = rooftune.json("database", "export", tmp_path / "all.jsonl", *here)["exported"]
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert len(lines) == exported == holding["tuned"] + holding["measurements"]
    assert all(line["measured_ms"] > 0 and line["schedule"] for line in lines if "features" in line)
    assert rooftune.json("database", "import", tmp_path / "all.jsonl", *there)["imported"] == exported
    assert rooftune.json("database", "show", *there)["holdings"] == [holding]
    again = rooftune.json("optimize", model, "--budget", "0", "--threads", 1, *there, "-o", tmp_path / "again")
    assert any(t["from_database"] for t in again["tasks"])
    assert f"{holding['tuned']} tuned kernels" in rooftune("database", "show", *there).stdout


@pytest.mark.parametrize("arguments, mention", [(["export"], "one file"), (["import"], "at least one"), (["merge"], "show, export or import"),
                                                (["import", "absent.jsonl"], "absent.jsonl")])
def test_database_says_what_is_wrong(rooftune, tmp_path, arguments, mention):
    done = rooftune("database", *arguments, "--database", tmp_path / "db")
    assert done.returncode in (3, 4) and mention in done.stderr, done.stderr


def test_presets(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    optimize = ["optimize", model, "--budget", "2s", "--threads", 1, "--database", tmp_path / "db"]
    done = rooftune(*optimize, "--preset", "fastest", "-o", tmp_path / "none")
    assert done.returncode == 3 and "reproducible" in done.stderr and "thorough" in done.stderr
    document = rooftune.json(*optimize, "--preset", "reproducible", "-o", tmp_path / "out")
    assert document["seed"] == 1 and document["verified"] is True
    card = json.loads((tmp_path / "out" / "run_card.json").read_text())
    assert card["options"]["preset"] == "reproducible" and "--preset reproducible" in card["command"]


def test_explain_says_why_schedules_were_rejected(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    done = rooftune("optimize", model, "--budget", "5s", "--threads", 1, "--database", tmp_path / "db", "-o", tmp_path / "out", "--explain", "--json")
    assert done.returncode == 0, done.stderr
    tasks = [t for t in json.loads(done.stdout)["tasks"] if len(t["top5"]) > 1]
    assert tasks
    for task in tasks:
        assert all(s["predicted_ms"] > 0 and s["measured_ms"] > 0 for s in task["top5"])
        assert sum(not s["note"] for s in task["top5"]) <= 1, "only the choice needs no reason"
        assert f"{task['name']}: number" in done.stderr and "schedules were not measured" in done.stderr


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
