"""The wheel that scripts/build-wheel makes, installed into fresh virtual environments."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
VERSIONS = ["3.10", "3.11", "3.12", "3.13"]


def interpreters():
    """Version -> a CPython of it on this machine: the one that runs this, those on PATH and those of pyenv."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
    candidates = [getattr(sys, "_base_executable", sys.executable), *filter(None, (shutil.which(f"python{v}") for v in VERSIONS)), *pyenv]
    found = {}
    for candidate in candidates:
        asked = subprocess.run([candidate, "-c", "import sys, venv, ensurepip; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"],
                               capture_output=True, text=True)
        name, _, version = asked.stdout.strip().partition(" ")
        if name == "cpython":
            found.setdefault(version, candidate)
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([ROOT / "scripts" / "build-wheel", folder], capture_output=True, text=True, env=dict(os.environ, ROOFTUNE_BUILD=str(BUILD)))
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip().splitlines()[-1])
    assert re.fullmatch(r"rooftune-[\d.]+-py3-none-manylinux_2_\d+_x86_64\.whl", path.name)
    return path


class Installed:
    """A virtual environment that holds the wheel and nothing else but numpy."""

    def __init__(self, interpreter, folder, wheel):
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        self.bin = folder / "bin"
        # What a user's shell may have set does not help, and neither does this repository.
        self.environment = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH") and not k.startswith("ROOFTUNE_")}
        subprocess.run([self.bin / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True, env=self.environment)
        self.folder = folder

    def __call__(self, program, *arguments, cwd, **environment):
        done = subprocess.run([self.bin / program, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300,
                              env={**self.environment, **environment})
        assert done.returncode == 0, f"{program} {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """installed(version) -> the environment of that CPython; skips where there is none."""
    there, made = interpreters(), {}

    def environment(version):
        if version not in there:
            pytest.skip(f"no CPython {version} on this machine")
        if version not in made:
            made[version] = Installed(there[version], tmp_path_factory.mktemp(f"cpython{version}"), wheel)
        return made[version]

    return environment
