"""Every command does what the contract says: keys of its JSON document, files, exit codes."""
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error, save, weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return dict(mlp=mlp(folder / "mlp.onnx"), cnn=cnn(folder / "cnn.onnx"))


def assert_latency(row, *keys):
    for key in keys:
        assert row[key] > 0, key


# ---------------------------------------------------------------- usage
@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["run"], ["optimize", "m.onnx"], ["bench", "m.onnx", "--threads", "many"],
                                       ["doctor", "--no-such-option"], ["optimize", "m.onnx", "-o", "d", "--budget", "soon"]])
def test_wrong_usage(rooftune, arguments):
    done = rooftune(*arguments)
    assert done.returncode == 2 and done.stderr and done.stdout == ""


def test_help_names_every_command(rooftune):
    done = rooftune("--help")
    assert done.returncode == 0
    for command in ("doctor", "import", "characterize", "analyze", "run", "bench", "profile", "verify", "optimize", "database"):
        assert command in done.stdout
        assert rooftune(command, "--help").returncode == 0
    assert ".rt" in rooftune("run", "--help").stdout
    assert "package" not in rooftune("optimize", "--help").stdout  # which it refuses


def test_version(rooftune):
    done = rooftune("--version")
    assert done.returncode == 0 and any(c.isdigit() for c in done.stdout)


# ---------------------------------------------------------------- facts
def test_doctor(rooftune):
    document = rooftune.json("doctor")
    assert {"cpu", "gpus", "tools", "exporters"} <= document.keys()
    cpu = document["cpu"]
    assert cpu["available"] == len(os.sched_getaffinity(0)) or cpu["available"] < len(os.sched_getaffinity(0))  # a quota
    assert cpu["model"] in open("/proc/cpuinfo").read() and cpu["isa"] in ("avx512", "avx2", "baseline")
    peaks = cpu["peaks"]
    assert max(peaks["flops"]["f32"]["values"]) > 1e9 and max(peaks["bandwidth"]["memory"]["values"]) > 1e8


def test_characterize(rooftune, files):
    document = rooftune.json("characterize", files["mlp"])
    assert document["parameters"] == 64 * 96 + 96 + 96 * 32 + 32
    assert document["flops"] == pytest.approx(2 * 16 * (64 * 96 + 96 * 32), rel=0.1)
    assert sum(document["histogram"].values()) == len(document["operators"]) == 5
    fc1 = next(o for o in document["operators"] if o["name"] == "fc1")
    assert fc1["op"] == "Gemm" and fc1["outputs"] == [{"shape": [16, 96], "dtype": fc1["outputs"][0]["dtype"]}]
    assert fc1["flops"] == pytest.approx(2 * 16 * 64 * 96, rel=0.05)
    assert fc1["bytes"] == pytest.approx(4 * (16 * 64 + 96 * 64 + 96 + 16 * 96))
    assert fc1["intensity"] == pytest.approx(fc1["flops"] / fc1["bytes"])
    assert document["peak_memory_bytes"] >= 4 * 16 * 96
    assert document["bytes"] > 4 * document["parameters"]


def test_analyze(rooftune, files):
    document = rooftune.json("analyze", files["cnn"], "--target", "host")
    for key in ("latency", "throughput", "utilization", "memory"):
        assert {"value", "unit", "confidence", "calibration_source", "error_bound_pct"} <= document[key].keys(), key
    assert document["latency"]["value"] >= document["roofline_ms"] * 0.999 > 0
    assert document["operators"]


@pytest.mark.parametrize("ours, theirs", [("f16", "fp16"), ("f32", "fp32"), ("f64", "fp64"), ("i8", "int8")])
def test_analyze_knows_the_usual_names_of_precisions(rooftune, files, ours, theirs):
    analyze = lambda name: rooftune.json("analyze", files["mlp"], "--target", "nvidia_h100_sxm", "--precision", name)["latency"]
    assert analyze(theirs) == analyze(ours)


