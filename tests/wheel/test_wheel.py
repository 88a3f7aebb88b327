"""The wheel for other machines: it optimises and runs models under every CPython that is here, brings all libraries that are
not the platform's, and shares a process with others that bring the same ones."""
import ast
import json
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from wheels import BUILD, ROOT, VERSIONS

sys.path.append(str(ROOT / "tests" / "e2e"))
from small_models import cnn, expected, random_inputs  # noqa: E402

HERE = ".".join(platform.python_version_tuple()[:2])
PLATFORM = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+))\.so\.\d+$|ld-2|vdso")

# Optimises, runs, compares; what is mapped into memory then is printed.
JOB = """
import ctypes, json, pathlib, sys
import numpy as np
import rooftune

def job(folder):
    folder = pathlib.Path(folder)
    report = rooftune.optimize(folder / "model.onnx", output=folder / "out", budget="0", seed=3)
    assert report["verified"] is True
    got = rooftune.load(folder / "out" / "model.rt").run(dict(np.load(folder / "inputs.npz")))
    for name, want in np.load(folder / "expected.npz").items():
        assert np.linalg.norm(got[name] - want) < 1e-4 * np.linalg.norm(want), name

if __name__ == "__main__":
    job(sys.argv[1])
    ctypes.CDLL(str(pathlib.Path(rooftune.__file__).parent / "lib" / "librooftune_trees.so"))  # tuning loads it
    mapped = {line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if "/" in line and ".so" in line}
    print(json.dumps([rooftune.__file__, sorted(mapped)]))
"""


@pytest.fixture
def job(tmp_path):
    """A folder with a model, inputs, what it gives for them, and job.py."""
    path = cnn(tmp_path / "model.onnx")
    inputs = random_inputs(path, np.random.default_rng().integers(1 << 30))
    np.savez(tmp_path / "inputs.npz", **inputs)
    np.savez(tmp_path / "expected.npz", **expected(path, inputs))
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_is_optimised_and_run(version, installed, job):
    python = installed(version)
    package, mapped = json.loads(python("python", "job.py", job, cwd=job, LD_BIND_NOW="1"))
    package = Path(package).parent
    assert package.is_relative_to(python.folder)
    ours = [Path(p).name for p in mapped if Path(p).is_relative_to(package)]
    assert {"librooftune.so", "librooftune_codegen_cpu.so", "librooftune_trees.so"} <= set(ours) and any(n.startswith("libfmt-") for n in ours)
    script = "import ctypes, multiprocessing, subprocess, zipfile, numpy.random; print(open('/proc/self/maps').read())"
    without_us = python("python", "-c", script, cwd=job)
    for path in mapped:  # the rest is Python's, numpy's or the platform's
        assert Path(path).is_relative_to(python.folder) or PLATFORM.search(path) or path in without_us or "/lib-dynload/" in path, \
            f"{path} comes from neither the wheel nor the platform"
    assert not any("LLVM" in p for p in mapped)


def test_the_command_line(installed, job):
    python = installed(HERE)
    assert re.fullmatch(r"rooftune \d+\.\d+\.\d+\n", python("rooftune", "--version", cwd=job))
    python("rooftune", "import", "model.onnx", "-o", "model.rt", cwd=job)
    inputs = dict(np.load(job / "inputs.npz"))
    for name, value in inputs.items():
        np.save(job / f"{name}.npy", value)
    feeds = [word for name in inputs for word in ("--input", f"{name}={name}.npy")]
    answer = json.loads(python("rooftune", "run", "model.rt", *feeds, "--output-dir", "results", "--json", cwd=job))
    for output, (name, want) in zip(answer["outputs"], np.load(job / "expected.npz").items()):
        got = np.load(job / output["file"])
        assert output["name"] == name and np.linalg.norm(got - want) < 1e-4 * np.linalg.norm(want)
    assert "H200" in python("rooftune", "analyze", "model.onnx", "--target", "nvidia_h200_sxm", cwd=job)  # the registry
    failed = subprocess.run([python.bin / "rooftune", "import", "absent.onnx", "-o", "x.rt"], capture_output=True, text=True, cwd=job)
    assert failed.returncode == 3 and "absent.onnx" in failed.stderr


def test_programs_in_c(installed, job):
    """The headers stand in the wheel, and what uses them runs with the libraries there."""
    python = installed(HERE)
    package = Path(python("python", "-c", "import rooftune; print(rooftune.__path__[0])", cwd=job).strip())
    (job / "use.c").write_text('#include <rooftune.h>\n#include <rooftune_plugin.h>\n#include <stdio.h>\n'
                               'int main(void) { rt_executable* e; puts(rt_version()); return rt_executable_load("model.rt", &e); }\n')
    python("rooftune", "import", "model.onnx", "-o", "model.rt", cwd=job)
    subprocess.run(["cc", "use.c", f"-I{package}/include", f"-L{package}/lib", "-lrooftune", f"-Wl,-rpath,{package}/lib", "-o", "use"], check=True, cwd=job)
    assert subprocess.run(["./use"], check=True, cwd=job, capture_output=True, text=True, env=python.environment).stdout.strip()


