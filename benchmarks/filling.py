"""Sentences a second and BLEU of filling in, beside those of going from left to right.

    python benchmarks/filling.py --left_to_right=DIR --filling=DIR [--sentences=40]

Both are trained runs on the same text. Test sentences one by one, as many as are asked for, and all
of them in batches: greedy from left to right, and mask-predict of 1, 4 and 10 iterations with one
length and of 4 iterations with five. The ways take turns, each with all its sentences in a round;
medians of seconds over the rounds. Two threads. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.paired import use_processors

use_processors(2)

from attention.lab.commands import process  # noqa: E402
from attention.lab.data.sources.pairs import Pairs  # noqa: E402
from attention.lab.runs import load  # noqa: E402
from attention.lab.runs.load import Trained  # noqa: E402
from attention.lab.tasks.translation import Search  # noqa: E402

WAYS = {"1 iteration": (1, 1), "4 iterations": (4, 1), "10 iterations": (10, 1),
        "4 iterations, 5 lengths": (4, 5)}  # fmt: skip
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--left_to_right")
    parser.add_argument("--filling")
    parser.add_argument("--sentences", type=int, default=40, help="translated one by one")
    options = parser.parse_args()
    if not (options.left_to_right and options.filling):
        print("no runs to compare: see --help")
        return
    process.keep_freed_memory()
    plain, filling = load.load(options.left_to_right), load.load(options.filling)
    ways = {"left to right, greedy": (plain, replace(plain.experiment.search, beams=1))}
    for name, (iterations, lengths) in WAYS.items():
        search = replace(filling.experiment.search, beams=lengths, iterations=iterations)
        ways[name] = filling, search
    pairs = plain.experiment.data.pairs("test")
    print("| | BLEU | sentences a second, one by one | times | in batches | times |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows = [[way, f"{bleu(*ways[way], pairs):.2f}"] for way in ways]
    for sentences, singly in ((options.sentences, True), (len(pairs), False)):
        speeds = measured(ways, pairs, sentences=sentences, singly=singly)
        for row, speed in zip(rows, speeds, strict=True):
            row += [f"{speed:.1f}", f"{speed / speeds[0]:.2f}"]
    for row in rows:
        print(f"| {' | '.join(row)} |")


def bleu(run: Trained, search: Search, pairs: Pairs) -> float:
    """Of the whole split; what it needs is compiled then."""
    return run.evaluator.report(run.params, run.model_state, pairs, search)[0]["bleu"]


def measured(
    ways: dict[str, tuple[Trained, Search]],
    pairs: Pairs,
    *,
    sentences: int,
    singly: bool,
) -> list[float]:
    """Sentences a second of each way: by the median of its turns."""
    sources = {
        way: run.evaluator.examples(pairs).source[:sentences] for way, (run, _) in ways.items()
    }
    turns: dict[str, list[float]] = {way: [] for way in ways}
    parts = [slice(at, at + 1) for at in range(sentences)] if singly else [slice(0, sentences)]
    for number in range(1 + ROUNDS):  # the first compiles
        for way, (run, search) in ways.items():
            for part in parts:
                begun = time.perf_counter()
                run.evaluator.translate(run.params, run.model_state, sources[way][part], search)
                if number:
                    turns[way].append(time.perf_counter() - begun)
    each = 1 if singly else sentences
    return [each / statistics.median(seconds) for seconds in turns.values()]


if __name__ == "__main__":
    main()