def test_analyze_of_a_batch(rooftune, free, files):
    rows = {n: rooftune.json("analyze", free, "--batch", n) for n in (1, 4096)}
    assert rows[4096]["roofline_ms"] > 100 * rows[1]["roofline_ms"]
    for n, row in rows.items():
        assert row["throughput"]["value"] == pytest.approx(n / row["latency"]["value"] * 1e3)
    assert rooftune.json("analyze", files["mlp"], "--batch", 16)["latency"]
    for arguments in (["--batch", 4], ["--batch", 0]):
        done = rooftune("analyze", files["mlp"], *arguments)
        assert done.returncode == 3 and "batch" in done.stderr, done.stderr
    assert "'x'" in rooftune("analyze", files["mlp"], "--batch", 4).stderr


def test_unknown_target(rooftune, files):
    done = rooftune("analyze", files["mlp"], "--target", "abacus")
    assert done.returncode == 3 and "abacus" in done.stderr and "host" in done.stderr


# ---------------------------------------------------------------- import
def test_import_and_run_the_package(rooftune, files, tmp_path):
    document = rooftune.json("import", files["cnn"], "-o", tmp_path / "m.rt")
    assert {"operators", "parameters", "inputs", "outputs"} <= document.keys()
    assert [i["name"] for i in document["inputs"]] == ["image", "shift"]
    inputs = random_inputs(files["cnn"], 3)
    want = expected(files["cnn"], inputs)
    rooftune.json("run", tmp_path / "m.rt", *feed(tmp_path, inputs), "--output-dir", tmp_path / "out")
    for name, array in want.items():
        assert relative_error(np.load(tmp_path / "out" / f"{name}.npy"), array) < 1e-4


# ---------------------------------------------------------------- run
@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("threads", [1, 2])
def test_run_agrees_with_onnxruntime(rooftune, files, tmp_path, name, threads):
    inputs = random_inputs(files[name], 10 + threads)
    document = rooftune.json("run", files[name], *feed(tmp_path, inputs), "--output-dir", tmp_path / "out", "--threads", threads)
    assert document["latency_ms"] > 0 and document["outputs"]
    want = expected(files[name], inputs)
    assert sorted(p.stem for p in (tmp_path / "out").glob("*.npy")) == sorted(want)
    for output, array in want.items():
        got = np.load(tmp_path / "out" / f"{output}.npy")
        assert got.shape == array.shape and got.dtype == array.dtype
        assert relative_error(got, array) < 1e-4


def bad_inputs(folder):
    good = np.zeros((16, 64), np.float32)
    np.save(folder / "good.npy", good)
    np.save(folder / "shape.npy", good[:, :3])
    np.save(folder / "type.npy", good.astype(np.float64))
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:500])
    (folder / "text.npy").write_text("not an array")


@pytest.mark.parametrize("given, mention", [(["x=shape.npy"], ["x", "64"]), (["x=type.npy"], ["x", "float"]), (["x=cut.npy"], ["cut.npy"]),
                                            (["x=text.npy"], ["text.npy"]), (["z=good.npy"], ["z"]), (["x=absent.npy"], ["absent.npy"])])
def test_bad_inputs_are_named(rooftune, files, tmp_path, given, mention):
    bad_inputs(tmp_path)
    done = rooftune("run", files["mlp"], "--output-dir", tmp_path / "out", *(a for g in given for a in ("--input", g)), cwd=tmp_path)
    assert done.returncode == 3 and all(m in done.stderr for m in mention), done.stderr
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- bench, profile, verify
def test_bench(rooftune, files):
    document = rooftune.json("bench", files["mlp"], "--engines", "rooftune", "--threads", 1, "--duration", "0.3s", "--times")
    (row,) = document["results"]
    assert row["engine"] == "rooftune" and row["threads"] == 1
    assert_latency(row, "p50_ms", "p95_ms", "min_ms", "load_ms", "peak_memory_mb", "roofline_fraction")
    assert len(row["times_ms"]) > 10 and min(row["times_ms"]) == pytest.approx(row["min_ms"])
    assert row["min_ms"] <= row["p50_ms"] <= row["p95_ms"]


