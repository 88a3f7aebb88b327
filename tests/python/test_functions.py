"""Commands as functions; the wheel."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rooftune
from rooftune import _commands

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


def test_every_command_is_a_function():
    for name in ("analyze", "bench", "characterize", "doctor", "import_model", "optimize", "profile", "run", "verify"):
        command = getattr(rooftune, name)
        assert command.__name__ == name and "rooftune " in command.__doc__


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


def test_the_wheel_installs_and_works(tmp_path, packages):
    sys.path.insert(0, str(ROOT / "python"))
    import wheel_backend
    name = wheel_backend.build_wheel(tmp_path)
    assert name == f"rooftune-{rooftune.__version__}-py3-none-linux_{os.uname().machine}.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        names = wheel.namelist()
        assert "rooftune/lib/librooftune.so" in names and "rooftune/registry/hardware/nvidia_h200_sxm.yaml" in names
        wheel.extractall(tmp_path / "site")
    environment = {k: v for k, v in os.environ.items() if k not in ("ROOFTUNE_LIBRARY", "PYTHONPATH")}
    script = (f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import rooftune; "
              f"print(rooftune.__file__, [s.name for s in rooftune.load({str(packages / 'matrix.rt')!r}).inputs])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout and "['in0']" in done.stdout
    first = (tmp_path / name).read_bytes()
    wheel_backend.build_wheel(tmp_path)
    assert (tmp_path / name).read_bytes() == first, "equal content must give an equal wheel"


def test_a_missing_library_is_explained(tmp_path):
    environment = dict(os.environ, ROOFTUNE_LIBRARY=str(tmp_path / "no.so"), PYTHONPATH=str(ROOT / "python"))
    done = subprocess.run([sys.executable, "-c", "import rooftune"], capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "EnvironmentError" in done.stderr and "scripts/build" in done.stderr
