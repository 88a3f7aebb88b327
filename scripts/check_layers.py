#!/usr/bin/env python3
"""Checks the layering of src/ (ARCHITECTURE.md): a room includes only rooms above it. No exceptions.

Also: LLVM headers only in src/codegen/cpu, intrinsics only in src/measure (which measures the machine's peaks) and
src/base, and the rooms in src/CMakeLists.txt stand in the same order.
"""
import pathlib
import re
import sys

ORDER = """base ir kernel ops frontends hardware measure estimate passes codegen plugins runtime verify search tune calibrate
compress relayout nas recipes exporters report pipeline store service capi cli""".split()

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]')
LLVM = re.compile(r"^(llvm|llvm-c|lld|clang)/")
INTRINSICS_HEADER = re.compile(r"^([a-z0-9]*mmintrin|x86intrin|x86gprintrin|immintrin|intrin|cpuid|arm_neon|arm_sve|amx[a-z]*intrin)\.h$")
INTRINSICS_CALL = re.compile(r"\b(__builtin_ia32_\w+|_mm\d*_\w+)\s*\(")


def check_file(path, src):
    """Yields (line number, message) for each violation in one file."""
    parts = path.relative_to(src).parts
    if len(parts) == 1:
        return  # src/CMakeLists.txt and its like
    room = parts[0]
    if room not in ORDER:
        yield 0, f"room '{room}' is not in the house: add it to ARCHITECTURE.md and to ORDER in scripts/check_layers.py"
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            if room not in ("base", "measure") and (call := INTRINSICS_CALL.search(line.split("//")[0])):
                yield number, f"'{call.group(1)}': intrinsics belong to src/measure and src/base only"
            continue
        header = found.group(1)
        if LLVM.match(header) and parts[:2] != ("codegen", "cpu"):
            yield number, f"<{header}>: LLVM is seen by src/codegen/cpu only"
        if INTRINSICS_HEADER.match(header) and room not in ("base", "measure"):
            yield number, f"<{header}>: intrinsics belong to src/measure and src/base only"
        target = header.split("/")[0]
        if target in ORDER and (src / header).exists():
            if ORDER.index(target) > ORDER.index(room):
                yield number, f'"{header}": {target} stands below {room} (order: {" ".join(ORDER)})'
        elif header.startswith("../") or (path.parent / header).exists() and "/" not in header:
            yield number, f'"{header}": include it by its path from src/ ("{room}/…")'


def check_cmake(src):
    rooms = re.findall(r"^rooftune_room\((\w+)", (src / "CMakeLists.txt").read_text(), re.M)
    known = [room for room in rooms if room in ORDER]
    for room in rooms:
        if room not in ORDER:
            yield 0, f"room '{room}' is not in the house"
    if known != sorted(known, key=ORDER.index):
        yield 0, f"the rooms are out of order: {' '.join(known)}"


def violations(src):
    yield from ((src / "CMakeLists.txt", *v) for v in check_cmake(src))
    for path in sorted(src.rglob("*")):
        if path.suffix in (".h", ".cpp", ".c", ".inc"):
            yield from ((path, *v) for v in check_file(path, src))


def main():
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent / "src"
    found = list(violations(src))
    for path, line, message in found:
        print(f"{path.relative_to(src.parent)}:{line}: {message}")
    if not found:
        print("layers: every include goes up")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
