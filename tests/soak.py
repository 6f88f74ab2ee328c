"""Runs the suite again and again, to see that it passes whatever else the machine does.

    python -m tests.soak [--runs=plain,plain,busy,shuffled] [--continue]   # by default ten runs

A run that is ``busy`` has two processes beside it that keep two cores at work; one that is
``shuffled`` takes its tests in random order. Each begins with nothing compiled. The results are
written to docs/soak.json as the runs end; ``--continue`` keeps those that stand there and does the
runs that are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "soak.json"
RUNS = ["plain", "busy", "plain", "shuffled", "plain", "busy", "plain", "busy", "plain", "plain"]


def processor() -> str:
    """The processor's name, as the system gives it."""
    with contextlib.suppress(OSError):
        if found := re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
            return found[1]
    return platform.processor() or platform.machine()


def provenance() -> dict[str, str]:
    """Of which code a result is, and on what it was obtained."""
    revision = ["git", "rev-parse", "--short", "HEAD"]
    ran = subprocess.run(revision, cwd=ROOT, capture_output=True, text=True)
    return {
        "revision": ran.stdout.strip(),
        "processor": f"{os.cpu_count()} cores of {processor()}",
        "python": platform.python_version(),
        "jax": version("jax"),
    }


@contextlib.contextmanager
def busy(count: int):
    """Keeps so many cores at work."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(kind: str, seed: int) -> dict:
    """One run of all tests but the long ones, and what came of it."""
    command = [
        *(sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-q"),
        *("--no-loadscope-reorder", "-m", "not long"),
        *([f"--shuffle={seed}"] if kind == "shuffled" else []),
    ]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as cache, busy(2 if kind == "busy" else 0):
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    closing = ran.stdout.strip().splitlines()[-1]
    counts = {
        name: int(n) for n, name in re.findall(r"(\d+) (passed|failed|skipped|error)", closing)
    }
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, flags=re.MULTILINE)
    if ran.returncode:
        print(ran.stdout, ran.stderr, file=sys.stderr)
    return {
        "kind": kind,
        **provenance(),
        "seed": seed if kind == "shuffled" else None,
        "exit code": ran.returncode,
        "minutes": round((time.monotonic() - start) / 60, 1),
        **counts,
        "names of those that failed": failed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=lambda text: text.split(","), default=RUNS)
    parser.add_argument("--continue", dest="goes_on", action="store_true")
    given = parser.parse_args()
    done = json.loads(RESULTS.read_text())["runs"] if given.goes_on else []
    for number, kind in [*enumerate(given.runs, 1)][len(done) :]:
        done.append(run(kind, seed=number))
        print(json.dumps(done[-1]), flush=True)
        RESULTS.write_text(json.dumps({"command": "make soak", "runs": done}, indent=1) + "\n")
    return any(each["exit code"] for each in done)


if __name__ == "__main__":
    sys.exit(main())
