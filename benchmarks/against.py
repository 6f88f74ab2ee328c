"""Times this checkout against an earlier revision of it, in turn.

    python benchmarks/against.py 8047c8b [--workdir=DIR] [--pairs=15] [--only=starting,decoding]

Each subject runs in two processes that stay warm, one of each revision; they are timed in turn. A
ratio is the earlier revision's seconds by ours: above 1 ours is faster. Prints the median of the
ratios and the 90 % interval of their geometric mean, as a Markdown table.

    full_attention   causal softmax attention, forward and backward, of 8 x 512 and 2 x 2,048 tokens
    training_step    the step of benchmarks/training_step.py
    decoding         beam search with 4 beams over 200 sentences of the grammar, by the run in DIR,
                     which the earlier revision has trained; by default tests/old_run, a tiny one
    starting         ``launch.py train`` of the quickstart until its first step has ended
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKDIR = "BENCHMARK_WORKDIR"
STUDENT = 1.761  # the 95 % quantile of Student's t with 14 degrees of freedom


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", default=",".join(SUBJECTS))
    parser.add_argument("--workdir", type=Path, default=ROOT / "tests" / "old_run")
    options = parser.parse_args()
    os.environ[WORKDIR] = str(options.workdir.resolve())
    print(f"Python {platform.python_version()}, {options.pairs} pairs\n")
    print("| what | median | 90 % interval | seconds | seconds before |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch) / "before"
        unpack(options.revision, before)
        for name in options.only.split(","):
            print(row(name, before, options.pairs), flush=True)


def unpack(revision: str, to: Path) -> None:
    """Puts the files of a revision into a folder."""
    archive = to.with_suffix(".tar")
    subprocess.run(["git", "archive", "-o", archive, revision], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")


def row(name: str, before: Path, pairs: int) -> str:
    """A row of the table."""
    with Worker(ROOT, name) as ours, Worker(before, name) as theirs:
        for worker in (ours, theirs, ours, theirs):
            worker.seconds()
        timed = []
        for number in range(pairs):
            first, second = (ours, theirs) if number % 2 else (theirs, ours)
            seconds = {first: first.seconds(), second: second.seconds()}
            timed.append((seconds[ours], seconds[theirs]))
    logs = [math.log(old / new) for new, old in timed]
    middle, spread = statistics.mean(logs), STUDENT * statistics.stdev(logs) / math.sqrt(pairs)
    low, high = math.exp(middle - spread), math.exp(middle + spread)
    new, old = (statistics.median(side) for side in zip(*timed, strict=True))
    median = math.exp(statistics.median(logs))
    return f"| {name} | {median:.3f} | {low:.3f} to {high:.3f} | {new:.4g} | {old:.4g} |"


class Worker:
    """A process that runs a subject once for each line that it reads."""

    def __init__(self, tree: Path, name: str) -> None:
        command = [sys.executable, __file__, "--serve", str(tree), name]
        self.process = subprocess.Popen(
            command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def seconds(self) -> float:
        """How long one run takes."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("seconds "):
            if not line:
                sys.exit("against: a worker ended; its error stands above")
        return float(line.split()[1])


def serve(tree: str, name: str) -> None:
    """The worker's side."""
    sys.path[:0] = [tree, f"{tree}/benchmarks"]
    sys.path.remove(str(ROOT / "benchmarks")) if tree != str(ROOT) else None
    run = SUBJECTS[name]()
    for _ in sys.stdin:
        started = time.perf_counter()
        given = run()
        taken = given if isinstance(given, float) else time.perf_counter() - started
        print("seconds", taken, flush=True)


def either(*names: str) -> Any:
    """The first of these modules that the revision has."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(f"none of {', '.join(names)}")


def full_attention() -> Callable[[], object]:
    import jax

    from attention.kernels import softmax_attention
    from attention.masks import Causal

    def loss(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return softmax_attention(q, k, v, Causal()).sum()

    grad = jax.jit(jax.grad(loss, (0, 1, 2)))
    arrays = [jax.random.normal(jax.random.key(n), (4096 // n, n, 8, 64)) for n in (512, 2048)]
    return lambda: jax.block_until_ready([grad(x, x, x) for x in arrays]) and None


def training_step() -> Callable[[], object]:
    import training_step as benchmark

    step = benchmark.make_ours()
    return lambda: [step() for _ in range(3)] and None


def decoding() -> Callable[[], object]:
    load = either("attention.lab.runs.load", "attention.trained")
    pairs = either("attention.lab.data.sources.grammar", "attention.data.grammar")
    run = load.load(os.environ[WORKDIR])
    evaluator = getattr(run, "evaluator", None) or run.judge
    sources = evaluator.examples(pairs.sample_pairs("test", 200, seed=0)).source
    search = searched(run)
    return lambda: evaluator.translate(run.params, run.model_state, sources, search) and None


def searched(run: Any) -> Any:
    """The run's search, with 4 beams."""
    if hasattr(run, "experiment"):
        from dataclasses import replace

        return replace(run.experiment.search, beams=4)
    return either("attention.lab.build.values", "attention.build").search(run.config, beams=4)


def starting() -> Callable[[], float]:
    import starting as benchmark

    return benchmark.seconds


SUBJECTS = {each.__name__: each for each in (full_attention, training_step, decoding, starting)}

if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1:2] == ["--serve"] else main()
