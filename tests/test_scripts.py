"""The lint and the counting script: a check that cannot fail checks nothing."""
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def run(script, argument):
    done = subprocess.run([sys.executable, str(SCRIPTS / script), str(argument)], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.fixture
def house(tmp_path):
    """A tiny src/ with three rooms; house("ir/a.h", "text") adds a file."""
    src = tmp_path / "src"

    def add(name, text):
        path = src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return src

    add("CMakeLists.txt", "rooftune_room(base)\nrooftune_room(ir DEPENDS rt_base)\nrooftune_room(codegen)\n")
    add("base/a.h", "#pragma once\n#include <immintrin.h>\n")
    add("ir/a.h", '#pragma once\n#include "base/a.h"\n#include <vector>\n')
    add("codegen/cpu/emit.cpp", '#include <llvm/IR/IRBuilder.h>\n#include "ir/a.h"\n#include "codegen/cpu/emit.h"\n')
    add("codegen/cpu/emit.h", "#pragma once\n")
    return add


def test_layers_accept_what_goes_up(house):
    assert run("check_layers.py", house("ir/b.cpp", '#include "ir/a.h"\n'))[0] == 0


@pytest.mark.parametrize("name, text, complaint", [
    ("base/b.cpp", '\n#include "ir/a.h"\n', "base/b.cpp:2: \"ir/a.h\": ir stands below base"),
    ("base/b_test.cpp", '#include "ir/a.h"\n', "ir stands below base"),
    ("ir/deep/b.h", "#  include <llvm/IR/Module.h>\n", "LLVM is seen by src/codegen/cpu only"),
    ("codegen/b.cpp", '#include "llvm/IR/Module.h"\n', "LLVM is seen by src/codegen/cpu only"),
    ("ir/b.cpp", "#include <immintrin.h>\n", "intrinsics belong"),
    ("ir/b.cpp", "int f() { return _mm_popcnt_u32(3); }\n", "intrinsics belong"),
    ("ir/b.cpp", '#include "../base/a.h"\n', "by its path from src/"),
    ("ir/b.cpp", '#include "a.h"\n', "by its path from src/"),
    ("attic/b.cpp", "", "room 'attic' is not in the house"),
    ("CMakeLists.txt", "rooftune_room(ir)\nrooftune_room(base)\n", "out of order"),
])
def test_layers_reject(house, name, text, complaint):
    status, output = run("check_layers.py", house(name, text))
    assert status == 1
    assert complaint in output


def junit(path, cases):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f'<testcase name="{name}" classname="C">{body}</testcase>' for name, body in cases)
    path.write_text(f"<testsuites><testsuite>{rows}</testsuite></testsuites>")


def test_count_adds_up_everything(tmp_path):
    (tmp_path / "checks.txt").write_text("passed layers\nfailed format\n")
    junit(tmp_path / "ctest-release.xml", [("ir_test", ""), ("ops_test", "<failure/>"), ("crash_test", "<failure/>"), ("plain", "")])
    junit(tmp_path / "gtest-release/ir_test.xml", [("a", ""), ("b", "")])
    junit(tmp_path / "gtest-release/ops_test.xml", [("c", ""), ("d", "<failure/>")])
    junit(tmp_path / "pytest-release.xml", [("e", ""), ("f", "<error/>"), ("g", "<skipped/>")])
    status, output = run("count_tests.py", tmp_path)
    # passed: layers, a, b, c, plain, e; failed: format, d, crash_test, f
    assert output.splitlines()[-1] == "6 passed, 4 failed"
    assert status == 1
    assert "crash_test" in output and "skipped: C.g" in output


def test_count_of_nothing_is_a_failure(tmp_path):
    assert run("count_tests.py", tmp_path) == (1, "0 passed, 0 failed\n")


def test_count_all_passed(tmp_path):
    junit(tmp_path / "pytest-release.xml", [("e", "")])
    assert run("count_tests.py", tmp_path) == (0, "1 passed, 0 failed\n")