# Each computes something before Rooftune is there (or after): jaxlib and OpenVINO bring an LLVM and a protobuf of their own.
OTHERS = {
    "onnxruntime": """
import onnxruntime
got = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"]).run(None, dict(np.load(folder + "/inputs.npz")))
assert np.allclose(got[0], np.load(folder + "/expected.npz")[wanted], atol=1e-3)""",
    "openvino": """
import openvino
got = openvino.compile_model(folder + "/model.onnx", "CPU")(dict(np.load(folder + "/inputs.npz")))
assert got[0].shape == np.load(folder + "/expected.npz")[wanted].shape""",
    "jax": """
import jax
assert float(jax.jit(lambda x: (x @ x).sum())(np.ones((64, 64), np.float32))) == 64**3""",
    "onnx": """
import onnx
onnx.checker.check_model(onnx.load(folder + "/model.onnx"), full_check=True)""",
}


@pytest.mark.parametrize("first", ["others", "rooftune"])
def test_beside_other_engines(first, installed, job):
    """In one process, whoever comes first; all engines that the environment of these tests has (PyTorch: tests/pytorch)."""
    python = installed(HERE)
    here = str(Path(np.__file__).parents[1])
    wanted = list(np.load(job / "expected.npz"))[0]
    others = "".join(f"\ntry:{indented(code)}\n    engines.append({name!r})\nexcept ModuleNotFoundError as e:\n    assert e.name == {name!r}\n"
                     for name, code in OTHERS.items())
    start = f"import sys\nsys.path.append({here!r})\nimport numpy as np\nfolder, wanted, engines = {str(job)!r}, {wanted!r}, []\n"
    ours = "import job\njob.job(folder)\n"
    (job / "both.py").write_text(start + (others + ours + others if first == "others" else ours + others + ours) + "print(engines)\n")
    engines = ast.literal_eval(python("python", "both.py", cwd=job).strip().splitlines()[-1])
    assert "onnxruntime" in engines


def test_others_symbols_are_not_taken_for_ours(installed, job):
    """As beside TensorFlow, which offers its protobuf to the whole process: here are functions of all the names, which crash."""
    ours = subprocess.run(["ldd", BUILD / "lib" / "librooftune.so"], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"lib(?:protobuf-lite|fmt|spdlog|yaml-cpp|sqlite3)\.so\S* => (\S+)", ours)
    symbols = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", *libraries], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^(\w+) T ", symbols, re.M)) - {"_init", "_fini"}
    assert len(libraries) == 5 and any("protobuf" in name for name in names)
    (job / "clash.s").write_text("".join(f".globl {name}\n{name}:\n" for name in sorted(names)) + "ud2\n.section .note.GNU-stack\n")
    subprocess.run(["cc", "-shared", "clash.s", "-o", "clash.so"], check=True, cwd=job)
    (job / "clash.py").write_text(f"import ctypes\nctypes.CDLL('./clash.so', ctypes.RTLD_GLOBAL)\nimport job\njob.job({str(job)!r})\n")
    installed(HERE)("python", "clash.py", cwd=job)


def indented(code):
    return code.replace("\n", "\n    ")


def test_what_is_in_it(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    for library in (n for n in names if ".so" in n):
        dynamic = subprocess.run(["readelf", "-dW", tmp_path / library], capture_output=True, text=True, check=True).stdout
        for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
            assert PLATFORM.search(needed) or f"rooftune/lib/{needed}" in names, f"{library} needs {needed}"
        assert "[$ORIGIN]" in dynamic and "/usr" not in dynamic
    symbols = subprocess.run(["nm", "-D", "--defined-only", *sorted(tmp_path.glob("rooftune/lib/librooftune*.so"))],
                             capture_output=True, text=True, check=True).stdout
    exported = re.findall(r"^[0-9a-f]+ \w (\S+)", symbols, re.M)
    assert exported and all(s.startswith("rt_") or s in ("rooftune_make_cpu_codegen", "rooftune_tree_library") for s in exported)
    licences = [n for n in names if "/licenses/" in n]
    assert len(licences) >= len([n for n in names if ".so" in n]) and all((tmp_path / n).stat().st_size > 500 for n in licences)


def test_the_python_in_it_is_of_the_oldest_version():
    oldest = tuple(map(int, VERSIONS[0].split(".")))
    assert f'requires-python = ">={VERSIONS[0]}"' in (ROOT / "python" / "pyproject.toml").read_text()
    for path in [*(ROOT / "python" / "rooftune").glob("*.py"), ROOT / "bench" / "worker.py"]:
        ast.parse(path.read_text(), path.name, feature_version=oldest)