def test_profile(rooftune, files):
    document = rooftune.json("profile", files["cnn"], "--threads", 1)
    assert document["total_ms"] == pytest.approx(sum(o["ms"] for o in document["operators"]))
    alone = rooftune.json("bench", files["cnn"], "--threads", 1, "--duration", "0.5s")["results"][0]
    assert 0.3 * alone["min_ms"] < document["total_ms"] < 30 * alone["p95_ms"]  # the clock around every step costs time
    names = {"stem", "bn", "relu6", "depthwise", "pointwise", "residual", "shifted", "pool", "fc"}
    assert {n for o in document["operators"] for n in o["nodes"]} & names >= {"stem", "depthwise", "pointwise", "pool", "fc"}
    for o in document["operators"]:
        assert o["ms"] > 0 and o["gbps"] == pytest.approx(o["bytes"] / o["ms"] / 1e6), o["name"]
        assert o["memory_bytes"] >= (4 * 10 if o["name"] == "fc" else 4 * 16), o["name"]
    image = 4 * 16 * 24 * 24
    assert max(o["memory_bytes"] for o in document["operators"]) >= 2 * image


def test_verify_agrees(rooftune, files, tmp_path):
    rooftune.json("import", files["mlp"], "-o", tmp_path / "m.rt")
    document = rooftune.json("verify", files["mlp"], tmp_path / "m.rt")
    assert document["agree"] is True and document["max_rel_error"] < 1e-4 and "metrics" in document


