"""Distillation (Kim & Rush 2016): a corpus whose targets are a trained run's translations."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from attention.lab.build import checks, values
from attention.lab.commands.arguments import Call
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import new_directory, write_parallel
from attention.lab.runs import load

_SOME = 2_048  # sentences translated together


def run(call: Call) -> None:
    """Does what the command line says."""
    distil(**call.given)


def distil(
    workdir: str | Path,
    target_dir: str | Path,
    *,
    checkpoint: str = "best",
    beam: int | None = None,
) -> Path:
    """Writes DIR/train.LANG with the run's translations of its training text, and what goes along.

    Validation and test text are written as they are, and the run's vocabulary as
    DIR/tokenizer.model, so that a student may have the same (``config.data.vocabulary``).

    Args:
      workdir: the run.
      target_dir: a directory that is new or empty.
      checkpoint: see ``attention.lab.runs.load.load``.
      beam: beams; by default the config's.

    Returns:
      The directory.

    Raises:
      RunError: there is no run, or no such checkpoint.
      ValueError: ``beam`` is out of range.
      OSError: the directory has files, or cannot be written.
    """
    run = load.load(workdir, checkpoint)
    beam = run.config["decode"]["beam"] if beam is None else beam
    checks.check_beam("beam", beam, run.task.tokenizer.vocab_size)
    folder, data = new_directory(target_dir), run.config["data"]
    languages = data["source_lang"], data["target_lang"]
    for split in ("valid", "test"):
        write_parallel(folder, split, *languages, values.pairs(run.config, split))
    shutil.copyfile(Path(workdir) / "tokenizer.model", folder / "tokenizer.model")
    pairs = values.pairs(run.config, "train")
    sources = run.evaluator.examples(pairs).source
    translations: list[str] = []
    search, begun = values.search(run.config, beams=beam), time.monotonic()
    for first in range(0, len(sources), _SOME):
        some = sources[first : first + _SOME]
        found = run.evaluator.translate(run.params, run.model_state, some, search)
        translations += [best[0][0] for best in found]
        speed = len(translations) / (time.monotonic() - begun)
        print(f"{len(translations):,} of {len(sources):,} sentences, {speed:,.0f} a second",
              file=sys.stderr)  # fmt: skip
    write_parallel(folder, "train", *languages, Pairs(pairs.source, tuple(translations)))
    return folder
