"""Translates a stream of lines with a trained run, each as soon as it has arrived."""

import math
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from typing import TextIO

from attention.errors import ConfigError
from attention.lab.build.tasks import check_beam
from attention.lab.commands.arguments import Call
from attention.lab.data.batching.examples import encode_sources
from attention.lab.data.sources.text import decode_lines
from attention.lab.runs import load
from attention.lab.runs.load import Trained
from attention.lab.tasks.translation import Search

_LINES = 512  # most lines translated together
_BYTES = 1 << 16  # most bytes read at once


def run(call: Call) -> None:
    """Translates stdin to stdout."""
    translate(source=sys.stdin.buffer, target=sys.stdout, **call.given)  # type: ignore[arg-type]


def translate(
    workdir: str | Path,
    source: BufferedIOBase,
    target: TextIO,
    *,
    checkpoint: str = "best",
    beam: int | None = None,
    nbest: int = 1,
    scores: bool = False,
    teacher: str | Path | None = None,
    allow_import: Sequence[str] = (),
) -> None:
    """Writes the translation of each line, in order, as soon as it is there.

    An empty line gives an empty line. With ``nbest`` each line gives so many, the last of them
    empty (with the score -inf) where there are fewer candidates; with ``scores`` each is preceded
    by its score (log-probability over the length penalty, in nats) and a tab. A line longer than
    ``data.max_length`` tokens is cut, with a warning.

    Args:
      workdir: the run.
      source: UTF-8 text, one sentence a line.
      target: where to write.
      checkpoint: see ``attention.lab.runs.load.load``.
      beam: beams; by default the config's.
      nbest: translations of each line, at most ``beam``.
      scores: whether to write scores.
      teacher, allow_import: see ``attention.lab.runs.load.load``.

    Raises:
      ValueError: the input is not UTF-8, or ``beam`` or ``nbest`` is out of range.
      RunError: there is no run, or no such checkpoint.
    """
    run = load.load(workdir, checkpoint, teacher=teacher, allow_import=allow_import)
    search = run.experiment.search
    beam = search.beams if beam is None else beam
    check_beam("beam", beam, run.task.tokenizer.vocab_size)
    if not 1 <= nbest <= beam:
        raise ConfigError(f"nbest: {nbest} is not possible with {beam} beams; use 1 to {beam}")
    search, done = replace(search, beams=beam, nbest=nbest), 0
    for lines in _in_groups(source, "stdin"):
        for found in _translations(run, lines, search, first=done + 1):
            found = found or [("", 0.0)] * nbest
            for text, score in found + [("", -math.inf)] * (nbest - len(found)):
                target.write(f"{score:.4f}\t{text}\n" if scores else f"{text}\n")
        target.flush()
        done += len(lines)


def _translations(
    run: Trained, lines: list[str], search: Search, first: int
) -> list[list[tuple[str, float]]]:
    """The best translations of each line with their scores; none of a blank line."""
    longest = run.evaluator.max_length
    tokens, cut = encode_sources(lines, run.task.tokenizer, longest)
    for index in cut:
        warnings.warn(f"stdin, line {first + index}: cut to {longest} tokens", stacklevel=2)
    found: list[list[tuple[str, float]]] = [[] for _ in lines]
    said = [index for index, line in enumerate(lines) if line.strip()]
    texts = [tokens[index] for index in said]
    for index, best in zip(
        said, run.evaluator.translate(run.params, run.model_state, texts, search), strict=True
    ):
        found[index] = best
    return found


def _in_groups(source: BufferedIOBase, name: str) -> Iterator[list[str]]:
    """The lines that have arrived, at least one and at most ``_LINES``, again and again.

    So whoever writes line by line is answered line by line, and a file goes in large batches.
    """
    waiting: deque[bytes] = deque()
    group: list[str] = []
    try:
        for line in decode_lines(_arriving(source, waiting), name):
            group.append(line)
            if len(group) == _LINES or not waiting:
                yield group
                group = []
    except ValueError:  # not UTF-8: the lines before it are still answered
        if group:
            yield group
        raise


def _arriving(source: BufferedIOBase, waiting: deque[bytes]) -> Iterator[bytes]:
    """The lines of a stream; those that can be had without waiting lie in ``waiting``."""
    begun: list[bytes] = []  # of a line whose end has not arrived
    while chunk := source.read1(_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            waiting.append(b"".join([*begun, end, b"\n"]))
            begun = []
        begun.append(rest)
        while waiting:
            yield waiting.popleft()
    if any(begun):
        yield b"".join(begun)