def test_verify_finds_the_difference(rooftune, files, tmp_path):
    other = onnx.load(files["mlp"])
    bias = next(t for t in other.graph.initializer if t.name == "b2")
    bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + 0.5 * np.arange(32, dtype=np.float32)).tobytes()
    onnx.save(other, tmp_path / "other.onnx")
    done = rooftune("verify", files["mlp"], tmp_path / "other.onnx", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["agree"] is False and document["max_rel_error"] > 1e-2


def gemm(path, order=("a", "b"), rows="batch"):
    """y = a · w, z = relu(a) - b; inputs and outputs in this order or the other."""
    nodes = [onnx.helper.make_node("MatMul", ["a", "w"], ["y"], "fc"), onnx.helper.make_node("Relu", ["a"], ["r"], "act"),
             onnx.helper.make_node("Sub", ["r", "b"], ["z"], "difference")]
    shapes = {"a": [rows, 8], "b": [rows, 8], "y": [rows, 4], "z": [rows, 8]}
    inputs, outputs = [(n, shapes[n]) for n in order], [(n, shapes[n]) for n in ("y", "z")][:: 1 if order[0] == "a" else -1]
    return save(path, nodes, inputs, outputs, [weights("w", 8, 4)])


def test_verify_with_free_dimensions_goes_by_name(rooftune, tmp_path):
    a, b = gemm(tmp_path / "a.onnx"), gemm(tmp_path / "b.onnx", ("b", "a"))
    fixed = gemm(tmp_path / "fixed.onnx", rows=3)
    rooftune.json("import", b, "--dim", "batch=3", "-o", tmp_path / "b.rt")
    for other in (a, b, fixed, tmp_path / "b.rt"):
        assert rooftune.json("verify", a, other, "--dim", "batch=3")["agree"] is True, other
    done = rooftune("verify", a, fixed, "--dim", "rows=3")
    assert done.returncode == 3 and "rows" in done.stderr and "batch" in done.stderr
    renamed = onnx.load(fixed)
    for name in ("b", "z"):
        for node in renamed.graph.node:
            node.input[:] = [name + "2" if i == name else i for i in node.input]
            node.output[:] = [name + "2" if o == name else o for o in node.output]
        for value in (*renamed.graph.input, *renamed.graph.output):
            value.name = name + "2" if value.name == name else value.name
        onnx.save(renamed, tmp_path / "renamed.onnx")
        done = rooftune("verify", a, tmp_path / "renamed.onnx", "--dim", "batch=3")
        assert done.returncode == 3 and "input 'b' of" in done.stderr or "input 'b2' of" in done.stderr, done.stderr


# ---------------------------------------------------------------- seeds, interruption
@pytest.mark.parametrize("command", ["run", "bench", "profile", "verify"])
def test_the_seed_is_told_and_can_be_given(rooftune, files, command):
    arguments = [command, files["mlp"], *([files["mlp"]] if command == "verify" else []),
                 *(["--duration", "0.1s"] if command == "bench" else [])]
    fresh = {rooftune.json(*arguments)["seed"] for _ in range(2)}
    assert len(fresh) == 2
    for seed in (0, 5):
        assert rooftune.json(*arguments, "--seed", seed)["seed"] == seed


def test_equal_seeds_give_equal_inputs(rooftune, files, tmp_path):
    def outputs(seed, to):
        rooftune.json("run", files["mlp"], "--seed", seed, "--output-dir", tmp_path / to)
        return (tmp_path / to / "y.npy").read_bytes()

    for seed in (0, 1):
        assert outputs(seed, f"{seed}a") == outputs(seed, f"{seed}b")
    assert outputs(0, "x") != outputs(1, "y")


def test_the_seed_is_printed_where_models_differ(rooftune, files, tmp_path):
    other = onnx.load(files["mlp"])
    next(t for t in other.graph.initializer if t.name == "b2").raw_data = bytes(range(128))
    onnx.save(other, tmp_path / "other.onnx")
    done = rooftune("verify", files["mlp"], tmp_path / "other.onnx", "--seed", 31)
    assert done.returncode == 1 and "seed 31" in done.stdout


def test_profile_ends_early_on_interrupt(rooftune, tmp_path):
    model = cnn(tmp_path / "cnn.onnx", size=200)
    process = subprocess.Popen([str(rooftune.program), "profile", str(model), "--runs", "10000", "--threads", "1", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert 0 < json.loads(stdout)["runs"] < 10000


# ---------------------------------------------------------------- rivals
def test_bench_beside_other_engines(rooftune, files):
    document = rooftune.json("bench", files["cnn"], "--engines", "rooftune,onnxruntime", "--threads", 1, "--duration", "0.6s", "--times",
                             env=dict(os.environ, ROOFTUNE_PYTHON=sys.executable))
    rows = {r["engine"]: r for r in document["results"]}
    assert list(rows) == ["rooftune", "onnxruntime"] and rows["onnxruntime"]["version"]
    for row in rows.values():
        assert_latency(row, "p50_ms", "p95_ms", "min_ms", "load_ms", "peak_memory_mb", "roofline_ms", "roofline_fraction")
        assert row["max_rel_error"] < 1e-4 and len(row["times_ms"]) == row["runs"] > 3


def test_bench_says_what_to_install(rooftune, files):
    done = rooftune("bench", files["mlp"], "--engines", "openvino", env=dict(PATH="/nowhere", HOME=os.environ["HOME"]))
    assert done.returncode == 4 and "pip install" in done.stderr and "openvino" in done.stderr


@pytest.mark.parametrize("engines, mention", [("warpdrive", "onnxruntime"), ("rooftune,rooftune", "twice")])
def test_bench_of_unknown_engines(rooftune, files, engines, mention):
    done = rooftune("bench", files["mlp"], "--engines", engines)
    assert done.returncode == 3 and mention in done.stderr


def test_bench_of_a_package(rooftune, files, tmp_path):
    """It holds the graph: its error is known too. Its memory needs no compiler."""
    rooftune.json("import", files["cnn"], "-o", tmp_path / "m.rt")
    rows = {name: rooftune.json("bench", path, "--duration", "0.1s")["results"][0]
            for name, path in (("package", tmp_path / "m.rt"), ("model", files["cnn"]))}
    assert 0 < rows["package"]["max_rel_error"] < 1e-4
    assert "compiling included" in rows["model"]["peak_memory_of"] and "compiling" not in rows["package"]["peak_memory_of"]
    assert 1 < rows["package"]["peak_memory_mb"] < rows["model"]["peak_memory_mb"]


def test_bench_counts_its_memory_before_the_references_run(rooftune, tmp_path):
    """Whose intermediate results, all alive at once, would be most of it."""
    size, layers = 1 << 20, 24
    nodes = [onnx.helper.make_node("Add" if i % 2 else "Mul", [f"v{i}", "c"], [f"v{i + 1}"], f"n{i}") for i in range(layers)]
    keep = [onnx.helper.make_node("Concat", [f"v{i}" for i in range(1, layers + 1)], ["all"], "keep", axis=0),
            onnx.helper.make_node("ReduceSum", ["all", "axis"], ["y"], "sum", keepdims=0)]
    constants = [onnx.numpy_helper.from_array(np.float32([0.5]), "c"), onnx.numpy_helper.from_array(np.int64([0]), "axis")]
    path = save(tmp_path / "wide.onnx", nodes + keep, [("v0", [1, size])], [("y", [size])], constants)
    rooftune.json("import", path, "-o", tmp_path / "wide.rt")
    row = rooftune.json("bench", tmp_path / "wide.rt", "--duration", "0.1s")["results"][0]
    arena = rooftune.json("profile", tmp_path / "wide.rt", "--runs", 1)["arena_bytes"] / 1e6
    assert row["peak_memory_mb"] < 1.1 * arena + 100, arena


def test_bench_of_a_package_by_a_rival(rooftune, files, tmp_path):
    rooftune.json("import", files["mlp"], "-o", tmp_path / "m.rt")
    done = rooftune("bench", tmp_path / "m.rt", "--engines", "onnxruntime", env=dict(os.environ, ROOFTUNE_PYTHON=sys.executable))
    assert done.returncode == 3 and ".onnx" in done.stderr


# ---------------------------------------------------------------- data
def test_verify_on_data(rooftune, files, tmp_path):
    rng = np.random.default_rng(8)
    rooftune.json("import", files["cnn"], "-o", tmp_path / "m.rt")
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "d.npz", image=rng.standard_normal((3, 1, 3, 24, 24), np.float32), shift=rng.standard_normal((3, 16, 1, 1), np.float32))
        assert rooftune.json("verify", files["cnn"], tmp_path / "m.rt", "--data", tmp_path / "d.npz")["agree"] is True
    np.savez(tmp_path / "d.npz", image=np.ones((1, 3, 24, 24), np.float32))
    done = rooftune("verify", files["cnn"], tmp_path / "m.rt", "--data", tmp_path / "d.npz")
    assert done.returncode == 3 and "shift" in done.stderr


# ---------------------------------------------------------------- free dimensions
@pytest.fixture
def free(tmp_path):
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["h"], "fc"), onnx.helper.make_node("Relu", ["h"], ["y"], "act")]
    return save(tmp_path / "free.onnx", nodes, [("x", ["batch", 8])], [("y", ["batch", 4])], [weights("w", 8, 4)])


