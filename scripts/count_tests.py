#!/usr/bin/env python3
"""count_tests.py RESULTS: adds up what the checks, ctest, GoogleTest and pytest left there and prints "N passed, N failed".

A C++ test program counts by its GoogleTest cases; one that crashed before it could write them counts as one failure.
Exit status 1 if anything failed, or if nothing ran.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases(path):
    """(name, failed, skipped) of every test case in a JUnit file."""
    for case in xml.parse(path).getroot().iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None or case.get("status") in ("notrun", "disabled")
        yield f"{case.get('classname', '')}.{case.get('name')}", failed, skipped


def main():
    results = pathlib.Path(sys.argv[1])
    passed, failures, skipped_names = 0, [], []

    def add(name, failed, skipped):
        nonlocal passed
        if failed:
            failures.append(name)
        elif skipped:
            skipped_names.append(name)
        else:
            passed += 1

    checks = results / "checks.txt"
    for line in checks.read_text().splitlines() if checks.exists() else []:
        outcome, name = line.split()
        add(name, outcome == "failed", False)

    for junit in sorted(results.glob("ctest-*.xml")):
        preset = junit.stem.removeprefix("ctest-")
        for program, failed, skipped in cases(junit):
            program = program.split(".")[-1]
            details = results / f"gtest-{preset}" / f"{program}.xml"
            before = len(failures)
            if details.exists():
                for name, case_failed, case_skipped in cases(details):
                    add(f"{preset}: {name}", case_failed, case_skipped)
            if failed and len(failures) == before:
                failures.append(f"{preset}: {program} (ended without reporting a failed case)")
            elif not failed and not details.exists():
                add(f"{preset}: {program}", False, skipped)

    for junit in sorted(results.glob("pytest-*.xml")):
        for name, failed, skipped in cases(junit):
            add(name, failed, skipped)

    for name in skipped_names:
        print(f"skipped: {name}")
    for name in failures:
        print(f"FAILED: {name}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
