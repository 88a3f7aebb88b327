"""Builds the wheel: the package, librooftune.so and the code generator beside it, the hardware registry and the worker
that runs other engines. There is no source distribution: what the libraries are built from is the whole repository.

A build backend (PEP 517) of its own, because all that is needed is a zip archive with the right names in it. The
libraries come from $ROOFTUNE_BUILD, else from build/release of this repository.
"""
import base64
import hashlib
import os
import re
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARIES = ("librooftune.so", "librooftune_codegen_cpu.so")


def _version():
    return re.search(r"project\(rooftune VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def _tag():
    return f"py3-none-linux_{os.uname().machine}"


def _metadata():
    project = (HERE / "pyproject.toml").read_text()
    field = lambda name: re.search(rf'^{name} = "(.*)"', project, re.M).group(1)
    needs = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*)\]", project, re.M).group(1))
    lines = ["Metadata-Version: 2.1", "Name: rooftune", f"Version: {_version()}", f"Summary: {field('description')}",
             "License: Apache-2.0", f"Requires-Python: {field('requires-python')}"]
    return "\n".join(lines + [f"Requires-Dist: {need}" for need in needs]) + "\n"


def _info():
    wheel = f"Wheel-Version: 1.0\nGenerator: rooftune\nRoot-Is-Purelib: false\nTag: {_tag()}\n"
    return {"METADATA": _metadata(), "WHEEL": wheel}


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
    for path in sorted((ROOT / "registry").rglob("*.yaml")):
        files[f"rooftune/{path.relative_to(ROOT)}"] = path
    return files


def _write_wheel(folder, files):
    """`files`: name -> path or text."""
    name = f"rooftune-{_version()}-{_tag()}.whl"
    dist_info = f"rooftune-{_version()}.dist-info"
    contents = dict(files, **{f"{dist_info}/{key}": text for key, text in _info().items()})
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


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _write_wheel(wheel_directory, {"rooftune_editable.pth": f"{HERE}\n"})

