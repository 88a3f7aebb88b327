"""Builds the wheel: the package, librooftune.so with the code generator and the trees of the cost model beside it, their
headers, the registry (hardware, predictors), the presets of searches and the worker that runs other engines. There is no source distribution: what the libraries are built from is the whole
repository.

A build backend (PEP 517) of its own, because all that is needed is a zip archive with the right names in it. The
libraries come from $ROOFTUNE_BUILD, else from build/release of this repository. As `pip install ./python` builds it, the
wheel is for this machine; scripts/build-wheel makes the one for others, with what the libraries need inside.
"""
import base64
import hashlib
import os
import re
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARIES = ("librooftune.so", "librooftune_codegen_cpu.so", "librooftune_trees.so")


def _version():
    return re.search(r"project\(rooftune VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


LOCAL = f"linux_{os.uname().machine}"
HEADERS = ("src/capi/rooftune.h", "src/plugins/rooftune_plugin.h")


def _metadata():
    project = (HERE / "pyproject.toml").read_text()
    field = lambda name: re.search(rf'^{name} = "(.*)"', project, re.M).group(1)
    needs = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*)\]", project, re.M).group(1))
    lines = ["Metadata-Version: 2.1", "Name: rooftune", f"Version: {_version()}", f"Summary: {field('description')}",
             "License: Apache-2.0", f"Requires-Python: {field('requires-python')}"]
    return "\n".join(lines + [f"Requires-Dist: {need}" for need in needs]) + "\n"


def _info(platform):
    wheel = f"Wheel-Version: 1.0\nGenerator: rooftune\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n"
    return {"METADATA": _metadata(), "WHEEL": wheel, "licenses/LICENSE": ROOT / "LICENSE",
            "entry_points.txt": "[console_scripts]\nrooftune = rooftune.__main__:main\n"}


def _files():
    """Name in the wheel -> path."""
    files = {f"rooftune/{p.name}": p for p in sorted((HERE / "rooftune").glob("*.py"))}
    libraries = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release")) / "lib"
    for name in LIBRARIES:
        path = libraries / name
        if path.exists():
            files[f"rooftune/lib/{name}"] = path
        elif name == LIBRARIES[0]:
            raise SystemExit(f"{path} is missing: run scripts/build first, or set ROOFTUNE_BUILD")
    files["rooftune/bench/worker.py"] = ROOT / "bench" / "worker.py"  # `bench` runs other engines in it
    for header in HEADERS:
        files[f"rooftune/include/{Path(header).name}"] = ROOT / header
    for path in sorted([*(ROOT / "registry").rglob("*.yaml"), *(ROOT / "registry").rglob("*.onnx"), *(ROOT / "configs").glob("*.yaml")]):
        files[f"rooftune/{path.relative_to(ROOT)}"] = path
    return files


def _write_wheel(folder, files, platform=LOCAL, more_info={}):
    """`files`: name -> path or text; `more_info`: the same for files of the dist-info folder."""
    name = f"rooftune-{_version()}-py3-none-{platform}.whl"
    dist_info = f"rooftune-{_version()}.dist-info"
    contents = dict(files, **{f"{dist_info}/{key}": text for key, text in {**_info(platform), **more_info}.items()})
    record = []
    with zipfile.ZipFile(Path(folder) / name, "w", zipfile.ZIP_DEFLATED) as archive:
        def add(member, data):
            info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))  # equal content, equal wheel
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o755 if ".so" in member else 0o644) << 16
            archive.writestr(info, data)

        for member, source in contents.items():
            data = source.read_bytes() if isinstance(source, Path) else source.encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{member},sha256={digest},{len(data)}")
            add(member, data)
        add(f"{dist_info}/RECORD", "\n".join([*record, f"{dist_info}/RECORD,,"]) + "\n")
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _write_wheel(wheel_directory, _files())


def build_bundled(wheel_directory):
    """The wheel for other machines (wheel_bundle.py)."""
    import wheel_bundle
    files = _files()
    libraries = [files.pop(f"rooftune/lib/{name}") for name in LIBRARIES if f"rooftune/lib/{name}" in files]
    with tempfile.TemporaryDirectory() as folder:
        sources = wheel_bundle.bundle(libraries, folder)
        files.update({f"rooftune/lib/{path.name}": path for path in sorted(Path(folder).iterdir())})
        licences = {f"licenses/{package}": path for package, path in wheel_bundle.licences(sources).items()}
        return _write_wheel(wheel_directory, files, wheel_bundle.platform_tag(), licences)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _write_wheel(wheel_directory, {"rooftune_editable.pth": f"{HERE}\n"})


if __name__ == "__main__":
    print(Path(sys.argv[1]) / build_bundled(sys.argv[1]))
