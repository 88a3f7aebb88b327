"""Commands as functions; the wheel."""
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rooftune
from rooftune import _commands
from small_models import expected, mlp, relative_error

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))


def test_call():
    answer = rooftune.call("version")
    assert answer["version"] == rooftune.__version__
    assert "version" in answer["functions"]
    with pytest.raises(rooftune.InputError, match="there is no function 'no_such'"):
        rooftune.call("no_such")


def test_requests_are_plain_data(tmp_path):
    with pytest.raises(TypeError, match="set cannot stand in a request"):
        rooftune.call("version", field={1})
    assert rooftune.call("version", {"a": 1}, path=tmp_path)["version"]


def test_the_commands_are_those_of_the_library():
    names = {"import_model" if name == "import" else name for name in rooftune.call("version")["functions"]} - {"version", "torch_operators"}
    ours = {name for name in rooftune.__all__ if getattr(getattr(rooftune, name), "__module__", "") == "rooftune._commands"}
    assert ours - {"call"} == names and len(names) >= 9
    for name in names:
        assert getattr(rooftune, name).__name__ == name and "rooftune " in getattr(rooftune, name).__doc__


@pytest.fixture
def model(tmp_path):
    return mlp(tmp_path / "model.onnx")


def test_characterize_optimize_load_run(model, tmp_path):
    facts = rooftune.characterize(model)
    assert facts["parameters"] == 64 * 96 + 96 + 96 * 32 + 32
    assert rooftune.characterize({"model": model}) | {"load_ms": 0} == facts | {"load_ms": 0}
    stages = []
    report = rooftune.optimize(model, output=tmp_path / "out", budget="0", seed=3, precisions="fp32",
                               progress=lambda stage, *numbers: stages.append(stage))
    assert report["verified"] is True and report["parameters"] == facts["parameters"] and "writing" in stages and "pass constant_fold" in stages
    x = np.random.default_rng().standard_normal((16, 64), np.float32)
    got = rooftune.load(tmp_path / "out" / "model.rt").run({"x": x})
    want = expected(model, {"x": x})
    assert list(got) == ["y"] and relative_error(got["y"], want["y"]) < 1e-4
    assert rooftune.verify(model, tmp_path / "out" / "model.rt")["agree"] is True


def test_engines_may_be_one_text(model):
    with pytest.raises(rooftune.InputError, match="'warpdrive' is not known"):
        rooftune.bench(model, engines="rooftune,warpdrive")
    rows = rooftune.bench(model, engines="rooftune,onnxruntime", duration="0.2s", threads=1)["results"]
    assert [r["engine"] for r in rows] == ["rooftune", "onnxruntime"] and all(r["p50_ms"] > 0 for r in rows)


def test_fields_without_a_name(model):
    with pytest.raises(TypeError, match="takes model without a name"):
        rooftune.characterize(model, model)
    with pytest.raises(TypeError, match="two values for 'model'"):
        rooftune.characterize(model, model=model)


def test_the_readme_is_right(model, tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    assert 'budget="2m"' in example
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example.replace('budget="2m"', 'budget="0"'), names)  # noqa: S102
    assert names["outputs"]["y"].shape == (16, 32) and (tmp_path / "out" / "report.html").exists()
    assert (ROOT / re.search(r"\((src/\S+\.h)\)", readme).group(1)).exists()
    assert "pip install ./python" in readme


def test_what_the_caller_raised_is_raised_where_the_call_fails(model, monkeypatch):
    class Library:  # told to end, it fails
        @staticmethod
        def rt_call(name, request, progress, user, response):
            progress(None, b"stage", 0, 0, 0, 0)
            raise rooftune.EnvironmentError("interrupted")

    monkeypatch.setattr(_commands, "lib", Library)

    def interrupt(*report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rooftune.call("x", progress=interrupt)
    with pytest.raises(rooftune.EnvironmentError):
        rooftune.call("x", progress=lambda *report: True)


def test_a_run_that_was_stopped_gives_no_outputs(model, tmp_path):
    with pytest.raises(rooftune.EnvironmentError, match="interrupted before .*model.onnx was run"):
        rooftune.run(model, output_dir=tmp_path / "out", progress=lambda stage, *numbers: stage == "running")
    assert not (tmp_path / "out").exists()


def test_stopping_while_the_expected_outputs_are_computed(model, tmp_path):
    """What has been checked until then is what the report says was checked."""
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(4).standard_normal((48, 64), np.float32))
    report = rooftune.optimize(model, output=tmp_path / "out", data=tmp_path / "d.npz", budget="0",
                               progress=lambda stage, *numbers: stage.startswith("computing what"))
    assert report["verified"] is True and report["verification"]["samples"] == 1
    assert report["verification"]["against"] == "the unoptimised graph on 1 random input"


def test_progress_and_its_exceptions(monkeypatch):
    seen = []

    class Library:  # a function that reports three times and stops when asked to
        @staticmethod
        def rt_call(name, request, progress, user, response):
            for i in range(3):
                if progress(None, b"stage", i, 3, float("nan"), 1.5):
                    break
            seen.append(i)
            real.rt_call(b"version", b"{}", progress, None, response)

    real = _commands.lib
    monkeypatch.setattr(_commands, "lib", Library)
    reports = []
    rooftune.call("x", progress=lambda *report: reports.append(report))
    assert reports == [("stage", float(i), 3.0, None, 1.5) for i in range(3)] and seen == [2]
    rooftune.call("x", progress=lambda *report: True)
    assert seen == [2, 0]
    with pytest.raises(KeyboardInterrupt):
        def interrupt(*report):
            raise KeyboardInterrupt
        rooftune.call("x", progress=interrupt)
    assert seen == [2, 0, 0]


def test_the_wheel_installs_and_works(tmp_path, packages, model):
    sys.path.insert(0, str(ROOT / "python"))
    import wheel_backend
    name = wheel_backend.build_wheel(tmp_path)
    assert name == f"rooftune-{rooftune.__version__}-py3-none-linux_{os.uname().machine}.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        names = wheel.namelist()
        assert "rooftune/lib/librooftune.so" in names and "rooftune/registry/hardware/nvidia_h200_sxm.yaml" in names
        assert "rooftune/configs/search_presets.yaml" in names
        wheel.extractall(tmp_path / "site")
    environment = {k: v for k, v in os.environ.items() if k not in ("ROOFTUNE_LIBRARY", "PYTHONPATH")}
    script = (f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import rooftune; "
              f"print(rooftune.__file__, [s.name for s in rooftune.load({str(packages / 'matrix.rt')!r}).inputs])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout and "['in0']" in done.stdout
    script = (f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import rooftune; "
              f"print([r['p50_ms'] > 0 for r in rooftune.bench({str(model)!r}, engines='onnxruntime', duration='0.1s')['results']])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0 and "[True]" in done.stdout, done.stderr
    first = (tmp_path / name).read_bytes()
    wheel_backend.build_wheel(tmp_path)
    assert (tmp_path / name).read_bytes() == first, "equal content must give an equal wheel"


def test_a_missing_library_is_explained(tmp_path):
    environment = dict(os.environ, ROOFTUNE_LIBRARY=str(tmp_path / "no.so"), PYTHONPATH=str(ROOT / "python"))
    done = subprocess.run([sys.executable, "-c", "import rooftune"], capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "EnvironmentError" in done.stderr and "scripts/build" in done.stderr
