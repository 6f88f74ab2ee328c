"""A trained run, opened again: to evaluate it, to translate with it, to look inside."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import jax
from jax.sharding import Mesh

from attention import build
from attention.data.buckets import Bucket
from attention.data.examples import encode_all, encode_sources
from attention.data.text import decode_lines
from attention.data.tokenizer import Tokenizer
from attention.evaluation.scores import paired_bootstrap
from attention.judge import Judge
from attention.shapes import Tree
from attention.tasks.translation import Translation
from attention.training.checkpoints import Checkpoints
from attention.training.devices import mesh, replicate
from attention.training.step import create_state
from attention.workdir import read_config

Config = Mapping[str, Any]
_LINES = 512  # most lines translated together


@dataclass(frozen=True, eq=False)
class Trained:
    """A checkpoint with the task it belongs to."""

    config: Config
    task: Translation
    judge: Judge
    params: Tree
    model_state: Tree
    step: int


def load(workdir: str | Path, checkpoint: str = "best") -> Trained:
    """Opens a run at a checkpoint: "best", "latest", "average", or a step.

    Raises:
      FileNotFoundError: there is no run, or no such checkpoint.
      ValueError, OSError: the run is damaged, or ``checkpoint`` is not understood.
    """
    path = Path(workdir)
    config = read_config(path)
    build.check(config)
    task = build.translation(config, Tokenizer.load(path / "tokenizer.model"))
    devices = mesh(config["mesh"]["data"] or None)
    params, model_state = task.init(jax.random.key(0))
    state = create_state(params, model_state, build.optimiser(config), jax.random.key(0))
    with open_checkpoints(config, path, read_only=True) as checkpoints:
        restored = checkpoints.restore(checkpoint, replicate(state, devices))
    longest = config["data"]["max_length"]
    sides = [Bucket(n, n) for n in (8, 16, 24, 32, 48, 64, 96) if n < longest]
    return Trained(
        config,
        task,
        make_judge(config, task, devices, [*sides, Bucket(longest, longest)]),
        restored.state.params,
        restored.state.model_state,
        restored.step,
    )


def evaluate(
    workdir: str | Path,
    split: str = "test",
    *,
    data_dir: str | None = None,
    checkpoint: str = "best",
    compare: str | Path | None = None,
) -> dict[str, Any]:
    """Scores a checkpoint on a split, over every sentence.

    Args:
      workdir: the run.
      split: which split; of files any name.
      data_dir: where the files lie; by default where the run's config says.
      checkpoint: see ``load``.
      compare: another run, against which sacreBLEU's paired bootstrap is taken.

    Returns:
      score, metric, loss (nats per target token), bleu, chrf, their signatures, split, step,
      examples, sentences; with ``compare`` also its scores and the p-value.
    """
    run = load(workdir, checkpoint)
    pairs = build.pairs(run.config, split, data_dir)
    search = build.search(run.config)
    report, hypotheses = run.judge.report(run.params, run.model_state, pairs, search)
    write_decodes(Path(workdir), run.step, split, hypotheses)
    metric = run.config["checkpoint"]["metric"]
    report = {"score": report[metric], "metric": metric, "split": split, "step": run.step} | report
    if compare is not None:
        other = load(compare, checkpoint)
        sources = encode_all(pairs, other.task.tokenizer).source
        found = other.judge.translate(
            other.params, other.model_state, sources, build.search(other.config)
        )
        report["compare"] = paired_bootstrap(
            hypotheses,
            [best[0][0] for best in found],
            list(pairs.target),
            run.config["data"]["target_lang"],
        )
    return report


def translate(
    workdir: str | Path,
    source: BinaryIO,
    target: TextIO,
    *,
    checkpoint: str = "best",
    beam: int | None = None,
    nbest: int = 1,
    scores: bool = False,
) -> None:
    """Writes the translation of each line, in order, as soon as it is there.

    An empty line gives an empty line. With ``nbest`` each line gives so many; with ``scores`` each
    is preceded by its score (log-probability over the length penalty, in nats) and a tab.

    Raises:
      ValueError: the input is not UTF-8, or ``beam`` or ``nbest`` is out of range.
    """
    run = load(workdir, checkpoint)
    _check_beam(run, beam, nbest)
    search = build.search(run.config, beams=beam, nbest=nbest)
    longest, done = run.config["data"]["max_length"], 0
    for lines in _in_groups(decode_lines(source, "stdin")):
        tokens, cut = encode_sources(lines, run.task.tokenizer, longest)
        for index in cut:
            print(f"warning: line {done + index + 1} is cut to {longest} tokens", file=sys.stderr)
        said = [index for index, line in enumerate(lines) if line.strip()]
        found = run.judge.translate(
            run.params, run.model_state, [tokens[index] for index in said], search
        )
        by_line = dict(zip(said, found, strict=True))
        for index in range(len(lines)):
            for text, score in by_line.get(index, [("", 0.0)] * nbest):
                target.write(f"{score:.4f}\t{text}\n" if scores else f"{text}\n")
        target.flush()
        done += len(lines)


def make_judge(config: Config, task: Translation, devices: Mesh, buckets: Sequence) -> Judge:
    """What evaluates a run of this config."""
    return Judge(
        task,
        devices,
        tuple(buckets),
        config["decode"]["batch_tokens"],
        config["data"]["target_lang"],
    )


def open_checkpoints(config: Config, path: Path, *, read_only: bool = False) -> Checkpoints:
    """The checkpoints of a run."""
    spec = config["checkpoint"]
    return Checkpoints(
        path / "checkpoints",
        keep=spec["keep"],
        average=spec["average"],
        metric_mode=metric_mode(config),
        read_only=read_only,
    )


def metric_mode(config: Config) -> str:
    """Whether a higher score is better."""
    return "min" if config["checkpoint"]["metric"] == "loss" else "max"


def write_decodes(path: Path, step: int, split: str, lines: Sequence[str]) -> None:
    """Keeps translations as decodes/STEP.SPLIT.txt, one a line."""
    folder = path / "decodes"
    folder.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    (folder / f"{step}.{os.path.basename(split)}.txt").write_text(text, encoding="utf-8")


def _check_beam(run: Trained, beam: int | None, nbest: int) -> None:
    most = run.task.tokenizer.vocab_size
    beams = run.config["decode"]["beam"] if beam is None else beam
    if not 1 <= beams <= most:
        raise ValueError(f"beam is {beams}; it needs to be from 1 to the vocabulary's {most}")
    if not 1 <= nbest <= beams:
        raise ValueError(f"nbest is {nbest}; it needs to be from 1 to beam, which is {beams}")


def _in_groups(lines: Iterator[str]) -> Iterator[list[str]]:
    """What has arrived so far, at least one line and at most ``_LINES``, again and again.

    A thread reads ahead, so that a slow writer sees each answer at once and a file goes in batches.
    """
    arrived: queue.Queue[Any] = queue.Queue(maxsize=2 * _LINES)

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except (OSError, ValueError) as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    group: list[str] = []
    while True:
        item = arrived.get()
        if isinstance(item, str):
            group.append(item)
        if group and (len(group) == _LINES or arrived.empty() or not isinstance(item, str)):
            yield group
            group = []
        if isinstance(item, Exception):
            raise item
        if item is None:
            return
