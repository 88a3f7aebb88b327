"""Makes docs/onnx_conformance.md and, with --onnxruntime, the list of cases that onnxruntime passes.

    python tests/onnx/conformance.py [--onnxruntime]
"""
import re
import sys
from collections import defaultdict

import backend

LIST = backend.ROOT / "tests" / "onnx" / "onnxruntime_passes.txt"
TABLE = backend.ROOT / "docs" / "onnx_conformance.md"


def expected():
    """The cases that onnxruntime passes on the CPU."""
    return [line for line in LIST.read_text().splitlines() if not line.startswith("#")]


def short(why):
    """What differs only in names and numbers is one reason."""
    why = re.sub(r"node '[^']*' \((\w+)\)", r"\1", why.removeprefix("InputError: ").removeprefix("the model: "))
    return why.split(" Mismatched")[0].replace("|", "\\|")


def ratio(found):
    cases = expected()
    missing = [c for c in cases if c not in found]
    assert not missing, f"{len(missing)} cases of the list are not in this suite ({missing[:3]} …): make the list anew"
    return sum(not found[c] for c in cases), len(cases)


def table(found):
    import onnx

    passed, count = ratio(found)
    groups = defaultdict(list)
    for case in expected():
        if found[case]:
            groups[short(found[case])].append(case.removeprefix("test_").removesuffix("_cpu"))
    lines = ["# Conformance to ONNX", "",
             f"Made by `tests/onnx/conformance.py`: the backend test suite of onnx {onnx.__version__} (nodes, simple models, models from",
             "PyTorch, and its nine light real ones: AlexNet, DenseNet-121, Inception v1 and v2, ResNet-50, ShuffleNet, SqueezeNet,",
             "VGG-19, ZFNet), each model compiled and run; counted are the cases that onnxruntime passes on the CPU.", "",
             f"**{passed} of {count} ({100 * passed / count:.1f} %)**", "", "| cases | why | which |", "|---|---|---|"]
    for why, cases in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
        lines.append(f"| {len(cases)} | {why} | {', '.join(cases[:8])}{', …' if len(cases) > 8 else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--onnxruntime" in sys.argv:
        import onnx
        import onnxruntime

        passing = [case for case, why in backend.results("onnxruntime").items() if not why]
        LIST.write_text(f"# onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}: tests/onnx/conformance.py --onnxruntime\n" +
                        "\n".join(passing) + "\n")
    TABLE.write_text(table(backend.results("rooftune")))