def test_free_dimensions_are_asked_for(rooftune, free):
    done = rooftune("run", free)
    assert done.returncode == 3 and "--dim batch=1" in done.stderr and "'x'" in done.stderr


def test_free_dimensions_are_fixed(rooftune, free, tmp_path):
    x = np.random.default_rng(2).standard_normal((5, 8), np.float32)
    rooftune.json("run", free, "--dim", "batch=5", *feed(tmp_path, {"x": x}), "--output-dir", tmp_path / "out")
    assert relative_error(np.load(tmp_path / "out" / "y.npy"), expected(free, {"x": x})["y"]) < 1e-5
    assert rooftune.json("characterize", free, "--dim", "batch=5")["flops"] == pytest.approx(2 * 5 * 8 * 4, rel=0.2)


@pytest.mark.parametrize("dim", ["batch", "batch=", "batch=many", "batch=-1", "nobody=3"])
def test_bad_dimensions(rooftune, free, dim):
    done = rooftune("run", free, "--dim", dim)
    assert done.returncode == 3 and dim.split("=")[0] in done.stderr and "--dim" in done.stderr, done.stderr


# ---------------------------------------------------------------- what goes wrong outside
WRITERS = [("import", ["-o"], "m.rt"), ("run", ["--output-dir"], "out"), ("optimize", ["--budget", "0", "-o"], "out")]


@pytest.mark.parametrize("command, extra, target", WRITERS)
def test_where_nothing_can_be_written(rooftune, files, command, extra, target):
    done = rooftune(command, files["cnn"], *extra, f"/proc/no/{target}")
    assert done.returncode == 3 and "/proc/no" in done.stderr and done.stdout == "", done.stderr


