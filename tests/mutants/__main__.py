"""Puts each fault into a copy of the tree, and runs the tests that must find it.

    python -m tests.mutants [--only=beam,mask] [--whole]

Without a fault the same tests must pass. ``--whole`` runs all of `make test` on each fault, and so
says whether any test finds it. The results are written to docs/mutants.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.faults import FAULTS, Fault
from tests.soak import ROOT, provenance

RESULTS = ROOT / "docs" / "mutants.json"
LEAST = 29


def copy_tree(to: Path) -> None:
    """Copies what git tracks, and what it would."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def run_tests(tree: Path, cache: Path, tests: str) -> tuple[int, list[str]]:
    """Return pytest's exit code, and the tests that failed."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not long", *shlex.split(tests)],
        cwd=tree,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"pytest {tests}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.returncode, re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", ran.stdout, re.MULTILINE)


def put(fault: Fault, tree: Path) -> str:
    """Put a fault into a tree; return the file as it was."""
    right = (tree / fault.path).read_text("utf-8")
    if (times := right.count(fault.right)) != 1:
        raise ValueError(
            f"{fault.name}: its text occurs {times} times in {fault.path}, it must occur once: "
            "change tests/mutants/faults.py with the code"
        )
    (tree / fault.path).write_text(right.replace(fault.right, fault.wrong), "utf-8")
    return right


def tried(fault: Fault, tree: Path, cache: Path, whole: bool) -> dict:
    """What the tests say of a fault."""
    tests = "tests" if whole else fault.test
    start = time.monotonic()
    passes = whole or run_tests(tree, cache, tests)[0] == 0
    right = put(fault, tree)
    try:
        code, failed = run_tests(tree, cache, tests)
    finally:
        (tree / fault.path).write_text(right, "utf-8")
    return {
        "fault": fault.name,
        "area": fault.area,
        "path": fault.path,
        "found": passes and code == 1,
        "by": failed,
        "tests": tests,
        "seconds": round(time.monotonic() - start),
        **({} if passes else {"error": "the tests fail without the fault"}),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="words of the faults' names, with commas")
    parser.add_argument("--whole", action="store_true", help="run all tests on each fault")
    options = parser.parse_args()
    words = options.only.split(",")
    faults = [fault for fault in FAULTS if any(word in fault.name for word in words)]
    found = []
    with tempfile.TemporaryDirectory() as directory:
        tree, cache = Path(directory, "tree"), Path(directory, "cache")
        copy_tree(tree)
        for fault in faults:
            found.append(tried(fault, tree, cache, options.whole))
            print(json.dumps(found[-1]), flush=True)
    caught = sum(each["found"] for each in found)
    print(f"{caught} of {len(found)} faults are found")
    if len(faults) == len(FAULTS):
        report = {"command": "make mutants", **provenance(), "found": caught, "faults": found}
        RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return int(caught < min(LEAST, len(found)))


if __name__ == "__main__":
    sys.exit(main())
