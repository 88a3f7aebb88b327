"""Every file of the corpus is refused, or accepted where it is legal, with a message that names what is wrong, quickly
and without taking much memory."""
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
MOST_MEMORY = 2 << 30   # of address space: what a size in a file asks for must not be allocated


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    subprocess.run([sys.executable, str(Path(__file__).with_name("make_corpus.py")), str(folder)], check=True)
    return folder, json.loads((folder / "table.json").read_text())


def run(command):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, preexec_fn=limit)


def check_all(corpus, command):
    folder, table = corpus
    assert len(table) >= 60
    wrong = []
    for name, expected in table.items():
        done = run(command(folder / name))
        if done.returncode != expected["exit"] or expected["says"] not in done.stderr:
            wrong.append(f"{name}: expected exit {expected['exit']} and '{expected['says']}', got {done.returncode}: {done.stderr.strip()}")
    assert not wrong, "\n".join(wrong)


def test_importer_and_inference(corpus):
    check_all(corpus, lambda path: [str(BUILD / "bin" / "onnx_tool"), "check", str(path)])