def test_it_is_found_on_the_path(rooftune, files, tmp_path):
    """What lies beside it is found, whatever the working directory holds."""
    (tmp_path / "rooftune").mkdir()
    environment = dict(os.environ, PATH=f"{rooftune.program.parent}:{os.environ['PATH']}")
    for arguments in ("import {} -o m.rt", "analyze {} --target nvidia_h100_sxm"):
        done = subprocess.run(f"rooftune {arguments.format(files['mlp'])}", shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command,extra,target,most", [
    ("import", (), "x.rt", 64 << 10),
    ("optimize", ("--budget", "0"), "out", 4 << 20),
    ("run", (), "outputs", 4 << 20)], ids=["import", "optimize", "run"])
def test_where_the_disk_is_full(rooftune, model, tmp_path, tmp_path_factory, command, extra, target, most):
    """A file that may not grow any further fails as on a full disk: exit code 4, the path, and nothing left behind."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    to, path = "-o", None
    if command == "run":  # more output than the limit, and less generated code (the limit holds for memory files, too)
        nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"], "outer")]
        to, path = "--output-dir", save(tmp_path_factory.mktemp("large") / "m.onnx", nodes, [("x", [2048, 1])], [("y", [2048, 2048])],
                                        [weights("w", 2048)])
    done = rooftune(command, path or model("minilm"), *extra, to, tmp_path / target, preexec_fn=limit)
    assert done.returncode == 4, f"exit {done.returncode}\n{done.stderr}"
    assert str(tmp_path) in done.stderr and "File too large" in done.stderr
    assert os.listdir(tmp_path) == []


def test_nan_is_valid_json(rooftune, tmp_path):
    nodes = [onnx.helper.make_node("Sqrt", ["x"], ["r"], "root"), onnx.helper.make_node("Mul", ["r", "w"], ["y"], "scale")]
    model = save(tmp_path / "nan.onnx", nodes, [("x", [4, 8])], [("y", [4, 8])], [weights("w", 8)])
    forbid = lambda name: pytest.fail(name)
    for arguments in (["bench", model, "--duration", "0.1s"], ["verify", model, model], ["profile", model]):
        done = rooftune(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout, parse_constant=forbid)


@pytest.mark.parametrize("command", ["analyze", "optimize"])
def test_explain_says_why_kernels_were_not_fused(rooftune, tmp_path, command):
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["h"], "fc"), onnx.helper.make_node("Relu", ["h"], ["r"], "act"),
             onnx.helper.make_node("Softmax", ["r"], ["s"], "soft", axis=-1), onnx.helper.make_node("MatMul", ["r", "w"], ["y"], "again")]
    model = save(tmp_path / "m.onnx", nodes, [("x", [8, 8])], [("y", [8, 8]), ("s", [8, 8])], [weights("w", 8, 8)])
    extra = ["--budget", "0", "-o", tmp_path / "out"] if command == "optimize" else []
    done = rooftune(command, model, *extra, "--explain", "--json")
    assert done.returncode == 0 and "needed elsewhere" in done.stderr or "ends here" in done.stderr, done.stderr
    assert "direct" not in done.stderr  # an algorithm is no reason
    notes = {o["name"]: o.get("note") for o in json.loads(done.stdout)["operators"]}
    assert any(notes.values())


def test_explain_says_why_on_stderr(rooftune, tmp_path):
    nodes = [onnx.helper.make_node("NonZero", ["x"], ["n"], "somewhere"), onnx.helper.make_node("Shape", ["n"], ["y"], "size")]
    graph = onnx.helper.make_graph(nodes, "g", [onnx.helper.make_tensor_value_info("x", 1, [4, 4])],
                                   [onnx.helper.make_tensor_value_info("y", 7, [2])])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    done = rooftune("profile", tmp_path / "m.onnx", "--explain", "--json")
    assert done.returncode == 0 and "somewhere" in done.stderr and "NonZero" in done.stderr, done.stderr
    json.loads(done.stdout)


@pytest.mark.parametrize("command", ["characterize", "analyze", "run", "bench", "profile", "doctor"])
def test_without_json_it_reads_well(rooftune, files, command):
    done = rooftune(command, *([] if command == "doctor" else [files["cnn"]]), *(["--duration", "0.1s"] if command == "bench" else []))
    assert done.returncode == 0 and done.stdout.strip() and "{" not in done.stdout and "nan" not in done.stdout.lower()
    assert command != "doctor" or ("GFLOP/s" in done.stdout and "GB/s" in done.stdout)
