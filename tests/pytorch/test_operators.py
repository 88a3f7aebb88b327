"""Every ATen operator that Rooftune reads, beside PyTorch on random inputs: as torch.export leaves it, and in the core set
after run_decompositions()."""
import importlib
from pathlib import Path

import torch_harness
import pytest
import rooftune

FAMILIES = sorted(p.stem for p in Path(__file__).parent.glob("torch_cases_*.py"))
CASES = [case for family in FAMILIES for case in importlib.import_module(family).cases()]


def test_names_are_distinct():
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_operator(case):
    torch_harness.check(case)


def test_every_operator_has_a_case():
    if len(torch_harness.RAN) < len(CASES):
        pytest.skip("not all cases were run")
    seen = {torch_harness.functional(t) for t in torch_harness.SEEN}
    # What PyTorch puts in by itself, in programs other than ours.
    seen |= {"aten.lift_fresh.default", "aten.sym_constrain_range.default", "aten.sym_constrain_range_for_size.default", "aten.sym_numel.default"}
    missing = {t for t in rooftune.call("torch_operators")["operators"] if t.startswith("aten.")} - seen
    assert not missing, sorted(missing)
