"""How long ``launch.py train`` of the quickstart takes until its first step has ended.

    python benchmarks/starting.py [--runs=5]

The first run, which is not counted, fills the cache of compiled programs. Each is ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paired import use_processors

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    use_processors(2)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        cold, *warm = [seconds() for _ in range(options.runs + 1)]
    print(
        f"Start to the end of the first step: {statistics.median(warm):.1f} s (median of "
        f"{len(warm)}, {min(warm):.1f} to {max(warm):.1f}), {cold:.1f} s with an empty cache; "
        f"wanted: at most 15 s. Two processors, Python {platform.python_version()}"
    )


def seconds() -> float:
    """Starts a training and ends it after its first step."""
    with tempfile.TemporaryDirectory() as scratch:
        workdir = Path(scratch) / "run"
        command = [sys.executable, "launch.py", "train", "--config=experiments/quickstart.py"]
        command += ["--config.train.log_every=1", f"--workdir={workdir}"]
        metrics = workdir / "metrics.jsonl"
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            while not (metrics.exists() and metrics.stat().st_size):
                if process.poll() is not None:
                    sys.exit(f"training failed with exit code {process.returncode}")
                time.sleep(0.01)
            taken = time.perf_counter() - started
            process.terminate()
    return taken


if __name__ == "__main__":
    main()
