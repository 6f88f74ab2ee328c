"""Times beam search and greedy decoding over the Multi30k test sentences.

    python benchmarks/decoding.py [--data_dir=DIR] [--workdir=DIR] [--steps=600] [--runs=5]

Trains a model of 4+4 layers of 128 (feed-forward 512, 4 heads, joint vocabulary 4,000) briefly
with ``launch.py``, so that its outputs end where sentences do; a workdir that has been trained is
used as it is. Prints a Markdown table: seconds for all sentences, from tokens to text, the first
time with compilation (or with reading the compiled programs, where JAX_COMPILATION_CACHE_DIR has
them), then the median of the runs; sentences and tokens per second; the mean output length; and the
share of the computed sequence-steps that the best outputs needed. Skips where the data is absent.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import numpy as np  # noqa: E402

from attention.decoding import Beams, Step  # noqa: E402
from attention.lab.commands import process  # noqa: E402
from attention.lab.evaluation.evaluator import Evaluator  # noqa: E402
from attention.lab.runs import load  # noqa: E402
from attention.lab.tasks.translation import Search, Translation  # noqa: E402
from benchmarks.training_runs import MULTI30K, machine  # noqa: E402

SIZES = {
    "model.layers": 4,
    "model.size": 128,
    "model.ff_size": 512,
    "model.heads": 4,
    "model.dropout": 0.1,
    "data.vocab_size": 4_000,
    "train.learning_rate": 3e-3,
    "train.warmup": 100,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=MULTI30K)
    parser.add_argument("--workdir", type=Path, help="kept; by default temporary")
    parser.add_argument("--steps", type=int, default=600, help="training steps")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each search")
    parser.add_argument("--batch_tokens", type=int, help="by default the config's")
    options = parser.parse_args()
    if not options.data_dir.is_dir():
        print(f"decoding: skipped, {options.data_dir} is absent; say --data_dir=DIR")
        return
    process.keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        workdir = options.workdir or Path(scratch) / "run"
        if not (workdir / "checkpoints").is_dir():
            train(workdir, options.data_dir, options.steps)
        run = load.load(workdir)
        pairs = run.experiment.data.pairs("test", str(options.data_dir))
        evaluator = replace(
            run.evaluator, batch_tokens=options.batch_tokens or run.evaluator.batch_tokens
        )
        examples = evaluator.examples(pairs)
        reference = np.mean([len(tokens_T) for tokens_T in examples.target])
        print(
            f"\n`python benchmarks/decoding.py` on {machine()}; {len(pairs)} sentences, "
            f"{run.step} training steps, mean reference length {reference:.1f} tokens\n"
        )
        print("| beams | first time, s | s | sentences/s | tokens/s | mean length | needed |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for beams in (4, 1):
            search = replace(run.experiment.search, beams=beams)
            print(report(run, evaluator, examples.source, search, options.runs), flush=True)


def train(workdir: Path, data_dir: Path, steps: int) -> None:
    """Trains as a user would; what is printed goes to stderr."""
    often = {"train.steps": steps, "train.eval_every": steps, "train.checkpoint_every": steps}
    flags = [f"--config.{name}={value}" for name, value in (SIZES | often).items()]
    command = [sys.executable, "launch.py", "train", "--config=experiments/text.py"]
    command += [f"--workdir={workdir.resolve()}", f"--config.data.dir={data_dir.resolve()}", *flags]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def report(
    run: load.Trained, evaluator: Evaluator, sources: list[np.ndarray], search: Search, runs: int
) -> str:
    """A row of the table."""
    evaluator = replace(evaluator)  # nothing compiled yet

    def translate() -> float:
        started = time.perf_counter()
        evaluator.translate(run.params, run.model_state, sources, search)
        return time.perf_counter() - started

    first, seconds = translate(), statistics.median(translate() for _ in range(runs))
    counting = Counting(**{f.name: getattr(run.task, f.name) for f in fields(run.task)})
    replace(evaluator, task=counting).translate(run.params, run.model_state, sources, search)
    jax.effects_barrier()
    tokens = sum(map(np.sum, counting.lengths))
    needed = tokens * search.beams / sum(counting.rows)
    return (
        f"| {search.beams} | {first:.2f} | {seconds:.2f} | {len(sources) / seconds:.0f} "
        f"| {tokens / seconds:.0f} | {tokens / len(sources):.1f} | {needed:.2f} |"
    )


@dataclass(frozen=True, eq=False)
class Counting(Translation):
    """Counts the sequences of every step, and the tokens of every best output."""

    rows: list[int] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)

    def search(self, *arguments: Any) -> Beams:
        beams = super().search(*arguments)
        jax.debug.callback(self.lengths.append, beams.lengths_BN[:, 0])
        return beams

    def _decoder(self, *arguments: Any) -> dict[str, Any]:
        decoder = super()._decoder(*arguments)
        narrow = decoder["narrow"]
        counted = {"step": self._counted(decoder["step"])}
        return decoder | counted | {"narrow": lambda row_G: self._counted(narrow(row_G))}

    def _counted(self, step: Step) -> Step:
        def counted(cache: Any, token_B: jax.Array) -> tuple[jax.Array, Any]:
            jax.debug.callback(partial(self.rows.append, len(token_B)))
            return step(cache, token_B)

        return counted


if __name__ == "__main__":
    main()
